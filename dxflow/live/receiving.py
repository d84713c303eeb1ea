"""The process that receives a stream: it takes what comes, keeps it as long as there is room, and says what it has.

It is a process of its own, so that trains are taken out of the socket while others are planned and reduced. It ends
with the one that started it, however that ends, and leaves nothing in memory.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..hdf5.wire import put, take
from .account import Account
from .bridge import PATTERNS, Bridge, Broken, NoBridge
from .receiver import Asked, Receiver

INPUT = 0
PREFIX = ".dxflow-stream-"
LOCK = "lock"
EVERY = 0.25
"""Seconds between two reports."""
ABANDONED = 60
"""Seconds after which a folder without a lock is not one that begins."""


def main() -> None:
    """Receive what is asked for on the standard input, and answer on the standard output."""
    # An interrupt is for the parent.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.dup(1)
    os.dup2(2, 1)
    asked: Asked = take(INPUT)[0]
    files, parcels = (begun(where) for where in (asked.folder, asked.memory))
    code = 0
    try:
        put(answers, ("folder", str(files)))
        _receive(asked, files, parcels, lambda said: put(answers, said))
    except (EOFError, BrokenPipeError):
        code = 1
    except NoBridge as e:
        put(answers, ("failed", str(e)))
    finally:
        for folder in (files, parcels):
            shutil.rmtree(folder, ignore_errors=True)
    sys.exit(code)


def begun(where: str) -> Path:
    """Make a folder, and hold it until the process ends; what others left that are dead is removed."""
    clear(where)
    folder = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getuid()}-", dir=where))
    held = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # Where the file system has no locks nothing is removed that is not this process's own.
    with suppress(OSError):
        fcntl.flock(held, fcntl.LOCK_EX)
    return folder


def clear(where: str) -> None:
    """Remove folders of streams of this user that nobody holds."""
    for folder in Path(where).glob(f"{PREFIX}{os.getuid()}-*"):
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            continue
        try:
            lock = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            # Without a lock it is of one that begins, unless it is old.
            if time.time() - folder.stat().st_mtime > ABANDONED:
                shutil.rmtree(folder, ignore_errors=True)
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            pass
        finally:
            os.close(lock)


def _receive(asked: Asked, files: Path, parcels: Path, say: Any) -> None:
    """Receive until the end of the stream, or until that is asked for."""
    import zmq

    bridge = Bridge(asked.endpoint, asked.pattern, max(asked.limit, 2**20))
    receiver = Receiver(asked, files, parcels, lambda piece: say(("piece", piece)))
    began, told, ended = time.monotonic(), 0.0, ""
    while not ended:
        bridge.look()
        listen = asked.pattern != "REQ" or receiver.has_room
        if listen:
            bridge.ask()
        poller = zmq.Poller()
        poller.register(INPUT, zmq.POLLIN)
        for one in bridge.sockets():
            poller.register(one, zmq.POLLIN)
        ready = dict(poller.poll(int(EVERY * 1000)))
        if INPUT in ready:
            word, what = take(INPUT)[0]
            if word == "stop":
                ended = "asked to end"
            else:
                receiver.told(word, what)
        if bridge.socket in ready:
            _take(bridge, receiver)
        receiver.again()
        now = time.monotonic()
        if not receiver.account.came and now > began + asked.wait:
            raise NoBridge(_nobody(asked, bridge, receiver.account))
        if asked.idle and receiver.account.came and now > receiver.last + asked.idle:
            ended = f"no train for {asked.idle:g} s"
        if now > told + EVERY:
            told = now
            say(("report", receiver.report(bridge.connected)))
    receiver.finish()
    bridge.close()
    say(("report", receiver.report(False)))
    say(("ended", ended))
    # Parcels stay until nobody needs them: until the input ends.
    with suppress(EOFError):
        while True:
            receiver.told(*take(INPUT)[0])


def _take(bridge: Bridge, receiver: Receiver) -> None:
    """Take the message that is there."""
    try:
        message = bridge.take()
    except Broken as e:
        receiver.broken(e)
        return
    if message is not None:
        receiver.take(message)


def _nobody(asked: Asked, bridge: Bridge, account: Account) -> str:
    """Say why no train came."""
    if account.broken:
        return f"{asked.endpoint}: no train in {asked.wait:g} s, {account.broken} messages that are none: {account.why}"
    if not bridge.connected:
        return (
            f"{asked.endpoint}: nobody answers there in {asked.wait:g} s (--wait); is the bridge running, and is the "
            "port right?"
        )
    others = ", ".join(p for p in PATTERNS if p != asked.pattern)
    return (
        f"{asked.endpoint}: there is a server, but no train came in {asked.wait:g} s (--wait). This client is a "
        f"{asked.pattern}; if the server sends in another way, say so (--socket {others})"
    )
