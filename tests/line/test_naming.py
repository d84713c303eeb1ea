"""Names of a condition that nobody explained: what each is taken to mean, and what is refused."""

import argparse
import json

import numpy as np
import pytest
from extra_data import RunDirectory
from runs import make_run

import dxflow
from dxflow import Key
from dxflow.algorithms.average import Average
from dxflow.algorithms.litframes import LitFrames
from dxflow.commands import arguments, job
from dxflow.commands import main as cli
from dxflow.line import naming
from dxflow.simulate import Scan

XGM, MOTOR = "SA1_XTD2_XGM/XGM/DOOCS:output", "SPB_EXP_SCAN/MOTOR/STAGE"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(
        tmp_path_factory.mktemp("naming") / "r0001",
        detector="AGIPD500K",
        trains=10,
        pulses=4,
        module_shape=(8, 8),
        lit=0.7,
        energy_spread=0.3,
        devices=("xgm", "motor", "timeserver"),
        scan=Scan(0.0, 1.0, 5),
    )


def reduced(run, tmp_path, *line, to="x.zarr"):
    given = ["reduce", run.path, "--to", str(tmp_path / to), "--cluster", "here", "--quiet", *line]
    assert cli.main(given) == 0
    return dxflow.open(tmp_path / to).dataset


def test_names_are_found_in_the_run_and_by_a_first_pass(run, tmp_path, capsys):
    made = reduced(run, tmp_path, "average", "--where", "xgm > 900 & lit & stage < 0.8")
    said = capsys.readouterr().out
    lit = dxflow.reduce(run.path, LitFrames(), cluster="here")
    labels = {"xgm": Key(XGM, "data.intensityTD"), "lit": lit, "stage": Key(MOTOR, "actualPosition")}
    wanted = dxflow.reduce(
        run.path, Average(), cluster="here", where="xgm > 900 & lit & stage < 0.8", labels=labels
    ).dataset
    np.testing.assert_array_equal(made["average.mean"], wanted["average.mean"])
    assert (
        f"xgm is {XGM} data.intensityTD; lit is litframes.lit of a first pass over the pixels; stage is"
        in said
    )
    # In order, and each alone, against numpy.
    cut = json.loads(made.attrs["where"])["passed"][0]
    x = np.repeat(RunDirectory(run.path)[MOTOR, "actualPosition.value"].ndarray(), 4)
    each = [run.energy > 900, lit.selection().values, x < 0.8]
    assert cut["alone"] == [int(one.sum()) for one in each]
    assert [n for _, n in cut["cuts"]] == [int(np.logical_and.reduce(each[: k + 1]).sum()) for k in range(3)]
    assert f"({cut['alone'][1]} alone)" in said
    assert any("alone" in line for line in dxflow.open(tmp_path / "x.zarr").manifest["where"])


def test_an_algorithm_of_the_line_is_made_first_with_its_options(run, tmp_path, capsys):
    made = reduced(
        run, tmp_path, "--where", "litframes.lit_pixels > 40", "litframes", "--threshold", "0.9", "average"
    )
    lit = dxflow.reduce(run.path, LitFrames(threshold=0.9), cluster="here").dataset["litframes.lit_pixels"]
    assert 0 < made.sizes["frame"] == int((lit > 40).sum()) < len(lit)
    assert "of a first pass over the pixels, with threshold=0.9" in capsys.readouterr().out


def test_a_motor_groups_by_its_short_name(run, tmp_path):
    made = reduced(run, tmp_path, "average", "--by", "stage", "--bins", "2", "--trains", "8")
    wanted = reduced(
        run,
        tmp_path,
        "average",
        "--by",
        f"{MOTOR}:actualPosition",
        "--by-bins",
        "2",
        "--trains",
        "8",
        to="y.zarr",
    )
    np.testing.assert_array_equal(made["average.mean"], wanted["average.mean"])
    assert made["actualPosition"].values.tolist() == wanted["actualPosition"].values.tolist()
    histogram = ["plan", run.path, "histogram", "--bins", "7", "--range", "0", "5"]
    _, (one,) = arguments.parse(arguments.shared_parser("plan", ""), histogram[1:])
    assert one.bins == 7


