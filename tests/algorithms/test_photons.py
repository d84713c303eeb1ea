"""Photonise against numpy, pixel by pixel."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import images

import dxflow
from dxflow import Algorithm, From, Output
from dxflow.algorithms import _photon_kernels as kernels
from dxflow.algorithms.photons import Photonise
from dxflow.testing import check_algorithm


class Keep(Algorithm):
    """Stores the images that it reads."""

    ALG_ID = "keep"
    inputs = {"img": From("photons.img")}

    def outputs(self, info):
        return {"img": Output(per=("img", "pixel"), dtype="f4")}

    def process_module_data(self, block, out):
        out.img = block["img"]


def made(truth, **options):
    return dxflow.reduce(truth.path, [Photonise(**options), Keep()], cluster="here").dataset


def near(p, shape):
    """Return the pixels beside one, in the order above, left, right, below."""
    s, f = p
    beside = [(s - 1, f), (s, f - 1), (s, f + 1), (s + 1, f)]
    return [(a, b) for a, b in beside if 0 <= a < shape[0] and 0 <= b < shape[1]]


def shared(image, gain, threshold):
    """Return photons by the words of the documentation, with dictionaries."""
    x = image.astype("f8") / gain
    good = {tuple(p) for p in np.argwhere(np.isfinite(x))}
    whole = {p: np.floor(x[p]) if x[p] > 0 else 0.0 for p in good}
    rest = {p: x[p] - whole[p] for p in good}
    first = lambda p: (-rest[p], p)  # noqa: E731
    claims = {}
    for p in sorted(good):
        others = [q for q in near(p, x.shape) if q in good]
        if rest[p] <= 0 or any(first(q) < first(p) for q in others):
            continue
        best = min(others, key=first, default=None)
        if best is not None and rest[best] <= 0:
            best = None
        if rest[p] + (rest[best] if best else 0) >= threshold:
            partner = p if rest[p] >= threshold or best is None else best
            claims.setdefault(partner, []).append(p)
    out = np.full(x.shape, np.nan)
    for p in good:
        out[p] = whole[p]
    for rivals in claims.values():
        out[min(rivals, key=first)] += 1
    return out


def test_each_pixel_by_itself_is_rounded_and_nan_stays(holey):
    frames, data = images(holey), made(holey, gain=1.5)
    expected = np.maximum(np.floor(frames.astype("f8") / 1.5 + 0.5), 0)
    expected[np.isnan(frames)] = np.nan
    np.testing.assert_array_equal(data["keep.img"], expected)
    np.testing.assert_array_equal(data["photons.total"], np.nansum(expected, axis=(1, 2, 3)))
    np.testing.assert_array_equal(data["photons.pixels"], np.isfinite(frames).sum(axis=(1, 2, 3)))
    low = made(holey, gain=1.5, threshold=0.25)
    np.testing.assert_array_equal(low["keep.img"], np.maximum(np.floor(frames / 1.5 + 0.75), 0))


def test_photons_that_neighbours_share_are_counted_once(holey):
    frames, data = images(holey)[:4], made(holey, method="share", gain=1.3)
    for frame, found in zip(frames, data["keep.img"].values[:4], strict=True):
        for image, photons in zip(frame, found, strict=True):
            np.testing.assert_array_equal(photons, shared(image, 1.3, 0.9))


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 1.0))
@settings(max_examples=60, deadline=None)
def test_any_image_of_few_values_has_the_photons_of_the_words(seed, threshold):
    """Few different values: many ties."""
    random = np.random.default_rng(seed)
    shape = tuple(random.integers(1, 7, 2))
    image = random.choice([-0.5, 0, 0.25, 0.5, 0.75, 1.0, 1.25, 2.5, np.nan], shape).astype("f4")
    out = np.empty(shape, "f4")
    kernels.share(image, 1.0, threshold, np.empty(image.size), np.empty(image.size, np.int64), out)
    np.testing.assert_array_equal(out, shared(image, 1.0, threshold))


def test_a_photon_in_two_pixels_is_lost_by_rounding_and_found_with_its_neighbour():
    image = np.zeros((5, 5), "f4")
    image[2, 2:4] = 0.48, 0.47
    alone, both = np.empty((1, 25), "f4"), np.empty((5, 5), "f4")
    kernels.count(image.reshape(1, -1), 1.0, 0.5, alone)
    kernels.share(image, 1.0, 0.9, np.empty(25), np.empty(25, np.int64), both)
    assert alone.sum() == 0
    assert np.argwhere(both).tolist() == [[2, 2]]


def test_the_list_has_the_pixels_with_photons(holey):
    data = made(holey, sparse=True)
    expected = np.argwhere(np.nan_to_num(data["keep.img"].values) > 0)
    rows = data["photons.list"].values
    numbers = data["module"].values
    np.testing.assert_array_equal(rows[:, 0], numbers[expected[:, 1]])
    np.testing.assert_array_equal(rows[:, 1:3], expected[:, 2:])
    np.testing.assert_array_equal(rows[:, 3], data["keep.img"].values[tuple(expected.T)])


@pytest.mark.parametrize("method", ["round", "share"])
def test_it_follows_the_rules_of_algorithms(holey, method):
    check_algorithm(lambda: Photonise(method=method, sparse=True, images=False), holey.path)
    check_algorithm(lambda: [Photonise(method=method), Keep()], holey.path)


@pytest.mark.parametrize("options", [{"gain": 0}, {"threshold": 0}, {"threshold": 1.5}, {"gain": np.inf}])
def test_options_that_cannot_be_right_are_refused(options):
    with pytest.raises(ValueError, match="expected a number above 0"):
        Photonise(**options)
