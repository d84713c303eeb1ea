"""Reductions on a real Slurm: same bits as here, jobs replaced, nothing left behind, refusals in Slurm's words."""

import asyncio
import os
import re
import signal
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
from distributed import Security
from doors import lets_in
from samples import Pause, RoiSum, TrainSums

import dxflow
from dxflow.clusters import Slurm
from dxflow.commands import main as cli
from dxflow.planning import memory, public
from dxflow.slurm import listing
from dxflow.slurm.commands import SlurmError

SMALL = {"chunk": "40 kB", "block": "4 kB"}
"""Some two dozen chunks."""


def options(**more):
    return {"jobs": 2, "cores": 1, "poll": 0.5, **more}


@pytest.fixture(scope="module")
def expected(long, tmp_path_factory):
    """What a run in this process gives."""
    to = tmp_path_factory.mktemp("here") / "here.zarr"
    result = dxflow.reduce(long.path, [TrainSums(), RoiSum()], to, cluster="here", **SMALL)
    assert result.manifest["chunks"]["computed"] > 20
    return result.dataset.load()


def assert_same_bits(found, expected):
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_a_run_on_slurm_gives_the_bits_of_a_run_here_and_leaves_no_job(long, slurm, tmp_path, expected):
    cluster = Slurm(**options(jobs=3))
    began = time.monotonic()
    found = dxflow.reduce(
        long.path, [TrainSums(), RoiSum()], tmp_path / "there.zarr", cluster=cluster, **SMALL
    )
    assert time.monotonic() - began < 100
    assert_same_bits(found.dataset, expected)
    slurm.wait(lambda: not slurm.jobs())
    account = cluster.accounting()
    assert [job["cause"] for job in account["jobs"]] == ["ended with the run"] * 3
    assert 0 < account["node_seconds"] < account["asked"]
    assert not (cluster.folder / "tls").exists()
    # On a busy machine all of them would otherwise give up again and again.
    assert int(re.search(r"--death-timeout (\d+)", (cluster.folder / "job.sh").read_text())[1]) >= 150
    assert len(list((cluster.folder / "logs").glob("*.log"))) == 3
    assert len(found.cluster["jobs"]) == 3
    assert 0 < found.cluster["used"] < found.cluster["asked"]
    assert "node-hours asked were used" in found.report()


def test_a_run_survives_jobs_that_are_cancelled_preempted_and_out_of_time_and_a_node_that_restarts(
    long, slurm, tmp_path, expected
):
    cluster = Slurm(**options(jobs=3, partition="all", walltime=2, exclusive=True, memory="2 GB", cores=2))
    algorithms, done = [TrainSums(), RoiSum(), Pause(folder=tmp_path, seconds=0.4)], []

    def reduce():
        done.append(dxflow.reduce(long.path, algorithms, tmp_path / "a.zarr", cluster=cluster, **SMALL))

    thread = threading.Thread(target=reduce)
    thread.start()
    slurm.wait((tmp_path / "began").exists)
    first, second, third = slurm.wait(
        lambda: (ids := sorted(slurm.jobs("-t", "R"), key=int)) and len(ids) == 3 and ids
    )
    slurm("scancel", first)
    slurm(
        "sbatch",
        "-p",
        "exfel",
        "-w",
        node_of(slurm, second),
        "-t",
        "1",
        "-o",
        "/dev/null",
        "--wrap",
        "sleep 1",
    )
    # Slurm looks for jobs that are out of time every 30 s.
    slurm("scontrol", "update", f"JobId={third}", "EndTime=now+1")
    slurm.stop_node(node_of(slurm, third))
    time.sleep(0.5)
    slurm.up()
    slurm.wait(lambda: {"was cancelled", "reached its time limit"} <= causes(cluster))
    (tmp_path / "go").touch()
    thread.join()
    assert_same_bits(done[0].dataset[list(expected)], expected)
    account = cluster.accounting()
    assert account["requeues"] == 1
    assert {job["id"] for job in account["jobs"] if job["restarts"]} == {second}
    assert {death["job"]: death["cause"] for death in account["deaths"]} == {
        first: "was cancelled",
        third: "reached its time limit",
    }
    assert len(account["jobs"]) == 5


