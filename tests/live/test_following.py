"""What is followed: each snapshot has the bits of an offline pass over its trains, and so has the result."""

import json
import os
import threading
import time
from contextlib import suppress
from itertools import pairwise

import numpy as np
import pytest
from dying import dies
from extra_data import RunDirectory, by_id
from growth import COMPANY, TWO, Fed, Kept, Planner, options
from samples import Stats

import dxflow
from dxflow import PlanError
from dxflow.algorithms.average import Average
from dxflow.algorithms.litframes import LitFrames
from dxflow.disk import replace as disk
from dxflow.live import folder, following, observers
from dxflow.live.following import follow

SOME = (Stats, COMPANY[-1])
SEQUENCES = [[f"S{n:05d}"] for n in range(7)]


def offline(whole, snapshot, makers=COMPANY):
    """Return the values of an offline pass over the trains of a snapshot."""
    part = RunDirectory(whole.path).select_trains(by_id[snapshot.first_train : snapshot.last_train + 1])
    plan = Planner(makers)(part, None, chunk=snapshot.chunk)
    return {
        k: v.values.tobytes() for k, v in dxflow.execute(plan, "here", quiet=True).dataset.variables.items()
    }


@pytest.fixture(scope="module")
def followed(whole, tmp_path_factory):
    """A run that was followed from before its folder was there, to its end."""
    folder = tmp_path_factory.mktemp("followed")
    with pytest.MonkeyPatch.context() as patched:
        import growth

        growth.at_once(patched)
        kept = Kept()
        source = Fed(whole.path, folder / "run", SEQUENCES)
        result = follow(source, folder / "x.zarr", [kept], "here")
    return folder, source, kept, result


def test_each_snapshot_has_the_bits_of_an_offline_pass_over_its_trains(whole, followed):
    folder, _, kept, _ = followed
    # The last is compared with the whole run below.
    for snapshot, values in list(zip(kept.snapshots, kept.values, strict=True))[:-1:2]:
        expected = offline(whole, snapshot)
        assert expected.keys() == values.keys()
        assert [k for k in expected if expected[k] != values[k]] == []
    assert [one.trains for one in kept.snapshots] == [4, 8, 14, 17, 20, 26, 26]
    assert [one.last_train for one in kept.snapshots][:3] == [10004, 10010, 10016]


def test_trains_that_are_listed_have_the_bits_of_these_alone(whole):
    """In whatever chunks the others would be."""
    ids = [10001, 10018, 10021, 10023]
    given = {"chunk": "1 trains", "on_fault": "mask", "cluster": "here", "quiet": True}
    alone = dxflow.reduce(
        RunDirectory(whole.path).select_trains(by_id[ids]), Average(img=TWO), **given
    ).dataset
    listed = dxflow.reduce(
        whole.path, Average(img=TWO), frames=dxflow.FrameSelection(trains=ids), **given
    ).dataset
    for name in ("count", "mean", "variance"):
        assert alone[f"average.{name}"].values.tobytes() == listed[f"average.{name}"].values.tobytes()


def test_the_result_is_that_of_the_run_and_nothing_is_left_beside(whole, followed):
    folder, _, kept, result = followed
    expected = dxflow.execute(Planner()(whole.path, None, chunk="3 trains"), "here", quiet=True)
    assert result.dataset.equals(expected.dataset)
    assert result.losses.drop(columns="file").equals(expected.losses.drop(columns="file"))
    assert sorted(path.name for path in folder.iterdir()) == ["run", "x.zarr"]
    assert not (folder / "x.zarr").is_symlink()
    assert not dxflow.verify(folder / "x.zarr")
    assert kept.snapshots[-1].final
    assert kept.snapshots[-1].path == folder / "x.zarr"


def test_what_is_made_of_all_rows_is_provisional_until_the_end(followed):
    _, _, kept, result = followed
    for attributes in kept.attributes[:-1]:
        said = {name for name, own in attributes.items() if "provisional" in own}
        assert said == {"above.bright", "above.median"}
    assert not any("provisional" in own for own in kept.attributes[-1].values())
    said = json.loads(result.dataset.attrs["live"])
    assert said["final"] is True
    assert said["chunk"] == "3 trains"


