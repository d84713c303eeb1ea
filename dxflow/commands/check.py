"""Try a cluster out: one small job, one task on it, and what is wrong in plain words."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..slurm import commands, network
from ..slurm.commands import SlurmError

if TYPE_CHECKING:
    from ..clusters.kinds.slurm import Slurm

LASTS = 600
"""Seconds that the job may wait in the queue."""


def check(cluster: Slurm, say: Callable[[str], None], lasts: float = LASTS) -> None:
    """Go through what a run needs, and say of each step that it works.

    Raises
    ------
    SlurmError, OptionError
        At the first step that does not, with what to do.
    """
    if not commands.there():
        raise SlurmError(commands.missing("sbatch"))
    say(f"Slurm          {commands.run('sbatch', '--version').strip()}, {shutil.which('sbatch')}")
    name = network.interface(cluster.options.interface)
    say(f"network        {name}, this machine is {network.addresses()[name]} there")
    cluster.options = replace(cluster.options, jobs=1)
    client = cluster.start()
    try:
        say(f"submitted      {cluster.describe()}; logs in {cluster.folder}/logs")
        _wait(client, say, lasts)
        _compare(_ask(client, cluster), say)
    finally:
        client.close()
        cluster.close()


def _wait(client: Any, say: Callable[[str], None], lasts: float) -> None:
    """Wait for the first worker."""
    end, said = time.monotonic() + lasts, ""
    while not client.scheduler_info(n_workers=1)["workers"]:
        if client.cluster.failure is not None:
            raise client.cluster.failure
        if time.monotonic() > end:
            raise SlurmError(
                f"no worker within {lasts:.0f} s: {client.cluster.keeper.line()}. The job was accepted; with a queue "
                "like this, ask for less, or for another partition"
            )
        if (line := client.cluster.keeper.line()) != said:
            say(f"queue          {line}")
        said = line
        time.sleep(0.2)


def _ask(client: Any, cluster: Slurm) -> Mapping[str, Any]:
    """Return what a worker says of its node."""
    assert cluster.folder is not None
    sign = cluster.folder / "sign"
    sign.write_text(word := secrets.token_hex(8))
    answer = client.submit(look, str(sign), pure=False).result(timeout=60)
    if answer["sign"] != word:
        raise SlurmError(
            f"{answer['host']} does not see {sign}: the shared directory is not shared. Give directory= on a file "
            "system that the nodes see"
        )
    if not sign.with_name("answer").is_file():
        raise SlurmError(f"what {answer['host']} writes into {cluster.folder} does not appear here")
    return answer


def look(sign: str) -> dict[str, Any]:
    """Return what this process sees, and leave an answer beside a file."""
    path = Path(sign)
    try:
        found = path.read_text()
        path.with_name("answer").touch()
    except OSError as e:
        found = str(e)
    return {
        "host": socket.gethostname(),
        "node": os.environ.get("SLURMD_NODENAME", ""),
        "sign": found,
    } | facts()


def facts() -> dict[str, Any]:
    """Return what must be the same on both sides, and what is good to know."""
    from importlib.metadata import version

    import dxflow

    return {
        "python": sys.version.split()[0],
        **{name: version(name) for name in ("dxflow", "distributed", "numpy", "extra-data")},
        "file": dxflow.__file__,
        "cores": len(os.sched_getaffinity(0)),
        "memory": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def _compare(there: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Say what the node is; raise if it runs other versions."""
    from ..sizes import show

    say(
        f"worker         on {there['node'] or there['host']}: {there['cores']} cores, {show(there['memory'])}"
    )
    here = facts()
    other = [
        f"{k}: {here[k]} here, {there[k]} there"
        for k in ("python", "dxflow", "distributed")
        if here[k] != there[k]
    ]
    if other:
        raise SlurmError(
            f"the node runs other versions: {'; '.join(other)}. Give python= of the same environment"
        )
    say(f"versions       Python {there['python']}, dxflow {there['dxflow']}: the same as here")
    say("directory      shared with the node")
