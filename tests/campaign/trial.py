"""Reduce a run in a process of its own by the command line, and judge what comes out."""

import contextlib
import io
import json
import os
import re
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from campaign import finger
from campaign.truth import compare, truth

SECONDS = 60
"""How long nothing may take."""
MEMORY = 8 << 30
FINGER = f"{finger.__file__}:Finger"
# Masks are looked at by cases of their own.
OPTIONS = ("--mask", "none")


@dataclass
class Trial:
    """What became of a reduction."""

    returned: int | None = None
    signal: int = 0
    hung: bool = False
    said: str = ""
    seconds: float = 0.0
    found: dict = field(default_factory=dict)
    left: list = field(default_factory=list)

    @property
    def verdict(self):
        """One of ok, lost, refused, or what is not allowed to be."""
        if self.hung:
            return "HUNG"
        if self.signal or self.returned is None:
            return f"CRASHED ({signal.Signals(self.signal).name if self.signal else 'no exit code'})"
        if "Traceback (most recent call last)" in self.said:
            return "TRACEBACK"
        if self.left:
            return f"LEFT BEHIND {self.left[:2]}"
        if self.returned:
            return "refused" if self.returned == 2 else f"FAILED ({self.returned}): {self.first}"
        return self._of_result()

    def _of_result(self):
        for what in ("unreadable", "wrong", "unnamed", "account"):
            if self.found.get(what):
                return f"{what.upper()}: {self.found[what]}"[:300]
        return "lost" if self.found["missing"] else "ok"

    @property
    def right(self):
        return self.verdict in ("ok", "lost", "refused")

    @property
    def first(self):
        """The first line of what dxflow said was wrong, else the last that it printed."""
        lines = [line for line in self.said.splitlines() if line.strip()] or [""]
        return next((line for line in lines if line.startswith("dxflow:")), lines[-1])[:400]

    def names(self, *words):
        """Return whether some of these words were said, in errors, report or losses."""
        everything = self.said + json.dumps(self.found.get("losses", []))
        return any(re.search(word, everything) for word in words)


def command(run, to, *options, algorithms):
    from dxflow.cli import main

    return main(["reduce", str(run), "--to", str(to), "--cluster", "here", *OPTIONS, *options, *algorithms])


def algorithms(raw=False):
    threshold = ("--threshold", "100") if raw else ()
    return ("average", "litframes", *threshold, FINGER)


def reduce(run, frames, folder, *options, algorithms, pulses=True):
    """Return the `Trial` of a reduction of a run to a result in `folder`, compared with the frames of the truth."""
    to = Path(folder) / f"out-{os.getpid()}.zarr"
    _remove(to)
    scratch = Path(folder) / f"tmp-{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    trial = forked(lambda: command(run, to, *options, algorithms=algorithms), scratch=scratch)
    trial.left = sorted(os.listdir(scratch))
    value = trial.found.pop("value", None)
    trial.returned = value if isinstance(value, int) else None
    if trial.returned == 0:
        checked = forked(lambda: compare(to, frames, pulses))
        found = checked.found.get("value")
        trial.found = found if isinstance(found, dict) else {"unreadable": checked.said[-300:] or "no answer"}
    _remove(to)
    return trial


def _remove(to):
    for path in (to, Path(f"{to}.partial")):
        shutil.rmtree(path, ignore_errors=True)


def forked(work, seconds=SECONDS, scratch=None):
    """Do something in a forked process, with a limit of time and memory; its value is in `found["value"]`."""
    reader, writer = os.pipe()
    log = Path(f"/tmp/campaign-{os.getpid()}-{time.monotonic_ns()}")
    began = time.monotonic()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        if scratch is not None:
            tempfile.tempdir = str(scratch)
        _child(work, writer, log)
    os.close(writer)
    trial = Trial()
    data = _until_end(reader, began + seconds)
    if data is None:
        trial.hung = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    os.close(reader)
    if os.WIFSIGNALED(status) and not trial.hung:
        trial.signal = os.WTERMSIG(status)
    trial.seconds = time.monotonic() - began
    trial.said = log.read_text(errors="replace") if log.exists() else ""
    log.unlink(missing_ok=True)
    with contextlib.suppress(ValueError):
        trial.found["value"] = json.loads(data or b"")
    return trial


def _child(work, writer, log):
    """Do the work, send its value, and end without what the parent would do at its end."""
    try:
        os.setpgid(0, 0)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout = io.TextIOWrapper(os.fdopen(1, "wb", 0), write_through=True)
        sys.stderr = io.TextIOWrapper(os.fdopen(2, "wb", 0), write_through=True)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        try:
            value = work()
        except SystemExit as e:
            value = e.code
        os.write(writer, json.dumps(value, default=str).encode())
    except BaseException:  # noqa: BLE001 - it is reported, whatever it is
        traceback.print_exc()
    finally:
        os._exit(0)


def _until_end(reader, deadline):
    """Return what is written to a pipe until it is closed, None if that takes too long."""
    data = b""
    while (left := deadline - time.monotonic()) > 0:
        if select.select([reader], [], [], min(left, 0.5))[0]:
            more = os.read(reader, 1 << 20)
            if not more:
                return data
            data += more
    return None


def warm(folder):
    """Import and compile what every trial needs, before the first fork."""
    from dxflow.simulate import make_run

    run = Path(folder) / "warm"
    shutil.rmtree(run, ignore_errors=True)
    make_run(run, detector="AGIPD500K", trains=2, pulses=2, module_shape=(8, 8))
    to = Path(folder) / "warm.zarr"
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = command(run, to, "--overwrite", algorithms=algorithms())
    if code:
        raise RuntimeError(f"the warm-up failed: {said.getvalue()}")
    compare(to, truth(run))
