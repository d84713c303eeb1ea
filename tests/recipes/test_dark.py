"""The recipe on small dark runs: what Pedestal makes of each, what is refused, the report and the plot."""

import numpy as np
import pytest
from matplotlib.image import imread

import dxflow
from dxflow import From, PlanError
from dxflow.algorithms.average import Average
from dxflow.algorithms.calibrate import Calibrate
from dxflow.algorithms.dark import Pedestal
from dxflow.recipes.dark import Dark
from dxflow.simulate import Electronics, Flat, make_run

SMALL = {"data": "raw", "detector": "AGIPD500K", "pulses": 3, "module_shape": (16, 16), "devices": ()}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("darks")
    return {
        stage: make_run(
            folder / f"r_{stage}",
            trains=14,
            signal=Flat(0),
            electronics=Electronics(stage=stage, noisy=0.01),
            **SMALL,
        ).path
        for stage in ("high", "medium", "low")
    }


@pytest.fixture(scope="module")
def made(runs, tmp_path_factory):
    return Dark(**runs, to=str(tmp_path_factory.mktemp("out") / "dark"), cluster="here", quiet=True).run()


def test_each_run_is_reduced_in_its_stage(runs, made):
    for stage, run in runs.items():
        expected = dxflow.reduce(run, Pedestal(stage=stage), cluster="here").dataset
        np.testing.assert_array_equal(made.results[stage].dataset["dark.offset"], expected["dark.offset"])


def test_the_folder_is_what_calibrate_takes(made, tmp_path):
    own = Electronics(noisy=0.01)
    truth = make_run(tmp_path / "r", trains=4, signal=Flat(100), energy_spread=0, electronics=own, **SMALL)
    adu = [a / 9.3 for a in truth.adu_per_photon]
    chain = [Calibrate(constants=made.folder, unit="photons", adu=adu, photon_energy=9.3)]
    data = dxflow.reduce(truth.path, [*chain, Average(img=From("calibrate.img"))], cluster="here").dataset
    assert float(data["average.mean"].mean()) == pytest.approx(100, rel=0.01)


def test_the_report_has_bad_pixels_by_cause_and_the_plot_is_drawn(made):
    shown = made.report()
    assert "bad pixels, medium gain" in shown
    assert "noisy" in shown
    assert len(np.unique(imread(made.folder / "dark.png").reshape(-1, 4), axis=0)) > 100


def test_one_run_is_enough(runs, tmp_path):
    alone = Dark(
        high=runs["high"], to=str(tmp_path / "dark"), method="median", cluster="here", quiet=True
    ).run()
    assert list(alone.results) == ["high"]
    assert (tmp_path / "dark" / "dark.png").is_file()


def test_a_run_with_light_is_refused(tmp_path):
    lit = make_run(tmp_path / "r", trains=14, signal=Flat(2), lit=0.3, electronics=Electronics(), **SMALL)
    with pytest.raises(ValueError, match="have light"):
        Dark(high=lit.path, to=str(tmp_path / "dark"), cluster="here", quiet=True).run()


def test_runs_that_are_no_set_are_refused_or_said(runs, tmp_path):
    other = make_run(tmp_path / "jf", trains=2, signal=Flat(0), **{**SMALL, "detector": "JUNGFRAU"}).path
    with pytest.raises(PlanError, match="different detectors, high: SPB_DET_AGIPD500K2G, medium: SPB_IRDA"):
        Dark(high=runs["high"], medium=other, to=str(tmp_path / "a"), cluster="here", quiet=True).run()
    assert not list((tmp_path / "a").glob("*.zarr"))
    electronics = Electronics(stage="medium")
    few = make_run(
        tmp_path / "few", trains=12, signal=Flat(0), electronics=electronics, **{**SMALL, "pulses": 2}
    )
    given = {"high": runs["medium"], "medium": few.path, "low": runs["low"]}
    made = Dark(**given, to=str(tmp_path / "b"), cluster="here", quiet=True)
    made.reduce_all()
    shown = made.report()
    assert "memory cells [2] have no constants in medium gain" in shown
    assert "100% of the pixels have no higher level in medium than in high gain" in shown
    assert "than in medium gain" not in shown
