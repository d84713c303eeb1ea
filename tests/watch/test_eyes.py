"""What is seen of runs, and what happens when a file system does not answer."""

import contextlib
import json
import os
import shutil
import signal
import sys
import time
import types

import h5py
import numpy as np
import pytest
from runs import make_run

from dxflow.disk import process
from dxflow.watch import eyes as eyes_
from dxflow.watch.eyes import Eyes, gaps, unclosed
from dxflow.watch.seeing import Seeing
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


def test_runs_in_a_folder_whose_rights_were_taken_are_not_taken_for_gone(tmp_path, monkeypatch):
    (tmp_path / "raw" / "r0001").mkdir(parents=True)
    tmp_path.chmod(0o755)
    # Names can be listed, and nothing can be known of them.
    (tmp_path / "raw").chmod(0o444)
    monkeypatch.chdir(tmp_path)
    child = os.fork()
    if not child:
        with contextlib.suppress(PermissionError):
            if os.getuid() == 0:
                os.setuid(65534)
            Eyes().runs("raw", "r*")
            os._exit(1)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0


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


def test_what_cannot_be_read_keeps_no_run_from_being_seen(run, tmp_path):
    place = tmp_path / "r0001"
    shutil.copytree(run, place)
    (place / "RAW-R0001-DA08-S00000.h5").symlink_to(tmp_path / "nowhere")
    (place / "folder.h5").mkdir()
    os.mkfifo(place / "pipe.h5")
    (tmp_path / "r0002").symlink_to("r0002")
    eyes = Eyes()
    assert list(eyes.runs(str(tmp_path), "r*")) == ["r0001"]
    seen = eyes.look(str(place))
    assert len(seen["files"]) == len(list(run.glob("*.h5"))) + 3
    assert seen["unclosed"] == [
        "RAW-R0001-DA08-S00000.h5 cannot be read: No such file or directory",
        "folder.h5 is no file",
        "pipe.h5 is no file",
    ]
    facts = eyes.describe(str(place), [])
    assert facts["trains"] == 6
    assert [text.partition(":")[0] for text in facts["unreadable"]] == ["DA08", "folder.h5"]


def test_a_file_that_others_may_not_open_is_named(run, monkeypatch):
    def refused(path, size):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(eyes_, "unclosed", refused)
    seen = Eyes().look(str(run))
    assert len(seen["files"]) == len(seen["unclosed"]) == 2
    assert seen["unclosed"][0].endswith(".h5 cannot be read: Permission denied")
    assert all(size > 0 for _, size, _ in seen["files"])


def test_values_of_any_shape_and_kind_are_described(run, tmp_path):
    path = tmp_path / "RAW-R0001-DA01-S00000.h5"
    shutil.copy(next(p for p in run.glob("*.h5") if "DA01" in p.name), path)
    with h5py.File(path, "r+") as file:
        del file["METADATA/runType"]
        file["METADATA/runType"] = "a text that stands alone"
        for name, value in {"text": "alone", "pair": np.zeros(1, "i4,S2"), "one": 3.5}.items():
            file[f"RUN/A/B/C/{name}/value"] = value
    keys = ["A/B/C text", "A/B/C pair", "A/B/C one"]
    facts = json.loads(json.dumps(Eyes().describe(str(tmp_path), keys)))
    assert (facts["type"], facts["unreadable"]) == ("a text that stands alone", [])
    assert list(facts["values"].values()) == ["alone", "(0, b'')", 3.5]
    with h5py.File(path, "r+") as file:
        del file["METADATA/runType"]
        file["METADATA/runType"] = h5py.Empty("S5")
    assert Eyes().describe(str(tmp_path), keys)["unreadable"][0].startswith("DA01: ")


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


class Scripted(Sight):
    """Asks a process whose answers are what the test says; none is waited for."""

    def __init__(self):
        super().__init__(deadline=0)
        self.sent, self._begun, self._process = [], True, self
        self.stdin, self.flush = self, str

    def write(self, line):
        self.sent.append(json.loads(line)["what"])

    def says(self, *answers):
        for one in answers:
            made = one if isinstance(one, dict) and "error" in one else {"answer": one}
            self._answers.put(json.loads(json.dumps(made)))

    def close(self):
        pass


