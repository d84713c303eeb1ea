"""``dxflow bench`` on a small run."""

import argparse
import json

import pytest

from dxflow.bench import command
from dxflow.binding import PlanError
from dxflow.simulate import make_run


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    where = tmp_path_factory.mktemp("bench") / "run"
    make_run(where, trains=6, pulses=4, module_shape=(16, 16), modules=2, compress_data=True)
    return str(where)


def bench(*argv):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(list(argv)))


def test_it_compares_reading_algorithms_and_others_and_says_what_bounds(path, tmp_path):
    file = str(tmp_path / "out.json")
    said = bench(path, "--workers", "1", "2", "--rounds", "1", "--trains", "4", "--json", file)
    for words in ("1 worker\n", "2 workers\n", "average / bare read()", "together / (average + litframes)"):
        assert words in said
    assert "average / EXtra-data + numpy, mean" in said
    assert said.splitlines()[-1].startswith("together on 2 workers")
    assert "would" in said.splitlines()[-1]
    with open(file) as f:
        content = json.load(f)
    assert content["trains"] == 4
    assert len(content["groups"]) == 2


def test_what_cannot_be_compared_is_said(path):
    said = bench(path, "--workers", "1", "--rounds", "1", "--trains", "2", "--algorithms", "average")
    assert "average / LiberTEM (no NaN test)" in said
    assert "cannot: LiberTEM" in said  # not some trains of a file, if it is installed


def test_a_run_that_is_not_there_is_said(tmp_path):
    with pytest.raises(PlanError, match="no such run"):
        bench(str(tmp_path / "none"))
