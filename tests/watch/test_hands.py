"""Tasks as jobs of a real Slurm: each is one job, also when the watcher is killed between."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
from runs import make_run

import dxflow
from dxflow.commands import watch as command
from dxflow.slurm import commands
from dxflow.slurm.commands import Unreachable
from dxflow.watch import attempt, hands, orders, state
from dxflow.watch.loop import Watcher

SLURM = "{slurm: {partition: upex, cores: 1, memory: 500MB}}"
CONFIG = f"""\
results: out
every: 0.3
quiet: 0.2
tasks:
  table: {{do: "table {{path}} --quiet", to: "tables/{{name}}.zarr", on: {SLURM}}}
  bad: {{do: "reduce {{path}} average", to: "bad/{{name}}.zarr", tries: 1, on: {SLURM}}}
"""


def queued(number):
    return state.Row(f"r{number}", "table", "", state=state.QUEUED, place="slurm", job=str(number))


def test_slurm_that_gives_no_answer_is_asked_once_for_all(tmp_path, monkeypatch):
    asked, submitted = [], []

    def silent(*words, **options):
        asked.append(words)
        raise Unreachable("squeue gave no answer for 30 s")

    monkeypatch.setattr(commands, "run", silent)
    one = hands.Hands(lambda *given: submitted.append(given) or "1")
    assert {one.find(queued(n), tmp_path / str(n)).kind for n in range(5)} == {"unknown"}
    for n in range(5):
        with pytest.raises(Unreachable, match="squeue gave no answer"):
            one.start(queued(n), tmp_path / str(n), {})
    # What may be in the queue is not submitted.
    assert (len(asked), submitted) == (1, [])
    monkeypatch.setattr(hands, "SILENT", 0.0)
    monkeypatch.setattr(commands, "run", lambda *words, **options: "")
    one.start(row := queued(0), tmp_path / "0", {})
    assert (row.job, len(submitted)) == ("1", 1)


def test_a_job_whose_submission_got_no_answer_is_found_by_its_name(tmp_path, monkeypatch):
    jobs, submitted = [], []

    def submit(words, options, name):
        submitted.append(name)
        jobs.append(f"17|dxflow-driver-{name}|PENDING")
        raise Unreachable("sbatch gave no answer for 30 s")

    monkeypatch.setattr(commands, "run", lambda *words, **options: "\n".join(jobs))
    one = hands.Hands(submit)
    for n in range(5):
        with pytest.raises(Unreachable, match="sbatch gave no answer"):
            one.start(queued(n), tmp_path / str(n), {})
    assert len(submitted) == 1
    monkeypatch.setattr(hands, "SILENT", 0.0)
    one.start(row := queued(0), tmp_path / "0", {})
    assert (row.job, len(submitted)) == ("17", 1)


def test_what_slurm_says_instead_of_its_queue_costs_no_try(tmp_path, monkeypatch):
    def refused(*words):
        raise commands.SlurmError("squeue: Invalid user: 1234")

    submitted = []
    monkeypatch.setattr(commands, "run", refused)
    monkeypatch.setattr(commands, "there", lambda: True)
    with pytest.raises(Unreachable, match="Invalid user"):
        hands.Hands(lambda *given: submitted.append(given)).start(queued(1), tmp_path / "1", {})
    assert submitted == []


def test_a_machine_without_slurm_is_no_silence(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(commands.SlurmError, match="there is no command 'squeue'") as e:
        hands.Hands(str).start(queued(1), tmp_path / "1", {})
    assert not isinstance(e.value, Unreachable)


@pytest.mark.parametrize("began", [None, 0, 1])
def test_an_attempt_is_started_again_if_it_was_begun_before_not_if_its_watcher_was(tmp_path, began):
    """A watcher may be a job itself; what it begins here has its environment."""
    order = {"run": "r", "task": "t", "cwd": ".", "made": False, "words": ["t"], "to": str(tmp_path / "to")}
    folder = tmp_path / "1"
    hands.Hands(str).prepare(
        folder, {**order, "resume": False, "overwrite": True, "columns": {}, "began": None}
    )
    if began is not None:
        holder = {"job": "7", "start": began}
        (folder / attempt.BEGUN).write_text(json.dumps({"holder": holder, "began": 1.0}))
    code = (
        "import sys, pathlib; from dxflow.watch import attempt; from dxflow.driver import journal; "
        "attempt.run(pathlib.Path(sys.argv[1]), lambda words: print(words, journal.restarted()) or 1, "
        "lambda words: ('--overwrite', '--resume'))"
    )
    job = {"DXFLOW_DRIVER": "1", "SLURM_JOB_ID": "7", "SLURM_RESTART_COUNT": "1"}
    subprocess.run([sys.executable, "-c", code, folder], env=os.environ | job, check=True)
    log = (folder / attempt.LOG).read_text() if began != 1 else ""
    assert log.rstrip().endswith({None: "'--overwrite'] False", 0: "'--resume'] True", 1: ""}[began])
    assert (folder / attempt.LOG).exists() == (began != 1)


def test_each_task_is_one_job_though_the_watcher_is_killed(slurm, tmp_path):
    make_run(tmp_path / "raw" / "r0001", detector=None, trains=2, pulses=2, devices=("xgm",))
    shutil.copytree(tmp_path / "raw" / "r0001", tmp_path / "raw" / "r0002")
    (tmp_path / "what.yaml").write_text(CONFIG)
    words = [sys.executable, "-m", "dxflow", "watch", "raw", "--do", "what.yaml"]
    watcher = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.DEVNULL)
    slurm.wait(lambda: len(slurm.jobs()) >= 2)
    os.kill(watcher.pid, signal.SIGKILL)
    watcher.wait()
    done = subprocess.run([*words, "--once"], cwd=tmp_path, capture_output=True, text=True, check=False)
    # What cannot work has failed.
    assert done.returncode == 1, done.stdout + done.stderr
    rows = state.read(tmp_path / "out")[1]
    assert [row.state for row in rows.values()] == [state.FAILED, state.DONE] * 2, done.stdout
    assert "no such detector" in rows["r0001", "bad"].reason
    assert all(row.job and row.tries == 1 for row in rows.values())
    names = slurm("squeue", "-h", "-t", "all", "-o", "%j").split()
    wanted = [hands.name_of(tmp_path / "out" / "watch" / run / task / "1") for run, task in rows]
    assert sorted(n for n in names if "watch-" in n) == sorted(f"dxflow-driver-{name}" for name in wanted)
    for run in ("r0001", "r0002"):
        assert dxflow.open(tmp_path / "out" / "tables" / f"{run}.zarr").names
        log = (tmp_path / "out" / "watch" / run / "table" / "1" / "log.txt").read_text()
        assert log.count("dxflow watch: table") == 1


def test_a_job_that_is_cancelled_has_failed_and_says_so(slurm, tmp_path, monkeypatch):
    make_run(tmp_path / "raw" / "r0001", detector=None, trains=2, pulses=2, devices=("xgm",))
    one = CONFIG.replace("cores: 1, memory", "cores: 1, directives: ['--begin=now+1hour'], memory")
    (tmp_path / "what.yaml").write_text(
        "".join(line for line in one.splitlines(keepends=True) if "bad" not in line)
    )
    words = [sys.executable, "-m", "dxflow", "watch", "raw", "--do", "what.yaml"]
    watcher = subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, text=True)

    def queued():
        with contextlib.suppress(FileNotFoundError):
            return [row.job for row in state.read(tmp_path / "out")[1].values() if row.job]

    (job,) = slurm.wait(queued)
    # As Ctrl-C, which what is started in the background ignores.
    watcher.terminate()
    assert f"jobs that stay in the queue and are found again: {job}" in watcher.communicate()[0]
    assert slurm.jobs() == [job]
    slurm("scancel", job)
    text = (tmp_path / "what.yaml").read_text()
    (tmp_path / "what.yaml").write_text(text.replace('.zarr"', '.zarr", tries: 1'))
    monkeypatch.setattr(hands, "GRACE", 0.5)
    monkeypatch.setattr(hands, "ASKED", 0.2)
    with Watcher(str(tmp_path / "raw"), orders.of(tmp_path / "what.yaml"), command.submit, str) as again:
        slurm.wait(lambda: again.tick() or again.finished)
        row = again.work.rows["r0001", "table"]
    assert (row.state, row.reason) == (state.FAILED, f"job {job} ended: CANCELLED")
