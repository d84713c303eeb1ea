"""Options that are changed while a live reduction runs: asked for in its folder, taken with the next chunk.

A change starts a new version of the result: ``x.live/asked/0001.json`` says what is asked for, and
``0001.answer.json`` what became of it. Files appear whole, so that a page and a command may ask at the same time.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Container, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ..disk.replace import appear, put
from ..errors import PlanError

FOLDER = "asked"
LARGEST = 2**16
"""Bytes of a file that is read: anybody who may write there may ask."""
_NUMBER = re.compile(r"(\d{4,})\.json")


@dataclass(frozen=True)
class Asked:
    """What is asked for.

    Parameters
    ----------
    algorithm : str
        Its name in the result.
    options : mapping of str to str
        Option, with or without its dashes -> value as it is typed; of several values with blanks between them.
    again : bool
        From the first train on: files that are closed are read again. Else from the next chunk on.
    number : int
    """

    algorithm: str
    options: Mapping[str, str] = field(default_factory=dict)
    again: bool = False
    number: int = 0

    def __str__(self) -> str:
        options = (f"--{name} {value}".rstrip() for name, value in self.options.items())
        return f"{' '.join([self.algorithm, *options])}{' (again)' * self.again}"


def ask(folder: Path, algorithm: str, options: Mapping[str, str], again: bool = False) -> int:
    """Ask a live reduction for other options; return the number of what is asked for.

    Parameters
    ----------
    folder : path
        ``x.live``.
    algorithm, options, again
        See `Asked`.

    Raises
    ------
    PlanError
        If no live reduction works there.
    """
    if not (folder / "live.json").is_file():
        raise PlanError(f"{folder}: no live reduction is there whose options could be changed")
    asked = Asked(str(algorithm), {_name(k): str(v) for k, v in options.items()}, bool(again))
    place = folder / FOLDER
    place.mkdir(exist_ok=True)
    made = place / f".asked.{os.getpid()}.{id(asked)}"
    made.write_text(json.dumps(asdict(asked)))
    while True:
        number = max(_numbers(place), default=0) + 1
        with suppress(FileExistsError):
            appear(made, place / f"{number:04d}.json")
            return number


def _name(option: str) -> str:
    """Return an option without its dashes."""
    return option.lstrip("-").replace("_", "-")


def parsed(words: Sequence[str]) -> dict[str, str]:
    """Return the options in words of a command line by name: of each its values, as they are typed.

    Raises
    ------
    ValueError
        If there is a value without an option, or one is given twice.
    """
    options: dict[str, list[str]] = {}
    values: list[str] | None = None
    for word in words:
        if _is_option(word):
            option, equals, value = word.partition("=")
            if (name := _name(option)) in options:
                raise ValueError(f"{option} is given twice; expected each option once")
            values = options[name] = [value] if equals else []
        elif values is None:
            raise ValueError(f"{word!r} is no option; expected words such as --threshold 0.5")
        else:
            values.append(word)
    if not options:
        raise ValueError("no option is given; expected words such as --threshold 0.5")
    return {name: shlex.join(own) for name, own in options.items()}


def _is_option(word: str) -> bool:
    return word.startswith("--") and len(word) > 2


def without(words: Sequence[str], names: Container[str]) -> list[str]:
    """Return words of a command line without some options and their values."""
    out, keep = [], True
    for word in words:
        if _is_option(word):
            keep = _name(word.partition("=")[0]) not in names
        if keep:
            out.append(word)
    return out


def _numbers(place: Path) -> list[int]:
    names = os.listdir(place) if place.is_dir() else []
    return sorted(int(found[1]) for name in names if (found := _NUMBER.fullmatch(name)))


def waiting(folder: Path) -> list[Asked]:
    """Return what is asked for and has no answer yet, in order; what cannot be read is answered so."""
    place, found = folder / FOLDER, []
    for number in _numbers(place):
        if (place / f"{number:04d}.answer.json").exists():
            continue
        try:
            found.append(_read(place / f"{number:04d}.json", number))
        except (OSError, ValueError, TypeError) as e:
            answer(folder, number, f"it cannot be read: {e}")
    return found


def _read(path: Path, number: int) -> Asked:
    with open(path, "rb") as file:
        said = json.loads(file.read(LARGEST))
    options = {_name(str(k)): str(v) for k, v in dict(said["options"]).items()}
    return Asked(str(said["algorithm"]), options, said.get("again") is True, number)


def answer(folder: Path, number: int, error: str = "", version: int = 0, words: str = "") -> None:
    """Say what became of what was asked for: the version that it began, or why it did not."""
    (folder / FOLDER).mkdir(exist_ok=True)
    put(
        folder / FOLDER / f"{number:04d}.answer.json",
        json.dumps({"error": error, "version": version, "words": words}),
    )


def answered(folder: Path, number: int) -> tuple[str, int, str] | None:
    """Return the answer: error, version, and how it began, in words; None if there is none yet."""
    try:
        said = json.loads((folder / FOLDER / f"{number:04d}.answer.json").read_text())
    except (OSError, ValueError):
        return None
    return str(said["error"]), int(said["version"]), str(said["words"])
