"""Lit frames for copies: found by timing or by intensity, checked against each other on a sample, chosen by cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import find
from ..api import reduce
from ..declare.inputs import Frames
from ..errors import PlanError
from ..run.detectors import Found
from ..run.losses import ranges
from ..run.open import OpenedRun
from ..run.selection import FrameSelection
from .agree import Agreement, compare
from .patterns import SELECT, Grid, Patterns, numbered

if TYPE_CHECKING:
    from xarray import Dataset

WAYS = {"lit": "timing", "lit:intensity": "intensity"}
"""What ``--frames`` calls them."""
SAMPLE = 20
"""Trains of each pattern that are compared before frames are dropped."""
LIMIT = 0.01
"""Share of frames that may differ."""


@dataclass(frozen=True)
class Lit:
    """Which frames a copy keeps: those with X-rays, ``copy_run(run, to, frames=Lit())``.

    Parameters
    ----------
    by : {"timing", "intensity"}
        Found by `LitFrameFinder`, from the bunch pattern, or by `LitFrames`, from the pixels.
    select : {"cell", "row", "super", "super-row"}
        Frames with X-rays; all of a row of 32 memory cells that has one, for common mode; those of memory cells that
        have X-rays in any train, so that all trains have as many frames; rows of these.
    cells : slice, optional
        Only memory cells in this range.
    energy : float, optional
        Only frames whose pulses have more energy, by the gas monitor; where that has no value they are kept.
    margin : int
        Frames before and after that are kept, too.
    guess_missed : bool
        Trains without a bunch pattern, between others of one pattern, have that one. All frames of other trains
        without are kept.
    keep_empty : bool
        Keep all frames of trains in which none is lit. By default they lose all; what else there is of them stays.
    agree : int or None
        Lit frames by timing are compared with those by intensity on so many trains of each pattern; None: not at all.
    limit : float
        Share of frames that may differ; with more nothing is copied.
    timing, intensity : mapping
        Options of `LitFrameFinder` and of `LitFrames`.
    """

    by: str = "timing"
    select: str = "cell"
    cells: slice | None = None
    energy: float | None = None
    margin: int = 0
    guess_missed: bool = True
    keep_empty: bool = False
    agree: int | None = SAMPLE
    limit: float = LIMIT
    timing: Mapping[str, Any] = field(default_factory=dict)
    intensity: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, known in (("by", tuple(WAYS.values())), ("select", SELECT)):
            if getattr(self, name) not in known:
                raise PlanError(f"Lit({name}={getattr(self, name)!r}): expected one of {list(known)}")
        if self.margin < 0 or (self.agree is not None and self.agree < 1) or not 0 <= self.limit <= 1:
            raise PlanError(
                f"Lit(margin={self.margin}, agree={self.agree}, limit={self.limit}): expected frames from 0, trains "
                "from 1 (or None), and a share from 0 to 1"
            )
        if self.energy is not None and self.by == "intensity":
            raise PlanError(
                "Lit: energy= is of frames that are found by timing; with by='intensity' none is known"
            )

    @property
    def facts(self) -> dict[str, Any]:
        """What is said of it in the copy: what was asked for, beside what is as by default."""
        own = {k: v for k, v in vars(self).items() if v not in (None, {})}
        own = {
            k: f"{v.start}:{v.stop}:{v.step}".replace("None", "") if isinstance(v, slice) else v
            for k, v in own.items()
        }
        options = {f"{k}.{n}": v for k in ("timing", "intensity") for n, v in own.pop(k, {}).items()}
        return {f"lit.{k}": int(v) if isinstance(v, bool) else v for k, v in {**own, **options}.items()}


class _NotComparedError(Exception):
    """Lit frames by timing cannot be known; those by intensity are."""


@dataclass(frozen=True, eq=False)
class Chosen:
    """The frames of a detector that are kept, and what is to be said of them.

    Parameters
    ----------
    selection : FrameSelection
    lines : tuple of str
        The table of patterns, and how both ways to find lit frames agree.
    refused : str
        Why nothing must be dropped; "" if all is well.
    """

    selection: FrameSelection
    lines: tuple[str, ...]
    refused: str = ""


def parted(frames: Any) -> tuple[Lit | None, Any]:
    """Return the choice of lit frames among what was given as `frames`, and what else must agree."""
    if isinstance(frames, Lit):
        return frames, None
    if isinstance(frames, FrameSelection) or not isinstance(frames, (list, tuple)):
        return None, frames
    lits = [one for one in frames if isinstance(one, Lit)]
    if len(lits) > 1:
        raise PlanError("frames: lit frames are chosen twice; give one Lit")
    rest = [one for one in frames if not isinstance(one, Lit)]
    return (lits[0], rest or None) if lits else (None, frames)


def choose_lit(
    lit: Lit, opened: OpenedRun, found: Found, trains: NDArray, cluster: Any, *, quiet: bool
) -> Chosen:
    """Find the lit frames of a detector in some trains.

    Raises
    ------
    PlanError
        If they cannot be found.
    """
    return _Finding(lit, opened, found, trains, cluster, quiet).chosen()


@dataclass(frozen=True, eq=False)
class _Finding:
    """Finds the lit frames of one detector."""

    lit: Lit
    opened: OpenedRun
    found: Found
    trains: NDArray
    cluster: Any
    quiet: bool

    def chosen(self) -> Chosen:
        """Return the frames that are kept."""
        by_timing = self.lit.by == "timing"
        name = "litfrm" if by_timing else "litframes"
        data = self._reduced(name, self.trains)
        patterns = (Patterns.by_timing if by_timing else Patterns.by_intensity)(data, name)
        selection, unknown = self._selection(patterns, data, name)
        lines = [f"{self.found.name} ({self.found.data}), lit frames by {self.lit.by}", *patterns.table()]
        if len(unknown):
            lines.append(f"nothing is known of trains {ranges(unknown.tolist())}: all their frames are kept")
        if self.lit.agree is None:
            return Chosen(selection, tuple(lines))
        try:
            agreed = self._agreement(patterns) if by_timing else self._with_timing(data)
        except _NotComparedError as e:
            return Chosen(selection, (*lines, str(e)))
        lines += ["timing and intensity", *(f"  {line}" for line in str(agreed).splitlines())]
        return Chosen(selection, tuple(lines), self._refused(agreed))

    def _reduced(self, name: str, trains: NDArray) -> Dataset:
        """Return what an algorithm makes of some trains."""
        options = self.lit.timing if name == "litfrm" else self.lit.intensity
        wanted = Frames(detector=self.found.name, data=self.found.data, modules=tuple(self.found.sources))
        try:
            algorithm = find.algorithm(name)(img=wanted, **options)
        except (TypeError, ValueError) as e:
            raise PlanError(f"{name}: {e}") from e
        where = self.cluster or ("here" if name == "litfrm" else "local")
        chosen = FrameSelection(trains=np.asarray(trains))
        return reduce(
            self.opened.run, algorithm, cluster=where, frames=chosen, on_fault="mask", quiet=self.quiet
        ).dataset

    def _selection(self, patterns: Patterns, data: Dataset, name: str) -> tuple[FrameSelection, NDArray]:
        """Return the frames to keep, by memory cell where there are cells, and trains of which nothing is known."""
        lit, array = self.lit, data[f"{name}.lit"]
        known = patterns.with_missed() if lit.guess_missed and lit.by == "timing" else patterns
        bright = None if lit.energy is None else self._bright(known, data, name)
        kept = known.kept(
            lit.select, cells=lit.cells, margin=lit.margin, bright=bright, keep_empty=lit.keep_empty
        )
        trains, number = numbered(array)
        at = np.minimum(np.searchsorted(known.train_ids, trains), max(len(known.train_ids) - 1, 0))
        there = np.zeros(len(trains), bool)
        if len(known.train_ids):
            there = (known.train_ids[at] == trains) & (number < known.n_frames[at])
        keep = ~there
        keep[there] = kept[at[there], number[there]]
        pair = trains[keep], number[keep]
        unknown = np.setdiff1d(trains, known.train_ids)
        by_cell = any(str(label).endswith("pulse_id") for label in array.coords)
        return (FrameSelection(in_cells=pair) if by_cell else FrameSelection(entries=pair)), unknown

    def _bright(self, known: Patterns, data: Dataset, name: str) -> NDArray:
        """Return the frames whose energy is not known to be too low, (train, frame)."""
        grid = Grid.of(data[f"{name}.energy"]).among(known.train_ids, known.has_data.shape[1])
        measured = grid.there & np.isfinite(grid.values)
        if not (measured & known.has_data).any():
            raise PlanError(
                f"{self.opened.path}: the gas monitor has no energy of any lit frame, so that energy={self.lit.energy} "
                "cannot be asked for: give timing={'xgm': ...}, its source, or leave energy= out"
            )
        return ~(measured & (grid.values <= self.lit.energy))

    def _agreement(self, patterns: Patterns) -> Agreement:
        """Compare lit frames by timing with those by intensity on a sample."""
        assert self.lit.agree is not None
        try:
            data = self._reduced("litframes", patterns.sample(self.lit.agree))
        except PlanError as e:
            raise PlanError(
                f"{e}\nThis is asked for to compare lit frames by timing with those by intensity: give intensity= "
                "(--intensity threshold=...), or agree=None (--agree no)"
            ) from e
        return compare(patterns, Grid.lit(data))

    def _with_timing(self, data: Dataset) -> Agreement:
        """Compare lit frames by intensity with those by timing on a sample, where timing can be known."""
        assert self.lit.agree is not None
        try:
            timing = Patterns.by_timing(self._reduced("litfrm", self.trains))
        except PlanError as e:
            raise _NotComparedError(f"timing and intensity were not compared: {e}") from e
        lit = Grid.lit(data)
        return compare(timing, lit.among(timing.sample(self.lit.agree), lit.values.shape[1]))

    def _refused(self, agreed: Agreement) -> str:
        if agreed.share <= self.lit.limit:
            return ""
        listed = "\n  ".join(agreed.lines())
        shifts = {int(s) for s in agreed.shift} - {0}
        hint = "; or give the alignment, timing= (--timing reference-frame=...)" if shifts else ""
        return (
            f"{self.found.name}: lit frames by timing and by intensity differ in {agreed.share:.2%} of the frames that "
            f"were compared, more than {self.lit.limit:.2%}:\n  {listed}\nNothing was copied. Look which is right; "
            "lit:intensity goes by the pixels, lit by the bunch pattern; limit= (--limit) allows more, agree=None "
            f"(--agree no) does not compare{hint}"
        )


def joined(chosen: FrameSelection, rest: Any) -> FrameSelection:
    """Return a selection with what else must agree."""
    other = FrameSelection.of(rest)
    return chosen if other is None else replace(chosen, also=(other,))


def lines_of(chosen: Sequence[Chosen]) -> tuple[str, ...]:
    """Return what is to be said of the choice for each detector."""
    return tuple(line for one in chosen for line in one.lines)
