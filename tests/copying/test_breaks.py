"""Kills, full disks and odd places: a copy is absent or complete, and the caller gets a named error."""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from disks import mounted
from dying import dies

import dxflow
from dxflow import FrameSelection, PlanError
from dxflow.copying import CopyError, copy_run, execute, folder, plan_copy
from dxflow.copying.copy import copy_file
from dxflow.copying.hands import Hands
from dxflow.disk import replace as replacing
from dxflow.stores.opening import verify

KILLS = 6
BOXES = [(0, 5, 20, 5, 20), (3, 0, 64, 10, 11)]


@pytest.fixture(scope="module")
def run(made):
    return made(trains=20, pulses=10, modules=4, module_shape=(64, 64), pool=20)


@pytest.fixture(scope="module")
def small(made):
    return made(trains=4, pulses=2, modules=1, module_shape=(8, 8))


@pytest.fixture(scope="module")
def few(made):
    """The truth of a run of as many files, of few frames."""
    return made(trains=4, pulses=4, modules=4, module_shape=(16, 16))


@pytest.fixture
def selection(run):
    return FrameSelection(pulses=np.unique(run.pulse_ids)[::2].tolist())


def names(folder):
    return sorted(p.name for p in Path(folder).glob("*.h5"))


def children(process):
    """Return the ids of all processes below one."""
    path = Path(f"/proc/{process}/task/{process}/children")
    direct = [int(p) for p in path.read_text().split()] if path.exists() else []
    return direct + [c for d in direct for c in children(d)]


def commands(processes):
    """Return the command lines of processes."""
    return [Path(f"/proc/{p}/cmdline").read_bytes() for p in processes]


def gone(process):
    """Return whether a process ended (or waits to be asked for its exit code)."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize("what", ["whole", "frames", "region"])
def test_after_kills_at_any_moment_a_copy_is_absent_or_complete_and_can_be_resumed(
    run, selection, tmp_path, same_file, what
):
    options = "" if what == "whole" else f", frames=FrameSelection(pulses={selection.pulses})"
    options += f", region=np.array({BOXES})" if what == "region" else ""
    code = (
        "import dxflow; import numpy as np; from dxflow import FrameSelection; "
        f"dxflow.copy_run({run.path!r}, {str(tmp_path / 'copy')!r}, resume=True{options})"
    )
    moments = random.Random(what)
    for _ in range(KILLS):
        process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        time.sleep(moments.uniform(0.2, 1.2))
        below = children(process.pid)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert not (tmp_path / "copy").exists() or names(tmp_path / "copy") == names(run.path)
        deadline = time.monotonic() + 60
        while left := [p for p in below if not gone(p)]:
            assert time.monotonic() < deadline, f"outlived the one that was killed: {commands(left)}"
            time.sleep(0.02)
        for path in (tmp_path / "copy.partial").glob("*.h5"):
            with h5py.File(path) as f:
                assert f["INDEX/trainId"].shape == (10,)
    kept = {
        "frames": None if what == "whole" else selection,
        "region": np.array(BOXES) if what == "region" else None,
    }
    dxflow.copy_run(run.path, tmp_path / "copy", resume=True, overwrite=(tmp_path / "copy").exists(), **kept)
    dxflow.copy_run(run.path, tmp_path / "fresh", **kept)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["copy", "fresh"]
    assert sorted(os.listdir(tmp_path / "copy")) == sorted(os.listdir(tmp_path / "fresh"))
    for name in names(run.path):
        same_file(tmp_path / "fresh" / name, tmp_path / "copy" / name)


def test_a_copy_that_was_interrupted_goes_on_with_the_files_that_are_missing(
    run, selection, tmp_path, monkeypatch
):
    plan = plan_copy(run.path, tmp_path / "copy", frames=selection)
    real, done = Hands.copy, []

    def once(self, task, folder, **options):
        if len(done) == 3:
            raise CopyError("planned failure")
        done.append(task.name)
        return real(self, task, folder, **options)

    monkeypatch.setattr(Hands, "copy", once)
    with pytest.raises(CopyError, match="planned failure") as caught:
        execute(plan, "here")
    assert "resume=True" in caught.value.__notes__[0]
    assert names(tmp_path / "copy.partial") == sorted(done)
    with pytest.raises(PlanError, match="3 files of an interrupted copy"):
        dxflow.copy_run(run.path, tmp_path / "copy", frames=selection)
    with pytest.raises(PlanError, match="another copy was begun"):
        dxflow.copy_run(run.path, tmp_path / "copy", resume=True)
    before = list(done)
    done.clear()
    monkeypatch.setattr(Hands, "copy", lambda *a, **k: (done.append(a[1].name), real(*a, **k))[1])
    dxflow.copy_run(run.path, tmp_path / "copy", frames=selection, resume=True)
    assert sorted(before + done) == names(run.path) == names(tmp_path / "copy")


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MB."""
    with mounted(tmp_path / "disk", size="8m", nr_inodes=200) as place:
        yield place