def test_observers_are_told_what_runs_and_how_it_goes(followed):
    folder, source, kept, _ = followed
    assert kept.about == {"source": str(folder / "run"), "to": str(folder / "x.zarr")}
    assert kept.closed
    assert [one.number for one in kept.snapshots] == list(range(1, 8))
    last = kept.statuses[-1]
    assert (last.state, last.trains, last.behind_trains, last.late) == ("finished", 26, 0, 0)
    assert last.trains_per_s > 0
    assert last.losses["missing trains"] == 0
    assert source.said[0].endswith("which is not there yet")


class Reading(Kept):
    """Looks at what is there while the run grows."""

    def __init__(self, to):
        super().__init__()
        self.to, self.there = to, []

    def snapshot(self, snapshot):
        super().snapshot(snapshot)
        beside = sorted(path.name for path in self.to.with_suffix(".live").glob("0*.zarr"))
        journal = self.to.with_suffix(".live") / "work.zarr.partial"
        chunks = {(path.name, path.stat().st_ino) for path in journal.glob("chunk-*")}
        self.there.append((beside, self.to.is_symlink(), chunks))


def test_the_name_of_the_result_leads_to_the_newest_snapshot_and_two_are_kept(whole, now, tmp_path):
    seen = Reading(tmp_path / "x.zarr")
    source = Fed(whole.path, tmp_path / "run", SEQUENCES[:4], [Stats])
    follow(source, tmp_path / "x.zarr", [seen], "here")
    kept = [names for names, *_ in seen.there]
    assert kept[:3] == [["0001.zarr"], ["0001.zarr", "0002.zarr"], ["0002.zarr", "0003.zarr"]]
    assert [link for _, link, _ in seen.there] == [True] * 3 + [False]
    chunks = [found for *_, found in seen.there]
    assert all(a <= b for a, b in pairwise(chunks)), "what was done of chunks is not done again"


LATE = {
    # what comes, module and trains of the chunks that are done again
    "a module whose first file comes late": [["AGIPD00-S00000", "DA"], [], [], ["AGIPD01-S00000"]],
    "a module that stops": [["S00000"], ["AGIPD00", "DA"], [], [], ["AGIPD01-S00001"], ["AGIPD01-S00002"]],
    "files out of order": [["S00000"], ["AGIPD00-S00002", "S00003"], [], [], [], ["S00001", "S00002"]],
}


@pytest.mark.parametrize("case", LATE)
def test_what_comes_late_is_caught_up(whole, now, tmp_path, case):
    kept, batches = Kept(), [*LATE[case], ["S0000"]]
    source = Fed(whole.path, tmp_path / "run", batches, [Stats], wait=0)
    result = follow(source, tmp_path / "x.zarr", [kept], "here")
    expected = dxflow.execute(Planner([Stats])(whole.path, None, chunk="3 trains"), "here", quiet=True)
    assert result.dataset.equals(expected.dataset)
    assert kept.statuses[-1].late > 0
    assert len(kept.snapshots) > 2


def test_a_failing_observer_does_not_stop_the_run(whole, now, tmp_path, caplog):
    class Broken(Kept):
        def snapshot(self, snapshot):
            raise ConnectionError("redis://user:secret@host is gone")

    kept = Kept()
    source = Fed(whole.path, tmp_path / "run", SEQUENCES[:1], [Stats])
    follow(source, tmp_path / "x.zarr", [Broken(), kept], "here")
    assert len(kept.snapshots) == 2
    said = [record.message for record in caplog.records if "Broken" in record.message]
    assert len(said) == 1
    assert "secret" not in said[0]


class Stopping(Kept):
    """Interrupts after some snapshots."""

    def __init__(self, after, raised=KeyboardInterrupt):
        super().__init__()
        self.after, self.raised = after, raised

    def snapshot(self, snapshot):
        super().snapshot(snapshot)
        if len(self.snapshots) == self.after:
            raise self.raised


def test_what_was_interrupted_is_gone_on_with(whole, now, tmp_path):
    to = tmp_path / "x.zarr"
    with pytest.raises(KeyboardInterrupt) as raised:
        follow(Fed(whole.path, tmp_path / "run", SEQUENCES[:3], SOME), to, [Stopping(2)], "here")
    assert "the same command goes on" in raised.value.__notes__[0]
    assert to.is_symlink()
    assert dxflow.open(to).dataset.sizes["train"] == 8
    other = Fed(whole.path, tmp_path / "run", [])
    other.about = {"source": "another"}
    with pytest.raises(PlanError, match=r"interrupted live reduction of something else.*--overwrite"):
        follow(other, to, [], "here")
    result = follow(Fed(whole.path, tmp_path / "run", [["S"]], SOME), to, [], "here")
    assert result.manifest["chunks"]["reused"] > 1
    expected = dxflow.execute(Planner(SOME)(whole.path, None, chunk="3 trains"), "here", quiet=True)
    assert result.dataset.equals(expected.dataset)
    assert not to.with_suffix(".live").exists()


