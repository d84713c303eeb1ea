"""The benchmark of the watcher runs at a small size; no test asserts a time."""

import importlib
import json


def test_the_script_prints_what_it_measures_and_writes_the_same(tmp_path, capsys):
    script = importlib.import_module("bench_watch")
    assert script.SMALL.keys() == script.SIZE.keys()
    script.main(["--small", "--seconds", "1", "--runs", "3", "--json", f"{tmp_path}/out.json"])
    made = json.loads((tmp_path / "out.json").read_text())
    assert made["size"] == {"runs": 3, "files": 2, "seconds": 1}
    assert f"processor time a minute {made['cpu_s_per_minute']:.3f} s" in capsys.readouterr().out
    assert made["processor"]