def fill(place, leave):
    """Fill a file system but for some bytes."""
    free = shutil.disk_usage(place).free
    (place / "filling").write_bytes(b"x" * (free - leave))


@pytest.mark.parametrize("what", ["whole", "frames"])
@pytest.mark.parametrize("leave", [0, 5000, 100_000, 900_000])
def test_a_disk_that_gets_full_is_an_error_with_path_need_and_free_space(
    run, selection, small_disk, same_file, what, leave
):
    frames = selection if what == "frames" else None
    plan = plan_copy(run.path, small_disk / "copy", frames=frames, trains=slice(0, int(run.train_ids[10])))
    fill(small_disk, leave)
    with pytest.raises(OSError, match=r"copy.*(No space left|Is the disk full)") as caught:
        execute(plan)
    assert isinstance(caught.value, CopyError)
    assert not (small_disk / "copy").exists()
    if caught.value.need is not None:
        assert small_disk / "copy.partial" in Path(caught.value.path).parents
        assert caught.value.need > 0
        assert caught.value.free is not None
    (small_disk / "filling").unlink()
    dxflow.copy_run(
        run.path, small_disk / "copy", frames=frames, trains=slice(0, int(run.train_ids[10])), resume=True
    )
    assert len(names(small_disk / "copy")) == 5


def test_a_disk_without_room_is_refused_before_anything_is_written(run, small_disk):
    fill(small_disk, 1_000_000)
    with pytest.raises(PlanError, match=r"are needed there, .* are free"):
        dxflow.copy_run(run.path, small_disk / "copy")
    assert sorted(os.listdir(small_disk)) == ["filling"]


def test_a_disk_without_inodes_is_a_named_error(run, selection, small_disk):
    plan = plan_copy(run.path, small_disk / "copy", frames=selection, trains=[int(run.train_ids[0])])
    for n in range(197):
        with open(small_disk / f"{n}", "x"):
            pass
    with pytest.raises(CopyError, match="No space left"):
        execute(plan)
    assert not (small_disk / "copy").exists()


def test_a_read_only_disk_is_refused(run, small_disk):
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(PlanError, match="read-only"):
        dxflow.copy_run(run.path, small_disk / "copy")


def test_a_disk_that_becomes_read_only_is_a_named_error(run, small_disk):
    plan = plan_copy(run.path, small_disk / "copy", trains=[int(run.train_ids[0])])
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    where = re.escape(f"{small_disk / 'copy.partial'}: Read-only file system; choose another place")
    with pytest.raises(PlanError, match=f"^{where}$"):
        execute(plan)


def test_a_process_that_dies_while_it_writes_is_an_error_and_not_the_end_of_the_caller(
    run, selection, tmp_path
):
    plan = plan_copy(run.path, tmp_path / "copy", frames=selection)
    task = next(t for t in plan.tasks if t.cuts)
    with Hands() as hands:
        (tmp_path / "out").mkdir()
        assert hands.copy(task, tmp_path / "out")[0] > 0
        hands.process.kill()
        with pytest.raises(CopyError, match="SIGKILL"):
            hands.copy(task, tmp_path / "out")
        assert hands.copy(task, tmp_path / "out")[0] > 0
    assert names(tmp_path / "out") == [task.name]
    assert len(os.listdir(tmp_path / "out")) == 1


