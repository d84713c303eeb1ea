"""Pulses in frames: against extra-redu's lit-frame finder, with its fault mended in a copy of its code."""

import inspect
import os
import textwrap
from collections import namedtuple
from types import SimpleNamespace

import extra_redu.base.litfrm as oracle
import numpy as np
import pytest
from extra_data import RunDirectory
from extra_redu.base.bunches import SA1, SA2, SA3
from extra_redu.litfrm.agipd_offline import AgipdLitFrameFinderSPB
from hypothesis import given, settings
from hypothesis import strategies as st
from validator import problems

import dxflow
from dxflow import Clock, FrameClock
from dxflow.algorithms.litfrm import LitFrameFinder
from dxflow.declare.bunches import own_pulses
from dxflow.declare.exposures import numbers_of
from dxflow.run.detectors import Found, known
from dxflow.run.index import align
from dxflow.run.instruments import named
from dxflow.run.timing import EVENTS, STRIDES, Reference, Timing, clock
from dxflow.simulate import make_run

EXAMPLES = int(os.environ.get("DXFLOW_EXAMPLES", "60"))
Value = namedtuple("Value", "value")
OWN = {1: 4 << 18, 2: 2 << 18, 3: (4 << 18) | (1 << 27)}
SASE = {1: SA1, 2: SA2, 3: SA3}
AGIPD = next(kind for kind in known() if kind.kind == "AGIPD1M")


def mended():
    """Return extra-redu's class with the reference pulse where it takes the first one for it."""
    text = textwrap.dedent(inspect.getsource(oracle.AgipdLitFrameFinderBase))
    right = text.replace("first_pulse = np.argmax(pulses)", "first_pulse = ref_pulse")
    assert right != text
    names = dict(vars(oracle))
    exec(right, names)
    return names["AgipdLitFrameFinderBase"]


MENDED = mended()


class Devices:
    """A run of control devices alone."""

    legacy_sources = {}

    def __init__(self, **devices):
        self.devices = {name.replace("__", "/"): values for name, values in devices.items()}
        self.control_sources = self.all_sources = frozenset(self.devices)
        self.instrument_sources = frozenset()

    def __getitem__(self, name):
        return SimpleNamespace(run_values=lambda: self.devices[name])


@st.composite
def cases(draw):
    """Return all that both sides need to know of a train."""
    rate = draw(st.sampled_from(sorted(STRIDES)))
    cells = draw(st.integers(1, 360))
    width = draw(st.sampled_from([40, 300, 2700]))
    words = st.sampled_from([0, 0, 0, *OWN.values(), 1 << 9])
    table = np.zeros(2700, np.uint32)
    start = draw(st.integers(0, 2700 - width))
    step = draw(st.integers(1, 9))
    few = draw(st.lists(words, min_size=1, max_size=40))
    slots = np.arange(start, start + width, step)
    table[slots] = np.resize(few, len(slots))
    sase = draw(st.sampled_from([1, 2, 3]))
    event = draw(st.sampled_from([16, 179 + sase]))
    reference = Reference(
        delay=draw(st.integers(0, 30000)),
        pulse=draw(st.integers(0, 900)),
        frame=draw(st.integers(0, 5)),
        rate=draw(st.sampled_from(sorted(STRIDES))),
        position=draw(st.floats(-500, 5000)),
    )
    return SimpleNamespace(
        rate=rate,
        cells=cells,
        table=table,
        sase=sase,
        event=event,
        reference=reference,
        first=draw(st.integers(0, 100)),
        delay=reference.delay + draw(st.integers(-9000, 30000)),
        clocks=draw(st.integers(1, 200)),
        align=draw(st.sampled_from(["by first pulse", "by reference delay"])),
        frame=draw(st.integers(-3, 60)),
        distance=draw(st.none() | st.floats(-500, 6000)),
        mode=draw(st.sampled_from(["XRay", "XRay", "Dark"])),
        open=draw(st.sampled_from([True, True, False])),
        second=draw(st.booleans()),
        xgm=draw(st.booleans()),
        seed=draw(st.integers(0, 99)),
    )


def control(case):
    """Return the values of the control device, one of the first or of the second generation."""
    key = "expType" if case.second else "patternType"
    return {
        "classId": "Agipd2Composite" if case.second else "AgipdComposite",
        "bunchStructure.nPulses": case.cells,
        "bunchStructure.repetitionRate": case.rate,
        "bunchStructure.firstPulse": case.first,
        "integrationTime": case.clocks,
        key: case.mode,
    }


def entries(case):
    """Return what the gas monitor says, energies and their errors; extra-redu fails with fewer entries than pulses."""
    rng = np.random.default_rng(case.seed)
    return rng.gamma(4, 200, 2700).astype("f4"), rng.random(2700).astype("f4")


