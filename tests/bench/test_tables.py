"""The benchmarks of tables, cubes, live reductions and reports run at a small size; no test asserts a time."""

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
    assert all(
        what in said for what in ("32 trains", "keeps up, GB/s", "newest snapshot behind, s", "offline")
    )
    facts = json.loads(written.read_text())
    assert facts["snapshots"] == len(facts["behind s"]) + 1 >= 2
    assert facts["same"]


def test_what_is_too_slow_or_too_late_is_said_by_how_much():
    script = importlib.import_module("bench_live")
    closed, seen = [0.0, 1.0, 2.0], [(0.5, 4), (4.5, 12)]
    assert script.sustained(closed, seen) == script.sustained([0.5], [(2.5, 4)]) == 2
    assert script.waited(closed, seen, 4) == [0.5, 3.5, 2.5]
    facts = {"trains": 12, "GB": 6.0, "workers": 2, "chunk s": 0.4, "snapshots": 3, "same": True, "load": 1.0}
    facts |= {"GB/s wanted": 2.0, "GB/s offline": 1.5, "file s": [0.5, 3.5, 2.5]}
    said = script.report(facts | {"GB/s": 1.0, "behind s": [0.5, 2.9]})
    assert "NO: 1.00 GB/s (50%) too slow, 1.00 s more each s" in said
    assert "NO: 0.50 s too late" in said
    assert "NO" not in script.report(facts | {"GB/s": 1.99, "behind s": [0.5, 2.3]})


def test_reports_of_many_variables_are_measured(tmp_path, capsys, monkeypatch):
    script = importlib.import_module("bench_report")
    monkeypatch.setattr(script, "MADE", script.MADE[:1])
    written, page = tmp_path / "report.json", tmp_path / "kept.html"
    script.main(["--small", "--workers", "1", "--to", str(page), "--json", str(written)])
    said = capsys.readouterr().out
    assert all(what in said for what in ("with all imports", "of a processor", "MB, wanted 5 MB"))
    facts = json.loads(written.read_text())
    assert facts["variables"] == facts["figures"] == 4
    assert facts["not drawn"] == 0
    assert facts["bytes"] == page.stat().st_size
    assert page.read_text("utf-8").count("<figure ") == facts["figures"]
