"""Many runs in one line: which are meant, what each is called, and one table of how each went."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from glob import glob, has_magic
from pathlib import Path
from typing import Any

from ..clusters.kept import kept
from ..errors.redact import hidden
from ..errors.usage import UsageError, spoken, text_of
from ..run.naming import filled
from ..run.open import missing
from .options import run_of

NUMBERS = re.compile(r"p?(\d+)[:/](r?\d+(?:-r?\d+)?(?:,r?\d+(?:-r?\d+)?)*)")
FIELDS = ("run", "proposal", "name")
MOST = 10_000
"""Runs that one line may mean."""
DONE, THERE, FAILED, NOT_BEGUN, INTERRUPTED = "done", "was there", "failed", "not begun", "interrupted"
HEAD = ("run", "state", "trains", "frames", "lost", "time", "result")


@dataclass(frozen=True)
class Run:
    """One of several runs, with what stands for ``{run}``, ``{proposal}`` and ``{name}`` in its line."""

    text: str
    """As it is given to a command: a path, or ``900123:34``."""
    name: str
    run: int | None = None
    proposal: int | None = None

    def filled(self, text: str) -> str:
        """Return a text with the names of this run: ``r{run:04}.zarr``.

        Raises
        ------
        UsageError
            If the run has no such number.
        """
        return filled(text, vars(self), FIELDS, self.text)


@dataclass
class Outcome:
    """How a run went."""

    run: str
    state: str = NOT_BEGUN
    seconds: float = 0.0
    trains: int = 0
    frames: str = ""
    lost: str = ""
    path: str = ""
    why: str = ""

    def row(self) -> tuple[str, ...]:
        """Return it as a line of the table."""
        took = f"{self.seconds:.1f} s" if self.seconds else ""
        return (
            self.run,
            self.state,
            str(self.trains or ""),
            self.frames,
            self.lost,
            took,
            self.path or self.why,
        )


def runs_of(texts: Sequence[str]) -> list[Run]:
    """Return the runs that texts mean: ``900123:34-40,42``, paths, and patterns of paths such as ``'proc/r00*'``.

    Raises
    ------
    UsageError
        If a pattern fits nothing, or a run is meant twice.
    """
    found = [one for text in texts for one in _meant(text)]
    if len(found) > MOST:
        raise UsageError(f"{', '.join(texts)}: {len(found)} runs; expected at most {MOST}")
    if twice := next((one for n, one in enumerate(found) if one in found[:n]), None):
        raise UsageError(f"{twice.text}: this run is given twice")
    return found


def refuse_missing(runs: Sequence[Run]) -> None:
    """Raise if there is no folder of some runs: said of all of them, before anything is read."""
    if lacking := [(one.text, why) for one in runs if (why := missing(run_of(one.text)))]:
        lines = "".join(f"\n- {text}: {why}" for text, why in lacking)
        raise UsageError(f"{len(lacking)} of {len(runs)} runs are not there:{lines}")


def refuse_same(runs: Sequence[Run], paths: Sequence[str]) -> None:
    """Raise if two runs would have the same result."""
    owner: dict[str, Run] = {}
    for one, path in zip(runs, paths, strict=True):
        if (other := owner.setdefault(str(Path(path).absolute()), one)) is not one:
            raise UsageError(
                f"--to {path}: the results of {other.text} and {one.text} would have one name; write "
                "r{run}.zarr, p{proposal}_r{run:04}.zarr or {name}.zarr"
            )


def _meant(text: str) -> Iterator[Run]:
    if Path(text).exists():
        yield _of_path(text)
    elif match := NUMBERS.fullmatch(text):
        for number in _numbers(match[2], text):
            proposal = int(match[1])
            yield Run(f"{proposal}:{number}", f"p{proposal}_r{number:04}", number, proposal)
    elif has_magic(text):
        # What is beside runs, such as results of them, has names like theirs.
        paths = [path for path in sorted(glob(text)) if _holds_data(Path(path))]
        if not paths:
            raise UsageError(f"{text}: no run fits this pattern: no folder with .h5 files, and no such file")
        yield from map(_of_path, paths)
    else:
        yield _of_path(text)


def _holds_data(path: Path) -> bool:
    return path.suffix == ".h5" if path.is_file() else next(path.glob("*.h5"), None) is not None


def is_run(text: str) -> bool:
    """Return whether a word of a command line means runs, where more than one may stand."""
    written = NUMBERS.fullmatch(text) or "/" in text or re.fullmatch(r"r\d+|.*\.h5", text)
    return bool(written) or Path(text).exists() or (has_magic(text) and bool(glob(text)))


def _numbers(text: str, whole: str) -> Iterator[int]:
    """Yield the numbers of ``34-40,42``."""
    for part in text.replace("r", "").split(","):
        first, last = int(part.split("-")[0]), int(part.split("-")[-1])
        if last < first:
            raise UsageError(f"{whole}: {part}: expected the lower number first, {last}-{first}")
        if last - first >= MOST:
            raise UsageError(f"{whole}: {part}: expected at most {MOST} runs")
        yield from range(first, last + 1)


def _of_path(text: str) -> Run:
    """Return the run at a path, with the numbers that it says: ``.../p900123/proc/r0034``."""
    path = Path(text).absolute()
    name = path.stem if path.suffix == ".h5" else path.name
    run = re.search(r"(?:^|[_-])r(\d+)$", path.name)
    proposals = [m[1] for part in path.parts if (m := re.fullmatch(r"p(\d+)", part))]
    return Run(text, name, int(run[1]) if run else None, int(proposals[-1]) if proposals else None)


# How they go ------------------------------------------------------------------------------------


@dataclass
class Several:
    """Runs that are reduced one after the other on workers that stay; one that fails does not stop the others.

    Parameters
    ----------
    reduce : callable
        Of a run: makes its result and returns it, with True if it was there before.
    cluster : optional
        Kept over all runs.
    stop : bool
        Stop at the first run that fails.
    failed : callable
        Told of a run and the error with which it failed.
    of : callable, optional
        Returns what its result says of a run; `of_result` by default.

    Examples
    --------
    >>> several = Several(lambda run: (dxflow.reduce(run_of(run.text), Average(), f"{run.name}.zarr"), False))
    >>> print(table(several.each(runs_of(["900123:34-40"]))))
    """

    reduce: Callable[[Run], tuple[Any, bool]]
    cluster: Any = None
    stop: bool = False
    failed: Callable[[Run, Exception], None] = lambda run, error: None
    of: Callable[[str, Any], Outcome] | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    """Of all runs, in order, as far as they went."""

    def each(self, runs: Sequence[Run]) -> list[Outcome]:
        """Reduce runs; return how each went, also kept in `outcomes` where this is interrupted."""
        self.outcomes = [Outcome(one.text) for one in runs]
        with kept(self.cluster):
            for n, one in enumerate(runs):
                self.outcomes[n] = self._one(n, one)
                if self.stop and self.outcomes[n].state == FAILED:
                    break
        return self.outcomes

    def _one(self, n: int, run: Run) -> Outcome:
        """Return how a run went."""
        since = time.perf_counter()
        # Until something better is known.
        self.outcomes[n] = Outcome(run.text, INTERRUPTED)
        try:
            result, before = self.reduce(run)
            made = replace((self.of or of_result)(run.text, result), state=THERE if before else DONE)
        # Whatever a run or a hook may raise: the others are reduced all the same, and this one is told.
        except Exception as e:  # noqa: BLE001
            self.failed(run, e)
            made = Outcome(run.text, FAILED, why=brief(e))
        return replace(made, seconds=time.perf_counter() - since)


def brief(error: Exception) -> str:
    """Return an error in one line."""
    kind = "" if isinstance(error, ValueError) else f"{type(error).__name__}: "
    line = hidden(spoken(f"{kind}{text_of(error)}")).strip().partition("\n")[0]
    return line if len(line) <= 100 else f"{line[:97]}..."


def of_result(run: str, result: Any) -> Outcome:
    """Return what a result says of itself."""
    manifest: Mapping[str, Any] = result.manifest
    rows = manifest["account"]
    first = [row for row in rows if row["input"] == rows[0]["input"]] if rows else []
    total, used = sum(r["expected"] for r in first), sum(r["used"] for r in first)
    frames = first[0]["expected"] if first else 0
    causes = list(dict.fromkeys(loss["cause"] for loss in manifest["losses"]))
    shown = ", ".join(causes[:2]) + (f", ... ({len(causes)} causes)" if len(causes) > 2 else "")
    return Outcome(
        run,
        trains=manifest["plan"]["trains"][0],
        frames=str(frames) if used == total else f"{100 * used / total:.3g}% of {frames}",
        lost=shown or "nothing",
        path=str(result.path),
    )


def table(outcomes: Sequence[Outcome]) -> str:
    """Return how runs went as text, a line for each."""
    rows = [HEAD, *(one.row() for one in outcomes)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(HEAD) - 1)]
    lines = ["  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[-1]]) for row in rows]
    return "\n".join([*(line.rstrip() for line in lines), "", _summed(outcomes)])


def _summed(outcomes: Sequence[Outcome]) -> str:
    states = [one.state for one in outcomes]
    counts = (f"{states.count(s)} {s}" for s in dict.fromkeys((DONE, THERE, *states)) if s in states)
    return f"{len(outcomes)} runs: {', '.join(counts)}"
