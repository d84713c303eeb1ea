import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dxflow
from dxflow import Algorithm, Frames, Key, Labels, Output, PlanError
from dxflow.declare.steps import Bins, Steps, stretches
from dxflow.run.joined import Joined, Labelled
from dxflow.simulate import Scan, make_run


class Kept(Algorithm):
    """Keeps the label of each train."""

    ALG_ID = "kept"
    inputs = {"img": Frames(modules=(0, 1)), "x": None}

    def outputs(self, info):
        return {"x": Output(per="train"), "has": Output(per="train", dtype="?")}

    def process_train_data(self, train, out):
        out.x = train["x"]
        out.has = np.all(train.valid("x"))


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scan") / "r"
    options = {"trains": 24, "pulses": 2, "module_shape": (4, 4), "modules": 2, "devices": ("motor",)}
    return make_run(folder, scan=Scan(1.0, 2.0, 3), **options)


def stepped(x, ids=None, there=None, **options):
    """Return the steps of values per train: positions, NaN where there is none, and what is said."""
    x = np.asarray(x, float)
    ids = np.arange(len(x)) + 100 if ids is None else ids
    there = ~np.isnan(x) if there is None else there
    found, said = Steps(**options).of(Labelled(x, there, {"train_id": np.asarray(ids, np.uint64)}))
    np.testing.assert_array_equal(found.there, ~np.isnan(found.values))
    return found.values, said


def test_steps_with_noise_and_slow_moves():
    rng = np.random.default_rng(0)
    rests = np.repeat([1.0, 2.0, 1.0, 3.0], 10)
    x = np.concatenate(
        [
            np.r_[rests[n : n + 10], np.linspace(rests[n], rests[min(n + 10, 39)], 5)[1:-1]]
            for n in (0, 10, 20, 30)
        ]
    )[:49]
    x += rng.normal(scale=0.01, size=len(x))
    values, said = stepped(x, tolerance=0.1, settle=2, least=4)
    at = np.concatenate([np.r_[[k] * 10, [-1] * 3] for k in range(4)])[:49]
    for k in (1, 2, 3):
        at[np.flatnonzero(at == k)[:2]] = -1
    np.testing.assert_array_equal(np.isnan(values), at < 0)
    for position, steps in ((1.0, (0, 2)), (2.0, (1,)), (3.0, (3,))):
        inside = np.isin(at, steps)
        np.testing.assert_allclose(values[inside], x[inside].mean(), rtol=1e-12)
        assert abs(x[inside].mean() - position) < 0.02
    assert said.startswith("4 steps at 3 positions in 34 of 49 trains; left out: 6 settling, 9 in moves")


def test_equal_values_are_their_position_to_the_last_digit():
    values, _ = stepped(np.repeat([0.1, 0.7, 0.1], 7), tolerance=0.0)
    assert values.tolist() == [0.1] * 7 + [0.7] * 7 + [0.1] * 7


def test_positions_are_rounded_if_that_is_asked():
    values, _ = stepped([0.98, 1.03, 1.01, 2.02, 1.97, 2.01], tolerance=0.1, to=0.5)
    assert values.tolist() == [1, 1, 1, 2, 2, 2]


def test_missing_trains_and_values_end_no_step_and_settling_counts_train_ids():
    x = [1, 1, np.nan, 1, 5, 5, 5, 5]
    values, said = stepped(x, ids=[1, 2, 3, 4, 5, 9, 10, 11], tolerance=0, settle=2, least=3)
    np.testing.assert_array_equal(values, [1, 1, np.nan, 1, np.nan, 5, 5, 5])
    assert "1 settling" in said
    order = [3, 0, 7, 1, 2, 5, 6, 4]
    again, _ = stepped(
        np.array(x)[order], ids=np.array([1, 2, 3, 4, 5, 9, 10, 11])[order], tolerance=0, settle=2, least=3
    )
    np.testing.assert_array_equal(again, values[order])


def test_infinite_values_are_no_position():
    values, _ = stepped([1, 1, np.inf, 1, -np.inf, 2, 2], there=np.ones(7, bool), tolerance=0.1)
    np.testing.assert_array_equal(values, [1, 1, np.nan, 1, np.nan, 2, 2])
    values, said = binned([1.0, np.inf, 3, -np.inf], 2, there=np.ones(4, bool))
    np.testing.assert_array_equal(values, [1.5, np.nan, 2.5, np.nan])
    assert "2 outside" in said


def test_steps_that_are_lost_to_settling_are_counted_as_that():
    _, said = stepped(np.repeat([1.0, 2, 3, 4], 6), tolerance=0.1, settle=10)
    assert "1 steps at 1 positions in 6 of 24 trains; left out: 18 settling, 0 in moves" in said


def test_values_outside_of_all_bins_are_refused():
    with pytest.raises(ValueError, match="no value is in a bin: edges are 5, 6, 7, values from 0 to 1"):
        binned([0.0, 1, 0.5], [5, 6, 7])


def test_no_step_is_said():
    with pytest.raises(ValueError, match="no steps: no 2 trains are within 0.1 of each other"):
        stepped(np.arange(5), tolerance=0.1)
    with pytest.raises(ValueError, match="after 5 to settle"):
        stepped([1, 2, 2], tolerance=0.1, settle=5, least=2)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tolerance": -1}, "tolerance=-1: expected a number from 0"),
        ({"tolerance": "a"}, "tolerance='a'"),
        ({"tolerance": 1, "settle": 0.5}, "settle=0.5: expected a whole number"),
        ({"tolerance": 1, "to": 0}, "to=0: expected a number above 0"),
    ],
)
def test_strange_options_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        Labels(Key("A", "b")).steps(**options)


