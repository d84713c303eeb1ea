"""Tables of some runs, one after the other, by one configuration."""

import numpy as np
import pytest
from runs import make_run

import dxflow
from dxflow.errors.usage import UsageError
from dxflow.recipes.smalldata import SmallData
from dxflow.simulate import Scan

SIZE = {"detector": "AGIPD500K", "module_shape": (8, 8), "pulses": 4}
CONFIG = """
variables:
  xgm: SA1_XTD2_XGM/XGM/DOOCS:output data.intensityTD
  delay: SPB_EXP_SCAN/MOTOR/STAGE actualPosition
algorithms:
  - roi: {name: water, rois: {ring: [[0, 8], [0, 8], [0, 8]]}}
"""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("proc")
    (folder / "exp.yaml").write_text(CONFIG)
    for n in (1, 2):
        scan = Scan(0.0, 1.0, steps=2 + n)
        make_run(folder / f"r{n:04}", trains=6, seed=n, scan=scan, first_train=10000 * n, **SIZE)
    return folder


def made(runs, to, which="r*", **options):
    given = {"config": str(runs / "exp.yaml"), "cluster": "here", "quiet": True}
    return SmallData(runs=f"{runs}/{which}", to=str(to), **given | options).run()


def test_each_run_has_a_table_of_the_same_variables_and_they_open_as_one(runs, tmp_path):
    recipe = made(runs, tmp_path / "tables")
    assert [one.state for one in recipe.outcomes] == ["done", "done"]
    ev = recipe.tables
    assert {"xgm", "delay", "water.sum"} <= set(ev.names)
    single = dxflow.open(tmp_path / "tables" / "r0002.zarr")
    mask = ev.data["run"].values == 2
    np.testing.assert_array_equal(ev.data["water.sum"].values[mask], single.data["water.sum"].values)
    assert np.unique(ev.column("delay").values).tolist() == [0.0, 1 / 3, 0.5, 2 / 3, 1.0]
    assert not recipe.failed


def test_a_run_that_fails_does_not_stop_the_others_and_resume_takes_what_is_there(runs, tmp_path, capsys):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "r0001.zarr").write_text("mine")
    line = [
        f"{runs}/r0001",
        f"{runs}/r0002",
        "--to",
        str(tmp_path / "tables"),
        "--config",
        str(runs / "exp.yaml"),
    ]
    line += ["--cluster", "here", "--quiet"]
    assert SmallData.main(line) == 1
    said = capsys.readouterr()
    assert "2 runs: 1 done, 1 failed" in said.out
    assert "r0001" in said.err
    assert (tmp_path / "tables" / "r0001.zarr").read_text() == "mine"
    (tmp_path / "tables" / "r0001.zarr").unlink()
    assert SmallData.main([*line, "--resume"]) == 0
    assert "1 done, 1 was there" in capsys.readouterr().out


def test_what_would_differ_between_runs_belongs_into_the_configuration(runs, tmp_path):
    with pytest.raises(UsageError, match="--where: all runs have the same configuration"):
        made(runs, tmp_path / "x", where="xgm > 1")
    with pytest.raises(UsageError, match="not there"):
        SmallData(runs=str(runs / "r0009"), to=str(tmp_path / "x"), cluster="here").run()


def test_tables_of_another_configuration_are_not_taken_for_those_that_are_asked_for(runs, tmp_path, capsys):
    line = [
        f"{runs}/r0001",
        "--to",
        str(tmp_path / "x"),
        "--config",
        str(tmp_path / "exp.yaml"),
        "--cluster",
        "here",
    ]
    (tmp_path / "exp.yaml").write_text("variables: {xgm: 'SA1_XTD2_XGM/XGM/DOOCS:output data.intensityTD'}\n")
    assert SmallData.main([*line, "--quiet", "--trains", "3"]) == 0
    assert SmallData.main([*line, "--quiet", "--trains", "3", "--resume"]) == 0
    assert SmallData.main([*line, "--quiet", "--resume"]) == 1
    (tmp_path / "exp.yaml").write_text(
        "variables: {xgm: 'SA1_XTD2_XGM/XGM/DOOCS:output data.intensitySa1SigmaTD'}\n"
    )
    assert SmallData.main([*line, "--quiet", "--trains", "3", "--resume"]) == 1
    assert "made with other options; --overwrite makes it anew" in capsys.readouterr().err


def test_a_configuration_that_is_wrong_is_said_once_before_any_run(runs, tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        made(runs, tmp_path / "x", config=str(tmp_path / "none.yaml"))


def test_what_slurm_starts_again_goes_on(runs, tmp_path, monkeypatch):
    made(runs, tmp_path / "x")
    monkeypatch.setenv("DXFLOW_DRIVER", "1")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    assert [one.state for one in made(runs, tmp_path / "x").outcomes] == ["was there"] * 2


def test_what_slurm_starts_again_replaces_what_was_there_before_the_job_once(runs, tmp_path, monkeypatch):
    """With --overwrite a table of before is stale, also where its options are the same; one of the job is not."""
    to = tmp_path / "x"
    made(runs, to)
    monkeypatch.setenv("DXFLOW_DRIVER", "1")
    monkeypatch.setenv("SLURM_JOB_ID", "77")
    made(runs, to, "r0001", overwrite=True)
    mine = (to / "r0001.zarr" / "dxflow.json").stat()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    states = [one.state for one in made(runs, to, overwrite=True).outcomes]
    assert states == ["was there", "done"]
    assert (to / "r0001.zarr" / "dxflow.json").stat() == mine
    monkeypatch.setenv("SLURM_JOB_ID", "78")
    other = made(runs, to, overwrite=True, trains="3")
    assert [one.state for one in other.outcomes] == ["done"] * 2
    assert [one.trains for one in other.outcomes] == [3, 3]
    again = made(runs, to, overwrite=True, trains="3")
    assert [one.state for one in again.outcomes] == ["was there"] * 2