def test_passes_of_a_block_share_jobs_that_are_replaced_and_are_as_large_as_each_plan_needs(
    long, slurm, tmp_path, expected, monkeypatch
):
    def plan(name, more=0):
        usual = memory.estimate
        monkeypatch.setattr(public, "estimate", lambda *given: replace(usual(*given), tables=more))
        return dxflow.plan(long.path, [TrainSums(), RoiSum()], tmp_path / name, **SMALL)

    def asked(job):
        return int(re.search(r"mem=(\d+)M", slurm("scontrol", "show", "job", job))[1])

    with Slurm(**options(jobs=1)) as cluster:
        assert not slurm.jobs(), "what is needed is not known yet"
        results = [dxflow.execute(plan("a.zarr"), cluster)]
        (first,) = slurm.jobs()
        results.append(dxflow.execute(plan("b.zarr"), cluster))
        assert slurm.jobs() == [first]
        slurm("scancel", first)
        results.append(dxflow.execute(plan("c.zarr"), cluster))
        (second,) = slurm.jobs()
        assert causes(cluster) == {"was cancelled"}
        small, folder = asked(second), cluster.folder
        results.append(dxflow.execute(plan("d.zarr", 500_000_000), cluster))
        assert cluster.folder != folder
        (third,) = slurm.jobs()
        assert asked(third) > small + 500
        assert listing.about(cluster.folder / listing.ABOUT)["to"] == str(tmp_path / "d.zarr")
        cluster.options = replace(cluster.options, memory="3 GB")
        with pytest.raises(ValueError, match="memory='3 GB' per job: .* Give more memory"):
            dxflow.execute(plan("e.zarr", 5_000_000_000), cluster)
    slurm.wait(lambda: not slurm.jobs())
    for result in results:
        assert_same_bits(result.dataset, expected)


def node_of(slurm, job):
    return slurm("squeue", "-h", "-j", job, "-o", "%N").strip()


