"""What a run holds, as text: trains, detectors with their modules, sources with their keys."""

from __future__ import annotations

import json
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..analysis import opening
from ..analysis.opening import KINDS
from ..disk import fragments, lock, ours
from ..driver import words
from ..driver.copied import CopyReport
from ..driver.result import open_result
from ..errors.near import did_you_mean, listed
from ..errors.usage import spoken
from ..planning.factwords import few, fitted
from ..planning.fingerprint import Fingerprint
from ..planning.words import text
from ..run import detectors
from ..run import open as runs
from ..run.losses import from_json, lines, ranges

if TYPE_CHECKING:
    from extra_data import DataCollection
    from xarray import DataArray

    from ..driver.result import Result

SOME = 6
"""Keys of a source that are named in the overview; a pattern shows them all."""


MOST = 8
"""Variables of a result, and lines of what it was made of, that are shown."""


def describe(run: Any, pattern: str | None = None, *, whole: bool = False) -> str:
    """Return what a run holds.

    Parameters
    ----------
    run
        As for `dxflow.plan`.
    pattern : str, optional
        Only the sources whose name has this in it (``"XGM"``) or fits (``"*XGM*:output"``), each key with type and
        shape; no detectors.
    whole : bool
        All there is to say: every key of a run, and all that a result depends on. Else what fits a screen.

    Raises
    ------
    PlanError
        If there is no such run or it cannot be opened.
    KeyError
        If no source fits the pattern.
    """
    # The name of a live result is a link to a snapshot.
    if isinstance(run, (str, Path)) and ours.kind_of(Path(run).resolve()) in (ours.RESULT, ours.COPY):
        return _of_result(Path(run), whole=whole)
    if isinstance(run, (str, Path)) and (begun := _begun(Path(run))):
        return begun
    with runs.opened(run) as opened:
        return "\n".join(
            _matching(opened.run, pattern) if pattern is not None else _overview(opened, whole=whole)
        )


def _overview(opened: runs.OpenedRun, *, whole: bool) -> list[str]:
    """Return lines about a whole run."""
    lines = [f"run       {opened.path}", f"trains    {_trains(opened.train_ids)}"]
    lines += [f"fault     {f.cause}: {f.file} {f.detail}" for f in opened.faults.losses]
    lines += [f"note      {f.cause}: {f.file} {f.detail}" for f in opened.faults.notes]
    found = detectors.find(opened.run.instrument_sources - set(opened.run.legacy_sources))
    for detector in found:
        lines += _detector(opened.run, detector)
    modules = {source for detector in found for source in detector.sources.values()}
    return [*lines, *_sources(opened.run, modules, None if whole else SOME)]


def _of_result(path: Path, *, whole: bool) -> str:
    """Return what a result is: how it was made, and what it holds."""
    result = open_result(path)
    if result.manifest.get("kind") in KINDS:
        return _of_small(path)
    if result.is_copy:
        made = CopyReport.from_json({**result.manifest["report"], "path": str(path)})
        return str(made) if whole else made.brief()
    if not whole:
        said = [*words.of_result(result), ("more", "--all: the plan, and what the result depends on")]
        report = spoken(text(said, 12))
        return "\n".join([*fitted([*_made_of(result), *few(_holds(result), MOST)]), report])
    about, _, _ = result.manifest["table"].partition("\nloss ")
    facts = result.manifest["plan"]
    # Results of older versions say less of it.
    known = Fingerprint(facts).text().splitlines() if "trains" in facts else []
    told = ["depends on", *(f"  {line}" for line in known)] if known else []
    return "\n".join(
        [
            "result of",
            *(f"  {line}" for line in about.splitlines()),
            *told,
            *_holds(result),
            spoken(text(words.of_result(result), 12)),
        ]
    )


def _of_small(path: Path) -> str:
    """Return what a table, cube or picked events hold, how they were made, and what was lost for them."""
    made = opening.open(path)
    told = [f"  {line}" for line in lines(from_json(made.about.get("losses", ())))]
    # Notes of a table have the first of them.
    said = [line for line in repr(made).splitlines() if not line.startswith("lost: ")]
    return "\n".join([*said, *(["lost", *told] if told else ["lost      nothing"])])


