"""A reduction as a YAML file: options of a pass and its algorithms, read for a command line, and made of a result."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .. import find
from ..declare.algorithm import Algorithm
from ..declare.inputs import Frames, From, Key
from ..declare.labels import Labels
from ..declare.signatures import actions
from ..declare.spelled import CLASSES, SPECIAL, UNSPELLED, lacking, read
from ..errors import yamls
from ..errors.near import did_you_mean, listed
from ..errors.usage import OptionParser, UsageError
from . import labels as named_labels
from .options import ALIASES, OPTIONS, add_pass_options

OWN = ("run", "to", "labels", "algorithms")
"""Keys of a file beside the options of a pass."""
OF_ALGORITHM = ("name", "variants")
"""Keys of each algorithm beside its options and inputs."""
HEAD = """\
# Makes the result again: dxflow reduce --config THIS.yaml --to NEW.zarr
# Options of the command line come before those that are here.
"""


@dataclass
class Given:
    """An algorithm of a file with its options and inputs, not read yet."""

    cls: type[Algorithm]
    options: Mapping[str, Any]
    where: Callable[..., UsageError]
    """Makes an error that names its line."""

    @property
    def name(self) -> Any:
        """What it is called in the result; a list of names of variants."""
        return self.options.get("name") or self.cls.ALG_ID or self.cls.__name__.lower()

    def read(
        self, fill: Callable[[str], str], before: Sequence[str], shared: argparse.Namespace
    ) -> tuple[dict[str, Any], dict[str, list[Any]]]:
        """Return options and inputs for the constructor, and lists of those that vary.

        Parameters
        ----------
        fill : callable
            Puts names of the run into texts.
        before : sequence of str
            Names of the algorithms before it.
        shared : Namespace
            Of the pass: labels may be inputs.
        """
        own: dict[str, Any] = {}
        varied: dict[str, list[Any]] = {}
        known = actions(self.cls)
        for key, value in self.options.items():
            try:
                if key == "name":
                    own[key] = value
                elif key == "variants":
                    varied = {k: self._varied(k, v, known, fill) for k, v in self._mapping(value).items()}
                elif key in self.cls.inputs:
                    own[key] = self._input(_filled(value, fill), before, shared, self.cls.inputs[key])
                elif key in known:
                    own[key] = _option(known[key], _filled(value, fill))
                else:
                    raise self._unknown(key, (*known, *self.cls.inputs, *OF_ALGORITHM))
            except UsageError:
                raise
            except (TypeError, ValueError, OSError, argparse.ArgumentTypeError) as e:
                raise self.wrong(str(e), key) from e
        return own, varied

    def _mapping(self, value: Any) -> Mapping[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError("expected options with lists of values, such as {threshold: [1, 2]}")
        return value

    def _varied(self, key: str, value: Any, known: Mapping[str, argparse.Action], fill: Any) -> list[Any]:
        if key not in known:
            raise ValueError(
                f"{key}: there is no such option.{did_you_mean(key, known)} Expected: {listed(known)}"
            )
        if not isinstance(value, list):
            raise ValueError(f"{key}: {value!r}: expected a list of values")
        return [_option(known[key], _filled(one, fill)) for one in value]

    def _unknown(self, key: str, known: Sequence[str]) -> UsageError:
        near = did_you_mean(str(key), known)
        return self.wrong(f"there is no such option or input.{near} Expected: {listed(known)}", key)

    def wrong(self, what: str, key: Any = None) -> UsageError:
        """Return an error that names file, line and key."""
        at = self.options
        return at.wrong(what, key) if isinstance(at, yamls.Section) else self.where(what)

    def _input(self, value: Any, before: Sequence[str], shared: argparse.Namespace, usual: Any) -> Any:
        """Return an input: text as on the command line, or what is spelled by its fields."""
        if isinstance(value, Mapping) and not set(value) & {*CLASSES, *SPECIAL}:
            fields_ = read(value, _opened)
            return usual.narrowed(**fields_) if isinstance(usual, Frames) else Frames(**fields_)
        if not isinstance(value, str):
            return read(value, _opened)
        if value.partition(".")[0] in before:
            return From(value)
        if (label := named_labels.known(value, shared)) is not None:
            return label
        for mark in (",", ":", " "):
            source, comma, key = value.rpartition(mark)
            if comma and "/" in source:
                return Key(source.strip(), key.strip())
        raise ValueError(
            f"{value!r}: expected an output of an algorithm before it ({listed(before)}), SOURCE:KEY, a name of "
            "labels, or {Frames: {...}}"
        )


@dataclass
class Config:
    """What a file says: words for the parser of the options of a pass, labels, and algorithms."""

    path: str
    runs: list[str] = field(default_factory=list)
    tokens: dict[str, list[str]] = field(default_factory=dict)
    """By option."""
    labels: Any = None
    where: Any = None
    """Where it is no text."""
    algorithms: list[Given] = field(default_factory=list)

    def words(self, given: Sequence[str]) -> list[str]:
        """Return the words of those options that a command line does not have itself."""
        there = {word.partition("=")[0] for word in given if word.startswith("--")}
        return [
            word
            for key, words in self.tokens.items()
            if not there & {f"--{key}", *ALIASES.get(key, ())}
            for word in words
        ]

    def apply(self, options: argparse.Namespace, fill: Callable[[str], str]) -> None:
        """Put labels, and a condition that is no text, into parsed options that have none themselves."""
        options.configured = _labels(self.labels, options, fill)
        if self.where is not None and options.where is None:
            options.where = read(self.where, _opened)


def load(path: str) -> Config:
    """Return what a file says; options are checked, algorithms are known.

    Raises
    ------
    UsageError
        That names file, line and key.
    """
    given = yamls.read(path)
    known = {name.replace("-", "_") for name in OPTIONS} | {*OWN}
    given.only(known)
    made = Config(path)
    for key, value in given.items():
        if value is None:
            continue
        if isinstance(value, Mapping) and UNSPELLED in value:
            raise given.wrong(f"{UNSPELLED}: {value[UNSPELLED]}", key)
        if key == "run":
            made.runs = [str(one) for one in (value if isinstance(value, list) else [value])]
        elif key == "labels":
            made.labels = value
        elif key == "algorithms":
            made.algorithms = _algorithms(given, value)
        elif key == "where" and isinstance(value, Mapping):
            made.where = value
        else:
            made.tokens[key.replace("_", "-")] = _words(given, key, value)
    return made


def _words(given: yamls.Section, key: str, value: Any) -> list[str]:
    """Return an option of a pass as words of a command line, checked by its parser."""
    parser = OptionParser(prog="", add_help=False, allow_abbrev=False)
    add_pass_options(parser)
    parser.add_argument("--to")
    flag = f"--{key.replace('_', '-')}"
    action = parser._option_string_actions[flag]
    if action.nargs == 0:
        if not isinstance(value, bool):
            raise given.wrong(f"{value!r}: expected true or false", key)
        return [flag] if value else []
    several = value if isinstance(value, list) else [value]
    texts = [_text(one) for one in several]
    if any(isinstance(one, (dict, list)) for one in several):
        raise given.wrong(f"{value!r}: expected a text or a number", key)
    if type(action).__name__ != "_AppendAction":
        single = "=" if key == "trains" and isinstance(value, list) and len(texts) == 1 else ""
        texts = [single + ",".join(texts)]
    words = [f"{flag}={text}" for text in texts]
    try:
        parser.parse_args([word for word in words if "{" not in word])
    except UsageError as e:
        raise given.wrong(str(e).removeprefix(": "), key) from e
    return words


def _text(value: Any) -> str:
    """Return a value as on a command line; a number with all its digits, 4.0 as the whole number that it is."""
    if isinstance(value, float) and float(f"{value:g}") != value:
        return repr(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _algorithms(given: yamls.Section, value: Any) -> list[Given]:
    """Return the algorithms of a file."""
    if not isinstance(value, yamls.Items):
        raise given.wrong("expected a list, such as '- azint: {nbins: 500}'", "algorithms")
    return [_algorithm(value, n, one) for n, one in enumerate(value)]


def _algorithm(items: yamls.Items, n: int, one: Any) -> Given:
    name, options = next(iter(one.items())) if isinstance(one, yamls.Section) and len(one) == 1 else (one, {})
    if not isinstance(name, str):
        raise items.wrong("expected a name, or a name with its options, one for each -", n)
    if options is not None and not isinstance(options, Mapping):
        raise items.wrong(f"{name}: {options!r}: expected options with values", n)

    def where(what: str) -> UsageError:
        return items.wrong(f"{name}: {what}", n)

    if UNSPELLED in name:
        raise where("an algorithm of a notebook: put its class into a file, and write file.py:Class")
    try:
        cls = find.algorithm(name)
    except LookupError as e:
        raise items.wrong(str(e.args[0]), n) from e
    return Given(cls, options or {}, where)


def _option(action: argparse.Action, value: Any) -> Any:
    """Return an option's value: texts as on the command line, others as in Python."""
    convert = action.type
    if isinstance(value, str) and callable(convert):
        return convert(value)
    if isinstance(value, list) and callable(convert) and action.nargs not in (None, "?"):
        return [convert(one) if isinstance(one, str) else read(one, _opened) for one in value]
    return read(value, _opened)


