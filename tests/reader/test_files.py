"""Few files are open while a run is planned."""

import os
from collections import Counter

import h5py
import pytest
from extra_data import RunDirectory
from extra_data.file_access import open_files_limiter
from samples import RoiSum

import dxflow
from dxflow.algorithms.average import Average
from dxflow.reader import files, known, layout
from dxflow.simulate import make_run


def open_in(folder):
    links = [f"/proc/self/fd/{n}" for n in os.listdir("/proc/self/fd")]
    return sum(os.path.exists(p) and os.path.realpath(p).startswith(str(folder)) for p in links)


class Counting(RoiSum):
    """Counts the files that are open when it is asked for its outputs."""

    def outputs(self, info):
        self.open = open_in(info.path)
        return super().outputs(info)


@pytest.fixture
def run(tmp_path):
    """A run that this process has never seen: what it knows of others need not be opened."""
    return make_run(tmp_path / "r0001", trains=4, pulses=2, module_shape=(8, 8))


def test_a_plan_opens_few_files_at_a_time_and_none_through_extra_data(run, monkeypatch):
    opened, by_others = [], RunDirectory(run.path)
    monkeypatch.setattr(type(open_files_limiter), "touch", lambda self, file: opened.append(file))
    monkeypatch.setattr(files, "PLANNED", 25)
    # As where ids are too many to be kept: files are asked again.
    monkeypatch.setattr(known, "ROOM", 0)
    counting = Counting()
    dxflow.plan(run.path, counting)
    assert 0 < counting.open <= 2 * 25
    dxflow.plan(by_others, counting)
    assert not opened


def test_files_that_have_answered_all_are_closed(run):
    counting = Counting()
    dxflow.plan(run.path, counting)
    assert counting.open == 0


def test_where_a_process_may_open_few_files_a_plan_holds_as_few_as_a_worker(monkeypatch):
    monkeypatch.setattr(files.resource, "getrlimit", lambda which: (64, 64))
    assert files.planned() == files.OPEN_FILES


def test_a_plan_opens_each_file_once(run, monkeypatch):
    """However few may be open at a time: all that will be asked of a file is asked while it is."""
    opened, init = Counter(), h5py.File.__init__

    def counted(self, name, *args, **options):
        opened[str(name)] += isinstance(name, str)
        init(self, name, *args, **options)

    monkeypatch.setattr(h5py.File, "__init__", counted)
    monkeypatch.setattr(files, "PLANNED", 1)
    dxflow.plan(run.path, Average())
    of_run = {path: n for path, n in opened.items() if path.startswith(str(run.path))}
    assert len(of_run) > files.OPEN_FILES
    assert set(of_run.values()) == {1}


def test_what_a_user_has_open_stays_usable(run, monkeypatch):
    monkeypatch.setattr(files, "PLANNED", 2)
    opened = RunDirectory(run.path)
    held = opened.files[0].file["METADATA"]
    dxflow.plan(opened, RoiSum())
    assert list(held)
    assert len(opened[run.sources[0], "image.data"].ndarray())


def test_a_plan_does_not_look_where_each_chunk_of_the_frames_lies(run, monkeypatch):
    """There may be 100,000 of them in a file, and only the workers that read them need it."""
    asked, table = [], layout._chunk_table

    def noted(dataset, count):
        asked.append(dataset.name)
        return table(dataset, count)

    monkeypatch.setattr(layout, "_chunk_table", noted)
    dxflow.plan(run.path, Average())
    assert not [name for name in asked if name.endswith(("/image/data", "/image/mask"))]
    dxflow.reduce(run.path, Average(), cluster="here")
    assert [name for name in asked if name.endswith("/image/data")]
