"""A real Slurm of three nodes for tests: started when first asked for, one per test process, ended with it."""

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

TOOLS = Path(__file__).parent / "slurm"
LOCK = Path(tempfile.gettempdir()) / f"dxflow-slurm-up-{os.getuid()}.lock"


class Slurm:
    """The private cluster of this process: partitions upex (shared nodes), exfel (whole nodes), all (preemptable)."""

    def __init__(self):
        # Short, for Unix socket paths: not pytest's tmp_path.
        self.state = Path(tempfile.mkdtemp(prefix="dxs", dir="/tmp"))
        self.conf = self.state / "slurm.conf"

    def up(self):
        """Start what does not run; install the packages where that is possible."""
        # Free ports are searched and packages installed: by one process at a time.
        with LOCK.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            done = subprocess.run(
                [TOOLS / "slurm-up", "--state", self.state, "--mem", "6000"],
                capture_output=True,
                text=True,
                check=False,
            )
        assert done.returncode == 0, f"no Slurm for these tests: {done.stderr.strip() or done.stdout}"

    def down(self):
        subprocess.run(
            [TOOLS / "slurm-down", "--state", self.state, "--purge"], capture_output=True, check=False
        )
        shutil.rmtree(self.state, ignore_errors=True)

    def __call__(self, *command):
        """Return what a Slurm command prints."""
        env = os.environ | {"SLURM_CONF": str(self.conf)}
        return subprocess.run(command, capture_output=True, text=True, check=True, env=env).stdout

    def jobs(self, *options):
        """Return the ids of the jobs in the queue."""
        return self("squeue", "-h", "-o", "%i", *options).split()

    def wait(self, condition, seconds=200):
        """Wait until a condition holds; on a busy machine that may take long."""
        end = time.monotonic() + seconds
        while not (found := condition()):
            assert time.monotonic() < end, f"still not so after {seconds} s: {self('squeue')}"
            time.sleep(0.1)
        return found

    def empty(self):
        """Cancel everything."""
        if jobs := self.jobs():
            self("scancel", *jobs)
        self.wait(lambda: not self.jobs())

    def stop_node(self, node):
        """End the daemon of a node, as an update of Slurm does; `up` starts it again."""
        pid = int((self.state / "run" / f"slurmd-{node}.pid").read_text())
        os.kill(pid, 15)
        self.wait(
            lambda: not Path(f"/proc/{pid}/cmdline").exists() or not Path(f"/proc/{pid}/cmdline").read_bytes()
        )


@contextlib.contextmanager
def running():
    """Give a cluster, with SLURM_CONF set as at a site."""
    slurm = Slurm()
    try:
        slurm.up()
        os.environ["SLURM_CONF"] = str(slurm.conf)
        yield slurm
    finally:
        os.environ.pop("SLURM_CONF", None)
        slurm.down()
