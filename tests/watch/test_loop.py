"""A watcher with tasks that take no time: each done once, whatever is killed; failures, Ctrl-C, two watchers."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from dataclasses import replace
from pathlib import Path

import programs
import pytest
from campaign.watching import Killed
from disks import mounted
from runs import make_run

from dxflow.commands.main import main
from dxflow.errors.usage import UsageError
from dxflow.slurm.commands import Unreachable
from dxflow.watch import answers, attempt, eyes, hands, loop, orders, seeing, state, work
from dxflow.watch.loop import Watcher
from dxflow.watch.sight import Sight, SightError

CHEAP = Path(__file__).with_name("cheap.py")


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    path = tmp_path_factory.mktemp("one") / "r0001"
    make_run(path, detector=None, trains=2, pulses=2, devices=("xgm",))
    return path


class Here:
    """Looks in this process, which takes less time than to start one."""

    def __init__(self):
        self.eyes = eyes.Eyes()
        self.when = 0.0

    def ask(self, what, *of, **options):
        self.when = time.monotonic()
        found = answers.answer(self.eyes, {"what": what, "of": of, "with": options})
        if "error" in found:
            raise SightError(found["error"])
        return json.loads(json.dumps(found["answer"]))

    def close(self):
        pass


class Forked(programs.Program):
    """An attempt as `subprocess.Popen` starts it, which is there sooner."""

    def __init__(self, words, **options):
        super().__init__(CHEAP, *words[2:])


@pytest.fixture
def place(one, tmp_path, monkeypatch):
    """A folder with two runs, and watchers of it; attempts of those that others start are processes as usual."""
    monkeypatch.setattr(hands, "PROGRAM", (sys.executable, str(CHEAP)))
    own = types.SimpleNamespace(**{**vars(subprocess), "Popen": Forked})
    monkeypatch.setattr(hands, "subprocess", own)
    monkeypatch.setattr(seeing, "Sight", Here)
    for name in ("r0001", "r0002"):
        shutil.copytree(one, tmp_path / "raw" / name)
    (tmp_path / "out" / "tables").mkdir(parents=True)
    return Place(tmp_path)


class Place:
    def __init__(self, folder):
        self.folder, self.out = folder, folder / "out"

    def configure(self, do="table {path} 0", more="", top="", wait=0.1):
        (self.folder / "what.yaml").write_text(
            f"results: out\nevery: 0.1\nquiet: 0.1\n{top}\n"
            f"tasks:\n  table: {{do: '{do}', to: 'tables/{{name}}.zarr', wait: {wait} {more}}}\n"
        )

    def start(self, *options):
        words = [sys.executable, CHEAP, self.folder / "raw", self.folder / "what.yaml", *options]
        return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def once(self):
        """Watch in this process until nothing is left to do; return what was said."""
        with self.watcher() as watcher:
            ticked(watcher, lambda: watcher.finished)
        return "\n".join(self.said)

    def watcher(self, where="raw"):
        self.said = []
        place = where if isinstance(where, int) else str(self.folder / where)
        return Watcher(place, orders.of(self.folder / "what.yaml"), None, self.said.append)

    def rows(self):
        return state.read(self.out)[1]

    def states(self):
        with contextlib.suppress(FileNotFoundError):
            return {row.state for row in self.rows().values()}

    def lines(self, word):
        file = self.out / "tables" / word
        return sorted(file.read_text().split()) if file.exists() else []

    def until(self, condition, watcher):
        end = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < end
            assert watcher.poll() is None, watcher.stdout.read()
            time.sleep(0.02)


def test_runs_that_appear_while_the_watcher_is_killed_are_each_done_once(tmp_path):
    killed = Killed(tmp_path, 0.2, at_once=3)
    code = killed.run(runs=8, kills=3, every=1.0)
    assert killed.problems() == []
    assert code == 0


def test_what_always_fails_is_tried_again_and_fails_with_its_reason(place, capsys):
    told = place.folder / "told"
    command = [
        sys.executable,
        "-c",
        "import sys; open(sys.argv[1], 'a').write(sys.stdin.read() + '\\n')",
        str(told),
    ]
    place.configure("table {path} fail", ", tries: 3", top=f"tell: [command: {json.dumps(command)}]")
    said = place.once()
    summaries = [json.loads(line) for line in told.read_text().splitlines()]
    assert {(s["run"], s["state"], s["tries"], s["reason"]) for s in summaries} == {
        (run, "failed", 3, "it never works\n  because") for run in ("r0001", "r0002")
    }
    assert {row.told for row in place.rows().values()} == {1}
    row = place.rows()["r0001", "table"]
    assert (row.state, row.tries, row.failures, row.code) == (state.FAILED, 3, 3, 1)
    assert row.reason == "it never works\n  because"
    assert "try 2 of 3, again in 0.4 s" in said
    assert place.lines("begun") == ["r0001"] * 3 + ["r0002"] * 3
    # Nothing happens until it is asked for.
    place.once()
    assert place.lines("begun").count("r0001") == 3
    place.configure("table {path} 0")
    assert main(["runs", str(place.out), "--retry", "r0001"]) == 0
    place.once()
    assert place.rows()["r0001", "table"].state == state.DONE
    assert place.rows()["r0002", "table"].state == state.FAILED
    capsys.readouterr()
    assert main(["runs", str(place.folder / "what.yaml")]) == 0
    said = capsys.readouterr().out
    assert "r0002  table  failed  3" in said
    assert "it never works because" in said
    assert "1 done, 1 failed; nobody watches" in said


def test_ctrl_c_ends_what_runs_and_the_next_watcher_goes_on(place):
    place.configure("table {path} 60")
    watcher = place.start()
    place.until(lambda: place.lines("begun") == ["r0001", "r0002"], watcher)
    pids = [row.pid for row in place.rows().values()]
    watcher.send_signal(signal.SIGINT)
    said = watcher.communicate(timeout=60)[0]
    assert watcher.returncode == 130
    assert "2 under way are asked to end" in said
    assert "the state is kept" in said
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)
    assert {(row.state, row.failures) for row in place.rows().values()} == {(state.WAITING, 0)}
    place.configure("table {path} 0")
    place.once()
    assert place.lines("ended") == ["r0001", "r0002"]


def test_a_second_watcher_refuses_and_says_who_is_there(place):
    place.configure("table {path} 0")
    watcher = place.start()
    try:
        place.until(lambda: place.lines("ended") == ["r0001", "r0002"], watcher)
        with (
            pytest.raises(UsageError, match=f"process {watcher.pid} on .* watches there already"),
            place.watcher(),
        ):
            pass
    finally:
        watcher.kill()
        watcher.communicate()
    # One that was killed holds nothing.
    place.once()
    assert place.lines("begun") == ["r0001", "r0002"]


def test_a_task_that_is_killed_is_tried_again_unless_its_result_is_complete(place):
    place.configure("table {path} 60")
    watcher = place.start()
    place.until(lambda: place.lines("begun") == ["r0001", "r0002"], watcher)
    place.until(lambda: all(row.pid for row in place.rows().values()), watcher)
    rows = place.rows()
    watcher.kill()
    watcher.communicate()
    # As a process that has renamed its result, and no more.
    (place.out / "tables" / "r0001.zarr").write_text("complete")
    for row in rows.values():
        os.kill(row.pid, signal.SIGKILL)
    place.configure("table {path} 0")
    time.sleep(0.1)
    place.once()
    assert place.lines("begun") == ["r0001", "r0002", "r0002"]
    assert (place.out / "tables" / "r0001.zarr").read_text() == "complete"
    # It took as long as it took who made it.
    row = place.rows()["r0001", "table"]
    folder = place.out / "watch" / "r0001" / "table"
    assert row.began == json.loads((folder / "1" / attempt.BEGUN).read_text())["began"]
    assert row.ended == pytest.approx((place.out / "tables" / "r0001.zarr").stat().st_ctime, abs=0.05)
    assert {row.state for row in place.rows().values()} == {state.DONE}


def test_a_start_that_happened_twice_works_once(place):
    place.configure("table {path} 0.5")
    folder = place.out / "watch" / "r0001" / "table" / "1"
    with place.watcher() as watcher:
        while not watcher.work.runs:
            watcher.tick()
            time.sleep(0.05)
        order = json.loads((folder / attempt.ORDER).read_text())
        assert order["to"] == str(place.out / "tables" / "r0001.zarr")
        twice = [subprocess.Popen([sys.executable, CHEAP, "watch", "--attempt", folder]) for _ in range(4)]
        while not watcher.finished:
            watcher.tick()
            time.sleep(0.05)
    assert [one.wait() for one in twice] == [0] * 4
    assert place.lines("begun") == ["r0001", "r0002"]
    subprocess.run([sys.executable, CHEAP, "watch", "--attempt", folder], check=True)
    assert place.lines("begun") == ["r0001", "r0002"]


def test_what_was_done_is_known_though_the_file_is_lost(place):
    place.configure()
    place.once()
    (place.out / state.FILE).unlink()
    place.once()
    assert place.lines("begun") == ["r0001", "r0002"]
    assert {row.state for row in place.rows().values()} == {state.DONE}


def test_a_run_that_is_appended_is_done_again_if_that_is_asked_for(place, capsys):
    place.configure()
    place.once()
    raw = place.folder / "raw" / "r0001"
    shutil.copy(sorted(raw.glob("*.h5"))[0], raw / "RAW-R0001-DA09-S00000.h5")
    place.once()
    assert place.lines("begun") == ["r0001", "r0002"]
    assert "the run was changed since: it had 2 files" in (place.out / "index.html").read_text()
    assert main(["runs", str(place.out), "--again", "changed"]) == 0
    assert "done when it is started" in capsys.readouterr().out
    place.once()
    assert place.lines("begun") == ["r0001", "r0001", "r0002"]
    assert "the run was changed since" not in (place.out / "index.html").read_text()


def test_a_task_that_was_changed_holds_for_new_runs_and_old_ones_are_asked_for(place, one):
    place.configure()
    place.once()
    before = place.rows()["r0001", "table"].content
    place.configure("table {path} 0.01")
    shutil.copytree(one, place.folder / "raw" / "r0003")
    place.once()
    assert place.lines("begun") == ["r0001", "r0002", "r0003"]
    rows = place.rows()
    assert rows["r0001", "table"].content == before != rows["r0003", "table"].content
    assert "by an older configuration" in (place.out / "index.html").read_text()
    assert main(["runs", str(place.out), "--again", "changed"]) == 0
    place.once()
    assert place.lines("begun") == ["r0001", "r0001", "r0002", "r0002", "r0003"]


def test_what_was_skipped_is_said_as_the_configuration_now_has_it(place):
    for where in ("{trains: '> 5'}", "{run: 9}"):
        place.configure(more=f", where: {where}")
        place.once()
    assert {row.reason.partition(":")[0] for row in place.rows().values()} == {"run"}
    assert "nobody watches since" in (place.out / "index.html").read_text()


def test_runs_that_were_described_otherwise_are_described_anew(place):
    place.configure(more=", where: {detectors: '*AGIPD*'}")
    place.once()
    made = state.State(place.out)
    runs, *_ = made.all()
    for run in runs.values():
        run.facts.pop("described")
        run.facts["trains"] = 0
    made.put(*runs.values())
    made.close()
    place.once()
    assert {run.facts["trains"] for run in state.read(place.out)[0].values()} == {2}


def test_the_page_says_each_minute_who_watches(place, monkeypatch):
    place.configure()
    monkeypatch.setattr(loop, "MINUTE", 0.0)
    with place.watcher() as watcher:
        ticked(watcher, lambda: watcher.finished)
        (place.out / "index.html").unlink()
        watcher.tick()
        text = (place.out / "index.html").read_text()
    assert re.search(rf"<p>as of \d\d-\d\d \d\d:\d\d:\d\d, by process {os.getpid()} on ", text)


def test_runs_that_are_gone_are_said_and_go_on_when_they_are_back(place, capsys):
    place.configure("table {path} fail", ", tries: 2", wait=1000)
    watcher = place.start()
    place.until(lambda: place.states() == {state.AGAIN}, watcher)
    (place.folder / "raw" / "r0002").rename(place.folder / "r0002")
    place.until(lambda: state.read(place.out)[0]["r0002"].state == state.GONE, watcher)
    assert main(["runs", str(place.out)]) == 0
    one, two = capsys.readouterr().out.splitlines()[1:3]
    assert ("the run is gone; again at" in two, "gone" in one) == (True, False)
    (place.folder / "r0002").rename(place.folder / "raw" / "r0002")
    place.until(lambda: state.read(place.out)[0]["r0002"].state == "", watcher)
    watcher.send_signal(signal.SIGINT)
    assert "r0002 is gone" in watcher.communicate(timeout=60)[0]


def test_after_says_which_task_comes_first(place):
    (place.folder / "what.yaml").write_text(
        "results: out\nevery: 0.1\nquiet: 0.1\nat_once: 4\ntasks:\n"
        "  second: {do: 'table {path} 0', to: 'tables/{name}-2.zarr', after: [first]}\n"
        "  first: {do: 'table {path} 0.3', to: 'tables/{name}.zarr', where: {run: 1}}\n"
        "  third: {do: 'table {path} fail', to: 'tables/{name}-3.zarr', tries: 1}\n"
        "  never: {do: 'table {path} 0', to: 'tables/{name}-4.zarr', after: third}\n"
    )
    place.once()
    rows = place.rows()
    assert rows["r0001", "first"].ended < rows["r0001", "second"].began
    assert rows["r0002", "first"].state == state.SKIPPED
    assert rows["r0002", "first"].reason.startswith("run: ")
    assert rows["r0001", "never"].state == rows["r0002", "second"].state == state.WAITING


def test_a_file_system_that_does_not_answer_is_said_and_waited_for(place, one, monkeypatch):
    monkeypatch.setattr(seeing, "Sight", Sight)
    place.configure("table {path} 1")
    with place.watcher() as watcher:
        ticked(watcher, lambda: place.lines("begun") == ["r0001", "r0002"])
        watcher.seeing.sight.deadline = 0.1
        os.kill(watcher.seeing.sight._process.pid, signal.SIGSTOP)
        shutil.copytree(one, place.folder / "raw" / "r0003")
        # What is under way goes on and is noted.
        ticked(watcher, lambda: {row.state for row in watcher.work.rows.values()} == {state.DONE})
        ticked(watcher, lambda: watcher.seeing.trouble != "")
        assert "does not answer" in (place.out / "index.html").read_text()
        os.kill(watcher.seeing.sight._process.pid, signal.SIGCONT)
        ticked(watcher, lambda: place.lines("ended") == ["r0001", "r0002", "r0003"])
        os.kill(watcher.seeing.sight._process.pid, signal.SIGSTOP)
        began = time.monotonic()
    # Nor is it waited for at the end.
    assert time.monotonic() - began < 20
    said = [line.split(" ", 1)[1] for line in place.said]
    assert (
        f"{place.folder}/raw does not answer; everything else goes on, and so do we as soon as it does"
        in said
    )
    assert f"{place.folder}/raw can be seen again" in said


def test_on_a_full_disk_nothing_is_begun_until_there_is_room(place):
    place.configure("table {path} 0")
    shutil.rmtree(place.out)
    with mounted(place.out, size="400k"):
        (place.out / "tables").mkdir()
        with place.watcher() as watcher:
            (place.out / "filling").write_bytes(b"x" * 290_000)
            with contextlib.suppress(OSError), (place.out / "rest").open("ab", buffering=0) as rest:
                while rest.write(b"x" * 512):
                    pass
            ticked(watcher, lambda: any("nothing is begun" in line for line in place.said))
            assert place.lines("begun") == []
            (place.out / "filling").unlink()
            (place.out / "rest").unlink()
            ticked(watcher, lambda: watcher.finished)
        assert place.lines("ended") == ["r0001", "r0002"]


def test_raw_and_proc_of_a_proposal_by_its_number(place, one, monkeypatch):
    proposal = place.folder / "exp" / "SPB" / "202601" / "p900123"
    for origin in ("raw", "proc"):
        shutil.copytree(place.folder / "raw", proposal / origin)
    monkeypatch.setenv("EXTRA_DATA_DATA_ROOT", str(place.folder / "exp"))
    (place.folder / "what.yaml").write_text(
        "results: out\nevery: 0.1\nquiet: 0.1\ntasks:\n"
        "  raw: {do: 'table {path} 0', to: 'tables/{origin}-{proposal}-{run:04}'}\n"
        "  proc: {do: 'table {path} 0', to: 'tables/{origin}-{name}', from: proc, where: {run: '> 1'}}\n"
    )
    with place.watcher(900123) as watcher:
        ticked(watcher, lambda: watcher.finished)
        states = {key: row.state for key, row in watcher.work.rows.items()}
    assert states == {
        ("proc/r0001", "proc"): state.SKIPPED,
        ("proc/r0002", "proc"): state.DONE,
        ("raw/r0001", "raw"): state.DONE,
        ("raw/r0002", "raw"): state.DONE,
    }
    assert {p.name for p in (place.out / "tables").glob("*-*")} == {
        "proc-r0002",
        "raw-900123-0001",
        "raw-900123-0002",
    }


def ticked(watcher, condition):
    """Have a watcher of this process look until something holds."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        watcher.tick()
        time.sleep(0.02)


