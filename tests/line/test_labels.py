"""Labels on the command line, against the truth of a simulated run."""

import json

import numpy as np
import pytest

import dxflow
from dxflow import Labels
from dxflow.algorithms.average import Average
from dxflow.algorithms.litframes import LitFrames
from dxflow.commands import main as cli
from dxflow.recipe import Recipe
from dxflow.simulate import Scan, make_run


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    folder = tmp_path_factory.mktemp("line") / "r0001"
    options = {"detector": "AGIPD500K", "trains": 12, "pulses": 4, "module_shape": (4, 4), "lit": 0.6}
    return make_run(folder, scan=Scan(0.0, 2.0, 3), energy_spread=0.3, first_slot=0, **options)


@pytest.fixture(scope="module")
def lit(truth, tmp_path_factory):
    path = tmp_path_factory.mktemp("lit") / "lit.zarr"
    return dxflow.reduce(truth.path, LitFrames(), path, cluster="here")


def typed(truth, tmp_path, *words, name="x"):
    """Return the result of a line that was typed."""
    to = f"{tmp_path}/{name}.zarr"
    assert cli.main(["reduce", str(truth.path), "--to", to, "--cluster", "here", "--quiet", *words]) == 0
    return dxflow.open(to).dataset


def frames(truth):
    return np.repeat(truth.motor, 4)


def motor(truth):
    return f"{truth.devices['motor']}:actualPosition"


def test_a_condition_over_a_motor_energies_and_a_result(truth, lit, tmp_path, capsys):
    xgm = f"{truth.devices['xgm']}:output:data.intensityTD"
    names = ("--label", f"x={motor(truth)}", "--label", f"xgm={xgm}", "--label", f"good={lit.path}")
    cut = float(np.median(truth.energy[truth.lit]))
    found = typed(truth, tmp_path, "average", "--where", f"xgm > {cut} & good & x < 1.5", *names)
    keep = (truth.energy > cut) & truth.lit & (frames(truth) < 1.5)
    assert found["average.count"].max() == keep.sum() > 0
    said = json.loads(found.attrs["where"])
    assert [n for _, n in said["passed"][0]["cuts"]][-1] == keep.sum()
    alone = typed(truth, tmp_path, "average", "--where", "litframes.lit", "--label", str(lit.path), name="y")
    assert alone["average.count"].max() == truth.lit.sum()
    part = ("--label", f"n={lit.path}:litframes.lit_pixels", "--where", "n > 0")
    cli.main(["plan", str(truth.path), *part, "average"])
    assert "with n > 0" in capsys.readouterr().out


def test_groups_by_steps_bins_patterns_and_names(truth, lit, tmp_path, capsys):
    def counted(*words):
        found = typed(truth, tmp_path, "average", "--overwrite", *words)["average.count"]
        return found.isel(module=0).max(["ss", "fs"]).values.tolist(), found[found.dims[0]].values.tolist()

    assert counted("--by", motor(truth)) == ([16, 16, 16], [0, 1, 2])
    assert counted("--by", motor(truth), "--by-steps", "0.01,1") == ([16, 12, 12], [0, 1, 2])
    assert counted("--by", "x", "--label", f"x={motor(truth)}", "--by-bins", "0,1,2") == (
        [16, 32],
        [0.5, 1.5],
    )
    assert counted("--by", motor(truth), "--by-bins", "2") == ([16, 32], [0.5, 1.5])
    assert counted("--by", "pattern:on,off,off") == ([24, 24], ["off", "on"])
    assert counted("--by", "pattern:true,false,false") == ([24, 24], [False, True])
    assert counted("--by", str(lit.path)) == ([48 - truth.lit.sum(), truth.lit.sum()], [False, True])
    named = ("--by", "litframes.lit", "--label", str(lit.path))
    assert counted(*named) == ([48 - truth.lit.sum(), truth.lit.sum()], [False, True])
    both = ("--by", motor(truth), "--where", "g", "--label", f"g={lit.path}")
    expected = [int((truth.lit & (frames(truth) == x)).sum()) for x in (0, 1, 2)]
    assert counted(*both) == (expected, [0, 1, 2])
    # Algorithms that cannot be grouped are in the same pass as they are.
    beside = typed(truth, tmp_path, "litframes", "average", "--by", motor(truth), name="beside")
    assert beside["average.mean"].dims[0] == "actualPosition"


def test_azint_is_grouped_on_the_command_line_and_inputs_take_labels(truth, lit, tmp_path):
    geometry = (
        "--geometry",
        f"{truth.path}/geometry.npy",
        "--energy",
        "9.3",
        "--distance",
        "0.2",
        "--nbins",
        "5",
    )
    found = typed(truth, tmp_path, "azint", *geometry, "--by", motor(truth))
    assert found["azint.frames"].sizes["actualPosition"] == 3
    words = ("average", "--input", "by=x", "--label", f"x={motor(truth)}")
    assert typed(truth, tmp_path, *words, name="y")["average.count"].dims[0] == "actualPosition"
    pattern = typed(truth, tmp_path, "average", "--input", "by=pattern:a,b", name="z")
    assert pattern["pattern"].values.tolist() == ["a", "b"]
    chosen = typed(truth, tmp_path, "average", "--input", f"by={lit.path}:litframes", name="w")
    assert chosen["lit"].values.tolist() == [False, True]


