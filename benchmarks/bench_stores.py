"""How fast EuXFEL files are written, by FileWriter and by h5py with its own gzip: float noise and photons."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from dxflow.exdf import DS, FileWriter
from dxflow.exdf.deflate import compress, engine

FRAME = (512, 128)


def main() -> None:
    """Print a table of MB/s and ratios; write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="a few MB, only to see that it runs")
    parser.add_argument("--megabytes", type=int, default=512, help="of each kind of data")
    parser.add_argument(
        "--folder", help="where to write; a folder in memory shows the cost of the format alone"
    )
    parser.add_argument("--json", type=Path, help="file for the figures with machine and versions")
    args = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(dir=args.folder) as folder:
        for kind, frames in data(8 if args.small else 64).items():
            blocks = max(1, (16 if args.small else args.megabytes) * 10**6 // frames.nbytes)
            rows += measure(kind, frames, blocks, Path(folder))
    print(table(rows))
    if args.json:
        args.json.write_text(json.dumps({"machine": machine(), "rows": rows}, indent=1))


def data(frames: int) -> dict[str, NDArray]:
    """Return blocks of frames: noise as of a detector, which hardly compresses, and sparse photons."""
    random = np.random.default_rng(0)
    shape = (frames, *FRAME)
    return {
        "noise f4": random.normal(0, 1, shape).astype("f4"),
        "photons f4": random.poisson(0.1, shape).astype("f4"),
        "photons u2": random.poisson(0.1, shape).astype("u2"),
    }


def measure(kind: str, frames: NDArray, blocks: int, folder: Path) -> list[dict]:
    """Write the blocks in each way."""
    ways: dict[str, Callable[[Path], None]] = {
        "FileWriter": lambda path: with_file_writer(path, frames, blocks),
        "direct chunks, this process": lambda path: direct(path, frames, blocks),
        "h5py shuffle+gzip1": lambda path: with_h5py(path, frames, max(1, blocks // 8)),
        "h5py uncompressed": lambda path: with_h5py(path, frames, blocks, compression=None, shuffle=False),
    }
    rows = []
    for way, write in ways.items():
        path = folder / "x.h5"
        written = frames.nbytes * (max(1, blocks // 8) if "gzip1" in way else blocks)
        cpu, start = processor(), time.perf_counter()
        write(path)
        wall, cpu = time.perf_counter() - start, processor() - cpu
        rows.append(
            {
                "data": kind,
                "way": way,
                "MB/s": written / wall / 1e6,
                "MB per CPU second": written / cpu / 1e6,
                "compression": written / path.stat().st_size,
            }
        )
        check(path, frames)
        path.unlink()
    return rows


def with_file_writer(path: Path, frames: NDArray, blocks: int) -> None:
    """Write trains of frames with `FileWriter`: another process compresses with up to two threads and writes."""
    with FileWriter(path, {"data": DS("A/B/C:out", "image.data", FRAME, frames.dtype)}) as writer:
        for train in range(1, blocks + 1):
            writer.add_train(train)
            writer.add_train_data(data=frames)


def direct(path: Path, frames: NDArray, blocks: int) -> None:
    """Compress and write in one thread."""
    with h5py.File(path, "w", libver="v110") as file:
        made = file.create_dataset(
            "INSTRUMENT/A/B/C:out/image/data",
            (blocks * len(frames), *FRAME),
            frames.dtype,
            chunks=(4, *FRAME),
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )
        for at in range(0, len(made), 4):
            inside = at % len(frames)
            made.id.write_direct_chunk((at, 0, 0), compress(frames[inside : inside + 4]))


def with_h5py(
    path: Path, frames: NDArray, blocks: int, compression: str | None = "gzip", shuffle: bool = True
) -> None:
    """Write through HDF5's own filters."""
    with h5py.File(path, "w") as file:
        made = file.create_dataset(
            "INSTRUMENT/A/B/C:out/image/data",
            (blocks * len(frames), *FRAME),
            frames.dtype,
            chunks=(4, *FRAME),
            compression=compression,
            compression_opts=1 if compression else None,
            shuffle=shuffle,
        )
        for block in range(blocks):
            made[block * len(frames) : (block + 1) * len(frames)] = frames


def check(path: Path, frames: NDArray) -> None:
    """Read the first block back."""
    with h5py.File(path) as file:
        if not np.array_equal(file["INSTRUMENT/A/B/C:out/image/data"][: len(frames)], frames):
            sys.exit(f"{path} holds something else")


def processor() -> float:
    """Return the processor time so far, that of ended processes included."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(r.ru_utime + r.ru_stime for r in both)


def table(rows: list[dict]) -> str:
    """Return the rows as text; the last column compares with h5py's gzip on the same data."""
    lines = [f"{'data':<11} {'way':<28} {'MB/s':>7} {'MB/CPU s':>9} {'ratio':>6} {'to h5py':>8}"]
    gzip = {r["data"]: r["MB/s"] for r in rows if "gzip1" in r["way"]}
    for r in rows:
        lines.append(
            f"{r['data']:<11} {r['way']:<28} {r['MB/s']:7.0f} {r['MB per CPU second']:9.0f} "
            f"{r['compression']:6.2f} {r['MB/s'] / gzip[r['data']]:7.1f}x"
        )
    return "\n".join(lines)


def machine() -> dict[str, object]:
    """Return what figures depend on."""
    packages = ("dxflow", "h5py", "numpy", "isal")
    return {
        "processor": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "python": platform.python_version(),
        "hdf5": h5py.version.hdf5_version,
        "deflate": engine(),
        **{p: importlib.metadata.version(p) for p in packages if p != "isal" or engine() == "isal"},
    }


if __name__ == "__main__":
    main()
