"""What algorithms read: said in plan and report; outputs that nobody reads are refused; + on the command line."""

import re

import numpy as np
import oracle
import pytest
import xarray as xr

import dxflow
from dxflow import Algorithm, Frames, From, Key, Output, PlanError
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.roi import RoiSum
from dxflow.algorithms.subtract import Subtract
from dxflow.commands import main as cli
from dxflow.simulate import make_run

DARK = np.full((8, 16, 16), 0.5)
SAID = "subtract.img (subtract <- SPB_DET_AGIPD500K2G image.data, mask image.mask)"


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reads") / "r0001"
    return make_run(folder, detector="AGIPD500K", trains=3, pulses=4, module_shape=(16, 16), bad_pixels=0.1)


class WithMotor(Algorithm):
    """Reads frames and a slow value."""

    ALG_ID = "motor"
    inputs = {"img": Frames("image.gain"), "x": None}

    def outputs(self, info):
        return {"x": Output(per="img")}

    def process_module_data(self, block, out):
        out.x += block["x"]


def test_plan_report_and_attributes_say_what_each_algorithm_reads(truth, tmp_path):
    motor = Key(truth.devices["motor"], "actualPosition.value")
    algorithms = [Subtract(dark=DARK), Average(img=From("subtract.img")), LitFrames(), WithMotor(x=motor)]
    plan = dxflow.plan(truth.path, algorithms, tmp_path / "x.zarr")
    lines = {
        "subtract": "SPB_DET_AGIPD500K2G image.data, mask image.mask",
        "average": SAID,
        "litframes": "SPB_DET_AGIPD500K2G image.data, mask image.mask",
        "motor": "img = SPB_DET_AGIPD500K2G image.gain, no mask: image.gain is not the image of a detector; "
        "x = SPB_EXP_SCAN/MOTOR/STAGE actualPosition.value",
    }
    result = dxflow.execute(plan, "here")
    for text in (str(plan), result.report()):
        for name, what in lines.items():
            assert f"{name}: reads {what}" in re.sub(r"\s+", " ", text)
    stored = xr.open_zarr(tmp_path / "x.zarr").attrs
    assert {name: stored[f"{name}.reads"] for name in lines} == lines


def test_frames_that_nobody_reads_are_refused_with_who_was_meant(truth):
    says = (
        r"subtract.img is made for later algorithms, but nobody reads it; azint reads image.data. Did you mean "
        r"azint --input img=subtract.img \(in Python AzimuthalIntegration\(img=From\('subtract.img'\)\)\)\?"
    )
    with pytest.raises(PlanError, match=says):
        dxflow.plan(truth.path, [Subtract(dark=DARK), AzimuthalIntegration(), Average(img=Frames(mask=None))])
    with pytest.raises(PlanError, match="nobody reads it: put an algorithm behind it that does"):
        dxflow.plan(truth.path, [Average(), Subtract(dark=DARK)])


class Handed(Algorithm):
    """Makes numbers for others only, per frame or per train."""

    ALG_ID = "handed"
    inputs = {"img": Frames()}

    def __init__(self, per, **options):
        super().__init__(**options)
        self.per = per

    def outputs(self, info):
        return {"n": Output(per=self.per, store=False), "kept": Output(per="run")}

    def process_train_data(self, train, out):
        out.kept += 1


@pytest.mark.parametrize("per", ["img", "train"])
def test_numbers_that_nobody_could_ever_see_are_refused_too(truth, per):
    with pytest.raises(PlanError, match="handed.n is made for later algorithms, but nobody reads it"):
        dxflow.plan(truth.path, Handed(per))
    dxflow.plan(truth.path, Handed("run"))


def test_an_algorithm_named_stands_for_the_frames_that_it_makes(truth):
    plan = dxflow.plan(truth.path, [Subtract(dark=DARK), Average(img=From("subtract"))])
    assert [o.name for o in plan.algorithms[1].read] == ["subtract.img"]
    with pytest.raises(
        PlanError, match=r"roi reads the frames that average makes, but it makes none. Outputs of average: "
    ):
        dxflow.plan(truth.path, [Average(), RoiSum(img=From("average"))])


def test_a_plus_on_the_command_line_chains_algorithms(truth, tmp_path, capsys):
    labels, frames = oracle.frames(truth.path, truth.sources)
    dark = dxflow.reduce(truth.path, Average(), tmp_path / "dark.zarr", cluster="here")
    to = ["reduce", truth.path, "--to", f"{tmp_path}/x.zarr", "--cluster", "here"]
    words = ["subtract", "--dark", str(dark.path), "+", "azint", "--nbins", "4", "average"]
    assert cli.main([*to, *words]) == 0
    assert f"azint: reads {SAID}" in re.sub(r"\s+", " ", capsys.readouterr().out)
    data = xr.open_zarr(tmp_path / "x.zarr")
    mean = np.nanmean(frames, axis=0)
    np.testing.assert_allclose(data["average.mean"], mean, rtol=1e-6, atol=1e-9)
    # What is left after subtraction of the mean of the same frames is nothing but rounding.
    assert np.abs(data["azint.mean"]).max() < 1e-5
    named = ["subtract", "--name", "less", "--dark", str(dark.path), "+", "average"]
    assert cli.main([*to, "--overwrite", *named]) == 0
    assert "average: reads less.img (less <- " in capsys.readouterr().out.replace("\n", " ")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["average", "+"], "+ stands between two algorithms, "),
        (["average", "+"], "there is none after the last"),
        (["+", "average"], "there is none before this one"),
        (["average", "+", "roi"], "roi reads the frames that average makes, but it makes none"),
        (["subtract", "--dark", "DARK", "azint"], "Did you mean azint --input img=subtract.img"),
    ],
)
def test_a_plus_in_the_wrong_place_is_refused_in_words(truth, tmp_path, capsys, words, says):
    np.save(tmp_path / "dark.npy", DARK)
    dxflow.reduce(truth.path, Average(), tmp_path / "dark.zarr", cluster="here")
    words = [w.replace("DARK", f"{tmp_path}/dark.zarr") for w in words]
    assert cli.main(["plan", truth.path, *words]) == 2
    assert says in capsys.readouterr().err


def test_masks_on_the_command_line_are_of_the_whole_pass(truth, tmp_path, capsys):
    bad = np.zeros((8, 16, 16), bool)
    bad[:, 5] = True
    np.save(tmp_path / "bad.npy", bad)
    _, marked = oracle.frames(truth.path, truth.sources)
    _, every = oracle.frames(truth.path, truth.sources, masked=False)
    to = ["reduce", truth.path, "--to", f"{tmp_path}/x.zarr", "--cluster", "here", "--overwrite"]
    for options, expected in (
        ([], marked),
        (["--mask", "none"], every),
        (["--mask", f"{tmp_path}/bad.npy"], np.where(bad, np.nan, every)),
        (["--mask", "auto", "--mask", f"{tmp_path}/bad.npy"], np.where(bad, np.nan, marked)),
    ):
        assert cli.main([*to, "average", "azint", "--nbins", "4", *options]) == 0
        count = xr.open_zarr(tmp_path / "x.zarr")["average.count"]
        np.testing.assert_array_equal(count, (~np.isnan(expected)).sum(axis=0))
    assert cli.main([*to, "--mask", "none", "--mask", "auto", "average"]) == 2
    assert "expected none alone" in capsys.readouterr().err
    assert cli.main([*to, "--mask-bits", "HOT", "average"]) == 2
    assert "no mask bit is named 'HOT'" in capsys.readouterr().err
