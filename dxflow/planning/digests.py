"""Digests of values by what they hold: options, arrays, functions, classes, files and folders."""

from __future__ import annotations

import copyreg
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from .diskdigests import LENGTH, NoDigest, content, digest

PIECE = 2**26
"""Bytes that are looked at at once of what is copied for it."""
MOST_SHOWN = 50
"""Values of a list that are kept as they are."""

NOT_CODE = frozenset(
    (
        *("__dict__", "__weakref__", "__module__", "__doc__", "__firstlineno__", "__static_attributes__"),
        *("__annotations__", "__annotate__", "__annotate_func__", "__annotations_cache__", "__slotnames__"),
        *("__abstractmethods__", "_abc_impl", "__parameters__"),
    )
)
"""What Python keeps with a class."""
WRAPPERS = {
    staticmethod: "__func__",
    classmethod: "__func__",
    MethodType: "__func__",
    cached_property: "func",
    type(lru_cache(len)): "__wrapped__",
}
"""Functions in another guise, and where they are in it."""


class Digests:
    """Digests of values; equal content gives equal ones, in any process.

    Parameters
    ----------
    apart : iterable of path
        What is never looked into: the result itself, and what is made beside it.
    """

    def __init__(self, apart: Iterable[Path] = ()) -> None:
        self.apart = {Path(os.path.abspath(p)) for p in apart}
        self.modules: dict[str, ModuleType] = {}
        """Modules whose functions and classes were met by name, so that only their files know what they do."""
        self.closures: dict[Any, dict[Any, Any]] = {}
        """Files that are loaded with a file of code, as far as these were looked for."""
        self._open: list[Any] = []
        self._known: dict[int, tuple[Any, str]] = {}

    # For people -----------------------------------------------------------------------------------

    def plain(self, value: Any) -> Any:
        """Return a value as JSON that can be read: numbers and texts as they are, else what it is and its digest.

        Raises
        ------
        NoDigest
        """
        if isinstance(value, np.generic) and value.dtype.kind in "biufU":
            value = value.item()
        if value is None or isinstance(value, (bool, int, float)):
            return value
        if hasattr(value, "fingerprint_value"):
            return self.plain(value.fingerprint_value())
        if isinstance(value, (str, Path)):
            return self._text(value)
        if isinstance(value, (list, tuple)) and len(value) <= MOST_SHOWN:
            return [self.plain(v) for v in value]
        if isinstance(value, (set, frozenset)) and len(value) <= MOST_SHOWN:
            return sorted((self.plain(v) for v in value), key=repr)
        if isinstance(value, Mapping) and len(value) <= MOST_SHOWN:
            return {str(k): self.plain(v) for k, v in value.items()}
        if is_dataclass(value) and not isinstance(value, type):
            return self._fields(value)
        return self._summary(value)

    def _summary(self, value: Any) -> str:
        """Return what a value is in a few words, and its digest where these do not say all of it."""
        if isinstance(value, (slice, range)):
            return repr(value)
        if isinstance(value, np.ndarray):
            return f"array {value.dtype} {value.shape} {self.of(value)}"
        name = value.__qualname__ if isinstance(value, (type, FunctionType)) else type(value).__qualname__
        return f"{name} {self.of(value)}"

    def _fields(self, value: Any) -> dict[str, Any]:
        """Return a dataclass as it is written, without the fields that are as by default."""
        own = {f.name: getattr(value, f.name) for f in fields(value) if not _is_default(f, value)}
        return {type(value).__name__: {k: self.plain(v) for k, v in own.items()}}

    def _text(self, value: str | Path) -> Any:
        """Return a text; if it names a file or a folder of data, with a digest of that."""
        found = content(value, self.apart)
        return {"path": str(value), "content": found} if found else str(value)

    # For comparison -------------------------------------------------------------------------------

    def of(self, value: Any) -> str:
        """Return the digest of any value.

        Raises
        ------
        NoDigest
            If it holds something that has no content: an open file, a lock, a connection.
        """
        for depth, one in enumerate(self._open):
            if value is one:
                return f"itself, {depth}"
        self._open.append(value)
        try:
            return self._of(value)
        except NoDigest:
            raise
        # Whatever an object raises that cannot be taken apart.
        except Exception as e:
            raise NoDigest(f"{type(value).__qualname__}: {e}") from e
        finally:
            self._open.pop()

    def _of(self, value: Any) -> str:
        if value is None or value is Ellipsis or isinstance(value, (bool, int, float, complex, bytes)):
            return digest(type(value).__name__, repr(value))
        if isinstance(value, (str, Path)):
            return digest("text", str(value), content(value, self.apart))
        if isinstance(value, np.ndarray):
            return self._array(value)
        if isinstance(value, Mapping) and type(value).__module__ in ("builtins", "collections", "types"):
            return digest("mapping", *(self.of(x) for item in value.items() for x in item))
        if isinstance(value, (set, frozenset)):
            return digest("set", *sorted(self.of(v) for v in value))
        if type(value) in (list, tuple):
            return digest(type(value).__name__, *(self.of(v) for v in value))
        if isinstance(value, (slice, range)):
            return digest(repr(value))
        return self._of_code(value)

    def _of_code(self, value: Any) -> str:
        """Return the digest of what runs, or of an object."""
        if isinstance(value, ModuleType):
            return self._named(value, value.__name__)
        if isinstance(value, (BuiltinFunctionType, np.ufunc)):
            return digest("builtin", getattr(value, "__module__", "") or "", value.__name__)
        if isinstance(value, (FunctionType, type)) and importable(value):
            return self._named(sys.modules[value.__module__], value.__qualname__)
        if isinstance(value, (FunctionType, type)):
            if id(value) not in self._known:
                found = self.type(value) if isinstance(value, type) else self.function(value)
                self._known[id(value)] = value, found
            return self._known[id(value)][1]
        if isinstance(value, CodeType):
            return self._code(value)
        if isinstance(value, property):
            return digest("property", *(self.of(f) for f in (value.fget, value.fset, value.fdel)))
        if type(value) in WRAPPERS:
            inner = getattr(value, WRAPPERS[type(value)])
            return digest("wrapped", self.of(inner), self.of(getattr(value, "__self__", None)))
        if type(value).__module__.startswith("numba.") and hasattr(value, "py_func"):
            return digest("compiled", self.of(value.py_func), self.of(dict(value.targetoptions)))
        return self._object(value)

    def _named(self, module: ModuleType, name: str) -> str:
        self.modules[module.__name__] = module
        return digest("name", module.__name__, name)

    def _object(self, value: Any) -> str:
        """Return the digest of an object: of its values where it is labelled data, else of what a copy is made of."""
        if hasattr(value, "fingerprint_value"):
            return self.of(value.fingerprint_value())
        if hasattr(value, "data_vars") or (hasattr(value, "variable") and hasattr(value, "coords")):
            return self._labelled(value)
        if hasattr(value, "get_pixel_positions"):
            # A geometry of extra_geom, which keeps what it has computed.
            return digest(
                "geometry", self.of(value.get_pixel_positions()), self.of(getattr(value, "metadata", None))
            )
        reduced = copyreg.dispatch_table.get(type(value))
        made = reduced(value) if reduced else value.__reduce_ex__(4)
        if isinstance(made, str):
            return digest("name", type(value).__module__, made)
        head, rest = made[:3], [list(items) for items in made[3:5] if items is not None]
        return digest("object", *(self.of(part) for part in (*head, *rest)))

    def _labelled(self, value: Any) -> str:
        """Return the digest of an xarray object, read piece by piece if it is lazy."""
        variables = getattr(value, "variables", None) or {
            "": value.variable,
            **{k: v.variable for k, v in value.coords.items()},
        }
        parts = [
            digest(str(k), str(v.dims), self.of(dict(v.attrs)), self._array(v)) for k, v in variables.items()
        ]
        return digest(type(value).__name__, str(getattr(value, "name", "")), *sorted(parts))

    def _array(self, array: Any) -> str:
        """Return the digest of an array, or of something lazy like one, without a copy of all of it."""
        if id(array) in self._known:
            return self._known[id(array)][1]
        h = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
        if isinstance(array, np.ma.MaskedArray):
            h.update(self._array(np.ma.getmaskarray(array)).encode())
        for piece in _pieces(array):
            whole = np.ascontiguousarray(piece)
            h.update(
                self.of(whole.tolist()).encode()
                if whole.dtype.hasobject
                else whole.reshape(-1).view(np.uint8).data
            )
        found = h.hexdigest()[:LENGTH]
        if isinstance(array, np.ndarray):
            self._known[id(array)] = array, found
        return found

    # Code -----------------------------------------------------------------------------------------

    def function(self, function: FunctionType) -> str:
        """Return the digest of a function: its code, its defaults, and the values around it that it uses."""
        cells = [self._cell(cell) for cell in function.__closure__ or ()]
        around = [] if self._filed(function) else self._globals(function)
        own = (function.__defaults__, function.__kwdefaults__)
        return digest("function", self._code(function.__code__), *map(self.of, own), *cells, *around)

    def _cell(self, cell: Any) -> str:
        try:
            return self.of(cell.cell_contents)
        except ValueError:
            return "empty"

    def _filed(self, code: Any) -> bool:
        """Return whether what surrounds a function or class is in the file of a module."""
        module = sys.modules.get(code.__module__)
        if code.__module__ == "__main__" or module is None or not getattr(module, "__file__", None):
            return False
        self.modules[module.__name__] = module
        return True

    def _globals(self, function: FunctionType) -> Iterator[str]:
        """Yield digests of the values of its module that a function uses."""
        for name in sorted(_names(function.__code__)):
            if name in function.__globals__:
                yield digest(name, self.of(function.__globals__[name]))

    def _code(self, code: CodeType) -> str:
        consts = [self._code(c) if isinstance(c, CodeType) else self.of(c) for c in code.co_consts]
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags)
        # Not its lines: they change with every comment.
        return digest("code", code.co_code, code.co_exceptiontable, repr((names, counts)), *consts)

    def type(self, cls: type) -> str:
        """Return the digest of a class: of what it defines itself, and of its bases.

        Of a class whose file is known, only what the file does not say: values around it, and what was set since.
        """
        filed = self._filed(cls)
        own = [
            digest(name, self.of(value))
            for name, value in sorted(vars(cls).items())
            if name not in NOT_CODE and not (filed and _said_by_file(value))
        ]
        return digest("class", cls.__qualname__, *(self.of(b) for b in cls.__bases__), *own)


