"""What volumes say of runs, results and themselves is true, or is refused."""

import json
import os
from datetime import datetime
from pathlib import Path

import pytest
from proposals import FACTS

import dxflow
from dxflow import Frames
from dxflow.algorithms.average import Average

HERE = {"cluster": "here", "quiet": True}


def readme(made):
    return (made.volume / "README.md").read_text()


def graph(made):
    return {
        one["@id"]: one for one in json.loads((made.volume / "ro-crate-metadata.json").read_text())["@graph"]
    }


def test_a_result_of_another_run_is_refused_and_of_this_one_has_its_own_making(proposal, cli):
    made = proposal(2, ["{run: raw/r0001, keep: processed, results: [mean.zarr, notes.txt]}"])
    Path("notes.txt").write_text("by hand")
    dxflow.reduce("raw/r0002", Average(img=Frames(modules=(0,))), "mean.zarr", **HERE)
    code, said = cli("run", "red.yaml", "--quiet")
    assert code == 1
    assert f"result mean.zarr was made of {made.folder}/raw/r0002, and not of this run" in said
    os.rename("mean.zarr", "other.zarr")
    dxflow.reduce("raw/r0001", Average(img=Frames(modules=(0,))), "mean.zarr", **HERE)
    assert cli("run", "red.yaml", "--quiet")[0] == 0
    found = graph(made)
    # Nothing of the run was reduced here.
    assert "#reduction-r0001" not in found
    (action,) = [
        one for one in found.values() if one["@type"] == "CreateAction" and one["@id"] != "#measurement"
    ]
    assert action["result"] == {"@id": "results/r0001/mean.zarr/"}
    assert action["object"] == {"@id": "#source-r0001"}
    assert action["endTime"] == dxflow.open("mean.zarr").manifest["created"]
    assert found[action["instrument"]["@id"]]["softwareVersion"]
    assert cli("verify", "red.yaml")[0] == 0


def test_what_is_left_out_is_named(proposal, cli):
    made = proposal(
        2,
        [
            "{run: raw/r0001, keep: raw}",
            "{run: raw/r0002, keep: regions, modules: 0-2, codec: blosc2}",
        ],
        detector="AGIPD500K",
        modules=5,
    )
    Path("raw/r0001/geometry.geom").write_text("x")
    for words in (("plan", "red.yaml"), ("run", "red.yaml", "--quiet")):
        code, said = cli(*words)
        assert code == 0, said
        assert "r0002: blosc2: programs that read it need hdf5plugin" in said
        if words[0] == "plan":
            assert "geometry.geom" in said
            assert "modules 3-4 of SPB_DET_AGIPD500K2G (corrected)" in said
    text = readme(made)
    assert "geometry.geom" in text
    assert "modules 3-4 of" in text
    assert "Blosc2: programs that read it need hdf5plugin" in text
    assert "import hdf5plugin" in graph(made)["runs/r0002/"]["description"]
    assert "hdf5plugin" not in graph(made)["runs/r0001/"]["description"]
    action = graph(made)["#reduction-r0001"]
    for key in ("startTime", "endTime"):
        assert datetime.fromisoformat(action[key]).isoformat() == action[key]


def test_what_the_files_say_otherwise_is_told(proposal, cli):
    proposal(
        1, facts=f"{FACTS}proposal: 900123\ncollected: 2026-10-01/2026-10-02\n".replace("proposal: 1\n", "")
    )
    code, said = cli("plan", "red.yaml")
    assert code == 0, said
    assert "note     r0001: its files are of proposal 900000, not 900123" in said
    assert "r0001: its files were begun on 2023-11-14, not collected 2026-10-01/2026-10-02" in said
    proposal(1, facts=f"{FACTS}proposal: p900000\ncollected: 2023-11-13\n")
    assert "note  " not in cli("plan", "red.yaml")[1]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("", "collected: 2998-01-01/2998-01-02\n", "collected: 2998-01-01/2998-01-02 is in the future"),
        ("", "version: TITLE\n", "version: 'TITLE' is what 'dxflow red new' wrote"),
    ],
)
def test_what_cannot_be_is_refused(proposal, cli, old, new, said):
    proposal(1, facts=f"{FACTS}{new}")
    code, shown = cli("plan", "red.yaml")
    assert (code, said in shown, "red.yaml, line " in shown) == (2, True, True), shown


def test_a_new_file_is_refused_until_all_of_it_is_edited(proposal, cli):
    proposal(1)
    assert cli("new", "new.yaml", "raw/r0001")[0] == 0
    words = {
        "YEAR-MONTH-DAY": "2999-01-01", "TECHNIQUE]": "SAXS]", "SAMPLE": "water", "INSTRUMENT": "SPB",
        "FAMILY, GIVEN": "Doe, Jane", "WHAT WAS MEASURED, AND WHY": "water", "TITLE": "Water",
    }  # fmt: skip
    for old, new in words.items():
        code, said = cli("plan", "new.yaml")
        assert (code, "new.yaml, line " in said) == (2, True), said
        text = Path("new.yaml").read_text()
        assert old in text
        Path("new.yaml").write_text(text.replace(old, new))
    code, said = cli("plan", "new.yaml")
    assert code == 0, said


def test_codecs_and_bounds_that_are_none_are_named_with_line_and_near_names(proposal, cli):
    for option, said in (("codec: defalte", "Did you mean 'deflate'?"), ("round: abs=x", "runs.0.round")):
        proposal(1, [f"{{run: raw/r0001, keep: coded, {option}}}"])
        code, shown = cli("plan", "red.yaml")
        assert (code, said in shown, "red.yaml, line 1" in shown) == (2, True, True), shown
