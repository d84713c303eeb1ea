"""Names of a condition that nobody explained: found in the run, or made of it in a first pass over small data."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import api, find
from ..declare.condition import Condition
from ..declare.inputs import Frames, From, Key
from ..declare.labels import Labels
from ..errors import PlanError
from ..errors.kinds import shown
from ..errors.near import did_you_mean, listed
from ..errors.usage import UsageError
from ..run.open import opened
from ..run.selection import FrameSelection
from .labels import given, named
from .options import narrowed

if TYPE_CHECKING:
    from extra_data import DataCollection

    from ..declare.algorithm import Algorithm

DEVICE = "LITFRM"
"""In the name of the online lit-frame finder, which knows when frames are taken."""
POSITION, PULSES = "actualPosition", "data.intensityTD"
BY_ITSELF = (
    "By themselves are known: aliases of the run; lit; pumped; xgm, if it has one gas monitor; outputs of algorithms, "
    "litframes.lit_pixels; and the last word of the name of a motor, if it has one of this name"
)


@dataclass(frozen=True)
class Meaning:
    """What a name may mean: a label, or an output of an algorithm that has to run first."""

    said: str
    labels: Labels | None = None
    first: Algorithm | None = None
    output: str = ""

    @property
    def reads_pixels(self) -> bool:
        """Whether a pass over the pixels is needed for it."""
        return self.first is not None and any(isinstance(what, Frames) for what in self.first.inputs.values())


def take(
    args: argparse.Namespace,
    run: Any,
    algorithms: Sequence[Algorithm],
    cluster: Any = None,
    *,
    passes: bool = True,
    reduced: Callable[..., Any] = api.reduce,
) -> str:
    """Find what names of ``--where`` and ``--by`` mean that ``--label`` does not explain; keep them with the options.

    Parameters
    ----------
    algorithms : sequence of Algorithm
        Of the line: their outputs are names, too.
    passes : bool
        Whether passes over pixels may be made; else condition and groups are left out where they need one.
    reduced : callable
        Makes a first pass.

    Returns
    -------
    str
        What was left out.

    Raises
    ------
    UsageError
        If a name may mean several things, or its first pass fails.
    """
    if getattr(args, "taken_of", None) == repr(run):
        return ""
    # Of another run they are others.
    args.taken, args.taken_of = {}, repr(run)
    known = named(args)
    wanted = [n for n in _names(args, algorithms) if n not in known and n.partition(".")[0] not in known]
    if not wanted or "" in known:
        return ""
    with opened(run) as there:
        found = {name: _one(name, [*_meanings(name, there.run, algorithms, args)]) for name in wanted}
        _refuse_unknown(args, [name for name, one in found.items() if one is None], known, there.run)
    meant = {name: one for name, one in found.items() if one is not None}
    if not passes and (first := [name for name, one in meant.items() if one.reads_pixels]):
        args.where = args.by = args.label = None
        return f"{listed(first)} would need a first pass over the pixels: without --where, --by and --label"
    made = _first_pass(args, run, [one for one in meant.values() if one.first is not None], cluster, reduced)
    for name, one in meant.items():
        labels = one.labels or Labels(made[one.first.name], f"{one.first.name}.{one.output}")  # type: ignore[union-attr]
        labels.said = one.said
        args.taken[name] = labels
    return ""


def _names(args: argparse.Namespace, algorithms: Sequence[Algorithm]) -> Iterator[str]:
    """Yield the names that need a meaning."""
    if isinstance(getattr(args, "where", None), str):
        try:
            yield from Condition(args.where).names()
        except ValueError as e:
            raise UsageError(str(e)) from e
    by = getattr(args, "by", None)
    made = {one.name for one in algorithms}
    if (
        by
        and re.fullmatch(r"[A-Za-z_][\w-]*(\.\w+)?", by)
        and by.partition(".")[0] not in made
        and not Path(by).exists()
    ):
        yield by


def _refuse_unknown(
    args: argparse.Namespace, unknown: Sequence[str], known: Collection[str], run: DataCollection
) -> None:
    """Raise if a name of the condition has no meaning."""
    devices = {source.rpartition("/")[2].lower() for source in run.control_sources}
    there = {*known, *run._aliases, "lit", "xgm", "pumped"}
    for name in unknown:
        if name != args.by:
            near = did_you_mean(name, there | devices)
            raise UsageError(
                f"--where: no label {name!r}.{near} Say what it is, --label {name}=SOURCE:KEY; given: {listed(known)}. "
                f"{BY_ITSELF}"
            )


def _one(name: str, meanings: Sequence[Meaning]) -> Meaning | None:
    """Return the only meaning of a name, None if it has none."""
    if len(meanings) > 1:
        lines = "".join(f"\n- {one.said}" for one in meanings)
        raise UsageError(
            f"{name!r} may mean several things; say which with --label {name}=SOURCE:KEY (or a result):{lines}"
        )
    return meanings[0] if meanings else None


def _meanings(
    name: str, run: DataCollection, algorithms: Sequence[Algorithm], args: argparse.Namespace
) -> Iterator[Meaning]:
    """Yield what a name may mean in a run."""
    if name in run._aliases:
        alias = run._aliases[name]
        shown = " ".join(alias) if isinstance(alias, tuple) else alias
        yield Meaning(f"{shown} (an alias of the run)", Labels(Key(name)))
    if name == "lit":
        yield _lit(run, algorithms, args)
    elif name == "pumped":
        yield Meaning("pumped pulses, by the decoder of pulse patterns", Labels.pumped())
    elif name == "xgm":
        yield from _monitors(run)
    elif "." in name:
        yield from _outputs(name, algorithms, args)
    yield from _devices(name, run)


def _lit(run: DataCollection, algorithms: Sequence[Algorithm], args: argparse.Namespace) -> Meaning:
    """Return frames with X-rays: by what the line has for it, else by the lit-frame device, else by their pixels."""
    for one in algorithms:
        if one.SELECTS == "lit" and _alone(one):
            return _first(one, "lit")
    # Without it the bunch pattern says when there were pulses, and nobody when the frames were taken.
    name = "litfrm" if any(DEVICE in source for source in run.all_sources) else "litframes"
    return _first(_usual(name, args), "lit")


def _usual(name: str, args: argparse.Namespace) -> Algorithm:
    """Return an algorithm as it is without options, of the detector and modules that are asked for."""
    cls = find.algorithm(name)
    return cls(**narrowed(cls, args))


def _first(one: Algorithm, output: str) -> Meaning:
    """Return an output of an algorithm that runs first."""
    options = ", ".join(f"{k}={shown(v)}" for k, v in given(one).items())
    how = (
        "over the pixels"
        if any(isinstance(what, Frames) for what in one.inputs.values())
        else "over small data"
    )
    said = f"{one.name}.{output} of a first pass {how}" + (f", with {options}" if options else "")
    return Meaning(said, first=one, output=output)


def _monitors(run: DataCollection) -> Iterator[Meaning]:
    """Yield gas monitors with the energy of each pulse."""
    for source in sorted(run.instrument_sources - set(run.legacy_sources)):
        if re.search(r"XGM/[^/]*:output$", source) and PULSES in run[source].keys():  # noqa: SIM118
            yield Meaning(f"{source} {PULSES}", Labels(Key(source, PULSES)))


def _outputs(name: str, algorithms: Sequence[Algorithm], args: argparse.Namespace) -> Iterator[Meaning]:
    """Yield outputs of algorithms of the line, or of one with its defaults."""
    base, _, output = name.partition(".")
    own = [one for one in algorithms if one.name == base]
    if own and not _alone(own[0]):
        raise UsageError(
            f"{name!r}: {base} reads what others in this line make, and cannot be made first: reduce it in a line of "
            "its own, and give the result, --label NAME=x.zarr"
        )
    if own:
        yield _first(own[0], output)
    elif base in find.algorithm_names():
        try:
            made = _usual(base, args)
        except (TypeError, ValueError) as e:
            raise UsageError(f"{name!r}: {base} needs options: give it in the line ({e})") from e
        yield _first(made, output)


def _alone(algorithm: Algorithm) -> bool:
    """Return whether an algorithm reads nothing that others make."""
    return not any(isinstance(what, From) for what in algorithm.inputs.values())


def _devices(name: str, run: DataCollection) -> Iterator[Meaning]:
    """Yield devices with a value per train whose name ends so: ``stage`` or ``stage.targetPosition``."""
    word, _, key = name.partition(".")
    for source in sorted(run.control_sources):
        if source.rpartition("/")[2].lower() == word.lower():
            wanted = key or POSITION
            keys = run[source].keys()
            if {wanted, f"{wanted}.value"} & set(keys):
                yield Meaning(f"{source} {wanted}", Labels(Key(source, wanted)))


def _first_pass(
    args: argparse.Namespace,
    run: Any,
    meant: Sequence[Meaning],
    cluster: Any,
    reduced: Callable[..., Any],
) -> dict[str, Any]:
    """Make what is needed of the run, in one pass; return the result by the name of each algorithm."""
    algorithms = list({one.first.name: one.first for one in meant if one.first is not None}.values())
    if not algorithms:
        return {}
    chosen = None if args.trains is None else FrameSelection(trains=args.trains)
    rest = {
        name: value for name in ("on_fault", "suspect") if (value := getattr(args, name, None)) is not None
    }
    try:
        result = reduced(run, algorithms, cluster=cluster, frames=chosen, quiet=bool(args.quiet), **rest)
    except PlanError as e:
        raise UsageError(f"the first pass, for {', '.join(a.name for a in algorithms)}: {e}") from e
    return {one.name: result for one in algorithms}