def importable(value: Any) -> bool:
    """Return whether a function or class is found by its name in a module that other processes have, too."""
    module = sys.modules.get(value.__module__)
    if module is None or value.__module__ == "__main__":
        return False
    found: Any = module
    for name in value.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is value


def _said_by_file(value: Any) -> bool:
    """Return whether a value of a class is no more than what its file says: objects may keep what changes."""
    simple = (bool, int, float, complex, str, bytes, tuple, frozenset, np.ndarray, FunctionType)
    return not isinstance(value, (*simple, staticmethod, classmethod, property))


def _names(code: CodeType) -> set[str]:
    """Return the names that a function uses, inner functions included."""
    inner = (_names(c) for c in code.co_consts if isinstance(c, CodeType))
    return set(code.co_names).union(*inner)


def _pieces(array: Any) -> Iterator[Any]:
    """Yield an array, in pieces where each has to be read or copied first."""
    if isinstance(array, np.ndarray) and array.flags.c_contiguous:
        yield np.asarray(array)
        return
    if not array.ndim:
        yield np.asarray(array.values if hasattr(array, "values") else array)
        return
    step = max(1, PIECE * len(array) // max(1, array.nbytes))
    for at in range(0, len(array), step):
        part = array[at : at + step]
        yield np.asarray(part.values if hasattr(part, "values") else part)


def _is_default(field: Any, value: Any) -> bool:
    try:
        return bool(
            getattr(value, field.name) is field.default or getattr(value, field.name) == field.default
        )
    # Arrays have no single truth.
    except ValueError:
        return False
