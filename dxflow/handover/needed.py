"""Libraries that only some exports need, imported when they are used, and how to get them."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any


def needed(module: str, what: Any) -> ModuleType:
    """Return a module.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed; the message says how it is.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as e:
        package = module.partition(".")[0]
        raise ModuleNotFoundError(f"{what} needs {package}: pip install 'dxflow[export]'", name=e.name) from e
