"""Asking: the options of a live run as they are now, and a form on its page by which they are changed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors.redact import hidden
from ..html.escaped import escaped, plain
from ..live.parameters import Asked, answered, ask, parsed, without
from ..live.snapshots import Place
from .doors import Answer

LONGEST = 2000
"""Characters of options."""
SHOWN = 5
"""Changes that are listed, the newest ones."""


class Asking:
    """Options as they are now, what is asked for on a page, and what became of it.

    Parameters
    ----------
    to : path
        Of the final result, ``x.zarr``.
    algorithms : mapping of str to sequence of str
        Names in the result, with the words of the command line that they were given.
    """

    def __init__(self, to: Path, algorithms: Mapping[str, Sequence[str]]) -> None:
        self._place, self._algorithms = Place(to), algorithms
        self._asked: list[tuple[int, str]] = []
        self._answers: dict[int, tuple[str, int, str]] = {}
        self._changes: list[tuple[Asked, int | None]] = []

    def form(self) -> str:
        """Return the form."""
        if not self._algorithms:
            return ""
        names = "".join(f"<option>{escaped(name)}</option>" for name in self._algorithms)
        return (
            '<form id="ask" class="screen"><h2>Options</h2><div id="options"></div><p>'
            f'<label>Change <select name="algorithm">{names}</select></label> '
            '<label>to <input name="options" size="36" placeholder="--option value" autocomplete="off" '
            f'maxlength="{LONGEST}" spellcheck="false"></label> '
            '<label><input type="checkbox" name="again"> from the first train on</label> '
            "<button>Change</button></p>"
            '<p id="asked" class="warn"></p>'
            '<p class="muted">A change begins another version of the result, with the next chunk. The version before '
            "is kept; nothing of the two is mixed.</p></form>"
        )

    def options(self) -> str:
        """Return as HTML the options of the newest version, what was asked for here, and what became of it."""
        own = {name: [*words] for name, words in self._algorithms.items()}
        for asked, _ in self._made():
            if asked.algorithm in own:
                kept = without(own[asked.algorithm], asked.options)
                own[asked.algorithm] = [*kept, *_words(asked.options)]
        given = "".join(
            f"<li><code>{escaped(hidden(shlex.join([name, *words])))}</code></li>"
            for name, words in own.items()
        )
        said = "As they are now:" if self._changes else "As the run was begun:"
        return f'<p class="muted">{said}</p><ul>{given}</ul>{self._said()}'

    def versions(self) -> str:
        """Return as HTML which options were changed when, "" if none were."""
        lines = []
        for n, (asked, after) in enumerate(self._made()):
            since = "the first train" if after is None else f"train {after + 1}"
            before = self._place.version(n + 1)
            kept = f"; version {n + 1} is {before.name}" if before.exists() else ""
            lines.append(f"<li>{escaped(hidden(f'Version {n + 2}, from {since} on: {asked}{kept}'))}</li>")
        return f"<ul>{''.join(lines)}</ul>" if lines else ""

    def _made(self) -> list[tuple[Asked, int | None]]:
        """Return the changes so far, and the train after which each began; in the end those that were known."""
        with suppress(OSError, ValueError, TypeError):
            made = [(asked, after) for asked, after, *_ in self._place.changes()]
            self._changes = made or self._changes
        return self._changes

    def take(self, what: Mapping[str, Any]) -> Answer:
        """Ask for what was posted; what is wrong with it is answered in words."""
        try:
            algorithm, options, again = self._checked(what)
            number = ask(self._place.folder, algorithm, options, again)
        except (ValueError, OSError) as e:
            return Answer.json({"error": hidden(plain(e))})
        said = " ".join(f"--{name} {value}".rstrip() for name, value in options.items())
        self._asked.append((number, f"{algorithm} {said}{', from the first train on' * again}"))
        return Answer.json({"error": ""})

    def _said(self) -> str:
        lines = [
            f"<li>{escaped(hidden(f'{what}: {self._became(n)}'))}</li>" for n, what in self._asked[-SHOWN:]
        ]
        return f"<ul>{''.join(lines)}</ul>" if lines else ""

    def _became(self, number: int) -> str:
        # In the end its folder goes.
        if number not in self._answers and (found := answered(self._place.folder, number)) is not None:
            self._answers[number] = found
        if number in self._answers:
            error, version, _ = self._answers[number]
            return f"not changed: {error}" if error else f"version {version}"
        there = self._place.folder.exists()
        return "begins with the next chunk" if there else "not changed: the run has ended"

    def _checked(self, what: Mapping[str, Any]) -> tuple[str, dict[str, str], bool]:
        """Return algorithm, options and whether they are of all trains.

        Raises
        ------
        ValueError
            If something is missing, or is none of these.
        """
        algorithm, text, again = what.get("algorithm"), what.get("options"), what.get("again")
        if not isinstance(algorithm, str) or algorithm not in self._algorithms:
            raise ValueError(f"no algorithm {algorithm!r}; there are: {', '.join(self._algorithms)}")
        if not isinstance(text, str) or not isinstance(again, bool) or len(text) > LONGEST:
            raise ValueError("expected options as they are typed, and whether they are of all trains")
        return algorithm, parsed(shlex.split(text)), again


def _words(options: Mapping[str, str]) -> list[str]:
    """Return options as words of a command line."""
    return [word for name, value in options.items() for word in (f"--{name}", *shlex.split(value))]
