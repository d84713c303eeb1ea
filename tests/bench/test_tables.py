"""The benchmarks of tables, cubes and live reductions run at a small size; no test asserts a time."""

import importlib
import json


def test_it_prints_what_takes_how_long(tmp_path, capsys):
    script = importlib.import_module("bench_table")
    script.main(["--small", "--folder", str(tmp_path), "--json", str(tmp_path / "t.json")])
    said = capsys.readouterr().out
    written = json.loads((tmp_path / "t.json").read_text())
    assert {"made", "opened", "LCLS layout, 1000 trains"} <= set(written["seconds"])
    assert all(what in said for what in written["seconds"])
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == ["table-40-8-2-3"]


def test_cubes_of_images_are_measured_beside_an_average(tmp_path, capsys):
    script = importlib.import_module("bench_cube")
    written = tmp_path / "c.json"
    script.main(
        ["--small", "--gb", "1", "--rounds", "1", "--workers", "1", "--bins", "4", "--json", str(written)]
    )
    said = capsys.readouterr().out
    assert all(what in said for what in ("average", "steps", "random", "1 of 10", "result bytes"))
    facts = json.loads(written.read_text())
    assert facts["read, steps, 1 of 10"] < facts["read, steps"] / 3


def test_what_a_live_reduction_is_behind_is_measured(tmp_path, capsys):
    script = importlib.import_module("bench_live")
    written = tmp_path / "live.json"
    script.main(
        ["--small", "--rate", "40", "--workers", "1", "--folder", str(tmp_path), "--json", str(written)]
    )
    said = capsys.readouterr().out
    assert all(what in said for what in ("run      32 trains", "rate", "behind", "keeps up"))
    facts = json.loads(written.read_text())
    assert facts["snapshots"] == len(facts["behind s"]) + 1 >= 2
