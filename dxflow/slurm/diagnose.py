"""What the log of a job that failed means, in plain words."""

from __future__ import annotations

import re
from pathlib import Path

MEANINGS = (
    (
        r"\.pem.*(No such file|does not exist)|No such file.*\.pem",
        "the shared directory is not shared: give directory= on a file system that the nodes see",
    ),
    (
        r"line \d+: (\S*python\S*): (No such file|command not found|Permission denied)",
        "{1} is not there on the node: install the environment on a file system that the nodes share, or give python=",
    ),
    (
        r"line \d+: (\S+): (No such file|command not found)",
        "{1} is not there on the node: mind prologue=",
    ),
    (
        r"No module named '?([^\s']+)'?",
        "Python on the node lacks {1}: is it the environment of this machine (python=)?",
    ),
    (
        r"'?([^\s']+)'? is not a valid network interface",
        "the node has no network interface {1}: give another interface=",
    ),
    (
        r"(Timed out|timed out|No route to host|Connection refused|Network is unreachable).*",
        "the node does not reach the scheduler on this machine ({0}): a firewall, or the wrong interface=",
    ),
    (
        r"CERTIFICATE_VERIFY|certificate verify failed",
        "the node's credentials are not those of this run",
    ),
    (
        r"MemoryError|oom.kill|Out Of Memory|exceeded memory limit",
        "there was too little memory: give more memory=, or fewer processes=",
    ),
    (
        r"(Disk quota exceeded|No space left on device)",
        "a disk is full: {1}",
    ),
)
"""What to look for, and what it means; {0} is what was found, {1} the name in it."""


def meaning(log: str) -> str | None:
    """Return what a log says is wrong, None if it says nothing that is known."""
    text = read(log)
    if text is None:
        return (
            f"its log ({log}) is not there: the shared directory is not shared (give directory= on a file system that "
            "the nodes see)"
        )
    for pattern, words in MEANINGS:
        if found := re.search(pattern, text, re.MULTILINE):
            return words.format(found[0].strip(), *found.groups())
    return None


def read(log: str) -> str | None:
    """Return the end of a log, None if there is none."""
    path = Path(log)
    if not path.is_file():
        return None
    with path.open("rb") as f:
        f.seek(max(0, path.stat().st_size - 65536))
        return f.read().decode(errors="replace")


def tail(log: str, lines: int = 8) -> str:
    """Return the last lines of a log, after what they mean."""
    text = read(log)
    shown = [f"  {line}" for line in (text or "").splitlines() if line.strip()][-lines:]
    where = (
        f"Its log ({log}) ends with:" if shown else f"Its log ({log}) is empty." if text is not None else ""
    )
    known = meaning(log)
    return "\n".join([*([f"Probably {known}."] if known else []), *([where] if where else []), *shown])
