"""Watching: the options by which a live run is shown elsewhere, ``--publish`` and ``--page``, and what they begin."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..live.address import Address
from ..live.publish import Publisher

PUBLISH, PAGE = "--publish", "--page"


def add_watching(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument(
        PUBLISH,
        metavar="ADDRESS",
        help="also write rows, totals and how it goes to a Redis server: redis://host:6379/0?name=r0034; dxflow.open "
        "follows it there. A password is better in a file: ?password_file=PATH",
    )
    parser.add_argument(
        PAGE,
        nargs="?",
        type=int,
        const=0,
        metavar="PORT",
        help="also show it to browsers of this machine; the address, with a secret in it, is said",
    )


@contextmanager
def watching(options: argparse.Namespace, say: Callable[[str], None]) -> Iterator[list[Any]]:
    """Give the observers that options ask for; what they have begun ends in any case.

    Raises
    ------
    ValueError, OSError, ModuleNotFoundError
        If there can be none: the address is wrong, the port is taken, a library is missing.
    """
    made: list[Any] = []
    if options.publish is not None:
        made.append(Publisher(Address.of(options.publish, name=Path(options.to).stem)))
        say(f"publish  {made[-1].address}")
    if options.page is not None:
        from ..pages.live import LivePage

        made.append(LivePage(options.page))
        say(f"page     {made[-1].address}")
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
        if flag in (PUBLISH, PAGE):
            skip = "" if equals else flag
        elif skip == PUBLISH or (skip == PAGE and token.isdigit()):
            skip = ""
        else:
            out.append(token)
            skip = ""
    return out
