"""Options that are changed while a run grows: versions of the result, of which nothing is mixed."""

import errno
import json

import pytest
from dying import dies
from extra_data import RunDirectory, by_id
from growth import COMPANY, Fed, Kept, Planner
from samples import Stats

import dxflow
from dxflow import PlanError
from dxflow.live import following, parameters
from dxflow.live.folder import Ending
from dxflow.live.following import follow
from dxflow.live.parameters import Asked, answer, answered, ask, parsed, waiting, without
from dxflow.live.snapshots import Place

SEQUENCES = [[f"S{n:05d}"] for n in range(7)]
SOME = (Stats, COMPANY[-1])
CHANGED = {"above": {"ss": (2, 5)}}


class Asking(Kept):
    """Asks for other options after some snapshots.

    Parameters
    ----------
    folder : path
    wishes : mapping of int to tuple
        After which snapshot -> what is given to `ask`.
    """

    def __init__(self, folder, wishes):
        super().__init__()
        self.folder, self.wishes, self.numbers = folder, wishes, []

    def snapshot(self, snapshot):
        super().snapshot(snapshot)
        if len(self.snapshots) in self.wishes:
            self.numbers.append(ask(self.folder, *self.wishes[len(self.snapshots)]))


def offline(whole, first, last, **own):
    """Return the dataset of an offline pass over trains from one to another."""
    part = RunDirectory(whole.path).select_trains(by_id[first : last + 1])
    plan = Planner(SOME, **own)(part, None, chunk="3 trains")
    return dxflow.execute(plan, "here", quiet=True).dataset.load()


@pytest.mark.parametrize("again", [False, True])
def test_a_change_begins_another_version_of_the_result(whole, now, tmp_path, again):
    to = tmp_path / "x.zarr"
    asking = Asking(to.with_suffix(".live"), {2: ("above", {"--ss": "2 5"}, again)})
    source = Fed(whole.path, tmp_path / "run", SEQUENCES[:4], SOME)
    result = follow(source, to, [asking], "here")
    first, last = (10001, 10016) if again else (10011, 10016)
    assert result.dataset.equals(offline(whole, first, last, **CHANGED))
    before = dxflow.open(tmp_path / "x.v1.zarr")
    assert before.dataset.equals(offline(whole, 10001, 10010))
    assert [json.loads(one.dataset.attrs["live"])["version"] for one in (before, result)] == [1, 2]
    assert not any("provisional" in v.attrs for v in before.dataset.variables.values())
    assert "above --ss 2 5" in result.dataset.attrs["live"]
    versions = [one.version for one in asking.snapshots]
    assert versions == sorted(versions)
    assert set(versions) == {1, 2}
    since = "the first train" if again else "train 10011"
    trains = [one.manifest["config"].get("trains") for one in (before, result)]
    assert trains == ["10001:10011", None if again else "10011:10017"], "made again it has no others"
    words = f"above --ss 2 5{' (again)' * again}, from {since} on; before: x.v1.zarr"
    assert asking.snapshots[-1].status.changed == words
    # Trains that are done again were done.
    assert all(one.status.trains_per_s > 0 for one in asking.snapshots)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "x.v1.zarr", "x.zarr"]


def test_what_is_asked_for_at_the_same_time_begins_with_the_same_train(whole, now, tmp_path):
    """The version in between has no trains; it is not said that the later one begins with the first of the run."""
    to = tmp_path / "x.zarr"
    asking = Asking(to.with_suffix(".live"), {2: ("above", {"ss": "1 3"}, False)})
    real, asking.snapshot = (
        asking.snapshot,
        lambda one: (
            len(asking.snapshots) == 1 and ask(asking.folder, "above", {"ss": "0 1"}),
            real(one),
        ),
    )
    result = follow(Fed(whole.path, tmp_path / "run", SEQUENCES[:4], SOME), to, [asking], "here")
    assert result.dataset.equals(offline(whole, 10011, 10016, above={"ss": (1, 3)}))
    assert asking.snapshots[-1].status.changed == "above --ss 1 3, from train 10011 on"
    assert result.manifest["config"].get("trains") == "10011:10017"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "x.v1.zarr", "x.zarr"]


