"""A chunk that was done in pieces, since it was too large for its workers: joined as if it were one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..deaths import notes as attempts
from ..disk import fragments

if TYPE_CHECKING:
    from ..deaths.notes import Attempt
    from ..planning.plan import Chunk
    from ..run.losses import Loss
    from .chunk import Summary, Workspace


def path_of(work: Workspace, chunk: Chunk, piece: Attempt) -> Path:
    """Return where the fragment of a piece is."""
    tag = work.plan.digest[:8]
    name = f"piece-{chunk.number:06d}-{piece.first:08d}-{piece.last:08d}-{tag}{fragments.SUFFIX}"
    return work.folder / attempts.FOLDER / name


def join(work: Workspace, chunk: Chunk, pieces: Sequence[Attempt], lost: list[Loss]) -> Summary:
    """Leave the fragment of a chunk, made of those of its pieces.

    Rows follow each other; whole-run outputs are merged, as chunks are. Where a piece is shorter than a unit of an
    algorithm, what that adds up may differ in the last bit from a chunk that was done at once.
    """
    from ..disk.fragments import chunk_path
    from . import merging
    from .chunk import summary_of

    paths = [path_of(work, chunk, piece) for piece in pieces]
    arrays = merging.merged(work, chunk.part, paths, [*(p.first for p in pieces), chunk.last])
    with ExitStack() as stack:
        opened = [stack.enter_context(fragments.Fragment(path, work.plan.digest)) for path in paths]
        for name in opened[0].names():
            if name not in arrays:
                arrays[name] = np.concatenate(
                    [
                        _moved(work, chunk, piece, name, f[name])
                        for piece, f in zip(pieces, opened, strict=True)
                    ]
                )
        summary = _sum([summary_of(f.meta) for f in opened], lost)
    lasting, into = not work.plan.store.temporary, chunk_path(work.folder, chunk.number, work.plan.digest)
    fragments.write(into, summary.json(), arrays, of=work.plan.digest, lasting=lasting)
    for path in paths:
        path.unlink(missing_ok=True)
    return summary


def _moved(work: Workspace, chunk: Chunk, piece: Attempt, name: str, array: NDArray) -> NDArray:
    """Return an array of a piece; positions of trains and frames count from the chunk's first."""
    output, _, part = name.partition("/")
    if part == "trains":
        return array + (piece.first - chunk.first)
    if part == "frames":
        rows = next(o.index for o in work.plan.outputs if o.name == output)
        offsets = rows.offsets
        return np.where(array < 0, array, array + (offsets[piece.first] - offsets[chunk.first]))
    return array


def _sum(summaries: Sequence[Summary], lost: list[Loss]) -> Summary:
    """Return the summary of a chunk made of pieces."""
    times: Counter[str] = Counter()
    events: Counter[str] = Counter()
    used: Counter[tuple[int, int]] = Counter()
    worked: Counter[tuple[int, int, str]] = Counter()
    failed: Counter[str] = Counter()
    for s in summaries:
        failed.update(s.hooks_failed)
        times.update(s.times)
        events.update(s.events)
        used.update({(n, m): frames for n, m, frames in s.used})
        worked.update({(n, m, why): frames for n, m, why, frames in s.worked})
    asked = sorted({name for s in summaries for name in s.asked})
    return replace(
        summaries[-1],
        bytes=sum(s.bytes for s in summaries),
        times=dict(times),
        events={name: events[name] for name in summaries[-1].events},
        used=[[n, m, frames] for (n, m), frames in sorted(used.items())],
        worked=[[*key, frames] for key, frames in sorted(worked.items())],
        losses=(*lost, *(loss for s in summaries for loss in s.losses)),
        pieces=len(summaries),
        hooks_failed=dict(failed),
        asked={n: sorted({alias for s in summaries for alias in s.asked.get(n, ())}) for n in asked},
        hooks_worked=tuple(sorted({name for s in summaries for name in s.hooks_worked})),
    )
