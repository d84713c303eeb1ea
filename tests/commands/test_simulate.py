"""The command line."""

import argparse

import pytest
from extra_data import RunDirectory

from dxflow.commands import simulate as command
from dxflow.simulate import Bragg, PowderRings, Truth


def call(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(word) for word in words]))


def test_command_writes_the_run_it_describes(tmp_path):
    text = call(
        *(
            tmp_path,
            "--detector",
            "LPD1M",
            "--module-shape",
            8,
            8,
            "--modules",
            2,
            "--trains",
            3,
            "--pulses",
            4,
        ),
        *(
            "--lit",
            0.5,
            "--pump",
            "trains",
            "--missing-trains",
            1,
            "--signal",
            "speckle",
            "--set",
            "contrast=0.25",
        ),
        *("--version", "1.2", "--first-train", 50),
    )
    truth = Truth.load(tmp_path)
    assert truth.kind == "LPD1M"
    assert truth.signal["contrast"] == 0.25
    assert truth.train_ids.tolist() == [50, 52]
    assert truth.lit.sum() == 4
    assert RunDirectory(tmp_path).files[0].format_version == "1.2"
    assert "trains 50 to 52 (2)" in text
    assert "2 modules of 8 x 8 pixels" in text
    assert truth.devices["xgm"] in text


def test_defaults_are_those_of_make_run():
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    args = vars(parser.parse_args(["somewhere"]))
    for name, value in command.DEFAULTS.items():
        if name in args and name != "devices":
            assert args[name] == value, name


def test_run_without_detector_is_possible(tmp_path):
    assert "_DET_" not in call(tmp_path, "--detector", "none", "--trains", 2)


@pytest.mark.parametrize(
    ("name", "words", "signal"),
    [
        ("rings", ["q=(1.0,)", "photons=(2,)"], PowderRings(q=(1.0,), photons=(2,))),
        ("bragg", ["hit_rate=1"], Bragg(hit_rate=1)),
    ],
)
def test_parameters_of_a_signal_are_read(name, words, signal):
    assert command.signal(name, words) == signal


@pytest.mark.parametrize(
    ("word", "message"),
    [("colour=3", "has no colour; it has: .*contrast"), ("contrast=high", "needs a number")],
)
def test_wrong_parameters_are_explained(word, message):
    with pytest.raises(ValueError, match=message):
        command.signal("speckle", [word])
