"""Find damage in a result: any file that was changed, cut short or deleted since it was written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors.kinds import PATH, expect


def verify(path: str | Path) -> list[str]:
    """Return what is wrong with a result, one line each; empty if it is as it was written.

    All bytes are read, and compared with the checksums that were noted while they were written.

    Parameters
    ----------
    path : path
        Of a result of any format, or of a copy of a run.

    Returns
    -------
    list of str

    Examples
    --------
    >>> verify("r0034.zarr")
    []
    """
    from .hdf5 import file as _hdf5
    from .problems import problems

    expect(PATH, path, "path=")
    path = Path(path)
    if path.is_dir():
        return problems(path)
    if path.exists() and not path.is_file():
        return [f"{path}: it is no regular file"]
    return _hdf5.problems(path)


def manifest(path: Path) -> dict[str, Any]:
    """Return how a result was made, of any format."""
    from ..disk import manifest as _manifest
    from .hdf5 import file as _hdf5

    if path.is_dir():
        return _manifest.read(path)
    if path.exists() and not path.is_file():
        raise OSError(f"{path}: it is no regular file")
    return _hdf5.manifest(path)


def dataset(path: Path, keep: Any = None) -> Any:
    """Return a result as an `xarray.Dataset`, of any format, variants stacked; `keep` lives as long as it."""
    from .variants import beside

    found: Any = beside(_dataset(path, keep))
    # As xarray itself notes where a dataset comes from: so it is known what a lazy option is read from.
    for one in (found, *found.variables.values()):
        one.encoding["source"] = str(path)
    return found


def _dataset(path: Path, keep: Any) -> Any:
    from ..disk import manifest as _manifest
    from .exdf import dataset as exdf
    from .hdf5 import file as _hdf5

    if path.is_file():
        return _hdf5.open_dataset(path)
    _manifest.whole(path)
    if exdf.exists(path):
        return exdf.open_dataset(path)
    from .shards import reading as _reading

    return _reading.open_dataset(path, keep)
