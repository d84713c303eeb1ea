"""The command ``dxflow live``, as it is typed."""

import os
import shutil

import pytest
import xarray as xr

import dxflow
from dxflow.algorithms.average import Average
from dxflow.commands import live
from dxflow.commands.arguments import read, split
from dxflow.commands.live import Line, Said
from dxflow.commands.main import main
from dxflow.live import parameters
from dxflow.live.folder import GrowingRun
from dxflow.live.parameters import Asked

CHUNK = ["--chunk", "2 trains", "--cluster", "here"]


@pytest.fixture(scope="module")
def old(tiny, tmp_path_factory):
    """A run whose files have not changed for long, in a proposal."""
    root = tmp_path_factory.mktemp("root")
    folder = root / "SPB" / "202601" / "p900123" / "proc" / "r0034"
    shutil.copytree(tiny.path, folder)
    for file in folder.glob("*.h5"):
        os.utime(file, (1, 1))
    return root, folder


@pytest.fixture(scope="module")
def expected(old):
    options = {"chunk": "2 trains", "on_fault": "mask", "cluster": "here", "quiet": True}
    return dxflow.reduce(old[1], Average(), **options).dataset.load()


def test_a_run_that_is_there_is_reduced_at_once(old, expected, tmp_path, capsys):
    to = tmp_path / "x.zarr"
    assert main(["live", str(old[1]), "average", "--to", str(to), "--end", "now", *CHUNK]) == 0
    assert xr.open_zarr(to).drop_vars([]).equals(expected)
    said = capsys.readouterr().out
    assert f"live     {old[1]} -> {to}" in said
    assert "result   5 trains, 10001 to 10005" in said
    assert main(["live", str(old[1]), "average", "--to", str(to), "--end", "now", *CHUNK]) == 2
    assert "exists: choose another name" in capsys.readouterr().err


def test_a_run_is_named_by_its_numbers(old, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("EXTRA_DATA_DATA_ROOT", str(old[0]))
    to = tmp_path / "x.zarr"
    assert main(["live", "900123:34", "average", "--to", str(to), "--end", "now", *CHUNK]) == 0
    assert xr.open_zarr(to).equals(expected)


def test_names_that_are_known_by_themselves_are_those_of_the_run(half, tmp_path, capsys):
    folder, to = tmp_path / "run", tmp_path / "x.zarr"
    shutil.copytree(half.path, folder)
    for file in folder.glob("*.h5"):
        os.utime(file, (1, 1))
    words = ["average", "--where", "xgm > 900", "--to"]
    assert main(["live", str(folder), *words, str(to), "--end", "now", *CHUNK]) == 0
    assert main(["reduce", str(folder), *words, str(tmp_path / "y.zarr"), "--on-fault", "mask", *CHUNK]) == 0
    assert xr.open_zarr(to).equals(xr.open_zarr(tmp_path / "y.zarr"))
    assert 0 < int(xr.open_zarr(to)["average.count"].max()) < 72


def test_a_name_that_needs_a_first_pass_over_pixels_grows_with_the_run(half, tmp_path, monkeypatch):
    """The first pass is of the trains so far as well, and chunks that are done are kept."""
    folder, to = tmp_path / "run", tmp_path / "x.zarr"
    shutil.copytree(half.path, folder)
    for file in folder.glob("*.h5"):
        os.utime(file, (1, 1))
    told, words = [], ["average", "--where", "lit", "--modules", "0,1"]
    monkeypatch.setattr(GrowingRun, "_ended", lambda self: self._done > 0)
    monkeypatch.setattr(Said, "snapshot", lambda self, one: told.append((one.trains, chunks(to))))
    assert main(["live", str(folder), *words, "--to", str(to), *CHUNK]) == 0
    assert [trains for trains, _ in told] == [11, 12]
    assert told[0][1] < told[1][1]
    assert main(["reduce", str(folder), *words, "--to", str(tmp_path / "y.zarr"), *CHUNK]) == 0
    assert xr.open_zarr(to).equals(xr.open_zarr(tmp_path / "y.zarr"))


def chunks(to):
    return {(path.name, path.stat().st_ino) for path in to.with_suffix(".live").glob("work-1.*/chunk-*")}


def test_what_was_interrupted_is_ended_by_the_same_command(old, expected, tmp_path, capsys, monkeypatch):
    """Options that change nothing of the result may be others."""
    to = tmp_path / "x.zarr"
    line = ["live", str(old[1]), "average", "--to", str(to), "--chunk", "2 trains"]

    def interrupt(self, one):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Said, "snapshot", interrupt)
        patched.setattr(GrowingRun, "_ended", lambda self: False)
        assert main([*line, "--cluster", "here", "--wait", "5"]) == 130
    assert "the same command goes on where this was" in capsys.readouterr().err
    assert to.is_symlink()
    _is_described_and_made_again(to, tmp_path, capsys)
    assert main([*line, "--per", "cell", "--cluster", "here", "--end", "now"]) == 2
    assert "interrupted live reduction of something else" in capsys.readouterr().err
    assert main([*line, "--quiet", "--end", "now", "--cluster", "here"]) == 0
    assert xr.open_zarr(to).equals(expected)


