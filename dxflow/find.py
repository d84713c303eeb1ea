"""Find algorithms and recipes by name: a file of this package, an entry point, or ``file.py:Class``."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
import re
import sys
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from .declare.algorithm import Algorithm
from .errors.near import did_you_mean, listed
from .errors.redact import logger

GROUP = "dxflow.algorithms"
"""Entry point group in which other packages name their algorithms."""

log = logger(__name__)


class NotFoundError(LookupError):
    """No algorithm or recipe has this name; the message says which exist."""


def algorithm(name: str) -> type[Algorithm]:
    """Return the algorithm class that a name stands for.

    Parameters
    ----------
    name : str
        A file of ``dxflow.algorithms``, an entry point of the group ``dxflow.algorithms`` in any installed
        package, or ``path/to/file.py:Class``; the class may be left out where the file has only one.

    Raises
    ------
    NotFoundError
        If there is none; the message says which exist.
    """
    if is_file(name):
        return _from_file(name)
    if name in _files(_package("algorithms")):
        return _only_class(importlib.import_module(f"dxflow.algorithms.{name}"), name)
    if name in (points := _points()):
        return _checked(points[name].load(), name)
    raise NotFoundError(_no("algorithm", name, algorithm_names()))


def algorithm_names() -> list[str]:
    """Return the names that `algorithm` knows, without importing any of them."""
    return sorted({*_files(_package("algorithms")), *_points()})


def algorithms() -> dict[str, type[Algorithm]]:
    """Return all algorithms by name; those that cannot be loaded are logged as a warning and left out."""
    found = {}
    for name in algorithm_names():
        try:
            found[name] = algorithm(name)
        except _NoAlgorithmError:
            log.debug("%s defines no algorithm", name)
        # Whatever a broken plug-in raises must not keep the others from being used.
        except Exception as e:  # noqa: BLE001
            log.warning("algorithm %r cannot be loaded: %s: %s", name, type(e).__name__, e)
    return found


def recipe(name: str) -> Any:
    """Return a recipe: the class, or module, whose ``main(argv)`` runs it.

    Parameters
    ----------
    name : str
        A file of ``dxflow.recipes``, or ``path/to/file.py:Class``; the class may be left out where the file has only
        one.

    Raises
    ------
    NotFoundError
        If there is none; the message says which exist.
    """
    if is_file(name):
        module, wanted = _named_file(name)
        return _recipe_of(module, wanted)
    if name not in recipe_names():
        raise NotFoundError(_no("recipe", name, recipe_names()))
    return _recipe_of(importlib.import_module(f"dxflow.recipes.{name}"))


def _recipe_of(module: ModuleType, wanted: str = "") -> Any:
    """Return what of a file has a ``main(argv)``: a function of this name makes the file itself a recipe."""
    if not wanted and callable(getattr(module, "main", None)):
        return module
    found = {c.__name__: c for c in vars(module).values() if _is_recipe(c, module)}
    if wanted and wanted not in found:
        raise NotFoundError(_no("recipe", wanted, found, f" in {module.__file__}"))
    if not found:
        raise NotFoundError(
            f"{module.__file__} is no recipe: it has no subclass of dxflow.recipe.Recipe and no main(argv)"
        )
    if len(found) > 1 and not wanted:
        raise NotFoundError(
            f"{module.__file__} has several recipes: {sorted(found)}; say which with file.py:Class"
        )
    return found[wanted] if wanted else next(iter(found.values()))


def _is_recipe(value: object, module: ModuleType) -> bool:
    """Return whether this is a recipe that a module defines itself, and not a base of others."""
    own = (
        isinstance(value, type) and value.__module__ == module.__name__ and not value.__name__.startswith("_")
    )
    return own and callable(getattr(value, "main", None))


def recipe_names() -> list[str]:
    """Return the names that `recipe` knows, without importing any of them."""
    return _files(_package("recipes"))


def recipes() -> dict[str, str]:
    """Return the first line of each recipe's docstring by name; broken ones are logged as a warning."""
    found = {}
    for name in recipe_names():
        try:
            found[name] = (recipe(name).__doc__ or "").partition("\n")[0]
        # As for algorithms.
        except Exception as e:  # noqa: BLE001
            log.warning("recipe %r cannot be loaded: %s: %s", name, type(e).__name__, e)
    return found