def test_what_takes_too_long_is_ended_and_fails(place):
    place.configure("table {path} 60", ", limit: 0.3, tries: 1")
    place.once()
    row = place.rows()["r0001", "table"]
    assert (row.state, row.reason) == (state.FAILED, "it took more than 0.3 s and was ended")


def test_what_a_watcher_before_has_begun_is_ended_when_it_takes_too_long(place):
    shutil.rmtree(place.folder / "raw" / "r0002")
    place.configure("table {path} 60")
    with place.watcher() as watcher:
        ticked(watcher, lambda: any(row.began for row in watcher.work.rows.values()))
        row = watcher.work.rows["r0001", "table"]
        watcher.work.put(replace(row, began=row.began - 1000))
    place.configure("table {path} 60", ", limit: 900, tries: 1")
    place.once()
    row = place.rows()["r0001", "table"]
    assert (row.state, row.reason) == (state.FAILED, "it took more than 15 min 00 s and was ended")


def test_a_job_that_dies_says_why_however_long_it_took(place, monkeypatch):
    shutil.rmtree(place.folder / "raw" / "r0002")
    place.configure("table {path} 60", ", limit: 0.1, tries: 1, on: slurm")
    started = []

    def submit(words, options, name):
        started.append(subprocess.Popen([sys.executable, CHEAP, *words]))
        return "7"

    said = lambda *_: {"7": ("", "RUNNING" if started[0].poll() is None else "OUT_OF_MEMORY")}  # noqa: E731
    monkeypatch.setattr(hands.Hands, "_queue", lambda *given: said(*given) if started else {})
    monkeypatch.setattr(hands, "GRACE", 0.0)
    with Watcher(str(place.folder / "raw"), orders.of(place.folder / "what.yaml"), submit, str) as watcher:
        ticked(watcher, lambda: any(row.began for row in watcher.work.rows.values()))
        end = time.monotonic() + 0.3
        ticked(watcher, lambda: time.monotonic() > end)
        assert started[0].poll() is None
        started[0].kill()
        started[0].wait()
        ticked(watcher, lambda: watcher.finished)
    row = place.rows()["r0001", "table"]
    assert (row.state, row.reason) == (state.FAILED, "job 7 ended: OUT_OF_MEMORY")


