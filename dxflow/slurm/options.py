"""Options of worker jobs: of the call, of the user's file, of Dask's configuration, of the site; checked together."""

from __future__ import annotations

import difflib
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, fields
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from .commands import OptionError

SITES = Path(__file__).with_name("sites.yaml")
USERS = Path("~/.config/dxflow/clusters.yaml")
MOST = 2**20
"""Bytes of a user's file that are read at all."""

NAMED = ("partition", "reservation", "account", "qos", "constraint", "nodelist", "exclude")
"""Options that sbatch has under the same name."""
FROM_DASK = {"queue": "partition", "account": "account", "cores": "cores", "processes": "processes",
             "memory": "memory", "walltime": "walltime", "interface": "interface", "python": "python",
             "local-directory": "scratch", "job-script-prologue": "prologue", "job-extra-directives": "directives",
             "shared-temp-directory": "directory"}  # fmt: skip
"""What of ``jobqueue.slurm`` means which of our options."""


@dataclass(frozen=True)
class Options:
    """What is asked of Slurm, and how its nodes are used."""

    jobs: int | str | tuple[int, int] = 1
    """How many, or (least, most) as there is work: ``(1, 8)`` or ``"1-8"``."""
    partition: str | None = None
    reservation: str | None = None
    account: str | None = None
    qos: str | None = None
    cores: int = 4
    """Of a node that are used."""
    processes: int | None = None
    """Worker processes per job; as many as cores, or as fit into the memory."""
    memory: str | int | None = None
    """Of a job; by default what the plan needs."""
    walltime: str | int = "01:00:00"
    """HH:MM:SS, D-HH:MM:SS or minutes."""
    interface: str | None = None
    """Network that scheduler and workers use; chosen by default."""
    exclusive: bool = False
    """Whole nodes; cores and memory are not asked for."""
    constraint: str | None = None
    nodelist: str | None = None
    exclude: str | None = None
    directives: tuple[str, ...] = ()
    """Further options of sbatch."""
    prologue: tuple[str, ...] = ()
    """Lines of shell before the workers start, such as ``module load``."""
    python: str | None = None
    """Of the nodes; this one by default."""
    scratch: str | None = None
    """Where workers may write on their node; $TMPDIR or /tmp by default."""
    directory: str | None = None
    """Where logs and credentials lie, on a file system that nodes share; ~/.dxflow by default."""
    wait: str | int = "7-00:00:00"
    """How long to wait for a first job, or for another when all are lost; as walltime."""
    poll: float = 15.0
    """Seconds between questions to Slurm."""
    dashboard: bool = False
    """Dask's, which asks nobody for a password."""

    @property
    def least(self) -> int:
        """Fewest jobs."""
        return _span(self.jobs)[0]

    @property
    def most(self) -> int:
        """Most jobs."""
        return _span(self.jobs)[1]

    @property
    def seconds(self) -> int:
        """The walltime."""
        return seconds(self.walltime, "walltime")

    def check(self) -> None:
        """Raise OptionError for what cannot be meant."""
        _span(self.jobs)
        if self.seconds < 60:
            raise OptionError(f"walltime={self.walltime!r}: jobs last a minute at least")
        seconds(self.wait, "wait")
        for name in ("cores", "processes"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or value < 1):
                raise OptionError(f"{name}={value!r}: expected a number above zero")
        if self.processes and self.processes > self.cores:
            raise OptionError(
                f"processes={self.processes} are more than cores={self.cores}: each works with one thread"
            )
        if self.memory is not None:
            bytes_of(self.memory)
        for name in (*NAMED, "interface"):
            _refuse_odd(name, getattr(self, name))
        if any("\n" in line for line in self.directives):
            raise OptionError("directives: each is one option of sbatch, without line breaks")


def _refuse_odd(name: str, value: Any) -> None:
    """Raise for what is no name: it would end up in a job script."""
    if value is not None and not re.fullmatch(r"[\w.,:@&|*\[\]+-]+", str(value)):
        raise OptionError(f"{name}={value!r}: expected a name, without blanks or quotes")


def _span(jobs: Any) -> tuple[int, int]:
    """Return fewest and most jobs."""
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", str(jobs)) if isinstance(jobs, (int, str)) else None
    low, high = (match[1], match[2] or match[1]) if match else (jobs if isinstance(jobs, tuple) else (0, 0))
    if not 1 <= int(low) <= int(high):
        raise OptionError(f"jobs={jobs!r}: expected a number, or (least, most), in a command line least-most")
    return int(low), int(high)


