"""Small-angle scattering of a run: dark average, subtraction, I(q), mean and variance, lit frames, one plot."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dxflow
from dxflow import Algorithm, From, Result
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.subtract import Subtract
from dxflow.disk import ours
from dxflow.errors.usage import OptionParser, spoken
from dxflow.line.options import add_pass_options, cluster_of_pass, frames_of, narrowed, of_plan, run_of

SUBTRACTED = From("subtract.img")


@dataclass(frozen=True)
class Saxs:
    """What the passes made: results, and the plot; `lit` is the mean of lit frames, None if there are none."""

    dark: Result
    data: Result
    lit: Result | None
    plot: Path


def main(argv: Sequence[str] | None = None) -> int:
    """Reduce a data run with its dark run, print what was read and lost, save a plot.

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
    report(reduce(args))
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of the recipe's options."""
    parser = OptionParser(prog="dxflow recipe saxs", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("dark_run", metavar="DARK", help="run without X-rays: a directory, one file, or PROPOSAL:RUN")
    add("data_run", metavar="DATA", help="run to reduce")
    add("--to", metavar="DIR", required=True, help="folder for dark.zarr, data.zarr, lit.zarr and saxs.png")
    add("--geometry", required=True, help=".geom, .h5, .poni or .npy file with the pixel positions")
    add("--distance", type=float, help="sample to detector in m, if the geometry does not say it")
    add("--energy", type=float, help="photon energy in keV, if the geometry does not say it")
    add("--nbins", type=int, default=500, help="bins of q (default: %(default)s)")
    add("--threshold", type=float, help="a pixel above this is bright, in the unit of the data (lit frames)")
    add_pass_options(parser)
    return parser


def reduce(args: argparse.Namespace) -> Saxs:
    """Run the passes and plot."""
    folder = Path(args.to)
    folder.mkdir(parents=True, exist_ok=True)
    if why := ours.obstacle(folder / "saxs.png", [ours.PICTURE]):
        raise FileExistsError(why)
    dark, data, lit = passes(args)
    from dxflow.recipes._saxs_plot import plot

    return Saxs(dark, data, lit, plot(data, lit or data, layout(args), folder / "saxs.png"))


def passes(args: argparse.Namespace) -> tuple[Result, Result, Result | None]:
    """Return the results of dark run and data run, and the mean of lit frames, if there are any.

    The dark run and the data run are read once, the latter with all algorithms together. Which frames are lit is known
    after that: these are read again for their mean.
    """
    folder = Path(args.to)
    with connected(args) as cluster:
        options = of_plan(args) | {"cluster": cluster}
        dark = dxflow.reduce(
            run_of(args.dark_run),
            Average(per="cell", **narrowed(Average, args)),
            folder / "dark.zarr",
            **options | {"frames": of_any_run(args)},
        )
        run = run_of(args.data_run)
        data = dxflow.reduce(run, chain(dark, args), folder / "data.zarr", **options)
        lit = None
        if data.selection().any():
            mean = [subtract(dark, args), Average(img=SUBTRACTED)]
            lit = dxflow.reduce(run, mean, folder / "lit.zarr", **options | {"frames": data})
    return dark, data, lit


def of_any_run(args: argparse.Namespace) -> Any:
    """Return the selection of pulses and cells, which the dark run has too; trains and results are of the data run."""
    return frames_of([text for text in args.frames or () if text.startswith(("pulses=", "cells="))])


def subtract(dark: Result, args: argparse.Namespace) -> Subtract:
    """Return what subtracts the dark from the modules that were asked for."""
    return Subtract(dark=dark, **narrowed(Subtract, args))


def chain(dark: Result, args: argparse.Namespace) -> list[Algorithm]:
    """Return the algorithms of the data pass, in order."""
    azint = AzimuthalIntegration(
        img=SUBTRACTED,
        geometry=args.geometry,
        distance=args.distance,
        energy=args.energy,
        nbins=args.nbins,
    )
    lit = LitFrames(img=SUBTRACTED, threshold=args.threshold)
    return [subtract(dark, args), azint, Average(img=SUBTRACTED), lit]


@contextmanager
def connected(args: argparse.Namespace) -> Iterator[Any]:
    """Give what both passes run on: worker processes are started, and load their libraries, only once."""
    cluster = cluster_of_pass(args)
    if cluster == "here":
        yield cluster
        return
    client = cluster.start()
    try:
        yield client
    finally:
        client.close()
        cluster.close()


def layout(args: argparse.Namespace) -> Any:
    """Return the pixel positions of the detector, (module, ss, fs, 3) in m."""
    from dxflow import geometry

    return geometry.positions(args.geometry, args.distance)


def report(made: Saxs) -> None:
    """Print what was read, how fast, what was lost and where the results are."""
    for title, result in (("dark", made.dark), ("data", made.data), ("mean of lit frames", made.lit)):
        if result is not None:
            print(f"--- {title}\n{spoken(result.report())}")
    print(f"plot     {made.plot}")


if __name__ == "__main__":
    from dxflow.commands.main import main as command

    sys.exit(command(["recipe", "saxs", *sys.argv[1:]]))
