"""The options of a pass: the same in every command that reads a run."""

import argparse

import pytest
from samples import Somewhere

import dxflow
from dxflow.algorithms.average import Average
from dxflow.algorithms.litframes import LitFrames
from dxflow.commands import main as cli
from dxflow.errors import usage
from dxflow.line import options
from dxflow.run.selection import First
from dxflow.simulate import Plant, make_run


def parsed(*argv):
    parser = argparse.ArgumentParser()
    options.add_pass_options(parser)
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


def test_a_number_alone_is_how_many_trains_from_the_start_and_ids_are_written_as_ids():
    assert options.trains("200") == First(200)
    assert options.trains("=10001") == options.trains("10001,") == [10001]
    assert options.trains("5:9") == slice(5, 9)
    assert options.trains("5,9") == [5, 9]
    for bad in ("0", "-3", "=", "a", "1.5", "=5:9"):
        with pytest.raises(
            argparse.ArgumentTypeError, match="200 is the first 200 trains, =10001 the one with"
        ):
            options.trains(bad)
    with pytest.raises(
        ValueError, match="the first 7 trains are --trains 7, the one with this id is --trains =7"
    ):
        options.frames_of(["trains=7"])


def test_the_first_trains_are_the_same_as_their_range_of_ids(tmp_path):
    run = make_run(tmp_path / "r1", trains=6, pulses=2, module_shape=(4, 4), plant=Plant(missing_trains=(1,)))
    made = [
        dxflow.plan(run.path, Average(), frames=options.frames_of((), options.trains(text)), on_fault="mask")
        for text in ("3", "10001:10005", "=10001", "99")
    ]
    assert made[0].digest == made[1].digest != made[2].digest
    assert [len(one.inputs[0].index) for one in made] == [6, 6, 2, 10]
    with pytest.raises(dxflow.PlanError, match="this run has 5; the train with this id is =10003"):
        dxflow.plan(run.path, Average(), frames=dxflow.FrameSelection(trains=First(10003)))


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
    [["--frames", "pulses=0:8", "--frames", "pulses=16:24"], ["--trains", "1:2", "--frames", "trains=1,2"]],
)
def test_what_is_selected_twice_is_refused(given):
    with pytest.raises(ValueError, match="are selected twice; give one range or list of them"):
        options.of_plan(parsed(*given))


def test_detector_and_modules_narrow_the_frames_of_an_algorithm():
    img = options.narrowed(Average, parsed("--detector", "AGIPD1M", "--modules", "0-2"))["img"]
    assert (img.detector, img.modules) == ("AGIPD1M", (0, 1, 2))
    assert options.narrowed(Average, parsed("--roi", "1:20,:"))["img"].roi == (
        slice(1, 20),
        slice(None, None),
    )


def test_modules_and_regions_of_a_result_narrow_frames_and_what_is_neither_is_said(tmp_path, capsys):
    run = make_run(tmp_path / "run", trains=2, pulses=2, module_shape=(8, 4), devices=())
    found = tmp_path / "signal.zarr"
    dxflow.reduce(run.path, Somewhere(boxes=[(5, 1, 3, 0, 2)]), found, cluster="here")
    img = options.narrowed(Average, parsed("--modules", str(found), "--roi", str(found)))["img"]
    assert (img.modules, img.detector) == ((5,), "SPB_DET_AGIPD1M-1")
    assert img.roi.around((5,), "") == (slice(1, 3), slice(0, 2))
    with pytest.raises(SystemExit):
        parsed("--modules", str(tmp_path / "none.zarr"))
    assert "write 0,1,2 or 0-7, or the path of a result" in capsys.readouterr().err
    other = tmp_path / "other.zarr"
    assert cli.main(["reduce", run.path, "average", "--to", str(other), "--cluster", "here", "--quiet"]) == 0
    assert cli.main(["plan", run.path, "average", "--modules", str(other)]) == 2
    assert "this result has no output 'modules'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("said", "spoken"),
    [
        ("exists: choose another name, or overwrite=True to replace it", "or --overwrite to replace it"),
        ("resume=True (--resume) goes on", "--resume goes on"),
        ('Go on with on_fault="mask" (they are counted)', "Go on with --on-fault mask (they are counted)"),
        ("or name the modules to use with Frames(modules=[...])", "the modules to use with --modules"),
        ("Say which with detector=, data=", "Say which with --detector, data="),
        ("give one of them name=...", "give one of them --name"),
        ("hook_timeout=5 s", "--hook-timeout 5 s"),
        ("hook_timeout=-1.0: expected", "--hook-timeout -1.0: expected"),
        ("(frames=, roi=)", "(--frames, roi=)"),
        ("Average(name='x')", "Average(name='x')"),
    ],
)
def test_messages_of_the_command_line_speak_its_language(said, spoken):
    assert usage.spoken(said).endswith(spoken)


def test_a_result_that_selects_is_not_replaced_by_what_it_selects(tmp_path, capsys):
    run = make_run(tmp_path / "r1", trains=2, pulses=2, module_shape=(4, 4), lit=0.5)
    lit = f"{tmp_path}/lit.zarr"
    dxflow.reduce(run.path, LitFrames(threshold=0.5), lit, cluster="here")
    line = ["reduce", run.path, "--to", lit, "--overwrite", "--cluster", "here", "--frames", lit, "average"]
    assert cli.main(line) == 2
    assert "which is read: it is not replaced" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["mean.zarr", "run.h5", "text.txt"])
def test_what_does_not_select_is_wrong_usage_in_one_line(name, tmp_path, capsys):
    run = make_run(tmp_path / "r1", trains=2, pulses=2, module_shape=(4, 4))
    dxflow.reduce(run.path, Average(), tmp_path / "mean.zarr", cluster="here")
    (tmp_path / "run.h5").symlink_to(next(tmp_path.glob("r1/*.h5")))
    (tmp_path / "text.txt").write_text("hello")
    assert cli.main(["plan", run.path, "--frames", f"{tmp_path}/{name}", "average"]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"dxflow: --frames {tmp_path}/{name}: ")
    assert shown.count("\n") == 1
