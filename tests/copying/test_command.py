"""The command dxflow copy."""

import pytest

from dxflow.commands.main import main


@pytest.fixture
def run(made):
    return made()


def test_a_dry_run_shows_every_file_and_writes_nothing(run, tmp_path, capsys):
    assert main(["copy", run.path, str(tmp_path / "copy"), "--frames", "pulses=0:9", "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "CORR-R0001-AGIPD00-S00000.h5" in out
    assert "nothing was written" in out
    assert list(tmp_path.iterdir()) == []


def test_options_select_as_the_function_does(run, tmp_path, capsys):
    first = int(run.train_ids[0])
    argv = ["copy", run.path, str(tmp_path / "copy"), "--modules", "0-0", "--sources", "*CORR*"]
    assert main([*argv, "--trains", f"{first}:{first + 2}", "--cluster", "here"]) == 0
    assert "trains   2 of 8" in capsys.readouterr().out
    assert main([*argv[:2], str(tmp_path / "other"), "--trains", "2", "--dry-run"]) == 0
    assert "trains   2 of 8" in capsys.readouterr().out
    assert [p.name for p in (tmp_path / "copy").glob("*.h5")] == ["CORR-R0001-AGIPD00-S00000.h5"]


def test_a_selection_that_leaves_nothing_is_refused_with_the_frames_there_are(run, tmp_path, capsys):
    assert main(["copy", run.path, str(tmp_path / "copy"), "--frames", "pulses=5000:"]) == 2
    said = capsys.readouterr().err
    assert "nothing to copy: " in said
    assert f"there are trains {run.train_ids[0]}-{run.train_ids[-1]}, pulses " in said
    assert main(["copy", run.path, str(tmp_path / "copy"), "--trains", "5:6"]) == 2
    assert f"there are {run.train_ids[0]} to {run.train_ids[-1]}" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_copy_has_a_name_and_is_made_in_silence_if_asked(run, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("dxflow.driver.progress.LINES", 0.0)
    monkeypatch.setattr("dxflow.driver.progress.TICK", 0.01)
    argv = ["copy", run.path, str(tmp_path / "copy"), "--name", "lit frames", "--quiet", "--cluster", "here"]
    assert main(argv) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert "name     lit frames\n" in said.out
    assert main(["info", str(tmp_path / "copy")]) == 0
    shown = capsys.readouterr().out
    assert "name     lit frames\n" in shown
    files = list((tmp_path / "copy").glob("*.h5"))
    assert shown.startswith(f"files    {len(files)}: {len(files)} whole\n")
    assert files[0].name not in shown
    assert main(["info", str(tmp_path / "copy"), "--all"]) == 0
    assert all(file.name in capsys.readouterr().out for file in files[:1])


def test_what_cannot_work_is_wrong_usage(run, tmp_path, capsys):
    assert main(["copy", run.path, str(tmp_path / "copy"), "--sources", "NONE"]) == 2
    assert "nothing fits 'NONE'" in capsys.readouterr().err
    for bad in (["--modules", "a"], ["--trains", "x:y"]):
        assert main(["copy", run.path, str(tmp_path / "copy"), *bad]) == 2
        assert "write" in capsys.readouterr().err