def longest_first(x, tolerance, first=0):
    """The same rule, tried stretch by stretch."""
    n = len(x)
    if not n:
        return []
    spans = [(b - a, -a) for a in range(n) for b in range(a + 1, n + 1) if np.ptp(x[a:b]) <= tolerance]
    length, a = max(spans)
    a = -a
    return [
        *longest_first(x[:a], tolerance, first),
        (first + a, first + a + length),
        *longest_first(x[a + length :], tolerance, first + a + length),
    ]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 6), max_size=14), st.integers(0, 3))
def test_stretches_are_the_longest_that_there_are(x, tolerance):
    assert stretches(np.array(x, float), tolerance) == longest_first(np.array(x, float), tolerance)


def test_long_runs_take_no_time():
    x = np.repeat(np.arange(500.0), 200) + np.random.default_rng(0).normal(scale=0.01, size=100_000)
    values, said = stepped(x, tolerance=0.2)
    assert "500 steps at 500 positions" in said
    np.testing.assert_allclose(values, np.repeat(np.arange(500.0), 200), atol=0.01)


# Bins --------------------------------------------------------------------------------------------


def binned(x, *args, there=None):
    x = np.asarray(x)
    there = np.isfinite(x) if there is None else there
    found, said = Bins(*args).of(Joined(x, there, ("train_id",)))
    return np.where(found.there, found.values, np.nan), said


def test_bins_are_half_open_and_the_last_one_is_closed():
    values, said = binned([-0.1, 0, 0.5, 1, 2.9, 3, 3.1, np.nan], (0, 1, 3))
    np.testing.assert_array_equal(values, [np.nan, 0.5, 0.5, 2, 2, 2, np.nan, np.nan])
    assert said == "2 bins with edges 0, 1, 3; 2 outside"


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30), st.integers(1, 6))
def test_equal_bins_are_those_of_numpy(x, n):
    x = np.array(x)
    if np.ptp(x) < 1e-6:
        return
    edges = np.linspace(x.min(), x.max(), n + 1)
    values, _ = binned(x, n)
    middles = (edges[1:] + edges[:-1]) / 2
    counts = [int(np.isclose(values, m, rtol=1e-9, atol=1e-12).sum()) for m in middles]
    assert counts == np.histogram(x, edges)[0].tolist()


def test_quantiles_hold_equally_many():
    x = np.random.default_rng(0).exponential(size=1000)
    values, _ = binned(x, 4, True)
    assert np.unique(values, return_counts=True)[1].tolist() == [250] * 4


def test_bins_of_one_value_and_of_none():
    assert np.isfinite(binned([2.0, 2.0], 3)[0]).all()
    assert np.isnan(binned([np.nan, np.nan], 3)[0]).all()


@pytest.mark.parametrize("edges", [0, -1, [1], [1, 1], [2, 1], "a", [np.nan, 1], 1.5])
def test_strange_edges_are_refused(edges):
    with pytest.raises(ValueError, match="expected a number of bins from 1, or their edges"):
        Labels(Key("A", "b")).bins(edges)


def test_quantiles_have_no_edges():
    with pytest.raises(ValueError, match="takes a number of bins"):
        Labels(Key("A", "b")).bins([1, 2], quantiles=True)


# In a plan ---------------------------------------------------------------------------------------


def position(truth):
    return Labels(Key(truth.devices["motor"], "actualPosition"))


def test_steps_and_bins_of_a_motor(scan):
    steps = position(scan).steps(0.01, settle=3)
    found = dxflow.reduce(scan.path, Kept(x=steps), cluster="here").dataset
    expected = np.where((np.arange(24) % 8 < 3) & (np.arange(24) >= 8), np.nan, scan.motor)
    np.testing.assert_allclose(found["kept.x"], expected)
    np.testing.assert_array_equal(found["kept.has"], ~np.isnan(expected))
    said = "18 of 24 trains have a value (3 steps at 3 positions in 18 of 24 trains; left out: 6 settling, 0 in moves"
    assert said in found.attrs["kept.reads"]
    found = dxflow.reduce(scan.path, Kept(x=position(scan).bins([1, 1.5, 1.9])), cluster="here").dataset
    np.testing.assert_allclose(found["kept.x"], np.repeat([1.25, 1.7, np.nan], 8))
    assert "2 bins with edges 1, 1.5, 1.9; 8 outside" in found.attrs["kept.reads"]


def test_what_has_no_steps_is_refused_when_planning(scan):
    cases = {
        "steps are of values per train, bins of any": Labels.pattern([1.0, 2.0]).steps(0.1),
        "is <U3; steps and bins are of numbers": Labels.pattern(["on", "off"]).bins(3),
        "no steps: no 50 trains": position(scan).steps(0.1, least=50),
    }
    for words, labels in cases.items():
        with pytest.raises(PlanError, match=f"kept: input 'x': Labels.*{words}"):
            dxflow.plan(scan.path, Kept(x=labels))
    with pytest.raises(ValueError, match=r"Labels\(.*\).steps\(tolerance=0.1.*\) are cut already"):
        position(scan).steps(0.1).bins(3)


def test_other_steps_make_another_result(scan):
    plans = [dxflow.plan(scan.path, Kept(x=position(scan).steps(0.01, settle=n))) for n in (3, 3, 4)]
    assert plans[0].digest == plans[1].digest != plans[2].digest
