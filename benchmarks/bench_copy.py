"""How fast copies of runs are made: against `cp` of as many bytes, and against EXtra-data's `write_frames`.

    python benchmarks/bench_copy.py [--small] [--json FILE] [--folder DIR] [--trains 192] [--only TEXT]

Times are those of whole calls, planning and the start of processes included: ``one frame`` is little else. Originals
are in the page cache for all ways; what waits for the disk is written before each.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
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
        run = make_run(folder / "run", data="raw", modules=2, pool=16, sequences=1, devices=("xgm",), **shape)
        groups = [whole(run, folder), whole(run, folder, sync=True)]
        groups += [part(run, folder, 0.5), part(run, folder, 0.1), part(run, folder, 0.1, sync=True)]
        script.run(args, groups, {"bytes": size(folder / "run")} | shape, MEANING)


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
    mask, to = np.random.default_rng(0).random(len(run.pulse_ids)) < share, folder / "copy"
    first = np.arange(len(mask)) == 0
    nbytes = dxflow.copy_run(run.path, to, frames=mask, dry_run=True).after
    cases: dict[str, Case] = {
        "dxflow": timed(to, lambda: dxflow.copy_run(run.path, to, frames=mask, sync=sync)),
        "cp": of_parts(run, folder, nbytes, sync=sync),
    }
    title = f"{share:.0%} of the frames{', synced' * sync}"
    ratios = [Ratio(title, "dxflow", ("cp",), 0.8)]
    if share < 0.5 and not sync:
        cases["one frame"] = timed(to, lambda: dxflow.copy_run(run.path, to, frames=first))
        cases["write_frames"] = timed(to, lambda: write_frames(run, mask, to))
        ratios += [
            Ratio(title, "dxflow", ("write_frames",), 20),
            Ratio("start: one frame, in seconds", "one frame", ("dxflow",), by="seconds"),
        ]
    return Group(title, cases, tuple(ratios))


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
