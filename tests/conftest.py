"""Runs and a cluster that test files share."""

import gc
import os
import pickle
import signal
import sys
import warnings
from pathlib import Path

import pytest

# Worker processes get this path too, and import the algorithms of tests from it, or from the test that defines them.
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import runs  # noqa: E402
from disks import mounted  # noqa: E402
from runs import make_run  # noqa: E402

from dxflow import simulate  # noqa: E402
from dxflow.simulate import Plant  # noqa: E402

runs.begin()

# Shells begin what is in the background with Ctrl-C ignored, and so would be the programs that tests start and stop.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# There is no extra-redu, which these compare with, for newer Pythons.
collect_ignore = (
    [
        "copying/test_patterns.py",
        "declare/test_exposures.py",
        "algorithms/test_rounding.py",
        "algorithms/test_spihits.py",
    ]
    if sys.version_info >= (3, 13)
    else []
)

GAPS = Plant(
    missing_trains=(3,),
    lost_trains={2: (0, 4)},
    silent_trains={5: (7,)},
    pulse_counts=lambda train: (6, 5, 0, 6, 3, 6, 1)[train % 7],
    empty_trains=(8,),
)


@pytest.hookimpl(tryfirst=True, optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """One more than there are cores: tests also wait, for clusters, and for what must not happen for a while."""
    return len(os.sched_getaffinity(0)) + 1


class InThisProcess:
    """Stands for the two processes that EXtra-data starts, and has load it, for each run of four files or more."""

    def __init__(self, **options):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def map(self, opened, paths):
        """Give files as they come from another process: closed."""
        for path in paths:
            name, file = opened(path)
            yield pickle.loads(pickle.dumps((name, file)))
            if not isinstance(file, str):
                file.close()


@pytest.fixture(scope="session", autouse=True)
def _extra_data_in_this_process():
    import loky

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(loky, "ProcessPoolExecutor", InThisProcess)
        yield


def pytest_collection_finish(session):
    """Make each simulated run once; look for garbage in what tests make, not in all the libraries that are loaded."""
    for module in {item.module for item in session.items if item.path.parent.name != "simulate"}:
        if getattr(module, "make_run", None) is simulate.make_run:
            module.make_run = make_run
    gc.freeze()
    gc.set_threshold(100_000, 10, 10)


@pytest.fixture(scope="session", autouse=True)
def _kernels_once():
    """No two processes compile the same kernel, as they would in a fresh clone."""
    import compiling

    compiling.one_at_a_time()


@pytest.fixture(scope="session", autouse=True)
def _disks_at_once():
    """Nothing waits until the disk has what was written: no test turns the power off."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _writers_at_once():
    """Processes that write HDF5 files are forked from one that has loaded HDF5, which takes half a second."""
    import forking
    import programs

    from dxflow.disk import process as _light

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(_light, "subprocess", forking.forked(programs.WRITERS))
        yield
    programs.WRITERS.close()


@pytest.fixture(scope="session", autouse=True)
def _workers_at_once():
    """Worker processes that tests start, or that start again, need no second for their libraries."""
    import workers
    from distributed import process

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(process, "get_mp_context", workers.Forking)
        yield


@pytest.fixture
def usual_workers(monkeypatch):
    """Worker processes start as Dask starts them: each is a Python of its own."""
    from distributed import process, utils

    monkeypatch.setattr(process, "get_mp_context", utils.get_mp_context)


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The truth of a whole AGIPD with small modules: 12 trains of 6 pulses, nothing missing."""
    return make_run(tmp_path_factory.mktemp("run") / "r0001", trains=12, pulses=6, module_shape=(16, 16))


@pytest.fixture(scope="session")
def half(tmp_path_factory):
    """The truth of an AGIPD500K with small modules: 12 trains of 6 pulses, nothing missing, a file per module."""
    folder = tmp_path_factory.mktemp("half") / "r0001"
    return make_run(folder, detector="AGIPD500K", trains=12, pulses=6, module_shape=(16, 16), sequences=1)


@pytest.fixture(scope="session")
def gappy(tmp_path_factory):
    """The truth of an AGIPD500K whose trains and frames are missing here and there."""
    folder = tmp_path_factory.mktemp("gappy") / "r0002"
    return make_run(folder, detector="AGIPD500K", trains=12, pulses=6, module_shape=(8, 8), plant=GAPS)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The truth of an AGIPD500K with tiny modules: 5 trains of 3 pulses, nothing missing, to be reduced many times."""
    folder = tmp_path_factory.mktemp("tiny") / "r0004"
    return make_run(folder, detector="AGIPD500K", trains=5, pulses=3, module_shape=(8, 8), devices=())


@pytest.fixture(scope="session")
def long(tmp_path_factory):
    """The truth of an AGIPD500K with tiny modules: 192 trains of 8 pulses, which make two dozen chunks."""
    folder = tmp_path_factory.mktemp("long") / "r0003"
    return make_run(folder, detector="AGIPD500K", trains=192, pulses=8, module_shape=(8, 8))


@pytest.fixture(scope="session")
def example(tmp_path_factory):
    """Return a function that gives the path of a run that EXtra-data's own tests make, by name."""
    from extra_data.tests import make_examples

    made = {}

    def path(name, **options):
        key = (name, *sorted(options.items()))
        if key not in made:
            made[key] = tmp_path_factory.mktemp(name)
            getattr(make_examples, f"make_{name}_run")(str(made[key]), **options)
        return made[key]

    return path


@pytest.fixture
def small_disk(tmp_path):
    """A folder with room for 16 MiB."""
    with mounted(tmp_path / "small", size="16m") as folder:
        yield folder


@pytest.fixture
def read_only_disk(tmp_path):
    """A folder in which nothing can be written."""
    with mounted(tmp_path / "fixed", size="1m", ro=None) as folder:
        yield folder


@pytest.fixture(scope="session")
def client():
    """A client of two worker processes of this machine."""
    from dxflow.clusters import Local

    cluster = Local(workers=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        client = cluster.start()
    yield client
    client.close()
    cluster.close()


@pytest.fixture(scope="session")
def _slurm():
    import slurmd

    with slurmd.running() as slurm:
        yield slurm


@pytest.fixture
def slurm(_slurm, tmp_path, monkeypatch):
    """A real Slurm of three nodes, empty; jobs find the algorithms of tests, runs leave their folders in tmp_path."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    monkeypatch.setenv("DXFLOW_HOME", str(tmp_path / "home"))
    yield _slurm
    _slurm.empty()
