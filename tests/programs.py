"""Python programs of tests, in processes forked from one that has loaded the libraries: each starts at once."""

import gc
import multiprocessing
import os
import sys
import tempfile
import types
from dataclasses import dataclass
from pathlib import Path

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
]
# Nothing else runs in the process that forks: no thread, no open file.
FORKING = multiprocessing.get_context("forkserver")
FORKING.set_forkserver_preload(LIBRARIES)
SECONDS = 200


@dataclass(frozen=True)
class Done:
    """How a program ended, as `subprocess.run` has it, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


def run(code, *words, folder=None):
    """Run code as the program of a process of its own, in a folder; `code` may be the path of its file."""
    with tempfile.TemporaryDirectory(prefix="dxflow-program-") as place:
        if not isinstance(code, Path):
            path = Path(place, "program.py")
            path.write_text(code)
        else:
            path = code
        streams = [os.path.join(place, name) for name in ("out", "err")]
        arguments = (str(path), words, str(folder or place), streams, dict(os.environ))
        process = FORKING.Process(target=_program, args=arguments)
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
        return Done(process.exitcode, *(Path(s).read_text() for s in streams))


def _program(path, words, folder, streams, environment):
    # Looking for garbage in what was loaded before would copy all of its memory.
    gc.freeze()
    for number, stream in enumerate(streams, 1):
        os.dup2(os.open(stream, os.O_WRONLY | os.O_CREAT), number)
    sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1, closefd=False) for n in (1, 2))
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv, sys.path[:0] = [path, *words], [os.path.dirname(path)]
    main = types.ModuleType("__main__")
    # Worker processes look for it.
    main.__file__ = path
    sys.modules["__main__"] = main
    exec(compile(Path(path).read_text(), path, "exec"), vars(main))
