"""Rows of the catalogue that need more than a spoilt copy of a run: limits, threads, forks, slow workers, settings."""

import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import dask
import h5py
import numpy as np
import pytest
from samples import RoiSum, Stats

import dxflow
from dxflow import Algorithm, Frames, Key, Output
from dxflow.clusters import Here, Local
from dxflow.reader.files import Files
from dxflow.run.extents import extents
from dxflow.simulate import make_run
from dxflow.testing.case import cut

STAGE = "SPB_EXP_SCAN/MOTOR/STAGE"
ONE = Frames(modules=(0,), mask=None)
VALUE = f"CONTROL/{STAGE}/actualPosition/value"


class Motor(Algorithm):
    """The position of a motor, per train."""

    ALG_ID = "motor"
    inputs = {"at": Key(STAGE, "actualPosition")}

    def outputs(self, info):
        return {"position": Output(per="train", dtype="f8"), "trains": Output(per="run", dtype="i8")}

    def process_train_data(self, train, out):
        out.position = train["at"]
        out.trains += 1


# A control value that is not there, D49 ---------------------------------------------------------------


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "r0001"
    return make_run(path, detector="AGIPD500K", trains=8, pulses=2, module_shape=(8, 8), modules=1).path


def _replace(file, values):
    del file[VALUE]
    if values is not None:
        file[VALUE] = values


SPOILS = {
    "no rows": (lambda f, v: _replace(f, v[:0]), [0, 1, 2, 3]),
    "too few rows": (lambda f, v: _replace(f, v[:2]), [2, 3]),
    "no such key": (lambda f, v: _replace(f, None), [0, 1, 2, 3]),
    "no such source": (lambda f, v: f.__delitem__(f"CONTROL/{STAGE}"), [0, 1, 2, 3]),
}


@pytest.mark.parametrize("kind", SPOILS)
def test_a_control_value_that_is_not_there_is_refused_by_name_or_costs_its_trains(scan, tmp_path, kind):
    spoil, lost = SPOILS[kind]
    shutil.copytree(scan, tmp_path / "run")
    expected = _positions(tmp_path / "run")
    (name,) = (p.name for p in (tmp_path / "run").glob("*DA*S00000.h5"))
    with h5py.File(tmp_path / "run" / name, "r+") as file:
        spoil(file, file[VALUE][()])
    with pytest.raises(dxflow.PlanError, match=rf"{STAGE} \({name}\), trains 1000{lost[0] + 1}-10004"):
        dxflow.plan(tmp_path / "run", Motor(), quiet=True)
    # What does not read it is not concerned.
    assert dxflow.reduce(tmp_path / "run", RoiSum(img=ONE), cluster="here", quiet=True).losses.empty
    result = dxflow.reduce(tmp_path / "run", Motor(), cluster="here", quiet=True, on_fault="mask")
    expected[lost] = np.nan
    np.testing.assert_array_equal(result.dataset["motor.position"], expected)
    assert int(result.dataset["motor.trains"]) == 8 - len(lost)
    assert name in " ".join(result.losses.file)


def _positions(run):
    values = []
    for path in sorted(Path(run).glob("*DA*.h5")):
        with h5py.File(path) as file:
            values += file[VALUE][()].tolist()
    return np.array(values, "f8")


# Few open files, D50 ----------------------------------------------------------------------------------

FEW = """
import resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
from dxflow.commands.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_run_of_more_files_than_a_process_may_open_is_reduced(tmp_path):
    path = tmp_path / "r0001"
    truth = make_run(path, trains=10, pulses=2, module_shape=(8, 8), sequences=5)
    assert len(list(path.glob("*.h5"))) > 64 < resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    words = ["reduce", path, "--to", tmp_path / "x.zarr", "--cluster", "here", "average"]
    done = subprocess.run(
        [sys.executable, "-c", FEW, *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result = dxflow.open(tmp_path / "x.zarr")
    assert result.losses.empty
    assert int(result.dataset["average.count"].max()) == truth.train_ids.size * 2


# Many chunks, R16 -------------------------------------------------------------------------------------


def test_a_large_run_is_at_most_two_tasks_per_chunk(long, monkeypatch):
    calls, submit = [], Here.submit

    def counted(self, function, *args, **options):
        calls.append(function.__name__)
        return submit(self, function, *args, **options)

    monkeypatch.setattr(Here, "submit", counted)
    made = cut(dxflow.plan(long.path, Stats(), quiet=True), 1)
    assert len(made.chunks) == len(long.train_ids)
    dxflow.execute(made, "here", quiet=True)
    assert len(made.chunks) < len(calls) <= 2 * len(made.chunks)


# Forks and threads that read with HDF5, R19 and R21 ------------------------------------------------------

FORKS = """
import os, sys, threading, h5py, glob
run, to = sys.argv[1:]
import dxflow
from dxflow.algorithms.average import Average
file, stop = sorted(glob.glob(run + "/*AGIPD*.h5"))[0], threading.Event()

