"""Result: what came out, what was lost, where the time went."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import html
from ..errors.kinds import PATH, expect
from ..planning.words import text
from ..run import losses
from ..run.variants import variable
from . import words

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from ..run.losses import Loss


def _led_to(path: Path) -> Path:
    """Return the snapshot of a live reduction that a path leads to now: soon it leads to another one."""
    return path.resolve() if path.is_symlink() and path.readlink().parent.suffix == ".live" else path


class Result:
    """A finished reduction.

    Parameters
    ----------
    path : path
        Of the store.
    keep : object, optional
        What must live as long as the result: the store of a result without a name.
    """

    def __init__(self, path: str | Path, keep: Any = None) -> None:
        self.path, self._keep = _led_to(Path(path)), keep

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """How it was made: inputs, options, versions, chunks, losses, times."""
        from ..stores.opening import manifest

        return manifest(self.path)

    @cached_property
    def dataset(self) -> xr.Dataset:
        """The results, labelled and lazy: values are read when used.

        Raises
        ------
        TypeError
            If it is a copy of a run.
        """
        from ..stores.opening import dataset

        if self.is_copy:
            raise TypeError(
                f"{self.path} is a copy of a run and not a reduction: open it with extra_data.RunDirectory"
            )
        return dataset(self.path, self._keep)

    @cached_property
    def table(self) -> Any:
        """The rows of the result as a `dxflow.analysis.Table`: one per frame, with values of trains beside them.

        The frames of the first detector are the rows. Those of others are joined to them by train and pulse, and
        devices with one entry per train are values of the train.

        Raises
        ------
        ValueError
            If two frames have the same train and pulse.
        """
        # What stands above results.
        return import_module("dxflow.analysis.results").table(self)

    @property
    def losses(self) -> pd.DataFrame:
        """What could not be used: one row per cause, source, module and stretch of trains; printed in words."""
        from ..run.tables import table

        return table(losses.from_json(self.manifest["losses"]))

    @property
    def account(self) -> pd.DataFrame:
        """Frames per module: expected = used + masked, one column per cause.

        "there" are those of the files before any selection. Algorithms that could use fewer frames of an input than
        others ("no dark") have rows of their own, and "input" says whose; module -1 are entries of a camera or device.
        """
        from ..run.tables import Account

        rows = [
            {
                **{k: v for k, v in r.items() if k not in ("masked", "algorithms")},
                "input": name,
                **r["masked"],
            }
            for name, r in words.by_reader(self.manifest["account"])
        ]
        causes = {cause: int for row in self.manifest["account"] for cause in row["masked"]}
        return Account(rows).fillna(0).astype(causes)

    @property
    def times(self) -> dict[str, Any]:
        """Seconds: "wall"; "sum" and "workers" with "read", "wait", "compute", "write"; "bound", a sentence.

        "pass" are those from the first chunk submitted to the last one finished: "wall" without starting workers,
        merging and writing the result. "readers" are the threads that read ahead on each worker, once that was
        measured; 0 where it reads in between.
        """
        return self.manifest["times"]

    @property
    def cluster(self) -> dict[str, Any]:
        """What the run cost: "workers", "busy", "efficiency", "nodes", "advice", and of a queue "jobs".

        Where there is a queue also "asked" and "used" (node-seconds), "waited" (seconds until the first job ran),
        "deaths" and "requeues".
        """
        return self.manifest["cluster"]

    def selection(self, of: str | None = None) -> xr.DataArray:
        """Return the boolean per-frame output by which ``frames=result`` selects.

        Parameters
        ----------
        of : str, optional
            Where several select: the algorithm, or the variant of it, that is meant: ``frames=result.selection(
            "litframes_2")``.

        Raises
        ------
        TypeError
            If no algorithm of this result selects frames, or it has no such one.
        ValueError
            If several do, and none is named.
        """
        names = [name for name in self.dataset.attrs.get("selection", "").split(", ") if name]
        if not names:
            raise TypeError(
                f"{self.path} selects no frames; it holds {sorted(map(str, self.dataset.data_vars))}"
            )
        if of is not None:
            return self._selection(names, of)
        if len(names) > 1:
            raise TypeError(
                f"{self.path} holds several selections, {', '.join(names)}: give one of them as "
                "frames=result.dataset[...], or a list of those that must all agree"
            )
        return self.dataset[names[0]]

    def _selection(self, names: Sequence[str], of: str) -> xr.DataArray:
        """Return what one algorithm, or one variant, selects."""
        for key in dict.fromkeys(name.rpartition(".")[2] for name in names):
            if (found := variable(self.dataset, f"{of}.{key}")) is not None:
                return found
        raise TypeError(f"{self.path}: no {of!r} selects frames; there are {', '.join(names)}")

    def fingerprint_value(self) -> Path:
        """Return what identifies it where it is an option of another reduction: what it holds."""
        return self.path

    @property
    def kept(self) -> bool:
        """Whether it stays when nobody uses it any more: it was given a name."""
        return not getattr(self._keep, "temporary", False)

    @property
    def is_copy(self) -> bool:
        """Whether it is a copy of a run, made by `dxflow.copy_run`: files for EXtra-data, and no `dataset`."""
        return self.manifest.get("kind") == "copy"

    def report(self, said: Iterable[Loss] = ()) -> str:
        """Return a summary: what was read, how fast, what was used and lost, where the result is.

        Parameters
        ----------
        said : iterable of Loss
            Losses that stand above it already, such as those of a printed plan.
        """
        if self.is_copy:
            from .copied import CopyReport

            return str(CopyReport.from_json({**self.manifest["report"], "path": str(self.path)}))
        return text(words.of_result(self, said), 9)

    def __repr__(self) -> str:
        return f"<dxflow.Result {self.path}>\n{self.report()}"

    def _repr_html_(self) -> str:
        if self.is_copy:
            return html.table("Copy", [("", line) for line in self.report().splitlines()], str(self.path))
        about = html.table("Result", words.of_result(self), str(self.path))
        return about + words.drawn(self.manifest) + html.folded("dataset", self.dataset._repr_html_())


def open_result(path: str | Path) -> Result:
    """Return a result that was written before, of any format.

    Parameters
    ----------
    path : path
        What `reduce` was given as `to`.

    Returns
    -------
    Result

    Raises
    ------
    FileNotFoundError
        If there is none, or only an unfinished one.
    OSError
        If there is something else, or its manifest is damaged, or files of it are missing or cut short.
    """
    from ..disk import manifest as _manifest

    expect(PATH, path, "path=")
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: {_instead(path)}")
    result = Result(path)
    try:
        result.manifest  # noqa: B018 - reading it is the test
    except FileNotFoundError:
        raise FileNotFoundError(f"{path} is no result of dxflow: it has no dxflow.json") from None
    if path.is_dir():
        _manifest.whole(path)
    return result


def _instead(path: Path) -> str:
    """Return what there is instead of a result."""
    from ..disk.manifest import MANIFEST
    from ..errors.near import did_you_mean, listed
    from ..stores.named import formats

    if path.with_name(path.name + ".partial").exists():
        return "unfinished; reduce the run again with resume=True (--resume) to complete it"
    folder = path.absolute().parent
    if not folder.is_dir():
        return f"no such result: the folder {folder} does not exist"
    there = [
        p.name
        for p in folder.iterdir()
        if (p / MANIFEST).is_file() or (p.suffix in formats() and p.is_file())
    ]
    return "no such result" + (
        f".{did_you_mean(path.name, there)} There are: {listed(there)}" if there else ""
    )
