"""Progress fits where it is shown: one line on a terminal, lines in a log, a bar in a notebook, nothing if so asked."""

import io
import re
import sys
import time
import types

import pytest

import dxflow
from dxflow.disk.process import Erasing
from dxflow.driver import progress
from dxflow.driver.progress import Log, Notebook, Progress, Terminal, clock, html


@pytest.fixture
def quick(monkeypatch):
    """Time that passes in tests."""
    monkeypatch.setattr(progress, "TICK", 0.02)
    monkeypatch.setattr(progress, "LINES", 0.1)
    monkeypatch.setattr(progress, "SILENCE", 0.2)
    monkeypatch.setattr(progress, "AGAIN", 0.2)


@pytest.fixture
def terminal(monkeypatch):
    """Return a function that makes both streams a terminal of 80 columns, and returns what it is sent."""

    def begin():
        out = io.StringIO()
        out.isatty = lambda: True
        # Not when the fixture is made: pytest sets its own streams again before the test.
        monkeypatch.setattr(sys, "stderr", out)
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setenv("COLUMNS", "80")
        return out

    return begin


def screen(text):
    """Return the lines that are seen on a terminal after it was sent a text."""
    lines, row, column = [""], 0, 0
    for part in re.findall(r"\x1b\[K|\r|\n|[^\r\n\x1b]+", text):
        if part == "\n":
            lines, row, column = [*lines, ""], row + 1, 0
        elif part == "\r":
            column = 0
        elif part == "\x1b[K":
            lines[row] = lines[row][:column]
        else:
            lines[row] = lines[row][:column].ljust(column) + part + lines[row][column + len(part) :]
            column += len(part)
    return [line for line in lines if line]


def test_a_log_gets_whole_lines_every_now_and_then(capsys, quick):
    with Progress("opening r0001") as p:
        time.sleep(0.25)
        p.phase("reading", 1000)
        p.add(500)
        time.sleep(0.3)
    lines = capsys.readouterr().err.splitlines()
    assert 3 <= len(lines) <= 6
    assert lines[0] == "dxflow: opening r0001  0:00"
    assert re.fullmatch(r"dxflow: reading   50 %  500 B of 1 kB  \S+ k?B/s  0:\d\d left", lines[-1])
    assert "\r" not in "".join(lines)


def test_what_takes_no_time_leaves_no_trace(capsys, terminal):
    out = terminal()
    with Progress("reading") as p:
        p.add(40)
    assert (out.getvalue(), capsys.readouterr().out) == ("", "")


def test_a_terminal_has_one_line_that_gives_way_to_warnings_and_prints(terminal, quick):
    out = terminal()
    with Progress() as p:
        p.phase("reading", 100)
        for n in range(4):
            p.add(25)
            time.sleep(0.06)
            # As `warnings` does, which pytest catches.
            sys.stderr.write(f"careful {n}\n")
            sys.stdout.write(f"own {n}\n")
            time.sleep(0.06)
        seen = screen(out.getvalue())
    assert seen[-1].startswith("[####################] reading  100 %")
    others = [line for line in seen[:-1] if not line.startswith("  ")]
    assert [line for line in others if "own" in line] == [f"own {n}" for n in range(4)]
    assert len([line for line in others if "careful" in line]) == 4
    assert not any("[#" in line for line in others)
    assert not any("reading" in line for line in screen(out.getvalue()))
    assert sys.stdout is out


def test_a_line_is_never_wider_than_the_terminal_and_does_not_cut_that_of_somebody_else(terminal, quick):
    out = terminal()
    with Progress("p" * 300):
        time.sleep(0.1)
        sys.stdout.write("in the middle")
        time.sleep(0.1)
        sys.stdout.write(" of a line\n")
    assert screen(out.getvalue()) == ["in the middle of a line"]
    assert max(len(line) for line in re.split(r"[\r\n]", out.getvalue())) <= 80 + len("\x1b[K")


def test_chunks_that_were_there_are_no_speed():
    p = Progress(quiet=True)
    p.phase("reading", 1000)
    p._samples[0] = (p._began - 10, 0)
    p.add(900, reused=True)
    p.add(50)
    assert p.line() == "reading   50 %  50 B of 100 B  5 B/s  0:10 left"


def test_what_is_waited_for_is_said_when_nothing_is_done_and_again(capsys, quick):
    with Progress("reading") as p:
        p.watch(lambda: "chunk 3 (trains 1-9) on a:1 for 60 s: in x.f(), train 4")
        time.sleep(0.9)
    lines = [line for line in capsys.readouterr().err.splitlines() if "nothing done" in line]
    assert 2 <= len(lines) <= 4
    assert lines[0].endswith("chunk 3 (trains 1-9) on a:1 for 60 s: in x.f(), train 4")


def test_a_cluster_that_cannot_be_asked_does_not_end_the_run(capsys, quick):
    with Progress("reading") as p:
        p.watch(lambda: 1 / 0)
        time.sleep(0.4)
    assert "not known (ZeroDivisionError" in capsys.readouterr().err


