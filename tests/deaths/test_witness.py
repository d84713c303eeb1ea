"""How a worker ended, from what its nanny knows: what is a fault, what is not, in words."""

import signal

import pytest

from dxflow.deaths.witness import MemoryUse, Seen, cause

SOME = MemoryUse(2 * 10**8, 4 * 10**8, exceeded=False)


@pytest.mark.parametrize(
    ("code", "asked", "used", "says"),
    [
        (-signal.SIGKILL, "", SOME, "killed by signal 9 (SIGKILL), with 200 MB of 400 MB of memory in use"),
        (
            -signal.SIGSEGV,
            "",
            MemoryUse(10**6, 0, exceeded=False),
            "killed by signal 11 (SIGSEGV), with 1 MB of",
        ),
        (-99, "", SOME, "killed by signal 99 (unknown)"),
        (3, "", SOME, "exited with status 3"),
        # Dask ends what takes too much with SIGTERM.
        (
            -signal.SIGTERM,
            "",
            MemoryUse(38 * 10**7, 4 * 10**8, exceeded=True),
            "out of memory: 380 MB of 400 MB",
        ),
        (-signal.SIGKILL, "check-worker-ttl-1795262224.0", SOME, "stopped answering (worker-ttl)"),
        (-signal.SIGTERM, "", SOME, None),
        (-signal.SIGINT, "", SOME, None),
        (0, "nanny-close", SOME, None),
        (-signal.SIGKILL, "nanny-close", SOME, None),
    ],
)
def test_ends_are_told_apart(code, asked, used, says):
    why = cause(code, Seen(1, used.used, asked), used)
    assert (why is None) if says is None else why.startswith(says)


def test_dask_has_what_it_stands_in_for(client):
    """No public interface tells how a worker ended."""
    found = client.run(
        lambda dask_worker: (
            callable(dask_worker.process.on_exit),
            callable(dask_worker.process.kill),
            dask_worker.process.pid > 0,
            dask_worker.memory_manager._last_terminated_pid,
            dask_worker.memory_manager.memory_limit > 0,
        ),
        nanny=True,
    )
    assert set(found.values()) == {(True, True, True, -1, True)}
