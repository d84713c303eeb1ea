"""Volumes of runs are made while that is killed: python -m campaign.volumes [--runs 10] [--kills 5] [--seed 0].

What is there in the end must be whole: verified, also with the originals, crate and DataCite right, nothing left over.
"""

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dxflow.commands.main import main as dxflow
from dxflow.simulate import make_run

FACTS = Path(__file__).parents[1] / "proposals.py"
KEPT = (
    "keep: raw",
    "keep: frames, frames: 'pulses=0:2'",
    "keep: regions, modules: [1]",
    "keep: coded, codec: deflate, round: abs=0.5",
    "keep: frames, trains: 3",
)


class Volumes:
    """A proposal of runs, and a volume of them."""

    def __init__(self, folder, runs):
        self.folder, self.kills = folder, 0
        rows = []
        for number in range(1, runs + 1):
            make_run(
                folder / f"raw/r{number:04}",
                run=number, detector="AGIPD500K", trains=12, pulses=4, module_shape=(32, 32), sequences=2,
            )  # fmt: skip
            rows.append(f"  - {{run: raw/r{number:04}, {KEPT[number % len(KEPT) - 1]}}}")
        scope = {}
        exec(FACTS.read_text(), scope)
        (folder / "red.yaml").write_text("\n".join([f"to: red\n{scope['FACTS']}runs:", *rows, ""]))
        self.before = self.contents("raw")
        self.files = sum(name.endswith(".h5") for name in self.before)

    def contents(self, where):
        """Return SHA-256 of all files below a folder."""
        place = self.folder / where
        return {
            str(path.relative_to(place)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in place.rglob("*")
            if path.is_file()
        }

    def start(self):
        words = [sys.executable, "-m", "dxflow", "red", "run", "red.yaml", "--quiet"]
        with (self.folder / "log.txt").open("ab") as log:
            return subprocess.Popen(words, cwd=self.folder, stdout=log, stderr=log, start_new_session=True)

    def made(self):
        """Return how many files there are in the volume, also those of copies that are not complete."""
        return sum(1 for _ in (self.folder / "red").rglob("*.h5")) if (self.folder / "red").exists() else 0

    def run(self, kills, seed):
        """Make the volume, killed with all its processes so often on the way; return the last exit code."""
        rng = random.Random(seed)
        for number in range(kills):
            # Spread over the whole, and anywhere within a step.
            wanted = self.files * (number + 0.5) / (kills + 1) * 0.6
            process = self.start()
            while self.made() < wanted and process.poll() is None:
                time.sleep(0.005)
            time.sleep(rng.uniform(0.0, 0.3))
            if process.poll() is None:
                self.kills += 1
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        return self.start().wait()

    def problems(self):
        """Return everything that is not as it must be."""
        wrong = [] if self.contents("raw") == self.before else ["runs were changed"]
        os.chdir(self.folder)
        if dxflow(["red", "verify", "red.yaml", "--deep", "--quiet"]):
            wrong.append("red verify says that it is not whole")
        sums = subprocess.run(["sha256sum", "--quiet", "-c", "manifest-sha256.txt"], cwd="red", check=False)
        wrong += ["sha256sum does not agree"] if sums.returncode else []
        left = [
            str(path)
            for path in Path("red").rglob("*")
            if path.name.startswith(".") or "partial" in path.name
        ]
        wrong += [f"left over: {left}"] if left else []
        there = self.contents("red/runs")
        for name, sha in self.before.items():
            number = int(name[1:5])
            if (
                name.endswith(".h5")
                and KEPT[number % len(KEPT) - 1] == "keep: raw"
                and there.get(name) != sha
            ):
                wrong.append(f"{name} is not what it was")
        return wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    here = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="volumes-") as folder:
        made = Volumes(Path(folder), args.runs)
        began = time.monotonic()
        code = made.run(args.kills, args.seed)
        span = time.monotonic() - began
        wrong = made.problems()
        wrong += [] if made.kills == args.kills else [f"killed {made.kills} times only"]
        if code or wrong:
            sys.stdout.write((Path(folder) / "log.txt").read_text())
        os.chdir(here)
        sys.stdout.write(
            f"{args.runs} runs of {made.files} files, killed {made.kills} times, {span:.0f} s: "
            f"{'; '.join(wrong) or 'whole, verified with the originals, crate and DataCite right'} (exit code {code})\n"
        )
    return 1 if code or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