def test_a_second_process_at_the_same_place_is_refused(whole, now, tmp_path):
    refused = []

    class Second(Kept):
        def snapshot(self, snapshot):
            def other():
                try:
                    follow(Fed(whole.path, tmp_path / "run", []), tmp_path / "x.zarr", [], "here")
                except PlanError as e:
                    refused.append(str(e))

            thread = threading.Thread(target=other)
            thread.start()
            thread.join()

    follow(Fed(whole.path, tmp_path / "run", SEQUENCES[:1], [Stats]), tmp_path / "x.zarr", [Second()], "here")
    assert "works there now" in refused[0]


def test_a_result_that_is_there_is_replaced_only_when_asked_for(whole, now, tmp_path):
    to = tmp_path / "x.zarr"
    follow(Fed(whole.path, tmp_path / "run", SEQUENCES[:1], [Stats]), to, [], "here")
    with pytest.raises(PlanError, match="exists: choose another name"):
        follow(Fed(whole.path, tmp_path / "run", []), to, [], "here")
    assert dxflow.open(to).dataset.sizes["train"] == 4
    result = follow(
        Fed(whole.path, tmp_path / "run", SEQUENCES[1:2], [Stats]), to, [], "here", overwrite=True
    )
    assert result.dataset.sizes["train"] == 6
    assert not to.with_suffix(".live").exists()
    to2 = tmp_path / "y.zarr"
    to2.mkdir()
    (to2 / "mine").touch()
    with pytest.raises(PlanError, match="dxflow did not make"):
        follow(Fed(whole.path, tmp_path / "run", []), to2, [], "here", overwrite=True)
    assert (to2 / "mine").exists()


class Picky(Planner):
    """Reads frames of the last sequences alone."""

    def __call__(self, run, to, *, chunk, resume=False):
        made = [make(img=TWO) for make in self.makers]
        frames = dxflow.FrameSelection(trains=slice(10013, 10100))
        return dxflow.plan(run, made, to, frames=frames, resume=resume, **options(chunk))


def test_frames_that_nothing_selects_yet_are_waited_for(whole, now, tmp_path):
    kept, source = Kept(), Fed(whole.path, tmp_path / "run", [*SEQUENCES[:4], ["S"]], [Stats])
    source.planner = Picky([Stats])
    result = follow(source, tmp_path / "x.zarr", [kept], "here")
    expected = dxflow.execute(source.planner(whole.path, None, chunk="3 trains"), "here", quiet=True)
    assert result.dataset.equals(expected.dataset)
    assert [one.last_train for one in kept.snapshots][0] > 10013


class Conditional(Planner):
    """Reads frames by the position of a motor."""

    def __call__(self, run, to, *, chunk, resume=False):
        made = [make(img=TWO) for make in self.makers]
        labels = {"stage": dxflow.Key("SPB_EXP_SCAN/MOTOR/STAGE", "actualPosition")}
        given = {"where": "stage > -1", "labels": labels, "resume": resume}
        return dxflow.plan(run, made, to, **given, **options(chunk))


def test_a_device_whose_files_come_after_others_is_waited_for(whole, now, tmp_path):
    source = Fed(whole.path, tmp_path / "run", [["AGIPD"], ["DA"]], [Stats])
    source.planner = Conditional([Stats])
    result = follow(source, tmp_path / "x.zarr", [], "here")
    assert any("files of other aggregators: " in words and "MOTOR/STAGE" in words for words in source.said)
    assert result.dataset.sizes["train"] == 26
    without = Fed(whole.path, tmp_path / "run2", [["AGIPD"]], [Stats])
    without.planner = Conditional([Stats])
    with pytest.raises(PlanError, match="MOTOR/STAGE"):
        follow(without, tmp_path / "y.zarr", [], "here")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run2", "x.zarr"]


