"""Small data: a table for each of some runs, all by one configuration, and how each went."""

from __future__ import annotations

import argparse
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dxflow import PlanError
from dxflow.analysis import config as configs
from dxflow.driver.journal import made_before
from dxflow.errors.usage import UsageError
from dxflow.line import options as shared
from dxflow.line.exits import complain, text_of
from dxflow.line.runs import (
    DONE,
    FAILED,
    THERE,
    Outcome,
    Run,
    Several,
    refuse_missing,
    refuse_same,
    runs_of,
    table,
)
from dxflow.recipe import Parser, Recipe

if TYPE_CHECKING:
    from dxflow.analysis import Table

OF_CONFIGURATION = (
    *("frames", "where", "label", "by", "by_steps", "by_bins", "detector", "modules", "roi", "mask"),
    *("mask_bits", "codec", "name"),
)
"""Options of a pass that belong into the configuration, which is the same for all runs."""
OF_PASS = ("on_fault", "suspect", "chunk", "block", "hook_timeout", "quiet")


class SmallData(Recipe):
    """A table for each of some runs, by configuration: all that is small, a row for each pulse and train.

    Runs are worked on one after the other. One that fails does not stop the others, unless ``--on-fault raise`` is
    given; ``--resume`` takes tables that are there. `tables` opens all of them as one.
    """

    @classmethod
    def add_arguments(cls, parser: Parser) -> None:
        """Declare the runs and what is in their tables."""
        parser.add_argument(
            "runs",
            metavar="RUN",
            nargs="+",
            help=f"{shared.RUN}; or several, 900123:34-40,42, or a pattern in quotes",
        )
        parser.add_argument(
            "--config", metavar="FILE", help="what is in each: .yaml or .py; default: all of small size"
        )
        parser.add_argument(
            "--limit", metavar="SIZE", default="4 GB", help="bytes that one may have; default 4 GB"
        )

    def passes(self, args: argparse.Namespace) -> None:
        """Make a table of each run, under its name."""
        if given := [name for name in OF_CONFIGURATION if getattr(args, name) is not None]:
            raise UsageError(
                f"--{given[0].replace('_', '-')}: all runs have the same configuration: say it there, below pass:, or "
                "select rows of the tables"
            )
        # What is wrong with it is said once, before any run.
        self._text = configs.of(args.config).text
        runs = runs_of([args.runs] if isinstance(args.runs, str) else args.runs)
        refuse_missing(runs)
        refuse_same(runs, [str(self._path(run)) for run in runs])
        self._several = Several(self._made, self.cluster, args.on_fault == "raise", _said, _outcome)
        self._several.each(runs)

    @cached_property
    def tables(self) -> Table:
        """The tables that were made, as one."""
        from dxflow import analysis

        return analysis.open([one.path for one in self.outcomes if one.state in (DONE, THERE)])

    @property
    def outcomes(self) -> list[Outcome]:
        """How each run went."""
        return self._several.outcomes

    @property
    def failed(self) -> bool:
        """Whether a run has no table."""
        return any(one.state == FAILED for one in self.outcomes)

    def report(self) -> str:
        """Return how each run went."""
        return table(self.outcomes)

    def _path(self, run: Run) -> Any:
        return self.folder / f"{run.name}.zarr"

    def _made(self, run: Run) -> tuple[Table, bool]:
        """Return the table of a run, and whether it was there."""
        from dxflow import analysis

        path, args = self._path(run), self.args
        if path.exists() and (args.resume or made_before(path, args.overwrite)):
            return self._there(path, run), True
        given = {name: value for name in OF_PASS if (value := getattr(args, name)) is not None}
        where = {"trains": args.trains, "limit": args.limit, "cluster": self.cluster}
        config = configs.of(args.config)
        config.text = self._told(run)
        return analysis.table(shared.run_of(run.text), path, config, args.overwrite, **where, **given), False

    def _there(self, path: Path, run: Run) -> Table:
        """Return a table that was made before.

        Raises
        ------
        PlanError
            If it is of another configuration, run or other trains.
        """
        from dxflow import analysis

        found = analysis.open(path)
        if found.about.get("config") != self._told(run):
            raise PlanError(f"{path}: it was made with other options; --overwrite makes it anew")
        return found

    def _told(self, run: Run) -> str:
        """Return what a table is made of, as it is kept with it."""
        args, path = self.args, Path(run.text)
        which = path.absolute() if path.exists() else run.text
        return f"{self._text}\n# {which}, trains {args.trains}, suspect {args.suspect or 'use'}"


def _said(run: Run, error: Exception) -> None:
    """Say on the terminal why a run has no table."""
    complain(f"{run.text}: {text_of(error)}")


def _outcome(run: str, made: Table) -> Outcome:
    """Return what a table says of itself."""
    causes = list(dict.fromkeys(loss["cause"] for loss in made.about["losses"]))
    lost = ", ".join(causes[:2]) + (f", ... ({len(causes)} causes)" if len(causes) > 2 else "")
    rows = f"{len(made.rows)} rows" if len(made.rows) else ""
    return Outcome(
        run, trains=len(made.rows.trains), frames=rows, lost=lost or "nothing", path=str(made.path)
    )


if __name__ == "__main__":
    SmallData.script()
