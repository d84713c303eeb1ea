"""The form by which options are changed on the live page."""

import json

import pytest

from dxflow.live.parameters import answer, waiting
from dxflow.pages.asking import Asking, parsed

BAD = "<img src=x onerror=alert(1)>"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "live.json").write_text("{}")
    return tmp_path


def taken(asking, **what):
    return json.loads(asking.take({"algorithm": "a", "options": "--x 1", "again": False, **what}).body)[
        "error"
    ]


def test_what_is_asked_for_is_in_the_folder_of_the_run(folder):
    asking = Asking(folder, {"a": ["--x", "0"], "b": []})
    assert not taken(asking, options="--x 2.5 --names 'one two' three", again=True)
    (one,) = waiting(folder)
    assert (one.algorithm, one.options, one.again) == ("a", {"x": "2.5", "names": "'one two' three"}, True)
    assert "--x 2.5" in asking.said()
    assert "begins with the next chunk" in asking.said()
    answer(folder, one.number, version=2)
    assert "version 2" in asking.said()
    assert not taken(asking)
    answer(folder, 2, error=f"{BAD} is wrong")
    assert "not changed: &lt;img" in asking.said()


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
        ({"options": None}, "expected options"),
        ({"options": "--x " + "1" * 3000}, "expected options"),
        ({"again": "yes"}, "expected options"),
    ],
)
def test_what_is_wrong_is_answered_and_not_asked_for(folder, what, said):
    assert said in taken(Asking(folder, {"a": []}), **what)
    assert waiting(folder) == []


def test_a_run_that_is_not_there_is_said(tmp_path):
    assert "no live reduction is there" in taken(Asking(tmp_path, {"a": []}))


def test_names_and_options_are_texts():
    form = Asking("x", {BAD: ["--x", f"{BAD}"]}).form()
    assert "<img" not in form
    assert form.count("&lt;img src=x") == 3
    assert Asking("x", {}).form() == ""


def test_values_are_as_they_were_typed():
    assert parsed("--a -1 --b=c --flag --d 'x y'") == {"a": "-1", "b": "c", "flag": "", "d": "'x y'"}
