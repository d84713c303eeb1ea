"""How long the table of a run takes: made of files without a detector, opened, read, cut, binned, and written for LCLS.

    python benchmarks/bench_table.py [--small] [--json FILE] [--trains 20000] [--pulses 352] [--folder DIR]

The run is written first, unless it is there: 20 lists per pulse, as those of a gas monitor, and 40 motors.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

import dxflow
import dxflow.analysis
from dxflow.bench import machine
from dxflow.simulate.exdf import FileFacts, SimulatedFile

XGM, SERVER = "SA1_XTD2_XGM/XGM/DOOCS:output", "SPB_RR_UTC/TSYS/TIMESERVER:outputBunchPattern"
WANTED = {"made": 15.0, "opened": 0.5, "5 cuts": 0.2, "2-D cube of 10": 1.0}
"""Seconds."""
SIZE = {"trains": 20_000, "pulses": 352, "lists": 20, "motors": 40}
SMALL = {"trains": 40, "pulses": 8, "lists": 2, "motors": 3}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--small", action="store_true", help="a size that takes a second")
    parser.add_argument("--json", type=Path, help="write the numbers to this file")
    parser.add_argument("--folder", type=Path, help="of the run, which is kept, and of the tables")
    for name, value in SIZE.items():
        parser.add_argument(f"--{name}", type=int, help=f"default {value}")
    args = parser.parse_args(argv)
    size = {name: getattr(args, name) or (SMALL if args.small else SIZE)[name] for name in SIZE}
    with tempfile.TemporaryDirectory(prefix="bench-table-", dir=args.folder) as name:
        run = (args.folder or Path(name)) / "table-{trains}-{pulses}-{lists}-{motors}".format(**size)
        if not run.exists():
            write_run(run, **size)
        measured = measure(run, Path(name))
    print(
        f"{size['trains']} trains of {size['pulses']} pulses, {size['lists']} per pulse, {size['motors']} per train"
    )
    print(f"{'what':<28} {'s':>8} {'wanted':>8}")
    for what, seconds in measured.items():
        print(f"{what:<28} {seconds:>8.3f} {WANTED.get(what, ''):>8}")
    print(f"largest memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    if args.json:
        args.json.write_text(json.dumps({"size": size, "seconds": measured, **machine.facts()}, indent=1))


def measure(run: Path, folder: Path) -> dict[str, float]:
    """Return the seconds of each step."""
    out: dict[str, float] = {}

    def timed(what: str, step: Callable[[], Any]) -> Any:
        start = perf_counter()
        made = step()
        out[what] = perf_counter() - start
        return made

    warm = {"limit": None, "quiet": True}
    timed(
        "first 10 trains (imports)", lambda: dxflow.analysis.table(run, folder / "w.zarr", trains=10, **warm)
    )
    timed("made", lambda: dxflow.analysis.table(run, folder / "t.zarr", **warm))
    ev = timed("opened", lambda: dxflow.open(folder / "t.zarr"))
    names = [name for name in ev.names if ev.rate(name) == "pulse"]
    timed("a column per pulse", lambda: ev.column(names[0]))
    timed("10 columns per pulse", lambda: [ev.column(name) for name in names[1:11]])
    timed(
        "a motor for each pulse",
        lambda: ev.column(next(n for n in ev.names if ev.rate(n) == "train"), at="pulse"),
    )
    cuts = [ev[name] > 400 for name in names[1:6]]
    motor = next(n for n in ev.names if ev.rate(n) == "train")
    for again in (", first use", ""):
        timed(f"5 cuts{again}", lambda: ev.mask(cuts))
    bins = {motor: 50, names[1]: "200:2000:50"}
    for again in (", first use", ""):
        timed(f"2-D cube of 10{again}", lambda: ev.cube(bins, names[1:11]))
    few = {"trains": 1000, **warm}
    timed("LCLS layout, 1000 trains", lambda: dxflow.analysis.table(run, folder / "t.h5", **few))
    return out


def write_run(path: Path, trains: int, pulses: int, lists: int, motors: int, files: int = 4) -> None:
    """Write the files of a run: lists of 1000 entries as at the facility, and motors that move."""
    path.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, ids in enumerate(np.array_split(np.arange(10001, 10001 + trains, dtype="u8"), files)):
        with SimulatedFile(path, FileFacts("RAW", 900000, 1, "DA01", number, "1.3", ids)) as file:
            keys = {}
            for one in range(lists):
                keys[f"value{one:02d}TD"] = np.ones((len(ids), 1000), "f4")
                keys[f"value{one:02d}TD"][:, :pulses] = rng.gamma(9, 100, (len(ids), pulses))
            file.fast(XGM, "data", keys)
            table = np.zeros((len(ids), 2700), "u4")
            table[:, : pulses * 4 : 4] = 4 << 18
            file.fast(SERVER, "data", {"bunchPatternTable": table})
            for one in range(motors):
                file.control(f"SPB_EXP_SCAN/MOTOR/M{one:02d}", {"actualPosition": rng.random(len(ids))})


if __name__ == "__main__":
    main()
