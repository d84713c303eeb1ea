"""The keeper on a real Slurm, with jobs that only sleep: as many as wanted, what ends is replaced or told."""

import time

import pytest

from dxflow.slurm import commands, jobs, keeper
from dxflow.slurm.commands import SlurmError
from dxflow.slurm.keeper import Keeper, Limits


@pytest.fixture
def make(slurm, tmp_path):
    """Return a function that makes a keeper of jobs with some lines of shell."""
    made = []

    def keeper_of(lines, wanted=lambda: 1, busy=dict, **limits):
        script = tmp_path / "job.sh"
        script.write_text(
            f"#!/bin/bash\n#SBATCH -J dxflow-keeper -t 5 --mem 50M -o {tmp_path}/%j.log\n{lines}\n"
        )
        failures = []
        one = Keeper(
            "dxflow-keeper", script, tmp_path, wanted, busy, failures.append, Limits(poll=0.2, **limits)
        )
        one.failures = failures
        made.append(one)
        return one

    yield keeper_of
    for one in made:
        one.close()


def test_there_are_as_many_jobs_as_wanted_and_those_without_tasks_go_first(slurm, make):
    wanted, busy = [3], {}
    one = make("sleep 100", lambda: wanted[0], lambda: busy)
    one.start()
    running = slurm.wait(lambda: len(ids := slurm.jobs("-t", "R")) == 3 and ids)
    busy.update({running[0]: 2, running[1]: 0, running[2]: 1})
    wanted[0] = 2
    slurm.wait(lambda: set(slurm.jobs("-t", "R")) == {running[0], running[2]})
    assert slurm.wait(lambda: one.jobs[running[1]].cause) == "not needed any more"
    assert one.account()["deaths"] == []
    assert one.failures == []
    one.close()
    slurm.wait(lambda: not slurm.jobs())


def test_the_state_of_the_queue_is_told(slurm, make):
    told = []
    one = make("#SBATCH -w node1 --exclusive\nsleep 100", lambda: 2)
    one.listener = told.append
    one.start()
    slurm.wait(lambda: told and "1 of 2 jobs run, 1 in the queue (" in told[-1])
    slurm.wait(
        lambda: (
            "Resources: waiting for free nodes" in told[-1] or "Priority: other jobs come first" in told[-1]
        )
    )


def test_jobs_that_die_again_and_again_are_replaced_so_often_and_then_told(slurm, make):
    one = make("echo help; exit 7", early=2)
    one.start()
    slurm.wait(lambda: one.failures)
    assert "2 worker jobs ended before a worker connected" in str(one.failures[0])
    assert "failed with exit code 7" in str(one.failures[0])
    assert str(one.failures[0]).endswith("ends with:\n  help")


def test_waiting_has_an_end(slurm, make):
    one = make("#SBATCH -H\nsleep 100", queue=0.5)
    one.start()
    slurm.wait(lambda: one.failures)
    assert "no job has had a worker for" in str(one.failures[0])
    assert "JobHeldUser" in str(one.failures[0])


def test_a_node_on_which_jobs_die_at_once_is_avoided(slurm, make):
    one = make("#SBATCH --exclusive\nif [ $SLURMD_NODENAME = node1 ]; then exit 1; fi; sleep 100", lambda: 2)
    one.busy = lambda: {j.id: 1 for j in one.jobs.values() if j.alive and j.nodes > "node1"}
    one.start()
    slurm.wait(
        lambda: (
            {slurm("squeue", "-h", "-j", job, "-o", "%N").strip() for job in slurm.jobs("-t", "R")}
            == {"node2", "node3"}
        )
    )
    assert one.failures == []


def test_a_limit_of_jobs_is_no_reason_to_end_those_that_run(slurm, make, monkeypatch):
    one = make("sleep 100", lambda: 3)
    real = commands.submit

    def limited(script, *_):
        if one.jobs:
            raise SlurmError("sbatch: Job violates accounting/QOS policy")
        return real(script)

    monkeypatch.setattr(commands, "submit", limited)
    one.start()
    slurm.wait(lambda: "more are refused (sbatch: Job violates" in one.line())
    assert one.failures == []
    assert len(slurm.jobs()) == 1