def test_what_cannot_be_is_answered_and_the_run_goes_on(whole, now, tmp_path, monkeypatch):
    to, answers = tmp_path / "x.zarr", []
    real = parameters.answer
    monkeypatch.setattr(
        parameters, "answer", lambda *args, **more: answers.append(args[1:]) or real(*args, **more)
    )
    asking = Asking(to.with_suffix(".live"), {1: ("nobody", {"x": "1"}, False)})
    follow(Fed(whole.path, tmp_path / "run", SEQUENCES[:3], SOME), to, [asking], "here")
    assert answers == [(1, "no algorithm 'nobody'")]
    assert {one.version for one in asking.snapshots} == {1}


def test_a_version_without_trains_leaves_the_one_before(whole, now, tmp_path):
    """The run ends with the chunk after which other options were asked for."""
    to = tmp_path / "x.zarr"
    asking = Asking(to.with_suffix(".live"), {1: ("above", {"ss": "2 5"}, False)})
    result = follow(Fed(whole.path, tmp_path / "run", SEQUENCES[:1], SOME), to, [asking], "here")
    assert result.dataset.equals(offline(whole, 10001, 10004))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "x.zarr"]


class Interrupting(Asking):
    """Interrupts after some snapshots."""

    def snapshot(self, snapshot):
        super().snapshot(snapshot)
        if len(self.snapshots) == 4:
            raise KeyboardInterrupt


def test_versions_are_gone_on_with_after_an_interruption(whole, now, tmp_path):
    to = tmp_path / "x.zarr"
    asking = Interrupting(to.with_suffix(".live"), {2: ("above", {"ss": "2 5"}, False)})
    with pytest.raises(KeyboardInterrupt):
        follow(Fed(whole.path, tmp_path / "run", SEQUENCES[:5], SOME), to, [asking], "here")
    assert [one.version for one in asking.snapshots] == [1, 1, 2, 2]
    kept = Kept()
    result = follow(Fed(whole.path, tmp_path / "run", SEQUENCES[5:6], SOME), to, [kept], "here")
    assert {one.version for one in kept.snapshots} == {2}
    assert result.dataset.equals(offline(whole, 10011, 10024, **CHANGED))
    assert {one.late for one in kept.statuses} == {0}, "files that were there are not late"
    assert result.manifest["chunks"]["reused"] > 0


def test_what_is_asked_for_is_read_as_it_was_written(tmp_path):
    with pytest.raises(PlanError, match="no live reduction is there"):
        ask(tmp_path / "x.live", "azint", {"bins": "5"})
    (tmp_path / "live.json").write_text("{}")
    assert waiting(tmp_path) == []
    numbers = [ask(tmp_path, "azint", {"--bins": "5", "q_max": "2 3"}, True), ask(tmp_path, "roi", {})]
    assert numbers == [1, 2]
    first, second = waiting(tmp_path)
    assert first == Asked("azint", {"bins": "5", "q-max": "2 3"}, True, 1)
    assert str(first) == "azint --bins 5 --q-max 2 3 (again)"
    answer(tmp_path, 1, version=2)
    assert answered(tmp_path, 1) == ("", 2, "")
    assert waiting(tmp_path) == [second]
    (tmp_path / "asked" / "0003.json").write_text('["nonsense"]')
    assert waiting(tmp_path) == [second]
    assert "cannot be read" in answered(tmp_path, 3)[0]


KILLED = ["before it is noted", "noted", "noted and kept"]


