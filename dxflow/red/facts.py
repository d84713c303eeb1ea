"""What a volume says of itself: people, instrument, samples, techniques, licence and access, as a file has them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

from ..errors.yamls import Items, Section
from . import ids
from .panet import Technique, technique

T = TypeVar("T")
FACTS = (
    *("title", "description", "creators", "publisher", "license", "doi", "proposal", "instrument", "samples"),
    *("techniques", "keywords", "collected", "embargo", "open", "raw_doi", "publications", "version"),
)
PLACEHOLDERS = (
    *(
        "TITLE",
        "WHAT WAS MEASURED, AND WHY",
        "FAMILY, GIVEN",
        "INSTITUTE",
        "INSTRUMENT",
        "SAMPLE",
        "TECHNIQUE",
    ),
    "YEAR-MONTH-DAY",
)
"""What a file to begin with has in the place of what its writer knows."""
PERSON = ("name", "orcid", "affiliation", "ror")
OF_PUBLISHER = ("name", "ror")
OF_INSTRUMENT = ("name", "facility", "pid")
OF_SAMPLE = ("name", "identifier", "description")


@dataclass(frozen=True)
class Person:
    """Who made the data; `orcid` and `ror` are addresses, "" if not given."""

    name: str
    orcid: str = ""
    affiliation: str = ""
    ror: str = ""


@dataclass(frozen=True)
class Sample:
    """What was measured."""

    name: str
    identifier: str = ""
    description: str = ""


@dataclass(frozen=True)
class Facts:
    """What a volume says of itself.

    Exactly one of `embargo`, the day from which on the data are open, and `opened`, the day since when they are.
    """

    title: str
    description: str
    creators: tuple[Person, ...]
    publisher: str
    publisher_ror: str
    licence: tuple[str, str]
    instrument: str
    facility: str
    instrument_pid: str
    samples: tuple[Sample, ...]
    techniques: tuple[Technique, ...]
    embargo: date | None
    opened: date | None
    doi: str = ""
    proposal: str = ""
    keywords: tuple[str, ...] = ()
    collected: str = ""
    raw_doi: str = ""
    publications: tuple[str, ...] = ()
    version: str = ""

    @property
    def available(self) -> date:
        """The day from which on the data are open."""
        day = self.embargo or self.opened
        assert day is not None
        return day

    @property
    def access(self) -> str:
        """Who may read the data, in words."""
        if self.embargo is None:
            return f"Open since {self.opened}."
        return f"Under embargo until {self.embargo}; open from then on."


def facts_of(given: Section, today: date) -> Facts:
    """Return what a file says of the volume.

    Raises
    ------
    UsageError
        If something is missing, or has not the form that it must have; names line and key.
    """
    embargo, opened = _access(given, today)
    publisher = _named(given, "publisher", OF_PUBLISHER)
    instrument = _named(given, "instrument", OF_INSTRUMENT)
    return Facts(
        title=text(given, "title"),
        description=text(given, "description"),
        creators=tuple(_person(*one) for one in _several(given, "creators")),
        publisher=text(publisher, "name"),
        publisher_ror=_maybe(publisher, "ror", ids.ror),
        licence=checked(given, "license", ids.licence, text(given, "license")),
        instrument=text(instrument, "name"),
        facility=text(instrument, "facility", default=text(publisher, "name")),
        instrument_pid=_maybe(instrument, "pid", ids.address),
        samples=tuple(_sample(*one) for one in _several(given, "samples")),
        techniques=tuple(
            dict.fromkeys(checked(w, k, technique, _plain(w, k)) for w, k in _several(given, "techniques"))
        ),
        embargo=embargo,
        opened=opened,
        doi=_maybe(given, "doi", ids.doi),
        proposal=text(given, "proposal", default=""),
        keywords=tuple(_plain(w, k) for w, k in _several(given, "keywords", required=False)),
        collected=_maybe(given, "collected", lambda said: _not_after(ids.days(said), today)),
        raw_doi=_maybe(given, "raw_doi", ids.doi),
        publications=tuple(
            checked(w, k, ids.doi, _plain(w, k)) for w, k in _several(given, "publications", required=False)
        ),
        version=text(given, "version", default=""),
    )


def text(given: Section, key: str, default: str | None = None) -> str:
    """Return the text of a key, which must be there unless there is a default."""
    if given.get(key) is None:
        if default is not None:
            return default
        raise given.wrong(f"{key!r} is missing; expected a text")
    return _plain(given, key)


def _plain(given: Any, key: Any) -> str:
    """Return a text, or a number as one; of a mapping or a list."""
    value = given[key]
    if isinstance(value, bool) or not isinstance(value, (str, int, float)) or not str(value).strip():
        raise given.wrong(f"expected a text, not {value!r}", key)
    said = str(value).strip()
    if said in PLACEHOLDERS:
        raise given.wrong(f"{said!r} is what 'dxflow red new' wrote: write here what it is", key)
    if any(ord(letter) < 32 and letter not in "\n\t" or letter == "\x7f" for letter in said):
        raise given.wrong("has characters that no text has", key)
    return said


def checked(given: Any, key: Any, check: Callable[[str], T], value: str) -> T:
    """Return what a check makes of a text; what is wrong is said with its line."""
    try:
        return check(value)
    except ValueError as e:
        raise given.wrong(str(e), key) from None


def _maybe(given: Section, key: str, check: Callable[[str], str]) -> str:
    """Return what a check makes of a key, "" where it is not given."""
    return "" if given.get(key) is None else checked(given, key, check, _plain(given, key))


def _several(given: Section, key: str, *, required: bool = True) -> Sequence[tuple[Any, Any]]:
    """Return where each of one or several values of a key is: its mapping or list, and key or place there."""
    value = given.get(key)
    if value is None:
        if required:
            raise given.wrong(f"{key!r} is missing; expected a list with at least one")
        return ()
    if not isinstance(value, Items):
        return ((given, key),)
    if not value and required:
        raise given.wrong("expected at least one", key)
    return [(value, n) for n in range(len(value))]


def _named(given: Section, key: str, known: Sequence[str]) -> Section:
    """Return what is said of a thing that has a name: a mapping, or its name alone."""
    value = given.get(key)
    if isinstance(value, Section):
        value.only(known)
        return value
    made = Section(name=text(given, key))
    made.path, made.name, made.line, made.lines = given.path, key, given.lines.get(key, given.line), {}
    return made


def _of_item(where: Any, key: Any, known: Sequence[str]) -> Section:
    """Return one of several things: a mapping, or its name alone."""
    value = where[key]
    if isinstance(value, Section):
        value.only(known)
        return value
    made = Section(name=_plain(where, key))
    name = f"{where.name}.{key}".strip(".")
    made.path, made.name, made.line, made.lines = where.path, name, where.lines.get(key, where.line), {}
    return made


def _person(where: Any, key: Any) -> Person:
    one = _of_item(where, key, PERSON)
    return Person(
        text(one, "name"),
        _maybe(one, "orcid", ids.orcid),
        text(one, "affiliation", ""),
        _maybe(one, "ror", ids.ror),
    )


def _sample(where: Any, key: Any) -> Sample:
    one = _of_item(where, key, OF_SAMPLE)
    return Sample(text(one, "name"), text(one, "identifier", ""), text(one, "description", ""))


def _not_after(days: str, today: date) -> str:
    """Return a day, or the first and the last, none of which is still to come."""
    if days.rpartition("/")[2] > today.isoformat():
        raise ValueError(f"{days} is in the future (today is {today}): expected the days of the measurement")
    return days


def _access(given: Section, today: date) -> tuple[date | None, date | None]:
    """Return the end of the embargo, or the day since when the data are open."""
    named = [key for key in ("embargo", "open") if given.get(key) is not None]
    if len(named) != 1:
        raise given.wrong(
            "expected one of 'embargo', the day from which on the data are open, and 'open', since when they are",
            *named[1:],
        )
    day = checked(given, named[0], ids.day, _plain(given, named[0]))
    if named[0] == "embargo" and day <= today:
        raise given.wrong(
            f"{day} is not in the future (today is {today}): if the data are open since then, write 'open: {day}' "
            "instead; else the day on which they will be",
            "embargo",
        )
    if named[0] == "open" and day > today:
        raise given.wrong(
            f"{day} is in the future (today is {today}): write 'embargo: {day}' instead", "open"
        )
    return (day, None) if named[0] == "embargo" else (None, day)