def _filled(value: Any, fill: Callable[[str], str]) -> Any:
    """Return plain data with names of the run in its texts."""
    if isinstance(value, str):
        return fill(value)
    if isinstance(value, list):
        return [_filled(one, fill) for one in value]
    if isinstance(value, Mapping):
        return {key: _filled(one, fill) for key, one in value.items()}
    return value


def _labels(given: Any, options: argparse.Namespace, fill: Callable[[str], str]) -> dict[str, Labels]:
    """Return the labels of a file, by name; that of a result without one under ""."""
    if given is None:
        return {}
    if not isinstance(given, Mapping) or set(given) & {*CLASSES, *SPECIAL}:
        given = {"": given}
    return {name: _label(name, what, options, fill, given) for name, what in given.items()}


def _label(name: str, what: Any, options: argparse.Namespace, fill: Any, given: Any) -> Labels:
    try:
        if isinstance(what, str):
            return named_labels.of_text(fill(what), options, f"labels: {name}", ())
        found = read(_filled(what, fill), _opened)
        return found if isinstance(found, Labels) else Labels(found)
    except (TypeError, ValueError) as e:
        raise (given.wrong(str(e), name) if isinstance(given, yamls.Section) else UsageError(str(e))) from e


def _opened(path: str) -> Any:
    from ..driver.result import open_result

    return open_result(path)


