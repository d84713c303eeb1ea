"""Runs that grow without waiting: the next files come when there is nothing else to do."""

import shutil
from pathlib import Path

import numpy as np
from samples import Above, Stats, TrainSums

import dxflow
from dxflow import Frames
from dxflow.driver.result import Result
from dxflow.live import folder, following
from dxflow.live.folder import Ending, GrowingRun

TWO = Frames(modules=range(2))


COMPANY = (Stats, TrainSums, Above)
CHUNK = "3 trains"


def options(chunk=CHUNK):
    return {"chunk": chunk, "on_fault": "mask", "quiet": True}


class Planner:
    """Makes plans of some algorithms."""

    def __init__(self, makers=COMPANY, **own):
        self.makers, self.own = makers, own

    def __call__(self, run, to, *, chunk, resume=False):
        made = [make(img=TWO, **self.own.get(make.ALG_ID, {})) for make in self.makers]
        return dxflow.plan(run, made, to, resume=resume, **options(chunk))

    def changed(self, asked):
        if asked.algorithm != "above":
            raise ValueError(f"no algorithm {asked.algorithm!r}")
        return Planner(self.makers, above={"ss": tuple(int(n) for n in asked.options["ss"].split())})


class Fed(GrowingRun):
    """A run that gets the next files as soon as it waits for some, and ends after the last.

    Parameters
    ----------
    whole : path
        Of the whole run.
    batches : sequence of sequence of str
        Texts in the names of the files that come together.
    """

    def __init__(self, whole, run, batches, makers=COMPANY, **given):
        given = {"chunk": CHUNK, "quiet": 0, "end": Ending(np.inf)} | given
        super().__init__(run, Planner(makers), {"source": str(run)}, **given)
        self.whole, self.batches, self.said = Path(whole), [list(one) for one in batches], []

    def get(self, parts):
        """Take over the files that have one of some texts in their names."""
        Path(self.run).mkdir(exist_ok=True)
        for file in sorted(self.whole.glob("*.h5")):
            if any(part in file.name for part in parts):
                shutil.copy2(file, self.run)

    def look(self):
        found = super().look()
        if isinstance(found, str):
            self.said.append(found)
            if self.batches:
                self.get(self.batches.pop(0))
            else:
                self._end = Ending(0.0)
        return found


class Kept:
    """An observer that keeps what it is told, with the values of each snapshot."""

    def __init__(self):
        self.about, self.snapshots, self.statuses, self.values, self.attributes = None, [], [], [], []
        self.closed = False

    def begin(self, about):
        self.about = about

    def snapshot(self, snapshot):
        result = Result(snapshot.path)
        self.snapshots.append(snapshot)
        self.values.append({k: v.values.tobytes() for k, v in result.dataset.variables.items()})
        self.attributes.append({k: dict(v.attrs) for k, v in result.dataset.variables.items()})

    def status(self, status):
        self.statuses.append(status)

    def close(self):
        self.closed = True


def at_once(monkeypatch):
    """Have nothing waited for by the clock."""
    monkeypatch.setattr(following, "POLL", 0.0)
    monkeypatch.setattr(folder, "SETTLED", -1.0)
    monkeypatch.setattr(folder, "IDLE", 0)
