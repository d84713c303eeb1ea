"""Open HDF5 files for reading, also on file systems that have no locks."""

from __future__ import annotations

from errno import ENOLCK, ENOSYS, ENOTSUP, EOPNOTSUPP
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import h5py

NO_LOCKS = (ENOLCK, ENOSYS, ENOTSUP, EOPNOTSUPP)
"""What NFS and parallel file systems answer that are mounted without locks."""


def open_hdf5(path: str | Path) -> h5py.File:
    """Open a file for reading; only where it cannot be locked at all, another process might be writing to it."""
    import h5py

    try:
        return h5py.File(path, "r")
    except OSError as e:
        # The other one is what HDF5 says of a file that this process already has open so.
        if e.errno not in NO_LOCKS and "locking flag values" not in str(e):
            raise
    return h5py.File(path, "r", locking=False)
