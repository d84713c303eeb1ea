"""PhotonStatistics against numpy, and against the Poisson law of a flat image."""

from math import exp, factorial

import numpy as np
import pytest
from campaign import photons
from readings import images, near
from runs import make_run

import dxflow
from dxflow import Frames, PlanError
from dxflow.algorithms.photons import Photonise
from dxflow.algorithms.photonstats import PhotonStatistics
from dxflow.simulate import Flat
from dxflow.testing import check_algorithm


def test_counts_are_those_of_numpy(holey):
    frames = images(holey)
    labels = np.random.default_rng(2).choice([0, 2, 5], frames.shape[1:])
    chain = [Photonise(), PhotonStatistics(labels=labels, most=3)]
    data = dxflow.reduce(holey.path, chain, cluster="here").dataset
    counted = np.maximum(np.floor(frames + 0.5), 0)
    for q, label in enumerate((2, 5)):
        some = counted[:, labels == label]
        counts = np.stack([*((some == k).sum(axis=1) for k in range(4)), (some > 3).sum(axis=1)], axis=-1)
        np.testing.assert_array_equal(data["photonstats.counts"][:, q], counts)
        np.testing.assert_array_equal(data["photonstats.total"][q], counts.sum(axis=0))
        near(data["photonstats.probability"][q], counts.sum(axis=0) / counts.sum())
        near(data["photonstats.mean"][:, q], np.nanmean(some, axis=1))
    assert data["q"].values.tolist() == [2, 5]
    assert data["k"].values.tolist() == [0, 1, 2, 3, 4]


def test_a_flat_image_is_poissonian(tmp_path):
    size = {"detector": "AGIPD500K", "trains": 6, "pulses": 10, "module_shape": (32, 32)}
    truth = make_run(tmp_path / "r0001", signal=Flat(0.8), noise=0.05, energy_spread=0, bad_pixels=0, **size)
    chain = [Photonise(), PhotonStatistics(labels=np.ones((8, 32, 32), int), most=4)]
    data = dxflow.reduce(truth.path, chain, cluster="here").dataset
    n = 60 * 8 * 32 * 32
    for k in range(5):
        p = exp(-0.8) * 0.8**k / factorial(k)
        found = float(data["photonstats.probability"][0, k])
        assert abs(found - p) < 4 * np.sqrt(p * (1 - p) / n)


def test_a_region_without_a_good_pixel_is_nan(holey):
    labels = np.zeros((8, 16, 40), int)
    labels[:, 3, 5:9], labels[:, 8] = 1, 2
    data = dxflow.reduce(holey.path, PhotonStatistics(labels=labels, img=Frames()), cluster="here").dataset
    assert np.isnan(data["photonstats.probability"][0]).all()
    assert np.isnan(data["photonstats.mean"][:, 0]).all()
    assert not np.isnan(data["photonstats.probability"][1]).any()


def test_it_follows_the_rules_of_algorithms(holey):
    labels = np.ones((8, 16, 40), int)
    check_algorithm(lambda: [Photonise(), PhotonStatistics(labels=labels)], holey.path)


def test_what_cannot_be_right_is_refused(holey):
    with pytest.raises(ValueError, match="most=0"):
        PhotonStatistics(labels=np.ones((8, 16, 40), int), most=0)
    with pytest.raises(ValueError, match="expected one of labels="):
        PhotonStatistics()
    with pytest.raises(PlanError, match="labels"):
        dxflow.plan(holey.path, [Photonise(), PhotonStatistics(labels=np.ones((3, 4), int))])


def test_a_geometry_beside_the_run_is_what_bins_of_q_depend_on(holey):
    found = dxflow.plan(
        holey.path, PhotonStatistics(q=[0.5, 1.0, 2.0], energy=9.3, distance=0.2, img=Frames())
    )
    (facts,) = found.fingerprint["algorithms"]
    assert "geometry" in facts["depends"]


def test_planted_photons_are_counted_within_their_errors():
    """Four runs: the campaign has 200."""
    for what, off in photons.gathered(range(4)).items():
        assert np.abs(off).max() < 4, what
        assert abs(off.mean()) <= photons.FAR.get(what, 4), what
        assert abs(off.mean()) < 3 / np.sqrt(len(off)), what
