"""FrameSelection against list comprehensions over (train, pulse, cell)."""

import os

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import Bright

import dxflow
from dxflow import Frames, FrameSelection, Key, PlanError
from dxflow.algorithms.average import Average
from dxflow.algorithms.litframes import LitFrames
from dxflow.line.options import frames_of
from dxflow.run.index import align, plain
from dxflow.simulate import make_run

EXAMPLES = int(os.environ.get("DXFLOW_EXAMPLES", "60"))

TRAINS = np.arange(100, 104, dtype=np.uint64)
FRAMES = [(t, p, p // 2) for t in range(4) for p in (0, 2, 4, 7)]
LABELS = [(int(TRAINS[t]), p, c) for t, p, c in FRAMES]
INDEX = align(
    TRAINS, np.full((1, 4), 4), [np.array([f[1] for f in FRAMES])], [np.array([f[2] for f in FRAMES])]
)


def chosen(**parts):
    return FrameSelection(**parts).apply(INDEX).tolist()


def wanted(low, high):
    ids = st.none() | st.integers(max(low, 0), high) | st.sampled_from([2**40, 2**64 + 1])
    slices = st.builds(slice, ids, ids, st.none() | st.integers(1, 3))
    listed = st.lists(st.integers(max(low, 0), high), max_size=4)
    return st.none() | slices | listed | listed.map(lambda x: np.array(x, "u4")) | st.just(range(2, high))


def holds(value, which):
    if which is None:
        return True
    if not isinstance(which, slice):
        return value in list(which)
    return value in range(which.start or 0, value + 1 if which.stop is None else which.stop, which.step or 1)


@settings(max_examples=EXAMPLES)
@pytest.mark.properties
@given(wanted(98, 106), wanted(0, 9), wanted(0, 5))
def test_a_frame_is_selected_if_train_pulse_and_cell_all_agree(trains, pulses, cells):
    expected = [holds(t, trains) and holds(p, pulses) and holds(c, cells) for t, p, c in LABELS]
    assert chosen(trains=trains, pulses=pulses, cells=cells) == expected


RULES = st.one_of(
    wanted(98, 106).map(lambda w: ({"trains": w}, lambda t, p, c, row: holds(t, w))),
    wanted(0, 9).map(lambda w: ({"pulses": w}, lambda t, p, c, row: holds(p, w))),
    wanted(0, 5).map(lambda w: ({"cells": w}, lambda t, p, c, row: holds(c, w))),
    st.lists(st.booleans(), min_size=16, max_size=16).map(
        lambda m: ({"mask": np.array(m)}, lambda t, p, c, row: m[row])
    ),
    st.lists(st.tuples(st.integers(99, 105), st.integers(0, 2**17)), max_size=8).map(
        lambda x: (
            {"frames": tuple(np.array([f[n] for f in x], "i8") for n in range(2))},
            lambda t, p, c, row: (t, p) in x,
        )
    ),
)


@settings(max_examples=EXAMPLES)
@pytest.mark.properties
@given(st.lists(RULES, min_size=1, max_size=3))
def test_several_selections_must_all_agree(rules):
    expected = [all(rule(*label, row) for _, rule in rules) for row, label in enumerate(LABELS)]
    together = FrameSelection.of([FrameSelection(**parts) for parts, _ in rules])
    assert together.apply(INDEX).tolist() == expected
    (first, _), *others = rules
    nested = FrameSelection(**first, also=tuple(FrameSelection(**parts) for parts, _ in others))
    assert nested.apply(INDEX).tolist() == expected


@pytest.mark.parametrize(
    ("parts", "error", "says"),
    [
        (
            {"pulses": slice(-5, None)},
            ValueError,
            "pulses -5::: expected a range of ids, which are not negative",
        ),
        ({"trains": slice(None, -1)}, ValueError, "trains :-1:: expected a range of ids"),
        ({"trains": slice(None, None, 0)}, ValueError, "trains ::0: expected .* step of at least 1"),
        ({"cells": slice(9, 0, -1)}, ValueError, "cells 9:0:-1: expected"),
        ({"cells": slice(0, 2.5)}, TypeError, "cells 0:2.5:: expected whole numbers"),
        ({"cells": [3, -1]}, ValueError, r"cells \[3, -1\]: expected ids, which are not negative"),
        ({"pulses": [True, False]}, TypeError, "booleans, one per frame, are a mask="),
        ({"pulses": [1.5]}, TypeError, "a list of ids, got float64"),
        ({"trains": "10001"}, TypeError, "a list of ids, got <U5"),
        ({"frames": ([1, 2], [3])}, ValueError, "frames= has 2 int64 and 1 int64"),
        ({"frames": ([1], [-3])}, ValueError, "whole numbers from 0"),
        ({"entries": ([1.5], [3])}, ValueError, "entries= has 1 float64"),
    ],
)
def test_ids_that_no_frame_has_are_refused_with_what_is_expected(parts, error, says):
    with pytest.raises(error, match=says):
        FrameSelection(**parts)


def test_no_ids_select_nothing_and_one_id_is_a_list_of_one():
    assert not any(chosen(pulses=[]))
    assert chosen(pulses=4) == chosen(pulses=[4])


@pytest.mark.parametrize("pulse", [0, 65535, 65536, 65538, 2**24 - 1, 2**32, 2**40])
def test_pairs_of_train_and_pulse_are_not_mixed_up_whatever_the_ids(pulse):
    pulses = np.array([0, 65536, 2**24 - 1])
    index = align(TRAINS, np.array([[3, 0, 0, 0]]), [pulses], [None])
    keep = FrameSelection(frames=([100, 101], [pulse, 0])).apply(index)
    assert keep.tolist() == (pulses == pulse).tolist()


@given(st.lists(st.tuples(st.integers(99, 105), st.integers(0, 9)), max_size=8))
def test_exact_frames_are_found_by_train_and_pulse(pairs):
    frames = tuple(np.array([p[n] for p in pairs], "u8") for n in range(2))
    assert chosen(frames=frames) == [(t, p) in pairs for t, p, _ in LABELS]


def test_a_mask_selects_by_position_and_must_have_one_value_per_frame():
    mask = np.arange(16) % 3 == 0
    assert chosen(mask=mask) == mask.tolist()
    with pytest.raises(ValueError, match="15 was given, but there are 16 frames"):
        chosen(mask=mask[:15])


@settings(max_examples=EXAMPLES)
@pytest.mark.properties
@given(
    st.lists(st.tuples(st.integers(99, 105), st.integers(0, 9)), max_size=8), st.lists(st.integers(98, 106))
)
def test_frames_and_trains_that_are_named_and_not_there_are_known(pairs, trains):
    frames = tuple(np.array([p[n] for p in pairs], "u8") for n in range(2))
    there = {(t, p) for t, p, _ in LABELS}
    expected = [t for t, p in pairs if (t, p) not in there] + sorted({t for t in trains if t not in TRAINS})
    absent = FrameSelection(trains=trains, also=(FrameSelection(frames=frames),)).absent(INDEX)
    assert absent.tolist() == expected
    assert FrameSelection(trains=slice(0, 9), pulses=[77]).absent(INDEX).tolist() == []


def test_a_labelled_array_selects_where_it_is_true():
    coords = {"train_id": ("frame", [101, 103]), "pulse_id": ("frame", [2, 7])}
    array = xr.DataArray(np.array([True, False]), dims="frame", coords=coords)
    assert [f for f, k in zip(LABELS, FrameSelection.of(array).apply(INDEX), strict=True) if k] == [
        (101, 2, 1)
    ]


@pytest.mark.parametrize(
    ("frames", "error", "says"),
    [
        (np.arange(3), TypeError, "boolean array"),
        (np.ones((2, 2), bool), TypeError, "one value per frame"),
        ("pulses=0:32", TypeError, r"FrameSelection\(pulses=slice\(0, 32\)\)"),
        (xr.DataArray(np.arange(3)), TypeError, "compare it first"),
        (xr.DataArray(np.ones(3, bool)), KeyError, "train_id and pulse_id are needed"),
    ],
)
def test_what_selects_nothing_meaningful_is_refused_with_a_reason(frames, error, says):
    with pytest.raises(error, match=says):
        FrameSelection.of(frames)


def test_selecting_by_what_frames_do_not_have_says_what_they_have():
    with pytest.raises(ValueError, match=r"by cell_id, but these frames only have \['train_id'\]"):
        FrameSelection(cells=[1]).apply(plain(TRAINS, np.ones(4, int)))


def test_nothing_and_selections_pass_through():
    selection = FrameSelection(pulses=[1])
    assert FrameSelection.of(None) is None
    assert FrameSelection.of(selection) is selection


def test_frames_without_pulse_ids_are_selected_by_their_number_in_the_train():
    index = plain(TRAINS, np.array([2, 0, 3, 1]))
    labels = [(100, 0), (100, 1), (102, 0), (102, 1), (102, 2), (103, 0)]
    entries = [(100, 1), (102, 2), (101, 0), (103, 7)]
    keep = FrameSelection(entries=tuple(zip(*entries, strict=True))).apply(index)
    assert keep.tolist() == [label in entries for label in labels]
    # What was selected before keeps its numbers.
    again = FrameSelection(entries=([102], [2])).apply(index.select(keep))
    assert again.tolist() == [False, True]
    with pytest.raises(ValueError, match="these frames have pulse ids; select by these"):
        FrameSelection(entries=([1], [2])).apply(INDEX)


@pytest.mark.parametrize("dim", ["train", "frame"])
def test_a_value_per_train_selects_whole_trains(dim):
    coords = {"train": ("train", [100, 102])} if dim == "train" else {"train_id": ("frame", [100, 102])}
    array = xr.DataArray(np.array([False, True]), dims=dim, coords=coords)
    assert FrameSelection.of(array).apply(INDEX).tolist() == [t == 102 for t, _, _ in LABELS]


def test_labels_of_frames_that_are_not_the_first_of_a_result_are_found():
    coords = {"frame_2_train_id": ("frame_2", [100, 101]), "frame_2_pulse_id": ("frame_2", [4, 7])}
    array = xr.DataArray(np.array([True, True]), dims="frame_2", coords=coords)
    assert FrameSelection.of(array).apply(INDEX).tolist() == [
        (t, p) in ((100, 4), (101, 7)) for t, p, _ in LABELS
    ]


# Whatever stands for frames -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cameras(tmp_path_factory):
    """The truth of a run with a camera and a detector."""
    folder = tmp_path_factory.mktemp("cameras") / "r"
    options = {
        "trains": 8,
        "pulses": 4,
        "modules": 2,
        "module_shape": (8, 8),
        "devices": ("camera", "motor", "xgm"),
    }
    return make_run(folder, detector="AGIPD500K", **options)


def camera(truth):
    return Key(truth.devices["camera"] + ":daqOutput", "data.image.pixels")


def trains_of(truth, frames, *algorithms):
    made = dxflow.plan(truth.path, list(algorithms or (Average(img=camera(truth)),)), frames=frames)
    index = made.inputs[made.algorithms[-1].stream].index
    return index.labels(slice(0, len(index)))["train_id"].tolist()


def test_selected_trains_of_a_camera_are_all_that_is_read(cameras):
    import extra_data

    some = cameras.train_ids[[1, 4, 5]].tolist()
    result = dxflow.reduce(
        cameras.path, Average(img=camera(cameras)), cluster="here", frames=FrameSelection(trains=some)
    ).dataset
    run = extra_data.RunDirectory(cameras.path)
    images = run[camera(cameras).source, "data.image.pixels"].select_trains(extra_data.by_id[some]).ndarray()
    assert result["average.count"].values.max() == 3
    np.testing.assert_allclose(result["average.mean"].values[0], images.mean(axis=0))


def test_masks_and_results_select_frames_of_cameras(cameras):
    ids = cameras.train_ids
    mask = np.arange(8) % 3 == 1
    assert trains_of(cameras, mask) == ids[mask].tolist()
    lit = dxflow.reduce(cameras.path, LitFrames(img=camera(cameras), threshold=1, pixels=1), cluster="here")
    keep = lit.dataset["litframes.lit"].values
    assert trains_of(cameras, lit) == ids[keep].tolist() or not keep.any()
    assert trains_of(cameras, [lit.dataset["litframes.lit_pixels"] >= 0, mask]) == ids[mask].tolist()
    # A camera's choice of trains is one of a detector's, too.
    frames = trains_of(cameras, lit.dataset["litframes.lit_pixels"] >= 0, Average(img=Frames(modules=(0, 1))))
    assert frames == np.repeat(ids, 4).tolist()


def test_a_camera_beside_a_detector_is_selected_by_trains_and_refused_by_pulses(cameras):
    both = [Average(img=Frames(modules=(0, 1))), Average(name="camera", img=camera(cameras))]
    some = cameras.train_ids[2:4].tolist()
    assert trains_of(cameras, FrameSelection(trains=some), *both) == some
    with pytest.raises(
        PlanError, match=r"CAM.*pixels: frames: selection by pulse_id, but .*only have \['train_id'\]"
    ):
        trains_of(cameras, FrameSelection(pulses=[0, 4]), *both)


def test_keys_beside_frames_keep_all_their_trains(cameras):
    class Joined(Bright):
        inputs = {"img": camera(cameras), "motor": Key(cameras.devices["motor"], "actualPosition.value")}

    made = dxflow.plan(
        cameras.path, [Joined()], frames=FrameSelection(trains=cameras.train_ids[2:4].tolist())
    )
    assert [len(i.index) for i in made.inputs] == [2, 8]


class Mine:
    """An input of one's own: a key under another name."""

    def __init__(self, key):
        self.key = key

    def bind(self, run, trains, faults):
        return self.key.bind(run, trains, faults)


def test_inputs_of_ones_own_are_selected_as_keys_are(cameras):
    pulses = FrameSelection(pulses=np.unique(cameras.pulse_ids)[:1])
    beside = Bright(img=Frames(modules=(0, 1)))
    beside.inputs = {**beside.inputs, "x": Mine(camera(cameras))}
    made = dxflow.plan(cameras.path, beside, frames=pulses)
    assert [len(i.index) for i in made.inputs] == [8, 8]
    with pytest.raises(PlanError, match="selection by pulse_id"):
        dxflow.plan(cameras.path, Average(img=Mine(camera(cameras))), frames=pulses)


def test_a_jungfrau_is_selected_by_results_of_its_own_and_by_cells(tmp_path):
    truth = make_run(tmp_path / "j", detector="JUNGFRAU", trains=5, pulses=4, modules=2, module_shape=(8, 8))
    img = Frames(modules=(1, 2))
    bright = dxflow.reduce(truth.path, Bright(img=img, above=truth.intensity.mean()), cluster="here")
    keep = bright.dataset["bright.is_bright"].values
    labels = {"train_id", "entry_id", "cell_id", "modules_used"}
    assert set(bright.dataset["bright.is_bright"].coords) == labels
    made = dxflow.plan(truth.path, Average(img=img), frames=bright)
    index = made.inputs[0].index
    assert list(zip(index.labels(slice(0, len(index)))["train_id"], index.entry_ids, strict=True)) == [
        (truth.train_ids[row // 4], row % 4) for row in np.flatnonzero(keep)
    ]
    cells = dxflow.plan(truth.path, Average(img=img), frames=FrameSelection(cells=[1, 3])).inputs[0].index
    assert cells.cell_ids.tolist() == [1, 3] * 5
    with pytest.raises(
        PlanError, match=r"selection by pulse_id, but these frames only have \['cell_id', 'entry_id'"
    ):
        dxflow.plan(truth.path, Average(img=img), frames=FrameSelection(pulses=[0]))


def test_modules_that_are_none_or_twice_are_refused():
    for modules in ((), (3, 3)):
        with pytest.raises(ValueError, match="expected different module numbers, or None for all"):
            Frames(modules=modules)


@settings(max_examples=EXAMPLES)
@pytest.mark.properties
@given(wanted(98, 106), wanted(0, 9), wanted(0, 5), st.booleans())
def test_the_command_line_selects_what_python_selects(trains, pulses, cells, apart):
    def text(which):
        if isinstance(which, slice):
            parts = [which.start, which.stop, *([which.step] if which.step else [])]
            return ":".join("" if p is None else str(p) for p in parts)
        return ",".join(str(i) for i in which)

    rules = {"trains": trains, "pulses": pulses, "cells": cells}
    given_ = {name: which for name, which in rules.items() if which is not None and text(which)}
    # trains=98 is refused: it could be the first 98 of them.
    apart = apart or ("trains" in given_ and text(trains).isdigit())
    texts = [f"{name}={text(which)}" for name, which in given_.items() if not (apart and name == "trains")]
    selection = frames_of(texts, given_.get("trains") if apart else None)
    expected = chosen(**given_)
    assert (selection.apply(INDEX).tolist() if selection else [True] * 16) == expected


def test_ranges_given_twice_on_the_command_line_are_refused_and_results_together_must_agree(
    cameras, tmp_path
):
    with pytest.raises(ValueError, match="pulses are selected twice"):
        frames_of(["pulses=0:10", "pulses=20:30"])
    with pytest.raises(ValueError, match="trains ::0"):
        frames_of(["trains=::0"])
    made = []
    for above in (0.0, float(np.median(cameras.intensity))):
        one = Bright(img=Frames(modules=(0, 1)), above=above)
        made.append(dxflow.reduce(cameras.path, one, tmp_path / f"{above}.zarr", cluster="here"))
    both = frames_of([str(r.path) for r in made] + ["pulses=0:1"])
    index = dxflow.plan(cameras.path, Average(img=Frames(modules=(0, 1)))).inputs[0].index
    keep = np.logical_and.reduce([r.dataset["bright.is_bright"].values for r in made])
    assert both.apply(index).tolist() == (keep & (index.pulse_ids < 1)).tolist()


def test_a_result_of_two_selecting_algorithms_does_not_say_which_is_meant(cameras, tmp_path):
    img = Frames(modules=(0, 1))
    both = [Bright(img=img), LitFrames(img=img)]
    result = dxflow.reduce(cameras.path, both, tmp_path / "both.zarr", cluster="here")
    with pytest.raises(
        TypeError, match=r"several selections, bright.is_bright, litframes.lit: give one of them"
    ):
        dxflow.plan(cameras.path, Average(img=img), frames=result)
    one = dxflow.plan(cameras.path, Average(img=img), frames=result.dataset["bright.is_bright"])
    assert len(one.inputs[0].index) == int(result.dataset["bright.is_bright"].sum())


def test_selected_frames_and_trains_that_are_not_in_the_run_are_noted(cameras):
    img = Frames(modules=(0, 1))
    first, pulse = int(cameras.train_ids[0]), int(cameras.pulse_ids[0])
    named = FrameSelection(frames=([first, first, first + 900], [pulse, 4000, pulse]))
    result = dxflow.reduce(cameras.path, Average(img=img), cluster="here", frames=named)
    (row,) = result.losses.to_dict("records")
    assert (row["cause"], row["first_train"], row["last_train"]) == (
        "selected, not there",
        first,
        first + 900,
    )
    assert "2 of the selected frames or trains are not in this run" in row["detail"]
    trains = dxflow.plan(cameras.path, Average(img=img), frames=FrameSelection(trains=[first, first + 77]))
    assert [(loss.cause, loss.first_train) for loss in trains.losses] == [("selected, not there", first + 77)]
    fine = dxflow.plan(cameras.path, Average(img=img), frames=FrameSelection(trains=slice(first, 10**6)))
    assert not fine.losses
