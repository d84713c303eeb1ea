"""The command `dxflow export`: what is small of a result, table or cube as CSV, Parquet, .npz or .mat."""

from __future__ import annotations

import argparse

from ..errors.usage import UsageError, text_of
from .table import asking


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what can be said on the command line."""
    from ..handover.exporting import LIMIT
    from ..handover.parts import RATES

    add = parser.add_argument
    add("result", metavar="RESULT", help="a result, table, cube or picked events: x.zarr, x.h5, x.nc")
    add("to", metavar="FILE", help="y.csv, y.parquet, y.npz or y.mat")
    add("variables", nargs="*", metavar="VARIABLE", help="names or patterns, 'xgm.*'; default: all that fit")
    add(
        "--at",
        choices=RATES,
        help="repeat values of trains and of the run in each of these rows, in one file",
    )
    add("--no-units", action="store_true", help="CSV: names without units behind them")
    add("--limit", metavar="SIZE", default=LIMIT, help=f"bytes of values without --yes; default {LIMIT}")
    add("--yes", action="store_true", help="do not ask, whatever size it has")
    add("--overwrite", action="store_true", help="replace files of these names")
    add("--traceback", action="store_true", help="show the whole traceback of an error")


def run(args: argparse.Namespace) -> str:
    """Export, and return what was written.

    Raises
    ------
    UsageError
        If it cannot be.
    """
    from ..handover.exporting import export

    options = {"at": args.at, "overwrite": args.overwrite, "units": not args.no_units}
    options |= {"limit": None if args.yes else args.limit, "agree": asking()}
    try:
        return str(export(args.result, args.to, *args.variables, **options))
    except (KeyError, ValueError, OSError, TypeError, ModuleNotFoundError) as e:
        raise UsageError(text_of(e).replace("limit=None", "--yes")) from e