def theirs(case):
    """Return pulses of the train and frames, their ids and the annotation, by extra-redu."""
    values = {key.rpartition(".")[2]: Value(value) for key, value in control(case).items()}
    device = SimpleNamespace(bunchStructure=SimpleNamespace(**values), **values)
    finder = MENDED()
    finder._agipd = oracle.AGIPDGEN[values["classId"].value](device, finder)
    finder._detector, finder.dst = device, SASE[case.sase]
    finder.alignMethod, finder.referenceFrame = Value(case.align), Value(case.frame)
    kind = EVENTS[case.event]
    r = case.reference
    finder.ref = oracle.ReferenceDelay(r.delay, r.pulse, r.frame, r.rate, r.position)
    finder.trigger_event, finder.trigger_delay = case.event, case.delay
    finder._get_event_pulse = {case.event: oracle.EVENT_PULSE[kind]}
    finder.actual_position = None if case.distance is None else case.distance * 0.001
    finder.shutters_are_open = case.open
    finder.missedIntensityTD, finder.missedIntensitySigmaTD = 10000, 0
    bunches = SimpleNamespace(data=SimpleNamespace(data=SimpleNamespace(bunchPatternTable=Value(case.table))))
    mu, sigma = (Value(one) for one in entries(case))
    xgm = SimpleNamespace(data=SimpleNamespace(data=SimpleNamespace(intensityTD=mu, intensitySigmaTD=sigma)))
    return finder.process_train(bunches, xgm if case.xgm else None)


def ours(case):
    """Return the clock of a run with such devices, and the annotation."""
    index = align(np.arange(1, dtype="u8"), np.array([[1]]), [np.zeros(1, int)], [np.zeros(1, int)])
    found = Found("SPB_DET_AGIPD1M-1", AGIPD, "raw", {0: "a"})
    run = Devices(SPB__COMP=control(case))
    timing = Timing(
        control="SPB/COMP",
        align=case.align,
        reference_frame=case.frame,
        event=case.event,
        delay=case.delay,
        reference=case.reference,
        distance=case.distance,
    )
    made = clock(run, found, index, None, timing)
    pair = [one[None] for one in entries(case)] if case.xgm else (None, None)
    return made, FrameClock.annotate(made, case.table[None], case.sase, *pair, shutter=np.array([case.open]))


@settings(max_examples=EXAMPLES, deadline=None)
@pytest.mark.properties
@given(cases())
def test_any_pattern_gives_what_extra_redu_gives(case):
    made, found = ours(case)
    begin = int(made.begins(own_pulses(case.table[None], case.sase))[0])
    if begin > 2700 or -begin > made.frames * made.stride:
        # No frame is at any slot: extra-redu fails.
        assert not found.n_pulses.any()
        return
    in_train, cells, ids, frames = theirs(case)
    assert (made.frames, found.in_train[0]) == (cells, in_train)
    np.testing.assert_array_equal(made.pulse_ids, ids)
    np.testing.assert_array_equal(found.n_pulses[0], frames.npulse)
    np.testing.assert_array_equal(found.has_data[0], frames.hasdata)
    np.testing.assert_array_equal(found.slots[0], frames.master_ids)
    np.testing.assert_array_equal(found.rows[0], frames.xgm_ids)
    if case.xgm:
        np.testing.assert_array_equal(found.energy[0].astype("f4"), np.asarray(frames.energy, "f4"))
        np.testing.assert_array_equal(found.sigma[0].astype("f4"), np.asarray(frames.energy_std, "f4"))
    else:
        np.testing.assert_array_equal(np.isnan(found.energy[0]), frames.npulse > 0)
        np.testing.assert_array_equal(frames.energy, 10000 * frames.npulse)


@settings(max_examples=EXAMPLES, deadline=None)
@pytest.mark.properties
@given(cases())
def test_any_pattern_gives_what_a_loop_over_slots_gives(case):
    made, found = ours(case)
    bits = OWN[case.sase]
    mask = (0xF << 18) if case.sase == 2 else (0xF << 18) | (1 << 27)
    own = [slot for slot, word in enumerate(case.table.tolist()) if word & mask == bits] if case.open else []
    begin = made.pulse - made.shift
    if made.dynamic and own:
        begin += own[0]
    seen = [
        [slot for slot in own if 0 <= slot - begin - f * made.stride < made.exposure]
        for f in range(made.frames)
    ]
    assert found.n_pulses[0].tolist() == [len(one) for one in seen]
    assert found.slots[0].tolist() == sum(seen, [])


