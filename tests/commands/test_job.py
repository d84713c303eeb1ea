"""Drivers as jobs: queued, listed, cancelled with their workers; started again, they go on where they were."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from samples import TrainSums

import dxflow
from dxflow.commands import job as driver
from dxflow.commands import main as cli
from dxflow.slurm.commands import OptionError
from dxflow.slurm.options import Options

SAMPLES = f"{Path(__file__).parents[1]}/samples.py"


def submitted(capsys, *words):
    assert cli.main(["submit", "--cores", "1", *map(str, words)]) == 0
    return capsys.readouterr().out.split()[1]


def state(slurm, job):
    return slurm("squeue", "-h", "-t", "all", "-j", job, "-o", "%T").strip()


def test_a_driver_that_is_requeued_goes_on_with_its_fragments(long, slurm, tmp_path, capsys):
    to = tmp_path / "a.zarr"
    line = [long.path, "--to", to, "--chunk", "40 kB", "--block", "4 kB", "--cluster", "here"]
    job = submitted(
        capsys,
        "reduce",
        *line,
        f"{SAMPLES}:TrainSums",
        f"{SAMPLES}:Pause",
        "--folder",
        tmp_path,
        "--seconds",
        0.02,
    )
    slurm.wait(lambda: len(list(Path(f"{to}.partial").glob("chunk-*"))) >= 2)
    assert cli.main(["jobs"]) == 0
    assert re.search(r"reduce +r0003 -> a.zarr", capsys.readouterr().out)
    # As Slurm does before the time limit.
    slurm("scancel", "--batch", "--signal=USR1", job)
    (tmp_path / "go").touch()
    slurm.wait(lambda: state(slurm, job) == "COMPLETED")
    assert cli.main(["logs", job]) == 0
    log = capsys.readouterr().out
    assert "start 0" in log
    assert "start 1" in log
    chunks = dxflow.open(to).manifest["chunks"]
    assert chunks["reused"] >= 2
    assert chunks["computed"] >= 1
    here = dxflow.reduce(
        long.path, TrainSums(), tmp_path / "here.zarr", cluster="here", chunk="40 kB", block="4 kB"
    )
    assert here.dataset.equals(dxflow.open(to).dataset[list(here.dataset)])


def test_a_cancelled_driver_takes_its_workers_with_it(long, slurm, tmp_path, capsys):
    line = [long.path, "--to", tmp_path / "a.zarr", "--chunk", "40 kB", "--block", "4 kB"]
    line += ["--cluster", "slurm:jobs=4,cores=1,partition=exfel,poll=0.5"]
    job = submitted(capsys, "reduce", *line, f"{SAMPLES}:Pause", "--folder", tmp_path)
    slurm.wait((tmp_path / "began").exists)
    assert len(slurm.jobs()) == 5
    assert cli.main(["cancel", job]) == 0
    slurm.wait(lambda: not slurm.jobs())
    assert cli.main(["cancel", job]) == 1
    assert f"there is no job '{job}' of dxflow to cancel. There are: none" in capsys.readouterr().err


def test_every_command_can_be_put_into_the_queue_or_is_about_it_or_about_what_runs():
    own = {"cluster", "submit", "jobs", "logs", "cancel", "set"}
    assert set(driver.QUEUED) == set(cli.COMMANDS) - own


def test_a_script_and_its_arguments_reach_the_job_as_they_are(tmp_path):
    script = tmp_path / "a b.py"
    script.write_text("import sys; print(sys.argv[1:])")
    argv = driver.command([str(script), "--", "--x", "it's; $HOME"])
    text = driver.job_script(argv, Options(walltime=10), tmp_path, "a b")
    assert "--job-name=dxflow-driver-a-b\n" in text
    line = next(row for row in text.splitlines() if row.endswith("&"))
    out = subprocess.run(["bash", "-c", f"{line[:-1]}"], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "['--x', \"it's; $HOME\"]"
    assert argv[0] == sys.executable


SAVES = """
import pathlib, signal, sys, time

