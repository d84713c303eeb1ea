"""The options of `dxflow report`."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..driver.progress import during
from ..errors.usage import UsageError, text_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be said on the command line."""
    add = parser.add_argument
    words = "a result, table, cube or picked events: x.zarr, x.h5, x.nc; several have a page each"
    add("result", metavar="RESULT", nargs="+", help=words)
    add("--to", metavar="FILE", help="the page: x.html (default: beside the result, with its name)")
    add("--open", action="store_true", help="show it in the browser")
    add("--geometry", metavar="FILE", help=".geom, .h5, .poni or .npy file; default: that beside the run")
    add("--distance", type=float, help="sample to detector in m, if the geometry does not say it")
    add("--quiet", action="store_true", help="show no progress")


def run(args: argparse.Namespace) -> str:
    """Write the pages and return what is printed."""
    from ..pages.report import write
    from ..sizes import show

    if args.to is not None and len(args.result) > 1:
        raise UsageError(
            f"--to {args.to}: of {len(args.result)} results, which have a page each; leave it out"
        )
    said = []
    for result in args.result:
        options = {"geometry": args.geometry, "distance": args.distance}
        try:
            path = during(f"drawing {result}", write, result, args.to, quiet=args.quiet, **options)
        except (KeyError, ValueError, TypeError, OSError) as e:
            raise UsageError(text_of(e)) from e
        said.append(f"{path}: {show(path.stat().st_size)}")
        if args.open and not _opened(path):
            said.append(f"no browser was found: open {path.absolute().as_uri()}")
    return "\n".join(said)


def _opened(path: Path) -> bool:
    """Show a page in the browser, if there is one."""
    import webbrowser

    return webbrowser.open(path.absolute().as_uri())
