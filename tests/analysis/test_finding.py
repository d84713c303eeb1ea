"""What is found in a run by itself: names are short, unique and stand for one device each."""

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dxflow
from dxflow import Key, Labels, analysis
from dxflow.algorithms.average import Average
from dxflow.analysis.finding import constant, short
from dxflow.simulate import make_run

XGM = "SA1_XTD2_XGM/XGM/DOOCS"


def test_names_are_as_short_as_they_can_be():
    keys = [
        (f"{XGM}:output", "data.intensityTD"),
        (XGM, "pulseEnergy.photonFlux"),
        ("SPB_A/MOTOR/X", "actualPosition"),
        ("SPB_B/MOTOR/X", "actualPosition"),
        ("SPB_A/MOTOR/STAGE", "actualPosition.value"),
        ("SPB_A/TCTRL/1", "in"),
    ]
    assert short(keys) == [
        "xgm.intensityTD",
        "xgm.pulseEnergy.photonFlux",
        "spb_a.motor.x.actualPosition",
        "spb_b.motor.x.actualPosition",
        "stage.actualPosition",
        "tctrl.in_",
    ]


def test_channels_of_a_device_are_told_apart():
    keys = [("A/B/CAM:output", "data.x"), ("A/B/CAM:daqOutput", "data.x"), ("A/B/CAM", "x")]
    assert short(keys) == ["cam.output.x", "cam.daqOutput.x", "cam.x"]
    assert short(keys[:1], taken=["cam.x"]) == ["cam.output.x"]


PART = st.text("AB1_-", min_size=1, max_size=3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(PART, PART, PART, st.sampled_from(["", ":o"]), PART), max_size=8, unique=True))
def test_no_two_names_are_the_same(parts):
    keys = [(f"{a}/{b}/{c}{channel}", f"data.{key}") for a, b, c, channel, key in parts]
    names = short(keys, taken=["a.A"])
    assert len({*names, "a.A"}) == len(names) + 1
    assert all(part.isidentifier() for name in names for part in name.split("."))


def test_what_is_always_the_same_is_constant():
    there = np.ones(3, bool)
    assert constant(np.array([1.0, 1, 1]), there)
    assert constant(np.full((3, 2), np.nan), there)
    assert not constant(np.array([1.0, np.nan, 1]), there)
    assert not constant(np.array([1, 1, 1]), np.array([True, False, True]))
    assert not constant(np.zeros(0), np.zeros(0, bool))


@pytest.mark.parametrize("offset", [1, -1])
def test_texts_that_come_late_belong_to_the_trains_of_their_offset(offset, tmp_path):
    truth = make_run(tmp_path / "r", trains=4, pulses=2, module_shape=(4, 4), devices=("motor",), sequences=1)
    (file,) = tmp_path.glob("r/*DA01*")
    states = ["ON", "MOVING", "ERROR", "OFF"]
    with h5py.File(file, "a") as f:
        group = f.create_group(f"CONTROL/{truth.devices['motor']}/state")
        group["value"] = np.array(states, h5py.string_dtype())
        group["timestamp"] = np.zeros(4, "u8")
    wanted = ["", *states[:3]] if offset > 0 else [*states[1:], ""]
    key = Key(truth.devices["motor"], "state", offset)
    ev = analysis.table(truth.path, tmp_path / "t.zarr", {"variables": {"state": key}}, quiet=True)
    assert ev.data["state"].values.tolist() == wanted
    by = dxflow.reduce(
        truth.path, Average(by=Labels(key)), cluster="here", quiet=True, on_fault="mask"
    ).dataset
    assert by["state"].values.tolist() == sorted(filter(None, wanted))
