"""What is seen of runs, and what happens when a file system does not answer."""

import contextlib
import os
import shutil
import signal
import sys
import time

import h5py
import pytest
from runs import make_run

from dxflow.disk import process
from dxflow.watch.eyes import Eyes, gaps, unclosed
from dxflow.watch.sight import Sight, SightError, SilentError


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("eyes") / "raw" / "r0001"
    make_run(path, detector=None, trains=6, pulses=4, devices=("xgm", "motor"))
    return path


def test_runs_are_listed_with_their_origin(run, tmp_path):
    for name in ("raw/r0001", "raw/r0002", "proc/r0001", "raw/notes", "raw/-r0003", "raw/r00\n4"):
        (tmp_path / name).mkdir(parents=True)
    os.mkdir(os.fsencode(tmp_path) + b"/raw/r0005\xff")
    (tmp_path / "raw/r0009").touch()
    (tmp_path / "raw/r0010").symlink_to(tmp_path / "nowhere")
    eyes = Eyes()
    assert sorted(eyes.runs(str(tmp_path), "r[0-9]*")) == ["proc/r0001", "raw/r0001", "raw/r0002"]
    assert eyes.runs(str(tmp_path), "r[0-9]*") is None
    (tmp_path / "raw/r0001/x.h5").touch()
    assert eyes.runs(str(tmp_path), "r[0-9]*") is not None
    assert list(Eyes().runs(str(run.parent), "r[0-9]*")) == ["r0001"]


def test_a_run_is_described_by_its_files(run):
    eyes = Eyes()
    seen = eyes.look(str(run))
    assert [name for name, _, _ in seen["files"]] == sorted(p.name for p in run.glob("*.h5"))
    assert (seen["unclosed"], seen["gaps"]) == ([], [])
    facts = eyes.describe(str(run), ["SPB_EXP_SCAN/MOTOR/STAGE actualPosition", "no/such/device x"])
    assert facts["trains"] == 6
    assert (facts["type"], facts["sample"]) == ("Simulated", "Simulated")
    assert "SPB_EXP_SCAN/MOTOR/STAGE" in facts["sources"]
    assert list(facts["values"]) == ["SPB_EXP_SCAN/MOTOR/STAGE actualPosition"]
    with h5py.File(sorted(run.glob("*.h5"))[-1]) as file:
        assert set(facts["ends"].values()) == {file["INDEX/trainId"][-1]}


@pytest.mark.parametrize(
    ("kind", "name"),
    [("AGIPD1M", "SPB_DET_AGIPD1M-1"), ("LPD1M", "SPB_DET_LPD1M-1"), ("JUNGFRAU", "SPB_IRDA_JF4M")],
)
def test_detectors_have_the_names_that_dxflow_info_says(kind, name, tmp_path):
    make_run(tmp_path / "r0001", detector=kind, trains=2, pulses=2, module_shape=(2, 2), modules=2)
    assert Eyes().describe(str(tmp_path / "r0001"), [])["detectors"] == [name]


def test_a_file_that_cannot_be_read_is_named_and_the_others_tell(run, tmp_path):
    broken = tmp_path / "r0001"
    shutil.copytree(run, broken)
    (broken / "RAW-R0001-AGIPD00-S00000.h5").write_bytes(b"\0" * 100)
    facts = Eyes().describe(str(broken), [])
    assert facts["trains"] == 6
    assert facts["unreadable"][0].startswith("AGIPD00: ")
    assert Eyes().look(str(broken))["unclosed"] == ["RAW-R0001-AGIPD00-S00000.h5 is no HDF5 file yet"]


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_open_and_cut_files_are_not_closed(tmp_path, libver):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w", libver=libver) as file:
        file["x"] = range(1000)
        file.flush()
        assert unclosed(str(path), path.stat().st_size) == "is open for writing"
        assert Eyes().look(str(tmp_path))["unclosed"] == ["a.h5 is open for writing"]
    size = path.stat().st_size
    assert unclosed(str(path), size) == ""
    os.truncate(path, size - 10)
    assert f"has {size - 10} of {size} bytes" in unclosed(str(path), size - 10)


def test_missing_sequences_are_named():
    names = ["RAW-R0001-DA01-S00000.h5", "RAW-R0001-DA01-S00002.h5", "RAW-R0001-AGIPD00-S00001.h5", "odd.h5"]
    assert gaps(names) == ["AGIPD00-S00000 is missing", "DA01-S00001 is missing"]


def test_who_does_not_answer_is_not_waited_for_and_heard_later(run):
    sight = Sight(deadline=20)
    try:
        place = str(run.parent)
        assert list(sight.ask("runs", place, "r*")) == ["r0001"]
        pid = sight._process.pid
        # As a process that waits for a file system that is gone.
        os.kill(pid, signal.SIGSTOP)
        sight.deadline = 0.05
        for _ in range(3):
            with pytest.raises(SilentError):
                sight.ask("look", str(run))
        with pytest.raises(SilentError):
            sight.ask("runs", place, "r*")
        assert sight.silent > 0
        os.kill(pid, signal.SIGCONT)
        sight.deadline = 20
        # Nothing new there, says who has looked before; and what came late is kept.
        assert sight.ask("runs", place, "r*") is None
        assert len(sight.ask("look", str(run))["files"]) == 2
        with pytest.raises(SightError, match="No such file"):
            sight.ask("look", f"{run}x")
        # One that ends is started again.
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(SightError, match="SIGKILL"):
            sight.ask("look", str(run))
        assert len(sight.ask("look", str(run))["files"]) == 2
    finally:
        sight.close()


def test_a_process_that_begins_slowly_is_no_file_system_that_hangs(run, monkeypatch):
    late = "import time; time.sleep(1); from dxflow.watch.eyes import main; main()"
    monkeypatch.setattr(process, "command", lambda _: [sys.executable, "-c", late])
    sight = Sight(deadline=0.5)
    try:
        # Looking takes some of what it has: it may be silent once it has begun, not before.
        with contextlib.suppress(SilentError):
            assert list(sight.ask("runs", str(run.parent), "r*")) == ["r0001"]
        assert sight._begun
    finally:
        sight.close()


def test_ending_does_not_wait_for_who_hangs(run):
    sight = Sight()
    sight.ask("runs", str(run.parent), "r*")
    os.kill(sight._process.pid, signal.SIGSTOP)
    began = time.monotonic()
    sight.close()
    assert time.monotonic() - began < 10