def causes(cluster):
    return {death["cause"] for death in cluster.accounting()["deaths"]}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_a_driver_that_is_interrupted_or_killed_leaves_no_job_and_no_credentials(
    long, slurm, tmp_path, number
):
    line = [long.path, "--to", tmp_path / "a.zarr", "--chunk", "40 kB", "--block", "4 kB"]
    # More than there are nodes, so that one waits in the queue.
    line += [
        "--cluster",
        "slurm:jobs=4,partition=exfel,cores=1,poll=0.5",
        f"{Path(__file__).parents[2]}/samples.py:Pause",
    ]
    driver = subprocess.Popen(
        [sys.executable, "-m", "dxflow", "reduce", *map(str, line), "--folder", str(tmp_path)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        # Tests may themselves run in the background, where Ctrl-C is ignored, or under nohup.
        preexec_fn=lambda: [signal.signal(s, signal.SIG_DFL) for s in (signal.SIGINT, signal.SIGHUP)],
    )
    slurm.wait(lambda: (tmp_path / "began").exists() or driver.poll() is not None)
    assert driver.poll() is None, driver.stderr.read()
    assert slurm.jobs("-t", "PD")
    assert list((tmp_path / "home" / "runs").glob("*/tls/*.pem"))
    driver.send_signal(number)
    _, said = driver.communicate()
    codes = {signal.SIGINT: 130, signal.SIGTERM: 143}
    assert driver.returncode == codes.get(number, -number), said
    slurm.wait(lambda: not slurm.jobs())
    slurm.wait(lambda: not list((tmp_path / "home" / "runs").glob("*/tls")))


def test_nobody_else_is_let_in_or_can_read_the_credentials(slurm):
    cluster = Slurm(**options(jobs=1))
    client = cluster.start()
    try:
        client.wait_for_workers(1, timeout=100)
        info = client.scheduler_info(n_workers=-1)
        addresses = [info["address"], *info["workers"], *(w["nanny"] for w in info["workers"].values())]
        for address in addresses:
            plain = address.replace("tls://", "tcp://")
            assert asyncio.run(lets_in(address, client.security))
            assert not asyncio.run(lets_in(address, Security.temporary()))
            assert not asyncio.run(lets_in(address, Security()))
            assert not asyncio.run(lets_in(plain, Security()))
        ports = {int(address.rpartition(":")[2]) for address in addresses}
        pids = [*client.run(os.getpid).values(), *client.run(os.getppid).values(), os.getpid()]
        others = [c.laddr for pid in pids for c in listening(pid) if c.laddr.port not in ports]
        assert {a.ip for a in others} == {"127.0.0.1"}
        assert_private(cluster.folder)
        assert re.search(r"ssh -L (\d+):127.0.0.1:\1 \w+@", client.cluster.tunnel())
        for port in {a.port for a in others}:
            # Nothing is told: not found, or the connection is refused.
            with pytest.raises(OSError, match="404|reset|refused|closed|Remote end"):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/json/identity.json", timeout=5)
        assert cluster.describe() == "1 SLURM jobs, partition default, 1 workers each"
    finally:
        client.close()
        cluster.close()


def listening(pid):
    return [c for c in psutil.Process(pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN]


def assert_private(folder):
    """No other user can enter a folder of credentials, or read them, and they are not in the script."""
    secrets = [p for p in (folder / "tls").iterdir() if p.is_file()]
    assert len(secrets) == 3
    assert {stat.S_IMODE(p.stat().st_mode) for p in secrets} == {0o600}
    assert {stat.S_IMODE(p.stat().st_mode) for p in (folder, folder / "tls")} == {0o700}
    assert "BEGIN" not in (folder / "job.sh").read_text()
    if os.getuid() == 0:
        assert subprocess.run(["cat", secrets[0]], user=65534, capture_output=True, check=False).returncode


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"partition": "upx"}, "nvalid partition.*Partitions: all, exfel, upex"),
        ({"reservation": "nope"}, "reservation.*Reservations: none"),
        ({"memory": "900 GB"}, "Nodes: .*2 cores, 6000 MB"),
        ({"cores": 64}, "Nodes: .*2 cores"),
        ({"interface": "ib7"}, "interface='ib7': this machine has .*lo \\(127.0.0.1\\)"),
        ({"memory": "100 MB"}, "one worker with its libraries and 2 GiB of data needs .* Give more memory"),
        ({"directives": ["--gres=warp:9"]}, "nvalid generic resource"),
    ],
)
def test_a_mistake_is_told_before_anything_is_submitted(slurm, tmp_path, given, said):
    cluster = Slurm(**options(**given))
    with pytest.raises((SlurmError, ValueError), match=said):
        cluster.start()
    assert not slurm.jobs()
    assert not list((tmp_path / "home").glob("runs/*"))


def test_jobs_that_die_at_once_are_told_with_slurms_words_and_their_log(long, slurm, tmp_path):
    began = time.monotonic()
    with pytest.raises(SlurmError) as e:
        dxflow.reduce(
            long.path, TrainSums(), tmp_path / "a.zarr", cluster=Slurm(**options(python="/no/python"))
        )
    assert re.search(r"[34] worker jobs ended before a worker connected", str(e.value))
    assert re.search(r"job \d+ on node\d, failed with exit code 3", str(e.value))
    assert "/no/python: No such file or directory" in str(e.value)
    assert time.monotonic() - began < 100
    assert not slurm.jobs()


def test_without_slurm_it_says_where_to_go(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SlurmError, match="no command 'sbatch' on this machine: submit from a login node"):
        Slurm(jobs=1).start()


def test_a_result_that_nodes_would_not_see_is_refused(long):
    with pytest.raises(ValueError, match="without a name the result lies in /tmp.*: give to="):
        dxflow.reduce(long.path, TrainSums(), cluster=Slurm(jobs=1))


def test_the_demo_recipe_gives_the_same_bits_on_slurm_and_on_this_machine(slurm, tmp_path):
    small = ["recipe", "demo", "--trains", "4", "--pulses", "4", "--module-shape", "16", "16"]
    for name, cluster in (("there", "slurm:jobs=1,cores=1,poll=0.5"), ("here", "local:workers=1")):
        assert cli.main([*small, "--to", str(tmp_path / name), "--cluster", cluster]) == 0
    for name in ("dark.zarr", "data.zarr"):
        found, expected = (dxflow.open(tmp_path / place / name).dataset for place in ("there", "here"))
        assert_same_bits(found, expected)
