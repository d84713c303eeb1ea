"""The options of a pass: the same in every command that reads a run."""

import argparse

import pytest

import dxflow
from dxflow import cli, options
from dxflow.algorithms.average import Average
from dxflow.algorithms.litframes import LitFrames
from dxflow.simulate import make_run


def parsed(*argv, but=()):
    parser = argparse.ArgumentParser()
    options.add_pass_options(parser, but=but)
    return parser.parse_args(list(argv))


@pytest.mark.parametrize("command", [["plan"], ["reduce"], ["copy"], ["recipe", "saxs"]])
def test_every_command_that_reads_a_run_has_them(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([*command, "--help"])
    shown = capsys.readouterr().out
    wanted = (
        "--frames",
        "--trains",
        "--detector",
        "--modules",
        "--cluster",
        "--workers",
        "--resume",
        "--overwrite",
    )
    assert [name for name in wanted if name not in shown] == []


def test_numbers_are_read_as_they_are_written():
    assert options.numbers("0,3,8-10") == (0, 3, 8, 9, 10)
    assert options.ids("5:9") == slice(5, 9)
    assert options.ids(":9") == slice(None, 9)
    assert options.ids("5,9") == [5, 9]


def test_what_is_not_given_is_left_to_plan():
    assert options.of_plan(parsed()) == {"frames": None, "quiet": False, "resume": False, "overwrite": False}
    assert options.narrowed(Average, parsed()) == {}


def test_trains_and_frames_are_one_selection():
    chosen = options.of_plan(parsed("--trains", "5:9", "--frames", "pulses=0:8", "--frames", "cells=1,2"))[
        "frames"
    ]
    assert (chosen.trains, chosen.pulses, chosen.cells) == (slice(5, 9), slice(0, 8), [1, 2])


def test_a_result_and_trains_are_one_selection(tmp_path):
    run = make_run(tmp_path / "r1", trains=3, pulses=4, module_shape=(4, 4), lit=0.5)
    lit = dxflow.reduce(run.path, LitFrames(threshold=0.5), tmp_path / "lit.zarr", cluster="here")
    chosen = options.frames_of([f"{tmp_path}/lit.zarr"], [10002])
    counted = dxflow.reduce(run.path, Average(), cluster="here", frames=chosen).dataset["average.count"]
    assert counted.max() == lit.selection().sel(frame=lit.selection().train_id == 10002).sum()


@pytest.mark.parametrize(
    "given",
    [["--frames", "pulses=0:8", "--frames", "pulses=16:24"], ["--trains", "1:2", "--frames", "trains=1"]],
)
def test_what_is_selected_twice_is_refused(given):
    with pytest.raises(ValueError, match="are selected twice; give one range or list of them"):
        options.of_plan(parsed(*given))


def test_detector_and_modules_narrow_the_frames_of_an_algorithm():
    img = options.narrowed(Average, parsed("--detector", "AGIPD1M", "--modules", "0-2"))["img"]
    assert (img.detector, img.modules) == ("AGIPD1M", (0, 1, 2))
