"""The recipe on small runs, against what was planted."""

import numpy as np
import pytest
from runs import make_run
from scipy.optimize import curve_fit

import dxflow
from dxflow import Frames, PlanError
from dxflow.algorithms.average import Average
from dxflow.line.options import run_of
from dxflow.recipes.spectroscopy import Spectroscopy
from dxflow.simulate import Flat, Lines, Scan

LINES = Lines(
    at=(14.0, 27.0), photons=(8.0, 4.0), width=1.5, curvature=(0, 0.05, 0.01), rows=(4, 20), background=0.3
)
SCAN = Scan(7.0, 8.0, steps=11, edge=7.45, width=0.05, jump=4.0)
MOTOR = ["SPB_EXP_SCAN/MOTOR/STAGE", "actualPosition.value"]
XGM = ["SA1_XTD2_XGM/XGM/DOOCS:output", "data.intensityTD"]
SIZE = {"detector": "AGIPD500K", "module_shape": (24, 40), "modules": 1, "pulses": 8, "bad_pixels": 0}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xas") / "r0001"
    return make_run(folder, trains=44, signal=LINES, scan=SCAN, energy_spread=0.4, **SIZE)


def made(run, to, **options):
    region = {"ss": (4, 20), "curvature": [0, 0.05, 0.01], "background": [(0, 3, 0, 40), (21, 24, 0, 40)]}
    given = {**region, "background_by": "all", "modules": [0], "cluster": "here", "quiet": True}
    return Spectroscopy(run=run.path, to=str(to), **given | options).run()


@pytest.fixture(scope="module")
def found(run, tmp_path_factory):
    return made(run, tmp_path_factory.mktemp("out") / "x", scan=MOTOR, i0=XGM)


def test_the_lines_are_where_they_were_planted_with_their_photons(run, found):
    data = found.results["spectrum"].dataset
    mean, error, at = (data[n].values for n in ("spectrum.mean", "spectrum.error", "pixel"))
    for place, photons in zip(LINES.at, LINES.photons, strict=True):
        near = np.abs(at - place) < 6
        total, middle = mean[near].sum(), (mean[near] * at[near]).sum() / mean[near].sum()
        # Signal follows the edge of the scan, and the energies of the pulses.
        planted = 16 * photons * (run.energy / 1000 * np.repeat(SCAN.response(run.motor), 8)).mean()
        spread = np.sqrt((error[near] ** 2).sum())
        assert abs(total - planted) < 4 * spread
        assert abs(middle - place) < 0.15


def test_the_edge_is_where_it_was_planted(found):
    data = found.results["spectrum"].dataset
    mu, error, energy = (data[n].values for n in ("xas.mu", "xas.error", "energy"))
    np.testing.assert_allclose(energy, np.linspace(7, 8, 11))

    def model(e, at, width, base, jump):
        return base * (1 + jump * (0.5 + np.arctan((e - at) / width) / np.pi))

    best, spread = curve_fit(model, energy, mu, (7.5, 0.1, mu[0], 3.0), error, absolute_sigma=True)
    assert abs(best[0] - 7.45) < 3 * np.sqrt(spread[0, 0])
    assert abs(best[3] - 4.0) < 3 * np.sqrt(spread[3, 3])
    chi = (((model(energy, *best) - mu) / error) ** 2).sum()
    assert chi < 25
    assert (found.folder / "spectroscopy.png").stat().st_size > 20_000


def test_raw_data_are_dark_subtracted(tmp_path):
    raw = {**SIZE, "data": "raw", "noise": 0.1}
    light = make_run(tmp_path / "r0002", trains=6, signal=LINES, energy_spread=0, **raw)
    dark = make_run(tmp_path / "r0001", trains=10, signal=Flat(0), seed=4, **raw)
    dxflow.reduce(
        dark.path, Average(per="cell", img=Frames(modules=[0])), tmp_path / "dark.zarr", cluster="here"
    )
    data = made(light, tmp_path / "x", dark=str(tmp_path / "dark.zarr")).results["spectrum"].dataset
    mean = data["spectrum.mean"].values
    assert abs(int(data["pixel"][mean.argmax()]) - 14) <= 1


def test_a_scan_without_steps_is_cut_into_bins(run, tmp_path, monkeypatch):
    from dxflow.recipes import spectroscopy

    monkeypatch.setattr(spectroscopy, "MOST_STEPS", 5)
    data = made(run, tmp_path / "x", scan=MOTOR, i0=XGM).results["spectrum"].dataset
    assert data.sizes["energy"] == spectroscopy.BINS
    assert data["xas.outside"] == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"scan": MOTOR}, "needs both"),
        ({"scan": ["SPB_EXP_SCAN/MOTOR/STAGE", "nothing.value"], "i0": XGM}, "no such key"),
        ({"scan": ["SPB_EXP_SCAN/MOTOR/STAGE", "isOnTarget.value"], "i0": XGM}, "does not change"),
    ],
)
def test_scans_that_cannot_be_are_refused(run, tmp_path, options, says):
    with pytest.raises(PlanError, match=says):
        made(run, tmp_path / "x", **options)


def test_a_run_of_a_proposal_has_its_steps_as_a_path_has(run, tmp_path, monkeypatch):
    from dxflow.recipes.spectroscopy import steps

    folder = tmp_path / "SPB" / "202601" / "p900123" / "proc"
    folder.mkdir(parents=True)
    (folder / "r0034").symlink_to(run.path)
    (folder.parent / "raw").symlink_to(folder)
    monkeypatch.setenv("EXTRA_DATA_DATA_ROOT", str(tmp_path))
    given = run_of("900123:34")
    np.testing.assert_array_equal(steps(given, *MOTOR)["steps"], steps(run.path, *MOTOR)["steps"])


def test_steps_in_another_unit_are_refused(run, tmp_path):
    with pytest.raises(PlanError, match="is from 7 to 8; no value is at a step"):
        made(run, tmp_path / "y", scan=MOTOR, i0=XGM, steps=[7000.0, 7500.0, 8000.0])
