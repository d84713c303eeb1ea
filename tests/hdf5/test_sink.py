"""Whatever happens to the process that writes, there is an error with a name, and no file that is wrong."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from dxflow.exdf import WriteError
from dxflow.hdf5.sink import Sink

NOISE = np.random.default_rng(0).normal(size=(64, 4096)).astype("f4")


def fill(sink, blocks=1):
    """Put some noise into a file, and close it."""
    sink.rows("data/noise", NOISE.dtype, NOISE.shape[1:])
    for _ in range(blocks):
        sink.append("data/noise", NOISE)
    return sink.close()


def left(folder):
    """Return the names in a folder, once a killed process had the time to tidy up."""
    for _ in range(100):
        if not os.listdir(folder):
            break
        time.sleep(0.05)
    return os.listdir(folder)


def test_a_file_has_no_name_before_it_is_complete(tmp_path):
    sink = Sink(tmp_path / "x.h5")
    answer = fill(sink)
    assert [p.suffix for p in tmp_path.iterdir()] == [".part"]
    sink.publish()
    assert [p.name for p in tmp_path.iterdir()] == ["x.h5"]
    assert answer["bytes"] == (tmp_path / "x.h5").stat().st_size
    with h5py.File(tmp_path / "x.h5") as file:
        assert np.array_equal(file["data/noise"][:], NOISE)


def test_all_kinds_of_content_come_back(tmp_path):
    sink = Sink(tmp_path / "x.h5")
    sink.plain("small", np.arange(3))
    sink.text("words", ["a", "µ" * 50])
    sink.group("empty/group")
    sink.array("whole", np.dtype("i2"), (4, 2), (1, 2, 2))
    sink.region("whole", (2, 0), np.full((2, 2), 7, "i2"))
    sink.rows("none", np.dtype("f8"), (3,))
    sink.attributes("small", {"unit": "m", "n": 3})
    sink.attributes("none", {"late": "yes"})
    sink.link("elsewhere", "other.h5", "/there")
    sink.close()
    sink.publish()
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["small"][:].tolist() == [0, 1, 2]
        assert file["words"].asstr()[:].tolist() == ["a", "µ" * 50]
        assert isinstance(file["empty/group"], h5py.Group)
        assert file["whole"][0].tolist() == [[0, 0], [0, 0], [7, 7], [7, 7]]
        assert file["none"].shape == (0, 3)
        assert dict(file["small"].attrs) == {"unit": "m", "n": 3}
        assert file["none"].attrs["late"] == "yes"
        assert file.get("elsewhere", getlink=True).filename == "other.h5"


def test_what_hdf5_refuses_is_an_error_that_names_the_file(tmp_path):
    sink = Sink(tmp_path / "x.h5")
    sink.plain("noise", np.arange(3))
    sink.plain("noise", np.arange(3))
    with pytest.raises(WriteError, match=r"x\.h5 was not written: .*(exist|already)"):
        fill(sink, 20)
    assert left(tmp_path) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_writing_process_that_dies_is_an_error_that_says_how(tmp_path, number):
    sink = Sink(tmp_path / "x.h5")
    sink.plain("x", np.arange(3))
    os.kill(sink._process.pid, number)
    with pytest.raises(WriteError, match=rf"x\.h5 was not written: .*ended by {number.name}"):
        fill(sink, 100)
    assert left(tmp_path) == []


def test_a_full_disk_is_an_error_with_the_free_space(small_disk):
    sink = Sink(small_disk / "x.h5")
    with pytest.raises(
        WriteError, match=r"x\.h5 was not written: No space left on device \(.* are free there\)"
    ) as e:
        fill(sink, 40)
    assert e.value.errno == errno.ENOSPC
    assert left(small_disk) == []


def test_a_full_disk_is_met_at_any_point_of_a_file(small_disk):
    sizes = set()
    for blocks in (16, 17, 18, 19, 20):
        sink = Sink(small_disk / "x.h5")
        try:
            fill(sink, blocks)
            sink.publish()
            sizes.add("fits")
            with h5py.File(small_disk / "x.h5") as file:
                assert np.array_equal(file["data/noise"][-64:], NOISE)
            os.remove(small_disk / "x.h5")
        except WriteError:
            sizes.add("full")
        assert left(small_disk) == []
    assert sizes == {"fits", "full"}


@pytest.mark.parametrize(
    ("path", "words"),
    [("none/x.h5", "does not exist; make it first"), ("x" * 300, "File name too long; choose another name")],
)
def test_a_place_where_no_file_can_be_is_refused_at_once(tmp_path, path, words):
    with pytest.raises(WriteError, match=words):
        Sink(tmp_path / path)


def test_the_longest_name_that_a_file_can_have_is_possible(tmp_path):
    sink = Sink(tmp_path / ("x" * 252 + ".h5"))
    fill(sink)
    sink.publish()


def test_a_read_only_place_is_refused_at_once(read_only_disk):
    with pytest.raises(WriteError, match="is read-only; choose another"):
        Sink(read_only_disk / "x.h5")


def test_giving_up_leaves_nothing(tmp_path):
    sink = Sink(tmp_path / "x.h5")
    sink.plain("x", np.arange(3))
    sink.discard()
    sink.discard()
    assert left(tmp_path) == []


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.15, 0.4])
def test_when_the_user_s_process_is_killed_nothing_stays(tmp_path, seconds):
    program = textwrap.dedent("""
        import sys, numpy as np
        from dxflow.hdf5.sink import Sink
        sink = Sink(sys.argv[1])
        sink.rows("x", np.dtype("f8"), (1000,))
        print("begun", flush=True)
        while True:
            sink.append("x", np.random.rand(100, 1000))
    """)
    command = [sys.executable, "-c", program, str(tmp_path / "x.h5")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    process.stdout.readline()
    time.sleep(seconds)
    process.kill()
    process.wait()
    assert left(tmp_path) == []


def test_an_interrupt_is_left_to_the_user_s_process(tmp_path):
    sink = Sink(tmp_path / "x.h5")
    sink.plain("x", np.arange(3))
    for _ in range(100):
        if list(Path(tmp_path).iterdir()):
            break
        time.sleep(0.05)
    os.kill(sink._process.pid, signal.SIGINT)
    fill(sink)
    sink.publish()
    assert (tmp_path / "x.h5").exists()


def test_a_process_that_says_much_does_not_stop_the_writing(tmp_path, monkeypatch):
    """More than a pipe holds: HDF5 says pages of each of its errors."""
    from dxflow.disk import process as _light

    noisy = _light._PROGRAM.replace("import_module(sys", "sys.stderr.write('x' * 2**20)\nimport_module(sys")
    monkeypatch.setattr(_light, "_PROGRAM", noisy)
    sink = Sink(tmp_path / "x.h5")
    sink.rows("x", np.dtype("f8"), (1000,))
    for _ in range(20):
        sink.append("x", np.zeros((50, 1000)))
    sink.close()
    sink.publish()
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["x"].shape == (1000, 1000)
