"""The form by which options are changed on the live page."""

import json
import shutil

import pytest

from dxflow.live.parameters import Asked as Change
from dxflow.live.parameters import answer, waiting
from dxflow.live.snapshots import Place
from dxflow.pages.asking import Asking

BAD = "<img src=x onerror=alert(1)>"


@pytest.fixture
def to(tmp_path):
    """Of a live reduction that works."""
    folder = tmp_path / "x.live"
    folder.mkdir()
    (folder / "live.json").write_text("{}")
    return tmp_path / "x.zarr"


def taken(asking, **what):
    return json.loads(asking.take({"algorithm": "a", "options": "--x 1", "again": False, **what}).body)[
        "error"
    ]


def test_what_is_asked_for_is_in_the_folder_of_the_run(to):
    folder, asking = to.with_suffix(".live"), Asking(to, {"a": ["--x", "0"], "b": []})
    assert not taken(asking, options="--x 2.5 --names 'one two' three", again=True)
    (one,) = waiting(folder)
    assert (one.algorithm, one.options, one.again) == ("a", {"x": "2.5", "names": "'one two' three"}, True)
    assert "--x 2.5" in asking.options()
    assert "begins with the next chunk" in asking.options()
    answer(folder, one.number, version=2)
    assert "version 2" in asking.options()
    assert not taken(asking)
    answer(folder, 2, error=f"{BAD} is wrong")
    assert "not changed: &lt;img" in asking.options()
    assert not taken(asking, options="--x 9")
    shutil.rmtree(folder)
    said = asking.options()
    assert "version 2" in said
    assert "not changed: &lt;img" in said
    assert "--x 9: not changed: the run has ended" in said


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"algorithm": "none"}, "no algorithm 'none'; there are: a"),
        ({"algorithm": None}, "no algorithm None"),
        ({"algorithm": ["a"]}, "no algorithm"),
        ({"options": ""}, "no option is given"),
        ({"options": "5"}, "'5' is no option"),
        ({"options": "--x 'open"}, "No closing quotation"),
        ({"options": "--x 1 --x 2"}, "--x is given twice"),
        ({"options": "-- --x 1"}, "'--' is no option"),
        ({"options": None}, "expected options"),
        ({"options": "--x " + "1" * 3000}, "expected options"),
        ({"again": "yes"}, "expected options"),
    ],
)
def test_what_is_wrong_is_answered_and_not_asked_for(to, what, said):
    assert said in taken(Asking(to, {"a": []}), **what)
    assert waiting(to.with_suffix(".live")) == []


def test_a_run_that_is_not_there_is_said(tmp_path):
    assert "no live reduction is there" in taken(Asking(tmp_path / "x.zarr", {"a": []}))


def test_options_are_those_of_now_and_it_is_said_what_was_changed_when(to):
    """Whoever changed them; also when the run has ended, and its folder is gone."""
    place, asking = Place(to), Asking(to, {"azint": ["--nbins", "60", "--per", "cell"], "roi": []})
    assert "As the run was begun:" in asking.options()
    assert asking.versions() == ""
    place.note_change(Change("azint", {"nbins": "77"}), 10039, None)
    (to.parent / "x.v1.zarr").mkdir()
    place.note_change(Change("roi", {"roi": "'a b' 1 2"}, again=True), None, None)
    place.note_change(Change("the stream is another one in SPB/X"), 10050, None)
    for _ in range(2):
        given = asking.options()
        assert "<code>azint --per cell --nbins 77</code>" in given
        assert "<code>roi --roi &#x27;a b&#x27; 1 2</code>" in given
        assert "As they are now:" in given
        said = asking.versions()
        assert "Version 2, from train 10040 on: azint --nbins 77; version 1 is x.v1.zarr<" in said
        assert "Version 3, from the first train on: roi --roi &#x27;a b&#x27; 1 2 (again)<" in said
        assert "Version 4, from train 10051 on: the stream is another one in SPB/X<" in said
        shutil.rmtree(place.folder, ignore_errors=True)


def test_names_and_options_are_texts(to):
    asking = Asking(to, {BAD: ["--x", f"{BAD}"]})
    Place(to).note_change(Change(BAD, {BAD: BAD}), 7, None)
    form = asking.form() + asking.options() + asking.versions()
    assert "<img" not in form
    assert form.count("&lt;img src=x") > 5
    assert Asking(to, {}).form() == ""