def test_what_exists_is_only_replaced_if_it_is_a_copy_and_that_is_wanted(run, selection, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("...")
    for overwrite in (False, True):
        with pytest.raises(PlanError, match="other is a folder that dxflow did not make: it is not replaced"):
            dxflow.copy_run(run.path, other, overwrite=overwrite)
    for overwrite in (False, True):
        with pytest.raises(PlanError):
            dxflow.copy_run(run.path, run.path, overwrite=overwrite)
    dxflow.copy_run(run.path, tmp_path / "copy")
    with pytest.raises(PlanError, match="exists: choose another name"):
        dxflow.copy_run(run.path, tmp_path / "copy", frames=selection)
    report = dxflow.copy_run(run.path, tmp_path / "copy", frames=selection, overwrite=True)
    assert report.ratio < 0.8
    assert sorted(os.listdir(tmp_path)) == ["copy", "other"]
    assert (other / "thesis.tex").exists()


@pytest.mark.parametrize("length", [300, 250])
def test_a_name_that_is_too_long_is_refused(run, tmp_path, length):
    with pytest.raises(PlanError, match="too long"):
        dxflow.copy_run(run.path, tmp_path / ("n" * length))


def test_a_folder_that_is_not_there_is_named(run, tmp_path):
    with pytest.raises(PlanError, match="does not exist; make it first"):
        dxflow.copy_run(run.path, tmp_path / "nowhere" / "copy")


def test_two_copies_to_one_place_at_once_are_refused(run, tmp_path):
    plan = plan_copy(run.path, tmp_path / "copy")
    with (
        plan.folder.begun(plan.fingerprint(), [], resume=False, overwrite=False),
        pytest.raises(PlanError, match=r"\(copy to copy, since .*\) works there now"),
    ):
        execute(plan)
    with (
        plan.folder.begun(plan.fingerprint(), [], resume=False, overwrite=True),
        pytest.raises(PlanError, match="works there now"),
    ):
        plan_copy(run.path, tmp_path / "copy", overwrite=True)
    execute(plan_copy(run.path, tmp_path / "copy", overwrite=True))
    assert os.listdir(tmp_path) == ["copy"]
    assert dxflow.stores.opening.verify(tmp_path / "copy") == []


def test_a_file_that_changes_after_planning_is_refused(run, tmp_path):
    shutil.copytree(run.path, tmp_path / "run")
    plan = plan_copy(tmp_path / "run", tmp_path / "copy")
    with open(tmp_path / "run" / names(tmp_path / "run")[0], "ab") as f:
        f.write(b"more")
    with pytest.raises(CopyError, match="changed since the copy was planned"):
        execute(plan)
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("what", ["whole", "frames"])
def test_a_file_that_does_not_open_is_named_and_nothing_is_copied(run, selection, tmp_path, what):
    shutil.copytree(run.path, tmp_path / "run")
    broken = tmp_path / "run" / names(run.path)[1]
    os.truncate(broken, broken.stat().st_size // 2)
    with pytest.raises(PlanError, match=broken.name):
        dxflow.copy_run(tmp_path / "run", tmp_path / "copy", frames=selection if what == "frames" else None)
    assert not (tmp_path / "copy").exists()


def test_an_index_that_cannot_be_true_is_refused_for_frames_until_its_train_is_left_out(
    run, selection, tmp_path
):
    shutil.copytree(run.path, tmp_path / "run")
    name = names(run.path)[0]
    with h5py.File(tmp_path / "run" / name, "a") as f:
        f[f"INDEX/{run.sources[0]}/image/first"][4] = 10**6
    with pytest.raises(PlanError, match="not in order"):
        dxflow.copy_run(tmp_path / "run", tmp_path / "copy", frames=selection)
    good = [int(t) for t in run.train_ids if t != run.train_ids[4]]
    dxflow.copy_run(tmp_path / "run", tmp_path / "copy", frames=selection, trains=good)
    with h5py.File(tmp_path / "copy" / name) as f:
        assert f["INDEX/trainId"].shape == (9,)
        assert f[f"INSTRUMENT/{run.sources[0]}/image/data"].shape[0] == 9 * 5


@pytest.mark.parametrize("how", ["cut short", "one byte", "not noted", "none"])
@pytest.mark.parametrize("what", ["whole", "frames"])
def test_files_of_an_interrupted_copy_that_were_damaged_since_are_copied_again(
    few, tmp_path, monkeypatch, same_file, what, how
):
    every_second = FrameSelection(pulses=np.unique(few.pulse_ids)[::2].tolist())
    frames = {"frames": every_second} if what == "frames" else {}
    real, done = Hands.copy, []

    def some(self, task, folder, **options):
        if len(done) == 3:
            raise CopyError("planned failure")
        done.append(task.name)
        return real(self, task, folder, **options)

    monkeypatch.setattr(Hands, "copy", some)
    with pytest.raises(CopyError, match="planned failure"):
        dxflow.copy_run(few.path, tmp_path / "copy", cluster="here", **frames)
    spoil(tmp_path / "copy.partial", done[1], how)
    again = []
    monkeypatch.setattr(Hands, "copy", lambda *a, **k: (again.append(a[1].name), real(*a, **k))[1])
    dxflow.copy_run(few.path, tmp_path / "copy", cluster="here", resume=True, **frames)
    assert sorted(again) == sorted({*names(few.path)} - {*done} | ({done[1]} if how != "none" else set()))
    monkeypatch.undo()
    dxflow.copy_run(few.path, tmp_path / "fresh", cluster="here", **frames)
    assert sorted(os.listdir(tmp_path / "copy")) == sorted(os.listdir(tmp_path / "fresh"))
    assert not dxflow.stores.opening.verify(tmp_path / "copy")
    for name in names(few.path):
        same_file(tmp_path / "fresh" / name, tmp_path / "copy" / name)


def spoil(folder, name, how):
    content = (folder / name).read_bytes()
    if how == "cut short":
        (folder / name).write_bytes(content[: len(content) // 2])
    elif how == "one byte":
        (folder / name).write_bytes(content[:-9] + bytes([content[-9] ^ 1]) + content[-8:])
    elif how == "not noted":
        next(p for p in folder.glob(".done-*") if name in p.read_text()).unlink()


def test_a_copy_that_was_complete_but_for_its_name_is_checked_and_gets_it(run, tmp_path, monkeypatch):
    monkeypatch.setattr("dxflow.copying.folder.appear", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        dxflow.copy_run(run.path, tmp_path / "copy", cluster="here")
    monkeypatch.undo()
    spoil(tmp_path / "copy.partial", names(run.path)[0], "one byte")
    dxflow.copy_run(run.path, tmp_path / "copy", cluster="here", resume=True)
    assert not dxflow.stores.opening.verify(tmp_path / "copy")
    assert os.listdir(tmp_path) == ["copy"]


@pytest.fixture
def again(monkeypatch):
    """Return a function that makes all that follows the work of a driver that Slurm has started again."""

    def start():
        monkeypatch.setenv("DXFLOW_DRIVER", "1")
        monkeypatch.setenv("SLURM_RESTART_COUNT", "1")

    return start


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_driver_that_slurm_starts_again_takes_a_finished_copy_as_it_is(
    small, tmp_path, monkeypatch, again, overwrite
):
    trains, to = small.train_ids[:2].tolist(), tmp_path / "copy"
    made = dxflow.copy_run(small.path, to, cluster="here", trains=trains)
    own = {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in to.iterdir()}
    again()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=0))
    taken = dxflow.copy_run(small.path, to, cluster="here", trains=trains, overwrite=overwrite)
    assert {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in to.iterdir()} == own
    assert (taken.files, taken.trains, taken.after) == (made.files, made.trains, made.after)
    assert "it was made before, and is taken as it is" in str(taken)
    assert os.listdir(tmp_path) == ["copy"]


def test_another_copy_or_a_damaged_one_is_not_taken_for_the_one_that_is_wanted(small, tmp_path, again):
    to = tmp_path / "copy"
    dxflow.copy_run(small.path, to, cluster="here")
    again()
    with pytest.raises(PlanError, match="made with other options, or of other data, is there: --overwrite"):
        dxflow.copy_run(small.path, to, cluster="here", trains=small.train_ids[:2].tolist())
    for how, said in (("cut short", "this result is damaged"), ("one byte", "it is not as it was written")):
        spoil(to, names(to)[0], how)
        with pytest.raises(PlanError, match=f"cannot be taken as it is.*{said}"):
            dxflow.copy_run(small.path, to, cluster="here")
        made = dxflow.copy_run(small.path, to, cluster="here", overwrite=True)
        assert not verify(to)
        assert "made before" not in str(made)


def test_a_finished_copy_that_was_removed_since_it_was_planned_is_made(small, tmp_path):
    to = tmp_path / "copy"
    dxflow.copy_run(small.path, to, cluster="here")
    plan = plan_copy(small.path, to, resume=True)
    assert plan.finished is not None
    shutil.rmtree(to)
    execute(plan, "here")
    assert not verify(to)


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_driver_that_slurm_starts_again_goes_on_with_its_copy(few, tmp_path, monkeypatch, again, overwrite):
    """With ``--overwrite`` as well: what it has done itself is not done again."""
    to, real, done = tmp_path / "copy", Hands.copy, []
    if overwrite:
        dxflow.copy_run(few.path, to, cluster="here", trains=few.train_ids[:2].tolist())

    def some(self, task, folder, **options):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(task.name)
        return real(self, task, folder, **options)

    monkeypatch.setattr(Hands, "copy", some)
    with pytest.raises(KeyboardInterrupt):
        dxflow.copy_run(few.path, to, cluster="here", overwrite=overwrite)
    later = []
    monkeypatch.setattr(Hands, "copy", lambda *a, **k: (later.append(a[1].name), real(*a, **k))[1])
    again()
    dxflow.copy_run(few.path, to, cluster="here", overwrite=overwrite)
    assert sorted([*later, *done]) == names(few.path) == names(to)
    assert not verify(to)


def test_of_a_copy_that_took_the_place_of_another_that_one_goes_when_it_is_taken(
    small, tmp_path, monkeypatch, again
):
    to = tmp_path / "copy"
    dxflow.copy_run(small.path, to, cluster="here", trains=small.train_ids[:2].tolist())
    monkeypatch.setattr(folder.Folder, "_forget", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        dxflow.copy_run(small.path, to, cluster="here", overwrite=True)
    assert len(os.listdir(tmp_path)) == 2
    monkeypatch.undo()
    dxflow.copy_run(small.path, to, cluster="here", resume=True)
    assert os.listdir(tmp_path) == ["copy"]


def test_what_a_user_put_beside_an_interrupted_copy_is_not_removed(run, tmp_path):
    plan = plan_copy(run.path, tmp_path / "copy")
    with plan.folder.begun(plan.fingerprint(), [], resume=False, overwrite=False):
        (plan.folder.partial / "notes.txt").write_text("mine")
    with pytest.raises(PlanError, match=r"an interrupted copy, but also holds notes.txt"):
        dxflow.copy_run(run.path, tmp_path / "copy", overwrite=True)
    assert (plan.folder.partial / "notes.txt").read_text() == "mine"


def test_a_worker_that_outlives_its_driver_changes_nothing_of_the_next_copy(small, tmp_path):
    """It goes on with a file when another copy to the same name has begun, and again when that is complete."""
    to, path = tmp_path / "copy", str(tmp_path / "copy")
    late, new = plan_copy(small.path, path, trains=small.train_ids[:2].tolist()), plan_copy(small.path, path)
    options = {"resume": False, "overwrite": False}
    with late.folder.begun(late.fingerprint(), [t.name for t in late.tasks], **options):
        pass
    with new.folder.begun(new.fingerprint(), [t.name for t in new.tasks], **options):
        with pytest.raises(CopyError):
            copy_file(late, 0)
        assert not list(new.folder.partial.glob("*.h5"))
    execute(plan_copy(small.path, path), "here")
    with pytest.raises(CopyError):
        copy_file(late, 0)
    assert verify(to) == []
    assert [p.name for p in tmp_path.iterdir()] == ["copy"]


@pytest.mark.parametrize("call", range(1, 6))
def test_killed_while_one_copy_replaces_another_neither_is_lost(small, tmp_path, monkeypatch, call):
    """Where names cannot be exchanged; killed before one of the calls from then on."""
    to = tmp_path / "copy"
    ids = small.train_ids.tolist()
    options = {"cluster": "here", "overwrite": True}
    copy_run(small.path, to, trains=ids[:2], cluster="here")

    def copy_without_exchange():
        replacing.exchange = lambda *_: False
        copy_run(small.path, to, trains=ids[:3], **options)

    calls = [(os, name) for name in ("replace", "rename", "unlink", "rmdir")]
    assert dies(call, calls, (folder, "replace"), copy_without_exchange)
    with pytest.raises(PlanError, match="exists|holds"):
        copy_run(small.path, to, trains=ids[:3], cluster="here")
    if call % 2:
        # The next one fails: an older one is there all the same.
        with monkeypatch.context() as patched:
            patched.setattr(folder.Folder, "commit", lambda *_, **__: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                copy_run(small.path, to, trains=ids[:4], **options)
        assert verify(to) == []
    copy_run(small.path, to, trains=ids[:3], **options)
    assert verify(to) == []
    assert [p.name for p in tmp_path.iterdir()] == ["copy"]


def test_a_driver_that_was_taken_for_dead_completes_nothing_of_the_next_one(small, tmp_path, monkeypatch):
    """It was stopped for long, as by a suspended machine; another one has begun meanwhile."""
    path = str(tmp_path / "copy")
    late, new = plan_copy(small.path, path, trains=small.train_ids[:2].tolist()), plan_copy(small.path, path)
    real = folder.Folder.commit

    def stopped(self, *args, **options):
        new.folder._resumed(new.fingerprint(), [t.name for t in new.tasks], resume=False, overwrite=True)
        real(self, *args, **options)

    monkeypatch.setattr(folder.Folder, "commit", stopped)
    with pytest.raises(CopyError, match="works there now, since this process gave no sign of life"):
        execute(late, "here")
    assert not Path(path).exists()
    assert (new.folder.partial / new.folder.attempt).is_dir()


def test_all_names_for_users_are_there_and_an_error_has_one_type():
    from dxflow import copying, exdf

    assert all(hasattr(copying, name) for name in copying.__all__)
    assert CopyError is exdf.WriteError
