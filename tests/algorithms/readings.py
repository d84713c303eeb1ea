"""What tests of algorithms read their runs with."""

import numpy as np
import oracle
from extra_data import RunDirectory

from dxflow import Algorithm, Frames, Key, Output


class Whole(Algorithm):
    """Works on whole trains: makes a pass assemble them."""

    ALG_ID = "whole"
    inputs = {"img": Frames()}

    def outputs(self, info):
        return {"frames": Output(per="train")}

    def process_train_data(self, train, out):
        out.frames = len(train["img"])


def images(truth):
    """Return all frames in f8, (frame, module, ss, fs), NaN where a module lacks them or they are marked as bad.

    Of raw data the first plane.
    """
    found = oracle.frames(truth.path, truth.sources, truth.key)[1]
    return found[:, :, 0] if found.ndim == 5 else found


def pixels(truth):
    """Return the input that a run's camera is, and its images, (frame, y, x)."""
    key = truth.devices["camera"] + ":daqOutput", "data.image.pixels"
    return Key(*key), RunDirectory(truth.path)[key].ndarray()


def same(a, b):
    """Compare the bits of two datasets."""
    assert set(a.variables) == set(b.variables), set(a.variables) ^ set(b.variables)
    for name in a.variables:
        assert np.asarray(a[name]).tobytes() == np.asarray(b[name]).tobytes(), name


def near(found, expected, rtol=1e-12, atol=1e-14):
    """Compare arrays to the precision of float64 sums: means may be near 0. NaN is equal to NaN."""
    np.testing.assert_allclose(np.asarray(found, "f8"), expected, rtol=rtol, atol=atol, equal_nan=True)
