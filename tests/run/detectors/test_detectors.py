"""Detectors: each is found by its source names, and by nothing else."""

import pytest

from dxflow.run import detectors

NAMES = {
    "AGIPD1M": ("SPB_DET_AGIPD1M-1/DET/{}CH0:xtdf", "SPB_DET_AGIPD1M-1/CORR/{}CH0:output", range(16)),
    "AGIPD500K": ("HED_DET_AGIPD500K2G/DET/{}CH0:xtdf", "HED_DET_AGIPD500K2G/CORR/{}CH0:output", range(8)),
    "LPD1M": ("FXE_DET_LPD1M-1/DET/{}CH0:xtdf", "FXE_DET_LPD1M-1/CORR/{}CH0:output", range(16)),
    "DSSC1M": ("SCS_DET_DSSC1M-1/DET/{}CH0:xtdf", "SCS_DET_DSSC1M-1/CORR/{}CH0:output", range(16)),
    "JUNGFRAU": (
        "SPB_IRDA_JF4M/DET/JNGFR{:02}:daqOutput",
        "SPB_IRDA_JF4M/CORR/JNGFR{:02}:daqOutput",
        range(1, 9),
    ),
    "GOTTHARD2": (
        "FXE_XAD_G2XES/DET/RECEIVER{:02}:daqOutput",
        "FXE_XAD_G2XES/CORR/RECEIVER{:02}:daqOutput",
        range(1, 3),
    ),
}


@pytest.mark.parametrize("kind", NAMES)
def test_modules_of_each_detector_are_found_raw_and_corrected(kind):
    raw, corrected, numbers = NAMES[kind]
    for pattern, data in ((raw, "raw"), (corrected, "corrected")):
        sources = {n: pattern.format(n) for n in numbers}
        (found,) = detectors.find(sources.values())
        assert (found.detector.kind, found.data, found.sources) == (kind, data, sources)
        assert found.name == pattern.split("/")[0]
        assert found.detector.modules in (0, len(numbers))


def test_a_module_without_a_number_is_the_first():
    (found,) = detectors.find(["FXE_XAD_G2XES/DET/RECEIVER:daqOutput"])
    assert found.sources == {1: "FXE_XAD_G2XES/DET/RECEIVER:daqOutput"}


def test_corrected_data_come_before_raw():
    raw, corrected, _ = NAMES["AGIPD1M"]
    assert [f.data for f in detectors.find([raw.format(0), corrected.format(0)])] == ["corrected", "raw"]


def test_modules_are_in_order_of_their_numbers_and_not_of_their_names():
    raw = NAMES["AGIPD1M"][0]
    (found,) = detectors.find([raw.format(n) for n in (10, 2, 1)])
    assert list(found.sources) == [1, 2, 10]


@pytest.mark.parametrize(
    "source",
    ["SPB_DET_AGIPD1M-1/DET/0CH0", "SPB_IRU_CAM/CAM/SIDEMIC:daqOutput", "SA1_XTD2_XGM/DOOCS/MAIN:output", ""],
)
def test_other_sources_are_no_modules(source):
    assert detectors.find([source]) == []


def test_every_file_of_the_folder_declares_detectors():
    assert {d.kind for d in detectors.known()} == set(NAMES)


@pytest.mark.parametrize(
    ("name", "first"),
    [
        ("SPB_IRDA_JF4M", 1),
        ("HED_IA1_JF500K1", 1),
        ("FXE_XAD_G2XES", 1),
        ("SPB_DET_AGIPD1M-1", 0),
        ("FXE_DET_LPD1M-1", 0),
        ("SCS_DET_DSSC1M-1", 0),
        ("CAMERA", 0),
        ("", 0),
    ],
)
def test_modules_are_numbered_from_0_or_1_by_the_name_of_the_detector(name, first):
    assert detectors.first_of(name) == first
