"""dxflow cube, as it is typed: of a run, of its table, with images."""

import numpy as np
import pytest
from runs import make_run
from smalltables import dataset

import dxflow
from dxflow.analysis import saved
from dxflow.commands import job
from dxflow.commands.main import main
from dxflow.simulate import PowderRings, Scan

CONFIG = """\
variables:
  delay: {key: SPB_EXP_SCAN/MOTOR/STAGE actualPosition, unit: ps}
  xgm: SA1_XTD2_XGM/XGM/DOOCS:output data.intensityTD
  pumped: pumped
"""
HERE = ["--cluster", "here", "--quiet"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cube")
    scan = Scan(-1.0, 3.0, steps=3, onset=0.0, rise=0.2, lifetime=4.0)
    size = {"detector": "AGIPD500K", "module_shape": (8, 8), "trains": 6, "pulses": 4}
    make_run(folder / "r0001", signal=PowderRings(), pump="pulses", scan=scan, energy_spread=0.3, **size)
    (folder / "exp.yaml").write_text(CONFIG)
    return folder


@pytest.fixture(scope="module")
def made(folder):
    line = ["--bins", "delay=unique", "--of", "xgm", "--on", "pumped", "--normalise", "xgm", "--images"]
    more = ["--config", f"{folder}/exp.yaml", "--geometry", "run", "--azint", "12"]
    assert main(["cube", f"{folder}/r0001", "--to", f"{folder}/c.zarr", *line, *more, *HERE]) == 0
    return folder


def test_a_run_becomes_a_table_and_a_cube_with_images(made):
    cube = dxflow.open(made / "c.zarr")
    assert cube.of == ["xgm", "image", "assembled", "azint"]
    assert cube.data["image_mean"].shape == (2, 3, 8, 8, 8)
    assert (cube.data["n"].sum("pump") == 8).all()
    ev = dxflow.open(made / "c_table.zarr")
    same = ev.cube(
        {"delay": "unique"}, "xgm", on="pumped", normalise="xgm", images=True, cluster="here", quiet=True
    )
    np.testing.assert_array_equal(cube.data["image_mean"], same.data["image_mean"])
    np.testing.assert_array_equal(cube.data["xgm_mean"], same.data["xgm_mean"])


def test_of_a_table_what_is_done_is_said(made, tmp_path, capsys):
    table, to = f"{made}/c_table.zarr", f"{tmp_path}/d.zarr"
    line = ["cube", table, "--bins", "delay=-1,0.5,3", "xgm=2", "--to", to, *HERE]
    assert main([*line, "--where", "xgm > 0", "--modules", "0,1", "--images"]) == 0
    said = capsys.readouterr().out
    assert "bins         delay: 2, -1 to 3 (ps)" in said
    assert "24 frames of 2 modules by imagecube" in said
    assert "lost     nothing" in said
    assert f"result   {to}" in said
    assert main(line) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*line, "--overwrite", "--trains", "3", "--where", "xgm > 0"]) == 0
    assert "imagecube" not in capsys.readouterr().out
    assert int(dxflow.open(to).data["n"].sum()) == 12
    assert dxflow.open(to).data.attrs["where"] == "xgm > 0 & train_id >= 10001 & train_id <= 10003"


def test_algorithms_make_the_images(made, tmp_path, capsys):
    dxflow.reduce(made / "r0001", dxflow.find.algorithm("average")(), tmp_path / "dark.zarr", cluster="here")
    line = ["cube", f"{made}/c_table.zarr", "--bins", "delay=unique", "--to", f"{tmp_path}/d.zarr", *HERE]
    assert main([*line, "subtract", "--dark", f"{tmp_path}/dark.zarr"]) == 0
    assert "by subtract" in capsys.readouterr().out
    data = dxflow.open(tmp_path / "d.zarr").data
    total = (data["image_mean"] * data["image_count"]).sum("delay")
    assert np.nanmax(np.abs(total)) < 1e-4


