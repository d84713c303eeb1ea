"""A finished result takes the place of another at once, or by two renames where that cannot be."""

import threading

import pytest

from dxflow.disk import replace as module
from dxflow.disk.replace import exchange, replace


@pytest.fixture(params=["exchanged", "one after the other"])
def way(request, monkeypatch):
    if request.param != "exchanged":
        monkeypatch.setattr(module, "exchange", lambda one, other: False)


def test_directories_and_files_change_places(tmp_path, way):
    for name in ("made", "path"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    replace(tmp_path / "made", tmp_path / "path", tmp_path / "old")
    assert [p.name for p in (tmp_path / "path").iterdir()] == ["made"]
    assert [p.name for p in (tmp_path / "old").iterdir()] == ["path"]
    assert not (tmp_path / "made").exists()


def test_there_is_no_moment_without_the_name(tmp_path):
    for name in ("made", "path"):
        (tmp_path / name).write_text(name)
    if not exchange(tmp_path / "made", tmp_path / "path"):
        return
    missing, stop = [], threading.Event()

    def watch():
        while not stop.is_set():
            missing.extend([1] * (not (tmp_path / "path").exists()))

    thread = threading.Thread(target=watch)
    thread.start()
    for _ in range(300):
        replace(tmp_path / "made", tmp_path / "path", tmp_path / "old")
        (tmp_path / "old").rename(tmp_path / "made")
    stop.set()
    thread.join()
    assert not missing


def test_what_is_not_there_is_an_error_with_both_names(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none.*path"):
        exchange(tmp_path / "none", tmp_path / "path")


def test_what_cannot_take_the_name_leaves_it_to_what_had_it(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "exchange", lambda one, other: False)
    (tmp_path / "path").write_text("path")
    with pytest.raises(FileNotFoundError):
        replace(tmp_path / "never made", tmp_path / "path", tmp_path / "old")
    assert (tmp_path / "path").read_text() == "path"
    assert not (tmp_path / "old").exists()
