"""A recipe in a file of the user: as short as those of dxflow, with all options of a pass and one cluster."""

import subprocess
import sys

import numpy as np
import pytest

import dxflow
from dxflow import Frames, find
from dxflow.algorithms.average import Average
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.litfrm import LitFrameFinder
from dxflow.clusters import Local
from dxflow.commands import main as cli
from dxflow.recipe import Parser, Recipe, _narrowed
from dxflow.simulate import make_run

FILE = '''"""Mean of the frames with X-rays."""

from dxflow import Algorithm, Frames, Output
from dxflow.algorithms.average import Average
from dxflow.algorithms.litframes import LitFrames
from dxflow.recipe import Recipe


class Counted(Algorithm):
    """An algorithm of its own."""

    inputs = {"img": Frames("image.data")}

    def outputs(self, info):
        return {"modules": Output(per="img")}

    def process_module_data(self, block, out):
        out.modules += 1


class LitMean(Recipe):
    """Mean of the frames with X-rays.

    Only these are read again.
    """

    PLOTS = ("trace.png",)

    @classmethod
    def add_arguments(cls, parser):
        parser.add_run("run", "with and without X-rays")
        parser.add_options_of(LitFrames)

    def passes(self, args):
        lit = self.reduce(args.run, LitFrames(**self.options_of(LitFrames)), "lit.zarr")
        self.reduce(args.run, [Average(), Counted()], "mean.zarr", frames=lit)

    def plot(self, args):
        from matplotlib.figure import Figure

        figure = Figure()
        figure.subplots().plot(self.results["lit"].dataset["litframes.intensity"])
        self.save(figure, "trace.png")


if __name__ == "__main__":
    LitMean.script()
'''


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A run with lit and dark frames."""
    folder = tmp_path_factory.mktemp("recipe")
    return make_run(folder / "r1", detector="AGIPD500K", trains=4, pulses=4, module_shape=(8, 8), lit=0.5)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The recipe of a user, and its class."""
    path = tmp_path_factory.mktemp("mine") / "litmean.py"
    path.write_text(FILE)
    return path, find.recipe(str(path))


def test_a_file_is_run_by_name_and_reports_all_passes(file, data, tmp_path, capsys):
    line = ["recipe", str(file[0]), data.path, "--to", str(tmp_path), "--threshold", "0.5"]
    assert cli.main([*line, "--cluster", "here", "--modules", "0-2", "--name", "beam"]) == 0
    shown = capsys.readouterr().out
    assert [row for row in shown.splitlines() if row.startswith("---")] == ["--- lit", "--- mean"]
    assert shown.splitlines()[-1] == f"plot     {tmp_path}/trace.png"
    assert shown.count("name     beam") == 2
    count = dxflow.open(tmp_path / "mean.zarr").dataset["average.count"]
    assert int(count.max()) == data.lit.sum()
    assert count["module"].values.tolist() == [0, 1, 2]
    assert dxflow.open(tmp_path / "lit.zarr").manifest["plan"]["algorithms"][0]["options"]["threshold"] == 0.5
    # What is there is kept, taken as it is, or replaced, as for any pass.
    assert cli.main([*line, "--cluster", "here"]) == 2
    assert "lit.zarr exists" in capsys.readouterr().err
    assert cli.main([*line, "--cluster", "here", "--overwrite"]) == 0


def test_a_picture_that_dxflow_did_not_make_is_kept_and_nothing_is_read(file, data, tmp_path, capsys):
    (tmp_path / "trace.png").write_text("mine")
    assert cli.main(["recipe", str(file[0]), data.path, "--to", str(tmp_path), "--cluster", "here"]) == 2
    assert "trace.png is a file that dxflow did not make" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["trace.png"]


def test_where_plotting_fails_the_report_is_printed_all_the_same(data, tmp_path, capsys):
    path = tmp_path / "bad.py"
    path.write_text(FILE.replace("self.save(figure", "figure.no_such(figure"))
    assert cli.main(["recipe", str(path), data.path, "--to", str(tmp_path / "out"), "--cluster", "here"]) == 1
    shown = capsys.readouterr()
    assert [row for row in shown.out.splitlines() if row.startswith("---")] == ["--- lit", "--- mean"]
    assert "plot     " not in shown.out
    assert "bad.py, line " in shown.err
    assert f"Only plotting failed: all results are in {tmp_path}/out" in shown.err


def test_its_help_has_its_options_those_of_algorithms_and_those_of_a_pass(file, capsys):
    with pytest.raises(SystemExit):
        cli.main(["recipe", str(file[0]), "--help"])
    shown = capsys.readouterr().out
    wanted = ["usage: dxflow recipe litmean.py", "RUN", "--pixels", "--fraction", "--to DIR", "--on-fault"]
    assert [text for text in wanted if text not in shown] == []
    assert "Mean of the frames with X-rays." in shown
    assert "Only these are read again" not in shown


