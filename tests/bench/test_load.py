"""The benchmark of much of everything runs at a small size; its results are compared with what is in the run."""

import importlib
import json

import pytest


@pytest.fixture
def load():
    """The script, as a module that worker processes import as well."""
    return importlib.import_module("bench_load")


def test_every_case_gives_the_result_of_its_run(load, client, monkeypatch, capsys):
    monkeypatch.setattr(load, "Local", lambda workers: client)
    for case in load.CASES:
        with load.simulated(case, case.small) as run:
            # It ends where a value is not there.
            load.reduce_here(case, case.small, run, 1)
    seconds = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(seconds) == len(load.CASES) == 6
    assert all(s > 0 for s in seconds)


def test_a_case_has_a_line_with_time_and_memory(load, tmp_path, capsys):
    """The campaign measures all of them."""
    file = tmp_path / "load.json"
    load.main(["--small", "--workers", "1", "--only", "files", "--json", str(file)])
    (row,) = json.loads(file.read_text())["rows"]
    assert row["case"] == "files"
    assert row["seconds"] > 0
    assert row["driver"] > 10
    assert row["worker"] > 10
    assert "10 files " in capsys.readouterr().out
