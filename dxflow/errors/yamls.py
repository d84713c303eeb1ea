"""Configurations as YAML files: mappings and lists that know the lines of what is in them, so that messages can."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import yaml

from .near import did_you_mean, listed
from .usage import UsageError

MOST = 10**6
"""Bytes of a file that a person writes."""
PREFIX = "tag:yaml.org,2002:"
PLAIN = (
    ("null", r"~|null|Null|NULL|", ("~", "n", "N", "")),
    ("bool", r"true|True|TRUE|false|False|FALSE", tuple("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", tuple("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        tuple("-+.0123456789"),
    ),
)
"""What words without quotes mean: those of YAML 1.2. In 1.1 ``on`` is true, ``900123:34`` a number of seconds."""

WORDS = {"str": ".*"} | {kind: pattern for kind, pattern, _ in PLAIN}
TAGS = {f"{PREFIX}{kind}" for kind in ("map", "seq", *WORDS)}


class Placed:
    """What knows where in which file it is."""

    path: str
    line: int
    name: str
    """Keys from the top of the file, with dots between them; "" for the whole file."""
    lines: Mapping[Any, int]

    def wrong(self, what: str, key: Any = None) -> UsageError:
        """Return an error that names the file, the line and the key of what is wrong.

        Parameters
        ----------
        what : str
            What is wrong, what was expected, what to do.
        key : optional
            One of this mapping, or a position in this list; by default all of it is meant.
        """
        names = ".".join(str(n) for n in (self.name, key) if n not in (None, ""))
        line = self.line if key is None else self.lines.get(key, self.line)
        return UsageError(f"{self.path}, line {line}{', ' if names else ''}{names}: {what}")


class Section(Placed, dict[Any, Any]):
    """A mapping of a file."""

    def only(self, known: Collection[str], what: str = "key") -> None:
        """Raise if there is a key that is not known; the message has near names."""
        for key in self:
            if key not in known:
                near = did_you_mean(str(key), known)
                raise self.wrong(f"there is no such {what}.{near} Expected: {listed(known)}", key)


class Items(Placed, list[Any]):
    """A list of a file."""


class Loader(yaml.SafeLoader):
    """Reads what is plain data: texts, numbers, true, false, null, mappings and lists."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


class Dumper(yaml.SafeDumper):
    """Writes what `Loader` reads as the same."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012

    def ignore_aliases(self, data: Any) -> bool:
        """Write what is there twice twice."""
        return True


for _kind, _pattern, _first in PLAIN:
    for _class in (Loader, Dumper):
        _class.add_implicit_resolver(f"{PREFIX}{_kind}", re.compile(f"(?:{_pattern})$"), list(_first))
Dumper.add_multi_representer(tuple, lambda dumper, value: dumper.represent_list(list(value)))


def load(text: str, path: str | PathLike[str] = "text") -> Section:
    """Return the mapping that a text in YAML is.

    Words without quotes are numbers, ``true``, ``false``, ``null`` or texts, as in YAML 1.2: ``on``, ``yes``,
    ``2026-11-22`` and ``900123:34`` are texts, ``1e-3`` is a number.

    Parameters
    ----------
    text : str
        What is in the file.
    path : path
        What the file is called in messages.

    Returns
    -------
    Section
        A dict; mappings in it are `Section` as well, lists are `Items`: all know lines (`Placed.wrong`).

    Raises
    ------
    UsageError
        If it is no YAML, no mapping, or has a key twice; the message names file, line and key.
    """
    path = str(path)
    try:
        node = Loader(text).get_single_node()
    except yaml.MarkedYAMLError as e:
        mark = e.problem_mark or e.context_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        said = ", ".join(part for part in (e.context, e.problem) if part)
        raise UsageError(f"{path}{where}: {said or 'no YAML'}") from None
    except yaml.YAMLError as e:
        raise UsageError(f"{path}: {' '.join(str(e).split())}") from None
    except RecursionError:
        raise UsageError(f"{path}: nested too deeply for a configuration") from None
    if node is None:
        return _placed(Section(), path, 1, "")
    if not isinstance(node, yaml.MappingNode):
        line = node.start_mark.line + 1
        raise UsageError(f"{path}, line {line}: expected keys with values, such as 'to: r0034.zarr'")
    return _value(node, path, "", ())


def read(path: str | PathLike[str]) -> Section:
    """Return what is in a file, as `load` does.

    Raises
    ------
    UsageError
        If there is no such file, or it is no configuration.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise UsageError(f"{path}: there is no such file; expected a configuration in YAML")
    if file.stat().st_size > MOST:
        raise UsageError(f"{path}: larger than {MOST} bytes: no configuration that a person wrote")
    try:
        return load(file.read_text(encoding="utf-8"), path)
    except UnicodeDecodeError as e:
        raise UsageError(f"{path}: no text in UTF-8 ({e.reason} at byte {e.start})") from None


