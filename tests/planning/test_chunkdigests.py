"""What a chunk depends on that train ids decide: what is in its trains, and what is the same in all."""

import numpy as np
import pytest
import xarray as xr
from samples import RoiSum

import dxflow
from dxflow import Frames, FrameSelection, Labels


def digests(run, algorithm, **options):
    """Return the digest of each chunk by the number of its trains."""
    made = dxflow.plan(run.path, algorithm, chunk="4 trains", on_fault="mask", **options)
    return dict(zip(made.places, made.digests, strict=True))


def changed(before, after):
    assert before.keys() == after.keys()
    return {place for place, of in before.items() if after[place] != of}


@pytest.fixture(scope="module")
def before(run):
    return digests(run, RoiSum(ss=(0, 4)))


def test_equal_plans_have_equal_chunks_and_none_is_like_another(run, before):
    assert digests(run, RoiSum(ss=(0, 4)), readers=1) == before
    assert len(set(before.values())) == len(before) == 4


@pytest.mark.parametrize(
    ("algorithm", "options"),
    [
        (lambda: RoiSum(ss=(0, 5)), {}),
        (lambda: RoiSum(ss=(0, 4)), {"block": 5000}),
        (lambda: RoiSum(ss=(0, 4)), {"mask": None}),
        (lambda: RoiSum(ss=(0, 4), img=Frames(modules=range(15))), {}),
        (lambda: RoiSum(ss=(0, 4), name="other"), {}),
    ],
)
def test_what_all_trains_have_in_common_changes_all_chunks(run, before, algorithm, options):
    assert changed(before, digests(run, algorithm(), **options)) == set(before)


def test_a_frame_that_is_left_out_changes_the_chunk_of_its_train(run, before):
    trains, pulses = (a.ravel() for a in np.meshgrid(run.train_ids, run.pulse_ids[:6], indexing="ij"))
    keep = (trains != run.train_ids[6]) | (pulses != run.pulse_ids[3])
    array = xr.DataArray(keep, {"train_id": ("frame", trains), "pulse_id": ("frame", pulses)}, ("frame",))
    after = digests(run, RoiSum(ss=(0, 4)), frames=FrameSelection.of(array))
    assert changed(before, after) == {int(run.train_ids[6]) // 4}


@pytest.mark.parametrize("per", ["train", "frame"])
def test_a_label_that_is_another_changes_the_chunk_of_its_train(run, per):
    class Labelled(RoiSum):
        inputs = {"img": Frames(), "x": None}

    def labels(values):
        if per == "train":
            return Labels(values, train_ids=run.train_ids)
        return Labels(np.repeat(values, 6), train_ids=run.frame_train_ids, pulse_ids=run.pulse_ids)

    values = np.arange(12) % 2
    first = digests(run, Labelled(ss=(0, 4), x=labels(values)))
    values[[1, 6]] = values[[6, 1]]
    places = {int(run.train_ids[n]) // 4 for n in (1, 6)}
    assert changed(first, digests(run, Labelled(ss=(0, 4), x=labels(values)))) == places
