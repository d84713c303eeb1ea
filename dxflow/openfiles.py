"""How many files EXtra-data holds open while a run is planned: HDF5 keeps half a megabyte for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

FEW = 64
"""Files: opening one anew takes less time than it takes to read its index."""


@contextmanager
def few() -> Iterator[None]:
    """Let EXtra-data close files that were not used for longest, rather than hold all of a run's."""
    from extra_data.file_access import open_files_limiter as limiter

    usual = limiter.maxfiles
    limiter.maxfiles = min(FEW, usual)
    try:
        yield
    finally:
        # Of several threads the last to end may have found the limit of another.
        limiter.maxfiles = max(usual, limiter.maxfiles)
