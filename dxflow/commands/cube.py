"""The command ``dxflow cube``: variables, and images, of a table or a run in bins of others."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.inputs import Frames
from ..disk.manifest import MANIFEST
from ..driver import journal
from ..errors.usage import OptionParser, UsageError, text_of
from ..line.options import RUN, add_pass_options, cluster_of_pass, mask_of, of_frames, run_of
from ..run.selection import First, among
from . import table as table_command
from .arguments import read as read_sections
from .arguments import split

if TYPE_CHECKING:
    from ..analysis.cubes import Cube
    from ..analysis.tables import Table

PASS = (
    *("trains", "detector", "modules", "roi", "mask", "mask-bits", "cluster", "workers"),
    *("on-fault", "suspect", "chunk", "block", "hook-timeout", "quiet", "overwrite"),
)
WORDS = ("normalise", "how", "weights", "on", "off", "incomplete")
"""Options that mean what they do to `Table.cube`."""
OF_IMAGES = ("run", "azint", "geometry", "detector", "modules", "roi", "mask", "mask_bits")
OF_RUN = ("config", "table", "limit")
"""Options that mean nothing where there is a table already."""


def parser(description: str) -> argparse.ArgumentParser:
    """Return the parser of what can be said, but for algorithms."""
    from ..analysis.specs import EXPECTED

    made_of = OptionParser(
        prog="dxflow cube",
        usage="dxflow cube RUN|TABLE --bins NAME=BINS [NAME=BINS ...] --to NAME.zarr [options] "
        "[ALGORITHM [its options] [+ ALGORITHM ...]]",
        description=description,
        epilog="Of a run the table is made first, and kept. Algorithms make the images that are averaged: "
        "calibrate --constants c.zarr + photons.",
        allow_abbrev=False,
    )
    add = made_of.add_argument
    add("source", metavar="RUN|TABLE", nargs="+", help=f"a table, or several of as many runs; or {RUN}")
    words = f"variables and their bins: {EXPECTED}".replace("%", "%%")
    add("--bins", nargs="+", required=True, metavar="NAME=BINS", help=words)
    add("--of", metavar="A,B", help="variables that are averaged")
    add(
        "--where",
        metavar="CONDITION",
        help="only these rows: 'xgm.intensityTD > 800', or the name of a selection",
    )
    add("--normalise", metavar="NAME", help="what each is divided by, such as the incoming intensity")
    add("--how", choices=("ratio", "each"), help="ratio of sums, or row by row; default ratio")
    add("--weights", metavar="NAME", help="statistical weights of rows")
    add("--on", metavar="CONDITION", help="rows that are pumped")
    add("--off", metavar="CONDITION", help="rows that are not; default: the others")
    words = "frames count that lack modules which others have, in what is made of all modules"
    add("--incomplete", action="store_const", const=True, help=words)
    add("--images", action="store_true", help="also the mean of each pixel; algorithms behind mean that, too")
    add("--azint", type=int, metavar="N", help="also I(q) of frames and of mean images, in so many bins")
    add(
        "--geometry",
        metavar="FILE",
        help="where pixels are: images are put together as well; 'run': beside the run",
    )
    add("--run", metavar="RUN", help="of the images; default: that of the table")
    add("--to", metavar="NAME.zarr", required=True, help="the cube")
    add("--config", metavar="FILE", help="what the table has that is made of a run: .yaml or .py")
    add("--table", metavar="NAME.zarr", help="where it is kept; default: beside the cube, NAME_table.zarr")
    table_command.add_limit(made_of, "the table of a run")
    add_pass_options(made_of, PASS)
    add("--traceback", action="store_true", help="show the whole traceback of an error")
    # What algorithms of other commands can be grouped by.
    made_of.set_defaults(by=None, by_steps=None, by_bins=None, label=None)
    return made_of


def read(argv: Sequence[str], description: str = "") -> tuple[argparse.Namespace, list[Any]]:
    """Return the options of a line, and the algorithms that make images."""
    sections = split(parser(description), argv)
    if len(sections) > 1:
        return read_sections(sections)
    return sections[0].parser.parse_args([*sections[0].runs, *sections[0].tokens]), []


def run(argv: Sequence[str], description: str, say: Callable[[str], None]) -> None:
    """Make a cube, and say what is done.

    Raises
    ------
    UsageError, PlanError
        If it cannot be made.
    """
    from ..analysis import saved

    args, chain = read(argv, description)
    try:
        saved.check(Path(args.to), None, args.overwrite)
        asked, bins = _asked(args, chain), bins_of(args.bins)
        with warnings.catch_warnings():
            # What is said of a table, and the notes of a cube, have it.
            warnings.filterwarnings("ignore", "(table|cube): ")
            table = _table(args, say)
            cube = table.cube(bins, _of(args.of), _where(args, table), **asked)
        path = cube.save(args.to, overwrite=args.overwrite)
    except (KeyError, ValueError, TypeError, OSError) as e:
        raise UsageError(text_of(e).replace("overwrite=True", "--overwrite")) from e
    say("\n".join([repr(cube), *_read(cube), f"result   {path}"]))


def bins_of(texts: Sequence[str]) -> dict[str, Any]:
    """Return the bins of ``delay=-1:5:50``, by variable."""
    from ..analysis.bins import parse

    pairs = [parse(text) for text in texts]
    if len(named := dict(pairs)) < len(pairs):
        raise UsageError(f"--bins {' '.join(texts)}: expected each variable once")
    return named


def _of(text: str | None) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()] if text else []


def _where(args: argparse.Namespace, table: Table) -> Any:
    """Return which rows are used: those of ``--where`` and, of each run of a table, of ``--trains``."""
    if args.trains is None:
        return args.where
    ids = table.rows.train_ids if len(table.rows) else table.rows.trains
    keep = among(ids, _first(table, args.trains) if isinstance(args.trains, First) else args.trains)
    if keep.all():
        return args.where
    rule = _in_words(ids, keep) if len(table.rows) else keep
    return rule if args.where is None else [args.where, rule]


def _in_words(ids: NDArray, keep: NDArray) -> Any:
    """Return that rows are of a range of trains as a condition, which tells what was done; else which they are."""
    first, last = (int(one[0]) if len(one) else 0 for one in (ids[keep][:1], ids[keep][-1:]))
    same = np.array_equal(keep, (ids >= first) & (ids <= last))
    return f"train_id >= {first} & train_id <= {last}" if same else keep


def _first(table: Table, count: First) -> list[int]:
    """Return the first trains of each run."""
    trains, data = table.rows.trains, table.data
    of = data["train_run"].values if "train_run" in data.coords else np.zeros(len(trains), int)
    every = [trains[of == run] for run in np.unique(of)]
    return [int(one) for own in every for one in own[among(own, count.ids(own))]]


def _asked(args: argparse.Namespace, chain: list[Any]) -> dict[str, Any]:
    """Return the options of `Table.cube` that were given."""
    given = {name: value for name in WORDS if (value := getattr(args, name)) is not None}
    if not (args.images or chain):
        _refuse(args, OF_IMAGES, "of images, which are not asked for: --images, or algorithms that make them")
        return given
    images = {
        name: value for name in ("run", "azint", "geometry") if (value := getattr(args, name)) is not None
    }
    if "run" in images:
        images["run"] = run_of(images["run"])
    if images.get("geometry") == "run":
        images["geometry"] = True
    masks = {"mask": mask_of(args.mask)} if args.mask else {}
    masks |= {} if args.mask_bits is None else {"mask_bits": args.mask_bits}
    return given | images | masks | _pass(args) | {"images": chain or Frames(**of_frames(args))}


def _refuse(args: argparse.Namespace, names: Sequence[str], why: str) -> None:
    """Refuse options that would change nothing."""
    if given := [f"--{name.replace('_', '-')}" for name in names if getattr(args, name) is not None]:
        raise UsageError(f"{', '.join(given)}: {why}")


def _pass(args: argparse.Namespace) -> dict[str, Any]:
    given = {name: value for name in table_command.OF_PASS if (value := getattr(args, name)) is not None}
    return given | {"quiet": args.quiet, "cluster": cluster_of_pass(args)}


def _table(args: argparse.Namespace, say: Callable[[str], None]) -> Table:
    """Return the table; say what is made."""
    from ..analysis import opening

    sources = args.source
    if len(sources) > 1 or _is_table(sources[0]):
        _refuse(args, OF_RUN, f"of tables that are made of a run; {sources[0]} is a table")
        found = opening.open(sources if len(sources) > 1 else sources[0])
        table = getattr(found, "table", found)
        if not hasattr(table, "cube"):
            raise UsageError(f"{sources[0]} is a {type(found).__name__}; expected a table, or a run")
        return table
    to = Path(args.to)
    kept = Path(args.table) if args.table else to.with_name(f"{to.stem}_table.zarr")
    if journal.made_before(kept, args.overwrite):
        say(f"table    {kept}: made before this was interrupted")
    else:
        say(table_command.report(_made(args, kept)))
    return opening.open(kept)


def _made(args: argparse.Namespace, kept: Path) -> Table:
    """Make the table of a run."""
    from ..analysis import making

    if kept.exists() and not args.overwrite:
        raise UsageError(
            f"{kept} exists: give it in place of the run, dxflow cube {kept} ..., another --table, or --overwrite"
        )
    # What a cube is of has been chosen: it is asked for only above the limit.
    options = _pass(args) | {"limit": args.limit or making.LIMIT, "agree": table_command.asking()}
    return making.table(
        run_of(args.source[0]), kept, args.config, args.overwrite, trains=args.trains, **options
    )


def _is_table(source: str) -> bool:
    """Return whether a path is a table, or several, rather than a run."""
    from glob import has_magic

    from ..analysis import smalldata
    from ..driver.result import Result

    path = Path(source)
    if (path / MANIFEST).is_file():
        return not Result(path).is_copy
    if path.is_dir() or not path.is_file():
        return has_magic(source)
    try:
        smalldata.read(path)
    except (OSError, ValueError, KeyError):
        return False
    return True


def _read(cube: Cube) -> list[str]:
    """Return what was read for images, and what was lost."""
    if cube.result is None:
        return []
    lines = cube.result.report().splitlines()
    return [line for line in lines if not line.startswith(("result", "inputs"))]
