"""What comes of trains whose version has ended: it is in no result, and said."""

import json

import numpy as np
import pytest
from growth import COMPANY, Fed, Planner
from samples import Stats
from test_parameters import SEQUENCES, Asking, offline

import dxflow
from dxflow.live.ended import CAUSE, Ended, Missed
from dxflow.live.following import follow
from dxflow.live.frontier import File, Stream

SOME = (Stats, COMPANY[-1])
LATE = "AGIPD01-S00000"
FIRST = ["AGIPD00-S00000", "AGIPD01-S00001", "AGIPD00-S00001", "S00002"]
BATCHES = [FIRST, [], [], *SEQUENCES[3:4], [LATE], *SEQUENCES[4:5]]


class Interrupting(Asking):
    """Interrupts after the second version has begun."""

    def snapshot(self, snapshot):
        super().snapshot(snapshot)
        if snapshot.version == 2:
            raise KeyboardInterrupt


@pytest.mark.parametrize("interrupted", [False, True])
def test_what_comes_after_its_version_is_said(whole, now, tmp_path, caplog, interrupted):
    to = tmp_path / "x.zarr"
    asking = (Interrupting if interrupted else Asking)(
        to.with_suffix(".live"), {1: ("above", {"ss": "2 5"}, False)}
    )
    source = Fed(whole.path, tmp_path / "run", BATCHES, SOME, wait=0)
    if interrupted:
        with pytest.raises(KeyboardInterrupt):
            follow(source, to, [asking], "here")
        source = Fed(whole.path, tmp_path / "run", BATCHES[4:], SOME, wait=0)
        asking = Asking(to.with_suffix(".live"), {})
    result = follow(source, to, [asking], "here")
    last = json.loads(dxflow.open(tmp_path / "x.v1.zarr").dataset.attrs["live"])["last_train"]
    assert result.dataset.equals(offline(whole, last + 1, 10020, above={"ss": (2, 5)}))
    lost = result.losses[result.losses.cause == CAUSE]
    assert [(one.source, one.trains, one.first_train, one.last_train) for one in lost.itertuples()] == [
        ("CORR-R0001-AGIPD01", 4, 10001, 10004)
    ]
    assert lost.file.item().endswith("AGIPD01-S00000.h5")
    assert "x.v1.zarr was final" in lost.detail.item()
    assert asking.statuses[-1].late == 4
    of_second = [one.status.losses for one in asking.snapshots if one.version == 2]
    assert not any("missing sequence" in one for one in of_second), "it is of trains of the first"
    said = [one.getMessage() for one in caplog.records if CAUSE in one.getMessage()]
    assert len(said) == 1
    assert "AGIPD01" in said[0]


def test_a_version_of_all_trains_misses_none(whole, now, tmp_path):
    to = tmp_path / "x.zarr"
    asking = Asking(to.with_suffix(".live"), {1: ("above", {"ss": "2 5"}, True)})
    source = Fed(whole.path, tmp_path / "run", BATCHES, SOME, wait=0)
    result = follow(source, to, [asking], "here")
    assert not (result.losses.cause == CAUSE).any()
    whole_run = dxflow.execute(
        Planner(SOME, above={"ss": (2, 5)})(tmp_path / "run", None, chunk="3 trains"), "here", quiet=True
    )
    assert result.dataset.equals(whole_run.dataset)


def file(name, *trains):
    return File(name, np.array(trains), 0.0)


def test_files_that_a_version_had_and_trains_of_others_are_not_missed():
    missed, stream = Missed(), Stream("A")
    stream.files = {0: file("S0", 1, 2), 1: file("S1", 3, 4, 5), 2: None}
    assert missed.look([stream]) == []
    missed.ended(Ended("x.v1.zarr", 0, 3, frozenset(["S0"])))
    (found,) = missed.look([stream])
    assert (found.trains, found.first_train, found.last_train, found.file) == (1, 3, 3, "S1")
    assert missed.look([stream]) == []
    missed.ended(Ended("x.v2.zarr", 4, 9, frozenset(["S0", "S1"])))
    stream.files[2] = file("S2", 9, 10)
    assert [one.file for one in missed.look([stream])] == ["S2"]
    assert missed.trains == 2
