"""What goes on for long: docs/live.md, feedback.md, streams.md, watch.md, whose lines are typed with an end."""

import os
import shlex
import time

import programs
import pytest
from bridges import served
from docpages import DOCS, examples
from runs import make_run

import dxflow
from dxflow.commands import main as cli
from dxflow.watch import orders

SIZE = {"detector": "AGIPD500K", "module_shape": (8, 8), "trains": 6, "pulses": 4}


def quiet_run(path):
    """A run whose files have not been written to for long."""
    make_run(path, **SIZE)
    before = time.time() - 1000
    for file in path.iterdir():
        os.utime(file, (before, before))


def marked(page, language):
    return [b for b in examples.blocks(DOCS / page) if b.language == language and b.mark == "run by"]


def typed(page):
    return [shlex.split(line)[1:] for block in marked(page, "sh") for line in examples.lines(block.code)]


@pytest.mark.parametrize("page", ["live.md", "feedback.md"])
def test_a_live_result_is_that_of_the_pass(page, tmp_path, monkeypatch):
    """No server answers the second page, which is no reason to stop."""
    quiet_run(tmp_path / "r0034")
    monkeypatch.chdir(tmp_path)
    for line in typed(page):
        if line[0] != "live":
            continue
        line = [word.replace("exflonc12:6379", "127.0.0.1:1") if "redis" in word else word for word in line]
        assert cli.main([*line, "--end", "now", "--cluster", "here", "--overwrite"]) == 0
    made = dxflow.open("r0034.zarr").dataset
    assert {"average.mean", "litframes.lit"} <= set(made)
    assert made.sizes["frame"] == 24
    if page == "live.md":
        (block,) = marked(page, "python")
        # The trains of this run, in this process.
        code = block.code.replace("10176", "10007").replace(
            'on_fault="mask"', 'on_fault="mask", cluster="here"'
        )
        exec(code, part := {})
        assert len(part["part"].train_ids) == 6


def test_options_are_set_as_printed(tmp_path, monkeypatch, capsys):
    quiet_run(tmp_path / "r0034")
    monkeypatch.chdir(tmp_path)
    line = "live r0034 azint --nbins 50 --to r0034.zarr --end never --cluster here --chunk"
    words = [*line.split(), "2 trains"]
    program = programs.Program(f"from dxflow.commands.main import main\nmain({words})", folder=tmp_path)
    try:
        until = time.monotonic() + 100
        while not os.path.lexists("r0034.zarr"):
            assert time.monotonic() < until
            time.sleep(0.05)
        for line in typed("live.md"):
            if line[0] == "set":
                assert cli.main(line) == 0, line
        assert "version 2 has begun" in capsys.readouterr().out
    finally:
        program.kill()
        program.wait()


def test_a_stream_is_reduced_as_printed(tmp_path, monkeypatch):
    """The server is that of EXtra-data, which answers who asks."""
    make_run(tmp_path / "r0034", **SIZE)
    monkeypatch.chdir(tmp_path)
    (line,) = typed("streams.md")
    at = line.index("--socket")
    with served(tmp_path / "r0034") as endpoint:
        line = [endpoint if word.startswith("tcp:") else word for word in line[:at] + line[at + 2 :]]
        assert cli.main([*line, "--end", "1", "--cluster", "here"]) == 0
    assert dxflow.open("now.zarr").dataset.sizes["frame"] == 24


def test_a_folder_is_watched_as_printed(tmp_path, monkeypatch, capsys):
    quiet_run(tmp_path / "runs" / "r0034")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "exp.yaml").write_text("variables: {xgm: SA1_XTD2_XGM/XGM/DOOCS:output data.intensityTD}\n")
    new, watch, shown, *others = typed("watch.md")
    assert cli.main(new) == 0
    (tmp_path / "what.yaml").unlink()
    what, tell = marked("watch.md", "yaml")
    (tmp_path / "what.yaml").write_text(what.code + tell.code)
    assert [one.when for one in orders.of("what.yaml").tell] == ["done", "always"]
    # Nobody is to be told from here, and looked again soon.
    (tmp_path / "what.yaml").write_text(what.code.replace("quiet: 60 s ", "every: 1 s\nquiet: 1 s "))
    assert cli.main([watch[0], "runs", *watch[2:], "--once"]) == 0
    capsys.readouterr()
    assert cli.main(shown) == 0
    assert "r0034" in capsys.readouterr().out
    assert (tmp_path / "watched" / "tables" / "r0034.zarr").is_dir()
    assert (tmp_path / "watched" / "index.html").is_file()
    for line in others:
        assert cli.main(line) == 0, line
