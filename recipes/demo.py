"""The demonstration: simulate a small AGIPD-1M run with its dark run, reduce them with `saxs`."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import Any

from dxflow import PlanError
from dxflow.disk import ours
from dxflow.errors.usage import OptionParser
from dxflow.line.exits import code_of
from dxflow.line.options import add_pass_options
from dxflow.recipes.saxs import Saxs
from dxflow.simulate import Flat, PowderRings, Truth, make_run

SIGNAL = PowderRings(q=(0.6, 1.0, 1.4, 1.8), photons=(5.0, 3.5, 2.5, 1.5), width=0.05, background=1.0)


def main(argv: Sequence[str] | None = None) -> int:
    """Simulate, reduce, and say how it went.

    Parameters
    ----------
    argv : sequence of str, optional
        Options; those of the process by default. ``--help`` shows them.

    Returns
    -------
    int
        Exit code.
    """
    args = parser().parse_args(argv)
    began = time.perf_counter()
    with compiling() if args.module_shape is None else nullcontext():
        dark, data = simulated(args)
        print(f"simulated {_frames(dark)} and {_frames(data)} in {time.perf_counter() - began:.1f} s")
        made = Saxs.of_line(options(dark, data, args)).run()
    print(made.report())
    result = made.results["data"].path
    print(f"done in {time.perf_counter() - began:.1f} s; xarray.open_zarr('{result}') opens the result")
    return 0


@contextmanager
def compiling() -> Iterator[None]:
    """Compile the kernels in another process while this one simulates.

    They stay compiled on disk. That is a third of the time of a first demonstration.
    """
    command = [sys.executable, "-P", "-c", "from dxflow.recipes import demo; demo.compile_kernels()"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.terminate()
        process.wait()


def compile_kernels() -> None:
    """Compile the kernels for these runs, in the order in which the passes need them."""
    import numpy as np

    from dxflow.algorithms._average_kernels import Sorted, add_floats, add_integers, merge_floats
    from dxflow.algorithms._azint_kernels import Scratch, Sums, integrate
    from dxflow.algorithms._frame_kernels import count_lit
    from dxflow.algorithms._subtract_kernels import subtract

    def zeros(dtype: str, *shape: int) -> Any:
        return np.zeros(shape or 1, dtype)

    raw, image = zeros("u2", 1, 1), zeros("f4", 1, 1)
    for frames in (raw, image):
        # As hooks see them.
        frames.flags.writeable = False
    one = Sorted.by(zeros("i8"), 0)
    add_integers(raw, one, zeros("i4"), zeros("i8"), zeros("i8"))
    subtract(raw, zeros("f4", 1, 1), zeros("i8"), zeros("f4", 1, 1))
    sums = Sums(
        zeros("f8", 1, 1),
        zeros("f8", 1, 1),
        zeros("f8", 1, 0, 1),
        zeros("i8"),
        zeros("i8", 1, 1),
        zeros("i8"),
    )
    integrate(image, zeros("i4"), zeros("f4"), (zeros("i4"), zeros("i8")), sums, Scratch(1).arrays)
    add_floats(image, one, zeros("i4"), zeros("f8"), zeros("f8"))
    count_lit(image, np.float32(0), np.float32(0), zeros("i4"), zeros("i4"), zeros("i4"), zeros("f8"))
    merge_floats(zeros("i4"), zeros("f8"), zeros("f8"), zeros("i4"), zeros("f8"), zeros("f8"))
    # Once after installation it lists all fonts, which takes a second.
    import_module("matplotlib.font_manager")


RUNS: dict[str, dict[str, Any]] = {
    "r0001": {"signal": Flat(0.0), "lit": "none", "run": 1, "first_train": 10001},
    "r0002": {"signal": SIGNAL, "lit": 0.75, "run": 2, "first_train": 20001, "energy_spread": 0.2},
}
"""The dark run and the data run: what differs between them. Pedestals come with the seed, which does not."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the demonstration's options."""
    parser = OptionParser(prog="dxflow recipe demo", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--to", default="demo", metavar="DIR", help="folder for runs and results (default: %(default)s)")
    add("--trains", type=int, default=24, help="trains of the data run (default: %(default)s)")
    add("--pulses", type=int, default=4, help="frames per train (default: %(default)s)")
    add("--module-shape", type=int, nargs=2, metavar=("SS", "FS"), help="(default: the real one)")
    add_pass_options(parser, ("cluster", "workers", "quiet"))
    return parser


def simulated(args: argparse.Namespace) -> tuple[Truth, Truth]:
    """Write the dark run and the data run."""
    dark, data = (simulate(Path(args.to) / "raw" / name, args, **what) for name, what in RUNS.items())
    return dark, data


def simulate(path: Path, args: argparse.Namespace, **what: Any) -> Truth:
    """Write a raw run in place of the one of an earlier demonstration."""
    if why := ours.obstacle(path, [ours.RUN, ours.EMPTY]):
        raise PlanError(why)
    if path.exists():
        shutil.rmtree(path)
    return make_run(
        path,
        data="raw",
        # Half as many dark frames will do.
        trains=args.trains // (2 if what["lit"] == "none" else 1),
        pulses=args.pulses,
        module_shape=args.module_shape,
        devices=("xgm",),
        # Some different frames of each kind are enough to look at, and quickly drawn.
        pool=3,
        **what,
    )


def options(dark: Truth, data: Truth, args: argparse.Namespace) -> list[str]:
    """Return the options of the recipe `saxs` for simulated runs."""
    # Each of these runs is one chunk: workers would only take time to start.
    cluster = args.cluster or ("local" if args.workers else "here")
    geometry = Path(data.path) / data.geometry.get("geom", data.geometry["npy"])
    return [
        dark.path,
        data.path,
        *("--to", args.to, "--geometry", str(geometry), "--cluster", cluster),
        *(["--workers", str(args.workers)] if args.workers else []),
        *(["--quiet"] if args.quiet else []),
        *("--distance", str(data.distance), "--energy", str(data.photon_energy)),
        # Raw data are in ADU: a bright pixel has more than two thirds of a photon.
        *("--threshold", f"{0.67 * data.adu_per_photon[0]:.1f}", "--overwrite"),
    ]


def _frames(run: Truth) -> str:
    return f"{len(run.lit)} {'lit and dark' if run.lit.any() else 'dark'} frames"


if __name__ == "__main__":
    sys.exit(code_of(main))
