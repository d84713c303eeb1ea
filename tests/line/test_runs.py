"""Runs that a line means, what they are called, and how each went."""

import os

import pytest
from runs import make_run

import dxflow
from dxflow.algorithms.average import Average
from dxflow.errors.usage import UsageError
from dxflow.line import runs
from dxflow.line.options import run_of
from dxflow.line.runs import Outcome, Run, Several, runs_of, table


def test_numbers_of_a_proposal_are_runs():
    found = runs_of(["900123:34-36,42", "p900123/r0050"])
    assert [one.run for one in found] == [34, 35, 36, 42, 50]
    assert {one.proposal for one in found} == {900123}
    assert found[0] == Run("900123:34", "p900123_r0034", 34, 900123)
    assert run_of(found[0].text) == (900123, 34)
    assert [one.run for one in runs_of(["p900123/r0034-r0035"])] == [34, 35]


def test_paths_and_patterns_are_runs_with_the_numbers_that_they_say(tmp_path):
    for name in ("p900123/proc/r0034", "p900123/proc/r0035", "p900123/proc/dark"):
        os.makedirs(tmp_path / name)
        (tmp_path / name / "RAW-R0034-DA01-S00000.h5").touch()
    os.makedirs(tmp_path / "p900123/proc/r0034.zarr")
    found = runs_of([f"{tmp_path}/p900123/proc/r*"])
    assert [(one.name, one.run, one.proposal) for one in found] == [
        ("r0034", 34, 900123),
        ("r0035", 35, 900123),
    ]
    (dark,) = runs_of([f"{tmp_path}/p900123/proc/dark"])
    assert (dark.name, dark.run) == ("dark", None)
    assert found[0].filled("r{run:04}_{run}_{proposal}_{name}.zarr") == "r0034_34_900123_r0034.zarr"
    assert found[0].filled("{ruin}{}{x}") == "{ruin}{}{x}"
    with pytest.raises(UsageError, match=r"\{run\}: .*dark does not say its run number; \{name\} is dark"):
        dark.filled("r{run}.zarr")


@pytest.mark.parametrize(
    ("path", "number"),
    [
        *((path, 12) for path in ("/data/r0012", "r12", "/data/p900123_r0012", "/data/run-r12")),
        *((path, None) for path in ("/data/water12", "/data/r12b", "/data/r0012/water", "/data/laser_12")),
    ],
)
def test_the_number_of_a_run_is_a_word_of_its_name(path, number):
    (found,) = runs_of([path])
    assert found.run == number
    if number is None:
        with pytest.raises(UsageError, match="does not say its run number"):
            found.filled("r{run}.zarr")


@pytest.mark.parametrize(
    ("texts", "words"),
    [
        (["900123:36-34"], "36-34: expected the lower number first, 34-36"),
        (["900123:1-99999"], "expected at most 10000 runs"),
        (["900123:1,1"], "900123:1: this run is given twice"),
        (["nothing*here"], "no run fits this pattern"),
    ],
)
def test_what_means_no_runs_is_refused(texts, words):
    with pytest.raises(UsageError, match=words):
        runs_of(texts)


def test_missing_runs_are_all_said(tmp_path, monkeypatch):
    folder = tmp_path / "SPB" / "202601" / "p900123" / "proc" / "r0001"
    folder.mkdir(parents=True)
    monkeypatch.setenv("EXTRA_DATA_DATA_ROOT", str(tmp_path))
    with pytest.raises(
        UsageError, match=r"(?s)2 of 4 runs are not there:.*900123:2: there is neither raw.*gone: no"
    ):
        runs.refuse_missing(runs_of(["900123:1-2", str(folder), f"{tmp_path}/gone"]))
    with pytest.raises(UsageError, match="no such run: proposal 900124"):
        runs.refuse_missing(runs_of(["900124:1"]))


def test_two_results_of_one_name_are_refused():
    two = runs_of(["900123:34-35"])
    with pytest.raises(
        UsageError, match=r"--to ./x.zarr: the results of 900123:34 and 900123:35 would have one name"
    ):
        runs.refuse_same(two, ["x.zarr", "./x.zarr"])
    runs.refuse_same(two, ["x.zarr", "y.zarr"])


def test_a_run_that_fails_does_not_stop_the_others_unless_it_is_to(tmp_path):
    path = make_run(tmp_path / "r0001", trains=2, pulses=2, module_shape=(4, 4), detector="AGIPD500K").path
    told = []

    def reduced(run):
        if run.name == "gone":
            raise OSError("the disk is full\nand more")
        return dxflow.reduce(run.text, Average(), cluster="here", quiet=True), run.name == "old"

    meant = [Run(path, "r0001"), Run("gone", "gone"), Run(path, "old")]
    several = Several(reduced, "here", failed=lambda run, error: told.append(run.name))
    outcomes = several.each(meant)
    assert [one.state for one in outcomes] == ["done", "failed", "was there"]
    assert told == ["gone"]
    assert (outcomes[0].trains, outcomes[0].frames, outcomes[0].lost) == (2, "4", "nothing")
    assert outcomes[1].why == "OSError: the disk is full"
    lines = table(outcomes).splitlines()
    assert lines[0].split() == ["run", "state", "trains", "frames", "lost", "time", "result"]
    assert lines[-1] == "3 runs: 1 done, 1 was there, 1 failed"
    stopped = Several(reduced, "here", stop=True).each(meant)
    assert [one.state for one in stopped] == ["done", "failed", "not begun"]


def test_of_what_is_interrupted_the_others_are_known():
    def reduced(run):
        raise KeyboardInterrupt

    several = Several(reduced)
    with pytest.raises(KeyboardInterrupt):
        several.each([Run("a", "a"), Run("b", "b")])
    assert [one.state for one in several.outcomes] == ["interrupted", "not begun"]
    assert table([Outcome("a")]).splitlines()[1] == "a    not begun"
