"""A result in a Zarr store as an xarray.Dataset: a file that is not as it was written is an error that names it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zarr.storage import LocalStore

from ...disk import manifest as _manifest
from ..exdf.dataset import File
from ..labels import TIME

if TYPE_CHECKING:
    import xarray as xr


class Checked(LocalStore):
    """A store whose files are compared with their checksums when they are first read, large ones with their sizes.

    Zarr itself takes a missing file for one of fill values, and says of a damaged one not which it is.

    Parameters
    ----------
    root : path
    files : mapping of str to (int, int)
        Size and CRC-32 by path in the store.
    keep : object
        What must live as long as the store: a result without a name is deleted when nobody refers to it.
    """

    def __init__(self, root: Path, files: Mapping[str, Any], keep: Any = None) -> None:
        super().__init__(root, read_only=True)
        self.dxflow_keep = keep
        self._files = {name: File(root / name, *digest) for name, digest in files.items()}

    def _check(self, keys: Iterable[str]) -> None:
        for key in keys:
            if (file := self._files.get(key)) is not None and not file.checked:
                file.check()
                file.checked = True

    async def get(self, key: str, *args: Any, **options: Any) -> Any:
        """Return the content of a file."""
        self._check([key])
        return await super().get(key, *args, **options)

    def get_sync(self, key: str, **options: Any) -> Any:
        """Return the content of a file."""
        self._check([key])
        return super().get_sync(key, **options)

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[Any]) -> Any:
        """Return parts of files."""
        asked = list(key_ranges)
        self._check(key for key, _ in asked)
        return await super().get_partial_values(prototype, asked)


def open_dataset(path: Path, keep: Any = None) -> xr.Dataset:
    """Open a result; values are read when they are used.

    Raises
    ------
    Damage
        When values are read, if a file was changed.
    """
    import xarray as xr

    store: Any = Checked(path, _manifest.read(path).get("files", {}), keep)
    # Units are what an algorithm gave: "seconds" of an output are no reason to make dates of it.
    found = xr.open_zarr(store, chunks=None, decode_times=False)
    times = [n for n, c in found.coords.items() if all(c.attrs.get(k) == v for k, v in TIME.items())]
    return found.assign_coords({n: xr.conventions.decode_cf_variable(n, found[n].variable) for n in times})