def test_nothing_may_take_longer_than_a_minute_without_a_word():
    assert progress.SILENCE + 2 * progress.TICK < 60
    assert progress.LINES < 60
    assert progress.AGAIN <= 60


@pytest.mark.parametrize("how", ["option", "variable"])
def test_it_can_be_quiet(how, capsys, quick, monkeypatch):
    if how == "variable":
        monkeypatch.setenv("DXFLOW_QUIET", "1")
    with Progress("reading", quiet=how == "option") as p:
        p.note("something", lasting=True)
        time.sleep(0.3)
    assert capsys.readouterr() == ("", "")


def test_a_notebook_has_a_bar_with_the_line_and_the_last_words(monkeypatch):
    shown = []
    handle = types.SimpleNamespace(update=shown.append)
    fake = types.SimpleNamespace(HTML=str, display=lambda what, display_id: shown.append(what) or handle)
    monkeypatch.setitem(sys.modules, "IPython.display", fake)
    book = Notebook()
    book.say("3 of 4 <jobs> run")
    book.update("reading  50 %", 0.5)
    book.close()
    assert '<progress max="1" value="0.500"' in shown[0]
    assert "reading  50 %" in shown[0]
    assert shown[-1] == "3 of 4 &lt;jobs&gt; run"
    assert "value" not in html("opening", None, [])


def test_what_fits_is_chosen(monkeypatch, terminal):
    out = terminal()
    assert isinstance(progress.fitting(), Terminal)
    out.isatty = lambda: False
    assert isinstance(progress.fitting(), Log)


def test_every_phase_of_a_run_is_said(run, monkeypatch, capsys):
    from samples import RoiSum

    said = []
    monkeypatch.setattr(
        Progress, "phase", lambda self, name, *a, **k: said.append(name) or phase(self, name, *a, **k)
    )
    dxflow.reduce(run.path, RoiSum(), cluster="here")
    wanted = ["starting workers", "reading", "merging", "writing", "finishing the result"]
    assert [s for s in said if s in wanted] == wanted
    assert said[0].startswith("opening")


phase = Progress.phase


def test_times_are_short_to_read():
    shown = {0.4: "0:00", 59.6: "1:00", 61: "1:01", 3599: "59:59", 3600: "1:00:00", 45296: "12:34:56"}
    assert {s: clock(s) for s in shown} == shown


def test_hours_in_a_queue_do_not_count_as_slowness(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    p = Progress(quiet=True)
    p.phase("reading", 1000 * 10**6)
    now[0] = 7200.0
    for _ in range(40):
        now[0] += 20
        p.add(10**6)
    speed, left = re.fullmatch(r"reading    4 %  40 MB of 1 GB  (\S+) kB/s  (\S+) left", p.line()).groups()
    assert 45 < float(speed) < 55
    assert left.startswith("5:")


def test_the_prompt_of_a_debugger_is_not_written_over(terminal, quick, tmp_path):
    out = terminal()
    # As far as files say, this is at a prompt.
    code = compile("import time\ndef stay():\n    time.sleep(0.3)", str(tmp_path / "pdb.py"), "exec")
    space = {}
    exec(code, space)
    with Progress("reading"):
        space["stay"]()
        assert out.getvalue() == ""


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), BrokenPipeError(), ValueError("closed")]
)
@pytest.mark.parametrize("tty", [True, False])
def test_a_log_that_cannot_be_written_does_not_end_the_run(monkeypatch, quick, error, tty):
    def fail(text):
        raise error

    stream = types.SimpleNamespace(write=fail, flush=lambda: None, isatty=lambda: tty, closed=False)
    monkeypatch.setattr(sys, "stderr", stream)
    with Progress("reading") as p:
        p.note("3 of 4 jobs run", lasting=True)
        time.sleep(0.2)


def test_a_process_may_have_no_stream_at_all(monkeypatch, quick):
    monkeypatch.setattr(sys, "stderr", None)
    with Progress("reading") as p:
        p.note("3 of 4 jobs run")


def test_what_workers_print_to_the_same_terminal_erases_the_line(terminal, quick):
    out = terminal()
    theirs = Erasing(out)
    with Progress("reading", quiet=False) as p:
        p.phase("reading", 100)
        time.sleep(0.1)
        # In a process of its own nobody takes the line away before.
        for text in ("careful", " here", "\n", "and\nthere\n", ""):
            assert theirs.write(text) == len(text)
        time.sleep(0.1)
    assert screen(out.getvalue()) == ["careful here", "and", "there"]


def test_a_copy_says_what_it_does(run, tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(
        Progress, "phase", lambda self, name, *a, **k: said.append((name, *a)) or phase(self, name, *a, **k)
    )
    dxflow.copy_run(run.path, tmp_path / "copy")
    files = len(list(run.path.glob("*.h5"))) if hasattr(run.path, "glob") else 0
    assert said[0] == ("planning the copy",)
    assert said[-1][0] == "copying"
    assert said[-1][1] >= files
