"""The code of an algorithm: its classes, and the files of its own package or folder that these import."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import sys
import sysconfig
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import FunctionType, ModuleType

from ..declare.algorithm import Algorithm
from ..reader.files import Stat, stat_of
from .digests import Digests
from .diskdigests import content, digest

WITH_ALGORITHMS = ("dxflow.algorithms", "dxflow.bench", "dxflow.recipes")
Import = tuple[int, str, tuple[str, ...]]
"""Level, module and names of ``from ..module import name``."""


def code_of(cls: type, digests: Digests) -> dict[str, str]:
    """Return a digest for each file and class that an algorithm's code is in, by name.

    Raises
    ------
    NoDigest
        If a class that is in no file holds something without a digest.
    """
    found = {f"class {base.__qualname__}": digests.type(base) for base in _own_bases(cls)}
    files = _files(cls, digests)
    for module in list(digests.modules.values()):
        if (origin := _of_module(module)) is not None and not _library(origin):
            files |= _closure(origin, digests)
    for path, origin in sorted(files.items()):
        label = origin.label(path)
        found[label] = digest(found.get(label, ""), content(path))
    return found


def libraries_of(cls: type, digests: Digests) -> dict[str, str]:
    """Return the versions of the libraries that an algorithm's files import."""
    listed = [one for path in _files(cls, digests) for one in _imports(str(path), stat_of(str(path)))]
    named = {name.partition(".")[0] for level, name, _ in listed if not level}
    return {name: version for name in sorted(named) if (version := version_of(name))}


def _files(cls: type, digests: Digests) -> dict[Path, Origin]:
    """Return the files of a class and its bases, and what these import of their own."""
    origins = [origin for base in _own_bases(cls) if (origin := _origin(base)) is not None]
    return {path: origin for origin in origins for path in _closure(origin, digests)}


@lru_cache(maxsize=1024)
def version_of(name: str) -> str:
    """Return the version of an installed library, "" for what is none; what is loaded stays, so it is asked once."""
    if name in sys.stdlib_module_names:
        return ""
    try:
        return importlib.metadata.version(name)
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return ""


def _own_bases(cls: type) -> list[type]:
    """Return a class and its bases, without those of Python and of the framework itself: these have versions."""
    return [
        c
        for c in cls.__mro__
        if c is not Algorithm and c.__module__.partition(".")[0] not in sys.stdlib_module_names
    ]


@dataclass(frozen=True)
class Origin:
    """Where the files of an algorithm are.

    Parameters
    ----------
    file : path
    base : path
        Folder from which its own modules are imported.
    package : str
        The package whose modules are its own; "" for a folder of single files.
    """

    file: Path
    base: Path
    package: str = ""

    def label(self, path: Path) -> str:
        """Return the name of a file, as seen from where its package begins."""
        return os.path.relpath(path, self.base.parent if self.package else self.base)


def _origin(cls: type) -> Origin | None:
    """Return where a class is written, None for one of the main script or of a notebook."""
    if cls.__module__ == "__main__":
        return None
    if (module := sys.modules.get(cls.__module__)) is not None:
        return _of_module(module)
    # A file that was named on the command line does not stay among the modules.
    own = (f for f in vars(cls).values() if isinstance(f, FunctionType))
    file = next((f.__globals__.get("__file__") for f in own), None)
    return (
        Origin(Path(file).absolute(), Path(file).absolute().parent) if file and Path(file).is_file() else None
    )


def _of_module(module: ModuleType) -> Origin | None:
    file = getattr(module, "__file__", None)
    if module.__name__ == "__main__" or not file or not Path(file).is_file():
        return None
    path = Path(file).absolute()
    inside = getattr(module, "__package__", None) or ""
    if not inside:
        return Origin(path, path.parent)
    # The framework itself has a version: of its packages only those that hold algorithms.
    package = inside if inside in WITH_ALGORITHMS else inside.partition(".")[0]
    up = len(inside.split(".")) - len(package.split("."))
    return Origin(path, path.parents[up], package)