def test_a_controller_that_does_not_answer_for_a_while_changes_nothing(slurm, make, monkeypatch):
    one = make("sleep 100", lambda: 2)
    one.start()
    slurm.wait(lambda: len(slurm.jobs("-t", "R")) == 2)
    asked = []

    def silent(name):
        asked.append(name)
        raise commands.Unreachable("squeue: Unable to contact slurm controller (connect failure)")

    monkeypatch.setattr(jobs, "queue", silent)
    slurm.wait(lambda: len(asked) > 2)
    assert one.failures == []
    monkeypatch.setattr(keeper, "UNREACHABLE", 0.1)
    slurm.wait(lambda: one.failures)
    assert "no answer from Slurm for 0 seconds: squeue: Unable to contact" in str(one.failures[0])


def test_how_jobs_ended_is_told_apart(slurm, tmp_path):
    def submit(lines, *options):
        script = tmp_path / "x.sh"
        script.write_text(f"#!/bin/bash\n{lines}\n")
        return commands.submit(script, "-o", str(tmp_path / "%j.log"), "-t", "5", *options)

    hog = "python3 -c 'x = bytearray(400 << 20); import time; time.sleep(60)'"
    killed, failed, done, fat, cancelled = (
        submit("ulimit -c 0; kill -SEGV $$"),
        submit("exit 3"),
        submit("true"),
        submit(hog, "--mem", "60M"),
        submit("sleep 100", "-H"),
    )
    commands.cancel(cancelled)
    slurm.wait(lambda: not slurm.jobs())
    assert jobs.end(killed).words == "was killed by signal 11 (SIGSEGV)"
    assert jobs.end(failed).words == "failed with exit code 3"
    assert jobs.end(done).words == "ended by itself"
    assert jobs.end(fat).words.startswith("ran out of memory")
    assert jobs.end(cancelled).words == "was cancelled"
    assert jobs.end("99999").state == jobs.GONE
    assert abs(jobs.end(failed).ended - time.time()) < 60


@pytest.mark.parametrize(
    ("state", "reason", "code", "words"),
    [
        ("TIMEOUT", "TimeLimit", "0:0", "reached its time limit"),
        ("OUT_OF_MEMORY", "OutOfMemory", "0:125", "ran out of memory"),
        ("PREEMPTED", "None", "0:15", "was preempted by another job"),
        ("NODE_FAIL", "NodeDown", "0:0", "its node failed"),
        ("FAILED", "NonZeroExitCode", "137:0", "was killed by signal 9 (SIGKILL)"),
        ("FAILED", "NonZeroExitCode", "1:0", "failed with exit code 1"),
        ("FAILED", "RaisedSignal:9(Killed)", "0:9", "was killed by signal 9 (SIGKILL)"),
    ],
)
def test_states_and_exit_codes_have_words(state, reason, code, words):
    assert jobs.cause(state, reason, code) == words


def test_a_time_is_told_in_the_largest_fitting_unit():
    assert [keeper.span(s) for s in (50, 600, 3 * 3600, 4 * 86400)] == [
        "50 seconds",
        "10 minutes",
        "3 hours",
        "4 days",
    ]


def test_where_slurm_has_forgotten_a_job_its_accounting_is_asked(monkeypatch):
    # What sacct -n -X -P prints for a job of a user that was cancelled.
    line = "CANCELLED by 1000|0:15|1763725862|1763725900|node2\n"

    def run(program, *_):
        if program == "scontrol":
            raise SlurmError("scontrol: slurm_load_jobs error: Invalid job id specified")
        return line

    monkeypatch.setattr(commands, "run", run)
    assert jobs.end("7") == jobs.End("CANCELLED", "was cancelled", 1763725862.0, 1763725900.0, "node2")
