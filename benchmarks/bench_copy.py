"""How fast copies of runs are made: against `cp` of as many bytes, and against EXtra-data's `write_frames`.

    python benchmarks/bench_copy.py [--small] [--json FILE] [--folder DIR] [--trains 192] [--only TEXT]

Times are those of whole calls, planning and the start of processes included: ``one frame`` is little else. Originals
are in the page cache for all ways; what waits for the disk is written before each.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from benchkit import script
from numpy.typing import NDArray

import dxflow
from dxflow.bench.rounds import Case, Group, Ratio, Sample
from dxflow.simulate import make_run

MEANING = (
    "Ratios of rates are medians over rounds, in which the cases take turns: bytes of the copy, whole calls."
)


WITH_ALL = ("whole run, synced", "50% of the frames", "10% of the frames, synced")
"""Titles of the groups that need the large run, with those that they begin with."""
LAYOUTS: dict[str, dict[str, Any]] = {
    "a chunk per frame": {},
    "contiguous": {"layout": "contiguous"},
    "deflated": {"compress_data": True},
}
"""How frames are stored."""


def main(argv: list[str] | None = None) -> None:
    parser = script.parser(__doc__)
    parser.add_argument("--folder", help="on the disk to measure; default: that of temporary files")
    parser.add_argument("--trains", type=int, default=192, help="of 64 frames of two modules: 192 are 6.4 GB")
    args = parser.parse_args(argv)
    shape = (
        {"trains": 4, "pulses": 4, "module_shape": (32, 16)}
        if args.small
        else {"trains": args.trains, "pulses": 64}
    )
    with tempfile.TemporaryDirectory(prefix="bench-copy-", dir=args.folder) as name:
        folder = Path(name)
        script.run(args, groups(args, folder, shape), shape, MEANING)


def groups(args: argparse.Namespace, folder: Path, shape: dict[str, Any]) -> Iterator[Group]:
    """Yield what is measured; runs are made when their first group comes, if that is wanted."""
    if any(args.only in title for title in WITH_ALL):
        run = made(folder / "run", shape)
        yield whole(run, folder)
        yield whole(run, folder, sync=True)
        for share, sync in ((0.5, False), (0.1, False), (0.1, True)):
            yield part(run, folder, share, sync=sync)
        shutil.rmtree(run.path)
    for layout, options in LAYOUTS.items():
        title = f"7 of 8 frames deleted, {layout}"
        if args.only in title:
            fewer = shape | {"trains": max(4, shape["trains"] * 5 // 12)}
            run = made(folder / "run", fewer | options)
            keep = np.arange(len(run.pulse_ids)) % 8 == 3
            yield selected(run, folder, keep, title)
            shutil.rmtree(run.path)


def made(path: Path, shape: dict[str, Any]) -> Any:
    """Return a run of raw frames."""
    return make_run(path, data="raw", modules=2, pool=16, sequences=1, devices=("xgm",), **shape)


def whole(run: Any, folder: Path, *, sync: bool = False) -> Group:
    """Return the copy of everything."""
    files, to = sorted(Path(run.path).glob("*.h5")), folder / "copy"
    cases = {
        "dxflow": timed(to, lambda: dxflow.copy_run(run.path, to, sync=sync)),
        "cp": timed(to, lambda: cp(files, to, sync=sync)),
    }
    title = f"whole run{', synced' * sync}"
    return Group(title, cases, (Ratio(title, "dxflow", ("cp",), 0.8),))


def part(run: Any, folder: Path, share: float, *, sync: bool = False) -> Group:
    """Return the copy of random frames, and of as many bytes of the originals."""
    mask = np.random.default_rng(0).random(len(run.pulse_ids)) < share
    group = selected(run, folder, mask, f"{share:.0%} of the frames{', synced' * sync}", sync=sync)
    if share >= 0.5 or sync:
        return group
    to, first = folder / "copy", np.arange(len(mask)) == 0
    cases = {
        **group.cases,
        "one frame": timed(to, lambda: dxflow.copy_run(run.path, to, frames=first)),
        "write_frames": timed(to, lambda: write_frames(run, mask, to)),
    }
    more = (
        Ratio(group.title, "dxflow", ("write_frames",), 20),
        Ratio("start: one frame, in seconds", "one frame", ("dxflow",), by="seconds"),
    )
    return replace(group, cases=cases, ratios=(*group.ratios, *more))


def selected(run: Any, folder: Path, mask: NDArray, title: str, *, sync: bool = False) -> Group:
    """Return the copy of some frames, and of as many bytes of the originals."""
    to = folder / "copy"
    nbytes = dxflow.copy_run(run.path, to, frames=mask, dry_run=True).after
    cases: dict[str, Case] = {
        "dxflow": timed(to, lambda: dxflow.copy_run(run.path, to, frames=mask, sync=sync)),
        "cp": of_parts(run, folder, nbytes, sync=sync),
    }
    return Group(title, cases, (Ratio(title, "dxflow", ("cp",), 0.8),))


def timed(to: Path, work: Callable[[], Any]) -> Case:
    """Return the case of making a copy, which is removed after."""

    def case() -> Sample:
        os.sync()
        start = perf_counter()
        work()
        seconds, made = perf_counter() - start, size(to)
        shutil.rmtree(to)
        return Sample(seconds, made)

    return case


def of_parts(run: Any, folder: Path, nbytes: int, *, sync: bool) -> Case:
    """Return the case of `cp` of the first bytes of each file, as many as a copy has."""

    def case() -> Sample:
        files = sorted(Path(run.path).glob("*.h5"))
        (folder / "parts").mkdir()
        parts = [folder / "parts" / file.name for file in files]
        for file, made in zip(files, parts, strict=True):
            with open(file, "rb") as original:
                made.write_bytes(original.read(file.stat().st_size * nbytes // size(Path(run.path))))
        try:
            return timed(folder / "copy", lambda: cp(parts, folder / "copy", sync=sync))()
        finally:
            shutil.rmtree(folder / "parts")

    return case


def cp(files: list[Path], to: Path, *, sync: bool = False) -> None:
    to.mkdir()
    subprocess.run(["cp", *files, to], check=True)
    if sync:
        subprocess.run(["sync", *to.iterdir()], check=True)


def write_frames(run: Any, mask: NDArray, to: Path) -> None:
    """Write frames with EXtra-data: one file for all modules, frames only."""
    import extra_data
    from extra_data.components import AGIPD1M

    to.mkdir()
    opened = extra_data.RunDirectory(run.path)
    modules = [int(m) for m in run.module_numbers]
    detector = AGIPD1M(opened.select("*DET/*CH0:xtdf", "image.*"), modules=modules, raw=True)
    detector.write_frames(str(to / "frames.h5"), run.frame_train_ids[mask], run.pulse_ids[mask])


def size(folder: Path) -> int:
    return sum(f.stat().st_size for f in folder.glob("*.h5"))


if __name__ == "__main__":
    main()
