"""Runs appear while their watcher is killed: python -m campaign.watching [--runs 200] [--kills 20] [--real].

Every run must be done once, none twice, none lost. Tasks take no time by default; with ``--real`` each is a
``dxflow table`` in a process of its own.
"""

import argparse
import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dxflow.simulate import make_run
from dxflow.watch import state

CHEAP = Path(__file__).parents[1] / "watch" / "cheap.py"
CONFIG = """\
results: out
every: 0.2
quiet: 0.3
at_once: {at_once}
tasks:
  table: {{do: "{do}", to: "tables/{{name}}.zarr", wait: 0.5, tries: 3}}
"""


class Killed:
    """A folder in which runs appear, and a watcher that is killed.

    Parameters
    ----------
    folder : Path
    seconds : float
        That a task takes; None for a real table.
    """

    def __init__(self, folder, seconds=0.2, at_once=2):
        self.folder, self.real = folder, seconds is None
        do = "table {path} --quiet" if self.real else f"table {{path}} {seconds}"
        (folder / "what.yaml").write_text(CONFIG.format(do=do, at_once=at_once))
        (folder / "raw").mkdir()
        (folder / "out" / "tables").mkdir(parents=True)
        make_run(folder / "one", detector=None, trains=2, pulses=2, devices=("xgm", "timeserver"))
        self.made, self.kills = [], 0

    def start(self, *options):
        """Start the watcher."""
        program = [sys.executable, "-m", "dxflow", "watch"] if self.real else [sys.executable, str(CHEAP)]
        words = ["raw", "--do", "what.yaml"] if self.real else ["raw", "what.yaml"]
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen([*program, *words, *options], cwd=self.folder, stdout=log, stderr=log)

    def appear(self):
        """Have one more run appear, file by file."""
        run = self.folder / "raw" / f"r{len(self.made) + 1:04d}"
        run.mkdir()
        for file in sorted((self.folder / "one").glob("*.h5")):
            shutil.copy(file, run / file.name)
        self.made.append(run.name)

    def run(self, runs, kills, seed=0, every=1.0):
        """Have runs appear, and kill the watcher so often meanwhile, at random times; then let it finish."""
        rng = random.Random(seed)
        deaths = sorted(rng.uniform(0.2, 0.95) * kills * every for _ in range(kills))
        births = [(n + 0.5) * deaths[-1] / runs for n in range(runs)]
        began, watcher = time.monotonic(), self.start()
        while births or deaths:
            now = time.monotonic() - began
            while births and births[0] <= now:
                births.pop(0)
                self.appear()
            if deaths and deaths[0] <= now:
                deaths.pop(0)
                os.kill(watcher.pid, signal.SIGKILL)
                assert watcher.wait() == -signal.SIGKILL, (self.folder / "log.txt").read_text()
                self.kills += 1
                watcher = self.start()
            time.sleep(0.02)
        # It is ended in order once more, and goes on until nothing is left.
        watcher.kill()
        watcher.wait()
        return self.start("--once").wait()

    def problems(self):
        """Return everything that is not as it must be."""
        runs, rows, _ = state.read(self.folder / "out")
        wrong = [f"{run} was never seen" for run in self.made if run not in runs]
        for run in self.made:
            row = rows.get((run, "table"))
            if row is None or row.state != state.DONE:
                wrong.append(f"{run}: {row}")
            if not (self.folder / "out" / "tables" / f"{run}.zarr").exists():
                wrong.append(f"{run} has no result")
        for word in () if self.real else ("begun", "ended"):
            file = self.folder / "out" / "tables" / word
            times = collections.Counter(file.read_text().split())
            wrong += [f"{run} {word} {times[run]} times" for run in self.made if times[run] != 1]
        if self.real:
            logs = collections.Counter(
                log.parents[2].name
                for log in (self.folder / "out" / "watch").glob("*/table/*/log.txt")
                for line in log.read_text().splitlines()
                if line.startswith("dxflow watch: table")
            )
            wrong += [f"{run} begun {logs[run]} times" for run in self.made if logs[run] != 1]
        return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--every", type=float, default=0.0, help="seconds between kills; default 2, real 15")
    parser.add_argument("--real", action="store_true", help="tasks are tables, made by dxflow")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="watching-") as folder:
        killed = Killed(Path(folder), None if args.real else 0.2)
        began = time.monotonic()
        code = killed.run(args.runs, args.kills, args.seed, args.every or (15.0 if args.real else 2.0))
        wrong = killed.problems()
        said = "; ".join(wrong) or "each done once, none twice, none lost"
        sys.stdout.write(
            f"{len(killed.made)} runs, watcher killed {killed.kills + 1} times, {time.monotonic() - began:.0f} s: "
            f"{said} (exit code {code})\n"
        )
    return 1 if wrong or code else 0


if __name__ == "__main__":
    sys.exit(main())