def seconds(text: str | int, name: str) -> int:
    """Return a time as Slurm writes it, or minutes, as seconds."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d\d?))?(?::(\d\d?))?", str(text))
    if not match:
        raise OptionError(f"{name}={text!r}: expected HH:MM:SS, D-HH:MM:SS, or minutes")
    days, a, b, c = (int(g) if g else None for g in match.groups())
    if days is not None or c is not None:
        return (days or 0) * 86400 + (a or 0) * 3600 + (b or 0) * 60 + (c or 0)
    return (a or 0) * 60 + (b or 0)


def bytes_of(memory: str | int) -> int:
    """Return a memory size in bytes."""
    from ..sizes import parse

    try:
        return parse(memory)
    except (ValueError, TypeError):
        raise OptionError(f"memory={memory!r}: expected a size such as 64 GB") from None


def resolve(site: str | None, given: Mapping[str, Any]) -> Options:
    """Return the options that hold: each from the first of call, user's file, Dask's configuration, site.

    Raises
    ------
    OptionError
        If there is no such site, the user's file is broken, or a value cannot be meant.
    """
    given = {k: v for k, v in given.items() if v is not None}
    users = _users()
    own = dict(users.get(site or "default", {}))
    name = site if site is not None else own.pop("site", None) or _here()
    known = _load(SITES)
    if name not in known and name not in users:
        raise OptionError(_unknown(f"site={name!r}", name, [*known, *users]))
    base = dict(known.get(own.pop("site", name), {}))
    # A reservation is in a partition of its own: that of the site would contradict it.
    if {"reservation"} & {*given, *own} and "partition" not in {*given, *own}:
        base.pop("partition", None)
    merged = {**base, **_dask(), **own, **given}
    merged.pop("hosts", None)
    options = Options(**{k: _typed(k, v) for k, v in merged.items()})
    options.check()
    return options


def _typed(name: str, value: Any) -> Any:
    """Return lists as tuples, and one line as a tuple of it; numbers that are names as text."""
    if name in ("directives", "prologue"):
        return (value,) if isinstance(value, str) else tuple(value)
    if name == "jobs" and isinstance(value, list):
        return tuple(value)
    return str(value) if name in ("partition", "reservation", "account", "qos") else value


def _here() -> str:
    """Return the site of this machine."""
    host = socket.getfqdn()
    for name, entry in _load(SITES).items():
        if fnmatch(host, str(entry.get("hosts", ""))):
            return name
    return "generic"


def _users() -> dict[str, dict[str, Any]]:
    """Return the sites of the user's file; "default" is for those who name none."""
    path = USERS.expanduser()
    return _load(path) if path.is_file() else {}


def _load(path: Path) -> dict[str, dict[str, Any]]:
    """Return the sites of a file.

    Raises
    ------
    OptionError
        If it is not as it should be; the message says what is wrong where.
    """
    import yaml

    if path.stat().st_size > MOST:
        raise OptionError(f"{path} is larger than {MOST} bytes: no list of sites")
    try:
        found = yaml.safe_load(path.read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError, ValueError) as e:
        raise OptionError(f"{path} cannot be read: {' '.join(str(e).split())}") from None
    except RecursionError:
        raise OptionError(f"{path} cannot be read: it is nested too deeply for a list of sites") from None
    if not isinstance(found, dict) or not all(isinstance(v, dict) for v in found.values()):
        raise OptionError(
            f"{path}: expected sites, each with options below it: 'name:' and '  partition: upex'"
        )
    for site, entry in found.items():
        for key, value in entry.items():
            if key not in KEYS:
                raise OptionError(_unknown(f"{path}: {site}: {key!r}", key, KEYS))
            if not all(
                isinstance(v, (*PLAIN, type(None))) for v in (value if isinstance(value, list) else [value])
            ):
                raise OptionError(f"{path}: {site}: {key}: expected a word, a number, or a list of these")
    return found


PLAIN = (str, int, float)
KEYS = (*(f.name for f in fields(Options)), "hosts", "site")


def _unknown(what: str, name: Any, known: Any) -> str:
    names = sorted(map(str, known))
    close = difflib.get_close_matches(str(name), names, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    return f"{what}: there is no such name.{hint} There are: {', '.join(names)}"


def _dask() -> dict[str, Any]:
    """Return what the user has set under ``jobqueue.slurm`` in Dask's configuration."""
    import dask.config

    from .jobqueue import packaged

    defaults = packaged()
    now = dask.config.get("jobqueue.slurm", {})
    return {
        ours: now[key] for key, ours in FROM_DASK.items() if now.get(key) not in (None, defaults.get(key))
    }


def home(directory: str | None = None) -> Path:
    """Return the folder for runs and their logs: given, $DXFLOW_HOME, or ~/.dxflow."""
    return (
        Path(os.path.expandvars(directory or os.environ.get("DXFLOW_HOME", "~/.dxflow")))
        .expanduser()
        .absolute()
    )
