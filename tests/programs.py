"""Python programs of tests, in processes forked from one that has loaded the libraries: each starts at once.

So do the processes that they start: workers of this machine, and those that write HDF5.
"""

import gc
import multiprocessing
import os
import sys
import tempfile
import types
from dataclasses import dataclass
from multiprocessing import forkserver
from pathlib import Path
from unittest import mock

import forking

LIBRARIES = [
    "dask.array",
    "distributed",
    "extra_data",
    "h5netcdf",
    "numba",
    "tifffile",
    "xarray",
    "zarr",
    "dxflow.driver.execute",
    "dxflow.clusters.kinds.local",
    "dxflow.run.detectors.agipd",
    "dxflow.run.detectors.lpd",
    "dxflow.stores.origin",
    "dxflow.stores.formats.cxi",
    "dxflow.stores.formats.exdf",
    "dxflow.stores.formats.netcdf",
    "dxflow.stores.formats.nexus",
    "dxflow.stores.formats.tiff",
    "dxflow.stores.formats.zarr",
    "warm",
]
# Nothing else runs in the process that forks: no thread, no open file.
FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(LIBRARIES)
SECONDS = 200
WRITERS = forking.Servers()
"""What forks those that write HDF5, of this process and of its programs."""


@dataclass(frozen=True)
class Done:
    """How a program ended, as `subprocess.run` has it, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


class Program:
    """A program in a process of its own, in a folder, with the methods of `subprocess.Popen` that tests use.

    `code` may be the path of its file; `environment` is added to that of this process.
    """

    def __init__(self, code, *words, folder=None, environment=None):
        self._place = tempfile.TemporaryDirectory(prefix="dxflow-program-")
        path = code
        if not isinstance(code, Path):
            path = Path(self._place.name, "program.py")
            path.write_text(code)
        self._streams = [os.path.join(self._place.name, name) for name in ("out", "err")]
        variables = os.environ | (environment or {})
        arguments = (str(path), words, str(folder or self._place.name), self._streams, variables)
        self._process = FORKING.Process(target=_program, args=(*arguments, *_servers()))
        self._process.start()
        self.pid, self.kill, self.terminate = self._process.pid, self._process.kill, self._process.terminate

    def printed(self):
        """Return what it has printed so far."""
        out = Path(self._streams[0])
        return out.read_text() if out.exists() else ""

    def poll(self):
        """Return how it ended, None if it did not."""
        return self._process.exitcode

    def wait(self, seconds=SECONDS):
        """Wait for its end; return how it ended."""
        self._process.join(seconds)
        return self.poll()

    def done(self):
        """Return how it ended, and what it printed; it has so many seconds."""
        if self.wait() is None:
            self.kill()
            self.wait()
        return Done(self.poll(), *(Path(s).read_text() for s in self._streams))


def run(code, *words, **options):
    """Run a program to its end."""
    return Program(code, *words, **options).done()


def begin():
    """Start the process that forks, unless it runs; it looks for modules where this one does."""
    if forkserver._forkserver._forkserver_address is None:
        with mock.patch.dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path)):
            forkserver.ensure_running()


def _servers():
    """Return what a program needs to have its processes forked by the servers of this one."""
    begin()
    own = forkserver._forkserver
    return {name: value for name, value in vars(own).items() if name in SAME}, WRITERS.sockets()


SAME = ("_forkserver_address", "_forkserver_authkey")
"""Where the server is, and since Python 3.14 a key."""


def _share(server, sockets):
    """Let this program have its processes forked by the servers of the process that started it."""
    import workers
    from distributed import process

    from dxflow.disk import process as _light

    own = forkserver._forkserver
    vars(own).update(server)
    own.ensure_running = lambda: None
    process.get_mp_context = workers.Forking
    _light.subprocess = forking.forked(forking.Lent(sockets))


def _program(path, words, folder, streams, environment, server, sockets):
    # Looking for garbage in what was loaded before would copy all of its memory.
    gc.freeze()
    for number, stream in enumerate(streams, 1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, closefd=False) for n in (1, 2))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    _share(server, sockets)
    sys.argv, sys.path[:0] = [path, *words], [os.path.dirname(path)]
    main = types.ModuleType("__main__")
    # Worker processes look for it.
    main.__file__ = path
    sys.modules["__main__"] = main
    exec(compile(Path(path).read_text(), path, "exec"), vars(main))
