"""A delay scan from the run to the plot, on small runs, against what was planted."""

import numpy as np
import pytest
from runs import make_run

import dxflow
from dxflow import Frames, PlanError, geometry
from dxflow.algorithms.average import Average
from dxflow.errors.usage import UsageError
from dxflow.recipes.scan import DelayScan
from dxflow.simulate import Flat, PowderRings, Scan

DELAY = Scan(-1.0, 2.0, steps=4, onset=-0.5, rise=0.2, lifetime=3.0)
POSITIONS = np.linspace(-1, 2, 4)
MOTOR = ["SPB_EXP_SCAN/MOTOR/STAGE", "actualPosition"]
XGM = ["SA1_XTD2_XGM/XGM/DOOCS:output", "data.intensityTD"]
RINGS, MOVED = PowderRings(photons=(4.0, 3.0, 2.0, 1.0)), PowderRings(photons=(3.0, 3.0, 3.0, 1.0))
SIZE = {
    "detector": "AGIPD500K",
    "module_shape": (16, 16),
    "signal": RINGS,
    "pump_signal": MOVED,
    "scan": DELAY,
}
EUXFEL = {"trains": 48, "pulses": 4, "pump": "pulses", "lit": [1, 1, 1, 0]}
LCLS = {"trains": 192, "pulses": 1, "pump": "trains"}
BAND = (1.7, 1.95)


def made(truth, to, **options):
    given = {"delay": MOTOR, "cluster": "here", "quiet": True, "nbins": 8}
    return DelayScan(run=truth.path, to=str(to), **given | options).run()


def planted(truth):
    """Return the effect in the q-range at each delay, over the pulse energy."""
    inside = (truth.q() >= BAND[0]) & (truth.q() <= BAND[1]) & ~truth.bad_pixels
    c = geometry.solid_angle(truth.positions + [0, 0, truth.distance])
    changed = (truth.expected_pump - truth.expected)[inside].sum() / c[inside].sum() / truth.pulse_energy
    return changed * DELAY.effect(POSITIONS)


@pytest.mark.parametrize("structure", [EUXFEL, LCLS], ids=["bursts", "single pulses"])
def test_the_planted_effect_is_found_with_its_error(tmp_path, structure):
    run = make_run(tmp_path / "r0001", energy_spread=0.2, **SIZE, **structure)
    recipe = made(run, tmp_path / "x", i0=XGM, nbins=1, qrange=BAND)
    found, error = (recipe.compared[f"difference.{what}"].values[:, 0] for what in ("difference", "error"))
    np.testing.assert_allclose(recipe.compared["delay"], POSITIONS, atol=1e-12)
    expected = planted(run)
    assert (np.abs(found - expected) < 3.5 * error).all()
    assert found[2] > 8 * error[2]
    assert abs(found[0]) < 3.5 * error[0]
    said = recipe.report()
    lit = int(run.lit.sum())
    assert f"good: {lit} of {run.lit.size} rows" in said
    assert "effect   most at delay" in said
    assert (recipe.folder / "scan.png").stat().st_size > 20_000
    cube = dxflow.open(recipe.folder / "cube.zarr")
    assert cube.data["n"].sum() == lit
    assert cube.data["image_mean"].attrs["units"] == "1/μJ"


def test_rows_are_selected_and_what_is_there_is_taken(tmp_path):
    run = make_run(tmp_path / "r0001", energy_spread=0.2, **SIZE, **EUXFEL)
    energy = run.energy[run.lit]
    middle = float(np.median(energy))
    words = {"delay": [" ".join(MOTOR)], "i0": [" ".join(XGM)]}
    recipe = made(run, tmp_path / "x", where=f"i0 > {middle}", on="pumped", bins="-1.5:2.5:4", **words)
    assert recipe.cube.data["n"].sum() == (energy > middle).sum()
    before = (recipe.folder / "cube.zarr" / "dxflow.json").read_bytes()
    again = made(run, tmp_path / "x", i0=XGM, where=f"i0 > {middle}", bins="-1.5:2.5:4", resume=True)
    assert (recipe.folder / "cube.zarr" / "dxflow.json").read_bytes() == before
    np.testing.assert_array_equal(again.compared["difference.error"], recipe.compared["difference.error"])
    with pytest.raises(PlanError, match="other options"):
        made(run, tmp_path / "x", i0=XGM, where=f"i0 > {middle + 100}", bins="-1.5:2.5:4", resume=True)


