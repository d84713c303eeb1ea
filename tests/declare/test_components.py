"""Objects of EXtra as labels: those of EXtra where it is installed, and others that offer the same everywhere."""

import importlib.util

import numpy as np
import pytest
import xarray as xr

import dxflow
from dxflow import Algorithm, Frames, Labels, Output, PlanError
from dxflow.algorithms.average import Average
from dxflow.simulate import Scan as Moves
from dxflow.simulate import make_run

FRAMES = Frames(modules=(0, 1))
HERE = (
    importlib.util.find_spec("extra") is not None and importlib.util.find_spec("extra.components") is not None
)
MAKERS = ["like EXtra", *(["EXtra"] if HERE else [])]


class Kept(Algorithm):
    """Keeps the label of each frame and whether it has one."""

    ALG_ID = "kept"
    inputs = {"img": FRAMES, "x": None}

    def outputs(self, info):
        return {
            "x": Output(per="img", dtype=info["x"].dtype, merge="max"),
            "has": Output(per="img", dtype="?", merge="max"),
        }

    def process_module_data(self, block, out):
        out.x, out.has = block["x"], block.valid("x")


class Scan:
    """Steps that were found."""

    name = "MOTOR.actualPosition"

    def __init__(self, truth):
        self.at = np.unique(truth.motor)
        self.ids = [truth.train_ids[truth.motor == x][1:] for x in self.at]

    @property
    def positions(self):
        return self.at

    @property
    def positions_train_ids(self):
        return self.ids


class XrayPulses:
    """Which slots of the bunch pattern have a pulse."""

    sase = 1

    def __init__(self, truth, first=100, trains=slice(None)):
        self.truth, self.first, self.trains = truth, first, trains

    def pulse_mask(self, of=None):
        truth, mask = self.truth, np.zeros((len(self.truth.train_ids), 2700), bool)
        at = np.searchsorted(truth.train_ids, truth.frame_train_ids)
        begin = int(truth.pulse_ids.min())
        mask[at, truth.pulse_ids.astype(int) - begin + self.first] = truth.lit if of is None else of
        ids = {"trainId": truth.train_ids, "pulseId": np.arange(2700)}
        return xr.DataArray(mask, dims=("trainId", "pulseId"), coords=ids)[self.trains]


class PumpProbePulses(XrayPulses):
    """Which of them have one of the laser as well."""

    def pumped_pulses_ratios(self):
        return None

    def pulse_mask(self, field=None):
        return super().pulse_mask(self.truth.pump if field == "ppl" else None)


class XGM:
    """Energies of pulses."""

    def __init__(self, truth):
        self.source = f"{truth.devices['xgm']}:output"

    @property
    def instrument_source(self):
        return self

    def pulse_energy(self):
        raise AssertionError("energies are read of the run, with its bunch pattern")


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    lit = np.random.default_rng(0).random((12, 6)) < 0.6
    lit[:, 0] = True
    options = {"trains": 12, "pulses": 6, "module_shape": (4, 4), "modules": 2, "lit": lit, "pump": 0.5}
    folder = tmp_path_factory.mktemp("components") / "r"
    return make_run(folder, scan=Moves(0.0, 2.0, 3), first_slot=40, energy_spread=0.3, **options)


def made(maker, name, truth):
    """Return a component of EXtra, or what offers the same."""
    if maker != "EXtra":
        return {"scan": Scan, "lit": XrayPulses, "pump": PumpProbePulses, "xgm": XGM}[name](truth)
    from extra import components
    from extra_data import RunDirectory

    run = RunDirectory(truth.path)
    return {
        "scan": lambda: components.Scan(run[truth.devices["motor"]]["actualPosition"], min_trains=2),
        "lit": lambda: components.XrayPulses(run, sase=1),
        "pump": lambda: components.PumpProbePulses(run, instrument=(1, None), bunch_table_position=0),
        "xgm": lambda: components.XGM(run, truth.devices["xgm"], default_sase=1),
    }[name]()


def kept(truth, values):
    found = dxflow.reduce(truth.path, Kept(x=Labels(values)), cluster="here").dataset
    return found["kept.x"].values, found["kept.has"].values


@pytest.mark.parametrize("maker", MAKERS)
def test_steps_of_a_scan(truth, maker):
    x, has = kept(truth, made(maker, "scan", truth))
    motor = np.repeat(truth.motor, 6)
    assert 0.7 < has.mean() <= 1
    np.testing.assert_allclose(x[has], motor[has], atol=1e-9)
    groups = dxflow.reduce(
        truth.path, Average(img=FRAMES, by=made(maker, "scan", truth)), cluster="here"
    ).dataset
    np.testing.assert_allclose(groups["actualPosition"], [0, 1, 2], atol=1e-9)


@pytest.mark.parametrize("maker", MAKERS)
def test_frames_with_pulses(truth, maker):
    x, has = kept(truth, made(maker, "lit", truth))
    assert has.all()
    np.testing.assert_array_equal(x, truth.lit)


@pytest.mark.parametrize("maker", MAKERS)
def test_pumped_frames(truth, maker):
    x, has = kept(truth, made(maker, "pump", truth))
    np.testing.assert_array_equal(has, truth.lit)
    np.testing.assert_array_equal(x, truth.pump & truth.lit)


@pytest.mark.parametrize("maker", MAKERS)
def test_energies(truth, maker):
    x, has = kept(truth, made(maker, "xgm", truth))
    assert has.all()
    np.testing.assert_allclose(x, np.where(truth.lit, truth.energy, 0), rtol=1e-6)


def test_trains_that_a_component_does_not_know_have_no_label(truth):
    x, has = kept(truth, XrayPulses(truth, trains=slice(3, 6)))
    inside = np.isin(truth.frame_train_ids, truth.train_ids[3:6])
    np.testing.assert_array_equal(has, inside)
    np.testing.assert_array_equal(x, truth.lit & inside)


def test_what_cannot_be_joined_is_refused(truth, tmp_path):
    nothing = Scan(truth)
    nothing.at, nothing.ids = [], []
    with pytest.raises(PlanError, match="this Scan has found no steps"):
        kept(truth, nothing)
    jungfrau = make_run(tmp_path / "r", detector="JUNGFRAU", trains=2, module_shape=(4, 4), modules=2)
    with pytest.raises(PlanError, match="the frames have no pulse ids"):
        dxflow.plan(jungfrau.path, Kept(img=Frames(modules=(1, 2)), x=Labels(XrayPulses(truth))))
    with pytest.raises(TypeError, match="or one of EXtra's Scan, PumpProbePulses, XrayPulses, XGM"):
        Labels(object())
