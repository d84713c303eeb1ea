"""Find damage in a result: any file that was changed, cut short or deleted since it was written."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors.kinds import PATH, expect

if TYPE_CHECKING:
    from ..driver.result import Result


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
    >>> dxflow.stores.opening.verify("r0034.zarr")
    []
    """
    from ..disk import manifest as _manifest
    from .hdf5 import file as _hdf5

    expect(PATH, path, "path=")
    path = Path(path)
    if path.is_dir():
        return _manifest.problems(path)
    if path.exists() and not path.is_file():
        return [f"{path}: it is no regular file"]
    return _hdf5.problems(path)


def open_result(path: str | Path) -> Result:
    """Return a result that was written before, of any format.

    Parameters
    ----------
    path : path
        What `reduce` was given as `to`.

    Returns
    -------
    Result

    Raises
    ------
    FileNotFoundError
        If there is none, or only an unfinished one.
    OSError
        If there is something else, or its manifest is damaged, or files of it are missing or cut short.
    """
    from ..disk import manifest as _manifest
    from ..driver.result import Result

    expect(PATH, path, "path=")
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: {_instead(path)}")
    result = Result(path)
    try:
        result.manifest  # noqa: B018 - reading it is the test
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is no result of dxflow: it has no dxflow.json") from None
    if path.is_dir():
        _manifest.whole(path)
    return result


def _instead(path: Path) -> str:
    """Return what there is instead of a result."""
    from ..disk.manifest import MANIFEST
    from ..errors.near import did_you_mean, listed
    from .store import formats

    if path.with_name(path.name + ".partial").exists():
        return "unfinished; reduce the run again with resume=True (--resume) to complete it"
    folder = path.absolute().parent
    if not folder.is_dir():
        return f"no such result: the folder {folder} does not exist"
    there = [
        p.name
        for p in folder.iterdir()
        if (p / MANIFEST).is_file() or (p.suffix in formats() and p.is_file())
    ]
    return "no such result" + (
        f".{did_you_mean(path.name, there)} There are: {listed(there)}" if there else ""
    )


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
    """Return a result as an `xarray.Dataset`, of any format; `keep` lives as long as it."""
    found = _dataset(path, keep)
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
