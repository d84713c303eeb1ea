"""Results get their names whenever a reduction is killed, and whatever workers that outlive it still write."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from dying import dies
from samples import RoiSum

import dxflow
from dxflow import Frames, PlanError
from dxflow.algorithms.average import Average
from dxflow.disk import replace
from dxflow.simulate import make_run
from dxflow.stores.formats.zarr import Zarr
from dxflow.stores.opening import verify
from dxflow.stores.store import Store

FORMATS = ("x.zarr", "x.tiff", "x.nc", "x.nxs", "x.cxi", "x/")
BANDS = 4, 16


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A run of two small modules."""
    folder = tmp_path_factory.mktemp("small") / "r0001"
    return make_run(
        folder, detector="AGIPD500K", modules=2, trains=2, pulses=2, module_shape=(16, 16), sequences=1
    )


def plan(small, to, band, **options):
    return dxflow.plan(
        small.path, RoiSum(img=Frames(modules=(0, 1), mask=None), ss=(0, band)), str(to), **options
    )


@pytest.fixture(scope="module")
def sums(small):
    """The intensities that each band gives."""
    return {
        b: dxflow.execute(plan_nowhere(small, b), "here").dataset["roisum.intensity"].values for b in BANDS
    }


def plan_nowhere(small, band):
    return dxflow.plan(small.path, RoiSum(img=Frames(modules=(0, 1), mask=None), ss=(0, band)))


# Killed while it gets its name ---------------------------------------------------------------------


def execute_and_die(planned, call):
    """Execute a plan in another process, which ends at a call of the system after publish(); return whether it did."""
    calls = [(os, name) for name in ("replace", "rename", "unlink", "rmdir", "fsync", "utime")]
    calls.append((replace, "_rename"))
    return dies(call, calls, (Store, "publish"), lambda: dxflow.execute(planned, "here", quiet=True))


@pytest.mark.parametrize(
    ("name", "exchanged"), [("x.zarr", True), ("x.nc", True), *((n, False) for n in FORMATS)]
)
def test_killed_at_any_call_while_one_result_replaces_another_neither_is_lost(
    small, sums, tmp_path, monkeypatch, name, exchanged
):
    if not exchanged:
        monkeypatch.setattr(replace, "_rename", lambda *_: False)
    to, path, (old, new) = f"{tmp_path}/{name}", tmp_path / name, BANDS
    dxflow.execute(plan(small, to, old), "here")
    for call in range(1, 6 if exchanged else 7):
        assert execute_and_die(plan(small, to, new, overwrite=True), call)
        there = path.exists()
        # Whoever asks for the same name without a word to replace it is refused, even while nothing has the name.
        with pytest.raises(PlanError, match=r"exists|holds"):
            dxflow.execute(plan(small, to, old), "here")
        assert there or (not exchanged and "replaced-" in found_aside(small, to))
        again = plan(small, to, new, overwrite=True, resume=call % 2 == 0)
        with pytest.MonkeyPatch.context() as patched:
            # The result that was to be replaced has its name again before anything is lost of it.
            patched.setattr(type(again.store), "create", failing)
            if not again.finished:
                with pytest.raises(OSError, match="broken"):
                    dxflow.execute(again, "here")
        found = dxflow.open(path).dataset["roisum.intensity"].values
        assert any(np.array_equal(found, values) for values in sums.values())
        assert verify(path) == []
        dxflow.execute(plan(small, to, new, overwrite=True, resume=True), "here")
        np.testing.assert_array_equal(dxflow.open(path).dataset["roisum.intensity"].values, sums[new])
        assert [p.name for p in tmp_path.iterdir()] == [path.name]
        old, new = new, old


def failing(self, contents):
    raise OSError("broken")


def found_aside(small, to):
    with pytest.raises(PlanError) as raised:
        plan(small, to, 8)
    return str(raised.value)


# Workers that outlive their driver ------------------------------------------------------------------

STOPPED = """
    import os, signal, sys
    sys.path.insert(0, {tests!r})
    import dxflow
    from dxflow import Frames
    from dxflow.algorithms.average import Average
    from dxflow.stores.formats.zarr import Zarr

    class Stopping(Zarr):
        # A process of its own writes, which has nothing to do with the driver any more, as on other nodes.

        def keep(self, contents, part, arrays):
            if os.fork():
                signal.pause()
            os.closerange(3, 100)
            with open({sign!r}, "w") as file:
                file.write(str(os.getpid()))
            os.kill(os.getpid(), signal.SIGSTOP)
            try:
                super().keep(contents, part, arrays)
            finally:
                os._exit(0)

    img, first = Frames(modules=(0, 1), mask=None), dxflow.FrameSelection(pulses=slice(0, 1))
    dxflow.reduce({run!r}, Average(img=img), Stopping({to!r}), frames=first, cluster="here")
"""


class Waking(Zarr):
    """Before it is complete, whoever was stopped in writing goes on, and has time to do what it wants."""

    sign = Path()

    def commit(self, contents, manifest):
        wake(int(self.sign.read_text()))
        super().commit(contents, manifest)


def wake(worker):
    """Have a process go on, and wait until it has done what it wanted."""
    os.kill(worker, signal.SIGCONT)
    end = time.monotonic() + 4
    while time.monotonic() < end and Path(f"/proc/{worker}").exists():
        time.sleep(0.1)


def wait_for(path, process):
    end = time.monotonic() + 60
    while not (path.exists() and path.read_text()):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.mark.parametrize("when", ["while it is written", "when it is finished"])
def test_a_worker_that_outlives_its_driver_changes_nothing_of_the_next_run(small, tmp_path, when):
    to, sign, script = tmp_path / "x.zarr", tmp_path / "sign", tmp_path / "stopped.py"
    facts = {
        "tests": str(Path(__file__).parents[1]),
        "sign": str(sign),
        "run": str(small.path),
        "to": str(to),
    }
    script.write_text(textwrap.dedent(STOPPED).format(**facts))
    driver = subprocess.Popen([sys.executable, str(script)], stderr=subprocess.DEVNULL)
    try:
        wait_for(sign, driver)
    finally:
        driver.kill()
        driver.wait()
    worker = int(sign.read_text())
    try:
        made = dxflow.plan(
            small.path, Average(img=Frames(modules=(0, 1), mask=None)), str(to), overwrite=True
        )
        if when == "while it is written":
            made.store.__class__, made.store.sign = Waking, sign
        dxflow.execute(made, "here")
        if when == "when it is finished":
            wake(worker)
    finally:
        # It may be gone, having found out that nobody needs it.
        with suppress(ProcessLookupError):
            os.kill(worker, signal.SIGKILL)
    assert verify(to) == []
    wanted = dxflow.reduce(small.path, Average(img=Frames(modules=(0, 1), mask=None)), cluster="here").dataset
    np.testing.assert_array_equal(dxflow.open(to).dataset["average.mean"].values, wanted["average.mean"])
    assert not (tmp_path / "x.zarr.partial").exists()


class Littering(Zarr):
    """Leaves what a worker leaves that dies in writing."""

    def write(self, contents, piece):
        super().write(contents, piece)
        (self._root / piece[0] / ".0123456789ab").write_bytes(b"half a shard")


def test_what_dead_workers_left_unfinished_is_no_part_of_the_result(small, tmp_path):
    img = Frames(modules=(0, 1), mask=None)
    result = dxflow.reduce(small.path, RoiSum(img=img), Littering(tmp_path / "x.zarr"), cluster="here")
    assert not [name for name in result.manifest["files"] if "0123456789ab" in name]
    assert verify(result.path) == []