def test_results_of_runs_that_are_gone_stay_as_they_are(place, capsys):
    place.configure()
    place.once()
    (place.folder / "raw" / "r0002").rename(place.folder / "r0002")
    place.once()
    assert main(["runs", str(place.out), "--again", "r0002"]) == 0
    assert capsys.readouterr().out == "r0002: the runs are gone\n"
    assert main(["runs", str(place.out), "--again", "table"]) == 0
    assert "; what is of runs that are gone is left as it is" in capsys.readouterr().out
    assert "asked for table: 1 again; 1 left as they are, since their runs are gone" in place.once()
    assert place.lines("begun") == ["r0001", "r0001", "r0002"]
    assert {row.state for row in place.rows().values()} == {state.DONE}


def test_a_place_that_is_not_there_is_refused_and_other_results_are_not_taken_over(place):
    place.configure()
    with pytest.raises(UsageError, match="rwa: No such file"), place.watcher("rwa") as watcher:
        ticked(watcher, lambda: False)
    place.once()
    (place.folder / "other").mkdir()
    with pytest.raises(UsageError, match="has the results of .*raw, not of .*other"), place.watcher("other"):
        pass


def test_results_of_two_runs_or_tasks_that_would_have_one_name_are_refused(place, one):
    # The number of the first is that of its folder, of the other one that of its files.
    shutil.copytree(one, place.folder / "raw" / "r0001_copy")
    shutil.rmtree(place.folder / "raw" / "r0002")
    (place.folder / "what.yaml").write_text(
        "results: out\nevery: 0.1\nquiet: 0.1\ntasks:\n"
        "  a: {do: 'table {path} 0', to: 'tables/{run:04}', wait: 0.1, tries: 2}\n"
        "  b: {do: 'table {path} 0', to: 'tables/000{run}', wait: 0.1, tries: 2, where: {name: r0001}, after: a}\n"
    )
    place.once()
    rows = place.rows()
    assert [row.state for row in rows.values()] == [state.DONE, state.FAILED, state.FAILED, state.SKIPPED]
    assert "tables/0001 is made of r0001 by 'a' already" in rows["r0001_copy", "a"].reason
    assert "is made of r0001 by 'a' already" in rows["r0001", "b"].reason
    assert place.lines("begun") == ["r0001"]


