"""Reduce a run in a process of its own by the command line, and judge what comes out."""

import contextlib
import ctypes
import io
import json
import os
import re
import resource
import select
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

from campaign import finger
from campaign.truth import compare, truth

SILENT = 60
"""Seconds that nothing may last without a word."""
SECONDS = 180
"""Seconds that nothing may take: runs are small."""
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
    silent: float = 0.0
    """The longest time without output, in seconds."""
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
    def stopped(self):
        """Whether the run ended with an error and its exit code."""
        return self.verdict.startswith("FAILED (1)")

    @property
    def first(self):
        """The first line of what dxflow said was wrong, else the last that it printed."""
        lines = [line for line in self.said.splitlines() if line.strip()] or [""]
        return next((line for line in lines if line.startswith("dxflow:")), lines[-1])[:400]

    def names(self, *words):
        """Return whether some of these words were said, in errors, report or losses."""
        everything = self.said + json.dumps(self.found.get("losses", []))
        return any(re.search(word, everything) for word in words)


def command(run, to, *options, algorithms, meanwhile=None):
    from dxflow.commands.main import main

    if meanwhile is not None:
        finger.meanwhile = _once(meanwhile)
    return main(["reduce", str(run), "--to", str(to), "--cluster", "here", *OPTIONS, *options, *algorithms])


def _once(do):
    """Return a function that does something when it is called first."""
    todo = [do]
    return lambda: todo.pop()() if todo else None


def algorithms(raw=False):
    threshold = ("--threshold", "100") if raw else ()
    return ("average", "litframes", *threshold, FINGER)


def reduce(run, frames, folder, *options, algorithms, pulses=True, meanwhile=None):
    """Return the `Trial` of a reduction of a run to a result in `folder`, compared with the frames of the truth."""
    to = Path(folder) / f"out-{os.getpid()}.zarr"
    _remove(to)
    scratch = Path(folder) / f"tmp-{os.getpid()}"
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    trial = forked(
        lambda: command(run, to, *options, algorithms=algorithms, meanwhile=meanwhile), scratch=scratch
    )
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
    data = _until_end(reader, began + seconds, Silence(log, trial))
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
        _as_anybody()
        try:
            value = work()
        except SystemExit as e:
            value = e.code
        os.write(writer, json.dumps(value, default=str).encode())
    except BaseException:  # noqa: BLE001 - it is reported, whatever it is
        traceback.print_exc()
    finally:
        os._exit(0)


def _as_anybody():
    """Give up what lets root read files that nobody may read."""
    head, data = struct.pack("Ii", 0x20080522, 0), ctypes.create_string_buffer(24)
    libc = ctypes.CDLL(None)
    if libc.capget(head, data) == 0:
        words = list(struct.unpack("6I", data.raw))
        # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH, effective and permitted.
        words[0], words[1] = words[0] & ~6, words[1] & ~6
        libc.capset(head, struct.pack("6I", *words))


class Silence:
    """Measures how long a file has not grown."""

    def __init__(self, log, trial):
        self.log, self.trial = log, trial
        self.size, self.since = 0, time.monotonic()

    def over(self):
        """Return whether it has been too long."""
        size, now = self.log.stat().st_size if self.log.exists() else 0, time.monotonic()
        lasted = now - self.since
        self.trial.silent = max(self.trial.silent, lasted)
        if size != self.size:
            self.size, self.since = size, now
        return lasted > SILENT


def _until_end(reader, deadline, silence):
    """Return what is written to a pipe until it is closed, None if that takes too long."""
    data = b""
    while not silence.over() and (left := deadline - time.monotonic()) > 0:
        if select.select([reader], [], [], min(left, 0.1))[0]:
            more = os.read(reader, 1 << 20)
            if not more:
                silence.over()
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
