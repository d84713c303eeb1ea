"""The lock of a folder: one process at a time, whoever died, on whichever machine."""

import fcntl
import json
import os
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import suppress
from dataclasses import asdict, replace

import pytest

from dxflow import PlanError
from dxflow.disk import lock


def other(folder, **facts):
    """Leave the lock of another process that has not let go."""
    there = replace(lock.Holder.me("reduction to x.zarr"), token="theirs", **facts)  # noqa: S106
    folder.mkdir(exist_ok=True)
    (folder / lock.NAME).write_text(json.dumps(asdict(there)))
    return folder / lock.NAME


ELSEWHERE = {"space": "another machine", "host": "node7", "pid": 12}


def test_a_second_process_is_refused_at_once_and_told_who_works_there(tmp_path):
    code = f"""
        from dxflow.disk import lock; from pathlib import Path; import sys
        with lock.held(Path({str(tmp_path / "j")!r}), "reduction to x.zarr"):
            print("has it", flush=True); sys.stdin.read()
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    first = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert first.stdout.readline() == b"has it\n"
        assert lock.holder(tmp_path / "j").pid == first.pid
        start = time.monotonic()
        says = rf"process {first.pid} on .* \(reduction to x.zarr, since .*\) works there now; wait"
        with pytest.raises(PlanError, match=says), lock.held(tmp_path / "j", "me"):
            pass
        assert time.monotonic() - start < 10
    finally:
        first.kill()
        first.wait()
    # The lock of a process that was killed holds nobody up.
    assert lock.holder(tmp_path / "j") is None
    with lock.held(tmp_path / "j", "me") as mine:
        mine.check()


def test_threads_of_one_process_exclude_each_other_and_nothing_is_left(tmp_path):
    inside, most, refused = [], [], []

    def work():
        try:
            with lock.held(tmp_path / "j", "me"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.05)
                inside.pop()
        except PlanError:
            refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) + len(refused) == 8
    assert not (tmp_path / "j").exists()


def test_a_folder_with_other_things_stays(tmp_path):
    (tmp_path / "x").touch()
    with lock.held(tmp_path, "me"):
        pass
    assert os.listdir(tmp_path) == ["x"]


def test_a_process_of_another_machine_is_there_as_long_as_it_gives_signs_of_life(tmp_path):
    path = other(tmp_path / "j", **ELSEWHERE)
    with pytest.raises(PlanError, match="process 12 on node7"), lock.held(tmp_path / "j", "me"):
        pass
    assert lock.holder(tmp_path / "j").host == "node7"
    os.utime(path, (time.time() - 2 * lock.STALE,) * 2)
    assert lock.holder(tmp_path / "j") is None
    with lock.held(tmp_path / "j", "me") as mine:
        mine.check()


def test_signs_of_life_are_given(tmp_path, monkeypatch):
    monkeypatch.setattr(lock, "EVERY", 0.05)
    with lock.held(tmp_path / "j", "me") as mine:
        os.utime(mine.path, (1, 1))
        end = time.monotonic() + 60
        while mine.path.stat().st_mtime == 1 and time.monotonic() < end:
            time.sleep(0.01)
        assert mine.path.stat().st_mtime > 1


def test_a_job_that_slurm_started_again_goes_on_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("DXFLOW_DRIVER", "1")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    other(tmp_path / "j", **ELSEWHERE, job="77", start=0)
    with lock.held(tmp_path / "j", "me") as mine:
        mine.check()
    for facts in ({"job": "78", "start": 0}, {"job": "77", "start": 1}):
        other(tmp_path / "j", **ELSEWHERE, **facts)
        with pytest.raises(PlanError, match="job 7"), lock.held(tmp_path / "j", "me"):
            pass


def test_a_number_that_another_process_has_now_holds_nothing(tmp_path):
    other(tmp_path / "j", pid=os.getpid(), began="1")
    with lock.held(tmp_path / "j", "me") as mine:
        mine.check()


@pytest.mark.parametrize("alive", [True, False])
def test_without_locks_of_the_file_system_the_note_decides(tmp_path, monkeypatch, alive):
    def flock(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    other(tmp_path / "j", **({} if alive else {"began": "1"}))
    with suppress(PlanError), lock.held(tmp_path / "j", "me") as mine:
        mine.check()
        assert not alive
        return
    assert alive


def test_who_was_taken_for_dead_notices(tmp_path):
    with lock.held(tmp_path / "j", "me") as mine:
        other(tmp_path / "j")
        with pytest.raises(RuntimeError, match=r"works there now|was removed"):
            mine.check()
    assert (tmp_path / "j" / lock.NAME).exists()


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"host": 3}', "\x00"])
def test_a_note_that_cannot_be_read_holds_nothing(tmp_path, text):
    (tmp_path / "j").mkdir()
    (tmp_path / "j" / lock.NAME).write_text(text)
    with lock.held(tmp_path / "j", "me") as mine:
        mine.check()


def test_a_folder_that_cannot_be_made_is_told_of_at_once_and_is_not_held(tmp_path, monkeypatch):
    """Who waits for another process to let go does not wait for a folder that will never be there."""
    with pytest.raises(PlanError, match="No such file or directory; choose another place") as told:
        lock.Lock(tmp_path / "no" / "j", lock.Holder.me("me")).take()
    assert not isinstance(told.value, lock.Held)
    other(tmp_path / "j")
    with pytest.raises(lock.Held, match="works there now"), lock.held(tmp_path / "j", "me"):
        pass
