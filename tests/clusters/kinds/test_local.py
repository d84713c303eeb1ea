"""Local clusters: TLS with their own certificate, nothing listens beyond this machine, guarded scripts."""

import ast
import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from distributed import Security
from doors import lets_in

from dxflow.clusters import Local
from dxflow.clusters.kinds import local
from dxflow.clusters.named import connect
from dxflow.simulate import make_run


def addresses(client):
    info = client.scheduler_info(n_workers=-1)
    workers = [w for a in info["workers"] for w in (a, info["workers"][a]["nanny"])]
    return [info["address"], *workers], info


def test_scheduler_workers_and_nannies_listen_on_loopback_with_tls_only(client):
    found, info = addresses(client)
    assert len(found) == 5
    assert all(a.startswith("tls://127.0.0.1:") for a in found), found
    for service in (info["services"], *(w["services"] for w in info["workers"].values())):
        assert set(service) <= {"dashboard"}


def test_every_listening_socket_of_the_cluster_is_bound_to_loopback(client):
    import psutil

    pids = [*client.run(lambda: __import__("os").getpid()).values(), psutil.Process().pid]
    listening = [
        c.laddr.ip
        for pid in pids
        for c in psutil.Process(pid).net_connections("tcp")
        if c.status == psutil.CONN_LISTEN
    ]
    assert len(listening) >= 3
    assert set(listening) == {"127.0.0.1"}


@pytest.mark.parametrize("certificate", ["its own", "none, plain TCP", "none", "foreign"])
def test_only_a_client_with_the_clusters_certificate_is_let_in(client, certificate):
    security = {"its own": client.security, "foreign": Security.temporary()}.get(certificate, Security())
    for address in addresses(client)[0]:
        target = address.replace("tls://", "tcp://") if certificate == "none, plain TCP" else address
        assert asyncio.run(lets_in(target, security)) is (certificate == "its own"), target


def test_it_says_how_many_workers_it_has():
    assert Local(workers=3).describe() == "3 worker processes on this machine"
    assert Local().workers >= 1


def test_workers_that_have_nothing_to_do_sleep(client):
    def woken():
        import psutil

        return psutil.Process().num_ctx_switches().voluntary

    before = client.run(woken)
    time.sleep(1)
    after = client.run(woken)
    # Signs of life, a look at the memory, what was asked here.
    assert all(after[worker] - before[worker] < 40 for worker in before)


def test_what_is_no_cluster_is_refused_with_what_would_be():
    with pytest.raises(ValueError, match=r"cluster=3: expected None \(this machine\), 'here'"):
        connect(3, None)
    with pytest.raises(LookupError, match="no cluster 'lokal'. Did you mean 'local'"):
        connect("lokal", None)


@pytest.mark.parametrize(
    ("code", "line", "guarded"),
    [
        ("x = 1\nreduce()\n", 2, False),
        ("if __name__ == '__main__':\n    reduce()\n", 2, True),
        ("if '__main__' == __name__:\n    x = 1\n    reduce()\n", 3, True),
        ("if True:\n    reduce()\n", 2, False),
        ("def main():\n    reduce()\nmain()\n", 3, False),
        ("def main():\n    reduce()\nif __name__ == '__main__':\n    main()\n", 4, True),
    ],
)
def test_a_call_is_guarded_if_it_stands_under_a_test_of_name(tmp_path, code, line, guarded):
    ast.parse(textwrap.dedent(code))
    script = tmp_path / "script.py"
    script.write_text(code)
    assert local.guarded(script, line) is guarded


def settings():
    """Return what a process is told of those that its cluster sets."""
    import dask

    names = [name for name in local.SETTINGS | local.DARK if "pre-spawn" not in name]
    return {name: dask.config.get(name) for name in names}


def test_a_worker_that_dies_again_just_when_dask_looks_comes_back_and_has_its_settings():
    import dask

    with dask.config.set({"distributed.deploy.lost-worker-timeout": "100 ms"}):
        cluster = Local(workers=1)
        client = cluster.start()
        try:
            (told,) = client.run(settings).values()
            assert told["distributed.worker.http.routes"] == []
            assert told["distributed.worker.memory.pause"] is False
            # The start of a worker takes longer than that: Dask would look while there is none.
            os.kill(*client.run(os.getpid).values(), signal.SIGKILL)
            time.sleep(0.5)
            client.wait_for_workers(1, timeout=20)
            assert client.submit(int, 7).result(timeout=20) == 7
            assert list(client.run(settings).values()) == [told]
        finally:
            client.close()
            cluster.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["a.zarr.partial", "began"])
