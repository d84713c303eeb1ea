"""What is found in a run by itself: names are short, unique and stand for one device each."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dxflow.analysis.finding import constant, short

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
