"""The options of `dxflow show`."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ..analysis.plots.kinds import KINDS
from ..analysis.plots.screen import Screen
from ..analysis.show import show
from ..driver.progress import during
from ..errors.usage import UsageError, text_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be said on the command line."""
    add = parser.add_argument
    add("result", metavar="RESULT", help="a result, table, cube or picked events: x.zarr, x.h5, x.nc")
    add("variable", nargs="?", help="what is drawn; default: what there is to see, below a list of all")
    add("--png", metavar="FILE", help="write the picture to a file: .png, .pdf, .svg")
    add("--as", dest="kind", choices=KINDS, metavar="KIND", help=f"another picture: {', '.join(KINDS)}")
    add(
        "--at",
        action="append",
        default=[],
        metavar="AXIS=VALUE",
        help="place along another axis; may be repeated",
    )
    add("--geometry", metavar="FILE", help=".geom, .h5, .poni or .npy file; default: that beside the run")
    add("--distance", type=float, help="sample to detector in m, if the geometry does not say it")
    add("--all", action="store_true", help="list all variables")


def run(args: argparse.Namespace) -> str:
    """Return what is printed."""
    options: dict[str, Any] = {
        "kind": args.kind,
        "at": dict(map(_place, args.at)),
        "geometry": args.geometry,
        "distance": args.distance,
        "png": args.png,
        "whole": args.all,
    }
    try:
        return during("reading", show, args.result, args.variable, screen=Screen.of(sys.stdout), **options)
    except (KeyError, ValueError, OSError, TypeError) as e:
        raise UsageError(text_of(e)) from e


def _place(text: str) -> tuple[str, str]:
    """Return axis and value of ``delay=0.5``."""
    axis, sign, value = text.partition("=")
    if not (axis and sign and value):
        raise UsageError(f"--at {text!r}; expected AXIS=VALUE, such as --at delay=0.5")
    return axis, value
