"""The benchmark of much of everything runs at a small size; its results are compared with what is in the run."""

import json
from pathlib import Path

import programs

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "bench_load.py"


def test_every_case_has_a_line_with_time_and_memory(tmp_path):
    file = tmp_path / "load.json"
    done = programs.run(SCRIPT, "--small", "--workers", "1", "--json", str(file))
    assert done.returncode == 0, done.stderr
    rows = json.loads(file.read_text())["rows"]
    assert [row["case"] for row in rows] == [
        "chunks",
        "algorithms",
        "trains",
        "files",
        "MB of an option",
        "trains, three at once",
    ]
    assert all(row["seconds"] > 0 and row["driver"] > 10 and row["worker"] > 10 for row in rows)
    assert all(f"{row['size']:,} {row['case']}" in done.stdout for row in rows)
