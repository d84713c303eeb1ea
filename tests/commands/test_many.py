"""Lines about several runs: one after the other, one table."""

import shutil

import numpy as np
import pytest
from runs import make_run

import dxflow
from dxflow.algorithms.average import Average
from dxflow.commands import job
from dxflow.commands import main as cli

HERE = ["--cluster", "here", "--quiet"]
BREAKS = """
from dxflow import Algorithm, Frames, Output

class Breaks(Algorithm):
    ALG_ID = "breaks"
    inputs = {"img": Frames()}

    def outputs(self, info):
        return {"n": Output(dtype="i8")}

    def process_module_data(self, block, out):
        if "r0002" in self.path:
            raise {ERROR}
        out.n += len(block)

    def initialize(self, info):
        self.path = info.path
"""


@pytest.fixture(scope="module")
def three(tmp_path_factory):
    """A folder with three runs, which have other frames each."""
    folder = tmp_path_factory.mktemp("many")
    for n in (1, 2, 3):
        size = {"trains": 2, "pulses": n + 1, "module_shape": (4, 4), "detector": "AGIPD500K"}
        make_run(folder / f"r000{n}", devices=(), **size)
    return folder


@pytest.fixture
def folder(three, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for n in (1, 2, 3):
        (tmp_path / f"r000{n}").symlink_to(three / f"r000{n}")
    return tmp_path


def breaking(folder, error):
    (folder / "mine.py").write_text(BREAKS.replace("{ERROR}", error))
    return "mine.py:Breaks"


def test_each_run_has_its_result_and_a_line_of_the_table(folder, capsys):
    assert cli.main(["reduce", "r000?", "--to", "m{run}.zarr", *HERE, "average"]) == 0
    out = capsys.readouterr().out
    assert [line.split()[:4] for line in out.splitlines() if "done" in line][:3] == [
        [f"r000{n}", "done", "2", str(2 * (n + 1))] for n in (1, 2, 3)
    ]
    assert out.rstrip().endswith("3 runs: 3 done")
    for n in (1, 2, 3):
        alone = dxflow.reduce(f"r000{n}", Average(), cluster="here").dataset
        made = dxflow.open(f"m{n}.zarr").dataset
        np.testing.assert_array_equal(made["average.mean"], alone["average.mean"])


def test_what_is_finished_is_left_as_it_is(folder, capsys):
    line = ["reduce", "r0001", "r0002", *HERE, "--to", "{name}.zarr", "average"]
    assert cli.main(line) == 0
    shutil.rmtree("r0002.zarr")
    assert cli.main(line) == 1
    assert "dxflow: r0001: " in (said := capsys.readouterr()).err
    assert "exists" in said.err
    assert "2 runs: 1 done, 1 failed" in said.out
    assert cli.main([*line, "--resume"]) == 0
    assert "2 runs: 2 was there" in capsys.readouterr().out


def test_names_of_runs_stand_for_them_in_all_options(folder):
    assert (
        cli.main(["reduce", "r000[12]", *HERE, "--to", "lit{run}.zarr", "litframes", "--threshold", "0.5"])
        == 0
    )
    where = ["--frames", "lit{run}.zarr"]
    assert cli.main(["reduce", "r000[12]", *HERE, *where, "--to", "mean{run}.zarr", "average"]) == 0
    # Those of the first run would leave four of these.
    assert dxflow.open("mean2.zarr").manifest["account"][0]["used"] == 6


def test_a_run_that_fails_does_not_stop_the_others(folder, capsys):
    alg = breaking(folder, 'RuntimeError("no light")')
    assert cli.main(["reduce", "r000?", "--to", "{name}.zarr", *HERE, alg]) == 1
    said = capsys.readouterr()
    assert "dxflow: r0002: no light" in said.err
    assert "r0002  failed" in said.out
    assert "3 runs: 2 done, 1 failed" in said.out
    assert cli.main(["reduce", "r000?", "--to", "again{run}.zarr", "--on-fault", "raise", *HERE, alg]) == 1
    assert "3 runs: 1 done, 1 failed, 1 not begun" in capsys.readouterr().out


def test_what_is_interrupted_ends_with_the_table_so_far(folder, capsys):
    alg = breaking(folder, "KeyboardInterrupt")
    assert cli.main(["reduce", "r000?", "--to", "{name}.zarr", *HERE, alg]) == 130
    assert "3 runs: 1 done, 1 interrupted, 1 not begun" in capsys.readouterr().out
    assert dxflow.open("r0001.zarr").dataset["breaks.n"] == 8 * 4


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            ["r0001", "r0002", "--to", "x.zarr", "average"],
            "the results of r0001 and r0002 would have one name",
        ),
        (
            ["r0001", "r0009", "--to", "{name}.zarr", "average"],
            "1 of 2 runs are not there:\n- r0009: no such run",
        ),
        (["r0001", "r0001", "--to", "{name}.zarr", "average"], "this run is given twice"),
        (["r0001", "r0002", "--to", "{proposal}.zarr", "average"], "does not say its proposal number"),
        (["r0001", "r0002", "--to", "{name}.zarr"], "no algorithm is given"),
        (["r0001", "averge", "--to", "{name}.zarr"], "no algorithm 'averge'. Did you mean 'average'?"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_read(folder, capsys, line, words):
    assert cli.main(["reduce", *line, *HERE]) == 2
    assert words in capsys.readouterr().err
    assert not list(folder.glob("*.zarr*"))


def test_plans_of_all_are_shown_and_the_first_is_checked_before_it_is_queued(folder, capsys):
    assert cli.main(["plan", "r000?", *HERE, "average"]) == 0
    assert capsys.readouterr().out.count("chunks ") == 3
    facts = job.checked(["reduce", "r000?", "--to", "{name}.zarr", *HERE, "average"])
    assert facts["to"] == str(folder / "r0001.zarr")