def test_an_option_that_is_changed_replaces_what_was_given_before(tmp_path):
    """Also one that may be given several times, each time with something more."""
    words = [
        "r0001",
        "average",
        "roi",
        "--region",
        "0",
        "1",
        "2",
        "3",
        "4",
        "--threshold",
        "-5",
        "--to",
        "x.zarr",
    ]
    line = Line(split(live.parser(""), words))
    for n in (1, 2):
        line = line.changed(Asked("roi", {"region": f"{n} 0 2 0 2"}))
    assert line.sections[2].tokens == ["--threshold", "-5", "--region", "2", "0", "2", "0", "2"]
    assert read(line.sections)[1][1].regions == [[2, 0, 2, 0, 2]]


def _is_described_and_made_again(snapshot, folder, capsys):
    """By its name, which is a link; of its own trains, however many there will be."""
    assert main(["info", str(snapshot)]) == 0
    assert "average" in capsys.readouterr().out
    assert main(["info", str(snapshot), "--config"]) == 0
    config = capsys.readouterr().out
    assert "trains: 10001:10006\n" in config
    (folder / "config.yaml").write_text(config)
    again = folder / "again.zarr"
    assert (
        main(["reduce", "--config", str(folder / "config.yaml"), "--to", str(again), "--cluster", "here"])
        == 0
    )
    assert xr.open_zarr(again).equals(xr.open_zarr(snapshot))


REFUSED = {
    "average --cells 2": "average: unknown option --cells. Its options: ",
    "average --help": "unknown option --help",
    "average --per=--help": "'--help' is no value",
    "average --per nothing": "invalid choice",
    "nobody --x 1": "no algorithm 'nobody'; there are: average",
}


def test_options_are_changed_by_a_command(old, tmp_path, capsys, monkeypatch):
    to, answers = tmp_path / "x.zarr", []
    asked = [["average", "--per", "cell", "--again"], *map(str.split, REFUSED)]
    monkeypatch.setattr(live, "ANSWER", 0.0)
    monkeypatch.setattr(GrowingRun, "_ended", lambda self: self._done > 0 and not asked)
    real = parameters.answer
    monkeypatch.setattr(
        parameters, "answer", lambda *a, **more: answers.append((a[2:], more)) or real(*a, **more)
    )

    def ask(self, one):
        while asked:
            assert main(["set", str(to), *asked.pop(0)]) == 0

    real_snapshot = Said.snapshot

    def ask_then_say(self, one):
        ask(self, one)
        real_snapshot(self, one)

    monkeypatch.setattr(Said, "snapshot", ask_then_say)
    assert main(["live", str(old[1]), "average", "--to", str(to), *CHUNK]) == 0
    assert [more["version"] for _, more in answers if more] == [2]
    said = [words[0] for words, _ in answers if words]
    assert len(said) == len(REFUSED)
    assert all(words in one for words, one in zip(REFUSED.values(), said, strict=True)), said
    assert "cell" in xr.open_zarr(to)["average.mean"].dims
    assert "cell" not in xr.open_zarr(tmp_path / "x.v1.zarr")["average.mean"].dims
    out = capsys.readouterr().out
    words = "version 2: average --per cell (again), from the first train on; before: x.v1.zarr"
    assert words in out
    assert f"result   5 trains, 10001 to 10005, {words}" in out
    assert main(["set", str(to), "average", "--per", "cell", "--per=frame"]) == 2
    assert "--per is given twice" in capsys.readouterr().err
    assert main(["set", str(to), "average", "--again"]) == 2
    assert "no option is given" in capsys.readouterr().err
    assert main(["set", str(to), "average", "--per", "cell"]) == 2
    assert "no live reduction is there" in capsys.readouterr().err


WRONG = {
    "--end soon": "--end soon: expected seconds without a new file, now, or never",
    "--chunk 1GiB": "is cut by train ids",
    "--cells": "unknown option --cells",
}


@pytest.mark.parametrize("words", WRONG)
def test_what_is_wrong_is_said_before_anything_is_waited_for(old, tmp_path, capsys, words):
    line = ["live", str(old[1]), "average", "--to", str(tmp_path / "x.zarr"), *words.split()]
    assert main(line) == 2
    assert WRONG[words] in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_plan_that_cannot_be_leaves_nothing(old, tmp_path, capsys):
    line = ["live", str(old[1]), "--to", str(tmp_path / "x.zarr"), "--end", "now", *CHUNK]
    assert main([*line, "litframes", "--where", "nothing > 3"]) == 2
    assert "no label 'nothing'" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_runs_that_can_never_be_are_refused(tmp_path, capsys):
    for run, words in (
        (tmp_path / "no" / "r0001", "not even the folder"),
        (__file__, "expected a run directory"),
    ):
        assert main(["live", str(run), "average", "--to", str(tmp_path / "x.zarr")]) == 2
        assert words in capsys.readouterr().err