def test_as_a_script_it_says_in_one_message_what_is_wrong(file, tmp_path):
    line = [sys.executable, str(file[0]), "/no/such/run", "--to", str(tmp_path), "--cluster", "here"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("dxflow: no such run: /no/such/run")


def test_options_that_an_algorithm_does_not_take_are_wrong_usage(file, data, tmp_path, capsys):
    line = ["recipe", str(file[0]), data.path, "--to", str(tmp_path / "x"), "--cluster", "here"]
    assert cli.main([*line, "--pixels", "-3"]) == 2
    said = capsys.readouterr().err
    assert "pixels" in said
    assert said.count("\n") == 1


def test_a_folder_that_cannot_be_is_wrong_usage(file, data, tmp_path, capsys):
    (tmp_path / "mine").write_text("a file")
    for to in ("mine", "mine/below"):
        assert cli.main(["recipe", str(file[0]), data.path, "--to", str(tmp_path / to)]) == 2
        assert "expected a folder" in capsys.readouterr().err
    assert (tmp_path / "mine").read_text() == "a file"


def test_in_python_its_options_are_keywords_and_any_cluster_or_client_will_do(file, data, tmp_path, client):
    before = Local(workers=1)
    for n, cluster in enumerate(("here", client)):
        made = file[1](run=data.path, to=tmp_path / str(n), threshold=0.5, cluster=cluster).run()
        assert list(made.results) == ["lit", "mean"]
        assert (made.folder / "trace.png").exists()
    assert client.status == "running"
    assert file[1](run=data.path, to="x", cluster=before).cluster is before
    here, there = (dxflow.open(tmp_path / n / "mean.zarr").dataset for n in "01")
    assert here.equals(there)
    assert set(there["counted.modules"].values) == {8}


def test_options_that_are_unknown_or_missing_are_named(file):
    with pytest.raises(TypeError, match=r"LitMean: unknown option 'treshold'. Did you mean 'threshold'\?"):
        file[1](run="r", to="x", treshold=1)
    with pytest.raises(TypeError, match="the following arguments are required: RUN"):
        file[1](to="x")


def test_an_option_that_all_recipes_have_is_refused_as_its_own():
    class Masked(Recipe):
        @classmethod
        def add_arguments(cls, parser):
            parser.add_argument("--mask")

    with pytest.raises(TypeError, match="Masked: all recipes have --mask: give your own option another name"):
        Masked(to="x")


def test_all_passes_have_one_start_of_a_cluster(data, tmp_path):
    class Counted(Local):
        starts = 0

        def start(self):
            self.starts += 1
            return super().start()

    class Twice(Recipe):
        def passes(self, args):
            self.reduce(data.path, Average(), "a.zarr")
            self.reduce(data.path, LitFrames(threshold=0.5), "b.zarr")

        def plot(self, args):
            assert args.cluster.running._client is None, "plots need no workers"

    made = Twice(to=tmp_path, cluster=Counted(workers=1)).run()
    assert made.cluster.starts == 1
    assert "1 worker processes on this machine" in made.results["b"].cluster["kind"]


def test_what_the_line_selects_is_for_each_pass_unless_it_says_otherwise(data, tmp_path):
    class Which(Recipe):
        def passes(self, args):
            self.reduce(data.path, LitFrames(threshold=0.5), "line.zarr")
            self.reduce(data.path, Average(), "dark.zarr", **self.elsewhere)
            self.reduce(data.path, Average(img=dxflow.Frames(modules=(5,))), "own.zarr", frames=None)

    line = ["--to", str(tmp_path), "--cluster", "here", "--trains", "10001:10003", "--frames", "pulses=0:16"]
    made = Which.of_line([*line, "--modules", "2"]).run()
    used = {name: int(result.account["used"].max()) for name, result in made.results.items()}
    pulses = int((np.unique(made.results["line"].dataset["litframes.lit"].pulse_id) < 16).sum())
    assert used == {"line": 2 * pulses, "dark": 4 * pulses, "own": 4 * 4}
    modules = {name: result.dataset.get("module") for name, result in made.results.items()}
    assert [modules[name].values.tolist() for name in ("dark", "own")] == [[2], [5]]


def test_names_of_the_line_that_are_known_by_themselves_hold_in_recipes_too(data, tmp_path):
    class Lit(Recipe):
        def passes(self, args):
            self.reduce(data.path, Average(), "mean.zarr")
            self.reduce(data.path, Average(), "all.zarr", where=None, labels=None)

    line = ["--to", str(tmp_path), "--cluster", "here", "--where", "litframes.lit_pixels >= 0 & lit"]
    made = Lit.of_line(line).run()
    lit = dxflow.reduce(data.path, LitFrames(), cluster="here").selection()
    used = {name: int(result.account["used"].max()) for name, result in made.results.items()}
    assert used == {"mean": int(lit.sum()), "all": len(lit)}


def test_several_recipes_of_a_file_are_told_apart_and_what_is_none_is_said(tmp_path):
    both = tmp_path / "both.py"
    both.write_text(FILE.replace("if __name__", "class Other(LitMean):\n    pass\n\n\nif __name__"))
    assert find.recipe(f"{both}:Other").__name__ == "Other"
    with pytest.raises(find.NotFoundError, match=r"has several recipes: \['LitMean', 'Other'\]; say which"):
        find.recipe(str(both))
    with pytest.raises(find.NotFoundError, match="no recipe 'Litmean' in .* Did you mean 'LitMean'"):
        find.recipe(f"{both}:Litmean")
    (tmp_path / "none.py").write_text("from dxflow.recipe import Recipe\n")
    with pytest.raises(
        find.NotFoundError, match=r"none.py is no recipe: it has no subclass of dxflow.recipe.Recipe"
    ):
        find.recipe(f"{tmp_path}/none.py")
    with pytest.raises(find.NotFoundError, match="no file /no/such.py"):
        find.recipe("/no/such.py")


def test_options_of_algorithms_that_have_the_same_are_one():
    parser = Parser()
    parser.add_options_of(LitFrames, "threshold")
    parser.add_options_of(LitFrames)
    assert parser.parse_args(["--threshold", "2"]).threshold == 2


def test_a_detector_that_is_asked_for_is_also_that_of_frames_that_are_known_by_their_time():
    asked = {"detector": "AGIPD500K"}
    for given, wanted in (
        (LitFrameFinder(), "AGIPD500K"),
        (LitFrameFinder(img=Frames(detector="LPD")), "LPD"),
    ):
        assert _narrowed(given, asked).inputs["img"].frames.detector == wanted
