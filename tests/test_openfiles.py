"""Few files are open while a run is planned."""

import os
import threading

from extra_data import RunDirectory
from extra_data.file_access import open_files_limiter
from samples import RoiSum

import dxflow
from dxflow import openfiles


def open_in(folder):
    links = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
    return sum(os.path.exists(p) and os.path.realpath(p).startswith(str(folder)) for p in links)


class Counting(RoiSum):
    """Counts the files that are open when it is asked for its outputs."""

    def outputs(self, info):
        self.open = open_in(info.path)
        return super().outputs(info)


def test_a_plan_opens_few_files_at_a_time_and_leaves_the_limit_as_it_was(run, monkeypatch):
    usual = open_files_limiter.maxfiles
    monkeypatch.setattr(openfiles, "FEW", 4)
    counting = Counting()
    dxflow.plan(run.path, counting)
    assert 0 < counting.open <= 4
    assert open_files_limiter.maxfiles == usual > 4


def test_threads_that_plan_leave_the_limit_as_it_was():
    usual, order = open_files_limiter.maxfiles, [threading.Event() for _ in range(3)]

    def second():
        with openfiles.few():
            order[0].set()
            order[1].wait(10)

    with openfiles.few():
        thread = threading.Thread(target=second)
        thread.start()
        order[0].wait(10)
    order[1].set()
    thread.join()
    assert open_files_limiter.maxfiles == usual


def test_what_a_user_has_open_stays_usable(run, monkeypatch):
    monkeypatch.setattr(openfiles, "FEW", 2)
    opened = RunDirectory(run.path)
    held = opened.files[0].file["METADATA"]
    dxflow.plan(opened, RoiSum())
    assert list(held)
    assert len(opened[run.sources[0], "image.data"].ndarray())
