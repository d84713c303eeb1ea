"""Time cases in turn, round by round, so that whatever else the machine does meets all of them alike."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from time import perf_counter


class Cannot(Exception):  # noqa: N818
    """A case that cannot be measured here: the message says why."""


@dataclass(frozen=True)
class Sample:
    """One measurement of a case."""

    seconds: float
    """What the ratios compare; of dxflow: the whole call, from `reduce` called to the result there."""
    nbytes: int = 0
    """Bytes of data that were delivered, after decompression."""
    inside: float | None = None
    """Seconds of the pass alone, from the first chunk submitted to the last one finished."""
    bound: str = ""
    """What bounded it, as `dxflow.Result.times` has it."""

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self.nbytes / self.seconds if self.seconds else 0.0

    @property
    def steady(self) -> float:
        """Bytes per second of the pass alone, if that is known."""
        return self.nbytes / self.inside if self.inside else self.rate


Case = Callable[[], Sample]


@dataclass(frozen=True)
class Ratio:
    """A line of the table: a case against another one, or against several.

    With ``by="rate"`` it is (bytes per second of `of`) / (of `to`), with ``by="pass"`` the same of the pass alone, with
    ``by="seconds"`` (seconds of `of`) / (seconds of all `to`, if any). With ``by="fixed"`` it is the seconds that are
    left where those of `of` and of `to`, which delivers less, are extrapolated to no bytes.
    """

    work: str
    of: str
    to: tuple[str, ...]
    target: float | None = None
    at_least: bool = True
    by: str = "rate"

    def of_round(self, samples: Mapping[str, Sample]) -> float | None:
        """Return the ratio in one round; None where a case could not be measured."""
        if any(name not in samples for name in (self.of, *self.to)):
            return None
        mine, others = samples[self.of], [samples[name] for name in self.to]
        match self.by:
            case "rate":
                return mine.rate / others[0].rate
            case "pass":
                return mine.steady / others[0].rate
            case "fixed":
                return _at_no_bytes(mine, others[0])
        return mine.seconds / sum(s.seconds for s in others) if others else mine.seconds

    def reached(self, value: float) -> bool | None:
        """Return whether a ratio is what it should be; None without a target."""
        if self.target is None:
            return None
        return value >= self.target if self.at_least else value <= self.target


def _at_no_bytes(large: Sample, small: Sample) -> float:
    """Return the seconds of what delivers nothing, on the line through two sizes."""
    per_byte = (large.seconds - small.seconds) / (large.nbytes - small.nbytes)
    return small.seconds - small.nbytes * per_byte


@dataclass(frozen=True)
class Group:
    """Cases that are timed in turn, and the ratios that are of interest."""

    title: str
    cases: Mapping[str, Case]
    ratios: tuple[Ratio, ...]
    seconds: float = 30.0
    """No further round is begun after so many, where a script has many groups."""
    warm_up: bool = True
    """Whether a first round does not count."""


@dataclass
class Measured:
    """What came out of a group."""

    group: Group
    rounds: list[dict[str, Sample]] = field(default_factory=list)
    """Case -> sample, for each round."""
    cannot: dict[str, str] = field(default_factory=dict)
    """Case -> why it could not be measured."""
    loads: list[float] = field(default_factory=list)
    """Load average of the last minute at the start of each round."""

    def samples(self, case: str) -> list[Sample]:
        """Return all samples of a case."""
        return [r[case] for r in self.rounds if case in r]


def measure(
    group: Group,
    rounds: int,
    *,
    warm_up: bool = True,
    until: float | None = None,
    say: Callable[[str], None] = lambda what: None,
) -> Measured:
    """Time all cases of a group once per round.

    Parameters
    ----------
    rounds : int
    warm_up : bool
        Do each case once before, untimed: files come into the page cache, kernels are compiled.
    until : float, optional
        Value of `time.perf_counter` after which no further round is begun; there is always one.
    say : callable, optional
        Told what is done, case by case.
    """
    out = Measured(group)
    if warm_up:
        _round(out, group.cases, "warming up", say)
    for number in range(rounds):
        if number and until is not None and perf_counter() > until:
            break
        out.loads.append(os.getloadavg()[0])
        out.rounds.append(_round(out, group.cases, f"round {number + 1} of {rounds}", say))
    return out


def _round(
    measured: Measured, cases: Iterable[str], when: str, say: Callable[[str], None]
) -> dict[str, Sample]:
    """Do each case once; those that cannot are not tried again."""
    samples = {}
    for name in cases:
        if name in measured.cannot:
            continue
        say(f"{when}, {name}")
        try:
            samples[name] = measured.group.cases[name]()
        except (Cannot, ImportError) as e:
            measured.cannot[name] = str(e)
    return samples