def test_what_is_wrong_is_said(made, tmp_path, capsys):
    def error(*line):
        assert main(["cube", *map(str, line), "--to", f"{tmp_path}/x.zarr", *HERE]) == 2
        return capsys.readouterr().err

    table = made / "c_table.zarr"
    assert "Did you mean 'delay'" in error(table, "--bins", "dely=unique")
    assert "expected each variable once" in error(table, "--bins", "delay=2", "delay=3")
    assert "are of images, which are not asked for" not in error(table, "--bins", "delay=")
    assert "c_table.zarr exists: give it in place of the run" in error(
        made / "r0001", "--bins", "delay=2", "--table", table
    )
    assert "is a Cube; expected a table, or a run" in error(made / "c.zarr", "--bins", "delay=2")
    assert "no such run" in error(tmp_path / "r0009", "--bins", "delay=2")


def test_a_table_that_is_too_large_is_refused_or_asked_for(folder, tmp_path, capsys, monkeypatch):
    line = [
        "cube",
        f"{folder}/r0001",
        "--bins",
        "delay=unique",
        "--of",
        "xgm",
        "--to",
        f"{tmp_path}/l.zarr",
        *HERE,
    ]
    line += ["--config", f"{folder}/exp.yaml", "--limit"]
    assert main([*line, "100 B"]) == 2
    assert "a larger limit= (--limit)" in capsys.readouterr().err
    monkeypatch.setattr("dxflow.commands.table._terminal", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: "y\n")
    assert main([*line, "100 B"]) == 0
    assert "about" in capsys.readouterr().err
    assert main([*line, "1 MB", "--overwrite"]) == 0
    assert "about" not in capsys.readouterr().err


def test_it_can_be_submitted():
    assert job.command(["cube", "r0001"])[-3:] == ["dxflow", "cube", "r0001"]
    assert job.checked(["cube", "r0001", "--bins", "delay=unique", "--to", "c.zarr", "--images"]) == {}
    with pytest.raises(ValueError, match="expected a number of bins"):
        job.checked(["cube", "r0001", "--bins", "delay=often", "--to", "c.zarr"])


def test_options_that_would_change_nothing_are_refused(made, tmp_path, capsys):
    line = ["cube", f"{made}/c_table.zarr", "--bins", "delay=unique", "--to", f"{tmp_path}/n.zarr", *HERE]
    given = {"azint": "12", "geometry": "run", "run": f"{made}/r0001", "modules": "0", "mask": "none"}
    for name, value in given.items():
        assert main([*line, f"--{name}", value]) == 2
        assert f"--{name}: of images, which are not asked for" in capsys.readouterr().err
    assert main([*line, "--config", f"{made}/exp.yaml"]) == 2
    assert "--config: of tables that are made of a run" in capsys.readouterr().err
    assert main([*line, "--limit", "1 GB"]) == 2
    assert "--limit: of tables that are made of a run" in capsys.readouterr().err
    assert not (tmp_path / "n.zarr").exists()


def test_what_slurm_starts_again_takes_no_table_of_other_options(made, tmp_path, monkeypatch, capsys):
    line = ["cube", f"{made}/r0001", "--bins", "delay=unique", "--to", f"{tmp_path}/n.zarr", *HERE]
    config = ["--config", f"{made}/exp.yaml"]
    assert main([*line, *config, "--trains", "3"]) == 0
    monkeypatch.setenv("DXFLOW_DRIVER", "1")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert main([*line, *config, "--overwrite"]) == 0
    assert dxflow.open(tmp_path / "n_table.zarr").data.sizes["train"] == 6
    capsys.readouterr()
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    for taken in (False, True):
        assert main([*line, *config, "--overwrite"]) == 0
        assert ("made before this was interrupted" in capsys.readouterr().out) == taken
    (tmp_path / "n.zarr").rename(tmp_path / "done.zarr")
    capsys.readouterr()
    assert main([*line, *config]) == 0
    assert "made before this was interrupted" in capsys.readouterr().out


def test_the_first_trains_are_those_of_each_run(tmp_path):
    for run in (1, 2):
        data = dataset(trains=4)
        later = np.uint64(100 * run)
        data = data.assign_coords(train=data.train + later, train_id=data.train_id + later)
        saved.write(data.assign_attrs(run=run), tmp_path / f"r{run}.zarr", "table", {})
    line = ["cube", f"{tmp_path}/r1.zarr", f"{tmp_path}/r2.zarr", "--bins", "train_id=unique"]
    assert main([*line, "--trains", "3", "--to", f"{tmp_path}/c.zarr", *HERE]) == 0
    found = dxflow.open(tmp_path / "c.zarr").data["train_id"].values
    np.testing.assert_array_equal(found, [10101, 10102, 10103, 10201, 10202, 10203])
