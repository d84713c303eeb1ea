"""What a live reduction left is there until another one has something to show, whatever is killed in between."""

import json
import os
import shutil

import pytest
from dying import dies

import dxflow
from dxflow.algorithms.average import Average
from dxflow.live import leftovers, snapshots
from dxflow.live.parameters import ask
from dxflow.live.snapshots import Place

ONE, OTHER = {"source": "r0001"}, {"source": "r0002"}


@pytest.fixture(scope="module")
def made(tiny, tmp_path_factory):
    to = tmp_path_factory.mktemp("made") / "made.zarr"
    dxflow.reduce(tiny.path, Average(), to, cluster="here", quiet=True)
    return to


@pytest.fixture
def left(made, tmp_path):
    """A place with a result that was to be replaced by a reduction, which was interrupted after two snapshots."""
    place = Place(tmp_path / "x.zarr")
    mark(made, place.to, "before")
    with place.held(ONE, overwrite=True):
        for n in "12":
            path = place.next()[1]
            mark(made, path, n)
            place.show(path)
        place.note_chunk("4 trains")
        ask(place.folder, "average", {"per": "cell"})
    return place


def mark(made, to, text):
    """Put a result at a place that says what it is."""
    shutil.copytree(made, to)
    about = json.loads((to / "zarr.json").read_text())
    about["attributes"]["mark"] = text
    (to / "zarr.json").write_text(json.dumps(about))


def marked(path):
    return json.loads((path / "zarr.json").read_text())["attributes"]["mark"]


def contents(place):
    return sorted(str(path.relative_to(place.folder)) for path in place.folder.glob("[!.]*"))


def is_as_it_was(place):
    assert contents(place) == ["0001.zarr", "0002.zarr", "asked", "before.zarr", "chunk.json", "live.json"]
    assert place.about() == ONE
    assert (marked(place.to), marked(place.folder / "before.zarr")) == ("2", "before")
    assert os.readlink(place.to) == "x.live/0002.zarr"


def test_another_one_that_does_nothing_leaves_all_as_it_was(left):
    other = Place(left.to)
    with other.held(OTHER, overwrite=True):
        assert marked(left.to) == "2"
        assert other.numbers() == []
        assert other.chunk() == ""
        other.abandon()
    is_as_it_was(left)


def test_another_one_that_is_killed_with_nothing_leaves_all_as_it_was(left):
    with Place(left.to).held(OTHER, overwrite=True):
        pass
    assert marked(left.to) == "2"
    with Place(left.to).held(ONE) as again:
        assert again.resumed
        assert again.chunk() == "4 trains"
    is_as_it_was(left)


def test_what_was_there_goes_when_another_one_has_something_to_show(left, made):
    other = Place(left.to)
    with other.held(OTHER, overwrite=True):
        number, path = other.next()
        assert number == 1
        mark(made, path, "new")
        assert marked(left.to) == "2"
        other.show(path)
        assert contents(other) == ["0001.zarr", "before.zarr", "live.json"]
        assert marked(left.to) == "new"
        assert marked(other.folder / "before.zarr") == "before"
        mark(made, other.result, "final")
        other.finish()
        other.clear()
    assert marked(left.to) == "final"
    assert sorted(os.listdir(left.to.parent)) == ["x.zarr"]


def test_what_was_there_before_has_its_name_again_when_nothing_else_is_left(left):
    shutil.rmtree(left.folder / "0001.zarr")
    shutil.rmtree(left.folder / "0002.zarr")
    with Place(left.to).held(OTHER, overwrite=True) as other:
        assert marked(left.to) == "before"
        other.abandon()
    assert marked(left.to) == "before"
    assert sorted(os.listdir(left.to.parent)) == ["x.zarr"]


@pytest.mark.parametrize("call", range(1, 7))
@pytest.mark.parametrize("what", ["set aside", "brought back"])
def test_what_is_killed_while_it_is_set_aside_or_brought_back_is_there(left, what, call):
    def begin():
        with Place(left.to).held(OTHER, overwrite=True) as other:
            other.abandon()

    start = {"set aside": (leftovers, "set_aside"), "brought back": (leftovers, "bring_back")}[what]
    names = [(os, "rename"), (os, "replace"), (os, "rmdir")]
    assert dies(call, names, start, begin)
    with Place(left.to).held(ONE) as again:
        assert again.resumed
        assert again.chunk() == "4 trains"
    is_as_it_was(left)


@pytest.mark.parametrize("call", [1, 2])
def test_what_is_killed_while_it_replaces_a_result_ends_with_the_new_one(made, tmp_path, call):
    """Without a snapshot before, so that the result itself takes its place."""
    place = Place(tmp_path / "x.zarr")
    mark(made, place.to, "before")

    def end():
        with Place(place.to).held(ONE, overwrite=True) as own:
            mark(made, own.result, "final")
            own.finish()

    assert dies(call, [(snapshots, "replace"), (os, "replace")], (Place, "_publish"), end)
    with Place(place.to).held(ONE, overwrite=True) as again:
        assert again.finished
        again.clear()
    assert marked(place.to) == "final"
    assert sorted(os.listdir(tmp_path)) == ["x.zarr"]


def test_what_is_killed_while_a_link_replaces_a_result_keeps_it(made, tmp_path):
    place = Place(tmp_path / "x.zarr")
    mark(made, place.to, "before")

    def show():
        with Place(place.to).held(ONE, overwrite=True) as own:
            mark(made, own.next()[1], "1")
            own.show(own.folder / "0001.zarr")

    assert dies(1, [(os, "replace")], (Place, "_link"), show)
    assert place.to.is_symlink()
    with Place(place.to).held(ONE) as again:
        assert marked(again.folder / "before.zarr") == "before"
        mark(made, again.next()[1], "2")
        again.show(again.folder / "0002.zarr")
        assert marked(place.to) == "2"
