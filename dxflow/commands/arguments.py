"""Read a command line with several algorithms, each followed by its own options."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from .. import find
from ..declare.algorithm import Algorithm
from ..declare.inputs import Frames, From, Key
from ..declare.labels import Labels
from ..errors.usage import OptionParser, UsageError, text_of
from ..line import config, labels
from ..line.options import RUN, add_pass_options, narrowed
from ..line.runs import Run, is_run
from .varied import add_variants, parsed

PLUS = "+ stands between two algorithms, the second of which reads the frames that the first makes"


def configured(sections: Sequence[Section]) -> list[Section]:
    """Return sections with what the file of ``--config`` says, where the command line does not say it itself."""
    first, *own = sections
    if (path := value_of(first.tokens, "--config")) is None:
        return list(sections)
    file = config.load(path)
    given = [
        Section(algorithm_parser(one.cls, one.cls.ALG_ID), one.cls, given=one) for one in file.algorithms
    ]
    for one in own:
        same = [n for n, other in enumerate(given) if not one.joined and other.called == one.called]
        if same:
            given[same[0]] = replace(given[same[0]], tokens=one.tokens)
        else:
            given.append(one)
    runs = first.runs or file.runs
    return [replace(first, runs=runs, tokens=[*file.words(first.tokens), *first.tokens], file=file), *given]


def value_of(tokens: Sequence[str], flag: str) -> str | None:
    """Return the value of a shared option."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(flag, dest="value")
    return parser.parse_known_args(tokens)[0].value


def shared_parser(command: str, description: str) -> argparse.ArgumentParser:
    """Return the parser of the options that `plan` and `reduce` share."""
    parser = OptionParser(
        prog=f"dxflow {command}",
        usage=f"dxflow {command} RUN [RUN ...] [options] ALGORITHM [its options] [[+] ALGORITHM [its options] ...]",
        description=description,
        epilog=f"algorithms: {', '.join(find.algorithm_names())}, or path/to/file.py:Class; "
        "'dxflow list NAME' shows the options of one. Each also takes --name NAME, --variants OPTION=A,B and "
        "--input ALIAS=ALGORITHM.OUTPUT or ALIAS=SOURCE,KEY. With + before it, it reads the frames that the one before "
        "makes: subtract --dark dark.zarr + average.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add(
        "run",
        metavar="RUN",
        help=f"{RUN}; several, one after the other: 900123:34-40,42, paths, or 'proc/r00*'",
    )
    words = "the result: name.zarr; of several runs r{run}.zarr, p{proposal}_r{run:04}.zarr or {name}.zarr"
    add("--to", metavar="PATH", required=command in ("reduce", "live"), help=words)
    add_pass_options(parser)
    if command == "reduce":
        words = "also write a page about the result: x.html beside x.zarr, as 'dxflow report' does"
        add("--report", action="store_true", help=words)
    words = "options, labels and algorithms as YAML, as 'dxflow info x.zarr --config' prints them; others come first"
    add("--config", metavar="FILE", help=words)
    add("--traceback", action="store_true", help="show the whole traceback of an error")
    return parser


def algorithm_parser(cls: type[Algorithm], name: str) -> argparse.ArgumentParser:
    """Return the parser of an algorithm's options, with those that every algorithm has."""
    parser = OptionParser(prog=name, description=cls.HELP or None, allow_abbrev=False)
    cls.add_arguments(parser)
    # Only what is given is handed to the constructor, which fills in the defaults itself.
    for action in parser._actions:
        action.default = argparse.SUPPRESS
    parser.add_argument("--name", dest="name", default=argparse.SUPPRESS, help="its name in the result")
    parser.add_argument(
        "--input",
        dest="rebound",
        action="append",
        default=[],
        metavar="ALIAS=WHAT",
        help=f"read something else as {' or '.join(cls.inputs)}: ALGORITHM.OUTPUT of this pass, SOURCE,KEY, "
        "or a name of --label",
    )
    add_variants(parser)
    return parser