def _begun(path: Path) -> str:
    """Return what an interrupted reduction or copy is; "" if this is none, nor the name of one."""
    folder = path if path.suffix == ".partial" else path.with_name(f"{path.name}.partial")
    if (kind := ours.kind_of(folder)) not in (ours.JOURNAL, ours.BEGUN) or (folder != path and path.exists()):
        return ""
    if (other := lock.holder(folder)) is not None:
        return f"{folder} is being made: {other} works there now"
    how = "The same command with --resume goes on with it, with --overwrite starts afresh"
    if kind == ours.BEGUN:
        return f"{folder} is {kind}: {len(list(folder.glob('*.h5')))} files are done.\n{how}"
    facts = json.loads((folder / ours.PLAN).read_bytes())
    done = len(fragments.chunks(folder))
    return (
        f"{folder} is {kind}: {done} of {len(facts['chunks'])} chunks are done.\n{how}\n{Fingerprint(facts)}"
    )


def _made_of(result: Result) -> list[str]:
    """Return what of its plan is about a result, rather than about the work: run, trains, inputs and algorithms."""
    labels = ("name", "run", "trains", "input", "algorithm")
    return few([line for line in result.manifest["table"].splitlines() if line.startswith(labels)], MOST)


def _holds(result: Result) -> list[str]:
    """Return what there is, what says where values are valid last."""
    arrays = sorted(result.dataset.data_vars.items(), key=lambda one: str(one[0]).endswith("valid"))
    return [f"holds       {name}: {_variable(array)}" for name, array in arrays]


def _variable(array: DataArray) -> str:
    """Return type, axes and meaning of a variable."""
    axes = " x ".join(f"{n} {dim}" for dim, n in array.sizes.items()) or "one value"
    said = array.attrs.get("long_name")
    so_far = ", provisional" if "provisional" in array.attrs else ""
    return f"{array.dtype} {axes}{f', {said}' if said else ''}{so_far}"


def _trains(ids: np.ndarray) -> str:
    span = int(ids[-1]) - int(ids[0]) + 1
    gaps = f", {span - len(ids)} missing in between" if span > len(ids) else ""
    return f"{len(ids)}: {ids[0]}-{ids[-1]}{gaps}"


def _detector(run: DataCollection, found: detectors.Found) -> Iterator[str]:
    """Yield the lines about a detector."""
    kind = found.detector
    expected = range(kind.first, kind.first + kind.modules) if kind.modules else sorted(found.sources)
    missing = [m for m in expected if m not in found.sources]
    key = kind.keys.get("image.data", "image.data")
    yield f"detector  {found.name} ({kind.kind}, {found.data})"
    yield (
        f"          {len(found.sources)} of {len(expected)} modules: {ranges(sorted(found.sources))}"
        + (f"; missing: {ranges(missing)}" if missing else "")
    )
    with_data = [s for s in found.sources.values() if key in run[s]]
    if not with_data:
        yield f"          no {key}"
        return
    first = run[with_data[0], key]
    yield f"          {key}: {first.dtype} {_shape(first.entry_shape)}, {_counts(run, with_data, key)}"


def _counts(run: DataCollection, sources: list[str], key: str) -> str:
    """Return how many frames a train has, over all modules."""
    counts = np.concatenate([run[s, key].data_counts(labelled=False) for s in sources])
    low, high = min(counts.tolist(), default=0), max(counts.tolist(), default=0)
    return f"{low} frames per train" if low == high else f"{low} to {high} frames per train"


def _sources(run: DataCollection, modules: set[str], most: int | None) -> Iterator[str]:
    """Yield a line for each source that is no detector module."""
    for source in sorted(run.all_sources - modules - set(run.legacy_sources)):
        kind = "control " if source in run.control_sources else "fast    "
        keys = _keys(run, source)
        more = f" and {len(keys) - most} more" if most and len(keys) > most else ""
        yield f"{kind}  {source}: {', '.join(keys[:most])}{more}"


def _matching(run: DataCollection, pattern: str) -> Iterator[str]:
    """Yield the sources that fit a pattern, with all keys."""
    # A part of a name, in any capitals, is enough.
    wanted = pattern if any(c in pattern for c in "*?[") else f"*{pattern.lower()}*"
    lower = str.lower if wanted != pattern else str
    fits = [s for s in sorted(run.all_sources) if fnmatchcase(lower(s), wanted)]
    if not fits:
        known = run.all_sources
        raise KeyError(f"no source fits {pattern!r}.{did_you_mean(pattern, known)} Sources: {listed(known)}")
    for source in fits:
        yield source
        for key in _keys(run, source):
            data = run[source, key]
            yield f"  {key}: {data.dtype} {_shape(data.entry_shape)}, {data.shape[0]} entries"


def _keys(run: DataCollection, source: str) -> list[str]:
    keys = sorted(run[source].keys(inc_timestamps=False))
    # EXtra-data leaves the ending out where it leaves time stamps out.
    ending = ".value" if source in run.control_sources else ""
    return [key if key.endswith(ending) else key + ending for key in keys]


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "number"
