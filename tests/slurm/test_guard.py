"""The guard: cancels the jobs of a driver that is gone, also those that only wait; not those of one that is not."""

import re
import signal
import subprocess
import sys
from pathlib import Path

from dxflow.slurm import commands, guard

NAME = "dxflow-guarded"


def begin(slurm, folder):
    """Return a job that would wait for ever, and the guard of its driver."""
    folder.mkdir()
    job = slurm("sbatch", "--parsable", "-H", "-J", NAME, "-o", "/dev/null", "--wrap", "true").strip()
    line = [sys.executable, "-I", guard.__file__, NAME, commands.user(), str(folder)]
    return job, subprocess.Popen(line, stdin=subprocess.PIPE)


def ignores(pid, number):
    mask = re.search(r"SigIgn:\s*(\w+)", Path(f"/proc/{pid}/status").read_text())[1]
    return int(mask, 16) >> (number - 1) & 1


def test_jobs_and_credentials_go_when_the_driver_is_gone_whatever_the_guard_is_told(slurm, tmp_path):
    job, process = begin(slurm, tmp_path / "tls")
    other = slurm("sbatch", "--parsable", "-H", "-J", "other", "-o", "/dev/null", "--wrap", "true").strip()
    slurm.wait(lambda: ignores(process.pid, signal.SIGTERM))
    for _ in range(3):
        process.terminate()
    # As the system does when the driver is killed.
    process.stdin.close()
    slurm.wait(lambda: slurm.jobs() == [other])
    assert not (tmp_path / "tls").exists()
    assert process.wait(timeout=30) == 0
    assert job not in slurm.jobs()


def test_a_driver_that_ends_in_order_has_cancelled_what_it_wanted_to(slurm, tmp_path):
    job, process = begin(slurm, tmp_path / "tls")
    process.communicate(b"done", timeout=30)
    assert slurm.jobs() == [job]
    assert (tmp_path / "tls").exists()
