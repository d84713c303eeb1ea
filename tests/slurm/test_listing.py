"""Jobs are listed with run, progress and state in words; folders of credentials are private or refused."""

import os
import stat

import pytest
from samples import TrainSums

import dxflow
from dxflow.clusters import Slurm
from dxflow.commands import main as cli
from dxflow.slurm import listing, private
from dxflow.slurm.commands import OptionError

SQUEUE = """\
7|dxflow-driver-reduce|RUNNING|2026-11-21T18:02:11|node1|None
8|dxflow-1121-180301-abcdef|CANCELLED|2026-11-21T18:03:05|node2|None
9|dxflow-1121-180301-abcdef|CANCELLED|2026-11-21T18:03:05||None
10|dxflow-driver-mine|PENDING|N/A||Priority
11|other|RUNNING|2026-11-21T18:02:11|node1|None
"""


def test_jobs_have_a_header_run_progress_and_state(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("DXFLOW_HOME", str(tmp_path))
    monkeypatch.setattr(listing.commands, "run", lambda *a, **k: SQUEUE)
    partial = tmp_path / "a.zarr.partial"
    facts = {"run": "/x/r0034", "to": str(tmp_path / "a.zarr"), "partial": str(partial), "chunks": 5}
    partial.mkdir()
    for n in range(2):
        (partial / f"chunk-{n:06d}.fragment").touch()
    jobs = tmp_path / "runs" / "dxflow-1121-180301-abcdef"
    for folder in (tmp_path / "drivers", jobs):
        folder.mkdir(parents=True)
    listing.note(tmp_path / "drivers" / "7.json", **facts)
    listing.note(jobs / "about.json", **facts)
    listing.note(jobs / "about.json", ended=["8"])
    assert cli.main(["jobs"]) == 0
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        "JOB STATE SINCE WHAT RUN PROGRESS NODE, OR WHY IT WAITS",
        "7 RUNNING 11-21 18:02 reduce r0034 -> a.zarr 2 of 5 chunks node1",
        "8 ENDED 11-21 18:03 workers r0034 -> a.zarr 2 of 5 chunks node2",
        "9 CANCELLED 11-21 18:03 workers r0034 -> a.zarr 2 of 5 chunks was cancelled",
        "10 PENDING mine Priority: other jobs come first",
    ]
    partial.rename(tmp_path / "a.zarr")
    assert listing.progress(facts) == "done"


def test_workers_that_a_run_needed_no_more_have_ended(long, slurm, tmp_path, capsys):
    options = {"chunk": "40 kB", "block": "4 kB", "cluster": Slurm(jobs=2, cores=1, poll=0.5)}
    dxflow.reduce(long.path, TrainSums(), tmp_path / "a.zarr", **options)
    slurm.wait(lambda: not slurm.jobs())
    workers = [row for row in listing.rows() if row.run == "r0003 -> a.zarr"]
    assert [row.state for row in workers] in (["ENDED"] * 2, ["ENDED", "COMPLETED"], ["COMPLETED", "ENDED"])
    assert {row.progress for row in workers} == {"done"}


def test_a_folder_is_made_private(tmp_path):
    (tmp_path / "runs").mkdir(mode=0o755)
    for name in ("runs", "new/one"):
        made = private.folder(tmp_path / name)
        assert stat.S_IMODE(made.stat().st_mode) == 0o700


def test_or_refused_where_everybody_could_replace_it(tmp_path, slurm):
    home = tmp_path / "open"
    home.mkdir()
    home.chmod(0o777)
    with pytest.raises(OptionError, match=f"everybody can write to {home}, .*chmod o-w"):
        Slurm(jobs=1, cores=1, directory=str(home)).start()
    assert not list(home.glob("*/*"))
    assert not slurm.jobs()
    # As /tmp.
    home.chmod(0o1777)
    assert private.folder(home / "runs")


def test_or_where_it_is_somebody_elses(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getuid", lambda: 4711)
    (tmp_path / "runs").mkdir()
    with pytest.raises(OptionError, match="belongs to somebody else"):
        private.folder(tmp_path / "runs")
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match="cannot be made"):
        private.folder(tmp_path / "file" / "runs")
