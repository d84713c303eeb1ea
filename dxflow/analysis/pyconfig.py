"""Configurations in Python: the names that a file gives, and the lines in which it does."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from ..errors.usage import UsageError
from ..errors.yamls import Items, Section


class Given(Section):
    """A mapping that is in no file."""

    def wrong(self, what: str, key: Any = None) -> UsageError:
        """Return an error that names the key of what is wrong."""
        names = ".".join(str(n) for n in (self.name, key) if n not in (None, ""))
        return UsageError(f"{self.path}{names}: {what}")


def read(path: Path, known: Collection[str]) -> Section:
    """Return what a Python file says: the names that a configuration may have, with their lines.

    Raises
    ------
    UsageError
        If there is no such file, or it raises something.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file; expected a configuration in YAML or Python")
    spec = importlib.util.spec_from_file_location(f"_dxflow_config_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
        spec.loader.exec_module(module)
    # Whatever the user's file raises.
    except Exception as e:  # noqa: BLE001
        raise UsageError(f"{path}, line {_line_of(e, path)}: {type(e).__name__}: {e}") from e
    values = {name.rstrip("_"): value for name, value in vars(module).items() if name.rstrip("_") in known}
    assigned = {
        target.id.rstrip("_"): node
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    _refuse_near(path, assigned, known)
    return placed(values, str(path), "", {n: v.value for n, v in assigned.items()}, Section)


def _refuse_near(path: Path, assigned: Mapping[str, ast.Assign], known: Collection[str]) -> None:
    """Refuse a name that is probably a misspelt one: others are the user's own."""
    import difflib

    for name, node in assigned.items():
        near = difflib.get_close_matches(name, known, 1, 0.85)
        if name not in known and near and near[0] not in assigned:
            raise UsageError(f"{path}, line {node.lineno}, {name}: Did you mean {near[0]!r}?")


def _line_of(error: Exception, path: Path) -> int:
    """Return the line of a file in which an error arose."""
    import traceback

    lines = [f.lineno or 0 for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    return lines[-1] if lines else getattr(error, "lineno", 0) or 1


def placed(
    values: Mapping[Any, Any],
    path: str,
    name: str,
    nodes: Mapping[Any, Any],
    kind: Callable[[], Section] = Given,
) -> Section:
    """Return a mapping that knows its path, and the lines that the nodes of a Python file say."""
    made = kind()
    made.path, made.name = path, name
    made.line = min((n.lineno for n in nodes.values()), default=1)
    made.lines = {key: node.lineno for key, node in nodes.items()}
    for key, value in values.items():
        made[key] = _inside(value, path, f"{name}.{key}".lstrip("."), nodes.get(key), kind)
    return made


def _inside(value: Any, path: str, name: str, node: Any, kind: Callable[[], Section]) -> Any:
    """Return a value in which mappings and lists know where they are."""
    if isinstance(value, Mapping):
        keys = zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ()
        nodes = {k.value: v for k, v in keys if isinstance(k, ast.Constant)}
        return placed(value, path, name, nodes, kind)
    if isinstance(value, list):
        known = isinstance(node, ast.List) and len(node.elts) == len(value)
        elements: list[Any] = node.elts if known else [None] * len(value)
        made = Items(
            _inside(v, path, f"{name}.{n}", e, kind)
            for n, (v, e) in enumerate(zip(value, elements, strict=True))
        )
        made.path, made.name, made.line = path, name, getattr(node, "lineno", 1)
        made.lines = {n: e.lineno for n, e in enumerate(elements) if e is not None}
        return made
    return value
