import numpy as np
import pytest

import dxflow
from dxflow import Algorithm, Frames, FrameSelection, Output, PulseKey
from dxflow.simulate import Plant, make_run

DETECTOR = {"trains": 6, "pulses": 8, "module_shape": (8, 8), "modules": 2}


class ByBlock(Algorithm):
    """Keeps the energy of each frame, as blocks see it."""

    ALG_ID = "energy"
    inputs = {"img": Frames(modules=(0, 1)), "energy": None}

    def outputs(self, info):
        return {"energy": Output(per="img", merge="max"), "weighted": Output(per="pixel")}

    def process_module_data(self, block, out):
        out.energy = np.nan_to_num(block["energy"], nan=-1)
        out.weighted += np.nansum(block["img"] * block["energy"][:, None, None], axis=0)


class ByTrain(ByBlock):
    """The same, as trains see it."""

    process_module_data = Algorithm.process_module_data

    def process_train_data(self, train, out):
        out.energy = np.nan_to_num(train["energy"], nan=-1)
        out.weighted += np.nansum(train["img"] * train["energy"][:, None, None, None], axis=0)


def key(truth, **options):
    options = {"sase": 1, "offset": 0, "frames": Frames(modules=(0, 1))} | options
    pattern = f"{truth.devices['timeserver']}:outputBunchPattern"
    return PulseKey(f"{truth.devices['xgm']}:output", "data.intensityTD", pattern, **options)


def energies(truth, algorithm=ByBlock, frames=None, **options):
    one = algorithm(energy=key(truth, **options))
    return dxflow.reduce(truth.path, one, cluster="here", frames=frames).dataset


def expected(truth):
    return np.where(truth.lit, truth.energy, 0)


@pytest.mark.parametrize("algorithm", [ByBlock, ByTrain])
@pytest.mark.parametrize(("instrument", "sase"), [("SPB", 1), ("MID", 2), ("SCS", 3)])
def test_every_lit_frame_gets_the_energy_of_its_pulse(tmp_path, algorithm, instrument, sase):
    truth = make_run(
        tmp_path / "r", lit=0.6, instrument=instrument, other_pulses=5, first_slot=40, seed=3, **DETECTOR
    )
    shift = 40 - int(truth.pulse_ids.min())
    result = energies(truth, algorithm, sase=sase, offset=shift)
    np.testing.assert_allclose(result["energy.energy"], expected(truth), rtol=1e-6)


def test_the_first_pulse_is_that_of_the_reference_frame_by_default(tmp_path):
    pattern = np.array([0, 0, 1, 1, 0, 1, 1, 1], bool)
    truth = make_run(tmp_path / "r", lit=pattern, first_slot=100, **DETECTOR)
    result = energies(truth, offset=None, reference_frame=2)
    np.testing.assert_allclose(result["energy.energy"], expected(truth), rtol=1e-6)


def test_an_exposure_of_several_slots_sums_their_pulses(tmp_path):
    truth = make_run(tmp_path / "r", lit="all", **DETECTOR)
    stride = int(truth.pulse_ids[1] - truth.pulse_ids[0])
    result = energies(truth, offset=int(-truth.pulse_ids.min()), exposure=stride + 1)["energy.energy"].values
    one = expected(truth).reshape(6, 8)
    two = one + np.pad(one[:, 1:], ((0, 0), (0, 1)))
    np.testing.assert_allclose(result.reshape(6, 8), two, rtol=1e-6)


def test_selected_frames_keep_their_own_energies(tmp_path):
    truth = make_run(tmp_path / "r", lit=0.6, **DETECTOR)
    wanted = np.unique(truth.pulse_ids)[::3]
    result = energies(
        truth, frames=FrameSelection(pulses=wanted.tolist()), offset=int(-truth.pulse_ids.min())
    )
    keep = np.isin(truth.pulse_ids, wanted)
    np.testing.assert_allclose(result["energy.energy"], expected(truth)[keep], rtol=1e-6)


def test_trains_with_other_pulse_counts_are_joined_by_pulse_id(tmp_path):
    plant = Plant(pulse_counts=np.array([8, 3, 5, 8, 1, 8]))
    truth = make_run(tmp_path / "r", lit=0.6, plant=plant, **DETECTOR)
    result = energies(truth, offset=int(-truth.pulse_ids.min()))
    np.testing.assert_allclose(result["energy.energy"], expected(truth), rtol=1e-6)


def test_what_cannot_be_joined_is_refused_in_the_plan(tmp_path):
    truth = make_run(tmp_path / "r", **DETECTOR)
    with pytest.raises(dxflow.PlanError, match="expected one of"):
        energies(truth, sase=4)
    other = ByBlock(img=Frames(modules=(0, 1), align="inner"), energy=key(truth, frames=Frames(modules=(1,))))
    other.inputs["img"] = dxflow.Key(f"{truth.devices['xgm']}:output", "data.intensityTD")
    with pytest.raises(dxflow.PlanError, match="set its frames= to them"):
        dxflow.plan(truth.path, other)
