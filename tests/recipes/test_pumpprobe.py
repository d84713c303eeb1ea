"""The recipe on small runs, against what was planted."""

import re
from pathlib import Path

import numpy as np
import programs
import pytest
from runs import make_run

import dxflow
from dxflow import Frames, PlanError, geometry
from dxflow.algorithms.average import Average
from dxflow.recipes.pumpprobe import PumpProbe
from dxflow.simulate import Flat, PowderRings, Scan

DELAY = Scan(-1.0, 2.0, steps=4, onset=-0.5, rise=0.2, lifetime=3.0)
MOTOR = ["SPB_EXP_SCAN/MOTOR/STAGE", "actualPosition.value"]
XGM = ["SA1_XTD2_XGM/XGM/DOOCS:output", "data.intensityTD"]
RINGS, MOVED = PowderRings(photons=(4.0, 3.0, 2.0, 1.0)), PowderRings(photons=(3.0, 3.0, 3.0, 1.0))
SIZE = {"detector": "AGIPD500K", "module_shape": (16, 16), "pulses": 4, "signal": RINGS, "pump_signal": MOVED}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pump") / "r0001"
    return make_run(folder, trains=48, pump="pulses", scan=DELAY, lit=[1, 1, 1, 0], **SIZE)


def made(truth, to, **options):
    given = {"delay": MOTOR, "nbins": 12, "cluster": "here", "quiet": True}
    return PumpProbe(run=truth.path, to=str(to), **given | options).run()


def test_the_planted_effect_is_found_at_each_delay(run, tmp_path):
    recipe = made(run, tmp_path / "x", i0=XGM, band=(1.7, 1.95), pairing="train")
    data = recipe.results["pumpprobe"].dataset
    np.testing.assert_allclose(data["actualPosition"], np.linspace(-1, 2, 4))
    assert data["actualPosition"].attrs["units"] == "mm"
    assert data["difference.difference"].attrs["units"].startswith("1/")
    found, error = (data[f"band_difference.{n}"].values[:, 0] for n in ("difference", "error"))
    q = run.q()
    inside = (q >= 1.7) & (q <= 1.95) & ~run.bad_pixels
    c = geometry.solid_angle(run.positions + [0, 0, run.distance])
    planted = (run.expected_pump - run.expected)[inside].sum() / c[inside].sum() / run.pulse_energy
    expected = planted * DELAY.effect(np.linspace(-1, 2, 4))
    assert (np.abs(found - expected) < 3 * error).all()
    assert found[2] > 10 * error[2]
    assert abs(found[0]) < 3 * error[0]
    said = recipe.report()
    assert "pumped   48 frames, 96 others, in 48 pairs; 0 trains or stretches have one kind only" in said
    assert "not used 48 frames without a flag (no X-rays), 0 frames without" in said
    assert "effect   most at actualPosition" in said
    assert (recipe.folder / "pumpprobe.png").stat().st_size > 20_000


def test_raw_data_are_dark_subtracted_and_trains_may_be_pumped_in_turn(tmp_path):
    raw = {**SIZE, "data": "raw", "noise": 0.1}
    light = make_run(tmp_path / "r0002", trains=12, pump="trains", **raw)
    dark = make_run(tmp_path / "r0001", trains=6, seed=4, **{**raw, "signal": Flat(0), "pump_signal": None})
    dxflow.reduce(dark.path, Average(per="cell", img=Frames()), tmp_path / "dark.zarr", cluster="here")
    recipe = made(light, tmp_path / "x", dark=str(tmp_path / "dark.zarr"), pairing="neighbour", delay=None)
    data = recipe.results["pumpprobe"].dataset
    assert data["difference.difference"].dims == ("q",)
    first, third = (int(np.abs(data["q"].values - ring).argmin()) for ring in RINGS.q[::2][:2])
    assert data["difference.difference"][first] < 0 < data["difference.difference"][third]
    assert (recipe.folder / "pumpprobe.png").stat().st_size > 20_000


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"delay": ["SPB_EXP_SCAN/MOTOR/STAGE", "nothing.value"]}, "no such key"),
        ({"delay": ["SPB_EXP_SCAN/MOTOR/STAGE", "isOnTarget.value"]}, "does not change"),
        ({"on": ["SPB_EXP_SCAN/MOTOR/STAGE", "isOnTarget.value"]}, "is 1 for all"),
        ({"on": ["a", "b", "c"]}, "expected a source and a key"),
        ({"dark": "a", "constants": "b"}, "expected one of them"),
    ],
)
def test_what_cannot_be_compared_is_refused(run, tmp_path, options, says):
    with pytest.raises(PlanError, match=says):
        made(run, tmp_path / "x", **{"pairing": "pooled"} | options)


def test_a_run_without_pump_is_refused(tmp_path):
    never = make_run(tmp_path / "r0001", trains=4, **SIZE)
    with pytest.raises(PlanError, match="is False for all"):
        made(never, tmp_path / "x", delay=None)


def test_a_delay_without_steps_is_cut_into_bins(run, tmp_path, monkeypatch):
    from dxflow.recipes import pumpprobe

    monkeypatch.setattr(pumpprobe, "MOST_STEPS", 3)
    monkeypatch.setattr(pumpprobe, "BINS", 2)
    data = made(run, tmp_path / "x").results["pumpprobe"].dataset
    np.testing.assert_allclose(data["actualPosition"], [-0.25, 1.25])


def test_the_page_runs_as_printed(tmp_path, monkeypatch):
    text = (Path(__file__).parents[2] / "docs" / "pumpprobe.md").read_text()
    script = tmp_path / "pumpprobe.py"
    script.write_text("\n".join(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)))
    done = programs.run(script, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "1/angstrom changes most" in done.stdout
    assert "in 102 pairs" in done.stdout
    assert (tmp_path / "pumpprobe" / "pumpprobe.png").stat().st_size > 20_000
