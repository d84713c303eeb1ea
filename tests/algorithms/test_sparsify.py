"""Sparsify against numpy, and `dense` against the images that were listed."""

import numpy as np
import pytest
from readings import images

import dxflow
from dxflow import Frames, From, PlanError
from dxflow.algorithms.photons import Photonise
from dxflow.algorithms.sparsify import Sparsify, dense
from dxflow.testing import check_algorithm

BAD = np.random.default_rng(4).random((8, 16, 40)) < 0.2


def made(truth, *algorithms, **options):
    return dxflow.reduce(truth.path, list(algorithms), cluster="here", **options)


def test_pixels_above_the_threshold_are_listed_in_their_order(holey):
    result, frames = made(holey, Sparsify(threshold=1.2)), images(holey)
    data = result.dataset
    at = np.argwhere(frames > 1.2)
    np.testing.assert_array_equal(data["sparsify.pixels"], at[:, 1:])
    np.testing.assert_array_equal(data["sparsify.values"], frames[tuple(at.T)].astype("f4"))
    np.testing.assert_array_equal(data["sparsify.n"], (frames > 1.2).sum(axis=(1, 2, 3)))
    np.testing.assert_array_equal(dense(result), np.where(frames > 1.2, frames, 0))


def test_a_region_and_a_mask(holey):
    options = {"modules": [6, 1], "ss": (2, 9), "fs": (30, 40), "mask": BAD, "threshold": 0.5}
    result, frames = made(holey, Sparsify(**options)), images(holey)
    kept = np.zeros_like(frames)
    for module in (1, 6):
        cut = np.s_[:, module, 2:9, 30:40]
        kept[cut] = np.where(frames[cut] > 0.5, frames[cut], 0)
    kept[:, BAD] = 0
    np.testing.assert_array_equal(dense(result), kept)


def test_padded_lists_have_the_first_pixels_and_say_how_many_there_are(holey):
    frames = images(holey)
    most = int((frames > 1.2).sum(axis=(1, 2, 3)).max())
    result = made(holey, Sparsify(threshold=1.2, pad=most))
    np.testing.assert_array_equal(dense(result), np.where(frames > 1.2, frames, 0))
    few = made(holey, Sparsify(threshold=1.2, pad=3)).dataset
    np.testing.assert_array_equal(few["sparsify.n"], result.dataset["sparsify.n"])
    np.testing.assert_array_equal(few["sparsify.pixels"], result.dataset["sparsify.pixels"][:, :3])
    with pytest.raises(ValueError, match=rf"more than the 3 pixels that were kept, up to {most}"):
        dense(few)


def test_of_a_part_of_the_modules_places_are_those_in_the_module(holey):
    img = Frames(modules=[5, 2], roi=np.s_[4:12, 10:30])
    result = made(holey, Sparsify(threshold=1.2, img=img))
    pixels = result.dataset["sparsify.pixels"].values
    assert pixels.min(axis=0).tolist() >= [2, 4, 10]
    cut = images(holey)[:, result.dataset["sparsify.module_numbers"].values, 4:12, 10:30]
    np.testing.assert_array_equal(dense(result), np.where(cut > 1.2, cut, 0))


def test_photons_of_raw_data_and_frames_of_which_modules_lack(raw, broken):
    result = made(raw, Sparsify(threshold=4100))
    np.testing.assert_array_equal(dense(result), np.where(images(raw) > 4100, images(raw), 0))
    result = made(broken, Photonise(), Sparsify(img=From("photons.img")), on_fault="mask")
    photons = np.maximum(np.floor(images(broken).astype("f8") + 0.5), 0)
    numbers = result.dataset["sparsify.module_numbers"].values.tolist()
    found = dense(result)[:, [numbers.index(m) for m in broken.module_numbers]]
    there = ~np.isnan(found)
    np.testing.assert_array_equal(found[there], np.nan_to_num(photons)[there])


@pytest.mark.parametrize("pad", [None, 2500])
def test_images_of_each_variant(holey, pad):
    result, frames = made(holey, *Sparsify.variants(threshold=[1.2, 2.5], pad=[pad, pad])), images(holey)
    for name, threshold in (("sparsify_1", 1.2), ("sparsify_2", 2.5)):
        np.testing.assert_array_equal(dense(result, name), np.where(frames > threshold, frames, 0))
    with pytest.raises(ValueError, match="say which, dense.result, 'sparsify_1'."):
        dense(result)
    with pytest.raises(ValueError, match="no such output"):
        dense(result, "sparsify_3")


@pytest.mark.parametrize("pad", [None, 5])
def test_the_result_depends_neither_on_cuts_nor_on_company(tiny, pad):
    check_algorithm(lambda: Sparsify(threshold=1.2, pad=pad, mask=BAD), tiny.path, on_fault="mask")


def test_what_cannot_be_meant_is_refused(holey, camera):
    for options, says in (
        ({"pad": 0}, "pad=0; expected how many"),
        ({"threshold": np.nan}, "threshold=nan; expected a number"),
        ({"ss": (5, 5)}, "ss=.5, 5."),
    ):
        with pytest.raises(ValueError, match=says):
            Sparsify(**options)
    with pytest.raises(PlanError, match="ends outside"):
        dxflow.plan(holey.path, Sparsify(fs=(0, 41)))
    data = made(holey, Sparsify(threshold=1.2)).dataset
    with pytest.raises(ValueError, match="expected the whole result"):
        dense(data.isel(frame=slice(3)))
