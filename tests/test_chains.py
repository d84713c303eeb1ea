"""The chains that the documentation prints, in one pass and over passes."""

import numpy as np
import oracle
import pytest
from samples import RoiSum

import dxflow
from dxflow import From, PlanError
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.subtract import Subtract
from dxflow.simulate import make_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    options = {"detector": "AGIPD500K", "trains": 4, "pulses": 6, "module_shape": (16, 16)}
    light = make_run(folder / "r0034", lit=[True, True, False, True, True, False], **options)
    return light, make_run(folder / "r0035", lit="none", seed=5, **options)


def integrate(truth):
    options = {
        "geometry": f"{truth.path}/geometry.npy",
        "distance": truth.distance,
        "energy": truth.photon_energy,
    }
    return AzimuthalIntegration(img=From("subtract.img"), nbins=500, **options)


def test_lit_frames_dark_subtraction_integration_and_average_run_as_printed(runs, tmp_path):
    run, dark_run = (r.path for r in runs)
    truth = runs[0]
    lit = dxflow.reduce(run, [LitFrames()], cluster="here")
    dark = dxflow.reduce(dark_run, [Average(per="cell")], cluster="here")
    integration = integrate(truth)
    result = dxflow.reduce(
        run,
        [Subtract(dark=dark), integration, Average(img=From("subtract.img"))],
        tmp_path / "r0034.zarr",
        frames=lit,
        cluster="here",
    )
    labels, frames = oracle.frames(run, truth.sources)
    assert lit.selection().values.tolist() == truth.lit.tolist()
    _, darks = oracle.frames(dark_run, runs[1].sources)
    by_cell = np.array([darks[runs[1].cell_ids == c].mean(axis=0) for c in range(6)])
    expected = (frames - by_cell[truth.cell_ids])[truth.lit].mean(axis=0)
    np.testing.assert_allclose(result.dataset["average.mean"], expected, rtol=1e-4, atol=1e-4)
    assert result.dataset.sizes["frame"] == truth.lit.sum()
    assert result.losses.empty


def test_the_wrong_order_fails_in_plan_with_the_printed_words(runs):
    integration = integrate(runs[0])
    says = "azint reads 'subtract.img' as 'img', but no algorithm before it makes that."
    with pytest.raises(PlanError, match=says):
        dxflow.plan(runs[0].path, [integration])


def test_the_algorithm_of_the_introduction_gives_the_sum_of_the_band(runs):
    labels, frames = oracle.frames(runs[0].path, runs[0].sources)
    data = dxflow.reduce(runs[0].path, RoiSum(ss=(4, 9)), cluster="here").dataset
    oracle.close(data["roisum.intensity"], np.nansum(frames[:, :, 4:9], axis=(1, 2, 3)))
