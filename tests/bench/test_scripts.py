"""Each script of benchmarks/ runs at a small size and prints its tables; no test asserts a time."""

import json
import subprocess
from types import SimpleNamespace

import programs

from dxflow.bench.table import HEAD

DEMO = "import sys; from dxflow.commands.main import main; sys.exit(main())"


def forked(line, *, env, check, stdout):
    """Stand for `subprocess.run` of a command line of dxflow."""
    assert line[1:3] == ["-m", "dxflow"]
    assert not programs.run(DEMO, *line[3:], environment=dict(env)).returncode


def test_a_script_prints_a_table_per_group_and_writes_the_same_as_json(
    script, lent, capsys, tmp_path, monkeypatch
):
    file = tmp_path / "out.json"
    if hasattr(script, "workers"):
        monkeypatch.setattr(script, "workers", lent)
    if script.__name__ == "bench_reduce":
        monkeypatch.setattr(script, "subprocess", SimpleNamespace(**{**vars(subprocess), "run": forked}))
    script.main(["--small", "--json", str(file), "--workers", "2"])
    printed = capsys.readouterr().out
    content = json.loads(file.read_text())
    assert printed.count(HEAD[0] + " ") == len(content["groups"])
    assert all(row["work"] in printed and row["what"] in printed for row in content["rows"])
    assert content["small"]
    assert content["processor"]
    assert {"numpy", "dask", "h5py"} <= set(content["versions"])
    for row in content["rows"]:
        assert (row["ratio"] is None) == bool(row["note"])
    assert sum(row["ratio"] is not None for row in content["rows"]) >= len(content["rows"]) - 3