def test_what_comes_late_is_kept_for_who_asks_again():
    sight = Scripted()
    with pytest.raises(SilentError):
        sight.ask("describe", "r0001")
    asked = time.monotonic()
    sight.says("late", "other")
    assert sight.ask("runs") == "other"
    assert sight.when > asked
    assert sight.ask("describe", "r0001") == "late"
    assert sight.when < asked
    assert sight.sent == ["describe", "runs"]
    sight.says("new")
    assert sight.ask("describe", "r0001") == "new"


LOOKED = {"files": [["a.h5", 1, 1]], "unclosed": [], "gaps": []}
FACTS = {"ends": {"a": 5}, "unreadable": [], "values": {}, "trains": 3}


def seen_by(sight, patience=900.0):
    """Return what sees the run r1, by answers that the test gives."""
    tasks = {"table": types.SimpleNamespace(origin="raw")}
    wanted = types.SimpleNamespace(keys=[], tasks=tasks, runs="r*", quiet=0.0, patience=patience)
    seeing = Seeing("/x", wanted, {}, str)
    seeing.sight = sight
    return seeing


def test_a_run_whose_description_takes_longer_than_one_waits_is_complete():
    seeing = seen_by(sight := Scripted())
    sight.says({"r1": 1}, LOOKED)
    assert seeing.look() == []
    sight.says(FACTS, None, LOOKED, None)
    (run,) = seeing.look()
    assert (run.run, run.facts["trains"]) == ("r1", 3)
    assert sight.sent == ["runs", "look", "describe", "runs", "look", "forget"]


def test_looks_that_take_longer_than_one_waits_make_a_run_complete():
    seeing = seen_by(sight := Scripted())
    sight.says({"r1": 1})
    assert seeing.look() == []
    # It is not known for how long it was so.
    seeing.orders.quiet = 1e-9
    sight.says(LOOKED, None)
    assert seeing.look() == []
    sight.says(None)
    assert seeing.look() == []
    sight.says(LOOKED, None, FACTS, None)
    assert [run.run for run in seeing.look()] == ["r1"]
    assert sight.sent == ["runs", "look", "runs", "runs", "look", "runs", "describe", "forget"]


def test_what_was_described_before_the_files_changed_is_described_again():
    seeing = seen_by(sight := Scripted())
    sight.says({"r1": 1}, LOOKED)
    assert seeing.look() == []
    more = {**LOOKED, "files": [["a.h5", 2, 2]]}
    sight.says(FACTS, None, more, {**FACTS, "trains": 4}, None)
    (run,) = seeing.look()
    assert run.facts["trains"] == 4


def test_a_run_that_ends_who_describes_it_is_waited_for_with_patience():
    seeing = seen_by(sight := Scripted(), patience=0.1)
    ended = {"error": "the process that looks was ended by SIGSEGV"}
    sight.says({"r1": 1}, LOOKED, ended)
    assert seeing.look() == []
    assert seeing.unsettled["r1"].why == ended["error"]
    time.sleep(0.1)
    sight.says(None, LOOKED, ended, None)
    (run,) = seeing.look()
    assert run.remark == f"unreadable: {ended['error']}"
    assert run.facts["detectors"] == []


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


def test_a_process_that_never_begins_is_waited_for_once(run, monkeypatch):
    never = "import time; time.sleep(60)"
    monkeypatch.setattr(process, "command", lambda _: [sys.executable, "-c", never])
    sight = Sight(deadline=0.05)
    sight.start, waited = 0.5, []
    try:
        for _ in range(3):
            began = time.monotonic()
            with pytest.raises(SilentError):
                sight.ask("runs", str(run.parent), "r*")
            waited.append(time.monotonic() - began)
        assert waited[0] >= 0.4
        assert sight._patience(0.05) == 0.05
    finally:
        sight.close()


def test_ending_does_not_wait_for_who_hangs(run):
    sight = Sight()
    sight.ask("runs", str(run.parent), "r*")
    os.kill(sight._process.pid, signal.SIGSTOP)
    began = time.monotonic()
    sight.close()
    assert time.monotonic() - began < 10
