"""The folder of a live reduction: what it holds, and what of others it never touches."""

import os

import pytest

import dxflow
from dxflow import PlanError
from dxflow.algorithms.average import Average
from dxflow.live.snapshots import Place

ABOUT = {"source": "r0001"}


@pytest.fixture(scope="module")
def result(tiny, tmp_path_factory):
    to = tmp_path_factory.mktemp("made") / "made.zarr"
    dxflow.reduce(tiny.path, Average(), to, cluster="here", quiet=True)
    return to


def put(result, to):
    import shutil

    shutil.copytree(result, to)


def test_snapshots_are_numbered_and_two_are_kept(result, tmp_path):
    place = Place(tmp_path / "x.zarr")
    with place.held(ABOUT):
        for n in range(1, 5):
            number, path = place.next()
            assert (number, path.name) == (n, f"{n:04d}.zarr")
            put(result, path)
            place.show(path)
            assert os.readlink(place.to) == f"x.live/{n:04d}.zarr"
        assert place.numbers() == [3, 4]
        put(result, place.result)
        assert place.finish() == tmp_path / "x.zarr"
        place.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.zarr"]
    assert not dxflow.verify(tmp_path / "x.zarr")


def test_the_same_is_gone_on_with_and_something_else_is_refused(result, tmp_path):
    place = Place(tmp_path / "x.zarr")
    with place.held(ABOUT):
        assert not place.resumed
        put(result, place.next()[1])
    with (
        pytest.raises(PlanError, match="source: r0001 -> r0002.*--overwrite"),
        Place(place.to).held({"source": "r0002"}),
    ):
        pass
    assert place.numbers() == [1]
    again = Place(place.to)
    with again.held(ABOUT):
        assert again.resumed
        assert again.next()[0] == 2
    afresh = Place(place.to)
    with afresh.held({"source": "r0002"}, overwrite=True):
        assert not afresh.resumed
        assert afresh.numbers() == []


def test_what_was_killed_in_the_very_end_is_finished(result, tmp_path):
    place = Place(tmp_path / "x.zarr")
    with place.held(ABOUT):
        put(result, place.result)
        (place.folder / "done.json").write_text("{}")
    again = Place(place.to)
    with again.held(ABOUT):
        assert again.finished
        again.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.zarr"]


def test_what_others_made_is_never_touched(result, tmp_path):
    folder = tmp_path / "x.live"
    folder.mkdir()
    (folder / "mine").touch()
    with (
        pytest.raises(PlanError, match="nothing that dxflow live made"),
        Place(tmp_path / "x.zarr").held(ABOUT),
    ):
        pass
    place = Place(tmp_path / "y.zarr")
    with place.held(ABOUT):
        (place.folder / "mine").touch()
        (place.folder / "0007.zarr").mkdir()
        (place.folder / "0007.zarr" / "mine").touch()
        put(result, place.result)
        place.finish()
        place.clear()
    assert (place.folder / "mine").exists()
    assert (place.folder / "0007.zarr" / "mine").exists()
    link = tmp_path / "z.zarr"
    link.symlink_to("y.zarr")
    with pytest.raises(PlanError, match="symbolic link"), Place(link).held(ABOUT, overwrite=True):
        pass


def test_a_result_that_is_replaced_is_there_until_the_new_one_is(result, tmp_path):
    place = Place(tmp_path / "x.zarr")
    put(result, place.to)
    with pytest.raises(PlanError, match="exists: choose another name"), place.held(ABOUT):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.zarr"]
    with place.held(ABOUT, overwrite=True):
        put(result, place.next()[1])
        place.show(place.folder / "0001.zarr")
        assert (place.folder / "before.zarr" / "dxflow.json").exists()
        put(result, place.result)
        place.finish()
        place.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.zarr"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_appears_meanwhile_is_not_replaced(result, tmp_path, overwrite, caplog):
    place = Place(tmp_path / "x.zarr")
    if overwrite:
        put(result, place.to)
    with place.held(ABOUT, overwrite=overwrite):
        for n in range(3):
            if n == 1:
                # Another process takes the name, with --overwrite if it has to.
                os.rename(place.to, tmp_path / "away")
                put(result, place.to)
                (place.to / "mine").touch()
            path = place.next()[1]
            put(result, path)
            place.show(path)
        put(result, place.result)
        with pytest.raises(PlanError, match="appeared meanwhile.*result.zarr: move one of the two"):
            place.finish()
        place.abandon()
    assert (place.to / "mine").exists()
    assert len([one for one in caplog.records if "appeared meanwhile" in one.message]) == 1
    os.rename(place.to, tmp_path / "theirs")
    again = Place(place.to)
    with again.held(ABOUT):
        assert again.finished
        again.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["away", "theirs", "x.zarr"]
    assert not dxflow.verify(place.to)


@pytest.mark.parametrize(("name", "words"), [("x.nc", "name.zarr"), ("no/x.zarr", "does not exist")])
def test_places_that_cannot_be(tmp_path, name, words):
    with pytest.raises(PlanError, match=words), Place(tmp_path / name).held(ABOUT):
        pass
