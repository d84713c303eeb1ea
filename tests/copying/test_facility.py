"""The method that the facility's copier loads: it asks for what a copy keeps."""

import argparse
import sys
import tomllib
import types
from importlib import import_module
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from extra_data import RunDirectory

from dxflow import PlanError
from dxflow.simulate import Plant, make_run

OPTIONS = {"trains": 6, "pulses": 12, "module_shape": (16, 16), "detector": "AGIPD500K", "modules": 2}


class ReductionMethod:
    """What exdf-tools has methods inherit from: it notes what is selected."""

    def select_xtdf(self, source, trains, mask):
        vars(self).setdefault("asked", {})[source, int(trains.value[0])] = mask


@pytest.fixture
def method(monkeypatch):
    package, module = types.ModuleType("exdf"), types.ModuleType("exdf.data_reduction")
    module.ReductionMethod = ReductionMethod
    monkeypatch.setitem(sys.modules, "exdf", package)
    monkeypatch.setitem(sys.modules, "exdf.data_reduction", module)
    monkeypatch.delitem(sys.modules, "dxflow.copying.facility", raising=False)
    yield import_module("dxflow.copying.facility").LitFrames
    sys.modules.pop("dxflow.copying.facility", None)


def made(method, truth, *argv):
    parser = argparse.ArgumentParser()
    method.arguments(parser)
    return method(RunDirectory(truth.path), parser.parse_args(argv))


def test_the_copier_finds_it_by_its_entry_point(method):
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    ((name, value),) = project["entry-points"]["exdf.data_reduction.method"].items()
    assert EntryPoint(name, value, "exdf.data_reduction.method").load() is method


def test_it_asks_for_the_lit_frames_of_each_module_and_train_by_cell(method, tmp_path):
    lit = np.random.default_rng(0).random((6, 12)) < 0.4
    lit[:, 0] = True
    lit[2] = True
    plant = Plant(pulse_counts=np.array([12, 5, 12, 0, 1, 12]))
    truth = make_run(tmp_path / "r", lit=lit, plant=plant, **OPTIONS)
    asked = made(method, truth, "--dxflow-lit", "timing", "--dxflow-reference-frame", "0").asked
    expected = {}
    for source in truth.sources:
        for train, row, n in zip(truth.train_ids, lit, truth.frame_counts, strict=True):
            if n and not row[:n].all():
                expected[source, int(train)] = row[:n]
    assert set(asked) == set(expected)
    for key, mask in expected.items():
        np.testing.assert_array_equal(asked[key], mask)
    one = made(
        method, truth, "--dxflow-lit", "intensity", "--dxflow-det-sources", f"*{truth.sources[0]}"
    ).asked
    assert {source for source, _ in one} == {truth.sources[0]}


def test_without_its_option_nothing_is_selected_and_what_differs_is_refused(method, tmp_path):
    lit = np.tile([True, False, False], 4)
    truth = make_run(tmp_path / "r", lit=lit, devices=("xgm", "timeserver"), **OPTIONS)
    assert vars(made(method, truth)) == {}
    argv = ["--dxflow-lit", "timing", "--dxflow-agree", "2"]
    with pytest.raises(PlanError, match="shifted by -1 frames"):
        made(method, truth, *argv)
    rows = made(method, truth, *argv, "--dxflow-reference-frame", "0", "--dxflow-margin", "1").asked
    assert all(mask.sum() == 11 for mask in rows.values())