@pytest.mark.parametrize("when", KILLED)
def test_a_change_that_was_killed_in_between_is_gone_on_with(whole, now, tmp_path, when):
    """No train is in two versions, and what was asked for is done once."""
    to = tmp_path / "x.zarr"
    asking = Asking(to.with_suffix(".live"), {2: ("above", {"ss": "2 5"}, False)})
    name = {
        KILLED[0]: (Place, "note_change"),
        KILLED[1]: (Place, "keep_version"),
        KILLED[2]: (parameters, "answer"),
    }
    first = Fed(whole.path, tmp_path / "run", SEQUENCES[:3], SOME)
    assert dies(1, [name[when]], (following, "kept"), lambda: follow(first, to, [asking], "here"))
    kept = Kept()
    result = follow(Fed(whole.path, tmp_path / "run", SEQUENCES[3:4], SOME), to, [kept], "here")
    assert dxflow.open(tmp_path / "x.v1.zarr").dataset.equals(offline(whole, 10001, 10010))
    assert result.dataset.equals(offline(whole, 10011, 10016, **CHANGED))
    assert kept.snapshots[-1].version == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "x.v1.zarr", "x.zarr"]


def test_options_of_a_command_line_are_read_as_they_were_typed():
    words = ["--a", "-1", "--b=c", "--flag", "--d_e", "x y", "--"]
    assert parsed(words) == {"a": "-1", "b": "c", "flag": "", "d-e": "'x y' --"}
    wrong = {
        (): "no option is given",
        ("1", "--a"): "'1' is no option",
        ("--", "--a", "1"): "'--' is no option",
        ("--a-b", "1", "--a_b=2"): "--a_b is given twice",
    }
    for given, why in wrong.items():
        with pytest.raises(ValueError, match=why):
            parsed(given)


def test_words_are_left_without_some_options_and_their_values():
    words = ["--roi", "a", "1", "-2", "--roi=b", "--per-cell", "--n", "3"]
    assert without(words, {"roi": ""}) == ["--per-cell", "--n", "3"]
    assert without(words, {"n": "", "per-cell": ""}) == ["--roi", "a", "1", "-2", "--roi=b"]
    assert without(words, {}) == words


def test_a_disk_that_is_full_is_waited_for_with_each_note(whole, now, tmp_path, monkeypatch):
    """Each of the small files of a change cannot be written at first."""
    to, full = tmp_path / "x.zarr", []

    def once(owner, name):
        real = getattr(owner, name)

        def at_first(*args, **more):
            if name not in full:
                full.append(name)
                raise OSError(errno.ENOSPC, "full")
            return real(*args, **more)

        monkeypatch.setattr(owner, name, at_first)

    for owner, name in (
        (Place, "note_chunk"),
        (Place, "note_change"),
        (Place, "show"),
        (parameters, "answer"),
    ):
        once(owner, name)
    monkeypatch.setattr(following, "PAUSE", 0.0)
    asking = Asking(to.with_suffix(".live"), {1: ("above", {"ss": "2 5"}, False)})
    result = follow(Fed(whole.path, tmp_path / "run", SEQUENCES[:3], SOME), to, [asking], "here")
    assert full == ["note_chunk", "show", "note_change", "answer"]
    assert result.dataset.equals(offline(whole, 10005, 10012, **CHANGED))


@pytest.mark.parametrize("again", [True, False])
def test_what_is_asked_for_while_nobody_works_comes_after_what_was_done(whole, now, tmp_path, again):
    """Also where it is gone on with at the end of the run."""
    to = tmp_path / "x.zarr"
    asking = Interrupting(to.with_suffix(".live"), {})
    with pytest.raises(KeyboardInterrupt):
        follow(Fed(whole.path, tmp_path / "run", SEQUENCES[:5], SOME), to, [asking], "here")
    ask(to.with_suffix(".live"), "above", {"ss": "2 5"}, again)
    source = Fed(whole.path, tmp_path / "run", [], SOME, end=Ending(0.0))
    kept = Kept()
    result = follow(source, to, [kept], "here")
    last = 10020
    first = offline(whole, 10001, last)
    if again:
        assert result.dataset.equals(offline(whole, 10001, last, **CHANGED))
        assert dxflow.open(tmp_path / "x.v1.zarr").dataset.equals(first)
    else:
        assert result.dataset.equals(first)
        assert not (tmp_path / "x.v1.zarr").exists()
    assert kept.snapshots[0].version == 1
