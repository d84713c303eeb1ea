"""``dxflow bench`` on a small run."""

import argparse
import json
import re

import pytest

from dxflow import Frames
from dxflow.commands import bench as command
from dxflow.errors import PlanError
from dxflow.simulate import make_run


@pytest.fixture(autouse=True)
def _lent(lent, monkeypatch):
    monkeypatch.setattr(command, "workers", lent)


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
    said = bench(path, "--workers", "1", "2", "--rounds", "1", "--first", "4", "--json", file)
    first, what, *_ = said.splitlines()
    assert re.fullmatch(
        r"this run: dxflow [\d.]+ s, EXtra-data \+ numpy [\d.]+ s, bare reading [\d.]+ s", first
    )
    assert (
        "393 kB in 6 trains; measured on the first 4 trains, 262 kB, and scaled; 2 workers, 1 round" in what
    )
    for words in ("-- 1 worker\n", "-- 2 workers\n", "all together", "EXtra-data + numpy, mean", "dxflow is"):
        assert words in said
    assert "all together on 2 workers" in said.splitlines()[-2]
    with open(file) as f:
        content = json.load(f)
    assert content["trains"] == 4
    assert len(content["groups"]) == 2


def test_what_cannot_be_compared_is_said(path):
    said = bench(
        path, "--workers", "1", "--rounds", "1", "--trains", "10003:10005", "--algorithms", "average"
    )
    assert "131 kB in 2 trains; 1 worker, 1 round" in said.splitlines()[1]
    (line,) = (line for line in said.splitlines() if "LiberTEM (no NaN test)" in line)
    assert "cannot: LiberTEM" in line  # not some trains of a file, if it is installed


def test_it_says_what_it_is_doing(path, monkeypatch):
    phases, phase = [], command.Progress.phase
    monkeypatch.setattr(
        command.Progress, "phase", lambda self, name, *more: phases.append(name) or phase(self, name, *more)
    )
    bench(path, "--workers", "1", "--rounds", "1", "--first", "2", "--no-peers", "--algorithms", "average")
    wanted = ["opening the run", "starting 1 worker", "1 worker: warming up, bare reading"]
    assert [name for name in phases if name in wanted] == wanted
    assert "1 worker: round 1 of 1, average" in phases


def test_raw_data_are_measured_with_what_works_on_them(tmp_path):
    make_run(tmp_path / "raw", data="raw", trains=2, pulses=2, module_shape=(8, 8), modules=2)
    said = bench(str(tmp_path / "raw"), "--workers", "1", "--rounds", "1", "--no-peers")
    assert "average" in said
    assert "litframes" not in said
    with pytest.raises(PlanError, match="whether it counts photons is not known"):
        bench(str(tmp_path / "raw"), "--workers", "1", "--algorithms", "litframes", "--no-peers")


def test_a_run_that_is_not_there_is_said(tmp_path):
    with pytest.raises(PlanError, match="no such run"):
        bench(str(tmp_path / "none"))


def test_a_number_of_trains_alone_is_how_many_from_the_start(path):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    whole, data = command.some_trains(parser.parse_args([path, "--trains", "2", "--first", "1"]), Frames())
    assert (whole.train_ids.tolist(), len(data.train_ids)) == ([10001, 10002], 1)