def test_chunks_suit_the_data_and_stay_as_they_are(whole, now, tmp_path, monkeypatch):
    """A chunk has no more than some bytes, and at most 64 trains; who goes on does not choose again."""
    monkeypatch.setattr(folder, "LARGEST", 5 * 2 * 3 * 8 * 8 * 4)
    kept = Kept()
    source = Fed(whole.path, tmp_path / "run", SEQUENCES[:3], [LitFrames], chunk="")
    with pytest.raises(KeyboardInterrupt):
        follow(source, tmp_path / "x.zarr", [Stopping(1)], "here")
    assert source.chunk() == "4 trains"
    monkeypatch.setattr(folder, "LARGEST", 2**30)
    again = Fed(whole.path, tmp_path / "run", SEQUENCES[3:4], [LitFrames], chunk="")
    result = follow(again, tmp_path / "x.zarr", [kept], "here")
    assert {one.chunk for one in kept.snapshots} == {"4 trains"}
    assert result.manifest["chunks"]["reused"] > 0
    assert Fed(whole.path, tmp_path / "run", [], chunk="").chunk() == "64 trains"


def test_a_run_has_not_ended_by_a_look_that_is_long_ago(whole, tmp_path, monkeypatch):
    """A look at many files takes long, and the next one is the later for it."""
    monkeypatch.setattr(folder, "SETTLED", -1.0)
    source = Fed(whole.path, tmp_path / "run", [], [Stats])
    source.get(["S00000"])
    source.done(source.look())
    source._end, source._closing.changed = folder.Ending(0.2), time.time()
    monkeypatch.setattr(folder, "IDLE", 1e9)
    source.get(["S00001", "S00002"])
    time.sleep(0.3)
    assert folder.GrowingRun.look(source).startswith("more files of the run")
    monkeypatch.setattr(folder, "IDLE", 0)
    step = source.look()
    assert (step.last, step.final) == (10010, False)
    source.done(step)
    time.sleep(0.3)
    assert source.look().final


def test_options_are_for_train_ids(whole):
    with pytest.raises(PlanError, match="is cut by train ids"):
        Fed(whole.path, "run", [], chunk="1 GiB")
    assert np.isinf(Fed(whole.path, "run", [])._end.seconds)
    assert options()["chunk"] == "3 trains"


class Filling(Kept):
    """Fills the disk when so many snapshots are there, and makes room when that is said."""

    def __init__(self, folder, after):
        super().__init__()
        self.file, self.after, self.states = folder / "filler", after, []

    def begin(self, about):
        super().begin(about)
        self.fill()

    def snapshot(self, snapshot):
        super().snapshot(snapshot)
        self.fill()

    def fill(self):
        if len(self.snapshots) == self.after:
            with suppress(OSError), open(self.file, "wb", buffering=0) as file:
                for size in (2**20, 2**12):
                    with suppress(OSError):
                        while file.write(bytes(size)):
                            pass

    def status(self, status):
        self.states.append((status.state, status.waiting_for))
        if status.state == "paused":
            self.file.unlink(missing_ok=True)


@pytest.mark.parametrize("after", [0, 1])
def test_a_disk_that_is_full_is_waited_for(whole, now, tmp_path, small_disk, monkeypatch, after):
    monkeypatch.setattr(observers, "SECOND", 0.02)
    monkeypatch.setattr(following, "PAUSE", 0.1)
    filling = Filling(small_disk, after)
    source = Fed(whole.path, tmp_path / "run", SEQUENCES[:3], [Stats])
    result = follow(source, small_disk / "x.zarr", [filling], "here")
    said = [words for state, words in filling.states if state == "paused"]
    assert said
    assert said[0].startswith("room on the disk: ")
    assert len(filling.snapshots) == 3
    assert result.dataset.sizes["train"] == 10
    assert not dxflow.verify(small_disk / "x.zarr")


@pytest.mark.parametrize("call", [1, 3, 5, 9])
def test_what_was_killed_anywhere_is_gone_on_with(whole, now, tmp_path, call):
    """Before a call that gives something its name."""
    to, batches = tmp_path / "x.zarr", SEQUENCES[:2]
    names = [(os, "replace"), (os, "rename"), (disk, "_rename"), (os, "symlink")]
    killed = dies(
        call,
        names,
        (following, "growing"),
        lambda: follow(Fed(whole.path, tmp_path / "run", batches, [Stats]), to, [], "here"),
    )
    assert killed
    result = follow(Fed(whole.path, tmp_path / "run", [["S00000", "S00001"]], [Stats]), to, [], "here")
    expected = dxflow.execute(Planner([Stats])(tmp_path / "run", None, chunk="3 trains"), "here", quiet=True)
    assert result.dataset.equals(expected.dataset)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "x.zarr"]
