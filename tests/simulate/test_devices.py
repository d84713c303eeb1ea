"""Devices, as EXtra-data reads them."""

import numpy as np
import pytest
from extra_data import RunDirectory

from dxflow.simulate import Scan, make_run
from dxflow.simulate.devices import XGM_EMPTY
from dxflow.simulate.settings import DEVICES

LIT = [True, False, True, True]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    options = {"lit": LIT, "pump": "trains", "other_pulses": 2, "devices": DEVICES, "first_slot": 10}
    truth = make_run(path, detector=None, trains=4, pulses=4, scan=Scan(1, 2, 2), **options)
    return truth, RunDirectory(path)


def test_every_device_is_there(made):
    truth, run = made
    assert sorted(truth.devices) == sorted(DEVICES)
    assert {source.partition(":")[0] for source in run.all_sources} == set(truth.devices.values())


def test_gas_monitor_has_our_pulses_then_the_neighbours_then_ones(made):
    truth, run = made
    table = run[truth.devices["xgm"] + ":output", "data.intensityTD"]
    assert table.shape == (4, 1000)
    assert table.units == "μJ"
    values = table.ndarray()
    assert np.array_equal(values[:, :3].ravel(), truth.energy[truth.lit])
    assert (values[:, 3:5] > 100).all()
    assert (values[:, 5:] == XGM_EMPTY).all()
    own = run[truth.devices["xgm"] + ":output", "data.intensitySa1TD"].ndarray()
    assert np.array_equal(own[:, :3], values[:, :3])
    assert (own[:, 3:] == XGM_EMPTY).all()


def test_slow_pulse_energy_is_the_mean_of_the_train(made):
    truth, run = made
    flux = run[truth.devices["xgm"], "pulseEnergy.photonFlux"].ndarray()
    assert flux == pytest.approx(truth.energy[truth.lit].reshape(4, 3).mean(axis=1))


def test_motor_steps_through_the_scan(made):
    truth, run = made
    key = run[truth.devices["motor"], "actualPosition"]
    assert key.ndarray().tolist() == truth.motor.tolist() == [1, 1, 2, 2]
    assert key.units == "mm"


def test_bunch_pattern_has_a_pulse_at_each_lit_frame(made):
    truth, run = made
    table = run[truth.devices["timeserver"] + ":outputBunchPattern", "data.bunchPatternTable"].ndarray()
    # Destination T4D (bits 18 to 21 are 4) without the soft kick (bit 27): SASE1.
    ours = ((table >> 18) & 0xF == 4) & ((table >> 27) & 1 == 0)
    train, slot = np.nonzero(ours)
    assert np.array_equal(slot, truth.pulse_ids[truth.lit])
    assert np.array_equal(truth.train_ids[train], truth.frame_train_ids[truth.lit])
    assert ((table >> 27) & 1).sum(axis=1).tolist() == [2] * 4
    laser = np.nonzero((table >> 10) & 1)[1]
    assert np.array_equal(laser, truth.pulse_ids[truth.pump])


def test_decoder_lists_the_same_pulses(made):
    truth, run = made
    name = truth.devices["ppd"]
    assert run[name, "sase1.nPulses"].ndarray().tolist() == [3] * 4
    assert run[name, "sase3.nPulses"].ndarray().tolist() == [2] * 4
    assert run[name, "laser.nPulses"].ndarray().tolist() == [0, 4, 0, 4]
    assert run[name, "sase1.pulseIds"].ndarray()[:, :4].tolist() == [[10, 18, 22, 0]] * 4


def test_camera_spot_is_where_the_truth_says(made):
    truth, run = made
    images = run[truth.devices["camera"] + ":daqOutput", "data.image.pixels"].ndarray().astype(float) - 50
    row, column = np.indices(images.shape[1:])
    weight = images.sum(axis=(1, 2))
    centre = (
        np.stack([(images * row).sum(axis=(1, 2)), (images * column).sum(axis=(1, 2))], axis=1)
        / weight[:, None]
    )
    assert centre == pytest.approx(truth.camera_centres, abs=0.3)


def test_detector_control_tells_how_frames_follow_pulses(made):
    truth, run = made
    name = truth.devices["agipd"]
    assert run.get_run_value(name, "bunchStructure.nPulses") == 4
    assert run.get_run_value(name, "bunchStructure.repetitionRate") == 1.1
    assert run.get_run_value(name, "bunchStructure.firstPulse") == 10
    assert run.get_run_value(name, "patternType") == "XRay"


def test_online_finder_marks_the_lit_frames_and_their_pulses(made):
    truth, run = made
    source = truth.devices["litframes"] + ":output"
    pattern = run[source, "data.dataFramePattern"].ndarray()
    assert pattern.shape == (4, 352)
    assert np.array_equal(pattern[:, :4].astype(bool).ravel(), truth.lit)
    assert np.array_equal(run[source, "data.energyPerFrame"].ndarray()[:, :4].ravel(), truth.energy)
    assert run[source, "data.masterPulseId"].ndarray()[0, :4].tolist() == [10, 18, 22, 0]
    rows = run[source, "data.xgmPulseId"].ndarray()[:, :3].astype(int)
    xgm = run[truth.devices["xgm"] + ":output", "data.intensityTD"].ndarray()
    assert np.array_equal(np.take_along_axis(xgm, rows, axis=1).ravel(), truth.energy[truth.lit])
    assert run[truth.devices["litframes"], "litFrames"].ndarray()[0, :4].tolist() == [0, 2, 3, 0]


@pytest.mark.parametrize(("instrument", "number"), [("MID", 2), ("SCS", 3), ("FXE", 1)])
def test_pulses_go_to_the_undulator_of_the_instrument(tmp_path, instrument, number):
    truth = make_run(tmp_path, detector=None, trains=2, pulses=3, instrument=instrument, other_pulses=1)
    run = RunDirectory(tmp_path)
    assert run[truth.devices["ppd"], f"sase{number}.nPulses"].ndarray().tolist() == [3, 3]
    table = run[truth.devices["timeserver"] + ":outputBunchPattern", "data.bunchPatternTable"].ndarray()
    destination, kicked = (table >> 18) & 0xF, (table >> 27) & 1
    ours = {1: (destination == 4) & (kicked == 0), 2: destination == 2, 3: (destination == 4) & (kicked == 1)}
    assert ours[number].sum(axis=1).tolist() == [3, 3]
    assert truth.devices["xgm"].startswith(f"SA{number}_")
    rows = 3 if number == 2 else 4
    xgm = run[truth.devices["xgm"] + ":output", "data.intensityTD"].ndarray()
    assert (xgm != XGM_EMPTY).sum(axis=1).tolist() == [rows, rows]


def test_dark_run_has_no_pulses(tmp_path):
    truth = make_run(
        tmp_path, detector=None, trains=2, pulses=3, lit="none", devices=("timeserver", "xgm", "agipd")
    )
    run = RunDirectory(tmp_path)
    assert (
        not run[truth.devices["timeserver"] + ":outputBunchPattern", "data.bunchPatternTable"].ndarray().any()
    )
    assert (run[truth.devices["xgm"] + ":output", "data.intensityTD"].ndarray() == XGM_EMPTY).all()
    assert run.get_run_value(truth.devices["agipd"], "patternType") == "Dark"