def cluster(name: str) -> Any:
    """Return a kind of cluster: the class of a file of ``dxflow.clusters.kinds`` that is named as the file.

    Raises
    ------
    NotFoundError
        If there is none; the message says which exist.
    """
    kinds = cluster_names()
    if name not in kinds:
        raise NotFoundError(_no("cluster", name, ["here", *kinds]))
    return getattr(importlib.import_module(f"dxflow.clusters.kinds.{name}"), name.capitalize())


def cluster_names() -> list[str]:
    """Return the kinds of cluster beside ``here``."""
    return _files(_package("clusters.kinds"))


def is_file(name: str) -> bool:
    """Return whether a name means a file: ``path/to/file.py`` or ``path/to/file.py:Class``."""
    return re.search(r"\.py(:|$)", name) is not None


class _NoAlgorithmError(TypeError):
    """A file that defines no algorithm: a helper of others."""


def _package(name: str) -> ModuleType:
    return importlib.import_module(f"dxflow.{name}")


def _files(package: ModuleType) -> list[str]:
    """Return the names of the public modules of a package."""
    return sorted(m.name for m in pkgutil.iter_modules(package.__path__) if not m.name.startswith("_"))


def _points() -> Mapping[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def _named_file(name: str) -> tuple[ModuleType, str]:
    """Load a file that the user named; return it, and the name of the class that is meant, if one is named."""
    text, _, wanted = name.partition(".py:")
    path = Path(text if not wanted else text + ".py")
    if not path.is_file():
        raise NotFoundError(f"no file {path}: expected path/to/file.py:Class")
    return _load(path), wanted


def _from_file(name: str) -> type[Algorithm]:
    """Load a class from a file that the user named."""
    module, wanted = _named_file(name)
    path = Path(str(module.__file__))
    if not wanted:
        return _only_class(module, path.name)
    if not hasattr(module, wanted):
        raise NotFoundError(_no("class", wanted, (c.__name__ for c in _classes(module)), f" in {path}"))
    return _checked(getattr(module, wanted), name)


def _load(path: Path) -> ModuleType:
    """Run a file as a module that nobody else can import.

    It does not stay in ``sys.modules``: workers could not import it by name, so that its classes must travel
    by value, which pickling does only where there is no such module.
    """
    spec = importlib.util.spec_from_file_location(f"_dxflow_file_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module


def _classes(module: ModuleType) -> list[type[Algorithm]]:
    """Return the algorithms that a module defines itself, bases that begin with an underscore aside."""
    return [
        value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Algorithm)
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]


def _only_class(module: ModuleType, name: str) -> type[Algorithm]:
    """Return the algorithm of a file: the one whose ALG_ID is the file's name, or the only one."""
    classes = _classes(module)
    if not classes:
        raise _NoAlgorithmError(f"{module.__file__} defines no subclass of dxflow.Algorithm")
    named = [c for c in classes if name == c.ALG_ID] or classes
    if len(named) > 1:
        names = sorted(c.__name__ for c in named)
        raise NotFoundError(f"{name} has several algorithms: {names}; say which with path/to/file.py:Class")
    return named[0]


def _checked(value: object, name: str) -> type[Algorithm]:
    if not (isinstance(value, type) and issubclass(value, Algorithm)):
        raise TypeError(f"{name} is {value!r}; expected a subclass of dxflow.Algorithm")
    return value


def _no(what: str, name: str, known: Iterable[str], where: str = "") -> str:
    """Return that there is no such name, which it may have been, and which there are."""
    names = sorted(known)
    return f"no {what} {name!r}{where}.{did_you_mean(name, names)} There are: {listed(names)}"
