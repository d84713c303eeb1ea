"""Deliberate gaps, as EXtra-data sees them."""

import numpy as np
import pytest
from extra_data import RunDirectory
from extra_data.components import AGIPD1M
from validator import problems

from dxflow.simulate import Plant, make_run

TINY = {"module_shape": (16, 16), "trains": 6, "pulses": 4, "modules": 2, "first_train": 100}


def counts(path, truth, module=0):
    return RunDirectory(path)[truth.sources[module], "image.data"].data_counts(labelled=False).tolist()


def test_missing_trains_are_in_no_file(tmp_path):
    truth = make_run(tmp_path, plant=Plant(missing_trains=(0, 4)), **TINY)
    assert RunDirectory(tmp_path).train_ids == truth.train_ids.tolist() == [101, 102, 103, 105]
    assert problems(tmp_path) == []


def test_missing_modules_have_no_source_and_no_place_in_the_truth(tmp_path):
    truth = make_run(tmp_path, plant=Plant(missing_modules=[0]), **TINY)
    detector = AGIPD1M(RunDirectory(tmp_path))
    assert sorted(detector.modno_to_source) == truth.module_numbers.tolist() == [1]
    assert truth.expected.shape[0] == truth.bad_pixels.shape[0] == len(truth.sources) == 1


def test_lost_trains_are_absent_from_one_module_only(tmp_path):
    truth = make_run(tmp_path, plant=Plant(lost_trains={1: [2, 3]}), **TINY)
    run = RunDirectory(tmp_path)
    assert run[truth.sources[1], "image.data"].train_ids == run.train_ids
    assert run[truth.sources[1]].drop_empty_trains("image").train_ids == [100, 101, 104, 105]
    assert truth.present[:, 1].tolist() == [True, True, False, False, True, True]
    assert truth.present[:, 0].all()
    files = [f for f in run.files if f.aggregator == "AGIPD01"]
    assert sum(len(f.train_ids) for f in files) == 4
    assert problems(tmp_path) == []


def test_silent_trains_stay_in_the_index_with_no_entries(tmp_path):
    truth = make_run(tmp_path, plant=Plant(silent_trains={0: [5]}), **TINY)
    assert counts(tmp_path, truth) == [4, 4, 4, 4, 4, 0]
    assert counts(tmp_path, truth, 1) == [4] * 6
    assert truth.present[:, 0].tolist() == [True] * 5 + [False]
    files = [f for f in RunDirectory(tmp_path).files if f.aggregator == "AGIPD00"]
    assert sum(len(f.train_ids) for f in files) == 6


@pytest.mark.parametrize("given", [[1, 2, 3, 4, 0, 2], lambda train: (1, 2, 3, 4, 0, 2)[train]])
def test_pulse_counts_differ_from_train_to_train(tmp_path, given):
    truth = make_run(tmp_path, plant=Plant(pulse_counts=given), **TINY)
    assert counts(tmp_path, truth) == truth.frame_counts.tolist() == [1, 2, 3, 4, 0, 2]
    assert len(truth.lit) == 12
    assert truth.cell_ids.tolist() == [0, 0, 1, 0, 1, 2, 0, 1, 2, 3, 0, 1]
    assert problems(tmp_path) == []


@pytest.mark.parametrize("name", ["AGIPD1M", "JUNGFRAU"])
def test_empty_trains_have_no_frames_of_any_module(tmp_path, name):
    truth = make_run(tmp_path, detector=name, plant=Plant(empty_trains=[1]), **TINY)
    for source in truth.sources:
        found = RunDirectory(tmp_path)[source, truth.key].data_counts(labelled=False)
        assert (found == 0).tolist() == [False, True, False, False, False, False]
    assert problems(tmp_path) == []


def test_sequence_gap_leaves_out_train_ids_between_files(tmp_path):
    truth = make_run(tmp_path, sequences=3, plant=Plant(sequence_gap=10), **TINY)
    assert truth.train_ids.tolist() == [100, 101, 112, 113, 124, 125]
    assert len(truth.train_ids) == len(truth.motor) == 6


def test_planted_gaps_are_in_the_stored_truth(tmp_path):
    truth = make_run(tmp_path, plant=Plant(missing_trains=[1], lost_trains={1: [3]}), **TINY)
    assert truth.planted["missing_trains"] == [1]
    assert truth.planted["lost_trains"] == {"1": [3]}


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (Plant(missing_trains=[6]), r"missing_trains \[6\] must be positions from 0 to 5"),
        (Plant(empty_trains=[-1]), "empty_trains"),
        (Plant(pulse_counts=[1, 2]), "6 numbers from 0 to 4"),
        (Plant(pulse_counts=[5] * 6), "raise pulses or lower"),
    ],
)
def test_impossible_gaps_are_refused(tmp_path, plant, message):
    with pytest.raises(ValueError, match=message):
        make_run(tmp_path, plant=plant, **TINY)


def test_jungfrau_cannot_have_pulse_counts(tmp_path):
    with pytest.raises(ValueError, match="no pulse_counts"):
        make_run(tmp_path, detector="JUNGFRAU", plant=Plant(pulse_counts=[4] * 6), **TINY)


def test_counts_are_all_pulses_by_default():
    assert np.array_equal(Plant().counts(3, 7), [7, 7, 7])
