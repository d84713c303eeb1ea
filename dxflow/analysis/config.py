"""What is in the table of each run of an experiment: one short YAML or Python file, whose errors name line and key."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from .. import find
from ..declare.algorithm import Algorithm
from ..declare.inputs import Frames, From, Key
from ..declare.pulses import PulseKey
from ..declare.pumped import Pumped
from ..errors.near import did_you_mean, listed
from ..errors.usage import OptionParser, UsageError, text_of
from ..errors.yamls import Items, Placed, Section, read
from . import pyconfig
from .finding import SMALL

T = TypeVar("T")
ROWS = ("auto", "pulses", "frames")
TOP = (
    *("title", "rows", "variables", "algorithms", "pass", "pulses", "detector", "scan"),
    *("everything", "without", "small"),
)
CLOCK = ("sase", "pattern", "offset", "reference_frame", "exposure", "stride")
OF_KEY = ("key", "offset", "per", "unit", "doc")
OF_OUTPUT = ("output", "unit", "doc")
OF_VALUE = ("value", "unit", "doc")
OF_PUMPED = ("pumped", "source", "shift", "doc")
PASS = (
    *(
        "frames",
        "where",
        "labels",
        "modules",
        "roi",
        "mask",
        "mask_bits",
        "chunk",
        "block",
        "on_fault",
        "suspect",
    ),
    *("cluster", "codec", "readers", "hook_timeout"),
)
"""Options of `dxflow.reduce` that the pass of a table takes."""
PUMPED = "pumped"
SEEN = "pulses"
"""A variable that tables have of their own."""
LABELS = ("train", "train_id", "pulse", "pulse_id", "cell_id", "time", "run")
"""Names that each table has."""
_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


@dataclass(frozen=True)
class Of:
    """An output with a list of values per train, of which the k-th is that of the k-th of our pulses."""

    output: str


@dataclass(frozen=True)
class Wanted:
    """A variable that is asked for: `what` is a Key, a PulseKey, Pumped, `Of` an algorithm or a plain value."""

    what: Any
    per: str = ""
    unit: str = ""
    doc: str = ""


@dataclass
class Config:
    """What a table has; `wrong(text, section, key)` makes an error that names file, line and key."""

    variables: dict[str, Wanted] = field(default_factory=dict)
    algorithms: list[Algorithm] = field(default_factory=list)
    rows: str = "auto"
    clock: dict[str, Any] = field(default_factory=dict)
    detector: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    everything: bool = False
    without: list[str] = field(default_factory=list)
    small: int = SMALL
    title: str = ""
    scan: list[str] = field(default_factory=list)
    """Variables that were scanned."""
    text: str = ""
    """As it was given."""
    path: str = ""
    given: Placed | None = None

    def wrong(self, text: str, *keys: str) -> UsageError:
        """Return an error about what stands under some keys, one in the other."""
        at: Any = self.given
        for key in keys[:-1]:
            at = at.get(key, at) if isinstance(at, dict) else at
        return UsageError(f"{'.'.join(keys)}: {text}") if at is None else at.wrong(text, keys[-1])


def of(config: Any) -> Config:
    """Return a configuration: a path of a YAML or Python file, a mapping, or None for everything there is.

    Raises
    ------
    UsageError
        If it is none; the message names file, line and key, and what was perhaps meant.
    """
    if isinstance(config, Config):
        return config
    if config is None:
        return Config(everything=True)
    if isinstance(config, Mapping):
        return _config(pyconfig.placed(config, "config: ", "", {}), repr(dict(config)))
    path = Path(config).expanduser()
    if path.suffix == ".py":
        return _config(pyconfig.read(path, TOP), path.read_text(encoding="utf-8"), str(path))
    found = read(path)
    return _config(found, path.read_text(encoding="utf-8"), str(path))


def _config(given: Section, text: str, path: str = "") -> Config:
    """Return what a mapping says."""
    given.only(TOP)
    made = Config(text=text, path=path, given=given)
    made.title = _a(given, "title", str, "a text", "")
    made.rows = _a(given, "rows", str, "a text", "auto")
    if made.rows not in ROWS:
        raise given.wrong(
            f"{made.rows!r}: expected one of {listed(ROWS)}.{did_you_mean(made.rows, ROWS)}", "rows"
        )
    made.detector = _a(given, "detector", str, "the name of a detector", None)
    made.small = _a(given, "small", int, "a number of values", SMALL)
    made.everything = _a(given, "everything", bool, "true or false", False)
    made.without = _texts(given, "without", "patterns such as '*TIMESERVER*'")
    made.clock = dict(_section(given, "pulses", CLOCK))
    made.options = dict(_section(given, "pass", PASS))
    made.variables = {name: _variable(name, section) for name, section in _variables(given)}
    made.algorithms = _algorithms(given, made.detector)
    made.scan = _texts(given, "scan", "names of variables")
    if not made.everything and (unknown := sorted({*made.scan} - {*made.variables})):
        near = did_you_mean(unknown[0], made.variables)
        raise given.wrong(f"{unknown[0]!r} is no variable.{near} There are: {listed(made.variables)}", "scan")
    if not (made.variables or made.algorithms or made.everything):
        raise given.wrong(
            "nothing is asked for: expected variables, algorithms, or 'everything: true' for all that is small"
        )
    return made


def _a(given: Section, key: str, kind: type[T], words: str, usual: Any) -> Any:
    """Return what stands under a key, if it is of a kind."""
    value = given.get(key)
    if value is None:
        return usual
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise given.wrong(f"{value!r}: expected {words}", key)
    return value


def _texts(given: Section, key: str, words: str) -> list[str]:
    """Return a text, or a list of them, as a list."""
    found = given.get(key) or []
    made = [found] if isinstance(found, str) else found
    if not isinstance(made, (list, tuple)) or not all(isinstance(one, str) for one in made):
        raise given.wrong(f"expected {words}", key)
    return list(made)


def _section(given: Section, key: str, known: Sequence[str]) -> Section:
    """Return a mapping under a key; an empty one where there is none."""
    found = given.get(key)
    if found is None:
        return pyconfig.Given()
    if not isinstance(found, Section):
        raise given.wrong(f"expected keys with values; known: {listed(known)}", key)
    found.only(known)
    return found


# Variables ----------------------------------------------------------------------------------------


def _variables(given: Section) -> list[tuple[str, Section]]:
    """Return names, and the mapping in which each stands."""
    found = given.get("variables")
    if found is None:
        return []
    if not isinstance(found, Section):
        raise given.wrong("expected names with what they are, such as 'xgm: SOURCE KEY'", "variables")
    for name in found:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise found.wrong(f"{name!r} is no name: expected letters, digits and _, with dots between", name)
        if name in LABELS:
            raise found.wrong(f"{name!r} labels rows and trains: choose another name", name)
        if name == SEEN:
            raise found.wrong(f"{name!r} is how many X-ray pulses a row saw: choose another name", name)
    return [(name, found) for name in found]


def _variable(name: str, section: Section) -> Wanted:
    """Return what a variable is to be."""
    given = section[name]
    try:
        if not isinstance(given, Section):
            return Wanted(_plain(given))
        if PUMPED in given:
            given.only(OF_PUMPED)
            own = {k: v for k, v in given.items() if k in ("source", "shift")}
            return Wanted(Pumped(**own), doc=str(given.get("doc", "")))
        if "output" in given:
            given.only(OF_OUTPUT)
            said = {k: str(given.get(k, "")) for k in ("unit", "doc")}
            return Wanted(Of(str(given["output"])), "pulse", **said)
        if "value" in given:
            given.only(OF_VALUE)
            return Wanted(
                _number(given["value"]), unit=str(given.get("unit", "")), doc=str(given.get("doc", ""))
            )
        given.only(OF_KEY)
        if "key" not in given:
            raise given.wrong(f"expected 'key: SOURCE KEY', with any of {listed(OF_KEY)}")
        if (per := given.get("per", "")) not in ("", "pulse", "train"):
            raise given.wrong(f"{per!r}: expected pulse or train", "per")
        what = _plain(given["key"])
        if isinstance(what, Key):
            what = Key(what.source, what.key, given.get("offset", 0))
        return Wanted(what, per, str(given.get("unit", "")), str(given.get("doc", "")))
    except UsageError:
        raise
    except (TypeError, ValueError) as e:
        raise section.wrong(str(e), name) from e


def _plain(given: Any) -> Any:
    """Return the input that a text stands for: ``SOURCE KEY``, ``SOURCE,KEY``, [SOURCE, KEY], "pumped"."""
    if isinstance(given, (Key, PulseKey, Pumped)):
        return given
    if given == PUMPED:
        return Pumped()
    if isinstance(given, (list, tuple)) and len(given) == 2:
        return Key(str(given[0]), str(given[1]))
    if not isinstance(given, str):
        return _number(given)
    text = given.strip()
    for parts in (text.split(), text.split(","), list(text.rpartition(":")[::2])):
        if len(parts) == 2 and all(parts) and "/" in parts[0]:
            return Key(parts[0], parts[1])
    raise ValueError(
        f"{given!r} is no variable: expected SOURCE KEY, such as 'SA1_XTD2_XGM/XGM/DOOCS:output data.intensityTD', "
        f"{PUMPED}, a number, or 'key: SOURCE KEY' with unit, doc, per, offset"
    )


def _number(value: Any) -> Any:
    if isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"{value!r}: expected a number or a text")


# Algorithms ---------------------------------------------------------------------------------------


def _algorithms(given: Section, detector: str | None) -> list[Algorithm]:
    """Return the algorithms of the pass."""
    found = given.get("algorithms")
    if found is None:
        return []
    if not isinstance(found, Items):
        raise given.wrong("expected a list, such as '- litframes'", "algorithms")
    made: list[Algorithm] = []
    for number, one in enumerate(found):
        if isinstance(one, Algorithm):
            made.append(one)
            continue
        try:
            made.append(_algorithm(one, [a.name for a in made], detector))
        except UsageError as e:
            # It names its place already.
            if str(e).startswith(found.path):
                raise
            raise found.wrong(str(e), number) from e
        except (TypeError, ValueError, OSError, LookupError) as e:
            raise found.wrong(text_of(e), number) from e
    names = [a.name for a in made]
    if twice := sorted({n for n in names if names.count(n) > 1}):
        raise given.wrong(f"{twice[0]!r} is there twice: give one of them a name, 'name: ...'", "algorithms")
    return made


def _algorithm(one: Any, before: Sequence[str], detector: str | None) -> Algorithm:
    """Return an algorithm: a name, its command line, or a name with options."""
    if isinstance(one, str):
        words = shlex.split(one)
        if not words:
            raise ValueError("expected the name of an algorithm")
        cls = find.algorithm(words[0])
        return cls(**_inputs(cls, _of_line(cls, words), before, detector))
    if not isinstance(one, Section) or len(one) != 1:
        raise ValueError(
            "expected a name with its options, such as '- azint: {geometry: x.geom}', one for each -"
        )
    name, options = next(iter(one.items()))
    try:
        cls = find.algorithm(str(name))
        if options is not None and not isinstance(options, Section):
            raise ValueError(f"{options!r}: expected options with values, such as {{name: water}}")
        return cls(**_inputs(cls, dict(options or {}), before, detector))
    except (TypeError, ValueError, OSError, LookupError) as e:
        if isinstance(e, UsageError) and isinstance(options, Section) and str(e).startswith(options.path):
            raise
        text = text_of(e)
        blamed = next(
            (o for o in options or () if re.search(rf"(['\"]|\b){re.escape(str(o))}(['\"]|=)", text)), None
        )
        raise (options.wrong(text, blamed) if blamed is not None else one.wrong(text, name)) from e


def _of_line(cls: type[Algorithm], words: Sequence[str]) -> dict[str, Any]:
    """Return the options of a command line."""
    parser = OptionParser(prog=words[0], allow_abbrev=False)
    cls.add_arguments(parser)
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    parser.add_argument("--name", default=argparse.SUPPRESS)
    for alias in cls.inputs:
        if f"--{alias}" not in parser._option_string_actions:
            parser.add_argument(f"--{alias}", dest=alias, default=argparse.SUPPRESS)
    return vars(parser.parse_args(list(words[1:])))


def _inputs(
    cls: type[Algorithm], options: dict[str, Any], before: Sequence[str], detector: str | None
) -> dict[str, Any]:
    """Return options with inputs in the place of what stands for them."""
    for alias, usual in cls.inputs.items():
        if alias in options:
            options[alias] = _input(options[alias], usual, before)
        elif detector is not None and isinstance(usual, Frames) and usual.detector is None:
            options[alias] = usual.narrowed(detector=detector)
    return options


def _input(given: Any, usual: Any, before: Sequence[str]) -> Any:
    """Return an input: ``algorithm.output`` or ``algorithm`` of those before, ``SOURCE KEY``, fields of `Frames`."""
    if isinstance(given, str) and given.partition(".")[0] in before:
        return From(given)
    if isinstance(given, Section):
        return Frames(**given) if not isinstance(usual, Frames) else usual.narrowed(**given)
    if isinstance(given, str) and "/" not in given:
        raise ValueError(
            f"{given!r}: expected an algorithm before this one, ({listed(before)}), SOURCE KEY, or fields of Frames"
        )
    return _plain(given) if isinstance(given, (str, list)) else given
