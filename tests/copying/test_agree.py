"""Lit frames by timing against those by intensity."""

import numpy as np
import pytest

import dxflow
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.litfrm import LitFrameFinder
from dxflow.copying import agreement
from dxflow.copying.agree import compare
from dxflow.copying.patterns import Grid, Patterns
from dxflow.simulate import Plant, make_run


def planted(seed=0, trains=12, frames=30):
    lit = np.random.default_rng(seed).random((2, frames)) < 0.4
    which = np.arange(trains) % 2
    ids = np.arange(50, 50 + trains, dtype=np.uint64)
    pulses = lit[which].astype(int)
    return Patterns("x", ids, np.full(trains, frames), pulses, pulses > 0)


def moved(values, by):
    out = np.zeros_like(values)
    for frame in range(values.shape[1]):
        if 0 <= frame - by < values.shape[1]:
            out[:, frame] = values[:, frame - by]
    return out


def test_what_agrees_agrees():
    patterns = planted()
    found = compare(patterns, Grid(patterns.train_ids, patterns.has_data, np.ones((12, 30), bool)))
    assert found.share == 0
    assert not found.shift.any()
    assert found.table["trains"].tolist() == [6, 6]


@pytest.mark.parametrize("by", [-3, 1, 7])
def test_a_shift_is_found_for_the_stretch_of_trains_that_has_it(by):
    patterns = planted()
    seen = patterns.has_data.copy()
    seen[6:] = moved(seen[6:], by)
    found = compare(patterns, Grid(patterns.train_ids, seen, np.ones((12, 30), bool)))
    rows = found.table.to_dict("records")
    assert [(r["pattern"], r["first_train"], r["last_train"], r["shift"]) for r in rows] == [
        (0, 50, 54, 0),
        (0, 56, 60, by),
        (1, 51, 55, 0),
        (1, 57, 61, by),
    ]
    differ = (seen != patterns.has_data).mean()
    assert found.share == pytest.approx(differ)
    assert [r["after_shift"] for r in rows] == [0, 0, 0, 0]
    assert f"shifted by {by:+d} frames 0.00% would" in str(found)


def test_a_train_without_light_is_no_shift():
    patterns = planted()
    seen = patterns.has_data.copy()
    seen[4] = False
    found = compare(patterns, Grid(patterns.train_ids, seen, np.ones((12, 30), bool)))
    assert not found.shift.any()
    assert found.table["dark"].sum() == 1
    assert "none of them is lit by intensity: a closed shutter" in str(found)


def test_frames_that_one_of_both_does_not_know_are_not_compared():
    patterns = planted()
    there = np.ones((12, 30), bool)
    there[:, :10] = False
    wrong = patterns.has_data.copy()
    wrong[:, :10] ^= True
    found = compare(patterns, Grid(patterns.train_ids[3:], wrong[3:], there[3:]))
    assert (found.share, found.compared.sum(), len(found.train_ids)) == (0, 9 * 20, 9)


def test_noise_is_no_shift():
    patterns = planted()
    seen = np.random.default_rng(1).random((12, 30)) < 0.4
    found = compare(patterns, Grid(patterns.train_ids, seen, np.ones((12, 30), bool)))
    assert found.share > 0.3
    assert not found.shift.any()


def test_results_of_a_run_whose_pattern_is_shifted_say_by_how_much(tmp_path):
    lit = np.random.default_rng(3).random(12) < 0.5
    lit[:2] = False, True
    plant = Plant(missing_trains=(2,))
    options = {"trains": 6, "pulses": 12, "module_shape": (16, 16), "detector": "AGIPD500K", "plant": plant}
    truth = make_run(tmp_path / "r", lit=lit, **options)
    intensity = dxflow.reduce(truth.path, LitFrames(), cluster="here")
    good = agreement(dxflow.reduce(truth.path, LitFrameFinder(), cluster="here"), intensity)
    assert (good.share, len(good.train_ids)) == (0, 5)
    late = agreement(dxflow.reduce(truth.path, LitFrameFinder(reference_frame=3), cluster="here"), intensity)
    assert late.share > 0.2
    assert late.table["shift"].tolist() == [-2]