def test_options_of_the_pass_hold_for_the_first_one(run, tmp_path, capsys):
    line = ["--trains", "4", "--modules", "0-3", "--where", "litframes.valid_pixels > 0", "average"]
    made = reduced(run, tmp_path, *line)
    # Four modules of 64 pixels.
    assert made["average.count"].max() == 16
    assert made.sizes["module"] == 4


def test_plans_and_what_is_queued_read_no_pixel(run, tmp_path, monkeypatch, capsys):
    def never(*args, **options):
        raise AssertionError("a pass was made")

    monkeypatch.setattr(naming.api, "reduce", never)
    line = ["reduce", run.path, "--to", str(tmp_path / "q.zarr"), "average", "--where"]
    assert job.checked([*line, "lit & xgm > 900"])["chunks"] == 1
    assert job.checked([*line, "xgm > 900"])["chunks"] == 1
    assert cli.main(["plan", run.path, "average", "--where", "lit & xgm > 900"]) == 0
    assert "lit would need a first pass over the pixels: without --where" in capsys.readouterr().out


def test_a_name_that_may_mean_several_things_is_refused_with_all_of_them(run):
    args = argparse.Namespace(where="xgm > 3", by=None, label=None, trains=None, quiet=True)
    opened = RunDirectory(run.path).with_aliases({"xgm": (MOTOR, "actualPosition")})
    words = (
        f"(?s)'xgm' may mean several things; say which with --label xgm=.*- {MOTOR} actualPosition.*- {XGM}"
    )
    with pytest.raises(ValueError, match=words):
        naming.take(args, opened, [])


def test_an_alias_is_a_name(run):
    args = argparse.Namespace(where="x > 3", by=None, label=None, trains=None, quiet=True)
    naming.take(args, RunDirectory(run.path).with_aliases({"x": (MOTOR, "actualPosition")}), [])
    assert args.taken["x"].values == Key("x")
    assert args.taken["x"].source == f"{MOTOR} actualPosition (an alias of the run)"


def test_of_each_run_names_mean_what_they_are_there(run, tmp_path):
    args = argparse.Namespace(
        where="lit", by=None, label=None, trains=None, quiet=True, on_fault=None, suspect=None
    )
    args.detector = args.modules = args.roi = None
    size = {"detector": "AGIPD500K", "trains": 2, "pulses": 2, "module_shape": (8, 8), "devices": ()}
    other = make_run(tmp_path / "r2", lit=0.5, **size)
    naming.take(args, run.path, [], "here")
    first = args.taken["lit"].values.dataset["litframes.lit"]
    naming.take(args, other.path, [], "here")
    assert len(args.taken["lit"].values.dataset["litframes.lit"]) == 4 < len(first)


def test_an_output_that_is_none_is_refused(run, tmp_path, capsys):
    line = ["reduce", run.path, "--to", str(tmp_path / "x.zarr"), "--cluster", "here", "average"]
    assert cli.main([*line, "--where", "litframes.nothing > 1"]) == 2
    assert "no 'litframes.nothing'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["average", "--where", "xgn > 3"], "no label 'xgn'. Did you mean 'xgm'?"),
        (["average", "--where", "stag > 3"], "no label 'stag'. Did you mean 'stage'?"),
        (["average", "--where", "xas.mu > 1"], "xas needs options: give it in the line"),
        (["average", "--where", "pumped"], "pulse patterns"),
        (
            ["photons", "+", "roi", "average", "--where", "roi.sum > 1"],
            "roi reads what others in this line make, and cannot be made first",
        ),
        (["average", "--where", "xgm >"], "where"),
    ],
)
def test_what_means_nothing_is_refused(run, capsys, line, words):
    assert cli.main(["plan", run.path, "--cluster", "here", "--quiet", *line]) == 2
    assert words in capsys.readouterr().err
