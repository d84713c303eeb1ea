"""Writing EuXFEL HDF5 (EXDF) files: declare datasets with `DS`, fill them with a `FileWriter`."""

from ..hdf5.errors import ExdfError, WriteError
from .declare import DS
from .writer import FileWriter

__all__ = ["DS", "ExdfError", "FileWriter", "WriteError"]