@dataclass
class Section:
    """A stretch of the command line with its parser: the shared options, or one algorithm with its own."""

    parser: argparse.ArgumentParser
    cls: type[Algorithm] | None = None
    tokens: list[str] = field(default_factory=list)
    joined: bool = False
    """Whether it reads the frames that the algorithm before it makes."""
    runs: list[str] = field(default_factory=list)
    """Of the shared options: the runs that are named."""
    given: config.Given | None = None
    """What a configuration says of the algorithm."""
    file: config.Config | None = None
    """Of the shared options: the configuration."""
    fill: Callable[[str], str] = str
    """Puts the names of the run into texts."""

    def filled(self, run: Run) -> Section:
        """Return it for one of the runs, with what stands for its names filled in."""
        runs = [run.text] if self.cls is None else []
        return replace(self, tokens=[run.filled(token) for token in self.tokens], runs=runs, fill=run.filled)

    @property
    def called(self) -> Any:
        """What its algorithm is called in the result."""
        assert self.cls is not None
        usual = self.given.name if self.given else self.cls.ALG_ID or self.cls.__name__.lower()
        return value_of(self.tokens, "--name") or usual

    def option(self, flag: str) -> argparse.Action | None:
        """Return the option of this name, if there is one."""
        return self.parser._option_string_actions.get(flag)

    @property
    def positionals(self) -> int:
        """How many arguments without a dash it declares."""
        return sum(not a.option_strings for a in self.parser._actions)


def parse(shared: argparse.ArgumentParser, argv: Sequence[str]) -> tuple[argparse.Namespace, list[Algorithm]]:
    """Return the shared options and the algorithms of a command line.

    Raises
    ------
    UsageError
        If an option is unknown or has no fitting value; the message says which there are.
    NotFoundError
        If there is no such algorithm.
    """
    options, algorithms = read(configured(split(shared, argv)))
    return options, grouped(options, algorithms)


def grouped(options: argparse.Namespace, algorithms: Sequence[Algorithm]) -> list[Algorithm]:
    """Return algorithms with ``--by``, which one of them must take."""
    labels.refuse_unused(algorithms, options)
    return labels.grouped(algorithms, options)


def read(sections: Sequence[Section]) -> tuple[argparse.Namespace, list[Algorithm]]:
    """Return the shared options, and the algorithms that sections of a command line mean, not grouped yet."""
    first, *sections = sections
    options = first.parser.parse_args([*first.runs, *first.tokens])
    if first.file is not None:
        first.file.apply(options, first.fill)
    if not sections:
        raise UsageError(
            f"{first.parser.prog}: no algorithm is given. There are: {', '.join(find.algorithm_names())}"
        )
    algorithms: list[Algorithm] = []
    for section in sections:
        algorithms += _algorithms(section, options, algorithms)
    return options, algorithms


def split(shared: argparse.ArgumentParser, argv: Sequence[str]) -> list[Section]:
    """Cut a command line into the shared options and one section per algorithm.

    Shared options may stand anywhere: an option belongs to the algorithm before it if that has it. A + before an
    algorithm lets it read the frames that the one before makes.
    """
    known = {*find.algorithm_names()}
    sections = [Section(shared)]
    taker, values, more, joined = sections[0], 0, False, False
    for token in argv:
        if _is_option(token):
            flag, equals, _ = token.partition("=")
            taker, action = _owner(sections, flag)
            values, more = (0, False) if equals else _wanted(action)
        elif values:
            values -= 1
        elif not (
            sections[0].runs or (token in known and value_of(argv, "--config") and not Path(token).exists())
        ):
            sections[0].runs.append(token)
            taker, more = sections[0], False
            continue
        elif token in known or find.is_file(token):
            sections.append(replace(_section(token), joined=joined))
            taker, more, joined = sections[-1], False, False
            continue
        elif token == "+":
            if len(sections) == 1 or joined:
                raise UsageError(f"{shared.prog}: {PLUS}; there is none before this one")
            joined = True
            continue
        elif len(sections) == 1 and is_run(token):
            sections[0].runs.append(token)
            continue
        elif not (more or (len(sections) > 1 and sections[-1].positionals)):
            find.algorithm(token)  # Raises: there is none of this name.
        taker.tokens.append(token)
    if joined:
        raise UsageError(f"{shared.prog}: {PLUS}; there is none after the last")
    return sections


def _section(name: str) -> Section:
    cls = find.algorithm(name)
    return Section(algorithm_parser(cls, cls.ALG_ID or cls.__name__), cls)


