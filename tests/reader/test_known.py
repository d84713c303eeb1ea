"""What is remembered of files from plan to plan is what they hold, whatever happens to them in between."""

import os
import threading

import h5py
import numpy as np
import pytest

import dxflow
from dxflow.algorithms.average import Average
from dxflow.reader import known
from dxflow.reader.extents import array
from dxflow.reader.faults import ReadFault
from dxflow.reader.files import Files
from dxflow.simulate import make_run


@pytest.fixture
def settled(monkeypatch):
    """Take files as settled that were written just now."""
    monkeypatch.setattr(known, "SETTLED", -(10**12))


def numbers(path, name="x"):
    """Return a dataset as a new plan reads it."""
    files = Files(planning=True)
    try:
        return array(files, str(path), name).tolist()
    finally:
        files.close()


def write(path, values, name="x"):
    with h5py.File(path, "w") as f:
        f[name] = values


def test_a_second_plan_of_the_same_files_opens_none_with_hdf5(settled, tmp_path, monkeypatch):
    run = make_run(tmp_path / "r", trains=3, pulses=2, module_shape=(8, 8)).path
    first, opened = dxflow.plan(run, Average()), []
    real = h5py.File.__init__
    monkeypatch.setattr(
        h5py.File, "__init__", lambda self, *a, **k: (opened.append(a[0]), real(self, *a, **k))[1]
    )
    again = dxflow.plan(run, Average())
    assert [o for o in opened if str(o).startswith(str(run))] == []
    assert again.fingerprint == first.fingerprint


@pytest.mark.parametrize("options", [{}, {"layout": "chunked", "compress_data": True}])
def test_a_second_pass_of_a_process_asks_hdf5_nothing_of_files_that_it_knows(
    settled, tmp_path, monkeypatch, options
):
    run = make_run(tmp_path / "r", trains=3, pulses=2, module_shape=(8, 8), **options).path
    first, opened = dxflow.reduce(run, Average(), cluster="here"), []
    real = h5py.File.__init__
    monkeypatch.setattr(
        h5py.File, "__init__", lambda self, *a, **k: (opened.append(a[0]), real(self, *a, **k))[1]
    )
    again = dxflow.reduce(run, Average(), cluster="here")
    assert [o for o in opened if str(o).startswith(str(run))] == []
    assert again.dataset.identical(first.dataset)


def test_a_pass_notices_that_frames_of_a_file_it_knows_were_written_elsewhere_in_it(settled, tmp_path):
    few = {"detector": "JUNGFRAU1", "trains": 3, "pulses": 1, "sequences": 1, "devices": ()}
    run = make_run(tmp_path / "r", module_shape=(8, 8), **few)
    before = dxflow.reduce(run.path, Average(), cluster="here").dataset["average.mean"].values
    (path,) = [p for p in os.listdir(run.path) if p.endswith(".h5")]
    with h5py.File(os.path.join(run.path, path), "r+") as file:
        found: list[str] = []
        file.visit(lambda name: found.append(name) if name.endswith("data/adc") else None)
        data = file[found[0]][...]
        del file[found[0]]
        file["elsewhere"] = np.zeros(10_000)
        file[found[0]] = data + 1
    after = dxflow.reduce(run.path, Average(), cluster="here").dataset["average.mean"].values
    np.testing.assert_allclose(after, before + 1, rtol=1e-6)


def test_a_file_that_was_written_to_is_read_anew_though_its_size_and_time_are_the_same(settled, tmp_path):
    path = tmp_path / "a.h5"
    write(path, np.arange(5))
    assert numbers(path) == [0, 1, 2, 3, 4]
    then = os.stat(path)
    with h5py.File(path, "r+") as f:
        f["x"][...] = 7
    os.utime(path, ns=(then.st_atime_ns, then.st_mtime_ns))
    assert os.stat(path).st_size == then.st_size
    assert numbers(path) == [7] * 5


def test_another_file_in_its_place_is_read_anew_and_the_first_one_when_it_is_back(settled, tmp_path):
    path, aside, other = tmp_path / "a.h5", tmp_path / "b.h5", tmp_path / "c.h5"
    write(path, [1, 2])
    write(other, [3, 4])
    assert numbers(path) == [1, 2]
    path.rename(aside)
    other.rename(path)
    assert numbers(path) == [3, 4]
    aside.rename(path)
    assert numbers(path) == [1, 2]


def test_a_file_that_was_written_a_moment_ago_is_not_remembered(tmp_path):
    path = tmp_path / "a.h5"
    write(path, [1])
    identity = known.identity_of(os.stat(path))
    assert known.known_of(str(path), identity) is not known.known_of(str(path), identity)
    old = (*identity[:3], identity[3] - 10**10, identity[4] - 10**10)
    assert known.known_of(str(path), old) is known.known_of(str(path), old)


def test_what_lies_in_other_files_is_not_remembered(settled, tmp_path):
    write(tmp_path / "data.h5", [1, 2])
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["x"] = h5py.ExternalLink("data.h5", "x")
        layout = h5py.VirtualLayout((2,), int)
        layout[:] = h5py.VirtualSource(str(tmp_path / "data.h5"), "x", (2,))
        f.create_virtual_dataset("v", layout)
    assert [numbers(tmp_path / "a.h5", n) for n in "xv"] == [[1, 2], [1, 2]]
    write(tmp_path / "data.h5", [3, 4])
    assert [numbers(tmp_path / "a.h5", n) for n in "xv"] == [[3, 4], [3, 4]]


def test_a_fault_is_not_remembered_and_what_is_absent_is_said_each_time(settled, tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as f:
        f.create_dataset("x", (3,), chunks=(1,), dtype=int)
    for _ in range(2):
        with pytest.raises(ReadFault, match="never written"):
            numbers(path)
        with pytest.raises(ReadFault, match="there is no y"):
            numbers(path, "y")
        assert not Files(planning=True).has(str(path), "y")


def test_remembered_arrays_cannot_be_written_to(settled, tmp_path):
    write(tmp_path / "a.h5", [1, 2])
    with pytest.raises(ValueError, match="read-only"):
        array(Files(planning=True), str(tmp_path / "a.h5"), "x")[0] = 5


def test_large_values_and_too_many_are_read_again(settled):
    one = known.Known()
    one.keep(("array", "x"), np.zeros(known.ROOM + 1, np.uint8))
    assert ("array", "x") not in one
    for n in range(10_000):
        one.keep(("has", str(n)), True)
    kept = sum(("has", str(n)) in one for n in range(10_000))
    assert kept == known.ROOM // known.LEAST


def test_plans_in_threads_are_all_the_same(settled, tmp_path):
    run = make_run(tmp_path / "r", trains=3, pulses=2, module_shape=(8, 8)).path
    seen = []
    threads = [
        threading.Thread(target=lambda: seen.append(dxflow.plan(run, Average()).fingerprint))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 6
    assert all(one == seen[0] for one in seen)
