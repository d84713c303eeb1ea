"""Average against numpy in float64, exact fractions, and what was planted."""

import warnings
from fractions import Fraction

import numpy as np
import pytest
from readings import Whole, images, near, pixels, same

import dxflow
from dxflow import From, Partial, PlanError
from dxflow.algorithms import _average_kernels as kernels
from dxflow.algorithms.average import Average, divide_sums, stretches
from dxflow.algorithms.subtract import Subtract

PARTS = ("mean", "variance", "count")


def one_group(x):
    """Return all frames as one group."""
    return kernels.Sorted.by(np.zeros(len(x), int), 0)


def averaged(truth, *algorithms, **options):
    return dxflow.reduce(truth.path, list(algorithms or (Average(),)), cluster="here", **options).dataset


def expected(frames, ddof=1):
    """Return mean, variance, count over the first axis with numpy."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        mean, var = np.nanmean(frames, axis=0), np.nanvar(frames, axis=0, ddof=ddof)
    return mean, var, np.isfinite(frames).sum(axis=0)


def check(dataset, frames, name="average", rtol=1e-12, **options):
    for part, reference in zip(PARTS, expected(frames, **options), strict=True):
        near(dataset[f"{name}.{part}"], reference, rtol)


def exact(values, ddof=1):
    """Return mean and variance of integers, rounded once."""
    values = [Fraction(int(v)) for v in values]
    mean = sum(values) / len(values)
    return float(mean), float(sum((v - mean) ** 2 for v in values) / (len(values) - ddof))


def test_it_equals_numpy_in_float64_and_skips_nan(holey):
    check(averaged(holey), images(holey))


def test_ddof_0_is_what_numpy_does_by_default(holey):
    check(averaged(holey, Average(ddof=0)), images(holey), ddof=0)


@pytest.mark.parametrize(("per", "ids"), [("cell", "cell_ids"), ("pulse", "pulse_ids")])
def test_it_averages_per_memory_cell_and_per_pulse(holey, per, ids):
    data, frames, label = averaged(holey, Average(per=per)), images(holey), getattr(holey, ids)
    np.testing.assert_array_equal(data[per], np.unique(label))
    for slot, number in enumerate(np.unique(label)):
        for part, reference in zip(PARTS, expected(frames[label == number]), strict=True):
            near(data[f"average.{part}"][slot], reference, 1e-12)


def test_neighbouring_frames_of_one_cell_are_added_together():
    assert list(stretches(np.array([2, 2, 0, 1, 1]))) == [(2, 0, 2), (0, 2, 3), (1, 3, 5)]


def test_raw_data_are_exact(raw):
    frames = images(raw)
    data = averaged(raw)
    mean, variance = data["average.mean"].values, data["average.variance"].values
    assert (data["average.count"] == len(frames)).all()
    for at in np.ndindex(2, 4, 16):
        one_mean, one_variance = exact(frames[(slice(None), *at)])
        assert mean[at] == one_mean
        assert variance[at] == pytest.approx(one_variance, rel=4e-16, abs=0)


def test_raw_data_have_the_same_bits_whatever_the_chunks_and_blocks(raw):
    whole = averaged(raw, Average(per="cell"), Average(name="all"))
    same(averaged(raw, Average(per="cell"), Average(name="all"), chunk="3 kB", block="1 kB"), whole)


@pytest.mark.parametrize(
    "options", [{"chunk": "9 kB"}, {"block": "30 kB"}, {"chunk": "60 kB", "block": "5 kB"}]
)
def test_chunks_and_blocks_only_change_the_last_digits(holey, options):
    check(averaged(holey, Average(), **options), images(holey))


def test_whole_trains_give_the_same_as_module_blocks(holey):
    data = averaged(holey, Whole(), Average(), Average(per="cell", name="cells"))
    check(data, images(holey))
    cells = averaged(holey, Average(per="cell"))
    for part in PARTS:
        near(data[f"cells.{part}"], cells[f"average.{part}"], 1e-12)


def test_frames_that_modules_lack_are_not_counted(broken):
    data, frames = averaged(broken, on_fault="mask"), images(broken)
    there = data.sel(module=broken.module_numbers)
    check(there, frames)
    assert there["average.count"].sel(module=5).max() == 4 * 5
    assert (data["average.count"].sel(module=2) == 0).all()
    assert np.isnan(data["average.mean"].sel(module=2)).all()


def test_two_of_them_chain_after_a_subtraction(holey):
    frames = images(holey)
    dark = np.nan_to_num(frames.mean(axis=0), nan=1.0).astype("f4")
    chain = [Subtract(dark=dark), Average(img=From("subtract.img")), Average(name="plain")]
    data = averaged(holey, *chain)
    check(data, frames, "plain")
    check(data, (frames.astype("f4") - dark).astype("f8"))


def test_the_planted_mean_is_recovered(run):
    data = averaged(run)
    n, good = len(run.lit), ~run.bad_pixels
    error = np.sqrt((run.mean() + run.noise**2) / n)
    away = (data["average.mean"].values - run.mean()) / error
    assert np.abs(away[good]).max() < 6
    assert away[good].std() == pytest.approx(1, abs=0.1)


def test_a_camera_is_averaged_too(camera):
    key, frames = pixels(camera)
    data = averaged(camera, Average(img=key))
    check(data, frames[:, None].astype("f8"), rtol=1e-15)
    with pytest.raises(PlanError, match="has no cell ids"):
        dxflow.plan(camera.path, Average(img=key, per="cell"))


def test_large_means_lose_no_digits():
    x = np.random.default_rng(1).normal(1e8, 1, (41, 300))
    count, mean, squares = np.zeros(300, "i4"), np.zeros(300), np.zeros(300)
    kernels.add_floats(x, one_group(x), count, mean, squares)
    exact_mean = x.astype(np.longdouble).mean(axis=0)
    np.testing.assert_allclose(mean, exact_mean.astype("f8"), rtol=1e-15)
    reference = ((x - exact_mean) ** 2).sum(axis=0).astype("f8")
    np.testing.assert_allclose(squares, reference, rtol=1e-7)


def test_the_largest_integers_do_not_overflow():
    x = np.full((40, 300), 65535, "u2")
    x[::2] = 0
    count, total, squares = np.zeros(300, "i4"), np.zeros(300, "i8"), np.zeros(300, "i8")
    kernels.add_integers(x, one_group(x), count, total, squares)
    assert (total == 20 * 65535).all()
    assert (squares == 20 * 65535**2).all()
    assert (count == 40).all()


def test_negative_integers_are_exact():
    x = np.random.default_rng(1).integers(-32768, 32767, (19, 270), "i2")
    count, total, squares = np.zeros(270, "i4"), np.zeros(270, "i8"), np.zeros(270, "i8")
    kernels.add_integers(x, one_group(x), count, total, squares)
    np.testing.assert_array_equal(total, x.sum(axis=0, dtype="i8"))
    np.testing.assert_array_equal(squares, (x.astype("i8") ** 2).sum(axis=0))


def test_a_million_frames_of_large_integers_lose_no_digits():
    counts = np.array([[2**20, 1], [2**20 - 1, 2**20 + 5]])
    values = np.array([[60000, 60001], [65535, 65533]])
    n, total, square = counts.sum(axis=1), (counts * values).sum(axis=1), (counts * values**2).sum(axis=1)
    mean, squares = total.view("f8"), square.view("f8")
    divide_sums(n.astype("i4"), mean, squares)
    for at in range(2):
        k, v = [int(c) for c in counts[at]], [int(c) for c in values[at]]
        centre = Fraction(k[0] * v[0] + k[1] * v[1], sum(k))
        assert mean[at] == float(centre)
        assert squares[at] == float(sum(c * (w - centre) ** 2 for c, w in zip(k, v, strict=True)))


def state(random, n):
    count = random.integers(0, 3, n).astype("i4")
    return count, np.where(count, random.normal(size=n), 0.0), np.where(count, random.random(n), 0.0)


def test_merging_into_an_empty_partial_changes_no_bit():
    count, mean, squares = state(np.random.default_rng(2), 500)
    into = np.zeros(500, "i4"), np.zeros(500), np.zeros(500)
    kernels.merge_floats(*into, count, mean, squares)
    assert [a.tobytes() for a in into] == [a.tobytes() for a in (count, mean, squares)]
    kernels.merge_floats(*into, np.zeros(500, "i4"), np.zeros(500), np.zeros(500))
    assert [a.tobytes() for a in into] == [a.tobytes() for a in (count, mean, squares)]


def test_merged_pixels_are_those_of_the_formula_whatever_is_empty_or_infinite():
    random = np.random.default_rng(4)
    ours, theirs = state(random, 1003), state(random, 1003)
    ours[1][5], theirs[1][6], theirs[2][7], ours[2][8] = np.nan, np.inf, np.nan, -np.inf
    merged = [a.copy() for a in ours]
    kernels.merge_floats(*merged, *theirs)
    for p, (na, a, qa, nb, b, qb) in enumerate(zip(*ours, *theirs, strict=True)):
        n = na + nb
        if na and nb:
            a, qa = a + (b - a) * (nb / n), qa + qb + (b - a) ** 2 * na * nb / n
        elif nb:
            a, qa = b, qb
        np.testing.assert_allclose([x[p] for x in merged], [n, a, qa], rtol=1e-14)


@pytest.mark.parametrize("integers", [False, True])
def test_merged_partials_equal_one_pass(integers):
    random = np.random.default_rng(3)
    x = random.integers(0, 60000, (30, 4, 5)).astype("u2" if integers else "f4")
    average = Average()
    average._exact = integers
    parts = [partial(average, x[a:b]) for a, b in ((0, 7), (7, 7), (7, 30))]
    merged = partial(average, x[:0])
    for part in parts:
        average.merge(merged, part)
    average.finalize(merged)
    for name, reference in zip(PARTS, expected(x.astype("f8")), strict=True):
        near(merged[name], reference, 1e-12)


def partial(average, frames):
    shape = frames.shape[1:]
    out = Partial({"count": np.zeros(shape, "i4"), "mean": np.zeros(shape), "variance": np.zeros(shape)})
    average._groups = None
    average._add(frames.reshape(len(frames), out.count.size), None, np.zeros(len(frames), int), out)
    return out


def test_an_infinite_value_counts_and_makes_mean_and_variance_nan():
    x = np.ones((9, 2, 200), "f4")
    x[4, 0, 7] = np.inf
    average = Average()
    average._exact = False
    out = partial(average, x)
    average.finalize(out)
    assert out.count[0, 7] == 9
    assert np.isnan(out.mean[0, 7])
    assert np.isnan(out.variance[0, 7])
    assert np.isnan(out.mean).sum() == 1


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(TypeError, match="expected one of"):
        Average(per="train")
    with pytest.raises(ValueError, match="ddof=-1"):
        Average(ddof=-1)
