"""The examples of docs/handover.md run as printed."""

import re
import shlex
from pathlib import Path

import pandas as pd
import programs
import pytest
import scipy.io
from damnit.context import ContextFile

from dxflow.commands.main import main

PAGE = (Path(__file__).parents[2] / "docs/handover.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handover")
    done = programs.run(blocks("python")[0], folder=folder)
    assert done.returncode == 0, done.stderr
    assert "wrote    table.pulse.csv: 64 rows" in done.stdout
    assert "['train_id', 'pulse_id', 'cell_id', " in done.stdout
    assert "'water.sum[ring]', 'xgm (uJ)'" in done.stdout
    return folder


def test_a_table_is_exported_as_printed(folder, monkeypatch):
    monkeypatch.chdir(folder)
    lines = [shlex.split(line, comments=True) for line in blocks("sh")[0].splitlines()]
    for line in lines:
        assert main(line[1:]) == 0
    assert {"xgm (uJ)", "delay (ps)"} < set(pd.read_csv("one.csv").columns)
    assert "water.sum[ring]" in pd.read_parquet("r0070.parquet")
    assert "water_sum" in scipy.io.loadmat("r0070.mat")


def test_the_lines_of_a_context_file_are_those_that_damnit_takes(folder):
    text = blocks("python")[1].replace(
        "/gpfs/exfel/exp/SPB/202601/p900123/usr/results/r{run:04}", f"{folder}/r{{run:04}}"
    )
    variables = ContextFile.from_str(text).vars
    assert {"xgm", "water_sum", "average_mean"} == set(variables)
    assert variables["water_sum"].title == "water.sum"


def test_a_cube_is_exported_as_printed(folder):
    assert len(pd.read_csv(folder / "cube.csv")) == 4
