"""Do the cases of the catalogue and the damages, each in a fresh copy of a run, and judge them."""

import json
import os
import re
import select
import shutil
import subprocess
import sys
import traceback
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from campaign import catalogue, damage, data, trial
from campaign.catalogue import STOPPED
from campaign.truth import truth

HOLD = "import h5py, time; f = h5py.File({path!r}, 'r+'); print(1, flush=True); time.sleep(600)"


@dataclass(frozen=True)
class Row:
    """A line of the table: what was done, what came of it, and whether that is right."""

    row: str
    text: str
    mode: str
    verdict: str
    right: bool
    said: str = ""
    seconds: float = 0.0
    silent: float = 0.0


class Bases:
    """Simulated runs and their truths, in a folder."""

    def __init__(self, folder):
        self.folder, self._truths = Path(folder), {}

    def truth(self, name, run=None):
        if run is not None:
            return truth(run)
        if name not in self._truths:
            self._truths[name] = truth(self.folder / name)
        return self._truths[name]


def faulty(case, bases, folder):
    """Yield the rows of a case of the catalogue."""
    # Some cases take files of their run's neighbours.
    run = bases.folder / f"spoilt-{os.getpid()}"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(bases.folder / case.base, run)
    built = trial.forked(lambda: None if case.meanwhile else case.build(run))
    if built.said or built.signal or built.hung:
        yield Row(case.row, case.text, "", f"CANNOT BE BUILT: {built.said[-300:]}", False)
        return
    frames = bases.truth(case.base, run if case.own_truth else None)
    holder = _hold(run) if case.held else None
    try:
        for options, expected in case.modes():
            done = trial.reduce(
                *(run, frames, folder, *options),
                algorithms=trial.algorithms(case.raw),
                meanwhile=partial(case.build, run) if case.meanwhile else None,
            )
            yield _judged(case, " ".join(options), expected, done)
    finally:
        if holder is not None:
            holder.kill()
            holder.wait()
        # One that may not be read could not be emptied either.
        run.chmod(0o755)
        shutil.rmtree(run, ignore_errors=True)


def _hold(run):
    """Start a process that holds a file open for writing."""
    code = HOLD.format(path=str(run / catalogue.MODULE_FILE))
    holder = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert holder.stdout is not None
    holder.stdout.readline()
    return holder


def _judged(case, mode, expected, done):
    verdict = STOPPED if done.stopped and STOPPED in expected else done.verdict
    right = verdict in expected and (done.right or verdict == STOPPED)
    words = (*case.says, *(case.words if verdict != "ok" else ()))
    if unsaid := [word for word in words if not done.names(word)]:
        right, verdict = False, f"{verdict}, NOT SAID: {unsaid}"
    elif not right:
        verdict = f"{verdict}, EXPECTED {' or '.join(expected)}"
    return Row(case.row, case.text, mode, verdict, right, done.first, done.seconds, done.silent)


def damaged(seed, bases, folder, configs=tuple(damage.CONFIGS)):
    """Yield the rows of a random damage: by default, and masked where it was refused."""
    random, config = damage.chosen(seed, configs)
    run = bases.folder / f"damaged-{os.getpid()}"
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(bases.folder / config, run, copy_function=os.link)
    built = trial.forked(lambda: damage.mutate(run, random))
    info = built.found.get("value")
    if not isinstance(info, dict):
        yield Row("damage", f"seed {seed} {config}", "", "not built", True, built.said[-200:])
        return
    raw, pulses = "raw" in config, "jungfrau" not in config
    frames, text = bases.truth(config), f"seed {seed} {config} {json.dumps(info, default=str)}"
    for options in ((), ("--on-fault", "mask")):
        done = trial.reduce(run, frames, folder, *options, algorithms=trial.algorithms(raw), pulses=pulses)
        verdict, right = damage.judged(done, info)
        yield Row("damage", text, " ".join(options), verdict, right, done.first, done.seconds, done.silent)
        if done.verdict != "refused":
            break
    shutil.rmtree(run, ignore_errors=True)


def in_processes(tasks, work, processes):
    """Yield the rows of tasks that several forked processes share, as they come."""
    pids = dict(_forked_share(tasks[n::processes], work) for n in range(processes))
    parts = dict.fromkeys(pids, b"")
    while parts:
        for reader in select.select(list(parts), [], [])[0]:
            more = os.read(reader, 1 << 16)
            *lines, parts[reader] = (parts[reader] + more).split(b"\n")
            yield from (Row(**json.loads(line)) for line in lines)
            if not more:
                del parts[reader]
                os.close(reader)
                if status := os.waitpid(pids[reader], 0)[1]:
                    yield Row(
                        "campaign",
                        "a share of the work",
                        "",
                        f"BROKEN: its process ended with {status}",
                        False,
                    )


def _forked_share(tasks, work):
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        return reader, pid
    os.close(reader)
    with os.fdopen(writer, "w") as out:
        for task in tasks:
            for row in _safely(task, work):
                out.write(json.dumps(row.__dict__) + "\n")
                out.flush()
    os._exit(0)


def _safely(task, work):
    """Yield the rows of a task; what goes wrong in the campaign itself is one too."""
    try:
        yield from work(task)
    except Exception:  # noqa: BLE001 - the other tasks are to be done all the same
        yield Row("campaign", str(task)[:100], "", f"BROKEN: {traceback.format_exc()[-400:]}", False)


def named(row, pattern):
    return re.search(pattern, f"{row.row} {row.text}") is not None


def prepare(folder):
    """Make the runs of the catalogue; return them."""
    bases = Bases(folder)
    data.make_bases(bases.folder)
    return bases
