"""What results of live runs say of themselves: snapshots, versions, and what was changed; others say nothing."""

import json

import pytest

from dxflow.driver.livewords import lines, result_of

SAID = {
    "final": False,
    "number": 3,
    "version": 1,
    "chunk": "4 trains",
    "first_train": 10001,
    "last_train": 10007,
    "changes": [],
}


def test_a_snapshot_says_that_the_run_goes_on(tmp_path):
    (line,) = lines(SAID, tmp_path / "x.live" / "0003.zarr", 7)
    assert line == (
        "snapshot 3 of a run that goes on: 7 trains, 10001 to 10007 so far, --chunk '4 trains'; the newest is x.zarr"
    )
    assert lines(json.dumps(SAID), tmp_path / "x.live" / "0003.zarr", 7) == [line]
    assert lines(SAID | {"final": True})[0].startswith("result of a live run: 10001 to 10007")


def test_versions_say_what_was_changed_and_where_those_before_are(tmp_path):
    said = SAID | {"version": 3, "changes": ["azint --nbins 50", "azint --nbins 60 (again)", "not yet"]}
    for there in ("x.v1.zarr", "x.v2.zarr"):
        (tmp_path / there).mkdir()
    for path in (tmp_path / "x.live" / "0009.zarr", tmp_path / "x.zarr"):
        assert lines(said, path)[1:] == [
            "version 2: azint --nbins 50",
            "version 3: azint --nbins 60 (again)",
            "versions before: x.v1.zarr, x.v2.zarr",
        ]
    moved = lines(said, tmp_path / "elsewhere" / "x.zarr")
    assert "versions before" in moved[-1]
    assert "x.v1" not in "".join(moved)


def test_a_version_that_has_ended_says_what_goes_on(tmp_path):
    said = SAID | {"final": True}
    path = tmp_path / "x.v1.zarr"
    assert lines(said, path)[-1] == "version 1, which has ended: x.zarr goes on with other options"
    assert len(lines(said, tmp_path / "x.zarr")) == 1
    assert result_of(path) == tmp_path / "x.zarr"


@pytest.mark.parametrize("said", [None, "", "{", "[]", "7", {}])
def test_what_is_of_no_live_run_says_nothing(said, tmp_path):
    assert lines(said, tmp_path / "x.zarr", 7) == []