def save(*_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    pathlib.Path("asked").touch()
    time.sleep(0.5)
    pathlib.Path("saved").touch()
    sys.exit(3)

signal.signal(signal.SIGTERM, save)
pathlib.Path("began").touch()
time.sleep(60)
"""


def test_a_job_that_is_to_end_waits_for_what_its_driver_saves(tmp_path, monkeypatch):
    """Slurm may kill what is left when the script has ended; it signals more than once."""
    monkeypatch.chdir(tmp_path)
    text = driver.job_script([sys.executable, "-c", SAVES], Options(walltime=10), tmp_path, "a")
    script = subprocess.Popen(["bash", "-c", text])

    def until(name):
        while not (tmp_path / name).exists():
            assert script.poll() is None
            time.sleep(0.02)

    until("began")
    script.terminate()
    until("asked")
    script.send_signal(signal.SIGUSR1)
    script.terminate()
    assert script.wait(60) == 3
    assert (tmp_path / "saved").exists()


def test_what_is_neither_a_command_nor_a_script_is_refused():
    with pytest.raises(
        OptionError, match="expected a command of dxflow or a script.* Commands: simulate, plan, reduce"
    ):
        driver.command(["redcue"])
    with pytest.raises(OptionError, match=r"there is no script no\.py"):
        driver.command(["no.py"])


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["plan", "nowhere", "average"], "no such run"),
        (["copy", "nowhere", "x"], "no such run"),
        (["bench", "nowhere"], "no such run"),
        (["bench", "nowhere", "--trans", "3"], "unrecognized arguments"),
        (["recipe", "saxs", "a", "b", "--wokers", "3"], "dxflow recipe saxs: "),
        (["recipe", "sax"], "no recipe 'sax'"),
    ],
)
def test_what_is_to_be_queued_is_checked_before(words, error):
    with pytest.raises((ValueError, LookupError), match=error):
        driver.checked(words)


@pytest.mark.parametrize("name", ["submit", "jobs", "logs", "cancel", "cluster"])
def test_commands_about_the_queue_are_not_queued(name):
    with pytest.raises(OptionError, match="expected a command of dxflow or a script"):
        driver.command([name, "reduce"])


def test_a_finished_result_is_taken_as_it_is_when_resumed(long, tmp_path):
    first = dxflow.reduce(long.path, TrainSums(), tmp_path / "a.zarr", cluster="here")
    again = dxflow.reduce(long.path, TrainSums(), tmp_path / "a.zarr", cluster="here", resume=True)
    assert again.manifest == first.manifest
    with pytest.raises(dxflow.PlanError, match="exists"):
        dxflow.reduce(long.path, TrainSums(name="other"), tmp_path / "a.zarr", cluster="here", resume=True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["reduce", "nowhere", "--to", "a.zarr", "average"], "nowhere. Give a run directory, one file"),
        (["reduce", "{run}", "--to", "a.zarr", "averag"], "Did you mean 'average'"),
        (["reduce", "{run}", "--to", "nowhere/a.zarr", "average"], "nowhere"),
        (["copy", "{run}", "{run}"], "which is read: it is not replaced"),
        (["recipe", "sax"], "Did you mean 'saxs'"),
    ],
)
def test_what_cannot_work_is_not_queued(long, slurm, tmp_path, capsys, words, said):
    words = [word.replace("{run}", str(long.path)) for word in words]
    assert cli.main(["submit", "--cores", "1", *words]) == 2
    assert said in capsys.readouterr().err
    assert not slurm.jobs()
    assert not list((tmp_path / "home").glob("*/*"))


def test_what_slurm_refuses_leaves_nothing_and_says_what_was_asked(long, slurm, tmp_path, capsys):
    line = ["submit", "--cores", "1", "--partition", "upx", "--walltime", "00:10:00"]
    assert cli.main([*line, "reduce", str(long.path), "--to", str(tmp_path / "a.zarr"), "average"]) == 1
    error = capsys.readouterr().err
    assert "Partitions: all, exfel, upex" in error
    assert 'Asked for: --nodes=1; --ntasks=1; --time=00:10:00; --partition="upx"; --cpus-per-task=1' in error
    assert not list((tmp_path / "home").glob("*/*"))
