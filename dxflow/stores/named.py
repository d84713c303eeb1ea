"""The store that a user's ``to=`` means: formats are found by suffix."""

from __future__ import annotations

import os
import pkgutil
import shutil
import tempfile
import weakref
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from ..codecs.table import codec_of
from ..errors import PlanError
from ..errors.near import listed
from .store import Store


def formats() -> dict[str, ModuleType]:
    """Return the modules of formats by suffix: each names its own in SUFFIXES."""
    from . import formats as package

    names = [m.name for m in pkgutil.iter_modules(package.__path__)]
    modules = [import_module(f"{package.__name__}.{name}") for name in sorted(names)]
    return {suffix: module for module in modules for suffix in getattr(module, "SUFFIXES", ())}


def store_for(to: Any, codec: str | None = None) -> Store:
    """Return the store that a user's `to` means, with the codec that is asked for.

    Raises
    ------
    PlanError
        If no format has this suffix, or the format does not know this codec.
    """
    store = _store_for(to)
    if codec is not None:
        how = codec_of(codec)
        if codec not in store.codecs:
            why = f"{Path(store.path).name}: there is no codec {codec!r} in results of this format"
            if how.bounded:
                why = f"codec={codec!r} changes values, which results do not; algorithm rounding does, on request"
            have = f"expected one of {listed(store.codecs)}" if store.codecs else "leave codec= out"
            raise PlanError(f"{why}: {have}")
        store.codec = codec
    return store


def _store_for(to: Any) -> Store:
    """Return the store that a user's `to` means."""
    from .formats.zarr import Zarr

    if isinstance(to, Store):
        return to
    if to is None:
        folder = tempfile.mkdtemp(prefix="dxflow-")
        store = Zarr(Path(folder) / "result.zarr")
        store.temporary = True
        # Lives as long as the plan or the result that refers to the store.
        weakref.finalize(store, shutil.rmtree, folder, ignore_errors=True)
        return store
    if not isinstance(to, (str, os.PathLike)):
        raise PlanError(
            f"to={to!r}: expected a path such as 'r0034.zarr', or None for a result that is not kept"
        )
    if str(to).endswith("/") and Path(to).absolute().name:
        from .formats.exdf import Exdf

        return Exdf(os.fspath(to))
    known = formats()
    if module := known.get(Path(to).suffix):
        return module.STORE(to)
    raise PlanError(
        f"to={str(to)!r}: no format is known by this name; known: {', '.join(f'name{s}' for s in sorted(known))}, "
        "and 'name/' for a directory of EuXFEL HDF5 files"
    )
