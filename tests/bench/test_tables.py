"""The benchmark of tables runs at a small size; no test asserts a time."""

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