def test_a_variant_that_selects_is_a_label(truth, tmp_path):
    both = LitFrames.variants(threshold=[0.1, 1e9])
    dxflow.reduce(truth.path, both, tmp_path / "both.zarr", cluster="here")
    found = typed(truth, tmp_path, "average", "--by", "l", "--label", f"l={tmp_path}/both.zarr:litframes_2")
    assert found["lit"].values.tolist() == [False]


WRONG = {
    "no algorithm": (["--by", "MOTOR", "litframes"], "--by MOTOR: litframes cannot be grouped; "),
    "no such label": (
        ["--by", "x", "average"],
        "--by x: there is no result of this name; expected SOURCE:KEY",
    ),
    "no source": (["--by", "A/B/C:d", "average"], "no source 'A/B/C'"),
    "steps of nothing": (["--by-steps", "1", "average"], "--by-steps: of what"),
    "steps": (["--by", "MOTOR", "--by-steps", "a", "average"], "write TOLERANCE"),
    "bins": (["--by", "MOTOR", "--by-bins", "a", "average"], "write a number of bins"),
    "no bins": (["--by", "MOTOR", "--by-bins", "0", "average"], "expected a number of bins from 1"),
    "both": (["--by", "MOTOR", "--by-bins", "2", "--by-steps", "1", "average"], "expected one of them"),
    "label alone": (["--label", "x=MOTOR", "average"], "labels are for --where or --by"),
    "twice": (["--label", "x=MOTOR", "--label", "x=MOTOR", "--where", "x > 1", "average"], "given twice"),
    "no name": (["--label", "MOTOR", "--where", "x > 1", "average"], "expected NAME="),
    "no such name": (
        ["--label", "3x=MOTOR", "--where", "x > 1", "average"],
        "'3x' is no name; expected letters",
    ),
    "unknown name": (
        ["--label", "x=MOTOR", "--where", "xx > 1", "average"],
        "--where: no label 'xx'. Did you mean",
    ),
    "strange": (["--label", "x=MOTOR", "--where", "x >", "average"], "expected comparisons"),
    "no label": (["--where", "x > 1", "average"], "--label x=SOURCE:KEY"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_one_clear_message(truth, case, capsys):
    words, message = WRONG[case]
    words = [word.replace("MOTOR", motor(truth)) for word in words]
    assert cli.main(["plan", str(truth.path), *words]) == 2
    said = capsys.readouterr().err
    assert message.replace("MOTOR", motor(truth)) in said
    assert "Traceback" not in said


class Means(Recipe):
    """Means of a run."""

    @classmethod
    def add_arguments(cls, parser):
        parser.add_run("run", "run")

    def passes(self, args):
        self.reduce(args.run, [LitFrames(), Average()], "mean.zarr")


class Lit(Means):
    """Lit frames."""

    def passes(self, args):
        self.reduce(args.run, LitFrames(), "lit.zarr")


def test_recipes_have_the_same_options(truth, tmp_path):
    options = {
        "run": truth.path,
        "cluster": "here",
        "by": "x",
        "label": [f"x={motor(truth)}"],
        "where": "x < 1.5",
    }
    made = Means(to=tmp_path / "a", **options).run()
    assert made.results["mean"].dataset["average.count"].values.max(axis=(1, 2, 3)).tolist() == [16, 16]
    lit = Lit(to=tmp_path / "b", **options).run()
    assert "--by x changed nothing" in lit.report()


class WithDark(Means):
    """Means of a run and of its dark."""

    def passes(self, args):
        self.reduce(args.run, Average(), "dark.zarr", **self.elsewhere)
        super().passes(args)


class Plain(Means):
    GROUPED = False


def test_other_runs_of_a_recipe_have_no_labels_and_some_recipes_no_groups(truth, tmp_path, capsys):
    from dxflow.errors.usage import UsageError

    options = {"run": truth.path, "cluster": "here", "label": [f"x={motor(truth)}"], "where": "x < 1.5"}
    made = WithDark(to=tmp_path / "a", by="x", **options).run().results
    assert made["dark"].dataset["average.count"].values.max() == 48
    assert made["mean"].dataset["average.count"].dims[0] == "actualPosition"
    with pytest.raises(UsageError, match="--by x: this recipe makes no groups"):
        Plain(to=tmp_path / "b", by="x", **options)
    assert cli.main(["recipe", "saxs", "a", "b", "--to", "c", "--geometry", "g", "--by", "x"]) == 2
    assert "makes no groups" in capsys.readouterr().err
    words = ["recipe", "reduce_raw", str(truth.path), "--to", f"{tmp_path}/c", "--where", "x > 1"]
    assert cli.main([*words, "--label", f"x={motor(truth)}", "--cluster", "here"]) == 2
    assert "a copy takes no condition" in capsys.readouterr().err


def test_an_algorithm_keeps_the_label_that_it_has(truth):
    import argparse

    from dxflow.line.labels import grouped

    args = argparse.Namespace(by=motor(truth), by_steps=None, by_bins=None, label=None, detector=None)
    own = Labels.pattern([1, 2])
    one, other = grouped([Average(by=own), Average(ddof=0, name="other")], args)
    assert one.inputs["by"] is own
    assert (other.ddof, other.name) == (0, "other")
    assert "actualPosition" in repr(other.inputs["by"])
