"""The recipe on small runs, against what was planted."""

import numpy as np
import pytest
from runs import make_run

import dxflow
from dxflow import PlanError
from dxflow.algorithms.average import Average
from dxflow.commands import main as cli
from dxflow.recipes._xpcs_plot import decay
from dxflow.recipes.xpcs import Xpcs
from dxflow.simulate import Flat, Speckle

SIZE = {"detector": "AGIPD500K", "module_shape": (32, 32), "pulses": 10, "devices": ()}
SIGNAL = Speckle(modes=2, photons=1.5, decorrelation=8.0, power=1.0, q0=1.0)
QUIET = {"cluster": "here", "quiet": True}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xpcs") / "r0001"
    return make_run(folder, trains=12, signal=SIGNAL, noise=0.0, energy_spread=0.3, **SIZE)


def regions(run):
    """Three rings, and the mean of tau in each."""
    from dxflow import geometry

    q = geometry.momentum_transfer(run.positions + [0, 0, run.distance], run.wavelength)
    edges = np.quantile(q, [0.2, 0.5, 0.8, 1.0]) * 1.000001
    return edges.tolist(), [
        SIGNAL.tau(q[(q >= a) & (q < b)]).mean() for a, b in zip(edges, edges[1:], strict=False)
    ]


def test_decay_and_contrast_are_those_that_were_planted(run, tmp_path):
    edges, tau = regions(run)
    made = Xpcs(run=run.path, to=str(tmp_path / "x"), q=edges, matrices=True, **QUIET).run()
    data = made.results["xpcs"].dataset
    lag = data["lag"].values
    for n in range(3):
        contrast, found = decay(lag, data["g2.mean"].values[n], data["g2.error"].values[n])
        assert contrast == pytest.approx(0.5, rel=0.15)
        assert found == pytest.approx(tau[n], rel=0.2)
    assert (np.abs(data["contrast.contrast"] - 0.5) < 4 * data["contrast.error"]).all()
    assert data["g2.c"].shape == (12, 3, 10, 10)
    assert (made.folder / "xpcs.png").stat().st_size > 20_000


def test_the_line_that_users_type_takes_labels(run, tmp_path):
    labels = np.ones(run.positions.shape[:3], int)
    np.save(tmp_path / "labels.npy", labels)
    line = ["recipe", "xpcs", run.path, "--to", str(tmp_path / "x"), "--labels", str(tmp_path / "labels.npy")]
    assert cli.main([*line, "--norm", "symmetric", "--channels", "4", "--cluster", "here"]) == 0
    assert (tmp_path / "x" / "xpcs.png").is_file()


def test_raw_data_are_dark_subtracted_and_need_a_photon(tmp_path):
    raw = {**SIZE, "data": "raw", "pulses": 4, "bad_pixels": 0.0}
    light = make_run(tmp_path / "r0002", trains=6, signal=SIGNAL, **raw)
    dark = make_run(tmp_path / "r0001", trains=10, signal=Flat(0), lit="none", **raw)
    dxflow.reduce(dark.path, Average(per="cell"), tmp_path / "dark.zarr", cluster="here")
    given = {"labels": np.ones(light.positions.shape[:3], int), "to": str(tmp_path / "x"), **QUIET}
    with pytest.raises(PlanError, match="subtract a dark first, and give photon="):
        Xpcs(run=light.path, **given).run()
    made = Xpcs(
        run=light.path, dark=str(tmp_path / "dark.zarr"), photon=float(light.adu_per_photon[0]), **given
    )
    data = made.run().results["xpcs"].dataset
    frames = data["contrast.mean"].values
    assert frames.mean() == pytest.approx(1.5, rel=0.3)
    assert data["g2.mean"].values[0, 1] > 1.1


def test_no_decay_is_nothing_to_fit():
    lag, error = np.arange(5.0), np.full(5, 0.1)
    assert np.isnan(decay(lag, np.ones(5), error)).all()
    assert np.isnan(decay(lag[:1], np.ones(1), error[:1])).all()
    found = decay(lag, 1 + 0.5 * np.exp(-2 * lag / 3), np.full(5, 1e-6))
    assert found == pytest.approx((0.5, 3.0))
    assert np.isnan(decay(lag, 1 + 0.1 * np.exp(lag), error)[1])
