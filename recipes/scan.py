"""Delay scan: a table, a selection of its rows, images and I(q) of each delay with and without pump."""

from __future__ import annotations

import argparse
from functools import cached_property
from typing import TYPE_CHECKING, Any

import xarray as xr

from dxflow import Frames, PlanError
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.calibrate import Calibrate
from dxflow.algorithms.subtract import Subtract
from dxflow.driver.journal import job, made_before, restarted
from dxflow.errors.usage import UsageError, text_of
from dxflow.line import options as shared
from dxflow.recipe import Parser, Recipe
from dxflow.recipes.pumpprobe import largest

if TYPE_CHECKING:
    from dxflow.analysis import Cube, Table

AZINT = ("geometry", "distance", "energy", "nbins", "qrange", "polarization")
OF_TABLE = ("on_fault", "suspect", "hook_timeout", "quiet")
OF_IMAGES = (*OF_TABLE, "chunk", "block", "mask_bits")
OF_CUBE = ("where", "trains", "detector", "mask", "suspect", *OF_IMAGES[4:])
"""Options of a pass that change the cube."""
NOT_HERE = ("frames", "label", "by", "by_steps", "by_bins", "roi", "modules", "codec", "name")
GOOD = "good"


class DelayScan(Recipe):
    """A pump-probe delay scan: from the run to I(q) with and without pump at each delay, and their difference.

    A table of what is small is made first, ``table.zarr``; ``--where`` selects rows of it. Then the run is read once,
    only frames that are selected, and ``cube.zarr`` has images and I(q) of each delay and their errors.
    """

    PLOTS = ("scan.png",)
    GROUPED = False

    @classmethod
    def add_arguments(cls, parser: Parser) -> None:
        """Declare the run, what was scanned, and what is compared."""
        parser.add_run("run", "corrected, or raw with --dark or --constants")
        add = parser.add_argument
        add("--config", metavar="FILE", help="what else is in the table; its variables may be named below")
        add("--delay", nargs="+", metavar="WHAT", required=True, help="SOURCE KEY, or a variable of --config")
        add(
            "--i0",
            nargs="+",
            metavar="WHAT",
            help="incoming intensity: SOURCE KEY, or a variable of --config",
        )
        add(
            "--on",
            default="pumped",
            help="which rows are pumped, such as 'laser == 1'; default: what the decoder of pulse patterns says",
        )
        add("--off", help="which are not; default: all others of which it is known")
        add(
            "--bins",
            default="unique(0.001)",
            help="of the delay: 50, --bins=-1:5:50 (with the =) or unique(TOLERANCE), the default",
        )
        add("--limit", metavar="SIZE", help="bytes that the table may have; default 4 GB")
        add("--dark", help="Zarr store of average, per cell, or of dark: subtracted from raw data")
        add("--constants", help="of calibrate, for raw data: Zarr store of dark, a folder, HDF5 file")
        parser.add_options_of(Calibrate, "stage")
        parser.add_options_of(AzimuthalIntegration, *AZINT)

    def passes(self, args: argparse.Namespace) -> None:
        """Make table.zarr and cube.zarr."""
        from dxflow import analysis

        if given := [name for name in NOT_HERE if getattr(args, name) is not None]:
            raise UsageError(
                f"--{given[0].replace('_', '-')}: this recipe selects rows of its table, --where 'xgm > 800'"
            )
        args.delay, args.i0 = (self._words(getattr(args, name), name) for name in ("delay", "i0"))
        chain, config = self._chain(args), self._config(args)
        self._refuse_there()
        config.text += f"\n# {shared.run_of(args.run)}, trains {args.trains}, suspect {args.suspect or 'use'}"
        self.table: Table = self._there("table.zarr", "config", config.text) or analysis.table(
            shared.run_of(args.run),
            self.folder / "table.zarr",
            config,
            args.overwrite,
            rows="frames",
            trains=args.trains,
            cluster=self.cluster,
            **self._given(("limit", *OF_TABLE)),
        )
        lit = ["pulses > 0"] if "pulses" in self.table.names else []
        try:
            self.good = self.table.select(GOOD, *lit, *([args.where] if args.where else []))
        except (KeyError, ValueError) as e:
            raise UsageError(f"--where {args.where}: {text_of(e)}") from e
        told = {name: str(getattr(args, name)) for name in sorted({*self._own(), *OF_CUBE})}
        self.cube: Cube = self._there("cube.zarr", "recipe", told) or self._cube(args, chain, told)

    def _refuse_there(self) -> None:
        """Refuse to begin what could not be saved."""
        there = [path for name in ("table.zarr", "cube.zarr") if (path := self.folder / name).exists()]
        if there and not (self.args.overwrite or self.args.resume or restarted()):
            raise PlanError(
                f"{there[0]} exists: --resume takes what this recipe made before, --overwrite replaces it; or give "
                "another folder"
            )

    def _there(self, name: str, key: str, told: Any) -> Any:
        """Return what an interrupted run of this recipe has finished.

        Raises
        ------
        PlanError
            If it was made with other options.
        """
        from dxflow import analysis

        path = self.folder / name
        if not path.exists() or not (self.args.resume or made_before(path, self.args.overwrite)):
            return None
        found = analysis.open(path)
        if found.about.get(key) != told:
            raise PlanError(f"{path}: it was made with other options; --overwrite makes it anew")
        return found

    def _cube(self, args: argparse.Namespace, chain: list[Any], told: dict[str, str]) -> Cube:
        mask = {"mask": shared.mask_of(args.mask)} if args.mask else {}
        delay, i0 = self._named(args.delay, "delay"), self._named(args.i0, "i0")
        cube = self.table.cube(
            {str(delay): args.bins},
            of=[i0] if i0 else [],
            where=GOOD,
            normalise=i0,
            on=args.on,
            off=args.off,
            images=chain or Frames(**shared.of_frames(args)),
            run=shared.run_of(args.run),
            azint=self.options_of(AzimuthalIntegration, *AZINT) or True,
            cluster=self.cluster,
            **mask,
            **self._given(OF_IMAGES),
        )
        cube.about |= {"recipe": told, **job()}
        cube.save(self.folder / "cube.zarr", args.overwrite)
        return cube

    def _chain(self, args: argparse.Namespace) -> list[Any]:
        """Return what makes images of raw data."""
        if args.dark and args.constants:
            raise PlanError("scan: dark= and constants= were given; expected one of them")
        if args.dark:
            return [Subtract(dark=args.dark, **shared.narrowed(Subtract, args))]
        if args.constants:
            own = self.options_of(Calibrate, "stage") | shared.narrowed(Calibrate, args)
            return [Calibrate(constants=args.constants, **own)]
        return []

    def _config(self, args: argparse.Namespace) -> Any:
        """Return what is in the table: what ``--config`` says, the delay, the incoming intensity and the pump."""
        from dxflow.analysis import config

        given = {"delay": args.delay, "i0": args.i0, "pumped": None if args.config else ["pumped"]}
        keys = {
            name: " ".join(what)
            for name, what in given.items()
            if what and (len(what) > 1 or name == "pumped")
        }
        own = {"variables": keys, "rows": "frames", **({"detector": args.detector} if args.detector else {})}
        if not args.config:
            return config.of(own)
        made = config.of(args.config)
        if twice := sorted({*keys} & {*made.variables}):
            raise UsageError(
                f"--{twice[0]} {keys[twice[0]]}: {args.config} has a variable {twice[0]!r}; give its name"
            )
        made.variables |= config.of(own).variables if keys else {}
        made.detector = args.detector or made.detector
        made.text += "".join(f"\n# {name}: {key}" for name, key in keys.items())
        made.text += f"\n# detector: {args.detector}" if args.detector else ""
        return made

    @staticmethod
    def _words(given: list[str] | None, name: str) -> list[str] | None:
        """Return what an option says as a source and a key, also where both are one word of the line; or a name."""
        words = None if given is None else [word for one in given for word in str(one).split()]
        if words is not None and not 0 < len(words) < 3:
            raise UsageError(
                f"--{name} {' '.join(words)}: expected SOURCE KEY, or the name of a variable of --config"
            )
        return words

    @staticmethod
    def _named(given: list[str] | None, name: str) -> str | None:
        """Return the variable of the table that an option means."""
        if given is None:
            return None
        return given[0] if len(given) == 1 else name

    def _given(self, names: tuple[str, ...]) -> dict[str, Any]:
        return {name: value for name in names if (value := getattr(self.args, name)) is not None}

    def plot(self, args: argparse.Namespace) -> None:
        """Plot on, off and difference against the delay."""
        from dxflow.recipes._pumpprobe_plot import plot

        self.save(plot(self.compared, str(args.run)), "scan.png")

    @cached_property
    def compared(self) -> xr.Dataset:
        """On, off, their difference and its error, (delay, q) each."""
        cube = self.cube
        parts = {
            "on": cube.on["azint_mean"],
            "off": cube.off["azint_mean"],
            "difference": cube.difference["azint"],
            "error": cube.difference["azint_sem"],
        }
        return xr.Dataset(
            {f"difference.{name}": array.drop_vars("pump", errors="ignore") for name, array in parts.items()}
        )

    def report(self) -> str:
        """Return which rows were used, what was lost, and where the effect is largest."""
        rows = [f"rows     {line}" for line in repr(self.good).splitlines()]
        notes = [f"note     {line}" for line in self.cube.stored.attrs["notes"].splitlines()]
        files = [f"result   {self.folder / name}" for name in ("table.zarr", "cube.zarr")]
        return "\n".join(
            [*rows, *notes, largest(self.compared), *files, *(f"plot     {path}" for path in self.pictures)]
        )


if __name__ == "__main__":
    DelayScan.script()
