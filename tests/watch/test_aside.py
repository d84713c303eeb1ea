"""A watcher whose results lie on a file system that does not answer: it says so, goes on, and ends if asked to."""

import contextlib
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest
from runs import make_run

from dxflow.watch import aside, orders, state
from dxflow.watch.aside import Aside
from dxflow.watch.loop import watched


@pytest.fixture
def soon(monkeypatch):
    monkeypatch.setattr(aside, "LOOK", 0.2)
    monkeypatch.setattr(aside, "ASKED", 0.1)
    monkeypatch.setattr(aside, "PATIENCE", 0.5)
    # What is started in the background ignores Ctrl-C.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def disk(folder):
    """Mount a file system that can be frozen: who writes to it then waits, as for a server that is gone."""
    folder.mkdir()
    image = folder.with_suffix(".img")
    with image.open("wb") as file:
        file.truncate(16 * 2**20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, folder], check=True)
    try:
        yield lambda flag: subprocess.run(["fsfreeze", flag, folder], check=True)
    finally:
        subprocess.run(["fsfreeze", "-u", folder], check=False, capture_output=True)
        until = time.monotonic() + 60
        while subprocess.run(["umount", folder], check=False, capture_output=True).returncode:
            assert time.monotonic() < until
            time.sleep(0.1)


def until(condition):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_results_on_a_disk_that_does_not_answer_are_waited_for_and_ctrl_c_ends_it(tmp_path, soon):
    make_run(tmp_path / "one", detector=None, trains=2, pulses=2, devices=("xgm",))
    (tmp_path / "raw").mkdir()
    # Every task is skipped: what there is to see is the watcher itself.
    (tmp_path / "what.yaml").write_text(
        "results: out\nevery: 0.1\nquiet: 0.1\n"
        "tasks:\n  table: {do: 'table {path}', to: '{name}.zarr', where: {run: 0}}\n"
    )
    said, ended = [], threading.Event()

    def others(freeze):
        """Do what goes on outside, while the watcher works in its thread."""
        try:
            for flag in ("-f", "-u", "-f"):
                freeze(flag)
                number = 1 + len(list((tmp_path / "raw").iterdir()))
                shutil.copytree(tmp_path / "one", tmp_path / f"raw/r{number:04}")
                wanted = "answers again" if flag == "-u" else "out does not answer: nothing is begun"
                before = sum(wanted in line for line in said)
                until(lambda now=wanted, n=before: sum(now in line for line in said) > n)
                if flag == "-u":
                    until(lambda: "r0001" in state.read(tmp_path / "out")[0])
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            ended.set()

    with disk(tmp_path / "out") as freeze:
        outside = threading.Thread(target=others, args=(freeze,))
        outside.start()
        with pytest.raises(KeyboardInterrupt) as e:
            watched(str(tmp_path / "raw"), orders.of(tmp_path / "what.yaml"), None, said.append)
        assert ended.wait(60)
        outside.join()
        assert "out does not answer: what was begun there is found again" in e.value.__notes__[0]
        freeze("-u")
        # Its thread was left where it was, and ends in order now.
        until(lambda: not any(one.name == "dxflow-watch" for one in threading.enumerate()))
        assert {"r0001", "r0002"} <= state.read(tmp_path / "out")[0].keys()


def test_work_that_takes_long_is_not_taken_for_a_disk_that_hangs(tmp_path, soon, monkeypatch):
    monkeypatch.setattr(aside, "PATIENCE", 60)
    said = []
    assert Aside(tmp_path, said.append).run(lambda: time.sleep(1.5) or 3) == 3
    assert said == []


def test_what_goes_wrong_is_raised_where_it_was_asked_for(tmp_path):
    with pytest.raises(ZeroDivisionError):
        Aside(tmp_path, str).run(lambda: 1 / 0)


def test_ctrl_c_asks_it_to_end_and_once_more_to_wait_for_nothing(tmp_path, soon):
    one, seen = Aside(tmp_path, str), []

    def work():
        for event in (one.asked, one.left):
            # Nobody types faster than this.
            time.sleep(0.1)
            os.kill(os.getpid(), signal.SIGINT)
            seen.append(event.wait(30))

    with pytest.raises(KeyboardInterrupt) as e:
        one.run(work)
    assert (seen, e.value.__notes__) == (
        [True, True],
        ["the state is kept: the same command goes on with it"],
    )
