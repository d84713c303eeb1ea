"""What `--variants` says: lists of the values of options, each read as the option itself would be."""

from __future__ import annotations

import argparse
from collections.abc import Collection, Sequence
from typing import Any

from ..errors.near import did_you_mean, listed
from ..errors.usage import UsageError

YES, NO = ("yes", "true", "1"), ("no", "false", "0")


def add_variants(parser: argparse.ArgumentParser) -> None:
    """Add the option to the parser of an algorithm, if it has options."""
    if any(action.option_strings and action.dest != "help" for action in parser._actions):
        parser.add_argument(
            "--variants",
            dest="varied",
            nargs="+",
            action="extend",
            default=[],
            metavar="OPTION=A,B",
            help="an instance for each value of an option, all in one pass: min_snr=5,6,7; of several options the "
            "first value of each makes the first. Values of a pair have a : between them, 0:1,1:2; those of a flag "
            "are yes and no",
        )


def parsed(
    parser: argparse.ArgumentParser, tokens: Sequence[str], there: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, list[Any]]]:
    """Return the options of an algorithm, and those of which there are several values; some are `there` already.

    Raises
    ------
    UsageError
        If there is no such option, or a value does not fit it.
    """
    needed = [action for action in parser._actions if action.required]
    for action in needed:
        action.required = False
    options = vars(parser.parse_args(tokens))
    varied = _values(parser, options.pop("varied", ()))
    for action in needed:
        action.required = action.dest not in varied and action.dest not in there
    # Raises if one of the others is not given.
    parser.parse_args(tokens)
    if twice := sorted(varied.keys() & options.keys()):
        raise UsageError(f"{parser.prog}: {twice[0]} is given, and its --variants; expected one of them")
    return options, varied


def _values(parser: argparse.ArgumentParser, texts: Sequence[str]) -> dict[str, list[Any]]:
    """Return the values of each option of ``min_snr=5,6,7``."""
    found: dict[str, list[Any]] = {}
    for text in texts:
        name, equals, given = text.partition("=")
        action = _action(parser, name.lstrip("-").replace("-", "_"), text)
        if not equals or not given or action.dest in found:
            why = "its values are given twice" if action.dest in found else f"expected {name}=A,B"
            raise UsageError(f"{parser.prog}: --variants {text}: {why}")
        found[action.dest] = [_value(parser, action, one, text) for one in given.split(",")]
    return found


def _action(parser: argparse.ArgumentParser, name: str, text: str) -> argparse.Action:
    """Return the option of this name."""
    own = ("help", "name", "rebound", "varied")
    known = {a.dest: a for a in parser._actions if a.option_strings and a.dest not in own}
    if name not in known:
        raise UsageError(
            f"{parser.prog}: --variants {text}: there is no option {name!r}.{did_you_mean(name, known)} "
            f"Options: {listed(known)}"
        )
    return known[name]


def _value(parser: argparse.ArgumentParser, action: argparse.Action, given: str, text: str) -> Any:
    """Return a value as the parser of the option makes it."""
    if action.nargs == 0:
        if given not in YES + NO:
            raise UsageError(f"{parser.prog}: --variants {text}: {given!r}; expected yes or no")
        return given in YES
    several = given.split(":") if action.nargs not in (None, "?") else [given]
    # As one word, so that -1 is no option.
    words = (
        [f"{action.option_strings[0]}={given}"] if len(several) == 1 else [action.option_strings[0], *several]
    )
    return getattr(parser.parse_args(words), action.dest)