def test_the_fault_of_extra_redu_that_is_not_copied():
    # By a static event the reference is a slot, whatever the first pulse is; extra-redu 1.1.0 takes the first pulse.
    table = np.zeros((1, 2700), np.uint32)
    table[0, [110, 120]] = OWN[1]
    made = Clock(frames=30, stride=1, exposure=1, shift=0, pulse=100, dynamic=False)
    assert np.flatnonzero(FrameClock.annotate(made, table, 1).n_pulses[0]).tolist() == [10, 20]


FINDER = {
    "detectorId": "SPB/COMP",
    "alignMethod": "by reference delay",
    "referenceFrame": 3,
    "trigger.deviceId": "SPB/TSYS/UTC",
    "trigger.name": "backTrg3",
    "motor.deviceId": "SPB/MOTOR",
    "motor.positionProperty": "encoderPosition",
    "motor.unitConversionCoef": 1e-3,
    "useDistanceDelay": True,
    "detectorDistance": 500.0,
    **{
        f"referenceDelay.static.{k}": v
        for k, v in (("delay", 5000), ("pulse", 7), ("frame", 2), ("position", 1000.0))
    },
    "referenceDelay.static.repetitionRate": 2.2,
    "referenceDelay.dynamic.delay": -1,
}
COMPOSITE = {
    "classId": "AgipdComposite",
    "bunchStructure.nPulses": 500,
    "bunchStructure.repetitionRate": 1.13,
    "bunchStructure.firstPulse": 12,
    "integrationTime": 60,
    "patternType": "XRay",
}


@pytest.mark.parametrize("kept", [False, True])
def test_settings_are_those_of_the_online_finder_and_its_devices_or_of_a_data_selector(kept):
    trigger, motor = {"backTrg3.event": 16, "backTrg3.delay": 4000}, {"encoderPosition": 2500.0}
    devices = {"SPB_IRU_AGIPD1M1__REDU__LITFRM": FINDER, "SPB__COMP": COMPOSITE}
    if kept:
        selector = {f"SPB_TSYS_UTC.{key.replace('.', '_')}": v for key, v in trigger.items()}
        selector |= {"SPB_MOTOR.encoderPosition": 2500.0}
        devices["SPB_IRU_AGIPD1M1__MDL__DATA_SELECTOR"] = selector
    else:
        devices |= {"SPB__TSYS__UTC": trigger, "SPB__MOTOR": motor}
    index = align(np.arange(1, dtype="u8"), np.array([[1]]), [np.zeros(1, int)], [np.zeros(1, int)])
    found = Found("SPB_DET_AGIPD1M-1", AGIPD, "raw", {0: "a"})
    made = clock(Devices(**devices), found, index, named("SPB"), Timing())
    assert (made.frames, made.stride, made.first, made.exposure) == (352, 4, 12, 3)
    ticks = 5000 + 2 * 2 * 24 - 4000 - (1.0 - (0.5 + 2.5)) / 2.76708438734
    assert (made.shift, made.pulse, made.dynamic) == (round(ticks / 24), 7, False)
    assert made.device == "SPB_EXP_AGIPD1M1/REDU/LITFRM"
    said = made.said
    assert (said["trigger.deviceId"], said["trigger.name"]) == ("SPB/TSYS/UTC", "backTrg3")
    assert (said["referenceDelay.static.delay"], said["referenceDelay.static.repetitionRate"]) == (5000, 2.2)
    assert (said["motor.deviceId"], said["detectorDistance"]) == ("SPB/MOTOR", 500.0)


def test_a_finder_of_an_older_version_and_what_options_say_in_its_place():
    old = {"DetectorCtrl": "SPB/COMP", "alignMethod": "by first pulse", "referenceFrame": 5}
    devices = Devices(SPB_IRU_AGIPD1M1__REDU__LITFRM=old, SPB__COMP=COMPOSITE)
    index = align(np.arange(1, dtype="u8"), np.array([[1]]), [np.zeros(1, int)], [np.zeros(1, int)])
    found = Found("SPB_DET_AGIPD1M-1", AGIPD, "raw", {0: "a"})
    made = clock(devices, found, index, named("SPB"), Timing())
    assert (made.shift, made.dynamic, made.frames) == (20, True, 352)
    told = clock(
        devices, found, index, named("SPB"), Timing(reference_frame=2, stride=1, n_frames=30, mode="Dark")
    )
    assert (told.shift, told.frames, told.exposure, told.exposed) == (2, 30, 1, False)
    with pytest.raises(ValueError, match="repetition rate of 3.3 MHz; expected one of"):
        clock(
            Devices(SPB__COMP=COMPOSITE | {"bunchStructure.repetitionRate": 3.3}),
            found,
            index,
            None,
            Timing(control="SPB/COMP"),
        )


