"""Round: within the bound, to the bits of the reference, NaN and infinities left alone; fewer bytes when compressed."""

import math
import zlib
from fractions import Fraction

import numpy as np
import pytest
from extra_redu import errb_round
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import dxflow
from dxflow import Frames, From, PlanError
from dxflow.algorithms.average import Average
from dxflow.algorithms.rounding import Round, rounded
from dxflow.simulate import make_run
from dxflow.testing import check_algorithm

WIDTHS = {"f4": "u4", "f8": "u8"}


def done(values, absolute=None, relative=None):
    """Return rounded values and the errors that are said."""
    rows = np.ascontiguousarray(np.atleast_2d(values))
    out = np.full_like(rows, 77)
    errors = rounded(rows, absolute, relative, out)
    return out.reshape(np.shape(values)), errors


def exactly(x, absolute, relative, mantissa):
    """Return one value rounded with fractions of integers."""
    if not np.isfinite(x) or x == 0:
        return x
    value = Fraction(float(x))
    power = math.frexp(float(x))[1] - 1
    if relative is None:
        step = Fraction(2) ** math.floor(math.log2(2 * absolute))
    else:
        bits = next(n for n in range(60) if Fraction(1, 2 ** (n + 1)) <= Fraction(relative))
        step = Fraction(2) ** (power - min(bits, mantissa))
        if absolute is not None:
            step = max(step, Fraction(2) ** math.floor(math.log2(2 * absolute)))
    return float(round(value / step) * step)


bounds = st.tuples(st.none() | st.floats(1e-6, 1e6), st.none() | st.floats(1e-5, 0.5)).filter(
    lambda pair: pair != (None, None)
)


@pytest.mark.parametrize("dtype", WIDTHS)
@settings(deadline=None, max_examples=40)
@given(data=st.data(), bound=bounds)
def test_values_are_the_nearest_that_the_bound_allows(dtype, data, bound):
    normal = float(np.finfo(dtype).tiny)
    width = 8 * np.dtype(dtype).itemsize
    elements = st.floats(-(2.0**100), 2.0**100, width=width).filter(lambda x: x == 0 or abs(x) >= 2 * normal)
    values = data.draw(hnp.arrays(dtype, st.integers(1, 40), elements=elements))
    got, errors = done(values, *bound)
    mantissa = np.finfo(dtype).nmant
    want = [exactly(x, *bound, mantissa) for x in values]
    finite = np.abs(want) <= float(np.finfo(dtype).max)
    np.testing.assert_array_equal(got[finite], np.array(want, dtype)[finite])
    change = np.abs(got.astype("f8") - values)
    allowed = np.maximum(bound[0] or 0, (bound[1] or 0) * np.abs(values.astype("f8")))
    assert (change <= allowed * (1 + 1e-12)).all()
    assert errors[0] == pytest.approx(change.max(), rel=1e-6)


@pytest.mark.parametrize(
    ("absolute", "relative", "power", "bits"),
    [(0.5, None, 0, 23), (0.3, 2**-8, -1, 7), (None, 2**-6, -150, 5)],
)
def test_they_are_those_of_extra_redu(absolute, relative, power, bits):
    rng = np.random.default_rng(4)
    # Its shifts go wrong for values far below the step.
    values = rng.normal(size=4000).astype("f4") * 10 ** rng.uniform(-1, 6, 4000).astype("f4")
    values = values[np.abs(values) > 2.0 ** (power - 7)]
    got, _ = done(values, absolute, relative)
    np.testing.assert_array_equal(got, errb_round(values, bits, power))


