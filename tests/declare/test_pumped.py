"""Pumped against the flags that were planted."""

import numpy as np
import pytest

import dxflow
from dxflow import Algorithm, Frames, FrameSelection, Labels, Output, PlanError
from dxflow.simulate import Plant, make_run

SIZE = {"detector": "AGIPD500K", "module_shape": (4, 4)}


class Flags(Algorithm):
    """Keeps what it is told of frames."""

    ALG_ID = "flags"
    inputs = {"img": Frames(), "on": Labels.pumped()}

    def outputs(self, info):
        return {name: Output(per="img", dtype="?") for name in ("on", "known")}

    def process_train_data(self, train, out):
        out.on, out.known = train["on"], train.valid("on")


def flags(truth, frames=None, **inputs):
    data = dxflow.reduce(truth.path, Flags(**inputs), cluster="here", frames=frames).dataset
    return data["flags.on"].values, data["flags.known"].values


@pytest.mark.parametrize(("instrument", "pump"), [("SPB", "pulses"), ("MID", 0.3), ("SCS", "trains")])
def test_every_frame_with_x_rays_has_its_flag(tmp_path, instrument, pump):
    plant = Plant(missing_trains=(3,), pulse_counts=[8, 5, 8, 8, 8, 8])
    truth = make_run(
        tmp_path / "r",
        instrument=instrument,
        lit=[1, 1, 0, 1, 1, 1, 0, 1],
        pump=pump,
        trains=6,
        plant=plant,
        **SIZE,
    )
    on, known = flags(truth)
    assert truth.pump.any()
    np.testing.assert_array_equal(known, truth.lit)
    np.testing.assert_array_equal(on, truth.pump & truth.lit)
    # What is read moves nothing.
    some = np.arange(len(on)) % 3 == 1
    np.testing.assert_array_equal(flags(truth, FrameSelection(mask=some))[0], on[some])


def test_laser_pulses_may_come_slots_before_the_x_rays(tmp_path):
    truth = make_run(tmp_path / "r", trains=3, pulses=6, pump="pulses", first_slot=40, **SIZE)
    on, _ = flags(truth, on=Labels.pumped(truth.devices["ppd"], shift=4))
    first = truth.cell_ids == 0
    np.testing.assert_array_equal(on, np.where(first, False, np.roll(truth.pump, 1)))


def test_a_run_without_decoder_says_what_to_do(tmp_path):
    truth = make_run(tmp_path / "r", trains=2, pulses=2, devices=("xgm", "timeserver"), **SIZE)
    with pytest.raises(PlanError, match="no source of the run says when the laser came .*Labels"):
        flags(truth)
    with pytest.raises(PlanError, match="no/such"):
        flags(truth, on=Labels.pumped("no/such"))
    with pytest.raises(TypeError, match="Pumped: shift="):
        Labels.pumped(shift=0.5)