def test_frames_are_numbered_by_cell_and_where_they_have_no_pulse_ids_by_entry():
    index = align(np.arange(1, dtype="u8"), np.array([[3]]), [np.array([8, 16, 24])], [np.array([4, 5, 6])])
    assert numbers_of(index).tolist() == [4, 5, 6]


# extra-redu ---------------------------------------------------------------------------------------


def by_extra_redu(truth, **options):
    """Return what extra-redu makes of a run."""
    finder = type(
        "Finder",
        (AgipdLitFrameFinderSPB,),
        {
            "bunch_pattern_id": f"{truth.devices['timeserver']}:outputBunchPattern",
            "xgm_id": f"{truth.devices['xgm']}:output",
            "pp_decoder_id": "none",
        },
    )
    return finder(RunDirectory(truth.path), **options).process()


@pytest.mark.parametrize("rate", [4.5, 1.1])
def test_a_whole_run_is_as_extra_redu_has_it(tmp_path, rate):
    lit = np.random.default_rng(5).random((6, 8)) < 0.4
    truth = make_run(
        tmp_path / "r",
        trains=6,
        pulses=8,
        module_shape=(8, 8),
        modules=2,
        lit=lit,
        devices=("xgm", "timeserver", "agipd"),
        other_pulses=4,
        repetition_rate=rate,
        first_slot=30,
    )
    theirs = by_extra_redu(truth)
    data = dxflow.reduce(truth.path, LitFrameFinder(), cluster="here").dataset
    for name, key in (
        ("n_pulses", "nPulsePerFrame"),
        ("energy", "energyPerFrame"),
        ("has_data", "dataFramePattern"),
    ):
        ours = data[f"litfrm.{name}"].values.reshape(6, 8)
        np.testing.assert_array_equal(ours, getattr(theirs.output, key)[:, :8])
    np.testing.assert_array_equal(data["litfrm.lit_frames"], theirs.nLitFrame.value)
    np.testing.assert_array_equal(data["litfrm.pulses"], theirs.nPulse.value)


LAYOUT = "SPB_EXP_AGIPD1M1/REDU/LITFRM"


@pytest.mark.parametrize("xgm", [True, False])
def test_extra_redu_reads_the_layout_in_exdf_files_as_what_it_makes_itself(tmp_path, xgm):
    lit = np.random.default_rng(7).random((6, 8)) < 0.4
    devices = ("timeserver", "agipd", *(("xgm",) if xgm else ()))
    truth = make_run(
        tmp_path / "r",
        devices=devices,
        other_pulses=4,
        first_slot=30,
        trains=6,
        pulses=8,
        module_shape=(8, 8),
        modules=2,
        lit=lit,
    )
    result = dxflow.reduce(truth.path, LitFrameFinder(), f"{tmp_path}/lit/", cluster="here", on_fault="mask")
    theirs = by_extra_redu(Devoid(truth, xgm))
    both = RunDirectory(truth.path).union(RunDirectory(tmp_path / "lit"))
    reader = type("Reader", (AgipdLitFrameFinderSPB,), {"dev_id": LAYOUT})(both)
    assert reader.referenceFrame.value == 1
    assert reader._detector.deviceId.value == "SPB_IRU_AGIPD1M1/MDL/FPGA_COMP"
    ours = reader.read_or_process()
    assert ours.meta.litFrmDev == LAYOUT
    for name in theirs.output._fields:
        np.testing.assert_array_equal(getattr(ours.output, name), getattr(theirs.output, name), err_msg=name)
    slow = both[LAYOUT]
    for name in ("nPulse", "nFrame", "nLitFrame", "nDataFrame", "litFrames", "dataFrames"):
        expected = getattr(theirs, name).value
        np.testing.assert_array_equal(slow[name].ndarray(), expected, err_msg=name)
        assert slow[name].dtype == expected.dtype
    assert slow["referenceFrame"].dtype == np.dtype("i2")
    assert both.get_run_value(LAYOUT, "alignMethod") == "by first pulse"
    assert problems(result.path) == []


class Devoid:
    """The truth of a run, with the name of a gas monitor that it may lack."""

    def __init__(self, truth, xgm):
        self.path, self.devices = truth.path, {"xgm": "none", **truth.devices}
        assert ("xgm" in truth.devices) == xgm


@pytest.mark.parametrize("wrong", [{"stride": "4"}, {"mode": 3}, {"delay": "late"}, {"trigger": ("a",)}])
def test_what_is_no_timing_is_refused_with_what_it_is(wrong):
    with pytest.raises(TypeError, match=f"timing: {next(iter(wrong))}=.*expected"):
        Timing(**wrong)