def test_again_replaces_nothing_that_another_configuration_did_not_make(place):
    place.configure()
    place.once()
    text = (place.folder / "what.yaml").read_text()
    (place.folder / "what.yaml").write_text(
        text.replace("{name}.zarr", "{name}_own").replace("wait:", "tries: 2, wait:")
    )
    (place.out / "tables" / "r0001_own").write_text("of somebody else")
    assert main(["runs", str(place.out), "--again", "table"]) == 0
    place.once()
    assert (place.out / "tables" / "r0001_own").read_text() == "of somebody else"
    assert [row.state for row in place.rows().values()] == [state.FAILED, state.DONE]


def test_conditions_on_keys_that_nobody_asked_for_before_hold_for_old_runs_too(place, one):
    with eyes_of(one) as (source, key):
        place.configure()
        place.once()
        place.configure(more=f", where: {{'{source} {key}': '*'}}")
        text = (place.folder / "what.yaml").read_text()
        (place.folder / "what.yaml").write_text(
            text.replace("  table:", "  other:").replace("{name}.zarr", "o{name}")
        )
        place.once()
    assert place.rows()["r0001", "other"].state == state.DONE
    assert place.lines("begun") == ["r0001", "r0001", "r0002", "r0002"]


@contextlib.contextmanager
def eyes_of(run):
    """Give a device and a key of which a run has a value."""
    import h5py

    with h5py.File(sorted(run.glob("*.h5"))[0]) as file:
        found = []
        file["RUN"].visit(lambda name: found.append(name) if name.endswith("/value") else None)
    parts = found[0].removesuffix("/value").split("/")
    yield "/".join(parts[:3]), ".".join(parts[3:])


def test_a_job_that_was_submitted_though_slurm_gave_no_answer_is_not_submitted_twice(place, monkeypatch):
    place.configure(more=", on: slurm")
    monkeypatch.setattr(work, "SILENCE", 0.3)
    monkeypatch.setattr(hands.Hands, "_queue", lambda self, age: {})
    started = []

    def submit(words, options, name):
        started.append(name)
        subprocess.Popen([sys.executable, CHEAP, *words]).wait()
        raise Unreachable("sbatch gave no answer for 30 s")

    made = orders.of(place.folder / "what.yaml")
    with Watcher(str(place.folder / "raw"), made, submit, str) as watcher:
        ticked(watcher, lambda: watcher.finished)
    assert place.lines("begun") == ["r0001", "r0002"]
    assert [(row.state, row.tries) for row in place.rows().values()] == [(state.DONE, 1)] * 2


def test_nothing_is_written_into_a_run(place):
    place.configure()
    text = (place.folder / "what.yaml").read_text()
    (place.folder / "what.yaml").write_text(text.replace("results: out", "results: raw/r0001/watched"))
    with pytest.raises(UsageError, match="lies in .*r0001, which is a run"), place.watcher():
        pass
    assert not (place.folder / "raw/r0001/watched").exists()