@pytest.mark.parametrize("dtype", WIDTHS)
def test_what_is_no_number_stays_and_nothing_becomes_infinite(dtype):
    most, least = np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal
    values = np.array([np.nan, np.inf, -np.inf, most, -most, 0.0, -0.0, least], dtype)
    for how in ({"absolute": 0.1}, {"relative": 0.5}, {"absolute": 1e3, "relative": 0.5}, {"relative": 0.01}):
        got, errors = done(values, **how)
        assert np.isnan(got[0])
        assert got[1:3].tolist() == [np.inf, -np.inf]
        assert np.isfinite(got[3:]).all()
        assert errors[0] <= 0.5 * most
    bits = np.array([0x7FC12345, 0xFFC54321], "u4").view("f4")
    assert done(bits, absolute=1.0)[0].view("u4").tolist() == bits.view("u4").tolist()


@pytest.mark.parametrize("count", [1, 63, 64, 65, 4095, 4097])
@pytest.mark.parametrize("bound", [(0.3, None), (None, 2**-6), (0.3, 2**-6)])
def test_the_largest_change_is_that_of_any_value_wherever_it_is(bound, count):
    values = np.random.default_rng(count).normal(0, 50, (3, count)).astype("f4")
    values[1, ::7] = np.nan
    got, errors = done(values, *bound)
    change = np.nan_to_num(np.abs(got - values))
    np.testing.assert_allclose(errors, change.max(axis=1), rtol=1e-6)


def test_rounding_again_changes_nothing():
    values = np.random.default_rng(1).normal(size=(3, 5000)).astype("f4")
    once, errors = done(values, 0.05, 2**-7)
    twice, none = done(once, 0.05, 2**-7)
    assert once.tobytes() == twice.tobytes()
    assert errors.max() <= 0.05
    assert none.max() == 0


def test_rounded_noise_is_compressed_to_a_fraction():
    values = np.random.default_rng(2).normal(0, 0.3, 65536).astype("f4")
    got, _ = done(values, absolute=0.125)

    def size(x):
        return len(zlib.compress(np.ascontiguousarray(x.view("u1").reshape(-1, 4).T).tobytes(), 1))

    assert size(got) < size(values) / 3


@pytest.fixture(scope="module")
def noisy(tmp_path_factory):
    return make_run(
        tmp_path_factory.mktemp("noisy") / "r0001", trains=4, pulses=5, modules=2, module_shape=(8, 8)
    )


def test_an_average_of_rounded_frames_is_within_the_bound_and_says_the_largest_change(noisy):
    img = Frames("image.data", modules=(0, 1))
    chain = [Round(img=img, absolute=0.25), Average(img=From("rounding.img")), Average(name="plain", img=img)]
    data = dxflow.reduce(noisy.path, chain, cluster="here").dataset
    difference = np.abs(data["average.mean"] - data["plain.mean"])
    assert 0 < float(difference.max()) <= 0.25
    assert 0.1 < float(data["rounding.error"].max()) <= 0.25
    assert "rounding.img" not in data


def test_images_are_kept_where_that_is_asked_for_and_bad_pixels_are_nan(noisy):
    img = Frames("image.data", modules=(0, 1))
    result = check_algorithm(lambda: Round(img=img, relative=2**-9, store=True), noisy.path)
    kept = result.dataset["rounding.img"].values
    mask = dxflow.reduce(noisy.path, Average(img=img), cluster="here").dataset["average.count"].values
    assert np.isnan(kept).sum() == (20 - mask).sum()
    assert kept.dtype == np.float32
    assert not (kept[np.isfinite(kept)].view("u4") & 0x7FFF).any()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "expected absolute= or relative="),
        ({"absolute": 0}, "absolute=0"),
        ({"absolute": math.nan}, "absolute=nan"),
        ({"absolute": math.inf}, "absolute=inf"),
        ({"relative": 0.7}, "at most 0.5"),
        ({"relative": -1}, "relative=-1"),
    ],
)
def test_bounds_that_are_none_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        Round(**options)


def test_integers_are_refused(noisy):
    with pytest.raises(PlanError, match="expected float32 or float64"):
        dxflow.plan(noisy.path, Round(absolute=1, img=Frames("image.gain", modules=(0, 1))), cluster="here")
