"""The file of what is known: whole whenever its writer is killed, readable meanwhile."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from dxflow.errors.usage import UsageError
from dxflow.watch import state
from dxflow.watch.state import Row, Run, State

ROW = Row("r0001", "table", "abc", numbers={"xgm": 1.5}, began=1.0, reason="x' OR '1'='1\nand more")
RUN = Run("r0001", "/raw/r0001", 123456789012345678, 5.0, facts={"trains": 3, "values": {"a b": None}})


def test_what_is_written_is_read_as_the_same(tmp_path):
    with pytest.raises(FileNotFoundError):
        state.read(tmp_path)
    made = State(tmp_path)
    made.put(ROW, RUN)
    made.put(Row("r0001", "mean", "def"))
    made.note("place", "/raw")
    runs, rows, about = state.read(tmp_path)
    assert runs == {"r0001": RUN}
    assert rows["r0001", "table"] == ROW
    assert about["place"] == "/raw"
    assert made.all() == (runs, rows, about)
    made.close()
    db = sqlite3.connect(tmp_path / state.FILE)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    assert db.execute("SELECT state, result FROM tasks WHERE task = 'mean'").fetchall() == [("waiting", "")]


def test_a_change_is_made_whole_or_not_at_all(tmp_path):
    made = State(tmp_path)

    def interrupted():
        with made.change():
            made.note("a", "b")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "a" not in state.read(tmp_path)[2]
    made.close()


def test_a_writer_that_is_killed_leaves_what_can_be_read(tmp_path):
    code = (
        "import sys; from pathlib import Path; from dxflow.watch.state import *\n"
        "s = State(Path(sys.argv[1])); n = 0\n"
        "while True:\n"
        "    n += 1; s.put(*[Row(f'r{i}', 'table', str(n), reason='x' * 2000) for i in range(200)])"
    )

    def there():
        with contextlib.suppress(FileNotFoundError):
            return state.read(tmp_path)[1]

    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", code, tmp_path])
        while not there():
            time.sleep(0.02)
        time.sleep(0.1)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        rows = state.read(tmp_path)[1]
        assert len(rows) == 200
        # All of one change.
        assert len({row.content for row in rows.values()}) == 1


def test_a_file_with_fewer_columns_is_read_and_written(tmp_path):
    made = State(tmp_path)
    made.put(ROW, RUN)
    made.close()
    with contextlib.closing(sqlite3.connect(tmp_path / state.FILE)) as db:
        for name in ("told", "numbers", "next"):
            db.execute(f"ALTER TABLE tasks DROP COLUMN {name}")
        db.execute("ALTER TABLE runs ADD COLUMN later TEXT DEFAULT 'x'")
    older = replace(ROW, numbers={})
    runs, rows, _ = state.read(tmp_path)
    assert (runs, rows) == ({"r0001": RUN}, {("r0001", "table"): older})
    again = State(tmp_path)
    assert again.all()[1] == rows
    again.put(replace(ROW, told=0, next=7.0))
    assert again.all()[1]["r0001", "table"] == replace(ROW, told=0, next=7.0)
    again.close()


@pytest.mark.parametrize("version", ["2", "new"])
def test_a_file_of_another_version_is_left_as_it_is(tmp_path, version):
    made = State(tmp_path)
    made.put(ROW)
    made.note("version", version)
    made.close()
    before = (tmp_path / state.FILE).read_bytes()
    for use in (State, state.read):
        with pytest.raises(UsageError, match=f"of version {version}, and this dxflow knows versions up to 1"):
            use(tmp_path)
    assert (tmp_path / state.FILE).read_bytes() == before


def test_what_is_no_state_is_not_replaced(tmp_path):
    (tmp_path / state.FILE).write_text("mine, and long enough to be no empty file " * 50)
    with pytest.raises(sqlite3.DatabaseError):
        State(tmp_path)
    assert (tmp_path / state.FILE).read_text().startswith("mine")
