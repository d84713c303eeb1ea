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
from dxflow.options import add_pass_options, cluster_of_pass, narrowed, of_plan, run_of
from dxflow.usage import OptionParser

SUBTRACTED = From("subtract.img")


@dataclass(frozen=True)
class Saxs:
    """What the two passes made: results, and the plot."""

    dark: Result
    data: Result
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
    add("--to", metavar="DIR", required=True, help="folder for dark.zarr, data.zarr and saxs.png")
    add("--geometry", required=True, help=".geom, .h5, .poni or .npy file with the pixel positions")
    add("--distance", type=float, help="sample to detector in m, if the geometry does not say it")
    add("--energy", type=float, help="photon energy in keV, if the geometry does not say it")
    add("--nbins", type=int, default=500, help="bins of q (default: %(default)s)")
    add("--threshold", type=float, help="a pixel above this is bright, in the unit of the data (lit frames)")
    add_pass_options(parser)
    return parser


def reduce(args: argparse.Namespace) -> Saxs:
    """Run the two passes and plot.

    Each pass reads its run once: the dark first, then the data with all algorithms together.
    """
    folder = Path(args.to)
    folder.mkdir(parents=True, exist_ok=True)
    options = of_plan(args)
    with connected(args) as cluster:
        dark = dxflow.reduce(
            run_of(args.dark_run),
            Average(per="cell", **narrowed(Average, args)),
            folder / "dark.zarr",
            cluster=cluster,
            **options,
        )
        data = dxflow.reduce(
            run_of(args.data_run), chain(dark, args), folder / "data.zarr", cluster=cluster, **options
        )
    from dxflow.recipes._saxs_plot import plot

    return Saxs(dark, data, plot(data, layout(args), folder / "saxs.png"))


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
    return [Subtract(dark=dark, **narrowed(Subtract, args)), azint, Average(img=SUBTRACTED), lit]


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
    for title, result in (("dark", made.dark), ("data", made.data)):
        print(f"--- {title}\n{result.report()}")
    print(f"plot     {made.plot}")


if __name__ == "__main__":
    sys.exit(main())
