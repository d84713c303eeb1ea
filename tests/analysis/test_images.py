"""Images of cubes against numpy in float64, from the rows of a table to the frames that are read."""

import numpy as np
import oracle
import pytest
import xarray as xr
from runs import make_run

from dxflow import Frames
from dxflow.analysis.images import Placed, images_of
from dxflow.analysis.tables import Table


def table_of(truth):
    """Return a table with the values of pulses and trains of a simulated run."""
    data = {
        "xgm": ("pulse", truth.energy.astype(float), {"units": "uJ"}),
        "lit": ("pulse", truth.lit),
        "motor": ("train", truth.motor),
    }
    coords = {
        "train_id": ("pulse", truth.frame_train_ids),
        "pulse_id": ("pulse", truth.pulse_ids),
        "train": truth.train_ids,
    }
    return Table(xr.Dataset(data, coords, {"run": str(truth.path), "rows": "frames"}))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "r0001"
    return make_run(folder, detector="AGIPD500K", trains=9, pulses=6, module_shape=(4, 16), lit=0.5)


@pytest.fixture(scope="module")
def frames(run):
    """All frames in float64, NaN where pixels are bad."""
    return oracle.frames(run.path, run.sources, run.key)[1]


def expected(frames, bins, count):
    out = np.full((3, count, *frames.shape[1:]), np.nan)
    for k in range(count):
        own = frames[bins == k]
        n = np.isfinite(own).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.nansum(own, axis=0) / n
            squares = np.nansum((own - mean) ** 2, axis=0)
            out[:, k] = mean, np.sqrt(squares / (n * (n - 1.0))), n
    return out


def close(found, frames, bins, count):
    for part, reference in zip(("mean", "sem", "count"), expected(frames, bins, count), strict=True):
        values = found[f"image_{part}"].values.reshape(reference.shape)
        np.testing.assert_allclose(values, reference, rtol=1e-6, atol=1e-7)


def test_frames_go_to_the_bins_of_their_rows(run, frames):
    bins = np.random.default_rng(1).integers(-1, 4, len(run.pulse_ids))
    found = images_of(table_of(run), Placed({"a": 2, "b": 2}, bins), Frames(), cluster="here")
    assert found["image_mean"].dims == ("a", "b", "module", "ss", "fs")
    close(found, frames, bins, 4)
