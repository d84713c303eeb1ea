"""Whatever happens to the process that writes, there is an error with a name, and no file that is wrong."""

import errno
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from dxflow.hdf5.errors import WriteError
from dxflow.hdf5.process import Writer

NOISE = np.random.default_rng(0).normal(size=(64, 4096)).astype("f4")
TESTS = str(Path(__file__).parents[1])


@pytest.fixture
def writer():
    """A process that makes the content of files."""
    with Writer("dxflow.hdf5.content") as made:
        yield made


@pytest.fixture
def works(monkeypatch):
    """A process that does the works of these tests."""
    monkeypatch.setenv("PYTHONPATH", TESTS)
    with Writer("works") as made:
        yield made


def fill(writer, path, blocks=1, values=NOISE):
    """Put some noise into a file."""
    writer.begin("write", path, made=path, path=path.with_suffix(".h5"))
    writer.send(("rows", ("data/noise", NOISE.dtype, NOISE.shape[1:])))
    for _ in range(blocks):
        writer.send(("append", ("data/noise",)), values)
    return writer.end()


def soon(condition):
    """Return whether something comes true."""
    end = time.monotonic() + 60
    while not (true := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return true


def below(process):
    """Return the process that a process has forked."""
    return soon(lambda: Path(f"/proc/{process}/task/{process}/children").read_text().split())[0]


def gone(process):
    """Return whether a process ended."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


# What goes well -----------------------------------------------------------------------------------


def test_files_one_after_the_other_are_made_by_one_process(writer, tmp_path):
    processes = set()
    for name in "abc":
        answer = fill(writer, tmp_path / name)
        assert answer["bytes"] == (tmp_path / name).stat().st_size
        with h5py.File(tmp_path / name) as file:
            assert np.array_equal(file["data/noise"][:], NOISE)
        processes.add(writer.process.pid)
    assert len(processes) == 1


def test_a_file_that_is_done_stays_though_its_process_is_closed_before_its_fork_has_ended(works, tmp_path):
    assert works.do("lingers", tmp_path / "x", made=tmp_path / "x", path=tmp_path / "x.h5") == "done"
    works.close()
    assert os.listdir(tmp_path) == ["x"]


def test_what_is_closed_leaves_nobody_to_be_waited_for(works):
    """Where process 1 waits for nobody, as in some containers, they would be there for ever."""
    works.begin("inside")
    fork = below(works.process.pid)
    works.end()
    works.close()
    assert not Path(f"/proc/{fork}").exists()


def test_objects_and_arrays_of_any_kind_arrive_as_they_were(works):
    sent = [
        np.arange(12).reshape(3, 4)[:, ::2],
        np.array(3.5),
        np.zeros((0, 4), ">f4"),
        np.array([True, False]),
        np.array([(1, "a")], [("x", "i4"), ("y", "U3")]),
        np.array(["2026-01-01"], "M8[ns]"),
    ]
    works.begin("echo", "word", {"key": (1, None)})
    for number, array in enumerate(sent):
        works.send(number, array)
    works.send("no array")
    arguments, came = works.end()
    assert arguments == ["word", {"key": (1, None)}]
    assert [message for message, _ in came] == [*range(len(sent)), "no array"]
    for (_, array), given in zip(came, sent, strict=False):
        assert array == (given.dtype, given.shape, given.tobytes())


def test_a_fork_has_no_threads_no_files_of_others_and_ignores_interrupts(works, tmp_path):
    with open(tmp_path / "mine", "w"):
        works.begin("inside")
        threads, files, interrupt, parent = works.end()
    # Its input, what it prints and complains, its answers, a sign of life; and the folder that it looked at.
    assert (threads, files, interrupt) == (1, 6, signal.SIG_IGN)
    assert parent == works.process.pid


def test_what_libraries_print_is_no_answer_and_stops_nothing(works):
    assert works.do("chatter", 2**20) == 2**20
    assert works.do("chatter", 2**20) == 2**20


def test_what_a_work_does_not_look_at_is_not_taken_for_the_next(works):
    for _ in range(2):
        works.begin("ignores")
        works.send("something", NOISE)
        assert works.end() == "done"


def test_an_interrupt_is_left_to_the_user_s_process(works, tmp_path):
    works.begin("echo")
    for process in (works.process.pid, int(below(works.process.pid))):
        os.kill(process, signal.SIGINT)
    assert works.end() == ([], [])


# Full disks ---------------------------------------------------------------------------------------


def test_a_full_disk_is_an_error_with_the_free_space_and_the_next_file_is_written(writer, small_disk):
    words = r"x\.h5 was not written: No space left on device \(.* are free there\)"
    with pytest.raises(WriteError, match=words) as e:
        fill(writer, small_disk / "x", 40)
    assert (e.value.errno, e.value.path) == (errno.ENOSPC, str(small_disk / "x.h5"))
    # As it was when the disk was full, not after what was written was removed.
    assert e.value.free < 2**20
    assert os.listdir(small_disk) == []
    fill(writer, small_disk / "x", 4)
    assert os.listdir(small_disk) == ["x"]


def test_a_full_disk_is_met_at_any_point_of_a_file(writer, small_disk):
    found = set()
    for blocks in (16, 17, 18, 19, 20):
        try:
            fill(writer, small_disk / "x", blocks)
        except WriteError:
            found.add("full")
        else:
            found.add("fits")
            with h5py.File(small_disk / "x") as file:
                assert np.array_equal(file["data/noise"][-64:], NOISE)
            os.remove(small_disk / "x")
        assert os.listdir(small_disk) == []
    assert found == {"fits", "full"}


def test_a_crash_where_more_is_needed_than_is_free_asks_whether_the_disk_is_full(works, tmp_path):
    need = 2**60
    with pytest.raises(WriteError, match=r"Is the disk full\? \(it needs .*, .* are free there\)") as e:
        works.do("dies", tmp_path / "x", 11, made=tmp_path / "x", path=tmp_path / "x", need=need)
    assert e.value.need == need


# Deaths -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, 0])
def test_a_fork_that_dies_is_an_error_that_says_how_and_the_next_work_is_done(works, tmp_path, number):
    how = f"ended by {signal.Signals(number).name}" if number else "ended with code 3"
    with pytest.raises(WriteError, match=rf"x\.h5 was not written: the process .*{how}\. last words \("):
        works.do("dies", tmp_path / "x", number, made=tmp_path / "x", path=tmp_path / "x.h5")
    assert os.listdir(tmp_path) == []
    assert works.do("ignores") == "done"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_process_that_dies_takes_its_fork_along(writer, tmp_path, number):
    path = tmp_path / "x"
    writer.begin("write", path, made=path, path=tmp_path / "x.h5")
    fork = below(writer.process.pid)
    os.kill(writer.process.pid, number)
    with pytest.raises(WriteError, match=rf"x\.h5 was not written: .*ended by {number.name}"):
        writer.end()
    assert soon(lambda: gone(fork))
    assert os.listdir(tmp_path) == []
    with pytest.raises(WriteError, match="writing it has ended"):
        writer.send("more")
    assert fill(writer, path)["bytes"] > 0


def test_a_work_that_takes_too_long_is_ended(works, tmp_path):
    works.begin("waits", tmp_path / "x", made=tmp_path / "x", path=tmp_path / "x.h5")
    assert soon(lambda: os.listdir(tmp_path))
    with pytest.raises(WriteError, match="SIGKILL"):
        works.end(0.05)
    assert os.listdir(tmp_path) == []


def test_a_work_is_stopped_from_another_thread(works, tmp_path):
    def stop():
        soon(lambda: os.listdir(tmp_path))
        works.stop()

    stopping = threading.Thread(target=stop)
    stopping.start()
    with pytest.raises(WriteError, match="SIGKILL"):
        works.do("waits", tmp_path / "x", made=tmp_path / "x", path=tmp_path / "x.h5")
    stopping.join()
    assert os.listdir(tmp_path) == []


def test_closing_ends_what_is_written_and_leaves_nothing(works, tmp_path):
    works.begin("waits", tmp_path / "x", made=tmp_path / "x", path=tmp_path / "x.h5")
    assert soon(lambda: os.listdir(tmp_path))
    process, fork = works.process.pid, below(works.process.pid)
    works.close()
    works.close()
    assert soon(lambda: gone(fork) and gone(process))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.4])
@pytest.mark.parametrize("work", ["sends", "waits"])
def test_when_the_user_s_process_is_killed_no_file_and_no_process_stays(tmp_path, work, seconds):
    program = textwrap.dedent("""
        import sys, os, time, numpy as np
        from pathlib import Path
        from dxflow.hdf5.process import Writer
        path = Path(sys.argv[1])
        os.environ["PYTHONPATH"] = sys.argv[3]
        writer = Writer("dxflow.hdf5.content" if sys.argv[2] == "sends" else "works")
        writer.begin("write" if sys.argv[2] == "sends" else "waits", path, made=path, path=path)
        print(writer.process.pid, flush=True)
        while not path.exists():
            time.sleep(0.01)
        print("begun", flush=True)
        if sys.argv[2] == "waits":
            time.sleep(3600)
        writer.send(("rows", ("x", np.dtype("f8"), (1000,))))
        while True:
            writer.send(("append", ("x",)), np.random.rand(100, 1000))
    """)
    command = [sys.executable, "-c", program, str(tmp_path / "x"), work, TESTS]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    writing = int(process.stdout.readline())
    process.stdout.readline()
    fork = below(writing)
    time.sleep(seconds)
    process.kill()
    process.wait()
    process.stdout.close()
    assert soon(lambda: gone(writing) and gone(fork))
    assert os.listdir(tmp_path) == []


# Wrong data ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (NOISE.astype("f8"), "TypeError: data/noise: values of float64 do not fit a dataset of float32"),
        (NOISE.astype(">f4"), "values of >f4 do not fit"),
        (NOISE[:, :-1], r"rows of \(4095,\), expected \(4096,\)"),
    ],
)
def test_data_of_a_wrong_dtype_or_shape_are_an_error_not_a_wrong_file(writer, tmp_path, values, words):
    with pytest.raises(WriteError, match=rf"x\.h5 was not written: .*{words}"):
        fill(writer, tmp_path / "x", 20, values)
    assert os.listdir(tmp_path) == []


def test_a_region_of_a_wrong_dtype_is_an_error_not_a_wrong_file(writer, tmp_path):
    writer.begin("write", tmp_path / "x", made=tmp_path / "x", path=tmp_path / "x.h5")
    writer.send(("array", ("x", np.dtype("i2"), (4, 2), (1, 2, 2))))
    writer.send(("region", ("x", (0, 0))), np.zeros((4, 2), "i4"))
    with pytest.raises(WriteError, match="values of int32 do not fit a dataset of int16"):
        writer.end()
    assert os.listdir(tmp_path) == []


def test_an_array_of_objects_is_refused_before_it_is_sent(works):
    works.begin("echo")
    with pytest.raises(TypeError, match="an array of object cannot be written: give numbers"):
        works.send(0, np.array([1, None]))
    assert works.end() == ([], [])


def test_what_hdf5_refuses_is_an_error_that_names_the_file(writer, tmp_path):
    writer.begin("write", tmp_path / "x", made=tmp_path / "x", path=tmp_path / "x.h5")
    for _ in range(2):
        writer.send(("plain", ("noise",)), np.arange(3))
    with pytest.raises(WriteError, match=r"x\.h5 was not written: .*(exist|already)"):
        writer.end()
    assert os.listdir(tmp_path) == []


def test_what_cannot_be_done_or_loaded_is_an_error(writer, tmp_path):
    with pytest.raises(WriteError, match="AttributeError.*no such work"):
        writer.do("no such work", path=tmp_path / "x")
    with Writer("no_such_module") as other, pytest.raises(WriteError, match="No module named"):
        other.do("write", path=tmp_path / "x")


def test_the_error_travels_between_processes_with_all_it_says():
    import pickle

    error = WriteError("x was not written", "x", 5, 3, 28)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), vars(again), again.errno) == (str(error), vars(error), 28)
