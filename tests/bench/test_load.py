"""The benchmark of much of everything runs at a small size; its results are compared with what is in the run."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "bench_load.py"


def test_every_case_has_a_line_with_time_and_memory(tmp_path):
    file = tmp_path / "load.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--small", "--workers", "1", "--json", file],
        capture_output=True,
        text=True,
        check=True,
    )
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