# Of results -------------------------------------------------------------------------------------


def of_result(result: Any) -> str:
    """Return the configuration that makes a result again, as YAML.

    Raises
    ------
    ValueError
        If something that it was made of is in no file, or it is of a version that did not keep it.
    """
    made = result.manifest.get("config")
    if result.manifest.get("kind") == "table":
        if text := str(result.manifest["about"].get("config", "")):
            return f"{text.rstrip()}\n"
        raise ValueError(f"{result.path} is a table of all that is small, made without a configuration")
    if made is None:
        raise ValueError(
            f"{result.path} does not say how it was made: it is a copy, or of an older version of dxflow"
        )
    if lines := [
        *lacking({k: v for k, v in made.items() if k != "algorithms"}),
        *_lacking_of(made["algorithms"]),
    ]:
        listed_ = "".join(f"\n- {line}" for line in lines)
        raise ValueError(
            f"{result.path}: what it was made of is not all in files:{listed_}\nWrite arrays to files (numpy.save, "
            "or as a result), algorithms to file.py:Class, and give their paths"
        )
    return HEAD + yamls.dump(made)


def _lacking_of(several: Sequence[Any]) -> list[str]:
    """Return what of algorithms could not be spelled."""
    out = []
    for one in several:
        name, options = next(iter(one.items())) if isinstance(one, Mapping) else (one, {})
        if UNSPELLED in name:
            out.append(f"the algorithm {name}")
        out += lacking(options, name)
    return out
