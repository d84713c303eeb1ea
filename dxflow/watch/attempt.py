"""One attempt at a task: a process that holds its folder, runs a command of dxflow, and notes how it ended."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..disk import lock
from ..disk.replace import put
from ..errors.redact import hidden
from . import columns

ORDER, BEGUN, ENDED, LOG = "order.json", "begun.json", "ended.json", "log.txt"
TERMINATED = (130, 143)
MOST = 1500
"""Characters of a reason."""
AGAIN = 5.0
"""Seconds between tries to note the end where the disk is full."""
PATIENCE = 3600.0
"""Seconds for which this is tried."""

Command = Callable[[Sequence[str]], int]
Known = Callable[[Sequence[str]], Collection[str]]


def read(path: Path) -> dict[str, Any] | None:
    """Return what is in a file of an attempt, None if it is not there."""
    try:
        found = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def run(folder: Path, command: Command, known: Known) -> int:
    """Run an attempt, unless another process has; return the exit code of its command.

    Whoever starts an attempt twice, as one does who does not know whether the first start succeeded, still has its
    command run once: the second process finds the folder held, or that the first has begun.

    Parameters
    ----------
    command
        Runs a command line of dxflow and returns its exit code.
    known
        Returns the options that the command of such a line has.
    """
    order = read(folder / ORDER)
    if order is None:
        return 0
    try:
        with lock.held(folder, f"{order['task']} of {order['run']}") as own:
            return _held(folder, order, own.me, command, known)
    except lock.Held:
        # The other process does it.
        return 0


def _held(folder: Path, order: Mapping[str, Any], me: lock.Holder, command: Command, known: Known) -> int:
    begun = read(folder / BEGUN)
    again = begun is not None and _restarted(begun, me)
    if (folder / ENDED).exists() or (begun is not None and not again):
        # What became of it is for the watcher to find out.
        return 0
    there = os.path.lexists(order["to"])
    began = time.time()
    if not again:
        put(folder / BEGUN, json.dumps({"holder": asdict(me), "there": there, "began": began}))
    else:
        put(folder / BEGUN, json.dumps({**(begun or {}), "holder": asdict(me)}))
    _log_to(folder / LOG)
    position = (folder / LOG).stat().st_size
    os.chdir(order["cwd"])
    code = 0
    # What is there is only looked at.
    if not order["made"]:
        words = line(order, known, again=again)
        # The watcher may be a job that was started again: what it begins is not.
        if again:
            os.environ.pop(lock.ANEW, None)
        else:
            os.environ[lock.ANEW] = "1"
        sys.stderr.write(f"dxflow watch: {shlex.join(words)}\n")
        Path(order["to"]).parent.mkdir(parents=True, exist_ok=True)
        code = command(words)
    if code in TERMINATED and me.job:
        # Slurm may start the job again; the watcher asks it.
        return code
    began = order.get("began") or began
    ended: dict[str, Any] = {"code": code, "began": began, "job": me.job, "host": me.host, "pid": me.pid}
    ended |= _made(order, command) if code == 0 else {"reason": reason(folder / LOG, position)}
    at = _appeared(Path(order["to"]), began) if order["made"] else time.time()
    _noted(folder / ENDED, {**ended, "ended": at})
    return int(ended["code"])


def _appeared(path: Path, began: float) -> float:
    """Return when a result got its name, as far as its file system says: that was the end of who made it."""
    now = time.time()
    with suppress(OSError):
        return min(max(path.stat().st_ctime, began), now)
    return now


def _restarted(begun: Mapping[str, Any], me: lock.Holder) -> bool:
    """Return whether this is the same job of Slurm as before, started once more."""
    before = begun.get("holder", {})
    return bool(me.job) and before.get("job") == me.job and me.start > before.get("start", 0)


def line(order: Mapping[str, Any], known: Known, *, again: bool = False) -> list[str]:
    """Return the command line of an attempt."""
    words = [*order["words"], "--to", order["to"]]
    options = known(words)
    if order["overwrite"] and not again and "--overwrite" in options:
        return [*words, "--overwrite"]
    if (order["resume"] or again) and "--resume" in options:
        return [*words, "--resume"]
    return words


def _log_to(log: Path) -> None:
    """Have everything that this process and its children print go to a log."""
    sys.stdout.flush()
    sys.stderr.flush()
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.close(handle)


def reason(log: Path, position: int = 0) -> str:
    """Return what a log says last: the message with which dxflow ended, or its last lines."""
    with suppress(OSError), log.open("rb") as file:
        file.seek(max(position, log.stat().st_size - 2**16))
        lines = [one for one in file.read().decode("utf-8", "replace").splitlines() if one.strip()]
        last = [n for n, text in enumerate(lines) if text.startswith("dxflow:")]
        said = "\n".join(lines[last[-1] :] if last else lines[-5:])
        return hidden(said.removeprefix("dxflow:").strip())[:MOST]
    return ""


def _made(order: Mapping[str, Any], command: Command) -> dict[str, Any]:
    """Return what is to be said of a result: losses, numbers, its report."""
    to = Path(order["to"])
    if not to.exists():
        return {"code": 1, "reason": f"the command ended well, but there is no {to}"}
    found = summary(order)
    if order["report"] and not (wrong := _report(order, command)):
        found["report"] = order["report"]
    elif order["report"]:
        found["remarks"].append(wrong)
    return {"reason": "", **found}


def summary(order: Mapping[str, Any]) -> dict[str, Any]:
    """Return losses and numbers of a result that is there."""
    to = Path(order["to"])
    wanted = {name: columns.Column(name, *own) for name, own in order["columns"].items()}
    found = columns.values(wanted, order["task"], to)
    return {"losses": losses(to), "numbers": found.numbers, "units": found.units, "remarks": found.wrong}


def _report(order: Mapping[str, Any], command: Command) -> str:
    """Write the report of a result; return why there is none."""
    try:
        Path(order["report"]).parent.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        return f"there is no report: {e}"
    # It appears whole, and takes the place of an earlier report only.
    code = command(["report", order["to"], "--to", order["report"], "--quiet"])
    return f"there is no report: see {LOG}" if code else ""


def losses(path: Path) -> str:
    """Return in one line what a result lost, or the results in a folder; "" if it does not say."""
    from ..driver.result import open_result
    from ..run.losses import from_json, lines

    said = []
    inner = sorted(path.iterdir()) if path.is_dir() and not (path / "dxflow.json").exists() else []
    for one in inner or [path]:
        # What is no result, or is of a kind that counts no losses.
        with suppress(Exception):
            made = open_result(one).manifest
            found = lines(from_json((made if "losses" in made else made["about"])["losses"]))
            more = f" (and {len(found) - 1} more)" if len(found) > 1 else ""
            said.append(f"{f'{one.name}: ' if inner else ''}{found[0]}{more}" if found else "")
    return ("; ".join(filter(None, said)) or "nothing")[:MOST] if said else ""


def _noted(path: Path, ended: dict[str, Any]) -> None:
    """Write how it ended; on a full disk this is tried again, since the work is done."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            put(path, json.dumps(ended))
        except OSError as e:
            if e.errno not in lock.FULL or time.monotonic() > until:
                raise
            _forget_parts(path)
            time.sleep(AGAIN)
        else:
            return


def _forget_parts(path: Path) -> None:
    for part in path.parent.glob(f".{path.name}.*"):
        part.unlink(missing_ok=True)
