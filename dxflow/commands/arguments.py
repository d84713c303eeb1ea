"""Read a command line with several algorithms, each followed by its own options."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from .. import find
from ..api import plan
from ..declare.algorithm import Algorithm
from ..declare.inputs import Frames, From, Key
from ..declare.labels import Labels
from ..errors.usage import OptionParser, UsageError
from ..line import labels
from ..line.exits import text_of
from ..line.options import RUN, add_pass_options, cluster_of_pass, narrowed, of_plan, run_of
from .varied import add_variants, parsed

if TYPE_CHECKING:
    from ..planning.public import Plan

PLUS = "+ stands between two algorithms, the second of which reads the frames that the first makes"


def planned(command: str, doc: str | None, argv: Sequence[str]) -> tuple[Plan, Any]:
    """Return the plan and the cluster of a command line.

    What is wrong with options, run or result is found here, so that a plain message says it.
    """
    try:
        options, algorithms = parse(shared_parser(command, doc or ""), argv)
        cluster = cluster_of_pass(options)
        return plan(run_of(options.run), algorithms, options.to, cluster=cluster, **of_plan(options)), cluster
    except (ValueError, OSError) as e:
        raise UsageError(text_of(e)) from e


def shared_parser(command: str, description: str) -> argparse.ArgumentParser:
    """Return the parser of the options that `plan` and `reduce` share."""
    parser = OptionParser(
        prog=f"dxflow {command}",
        usage=f"dxflow {command} RUN [options] ALGORITHM [its options] [[+] ALGORITHM [its options] ...]",
        description=description,
        epilog=f"algorithms: {', '.join(find.algorithm_names())}, or path/to/file.py:Class; "
        "'dxflow list NAME' shows the options of one. Each also takes --name NAME, --variants OPTION=A,B and "
        "--input ALIAS=ALGORITHM.OUTPUT or ALIAS=SOURCE,KEY. With + before it, it reads the frames that the one before "
        "makes: subtract --dark dark.zarr + average.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("run", metavar="RUN", help=RUN)
    add("--to", metavar="PATH", required=command == "reduce", help="the result: name.zarr")
    add_pass_options(parser)
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
    first, *sections = split(shared, argv)
    options = first.parser.parse_args(first.tokens)
    if not sections:
        raise UsageError(
            f"{shared.prog}: no algorithm is given. There are: {', '.join(find.algorithm_names())}"
        )
    algorithms: list[Algorithm] = []
    for section in sections:
        algorithms += _algorithms(section, options, _before(algorithms) if section.joined else None)
    labels.refuse_unused(algorithms, options)
    return options, labels.grouped(algorithms, options)


def split(shared: argparse.ArgumentParser, argv: Sequence[str]) -> list[Section]:
    """Cut a command line into the shared options and one section per algorithm.

    Shared options may stand anywhere: an option belongs to the algorithm before it if that has it. A + before an
    algorithm lets it read the frames that the one before makes.
    """
    known = {*find.algorithm_names()}
    sections = [Section(shared)]
    taker, values, more, run_seen, joined = sections[0], 0, False, False, False
    for token in argv:
        if _is_option(token):
            flag, equals, _ = token.partition("=")
            taker, action = _owner(sections, flag)
            values, more = (0, False) if equals else _wanted(action)
        elif values:
            values -= 1
        elif not run_seen:
            taker, run_seen, more = sections[0], True, False
        elif token in known or find.is_file(token):
            sections.append(replace(_section(token), joined=joined))
            taker, more, joined = sections[-1], False, False
            continue
        elif token == "+":
            if len(sections) == 1 or joined:
                raise UsageError(f"{shared.prog}: {PLUS}; there is none before this one")
            joined = True
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
    section: Section, shared: argparse.Namespace, before: str | None = None
) -> Sequence[Algorithm]:
    """Make the algorithm of a section, or its variants, which read the frames of the one `before` if that is given."""
    assert section.cls is not None
    options, varied = parsed(section.parser, section.tokens)
    inputs = narrowed(section.cls, shared)
    if before is not None:
        inputs[_first_frames(section)] = From(before)
    inputs |= dict(_rebound(text, section, shared) for text in options.pop("rebound"))
    try:
        if varied:
            return section.cls.variants(**options, **varied, **inputs)
        return [section.cls(**options, **inputs)]
    except (TypeError, ValueError, OSError) as e:
        raise UsageError(
            f"{section.parser.prog}: {e}".replace(
                f"{section.parser.prog}: {section.parser.prog}", section.parser.prog
            )
        ) from e


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