def read():
    while not stop.is_set():
        with h5py.File(file) as f:
            f["INDEX/trainId"][()]

threads = [threading.Thread(target=read) for _ in range(3)]
for thread in threads:
    thread.start()
pids = []
for n in range(6):
    pid = os.fork()
    if not pid:
        code = 1
        try:
            dxflow.reduce(run, Average(), f"{to}/{n}.zarr", cluster="here", quiet=True)
            code = 0
        finally:
            os._exit(code)
    pids.append(pid)
codes = [os.waitpid(pid, 0)[1] for pid in pids]
stop.set()
print(codes)
"""


def test_forks_of_a_process_whose_threads_read_with_hdf5_reduce_and_end(gappy, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", FORKS, gappy.path, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert "[0, 0, 0, 0, 0, 0]" in done.stdout, done.stdout + done.stderr
    digests = {dxflow.open(tmp_path / f"{n}.zarr").dataset["average.mean"].values.tobytes() for n in range(6)}
    assert len(digests) == 1


def test_workers_are_started_anew_and_not_forked(client):
    def how():
        import multiprocessing

        return multiprocessing.get_start_method(allow_none=True), os.getppid()

    assert dask.config.get("distributed.worker.multiprocessing-method") == "spawn"
    assert len(client.run(how)) == 2


@pytest.mark.parametrize("layout", [{}, {"compress_data": True}])
def test_frames_are_read_while_somebody_else_holds_hdf5s_lock(tmp_path, layout):
    path = tmp_path / "r0001"
    make_run(path, detector="AGIPD500K", trains=4, pulses=3, module_shape=(16, 16), modules=1, **layout)
    made = dxflow.plan(path, RoiSum(img=ONE), quiet=True)
    bound, files = made.inputs[0], Files()
    pieces = list(extents(files, bound.location, bound.index, 0, slice(0, 12)).overlapping(0, 12))
    held, done = threading.Event(), threading.Event()

    def hold():
        with h5py._objects.phil:
            held.set()
            done.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait()
    out, began = np.zeros((12, 16, 16), "f4"), time.monotonic()

    def read():
        for first, stop, piece, at in pieces:
            piece.read(first - at, stop - at, out[first:stop])

    reader = threading.Thread(target=read)
    reader.start()
    reader.join(20)
    took = time.monotonic() - began
    done.set()
    holder.join()
    reader.join()
    files.close()
    assert took < 20
    stored = []
    for name in bound.location.files:
        with h5py.File(name) as file:
            file.visititems(
                lambda key, found: stored.append(found[...]) if key.endswith("image/data") else None
            )
    np.testing.assert_array_equal(out, np.concatenate(stored).reshape(out.shape))
    assert out.any()


# A slow worker, R23 -----------------------------------------------------------------------------------


class Slow(Stats):
    """Takes long in the process that comes first."""

    ALG_ID = "stats"

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--folder", required=True)

    def configure(self, args):
        self.folder = args.folder

    def process_module_data(self, block, out):
        try:
            os.mkdir(f"{self.folder}/first")
            Path(self.folder, "pid").write_text(str(os.getpid()))
        except FileExistsError:
            pass
        # Until the other one has done most of the chunks.
        if Path(self.folder, "pid").read_text() == str(os.getpid()):
            deadline = time.monotonic() + 20
            while len(list(Path(self.folder).glob("done-*"))) < 16 and time.monotonic() < deadline:
                time.sleep(0.05)
        else:
            Path(self.folder, f"done-{block.train_ids[0]}").touch()
        super().process_module_data(block, out)


def test_a_slow_worker_keeps_only_what_it_has_begun(long, tmp_path):
    made = cut(dxflow.plan(long.path, Slow(folder=str(tmp_path)), quiet=True), 4)
    result = dxflow.execute(made, Local(workers=2), quiet=True)
    assert len(list(tmp_path.glob("done-*"))) >= 16
    expected = dxflow.execute(cut(dxflow.plan(long.path, Stats(), quiet=True), 4), "here", quiet=True)
    assert result.dataset["stats.mean"].values.tobytes() == expected.dataset["stats.mean"].values.tobytes()


# Code that Dask's configuration loads, X5 ----------------------------------------------------------------


def test_no_configuration_of_dask_beside_the_data_or_in_the_working_directory_is_read(gappy, tmp_path):
    shutil.copytree(gappy.path, tmp_path / "run")
    (tmp_path / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n")
    text = f"distributed: {{worker: {{preload: [{tmp_path}/evil.py]}}, scheduler: {{preload: [{tmp_path}/evil.py]}}}}"
    for folder in (tmp_path, tmp_path / "run"):
        for name in ("dask.yaml", "distributed.yaml", "jobqueue.yaml"):
            (folder / name).write_text(text)
    words = ["-m", "dxflow", "reduce", "run", "--to", "x.zarr", "--workers", "1", "average"]
    done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "ran").exists()