def test_raw_data_are_dark_subtracted_and_variables_are_those_of_the_configuration(tmp_path):
    raw = {**SIZE, **EUXFEL, "data": "raw", "noise": 0.1, "trains": 12}
    light = make_run(tmp_path / "r0002", **raw)
    dark = make_run(
        tmp_path / "r0001", seed=4, **{**raw, "signal": Flat(0), "pump_signal": None, "pump": None}
    )
    dxflow.reduce(dark.path, Average(per="cell", img=Frames()), tmp_path / "dark.zarr", cluster="here")
    (tmp_path / "exp.yaml").write_text(
        f"variables:\n  laser: pumped\n  stage: {{key: {' '.join(MOTOR)}, unit: ps}}\n  xgm: {' '.join(XGM)}\n"
    )
    options = {"config": str(tmp_path / "exp.yaml"), "delay": ["stage"], "i0": ["xgm"], "on": "laser"}
    recipe = made(light, tmp_path / "x", dark=str(tmp_path / "dark.zarr"), nbins=12, **options)
    assert recipe.compared["stage"].attrs["units"] == "ps"
    difference = recipe.compared["difference.difference"].sel(stage=POSITIONS[2], method="nearest")
    first, third = (int(np.abs(difference["q"].values - ring).argmin()) for ring in RINGS.q[::2][:2])
    assert difference[first] < 0 < difference[third]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"delay": ["a", "b", "c"]}, "expected SOURCE KEY"),
        ({"delay": ["SPB_EXP_SCAN/MOTOR/STAGE", "nothing"]}, "no such key|nothing"),
        ({"on": "laser"}, "no variable or selection 'laser'"),
        ({"dark": "a", "constants": "b"}, "expected one of them"),
        ({"frames": ["pulses=0:1"]}, "--frames: this recipe selects rows of its table"),
        ({"where": "delay >"}, "'delay >': invalid syntax"),
        ({"where": "dealy > 1"}, "--where dealy > 1: .*'dealy'. Did you mean 'delay'"),
    ],
)
def test_what_cannot_be_compared_is_refused(tmp_path, options, says):
    run = make_run(tmp_path / "r0001", **SIZE, **{**EUXFEL, "trains": 4})
    with pytest.raises((PlanError, UsageError, KeyError, ValueError), match=says):
        made(run, tmp_path / "x", **options)


def test_a_detector_is_that_of_the_table_and_of_the_images(tmp_path):
    run = make_run(tmp_path / "r0001", **SIZE, **{**EUXFEL, "trains": 4})
    (tmp_path / "exp.yaml").write_text(f"variables: {{stage: '{' '.join(MOTOR)}', laser: pumped}}\n")
    own = {"config": str(tmp_path / "exp.yaml"), "delay": ["stage"], "on": "laser"}
    for given in ({}, own):
        with pytest.raises(PlanError, match="no such detector"):
            made(run, tmp_path / "x", detector="AGIPD9", **given)
    recipe = made(run, tmp_path / "x", detector=run.detector, **own)
    recipe.args.detector = "AGIPD9"
    with pytest.raises(PlanError, match="no such detector"):
        recipe._cube(recipe.args, [], {})


def test_what_slurm_starts_again_replaces_what_was_there_before_the_job_once(tmp_path, monkeypatch):
    run = make_run(tmp_path / "r0001", energy_spread=0.2, **SIZE, **{**EUXFEL, "trains": 8})

    def files(name):
        return (tmp_path / "x" / name / "dxflow.json").stat().st_ino

    made(run, tmp_path / "x")
    before = [files("table.zarr"), files("cube.zarr")]
    monkeypatch.setenv("DXFLOW_DRIVER", "1")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    made(run, tmp_path / "x", overwrite=True, bins="-1.5:2.5:4")
    mine = [files("table.zarr"), files("cube.zarr")]
    assert all(new != old for new, old in zip(mine, before, strict=True))
    made(run, tmp_path / "x", overwrite=True, bins="-1.5:2.5:4")
    assert [files("table.zarr"), files("cube.zarr")] == mine


def test_what_could_not_be_saved_is_not_begun(tmp_path):
    run = make_run(tmp_path / "r0001", **SIZE, **{**EUXFEL, "trains": 4})
    (tmp_path / "x" / "cube.zarr").mkdir(parents=True)
    with pytest.raises(PlanError, match="cube.zarr exists: --resume takes"):
        made(run, tmp_path / "x")
    assert not (tmp_path / "x" / "table.zarr").exists()
