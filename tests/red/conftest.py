"""Runs and files that tests of volumes share."""

import os
from types import SimpleNamespace

import pytest
from proposals import FACTS, SMALL
from runs import make_run


@pytest.fixture
def proposal(tmp_path, monkeypatch):
    """Return a function that makes runs r0001, r0002, ... of a proposal, and a file about them.

    It stands in the folder of the proposal. Lines of runs go to the file as they are; of a number, all runs are kept.
    """
    monkeypatch.chdir(tmp_path)

    def make(count=1, lines=None, facts=FACTS, to="red", **options):
        for number in range(1, count + 1):
            if not os.path.exists(f"raw/r{number:04}"):
                make_run(tmp_path / f"raw/r{number:04}", **{**SMALL, "run": number, **options})
        rows = lines or [f"{{run: raw/r{n:04}, keep: raw}}" for n in range(1, count + 1)]
        runs = "\n".join(f"  - {row}" for row in rows)
        (tmp_path / "red.yaml").write_text(f"to: {to}\n{facts}runs:\n{runs}\n", encoding="utf-8")
        return SimpleNamespace(folder=tmp_path, volume=tmp_path / to, file=tmp_path / "red.yaml")

    return make


@pytest.fixture
def cli(capsys):
    """Return a function that runs ``dxflow red`` and gives its exit code and what it printed."""
    from dxflow.commands.main import main

    def run(*words):
        code = main(["red", *map(str, words)])
        said = capsys.readouterr()
        return code, said.out + said.err

    return run
