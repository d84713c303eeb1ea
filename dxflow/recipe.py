"""Recipe: passes over runs, one after the other, with options, cluster, folder and report as all recipes have them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from . import api, geometry
from .clusters.kept import kept
from .copying.copy import copy_run
from .copying.plan import plan_copy
from .declare.algorithm import Algorithm
from .declare.exposures import FrameClock
from .declare.inputs import Frames
from .declare.signatures import actions
from .disk import ours
from .driver.journal import restarted
from .errors import PlanError
from .errors.near import did_you_mean, listed
from .errors.usage import OptionParser, UsageError, spoken
from .line import exits, labels, naming
from .line import options as shared

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from .driver.copied import CopyReport
    from .driver.result import Result
    from .run.selection import FrameSelection

GEOMETRY: dict[str, dict[str, Any]] = {
    "geometry": {"required": True, "help": ".geom, .h5, .poni or .npy file with the pixel positions"},
    "distance": {"type": float, "help": "sample to detector in m, if the geometry does not say it"},
    "energy": {"type": float, "help": "photon energy in keV, if the geometry does not say it"},
}
OF_COPIES = ("detector", "resume", "overwrite", "quiet")
"""Options of a pass that copies have, too."""


class Parser(OptionParser):
    """Takes the options of a recipe: its own, as any `argparse.ArgumentParser`, those of geometries, of algorithms."""

    def add_run(self, name: str, what: str) -> None:
        """Add a run that is read."""
        self.add_argument(name, metavar=name.upper(), help=f"{what}: {shared.RUN}")

    def add_geometry(self) -> None:
        """Add ``--geometry``, which must be given, ``--distance`` and ``--energy``."""
        for name, given in GEOMETRY.items():
            self.add_argument(f"--{name}", **given)

    def add_options_of(self, algorithm: type[Algorithm], *names: str) -> None:
        """Add options of an algorithm as it declares them: all or those named, unless they are there already."""
        there = {action.dest for action in self._actions}
        for name, action in actions(algorithm).items():
            if name not in there and (name in names or not names):
                self._add_action(action)


class Recipe:
    """Passes over runs that belong together, as a command: `passes` says which, and everything else is there.

    A file with a recipe is run by ``dxflow recipe path/to/file.py [options]``, and by itself where it ends with
    ``if __name__ == "__main__": MyRecipe.script()``. All passes share one cluster. Beside its own options a recipe has
    those of a pass (``--cluster``, ``--frames``, ``--modules``, ``--mask``, ``--on-fault``, ``--resume``,
    ``--overwrite`` and so on), which `reduce` fills in.

    Parameters
    ----------
    **options
        Those of the command line, by name; `results` has what came out once it is `run`.

    Examples
    --------
    >>> class LitMean(Recipe):
    ...     '''Mean of the frames with X-rays.'''
    ...
    ...     @classmethod
    ...     def add_arguments(cls, parser):
    ...         parser.add_run("run", "with and without X-rays")
    ...
    ...     def passes(self, args):
    ...         lit = self.reduce(args.run, LitFrames(), "lit.zarr")
    ...         self.reduce(args.run, Average(), "mean.zarr", frames=lit)
    >>> made = LitMean(run="r0001", to="r0001_lit").run()
    >>> made.results["mean"].dataset["average.mean"]
    """

    PLOTS: ClassVar[Sequence[str]] = ()
    """Names of the pictures that `plot` saves, in the folder of the results."""
    GROUPED: ClassVar[bool] = True
    """Whether ``--by`` makes groups of its algorithms that can be grouped; refused otherwise, as of a plot without."""

    def __init__(self, **options: Any) -> None:
        parser = self.parser()
        known = {action.dest: action for action in parser._actions}
        if unknown := sorted(set(options) - set(known)):
            raise TypeError(
                f"{type(self).__name__}: unknown option {unknown[0]!r}.{did_you_mean(unknown[0], known)} "
                f"Options: {listed(known)}"
            )
        for name, value in options.items():
            action = known[name]
            action.required, action.default = False, value
            action.nargs = action.nargs if action.option_strings else "?"
        self._begin(parser.parse_args([]))

    def _begin(self, args: argparse.Namespace) -> None:
        self.args, self.folder = args, Path(args.to)
        if args.by is not None and not self.GROUPED:
            raise UsageError(f"--by {args.by}: this recipe makes no groups; use --where, or dxflow reduce")
        self.cluster: Any = shared.cluster_of_pass(args)
        """Where all passes run."""
        self.results: dict[str, Result] = {}
        """What came out, by the name of its file without the suffix, in the order of the passes."""
        self.copies: dict[str, CopyReport] = {}
        """What was copied, by the name of the copy."""
        self.resumed: set[str] = set()
        """Copies that were there, and are what this recipe would make."""
        self._grouped = False
        self.pictures: list[Path] = []
        """What `save` saved."""

    # What a recipe says -----------------------------------------------------------------------------

    @classmethod
    def add_arguments(cls, parser: Parser) -> None:
        """Declare options of its own. Default: none."""

    def passes(self, args: argparse.Namespace) -> None:
        """Reduce: call `reduce` once for each pass."""
        raise TypeError(f"{type(self).__name__} does not implement passes")

    def plot(self, args: argparse.Namespace) -> None:
        """Plot what is in `results` and `save` it, after the cluster has ended. Default: nothing."""

    # What it has for that ---------------------------------------------------------------------------

    def reduce(
        self, run: Any, algorithms: Algorithm | Sequence[Algorithm], to: str, **options: Any
    ) -> Result:
        """Reduce a run as `dxflow.reduce` does, with the options of the command line.

        Parameters
        ----------
        run, algorithms
            As in `dxflow.reduce`; ``--detector`` and ``--modules`` narrow the frames that are read.
        to : str
            Name of the result, in the folder of the recipe (``--to``).
        **options
            Of `dxflow.reduce`, in place of those of the command line; ``by=None`` makes no groups.
        """
        several = algorithms if isinstance(algorithms, Sequence) else [algorithms]
        groups = options.pop("by", self.args.by) is not None
        if groups or options.get("where", self.args.where) is not None:
            naming.take(self.args, shared.run_of(run), several, self.cluster)
        given = shared.of_plan(self.args) | {"cluster": self.cluster} | options
        chosen = [_narrowed(a, shared.of_frames(self.args)) for a in several]
        chosen = labels.grouped(chosen, self.args) if groups else chosen
        self._grouped |= groups and any(labels.takes(a) for a in chosen)
        # A slash at the end is a format.
        result = api.reduce(shared.run_of(run), chosen, f"{self.folder}/{to}", **given)
        self.results[Path(to).stem] = result
        return result

    def copy(self, run: Any, to: str, **options: Any) -> CopyReport | None:
        """Copy a run as `dxflow.copy_run` does, with the options of the command line, where the passes run.

        Parameters
        ----------
        run
            As in `dxflow.copy_run`.
        to : str
            Name of the copy, in the folder of the recipe.
        **options
            Of `dxflow.copy_run`, in place of those of the command line.

        Returns
        -------
        CopyReport or None
            None where an interrupted run of this recipe (``--resume``, or a job that Slurm started again) has made it
            already.

        Raises
        ------
        PlanError
            If it made another one.
        """
        given = {name: getattr(self.args, name) for name in OF_COPIES} | {"cluster": self.cluster} | options
        resume, there = self.args.resume or restarted(), self.folder / to
        if resume and there.exists() and not options.get("dry_run"):
            own = {name: value for name, value in given.items() if name != "dry_run"} | {"resume": True}
            plan = plan_copy(shared.run_of(run), there, **own)
            if plan.finished is not None:
                plan.folder.settle()
                self.resumed.add(to)
                return None
        made = copy_run(shared.run_of(run), self.folder / to, **given)
        if not options.get("dry_run"):
            self.copies[to] = made
        return made

    def earlier(self, to: str) -> list[str]:
        """Return what is to be said of a copy that is there, but was neither made nor compared now: a line, or none."""
        if to in self.copies or to in self.resumed or not (self.folder / to).exists():
            return []
        return [
            f"note     {self.folder / to} was there before, and may be of other results than these: move it away, "
            "or give the same with --overwrite where it is to be made anew"
        ]

    @property
    def pulses_and_cells(self) -> FrameSelection | None:
        """What ``--frames`` says of pulses and cells: these other runs have as well, its trains and results not."""
        texts = self.args.frames or ()
        return shared.frames_of([text for text in texts if text.startswith(("pulses=", "cells="))])

    @property
    def elsewhere(self) -> dict[str, Any]:
        """Options of `reduce` for other runs than the one that selections are about: they have no such labels."""
        return {"frames": self.pulses_and_cells, "where": None, "labels": None, "by": None}

    def options_of(self, algorithm: type[Algorithm], *names: str) -> dict[str, Any]:
        """Return options of an algorithm, or those named, that this recipe has as well, as far as they are given."""
        own, args = type(self)._own(), vars(self.args)
        return {n: args[n] for n in names or actions(algorithm) if n in own and args[n] is not None}

    def positions(self) -> NDArray:
        """Return the pixel centres of ``--geometry`` and ``--distance``, (module, ss, fs, 3) in m."""
        return geometry.positions(self.args.geometry, self.args.distance)

    def save(self, figure: Any, name: str) -> None:
        """Save a figure of matplotlib as one of `PLOTS`, in place of one of an earlier run."""
        # A layout is made before the last numbers of axes are known: "tight" cuts nothing off.
        figure.savefig(self.folder / name, metadata=ours.SOFTWARE, bbox_inches="tight", pad_inches=0.1)
        self.pictures.append(self.folder / name)

    # How it runs ------------------------------------------------------------------------------------

    @classmethod
    def parser(cls) -> Parser:
        """Return the parser of all options."""
        file = Path(cls.passes.__code__.co_filename)
        name = file.stem if cls.__module__ == f"dxflow.recipes.{file.stem}" else file.name
        parser = Parser(
            prog=f"dxflow recipe {name}",
            description=(cls.__doc__ or "").partition("\n\n")[0],
            allow_abbrev=False,
        )
        cls.add_arguments(parser)
        try:
            parser.add_argument("--to", metavar="DIR", required=True, help="folder for what comes out")
            shared.add_pass_options(parser)
        except argparse.ArgumentError as e:
            raise TypeError(
                f"{cls.__name__}: all recipes have {e.argument_name}: give your own option another name"
            ) from e
        return parser

    @classmethod
    def _own(cls) -> set[str]:
        """Return the options that are its own."""
        parser = Parser(add_help=False)
        cls.add_arguments(parser)
        return {action.dest for action in parser._actions}

    @classmethod
    def of_line(cls, argv: Sequence[str] | None = None) -> Self:
        """Return the recipe that a command line describes; that of the process by default."""
        made = cls.__new__(cls)
        made._begin(cls.parser().parse_args(argv))
        return made

    def run(self) -> Self:
        """Do all passes, and plot."""
        self.reduce_all()
        self.plot(self.args)
        return self

    def reduce_all(self) -> None:
        """Do all passes, on one cluster, unless pictures could not be saved."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise PlanError(f"{self.folder}: expected a folder for what comes out: {e.strerror}") from e
        for name in self.PLOTS:
            if why := ours.obstacle(self.folder / name, [ours.PICTURE]):
                raise PlanError(why)
        with kept(self.cluster):
            self.passes(self.args)

    def report(self) -> str:
        """Return what was read, how fast, what was lost and where the results are."""
        said = [f"--- {name}\n{spoken(result.report())}" for name, result in self.results.items()]
        said += [f"--- copy {name}\n{spoken(made.brief())}" for name, made in self.copies.items()]
        if self.args.by is not None and not self._grouped:
            said.append(
                f"note     --by {self.args.by} changed nothing: no algorithm of this recipe can be grouped"
            )
        return "\n".join([*said, *(f"plot     {path}" for path in self.pictures)])

    @property
    def failed(self) -> bool:
        """Whether something is missing though the others were made: the exit code is 1 then."""
        return False

    @classmethod
    def main(cls, argv: Sequence[str] | None = None) -> int:
        """Run from a command line and print the report, also where plotting fails; return the exit code."""
        made = cls.of_line(argv)
        made.reduce_all()
        try:
            made.plot(made.args)
        except Exception as e:
            e.add_note(f"Only plotting failed: all results are in {made.folder}")
            raise
        finally:
            print(made.report())
        return exits.FAILED if made.failed else exits.OK

    @classmethod
    def script(cls) -> None:
        """Run as a script of its own: what goes wrong is one message and an exit code."""
        sys.exit(exits.code_of(cls.main))


def _narrowed(algorithm: Algorithm, asked: dict[str, Any]) -> Algorithm:
    """Return an algorithm that reads only the detector and modules that are asked for, unless it says which itself."""
    usual, own = type(algorithm).inputs, dict[str, Any](algorithm.inputs)
    narrow = {
        alias: what.narrowed(**asked)
        for alias, what in own.items()
        if asked and (frames := _frames(what)) and frames is _frames(usual.get(alias))
    }
    if not narrow:
        return algorithm
    same = copy(algorithm)
    same.inputs = {**algorithm.inputs, **narrow}
    return same


def _frames(what: Any) -> Frames | None:
    """Return the frames that an input is of, None of what has no pixels."""
    return what.frames if isinstance(what, FrameClock) else what if isinstance(what, Frames) else None
