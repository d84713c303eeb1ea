"""Watching: the option by which a live run is shown elsewhere, ``--publish``, and what it begins."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..live.address import Address
from ..live.publish import Publisher

PUBLISH = "--publish"


def add_watching(parser: argparse.ArgumentParser) -> None:
    """Add the option."""
    parser.add_argument(
        PUBLISH,
        metavar="ADDRESS",
        help="also write rows, totals and how it goes to a Redis server: redis://host:6379/0?name=r0034; dxflow.open "
        "follows it there. A password is better in a file: ?password_file=PATH",
    )


@contextmanager
def watching(options: argparse.Namespace, say: Callable[[str], None]) -> Iterator[list[Any]]:
    """Give the observers that options ask for; what they have begun ends in any case.

    Raises
    ------
    ValueError, OSError, ModuleNotFoundError
        If there can be none: the address is wrong, a library is missing.
    """
    made: list[Any] = []
    if options.publish is not None:
        made.append(Publisher(Address.of(options.publish, name=Path(options.to).stem)))
        say(f"publish  {made[-1].address}")
    try:
        yield made
    finally:
        for one in made:
            one.close()


def unwatched(tokens: Sequence[str]) -> list[str]:
    """Return words of a command line without these options: who watches changes nothing, and may have a password."""
    out: list[str] = []
    skip = ""
    for token in tokens:
        flag, equals, _ = token.partition("=")
        if flag == PUBLISH:
            skip = "" if equals else flag
        elif skip == PUBLISH:
            skip = ""
        else:
            out.append(token)
            skip = ""
    return out