def test_ctrl_c_and_sigterm_end_a_run_in_one_line_while_workers_start_and_while_they_work(
    tmp_path, moment, number
):
    """In a terminal Ctrl-C goes to the workers, too; SIGTERM may come again, as ``timeout`` sends it."""
    make_run(tmp_path / "run", trains=8, pulses=2, module_shape=(8, 8), devices=())
    line = [tmp_path / "run", "--to", tmp_path / "a.zarr", "--chunk", "4 kB", "--workers", "2"]
    line += [f"{Path(__file__).parents[2]}/samples.py:Pause", "--seconds", "0.1", "--folder", tmp_path]
    driver = subprocess.Popen(
        [sys.executable, "-m", "dxflow", "reduce", *map(str, line)],
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
        # Tests may themselves run in the background, where Ctrl-C is ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (tmp_path / moment).exists():
        assert driver.poll() is None, driver.stderr.read()
        time.sleep(0.05)
    # Into the start, or well into the first chunks.
    time.sleep(0.5)
    if number == signal.SIGINT:
        os.killpg(driver.pid, number)
    else:
        driver.send_signal(number)
        time.sleep(0.01)
        driver.send_signal(number)
    _, said = driver.communicate(timeout=60)
    word, code = ("interrupted", 130) if number == signal.SIGINT else ("terminated", 143)
    assert driver.returncode == code, said
    assert said.startswith(f"dxflow: {word}; ")
    assert said.count("\n") == 1, said
    assert ("--resume goes on" in said) == (moment == "began")
    assert ("nothing is kept yet: start it again" in said) == (moment != "began")
    # Python's own trackers of semaphores end a moment after it.
    until = time.monotonic() + 20
    while left := [p for p in Path("/proc").glob("[0-9]*") if _is_in_session(p, driver.pid)]:
        assert time.monotonic() < until, [(p / "cmdline").read_bytes() for p in left]
        time.sleep(0.05)


def _is_in_session(process, number):
    try:
        state, _, _, session = (process / "stat").read_text().rpartition(")")[2].split()[:4]
    except OSError:
        return False
    return int(session) == number and state != "Z"


def test_programs_that_hooks_start_are_ended_by_ctrl_c(client):
    from dxflow.clusters.tasks import let_interrupts_by

    def program():
        let_interrupts_by()
        child = subprocess.Popen(["sleep", "60"])
        child.send_signal(signal.SIGINT)
        return child.wait()

    # In the thread of the loop, which is the one that threads of tasks inherit from.
    assert set(client.run(program).values()) == {-signal.SIGINT}


def test_workers_have_one_thread_each_and_tell_nobody_by_http(client):
    import urllib.error
    import urllib.request

    assert set(client.nthreads().values()) == {1}
    ports = [client.cluster.scheduler.http_server.port]
    ports += client.run(lambda dask_worker: dask_worker.http_server.port).values()
    for port in ports:
        for page in ("status", "json/identity.json", "info/main/workers.html", "metrics", "health"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=5)


def test_the_dashboard_is_there_if_asked_for_and_its_risk_is_said(caplog):
    import urllib.request

    cluster = Local(workers=1, dashboard=True)
    client = cluster.start()
    try:
        assert "asks nobody for a password" in caplog.text
        assert urllib.request.urlopen(client.dashboard_link, timeout=10).status == 200
    finally:
        client.close()
        cluster.close()


def test_workers_that_die_as_they_start_are_an_error_that_says_why(monkeypatch):
    import dask

    with (
        dask.config.set({"distributed.worker.preload": ["no_such_module_anywhere"]}),
        pytest.raises(RuntimeError, match=r"do not start .*No module named 'no_such_module_anywhere'"),
    ):
        Local(workers=1).start()


def test_workers_that_never_come_up_have_a_deadline(usual_workers, monkeypatch, tmp_path):
    monkeypatch.setattr(local, "START", 3.0)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    hang = "import sys, time\nif 'multiprocessing.spawn' in ' '.join(sys.orig_argv): time.sleep(100)\n"
    (tmp_path / "sitecustomize.py").write_text(hang)
    with pytest.raises(RuntimeError, match="do not start within 3 s"):
        Local(workers=1).start()


def test_a_worker_that_dies_as_it_comes_does_not_end_its_cluster():
    """Dask tells that it is gone, and never told that it was there."""
    known = {"a": {}, "b": {}}
    stand_in = SimpleNamespace(scheduler_info={"workers": known})
    update = local._lasting()._update_worker_status
    for gone in ("nobody", "a"):
        update(stand_in, "remove", gone)
    assert known == {"b": {}}
    update(stand_in, "add", {"workers": {"c": {}}})
    assert list(known) == ["b", "c"]
