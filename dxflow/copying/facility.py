"""Lit frames for the facility's own copier: a method of exdf-tools, which loads this by its entry point."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

import numpy as np
from exdf.data_reduction import ReductionMethod
from numpy.typing import NDArray

from ..errors import PlanError
from ..run.detectors import Found, find
from ..run.open import opened
from .lit import Chosen, Lit, choose_lit
from .patterns import SELECT


class LitFrames(ReductionMethod):
    """Drops frames without X-rays of XTDF detectors.

    Frames are matched by memory cell, in each train that has any to be dropped.

    Parameters
    ----------
    data : extra_data.DataCollection
    args : argparse.Namespace
        With the options of `arguments`.
    """

    log = logging.getLogger("exdf.data_reduction.dxflow.LitFrames")

    @staticmethod
    def arguments(ap: argparse.ArgumentParser) -> None:
        """Add the options of the method to the copier's."""
        add = ap.add_argument_group("dxflow lit frames", "Drops frames without X-rays").add_argument
        add(
            "--dxflow-lit",
            choices=("timing", "intensity"),
            help="how lit frames are found; without it all stay",
        )
        add(
            "--dxflow-det-sources",
            default="*",
            metavar="PATTERN",
            help="sources of detectors that are reduced",
        )
        words = "lit frames; rows of 32 cells with one; cells that are lit in any train; rows of these"
        add("--dxflow-select", choices=SELECT, default="cell", help=words)
        add("--dxflow-energy", type=float, metavar="MIN", help="only frames whose pulses have more")
        add("--dxflow-margin", type=int, default=0, metavar="N", help="frames before and after that are kept")
        add("--dxflow-no-guess", action="store_true", help="trains without bunch pattern keep all frames")
        add("--dxflow-keep-empty", action="store_true", help="keep all frames of trains without lit ones")
        add(
            "--dxflow-agree",
            type=int,
            default=0,
            metavar="N",
            help="compare with intensity on N trains of each pattern",
        )
        add("--dxflow-limit", type=float, default=0.01, metavar="SHARE", help="of frames that may differ")
        add("--dxflow-reference-frame", type=int, metavar="N", help="frame that the first pulse falls into")
        add(
            "--dxflow-report-max-lines",
            type=int,
            default=20,
            metavar="N",
            help="lines of the table of patterns",
        )

    def __init__(self, data: Any, args: argparse.Namespace) -> None:
        if not args.dxflow_lit:
            return
        lit, run = _lit(args), opened(data)
        for found in self._detectors(data, args.dxflow_det_sources):
            chosen = choose_lit(lit, run, found, run.train_ids, "here", quiet=True)
            for line in chosen.lines[: args.dxflow_report_max_lines]:
                self.log.info(line)
            if chosen.refused:
                raise PlanError(chosen.refused)
            for source in found.sources.values():
                self.log.info("select frames in %s", source)
                self._cut(data[source], source, chosen)

    @staticmethod
    def _detectors(data: Any, pattern: str) -> Iterator[Found]:
        """Yield the detectors with memory cells of which some modules are meant, with these."""
        for found in find(data.instrument_sources - set(data.legacy_sources)):
            own = {m: s for m, s in found.sources.items() if fnmatchcase(s, pattern)}
            if own and found.detector.pulses:
                yield Found(found.name, found.detector, found.data, own)

    def _cut(self, source: Any, name: str, chosen: Chosen) -> None:
        """Select the frames of a module, train by train."""
        from extra_data import by_id

        assert chosen.selection.in_cells is not None
        kept = _by_train(*(np.asarray(ids) for ids in chosen.selection.in_cells))
        for train, cells in source["image.cellId"].trains():
            mask = np.isin(np.ravel(cells), kept.get(int(train), ()))
            if len(mask) and not mask.all():
                self.select_xtdf(name, by_id[[train]], mask)


def _lit(args: argparse.Namespace) -> Lit:
    """Return the choice that options describe."""
    frame = args.dxflow_reference_frame
    return Lit(
        by=args.dxflow_lit,
        select=args.dxflow_select,
        energy=args.dxflow_energy,
        margin=args.dxflow_margin,
        guess_missed=not args.dxflow_no_guess,
        keep_empty=args.dxflow_keep_empty,
        agree=args.dxflow_agree or None,
        limit=args.dxflow_limit,
        timing={} if frame is None else {"reference_frame": frame},
    )


def _by_train(trains: NDArray, cells: NDArray) -> dict[int, NDArray]:
    """Return the memory cells of each train."""
    order = np.argsort(trains, kind="stable")
    ids, starts = np.unique(trains[order], return_index=True)
    return dict(zip(ids.tolist(), np.split(cells[order], starts[1:]), strict=True))
