"""The folder of fragments: what may be resumed, and what may not."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from samples import RoiSum, Stats

import dxflow
from dxflow import FrameSelection, PlanError, journal
from dxflow.fingerprint import plain


@pytest.fixture
def begun(run, tmp_path):
    """Return a function that plans, and one chunk that is finished already."""

    def plan(algorithm=None, **options):
        return dxflow.plan(
            run.path, algorithm or RoiSum(ss=(0, 4)), tmp_path / "x.zarr", block=500, **options
        )

    first = plan()
    (journal.begin(first) / "chunk-000000.npz").touch()
    return plan


def test_a_begun_run_is_not_thrown_away_unasked(begun):
    with pytest.raises(
        PlanError, match=r"holds 1 chunks of an interrupted run: resume=True .* overwrite=True"
    ):
        journal.begin(begun())


def test_overwriting_begins_afresh(begun):
    folder = journal.begin(begun(overwrite=True))
    assert sorted(p.name for p in folder.iterdir()) == ["plan.json"]


def test_the_same_run_is_resumed_with_its_chunks(begun):
    folder = begun().store.partial
    (folder / "attempts").mkdir()
    journal.begin(begun(resume=True))
    assert (folder / "chunk-000000.npz").exists()
    # What killed a worker is tried afresh.
    assert not (folder / "attempts").exists()


@pytest.mark.parametrize(
    ("other", "changed"),
    [
        ({"algorithm": RoiSum(ss=(0, 5))}, "algorithms"),
        ({"algorithm": Stats()}, "algorithms"),
        ({"algorithm": RoiSum(ss=(0, 4), name="other")}, "algorithms"),
        ({"frames": FrameSelection(pulses=[0])}, "selection"),
        ({"on_fault": "mask"}, "on_fault"),
    ],
)
def test_another_reduction_is_not_resumed_as_this_one(begun, other, changed):
    with pytest.raises(PlanError, match=f"differs in .*'{changed}'"):
        journal.begin(begun(resume=True, **other))


def test_changed_input_files_are_not_resumed(begun, run):
    file = sorted(Path(run.path).glob("CORR*.h5"))[0]
    stat = file.stat()
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    try:
        with pytest.raises(PlanError, match="differs in .*'files'"):
            journal.begin(begun(resume=True))
    finally:
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_other_chunks_are_not_resumed(begun):
    made = begun(resume=True)
    with pytest.raises(PlanError, match="differs in .*'chunks'"):
        journal.begin(replace(made, chunks=made.chunks[:-1]))


def test_an_unreadable_journal_is_not_resumed(begun):
    made = begun(resume=True)
    (made.store.partial / "plan.json").write_text("{")
    with pytest.raises(PlanError, match="whose plan.json is damaged, or of other origin: it is not replaced"):
        journal.begin(made)


def test_the_fingerprint_is_the_same_after_json_and_for_every_plan_of_the_same(begun):
    first, second = begun().fingerprint, begun().fingerprint
    assert json.loads(json.dumps(first)) == json.loads(json.dumps(second))
    assert {"numpy", "h5py", "zarr"} <= set(first["versions"])


def test_options_become_json_values_and_arrays_a_digest_of_their_content():
    assert plain([1, (2.5, None), "x"]) == [1, [2.5, None], "x"]
    one, other = np.arange(3), np.arange(3) + 1
    assert plain(one) == plain(one.copy()) != plain(other)
    assert plain(one) != plain(one.astype("f8"))