def _owner(sections: list[Section], flag: str) -> tuple[Section, argparse.Action]:
    """Return whose option a flag is: the last algorithm's, else a shared one."""
    for section in (sections[-1], sections[0]):
        action = section.option(flag)
        if action is not None:
            return section, action
    own = sorted(f for f in sections[-1].parser._option_string_actions if f.startswith("--"))
    import difflib

    close = difflib.get_close_matches(flag, [*own, *sections[0].parser._option_string_actions], n=1)
    hint = f" Did you mean {close[0]}?" if close else ""
    raise UsageError(
        f"{sections[-1].parser.prog}: unknown option {flag}.{hint} Its options: {', '.join(own)}"
    )


def _wanted(action: argparse.Action) -> tuple[int, bool]:
    """Return how many values an option needs at least, and whether it takes more."""
    if isinstance(action.nargs, int):
        return action.nargs, False
    return {None: (1, False), "+": (1, True), "*": (0, True), "?": (0, True)}.get(action.nargs, (0, True))


def _is_option(token: str) -> bool:
    """Return whether a word is an option rather than a value such as -1.5."""
    return token.startswith("-") and len(token) > 1 and re.match(r"-\.?\d", token) is None


def _before(algorithms: Sequence[Algorithm]) -> str:
    """Return what the last algorithm is called, all its variants together."""
    last = algorithms[-1]
    return last.name if last.variant is None else last.variant.of


def _algorithms(
    section: Section, shared: argparse.Namespace, before: Sequence[Algorithm]
) -> Sequence[Algorithm]:
    """Make the algorithm of a section, or its variants; joined to the last one before, it reads the frames of that."""
    assert section.cls is not None
    own, several = _of_file(section, shared, before)
    options, varied = parsed(section.parser, section.tokens, {*own, *several})
    inputs = narrowed(section.cls, shared)
    if section.joined:
        inputs[_first_frames(section)] = From(_before(before))
    rebound = dict(_rebound(text, section, shared) for text in options.pop("rebound"))
    varied = {k: v for k, v in several.items() if k not in options} | varied
    options = {k: v for k, v in {**inputs, **own, **options, **rebound}.items() if k not in varied}
    try:
        return section.cls.variants(**options, **varied) if varied else [section.cls(**options)]
    except (TypeError, ValueError, OSError) as e:
        raise _wrong(section, e) from e


def _of_file(
    section: Section, shared: argparse.Namespace, before: Sequence[Algorithm]
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return options and inputs that a configuration gives, and options of which it gives several values."""
    if section.given is None:
        return {}, {}
    names = [name for one in before for name in (one.name, *([one.variant.of] if one.variant else []))]
    return section.given.read(section.fill, names, shared)


def _wrong(section: Section, error: Exception) -> UsageError:
    """Return what is wrong with an algorithm, with the line of a file that may say it."""
    text = text_of(error)
    if section.given is not None:
        words = re.findall(r"\w+", text)
        blamed = next((key for key in section.given.options if key in words), None)
        return section.given.wrong(text, blamed)
    prog = section.parser.prog
    return UsageError(f"{prog}: {text}".replace(f"{prog}: {prog}", prog))


def _first_frames(section: Section) -> str:
    """Return the first input of an algorithm that is frames."""
    assert section.cls is not None
    for alias, what in section.cls.inputs.items():
        if isinstance(what, Frames):
            return alias
    raise UsageError(f"{section.parser.prog}: + hands on frames, but none of its inputs is frames")


def _rebound(text: str, section: Section, shared: argparse.Namespace) -> tuple[str, From | Key | Labels]:
    """Return alias and input of ``img=subtract.img`` or ``img=SOURCE,KEY``, or of a label that is there already."""
    assert section.cls is not None
    alias, equals, what = text.partition("=")
    if not equals or alias not in section.cls.inputs or not what:
        raise UsageError(
            f"{section.parser.prog}: --input {text}: expected ALIAS=ALGORITHM.OUTPUT or ALIAS=SOURCE,KEY; "
            f"aliases: {', '.join(section.cls.inputs)}"
        )
    if (label := labels.known(what, shared)) is not None:
        return alias, label
    source, comma, key = what.rpartition(",")
    return alias, Key(source, key) if comma else From(what)
