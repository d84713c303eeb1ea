"""What each algorithm reads is in the plan, in the attributes of every format and in what `dxflow info` shows."""

import json

import numpy as np
import pytest

import dxflow
from dxflow import From
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.subtract import Subtract
from dxflow.commands import main as cli

FORMATS = ["x.zarr", "x.nc", "x.nxs", "x/"]


@pytest.fixture(scope="module")
def geometry(run, tmp_path_factory):
    """Return the path of a geometry for the run."""
    path = tmp_path_factory.mktemp("geometry") / "geometry.npy"
    points = np.zeros((16, 16, 16, 3))
    points[..., 0], points[..., 1] = np.meshgrid(np.arange(16) * 1e-3, np.arange(16) * 1e-3)
    points[..., 2] = 1
    np.save(path, points)
    return path


def chain(dark, geometry):
    img = From("subtract.img")
    azint = AzimuthalIntegration(geometry=str(geometry), energy=9.3, nbins=4, img=img)
    return [Subtract(dark=str(dark)), Average(img=img), azint]


@pytest.fixture(scope="module")
def dark(run, tmp_path_factory):
    path = tmp_path_factory.mktemp("dark") / "dark.zarr"
    dxflow.reduce(run.path, Average(), path, cluster="here")
    return path


def test_a_plan_says_what_each_algorithm_reads_through_all_before_it(run, dark, geometry):
    shown = str(dxflow.plan(run.path, chain(dark, geometry)))
    source = "SPB_DET_AGIPD1M-1 image.data"
    assert f"subtract: reads {source}" in shown
    assert f"average: reads subtract.img (subtract <- {source}" in shown
    assert f"azint: reads subtract.img (subtract <- {source}" in shown


@pytest.mark.parametrize("name", FORMATS)
def test_the_attributes_of_every_format_hold_what_was_read_and_from_where(
    run, dark, geometry, tmp_path, name
):
    to = f"{tmp_path}/{name}"
    result = dxflow.reduce(run.path, chain(dark, geometry), to, cluster="here")
    attributes = dxflow.open(to).dataset.attrs
    source = "SPB_DET_AGIPD1M-1 image.data"
    assert attributes["average.reads"].startswith(f"subtract.img (subtract <- {source}")
    given = json.loads(attributes["subtract.options"])["dark"]
    assert given["path"] == str(dark)
    assert len(given["content"]) == 16
    given = json.loads(attributes["azint.options"])["geometry"]
    assert given["path"] == str(geometry)
    assert len(given["content"]) == 16
    assert any(file.endswith("azint.py") for file in json.loads(attributes["azint.code"]))
    assert {"numpy", "python"} <= set(json.loads(attributes["versions"]))
    assert json.loads(attributes["inputs"])[0]["key"] == "image.data"
    assert result.manifest["plan"]["algorithms"][0]["options"]["dark"]["path"] == str(dark)


def test_info_shows_what_a_result_depends_on(run, dark, geometry, tmp_path, capsys):
    to = f"{tmp_path}/x.zarr"
    dxflow.reduce(run.path, chain(dark, geometry), to, cluster="here")
    assert cli.main(["info", to, "--all"]) == 0
    shown = capsys.readouterr().out
    assert "average: reads subtract.img (subtract <- SPB_DET_AGIPD1M-1 image.data" in shown
    content = dxflow.open(to).manifest["plan"]["algorithms"][0]["options"]["dark"]["content"]
    assert f"option dark = {dark} ({content})" in shown
    assert "code algorithms/subtract.py" in shown


def test_info_of_a_result_of_an_older_version_says_what_there_is(run, tmp_path, capsys, monkeypatch):
    to = f"{tmp_path}/x.zarr"
    dxflow.reduce(run.path, Average(), to, cluster="here")
    made = dxflow.open(to).manifest
    older = {**made, "plan": {"run": run.path, "files": {}, "algorithms": [], "selection": ["0"]}}
    monkeypatch.setattr(dxflow.Result, "manifest", older)
    assert cli.main(["info", to]) == 0
    assert "average.mean" in capsys.readouterr().out