def _library(origin: Origin) -> bool:
    """Return whether something was installed rather than written by the user."""
    # Also where Python finds it by a path of its own: the user's, or another environment's.
    elsewhere = not {"site-packages", "dist-packages"}.isdisjoint(origin.file.parts)
    here = any(origin.file.is_relative_to(folder) for folder in _installed())
    return elsewhere or here or origin.package == "dxflow"


@lru_cache(maxsize=1)
def _installed() -> tuple[Path, ...]:
    """Return the folders of Python's own modules and of installed ones."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    return tuple(Path(p) for p in {sysconfig.get_paths()[n] for n in names})


def _closure(origin: Origin, digests: Digests) -> dict[Path, Origin]:
    """Return the file of an origin, and all of the same package or folder that Python loads with it; found once."""
    if origin not in digests.closures:
        digests.closures[origin] = {} if origin.package == "dxflow" else _loaded(origin)
    return digests.closures[origin]


def _loaded(origin: Origin) -> dict[Path, Origin]:
    """Return the files that Python loads with that of an origin."""
    found, new = {}, [origin.file]
    modules = lru_cache(maxsize=None)(_modules)
    while new:
        path = new.pop()
        if path not in found:
            found[path] = origin
            meant = [
                p for one in _imports(str(path), stat_of(str(path))) for p in _targets(one, path, origin)
            ]
            meant += _packages(path, origin)
            new += [file for one in dict.fromkeys(meant) for file in _files_of(one, modules)]
    return found


def _packages(path: Path, origin: Origin) -> list[Path]:
    """Return the packages that a file is in: Python runs them before it."""
    above = origin.base.parent if origin.package else origin.base
    return [folder for folder in path.parents if folder != above and folder.is_relative_to(above)]


@lru_cache(maxsize=4096)
def _imports(path: str, stat: Stat) -> tuple[Import, ...]:
    """Return what a file imports, also within its functions; nothing for what is not Python's source."""
    try:
        tree = ast.parse(Path(path).read_bytes())
    except (SyntaxError, ValueError):
        return ()
    return tuple(_listed(tree))


def _listed(tree: ast.AST) -> Iterator[Import]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, name.name, ()) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", tuple(name.name for name in node.names)


def _targets(what: Import, path: Path, origin: Origin) -> Iterator[Path]:
    """Yield the paths, without suffix, that an import means, as far as they are of the same package or folder."""
    level, module, names = what
    parts = module.split(".") if module else []
    if level:
        base = path.parents[level - 1]
    elif origin.package:
        own = origin.package.split(".")
        if parts[: len(own)] != own:
            return
        base, parts = origin.base, parts[len(own) :]
    elif origin.base in _installed():
        return
    else:
        base = origin.base
    first = min(len(parts), 1) if not names else len(parts)
    dotted = [parts[:n] for n in range(first, len(parts) + 1)]
    for one in [*dotted, *([*parts, name] for name in names)]:
        yield base.joinpath(*one)


def _files_of(path: Path, modules: Callable[[Path], Mapping[str, list[str]]]) -> Iterable[Path]:
    """Return the files of the module or package that a path without a suffix means, given what folders hold."""
    found = [
        path.with_name(n) if "." in n else path / "__init__.py"
        for n in modules(path.parent).get(path.name, ())
    ]
    return [p for p in found if p.is_file()]


def _modules(folder: Path) -> Mapping[str, list[str]]:
    """Return the files and folders that may be modules, by the name of the module; nothing of what is no folder."""
    found: dict[str, list[str]] = {}
    try:
        names = os.listdir(folder)
    except OSError:
        return found
    for name in names:
        stem, dot, suffix = name.partition(".")
        if not dot or suffix == "py" or suffix.endswith(".so"):
            found.setdefault(stem, []).append(name)
    return found
