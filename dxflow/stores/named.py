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

from ..errors import PlanError
from .store import Store


def formats() -> dict[str, ModuleType]:
    """Return the modules of formats by suffix: each names its own in SUFFIXES."""
    from . import formats as package

    names = [m.name for m in pkgutil.iter_modules(package.__path__)]
    modules = [import_module(f"{package.__name__}.{name}") for name in sorted(names)]
    return {suffix: module for module in modules for suffix in getattr(module, "SUFFIXES", ())}


def store_for(to: Any) -> Store:
    """Return the store that a user's `to` means.

    Raises
    ------
    PlanError
        If no format has this suffix.
    """
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
