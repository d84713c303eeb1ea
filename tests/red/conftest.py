"""Runs and files that tests of volumes share."""

import os
from types import SimpleNamespace

import pytest
from runs import make_run

SMALL = {"trains": 4, "pulses": 3, "modules": 2, "sequences": 1, "module_shape": (8, 8), "devices": ("xgm",)}
FACTS = """\
title: "Water"
description: "Scattering of water."
creators:
  - {name: "Doe, Jane", orcid: 0000-0002-1825-0097, affiliation: DESY, ror: https://ror.org/01js2sh04}
publisher: European XFEL
license: CC-BY-4.0
instrument: {name: SPB/SFX, facility: European XFEL}
samples: [water]
techniques: [SAXS]
embargo: 2999-11-22
"""


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
