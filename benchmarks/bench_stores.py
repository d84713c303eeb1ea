"""How fast results and files are written, by one process: each format against what a user would write with, and `cp`.

    python benchmarks/bench_stores.py [--small] [--json FILE] [--megabytes 256] [--folder DIR] [--only TEXT]

Rates are bytes of values, before compression, per second. Of a result, what is timed is storing it: from the fragments
of the chunks, which are there, to the finished store under its name, synchronised and with checksums. Peers write the
same values, which they have in memory, in their usual way, and synchronise nothing. Copies of runs: `bench_copy.py`.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import h5py
import numpy as np
from benchkit import script
from numpy.typing import NDArray

import dxflow
from dxflow import Algorithm, Frames, Output
from dxflow.bench.rounds import Case, Group, Ratio, Sample
from dxflow.disk.fragments import Address
from dxflow.driver import journal
from dxflow.driver.report import Report
from dxflow.exdf import DS, FileWriter
from dxflow.simulate import make_run
from dxflow.stores.contents import Contents
from dxflow.worker import chunk, merging

FORMATS = {"Zarr": "r.zarr", "EXDF": "exdf/", "netCDF": "r.nc", "NeXus": "r.nxs"}
FRAME = (512, 128)
MEANING = (
    "Ratios of rates are medians over rounds, in which the cases take turns. Results are stored by one process, which\n"
    "checks and synchronises them; of others, values are in memory, and nothing is synchronised."
)


def main(argv: list[str] | None = None) -> None:
    parser = script.parser(__doc__)
    parser.add_argument("--megabytes", type=int, default=256, help="of values")
    parser.add_argument("--folder", help="on the disk to measure; default: that of temporary files")
    args = parser.parse_args(argv)
    megabytes = 2 if args.small else args.megabytes
    with tempfile.TemporaryDirectory(prefix="bench-stores-", dir=args.folder) as name:
        folder = Path(name)
        groups = [files_group(kind, *made, folder) for kind, made in values(megabytes).items()]
        groups.append(results_group(megabytes, folder, small=args.small))
        script.run(args, groups, {"megabytes": megabytes}, MEANING)


def values(megabytes: int) -> dict[str, tuple[NDArray, int]]:
    """Return a block of frames of each kind and how often it is written: noise hardly compresses, sparse photons do."""
    frames = max(4, min(64, megabytes))
    random, shape = np.random.default_rng(0), (frames, *FRAME)
    kinds = {
        "noise f4": random.normal(0, 1, shape).astype("f4"),
        "photons f4": random.poisson(0.1, shape).astype("f4"),
        "photons u2": random.poisson(0.1, shape).astype("u2"),
    }
    return {kind: (block, max(1, megabytes * 10**6 // block.nbytes)) for kind, block in kinds.items()}


# One EuXFEL file ------------------------------------------------------------------------------------


def files_group(kind: str, block: NDArray, times: int, folder: Path) -> Group:
    """Return the ways to write one file of frames, shuffled and deflated."""
    path, few = folder / "x.h5", max(1, times // 8)
    cases = {
        "FileWriter": written(path, block, times, lambda: with_file_writer(path, block, times)),
        # A part of it: it takes minutes.
        "h5py gzip": written(path, block, few, lambda: with_h5py(path, block, few)),
        "300 MB/s": lambda: Sample(1.0, 300 * 10**6),
    }
    ratios = (
        Ratio(f"{kind}: FileWriter", "FileWriter", ("300 MB/s",), 1.0 if kind == "noise f4" else None),
        Ratio(f"{kind}: FileWriter", "FileWriter", ("h5py gzip",)),
    )
    return Group(f"one file, {kind}", cases, ratios)


def written(path: Path, block: NDArray, times: int, work: Callable[[], None]) -> Case:
    """Return the case of writing a file; its first block is compared."""

    def case() -> Sample:
        path.unlink(missing_ok=True)
        start = perf_counter()
        work()
        seconds = perf_counter() - start
        with h5py.File(path) as file:
            assert np.array_equal(file["INSTRUMENT/A/B/C:out/image/data"][: len(block)], block)
        path.unlink()
        return Sample(seconds, block.nbytes * times)

    return case


def with_file_writer(path: Path, block: NDArray, times: int) -> None:
    with FileWriter(path, {"data": DS("A/B/C:out", "image.data", FRAME, block.dtype)}) as writer:
        for train in range(1, times + 1):
            writer.add_train(train)
            writer.add_train_data(data=block)


def with_h5py(path: Path, block: NDArray, times: int) -> None:
    gzip: dict[str, Any] = {
        "chunks": (4, *FRAME),
        "compression": "gzip",
        "compression_opts": 1,
        "shuffle": True,
    }
    with h5py.File(path, "w") as file:
        shape = (times * len(block), *FRAME)
        made = file.create_dataset("INSTRUMENT/A/B/C:out/image/data", shape, block.dtype, **gzip)
        for number in range(times):
            made[number * len(block) : (number + 1) * len(block)] = block


# Results --------------------------------------------------------------------------------------------


class Images(Algorithm):
    """Keeps each frame, and the sum of all."""

    ALG_ID = "images"
    inputs = {"img": Frames("image.data", modules=(0, 1))}

    def outputs(self, info: Any) -> Mapping[str, Output]:
        return {"frame": Output(per=("img", "pixel"), dtype="f4"), "sum": Output(per="pixel")}

    def process_train_data(self, train: Any, out: Any) -> None:
        out.frame = train["img"]
        out.sum += train["img"].sum(axis=0)


def results_group(megabytes: int, folder: Path, *, small: bool) -> Group:
    """Return the formats, and what others write of the same values."""
    shape = (32, 32) if small else FRAME
    frames = max(8, megabytes * 10**6 // (2 * int(np.prod(shape)) * 4))
    options = {"modules": 2, "pulses": 8, "trains": frames // 8, "devices": (), "sequences": 1}
    run = make_run(folder / "run", module_shape=shape, **options)
    data = dxflow.reduce(run.path, Images(), cluster="here").dataset.load()
    cases: dict[str, Case] = {name: stored(run.path, folder, to, data.nbytes) for name, to in FORMATS.items()}
    cases |= {name: peer(folder / "peer", work, data) for name, work in PEERS.items()}
    cases["write_frames"] = peer(folder / "peer", lambda data, to: write_frames(run, to), data)
    cases["cp"] = peer(
        folder / "peer", lambda data, to: subprocess.run(["cp", folder / "flat", to], check=True), data
    )
    (folder / "flat").write_bytes(data["images.frame"].values.tobytes())
    rivals = {"Zarr": "to_zarr", "EXDF": "write_frames", "netCDF": "to_netcdf gzip", "NeXus": "h5py gzip"}
    ratios = [Ratio(f"{name} result", name, (to,)) for name, rival in rivals.items() for to in (rival, "cp")]
    return Group("results: an image per frame, noise f4", cases, tuple(ratios))


def stored(run: str, folder: Path, to: str, nbytes: int) -> Case:
    """Return the case of storing a result whose chunks are done."""

    def case() -> Sample:
        plan = dxflow.plan(run, Images(), f"{folder}/{to}", cluster="here", chunk="64 MB")
        work, report = chunk.Workspace(plan, journal.begin(plan)), Report(plan)
        for one in plan.chunks:
            report.add(chunk.run_chunk(work, one.number))
        leaves = [(one.number, plan.address(work.folder, one.number)) for one in plan.chunks]
        total = merging.merge(work, 0, leaves, Address(work.folder / "merged-000-0.fragment", ""))
        contents = Contents(plan, work.folder, {})
        contents.note()
        start = perf_counter()
        pieces = plan.store.create(contents)
        merging.finalize(work, [(0, total)])
        for piece in pieces:
            plan.store.write(contents, piece)
        plan.store.commit(contents, report.manifest({"kind": "this process"}))
        seconds = perf_counter() - start
        journal.end(plan)
        removed(plan.store.path)
        return Sample(seconds, nbytes)

    return case


def peer(to: Path, work: Callable[[Any, Path], Any], data: Any) -> Case:
    """Return the case of writing a dataset with another library."""

    def case() -> Sample:
        os.sync()
        start = perf_counter()
        work(data, to)
        seconds = perf_counter() - start
        removed(to)
        return Sample(seconds, data.nbytes)

    return case


def removed(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def h5py_gzip(data: Any, to: Path) -> None:
    with h5py.File(to, "w") as file:
        for name, one in data.data_vars.items():
            file.create_dataset(name, data=one.values, compression="gzip", compression_opts=1, shuffle=True)


def to_netcdf(data: Any, to: Path) -> None:
    gzip = {name: {"zlib": True, "complevel": 1, "shuffle": True} for name in data.data_vars}
    data.to_netcdf(to, engine="h5netcdf", encoding=gzip)


PEERS = {"to_zarr": lambda data, to: data.to_zarr(to), "to_netcdf gzip": to_netcdf, "h5py gzip": h5py_gzip}


def write_frames(run: Any, to: Path) -> None:
    """Write all frames with EXtra-data, uncompressed."""
    import extra_data
    from extra_data.components import AGIPD1M

    modules = [int(m) for m in run.module_numbers]
    detector = AGIPD1M(extra_data.RunDirectory(run.path), modules=modules, min_modules=1)
    detector.write_frames(str(to), run.frame_train_ids, run.pulse_ids)


if __name__ == "__main__":
    main()
