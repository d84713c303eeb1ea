"""Writing EuXFEL HDF5 (EXDF) files: declare datasets with `DS`, fill them with a `FileWriter`."""

from .declare import DS
from .errors import ExdfError, WriteError
from .writer import FileWriter

__all__ = ["DS", "ExdfError", "FileWriter", "WriteError"]