def dump(tree: Mapping[str, Any]) -> str:
    """Return plain data as YAML that `load` reads as the same, short lists in one line."""
    return yaml.dump(
        dict(tree), Dumper=Dumper, sort_keys=False, default_flow_style=None, allow_unicode=True, width=110
    )


def _value(node: yaml.Node, path: str, name: str, above: tuple[yaml.Node, ...]) -> Any:
    """Return the value of a node."""
    line = node.start_mark.line + 1
    if node in above:
        raise UsageError(f"{path}, line {line}, {name}: is part of itself")
    if node.tag not in TAGS:
        raise UsageError(
            f"{path}, line {line}, {name}: {node.tag!r}: expected plain text, numbers, true, false"
        )
    above = (*above, node)
    if isinstance(node, yaml.MappingNode):
        return _section(node, path, name, above)
    if isinstance(node, yaml.SequenceNode):
        made = [_value(one, path, f"{name}.{n}", above) for n, one in enumerate(node.value)]
        lines = {n: one.start_mark.line + 1 for n, one in enumerate(node.value)}
        return _placed(Items(made), path, line, name, lines)
    return _scalar(node, path, name)


def _section(node: yaml.MappingNode, path: str, name: str, above: tuple[yaml.Node, ...]) -> Section:
    """Return a mapping; refuse a key that is there twice."""
    made = Section()
    lines: dict[Any, int] = {}
    for key_node, value in node.value:
        line = key_node.start_mark.line + 1
        key = _scalar(key_node, path, name) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, (str, int, float)) or isinstance(key, bool):
            raise UsageError(f"{path}, line {line}: a key is a word or a number; put others between quotes")
        if key in made:
            said = f"{name}.{key}".lstrip(".")
            raise UsageError(f"{path}, line {line}, {said}: is there twice, first in line {lines[key]}")
        made[key] = _value(value, path, f"{name}.{key}".lstrip("."), above)
        lines[key] = line
    return _placed(made, path, node.start_mark.line + 1, name, lines)


def _scalar(node: yaml.Node, path: str, name: str) -> Any:
    """Return a number, a boolean, None or a text."""
    kind = node.tag.removeprefix(PREFIX)
    if kind not in WORDS or not re.fullmatch(WORDS[kind], node.value, re.DOTALL):
        line = node.start_mark.line + 1
        raise UsageError(
            f"{path}, line {line}, {name}: {node.tag} {node.value!r}: expected a number, a text, or true"
        )
    if kind == "str":
        return node.value
    if kind == "int":
        return int(node.value, 0) if node.value[:2] in ("0o", "0x") else int(node.value)
    if kind == "float":
        return float(node.value.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return None if kind == "null" else node.value.lower() == "true"


def _placed(made: Any, path: str, line: int, name: str, lines: Mapping[Any, int] | None = None) -> Any:
    made.path, made.line, made.name, made.lines = path, line, name, lines or {}
    return made
