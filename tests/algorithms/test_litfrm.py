"""LitFrameFinder against the planted pattern."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from extra_data import RunDirectory

import dxflow
from dxflow import Algorithm, Frames, FrameSelection, Output, PlanError, PulseKey
from dxflow.algorithms.average import Average
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.litfrm import LitFrameFinder
from dxflow.copying import agreement
from dxflow.simulate import Plant, make_run
from dxflow.testing import check_algorithm

SMALL = {"trains": 6, "pulses": 8, "module_shape": (8, 8), "modules": 2, "lit": 0.4}
ALL = ("xgm", "timeserver", "ppd", "agipd")
DECODER = "SPB_RR_SYS/MDL/PULSE_PATTERN_DECODER"


def found(truth, frames=None, **options):
    options = {"reference_frame": 0} | options
    return dxflow.reduce(
        truth.path, LitFrameFinder(**options), cluster="here", frames=frames, on_fault="mask"
    )


def is_as_planted(truth, data):
    np.testing.assert_array_equal(data["litfrm.lit"], truth.lit)
    np.testing.assert_array_equal(data["litfrm.has_data"], truth.lit)
    np.testing.assert_array_equal(data["litfrm.n_pulses"], truth.lit)
    np.testing.assert_allclose(data["litfrm.energy"], truth.energy, rtol=1e-6)
    np.testing.assert_allclose(data["litfrm.energy_sigma"], 0.02 * truth.energy, rtol=1e-5)
    np.testing.assert_array_equal(data["pulse_id"], truth.pulse_ids)


@pytest.mark.parametrize("devices", [ALL, ("xgm", "timeserver"), ("xgm", "ppd")])
@pytest.mark.parametrize("instrument", ["SPB", "MID", "SCS"])
def test_the_planted_pattern_is_found_at_any_beamline(tmp_path, instrument, devices):
    truth = make_run(
        tmp_path / "r", instrument=instrument, devices=devices, other_pulses=5, first_slot=40, **SMALL
    )
    data = found(truth).dataset
    is_as_planted(truth, data)
    np.testing.assert_array_equal(data["litfrm.master_pulse_id"], truth.pulse_ids)
    np.testing.assert_array_equal(data["litfrm.frames"], 8)
    np.testing.assert_array_equal(data["litfrm.lit_frames"], truth.lit.reshape(6, 8).sum(axis=1))
    np.testing.assert_array_equal(data["litfrm.pulses"], truth.lit.reshape(6, 8).sum(axis=1))
    assert not data["litfrm.inherited"].any()


@pytest.mark.parametrize("detector", ["LPD1M", "DSSC1M", "AGIPD500K"])
def test_any_detector_with_pulse_ids_works_without_a_control_device(tmp_path, detector):
    truth = make_run(tmp_path / "r", detector=detector, first_slot=7, **SMALL)
    is_as_planted(truth, found(truth).dataset)


def test_a_jungfrau_with_16_cells_needs_the_slots_between_its_frames(tmp_path):
    options = SMALL | {"detector": "JUNGFRAU", "pulses": 16, "repetition_rate": 1.1}
    truth = make_run(tmp_path / "r", **options)
    with pytest.raises(PlanError, match="its frames have no pulse ids.*give stride="):
        dxflow.plan(truth.path, LitFrameFinder())
    np.testing.assert_array_equal(found(truth, stride=4).dataset["litfrm.lit"], truth.lit)


def test_the_first_pulse_is_in_frame_number_1_unless_something_else_is_said(tmp_path):
    lit = np.array([0, 1, 0, 1, 1, 0, 0, 0], bool)
    truth = make_run(tmp_path / "r", **(SMALL | {"lit": lit}))
    data = dxflow.reduce(truth.path, LitFrameFinder(), cluster="here").dataset
    np.testing.assert_array_equal(data["litfrm.lit"], truth.lit)
    np.testing.assert_array_equal(found(truth).dataset["litfrm.lit"].values[:7], lit[1:])


def test_frames_and_trains_that_are_selected_have_the_values_that_all_have(tmp_path):
    plant = Plant(pulse_counts=np.array([8, 3, 0, 8, 1, 8]))
    truth = make_run(tmp_path / "r", plant=plant, **SMALL)
    is_as_planted(truth, found(truth).dataset)
    some = found(truth, FrameSelection(cells=[1, 3, 6], trains=slice(10002, 10006)), stride=4, n_frames=8)
    keep = (
        np.isin(truth.cell_ids, [1, 3, 6]) & (truth.frame_train_ids > 10001) & (truth.frame_train_ids < 10006)
    )
    np.testing.assert_array_equal(some.dataset["litfrm.lit"], truth.lit[keep])
    np.testing.assert_allclose(some.dataset["litfrm.energy"], truth.energy[keep], rtol=1e-6)


def test_results_select_the_frames_of_later_passes_and_share_a_pass_with_others(tmp_path):
    truth = make_run(tmp_path / "r", **SMALL)
    both = dxflow.reduce(
        truth.path, [LitFrames(), LitFrameFinder(reference_frame=0)], cluster="here", on_fault="mask"
    )
    np.testing.assert_array_equal(both.dataset["litfrm.lit"], both.dataset["litframes.lit"])
    assert both.dataset["litfrm.lit"].dims == both.dataset["litframes.lit"].dims
    lit = dxflow.reduce(truth.path, LitFrames(), cluster="here", frames=found(truth), on_fault="mask").dataset
    assert len(lit["litframes.lit"]) == truth.lit.sum()
    assert lit["litframes.lit"].all()


def test_no_pixel_is_read(tmp_path):
    truth = make_run(tmp_path / "r", **(SMALL | {"module_shape": (64, 64)}))
    for module, source in enumerate(truth.sources):
        for file in Path(truth.path).glob(f"*AGIPD{module:02d}*.h5"):
            with h5py.File(file, "r+") as opened:
                del opened[f"INSTRUMENT/{source}/image/mask"]
    result = found(truth)
    is_as_planted(truth, result.dataset)
    assert not len(result.losses)


def test_it_gives_the_same_bits_however_its_work_is_cut(tmp_path):
    truth = make_run(tmp_path / "r", plant=Plant(pulse_counts=np.array([8, 3, 0, 8, 1, 8])), **SMALL)
    check_algorithm(lambda: LitFrameFinder(reference_frame=0), truth.path)


# What is missing ----------------------------------------------------------------------------------


ENDINGS = {":outputBunchPattern": "TIMESERVER:outputBunchPattern", ":output": "XGM/DOOCS:output"}


def without(truth, ending, trains):
    """Take entries of a device out of some trains."""
    (source,) = (
        f"{name}{ending}" for name in truth.devices.values() if f"{name}{ending}".endswith(ENDINGS[ending])
    )
    for file in Path(truth.path).glob("*DA01*.h5"):
        with h5py.File(file, "r+") as opened:
            if f"INDEX/{source}" in opened:
                ids = opened["INDEX/trainId"][:]
                gone = np.isin(ids, trains)
                count = opened[f"INDEX/{source}/data/count"]
                keep = np.repeat(~gone, count[:].astype(int))
                left = np.where(gone, 0, count[:])
                count[:] = left
                opened[f"INDEX/{source}/data/first"][:] = np.cumsum(left) - left
                group = opened[f"INSTRUMENT/{source}/data"]
                for key in list(group):
                    values = group[key][:][keep]
                    del group[key]
                    group[key] = values


def test_trains_without_time_server_have_no_values_or_those_of_a_train_nearby(tmp_path):
    lit = np.random.default_rng(1).random((6, 8)) < 0.5
    lit[:, 0] = True
    truth = make_run(tmp_path / "r", sequences=2, **(SMALL | {"lit": lit}))
    without(truth, ":outputBunchPattern", [10001, 10004])
    result = found(truth, bunches="SPB_RR_UTC/TSYS/TIMESERVER:outputBunchPattern")
    data, known = result.dataset, ~np.isin(truth.frame_train_ids, [10001, 10004])
    np.testing.assert_array_equal(data["litfrm.lit_valid"], known)
    np.testing.assert_array_equal(data["litfrm.lit"].values[known], truth.lit[known])
    assert np.isnan(data["litfrm.energy"].values[~known]).all()
    np.testing.assert_array_equal(data["litfrm.frames_valid"], [0, 1, 1, 0, 1, 1])
    filled = found(truth, inherit=True)
    expected = lit[[1, 1, 2, 2, 4, 5]]
    np.testing.assert_array_equal(filled.dataset["litfrm.lit"].values.reshape(6, 8), expected)
    np.testing.assert_array_equal(filled.dataset["litfrm.inherited"], [1, 0, 0, 1, 0, 0])
    (row,) = filled.losses[filled.losses.cause == "inherited pattern"].to_dict("records")
    assert (row["trains"], row["first_train"], row["last_train"]) == (2, 10001, 10004)


def test_in_the_layout_of_the_device_trains_without_pattern_have_no_entry_and_unknown_energies_are_10000(
    tmp_path,
):
    lit = np.random.default_rng(2).random((6, 8)) < 0.5
    lit[:, 0] = True
    truth = make_run(
        tmp_path / "r",
        sequences=2,
        instrument="MID",
        **(SMALL | {"lit": lit, "devices": ("timeserver", "xgm")}),
    )
    without(truth, ":outputBunchPattern", [10002, 10005])
    without(truth, ":output", [10003])
    layout = "MID_EXP_AGIPD1M1/REDU/LITFRM"
    options = {"cluster": "here", "on_fault": "mask"}
    made = dxflow.reduce(truth.path, LitFrameFinder(reference_frame=0), f"{tmp_path}/lit/", **options)
    run = RunDirectory(tmp_path / "lit")
    fast = run[f"{layout}:output"]
    keys = "dataFramePattern detectorPulseId energyPerFrame energySigma masterPulseId nFrame nPulsePerFrame"
    keys += " trainId xgmPulseId"
    assert fast.keys() == {f"data.{key}" for key in keys.split()}
    shapes = {key: (fast[key].entry_shape, fast[key].dtype.str[1:]) for key in sorted(fast.keys())}
    assert shapes["data.nPulsePerFrame"] == ((352,), "u2")
    assert shapes["data.energyPerFrame"] == ((352,), "f4")
    assert shapes["data.dataFramePattern"] == ((352,), "u1")
    assert shapes["data.masterPulseId"] == ((2700,), "u2")
    there = [10001, 10003, 10004, 10006]
    np.testing.assert_array_equal(fast["data.trainId"].ndarray(), there)
    rows = np.isin(truth.train_ids, there)
    np.testing.assert_array_equal(fast["data.nPulsePerFrame"].ndarray()[:, :8], lit[rows])
    energy = fast["data.energyPerFrame"].ndarray()[:, :8]
    np.testing.assert_array_equal(energy[1], 10000 * lit[2])
    np.testing.assert_allclose(energy[0], truth.energy[:8], rtol=1e-6)
    assert np.isnan(made.dataset["litfrm.energy"].values[16:24][lit[2]]).all()
    np.testing.assert_array_equal(run[layout]["nLitFrame"].ndarray(), np.where(rows, lit.sum(axis=1), 0))
    assert run.get_run_value(layout, "classId") == "AgipdLitFrameFinder"


def test_without_gas_monitor_energies_are_nan_and_the_pattern_is_as_ever(tmp_path):
    truth = make_run(tmp_path / "r", devices=("timeserver",), **SMALL)
    data = found(truth).dataset
    np.testing.assert_array_equal(data["litfrm.lit"], truth.lit)
    np.testing.assert_array_equal(np.isnan(data["litfrm.energy"]), truth.lit)
    some = make_run(tmp_path / "s", **SMALL)
    without(some, ":output", [10002])
    energy = found(some).dataset["litfrm.energy"].values
    gone = some.lit & (some.frame_train_ids == 10002)
    np.testing.assert_allclose(energy, np.where(gone, np.nan, some.energy), rtol=1e-6)


def test_dark_runs_have_data_in_all_frames_and_none_is_lit(tmp_path):
    truth = make_run(tmp_path / "r", devices=("agipd",), **(SMALL | {"lit": "none"}))
    data = found(truth).dataset
    assert data["litfrm.has_data"].all()
    assert not data["litfrm.lit"].any()
    capacitors = make_run(tmp_path / "s", **SMALL)
    data = found(capacitors, mode="pulse capacitor").dataset
    assert data["litfrm.has_data"].all()
    assert not data["litfrm.lit"].any()
    np.testing.assert_array_equal(data["litfrm.n_pulses"], capacitors.lit)


def test_what_cannot_be_known_is_refused_in_the_plan_with_what_to_do(tmp_path):
    truth = make_run(tmp_path / "r", devices=("xgm",), **SMALL)

    def refused(match, path=truth.path, **options):
        with pytest.raises(PlanError, match=match):
            dxflow.plan(path, LitFrameFinder(**options))

    refused("no time server and no decoder.*give bunches=")
    refused("no source 'NO/SUCH/XGM:output'", xgm="NO/SUCH/XGM:output")
    refused("no instrument 'SPQ' is known.*There are: FXE, HED, MID, SCS, SPB", instrument="SPQ")
    refused("sase=4; expected one of", sase=4)
    refused("400 frames per train; a AGIPD1M has 352 memory cells", n_frames=400)
    refused("exposure=0; expected at least 1 slot", truth.path, exposure=0)
    refused("0 slots from one frame to the next", truth.path, stride=0)
    refused("control='NO/SUCH/DEVICE': the run has no such device", control="NO/SUCH/DEVICE")
    whole = make_run(tmp_path / "s", **SMALL)
    refused("does not say event and delay of the trigger.*give trigger_event=", whole.path, align="delay")
    refused(
        "no reference delay is known for event 16",
        whole.path,
        align="delay",
        trigger_event=16,
        trigger_delay=10,
    )
    other = make_run(tmp_path / "t", instrument="XYZ", **SMALL)
    refused("no instrument that is known.*give sase=", other.path)
    np.testing.assert_array_equal(
        found(other, sase=1, xgm=f"{other.devices['xgm']}:output").dataset["litfrm.lit"], other.lit
    )


def test_the_reference_delay_of_the_run_shifts_the_frames(tmp_path):
    truth = make_run(tmp_path / "r", repetition_rate=4.5, **(SMALL | {"lit": "all"}))
    # A pulse was in frame 2 at 1000 ticks; three slots later the same pulse is three frames earlier.
    options = {"trigger_event": 180, "reference_delay": (1000, 0, 2, 4.5, 0), "align": "delay"}
    for slots, expected in ((0, [0, 0, 1, 1, 1, 1, 1, 1]), (2, [1] * 8), (-3, [0, 0, 0, 0, 0, 1, 1, 1])):
        data = found(truth, trigger_delay=1000 + 24 * slots, **options).dataset
        np.testing.assert_array_equal(data["litfrm.lit"].values.reshape(6, 8)[0], expected)
    fixed = options | {"trigger_event": 16}
    data = found(truth, trigger_delay=1000, **fixed).dataset
    np.testing.assert_array_equal(data["litfrm.lit"].values.reshape(6, 8)[0], [0, 0, 1, 1, 1, 1, 1, 1])
    # Light takes one slot, 24 ticks, for 66.4 m.
    data = found(truth, trigger_delay=1000, distance=24 * 2767.08, **options).dataset
    np.testing.assert_array_equal(data["litfrm.lit"].values.reshape(6, 8)[0], [0, 0, 0, 1, 1, 1, 1, 1])


def test_pulse_keys_take_the_time_server_and_the_undulator_of_the_instrument(tmp_path):
    truth = make_run(tmp_path / "r", instrument="SCS", other_pulses=3, **SMALL)

    class Energy(Algorithm):
        ALG_ID = "energy"
        inputs = {
            "img": Frames(modules=(0, 1)),
            "e": PulseKey(
                "SA3_XTD10_XGM/XGM/DOOCS:output", "data.intensityTD", frames=Frames(modules=(0, 1))
            ),
        }

        def outputs(self, info):
            return {"e": Output(per="img", merge="max")}

        def process_module_data(self, block, out):
            out.e = block["e"]

    data = dxflow.reduce(truth.path, Energy(), cluster="here").dataset
    np.testing.assert_allclose(data["energy.e"], truth.energy, rtol=1e-6)


# What the simulator plants ------------------------------------------------------------------------


def test_planted_shutters_are_seen_by_the_device_and_by_intensity(tmp_path):
    plant = Plant(shut_trains=(1, 4))
    options = SMALL | {"module_shape": (16, 16), "devices": (*ALL, "shutter"), "plant": plant}
    truth = make_run(tmp_path / "r", **options)
    assert not truth.lit.reshape(6, 8)[[1, 4]].any()
    assert truth.lit.reshape(6, 8)[[0, 2, 3, 5]].any(axis=1).all()
    blind = found(truth).dataset
    assert blind["litfrm.lit"].values.reshape(6, 8)[[1, 4]].any()
    assert (blind["litfrm.pulses"] > 0).all()
    data = found(truth, shutter=(truth.devices["shutter"], "isOpened")).dataset
    is_as_planted(truth, data)
    seen = dxflow.reduce(truth.path, LitFrames(), cluster="here", on_fault="mask").dataset["litframes.lit"]
    np.testing.assert_array_equal(seen, truth.lit)


def test_a_trigger_that_moves_in_the_run_is_found_by_its_shift(tmp_path):
    lit = np.random.default_rng(3).random(24) < 0.5
    lit[0] = True
    options = {"detector": "AGIPD500K", "trains": 8, "pulses": 24, "module_shape": (16, 16), "lit": lit}
    truth = make_run(tmp_path / "r", plant=Plant(shifts={3: 2, 6: -1}), **options)
    np.testing.assert_array_equal(truth.lit.reshape(8, 24)[4, 2:], lit[:-2])
    np.testing.assert_array_equal(truth.lit.reshape(8, 24)[7, :-1], lit[1:])
    assert (truth.energy[truth.lit] > 0).all()
    timing = dxflow.reduce(truth.path, LitFrameFinder(reference_frame=0), cluster="here")
    np.testing.assert_array_equal(timing.dataset["litfrm.lit"], np.tile(lit, 8))
    energy = timing.dataset["litfrm.energy"].values.reshape(8, 24)
    np.testing.assert_allclose(energy[4, :-2], truth.energy.reshape(8, 24)[4, 2:], rtol=1e-6)
    agreed = agreement(timing, dxflow.reduce(truth.path, LitFrames(), cluster="here"))
    rows = agreed.table[["first_train", "last_train", "shift", "after_shift"]].values.tolist()
    assert rows == [[10001, 10003, 0, 0], [10004, 10006, 2, 0], [10007, 10008, -1, 0]]


class Spread(Algorithm):
    """Needs whole trains of each module."""

    WHOLE_TRAINS = True
    ALG_ID = "spread"
    inputs = {"img": Frames()}

    def outputs(self, info):
        return {"sum": Output(per="pixel"), "n": Output(per="run", dtype="i8")}

    def process_module_data(self, block, out):
        out.sum += np.nansum(block["img"], axis=0)
        out.n += block.valid("img").sum()


@pytest.mark.parametrize("others", [(Average, LitFrames), (Spread,), (Frames,)])
def test_in_company_it_needs_no_whole_trains_and_all_have_the_bits_that_they_have_alone(tmp_path, others):
    plant = Plant(pulse_counts=np.array([8, 3, 0, 8, 1, 8]), lost_trains={0: (1, 3)}, silent_trains={1: (5,)})
    truth = make_run(tmp_path / "r", plant=plant, **SMALL)
    options = {"cluster": "here", "on_fault": "mask"}
    finder = lambda: LitFrameFinder(reference_frame=0)  # noqa: E731
    if others == (Frames,):
        # A detector whose frames all modules have follows the same index.
        others, truth = (
            (LitFrames,),
            make_run(tmp_path / "s", detector="JUNGFRAU1", **(SMALL | {"modules": 1})),
        )
        finder = lambda: LitFrameFinder(reference_frame=0, stride=4)  # noqa: E731
    made = dxflow.plan(truth.path, [others[0](), finder(), *(one() for one in others[1:])], **options)
    words = "whole trains of each module" if Spread in others else "module blocks"
    assert f"read as {words}" in str(made)
    both = dxflow.execute(made).dataset
    for alone in (*others, finder):
        expected = dxflow.reduce(truth.path, alone(), **options).dataset
        for name in expected.data_vars:
            if "." in name:
                np.testing.assert_array_equal(both[name], expected[name], err_msg=name)
