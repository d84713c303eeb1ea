"""dxflow table, as it is typed."""

import pytest
from runs import make_run

import dxflow
from dxflow.analysis import config
from dxflow.commands import table as command
from dxflow.commands.main import main
from dxflow.simulate import Plant


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("table") / "r0001"
    make_run(path, detector=None, trains=6, pulses=4, devices=("xgm", "motor", "timeserver"))
    return str(path)


def test_a_table_is_made_and_said(run, tmp_path, capsys):
    assert main(["table", run, "--to", f"{tmp_path}/t.zarr", "--trains", "4", "--quiet"]) == 0
    said = capsys.readouterr().out
    assert "rows     4 trains, 16 pulses; rows are pulses" in said
    assert "left out: more than 64 values per train: data.bunchPatternTable" in said
    assert dxflow.open(tmp_path / "t.zarr").data.sizes["pulse"] == 16
    assert main(["table", run, "--to", f"{tmp_path}/t.zarr", "--quiet"]) == 2
    assert "--overwrite" in capsys.readouterr().err


def test_without_a_terminal_a_large_one_is_refused(run, tmp_path, capsys):
    assert main(["table", run, "--to", f"{tmp_path}/t.zarr", "--limit", "100 B", "--quiet"]) == 2
    said = capsys.readouterr().err
    assert "more than the limit of 100 B" in said
    assert "a larger limit= (--limit)" in said
    assert main(["table", run, "--to", f"{tmp_path}/t.zarr", "--limit", "100 B", "--yes", "--quiet"]) == 0


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("\n", 2)])
def test_on_a_terminal_somebody_is_asked(run, tmp_path, capsys, monkeypatch, answer, code):
    monkeypatch.setattr(command, "_terminal", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: answer)
    assert main(["table", run, "--to", f"{tmp_path}/t.zarr", "--quiet"]) == code
    assert "24 pulses of 6 trains: about" in capsys.readouterr().err


@pytest.mark.parametrize("config", [False, True])
def test_on_a_terminal_the_limit_says_when_somebody_is_asked(run, tmp_path, capsys, monkeypatch, config):
    """With a configuration, or a limit that is given."""
    (tmp_path / "t.yaml").write_text("everything: true\n")
    line = ["table", run, "--to", f"{tmp_path}/t.zarr", "--quiet", "--overwrite"]
    line += ["--config", f"{tmp_path}/t.yaml"] * config
    answers = []
    monkeypatch.setattr(command, "_terminal", lambda: True)
    monkeypatch.setattr("sys.stdin.readline", lambda: answers.pop())
    for size in [["--limit", "1 GB"], *[[]] * config, ["--yes"], ["--limit", "100 B", "--yes"]]:
        assert main([*line, *size]) == 0
        assert "about" not in capsys.readouterr().err
    for answer, code in (("y\n", 0), ("\n", 2)):
        answers.append(answer)
        assert main([*line, "--limit", "100 B"]) == code
        assert "24 pulses of 6 trains: about" in capsys.readouterr().err


def test_a_configuration_is_written_with_what_a_run_holds(run, tmp_path, capsys):
    new = f"{tmp_path}/exp.yaml"
    assert main(["table", run, "--new", new]) == 0
    made = config.of(new)
    assert made.variables["xgm.intensityTD"].what.key == "data.intensityTD"
    assert main(["table", run, "--config", new, "--to", f"{tmp_path}/t.zarr", "--quiet"]) == 0
    assert set(dxflow.open(tmp_path / "t.zarr").names) == set(made.variables)
    assert main(["table", "--new", f"{tmp_path}/plain.yml"]) == 0
    assert config.of(f"{tmp_path}/plain.yml").everything
    capsys.readouterr()
    assert main(["table", "--new", new]) == 2
    assert "exists" in capsys.readouterr().err


def test_what_is_missing_is_said(run, capsys):
    assert main(["table", run]) == 2
    assert "expected RUN and --to" in capsys.readouterr().err


def test_frames_that_lack_a_module_are_marked_and_told_wherever_a_table_is_shown(tmp_path, capsys):
    plant = Plant(lost_trains={2: (0,)})
    make_run(
        tmp_path / "r0080",
        module_shape=(8, 8),
        detector="AGIPD500K",
        modules=8,
        trains=3,
        pulses=2,
        plant=plant,
    )
    (tmp_path / "t.yaml").write_text("algorithms: [litframes]\npass: {cluster: here}\n")
    to = str(tmp_path / "t.zarr")
    assert main(["table", str(tmp_path / "r0080"), "--to", to, "--config", f"{tmp_path}/t.yaml"]) == 0
    assert dxflow.open(to).data["modules_used"].values.tolist() == [7, 7, 8, 8, 8, 8]
    capsys.readouterr()
    assert main(["info", to]) == 0
    said = capsys.readouterr().out
    assert "train 10001: missing frames, 2 frames" in said
    assert "modules_used" in said
    assert main(["info", to, "--config", "--traceback"]) == 0
    assert capsys.readouterr().out == (tmp_path / "t.yaml").read_text()
    assert main(["show", to]) == 0
    assert "lost: module 2" in capsys.readouterr().out
    assert main(["report", to]) == 0
    assert "train 10001: missing frames, 2 frames" in (tmp_path / "t.html").read_text()
