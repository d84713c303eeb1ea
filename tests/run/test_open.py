"""Opening runs: however a run is named, all of its files are seen, anew, and what is wrong with them is said."""

import gc
import json
import os
import shutil
import threading
import warnings

import extra_data
import h5py
import hypothesis
import numpy as np
import oracle
import pytest
from hypothesis import strategies as st
from samples import RoiSum

import dxflow
from dxflow import Frames, Key, PlanError
from dxflow.reader.faults import InputChanged
from dxflow.run import answers, locate
from dxflow.run import open as runs
from dxflow.simulate import Plant, make_run

SMALL = {"detector": "AGIPD500K", "trains": 6, "pulses": 2, "modules": 3, "module_shape": (4, 4)}
IMG = {"img": Frames(modules=(0, 1, 2), mask=None)}
FILE = "CORR-R0001-AGIPD01-S00001.h5"


@pytest.fixture
def run(tmp_path, monkeypatch):
    """The path of a run of a proposal."""
    monkeypatch.setenv("EXTRA_DATA_DATA_ROOT", str(tmp_path))
    path = tmp_path / "SPB" / "202601" / "p900123" / "proc" / "r0001"
    path.parent.mkdir(parents=True)
    make_run(path, **SMALL)
    return path


def ways(path):
    """Return the ways to name a run, by name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        whole = extra_data.RunDirectory(str(path), parallelize=False)
        halves = [
            extra_data.RunDirectory(str(path), include=f"*S0000{n}*", parallelize=False) for n in (0, 1)
        ]
        return {
            "path": path,
            "numbers": (900123, 1),
            "words": ("p900123", "r0001"),
            "object": whole,
            "selection": whole.select("*CORR*"),
            "union": halves[0].union(halves[1]),
        }


def reduced(given, **options):
    return dxflow.reduce(given, RoiSum(**IMG), cluster="here", quiet=True, **options)


def test_every_way_to_name_a_run_gives_the_same_bits(run):
    found = {name: reduced(given).dataset["roisum.intensity"] for name, given in ways(run).items()}
    assert len({(a.values.tobytes(), a.train_id.values.tobytes()) for a in found.values()}) == 1
    assert found["path"].size == 12


def test_every_way_to_name_a_run_refuses_the_same_unreadable_file(run):
    os.truncate(run / FILE, (run / FILE).stat().st_size - 1)
    said = set()
    for given in ways(run).values():
        with pytest.raises(PlanError, match=rf"{FILE}.*unreadable file.*truncated") as caught:
            dxflow.plan(given, RoiSum(**IMG))
        said.add(str(caught.value).partition(": ")[2])
        losses = reduced(given, on_fault="mask").losses
        assert [run / FILE] == [
            run / os.path.basename(f) for f in losses.file[losses.cause == "unreadable file"]
        ]
    assert len(said) == 1


def test_a_file_alone_is_opened_whatever_is_beside_it(run):
    (run / FILE).write_bytes(b"no HDF5")
    alone = run / FILE.replace("S00001", "S00000")
    for given in (alone, extra_data.H5File(str(alone))):
        assert dxflow.reduce(given, RoiSum(), cluster="here").losses.empty
    with pytest.raises(PlanError, match=rf"{FILE}: unreadable file"):
        dxflow.plan(run / FILE, RoiSum())


@pytest.mark.parametrize(
    ("given", "said"),
    [
        *(
            (g, "expected a run directory, one file, .proposal, run. or an")
            for g in (None, 3, ["r0001"], (1,))
        ),
        ("/nowhere/r0001", "no such run: /nowhere/r0001. Give a run directory"),
        ("/dev/null", "no such run: /dev/null .it is neither a directory nor a regular file"),
        ((1, 2), "no such run: proposal 1, run 2"),
    ],
)
def test_what_is_no_run_is_refused(given, said, run):
    with pytest.raises(PlanError, match=said):
        dxflow.plan(given, RoiSum())


def test_a_link_to_nothing_is_called_so(tmp_path):
    (tmp_path / "r0001").symlink_to("gone")
    said = "r0001 .it is a symbolic link to gone, which is not there.. Give a run directory"
    with pytest.raises(PlanError, match=said):
        dxflow.plan(tmp_path / "r0001", RoiSum())


@pytest.mark.parametrize("kind", ["fifo", "socket", "device", "loop"])
def test_what_is_no_regular_file_is_a_fault_and_keeps_nobody_waiting(run, kind):
    (run / FILE).unlink()
    match kind:
        case "fifo":
            os.mkfifo(run / FILE)
        case "socket":
            import socket

            here = os.open(run, os.O_RDONLY)
            with socket.socket(socket.AF_UNIX) as s:
                s.bind(f"/proc/self/fd/{here}/{FILE}")
            os.close(here)
        case "device":
            (run / FILE).symlink_to("/dev/zero")
        case "loop":
            (run / FILE).symlink_to(FILE)
    with pytest.raises(PlanError, match=rf"{FILE}.*unreadable file"):
        dxflow.plan(run, RoiSum(**IMG))
    assert reduced(run, on_fault="mask").dataset.sizes["frame"] == 12


def test_a_file_that_does_not_answer_is_given_up(run, monkeypatch):
    monkeypatch.setattr(answers, "PATIENCE", 0.3)
    never, real = threading.Event(), os.pread
    monkeypatch.setattr(
        os,
        "pread",
        lambda fd, *a: never.wait(20) if os.readlink(f"/proc/self/fd/{fd}").endswith(FILE) else real(fd, *a),
    )
    try:
        with pytest.raises(PlanError, match=rf"{FILE}.*unreadable file.*no answer within"):
            dxflow.plan(run, RoiSum(**IMG))
    finally:
        never.set()


def test_answers_that_take_long_are_waited_for_together_and_silent_ones_keep_nobody_waiting(monkeypatch):
    # Nobody gets on unless so many are asked at the same time.
    together = threading.Barrier(answers.AT_ONCE)
    asked = [str(n) for n in range(2 * answers.AT_ONCE)]
    assert answers.ask(lambda path: together.wait(60) * 0 + int(path), asked) == {p: int(p) for p in asked}
    monkeypatch.setattr(answers, "PATIENCE", 1.0)
    never = threading.Event()
    silent = set(asked[: answers.AT_ONCE - 1])
    try:
        found = answers.ask(lambda path: never.wait(60) if path in silent else 1, asked)
        assert found == dict.fromkeys(asked[answers.AT_ONCE - 1 :], 1)
    finally:
        never.set()


def test_a_folder_that_does_not_answer_is_given_up(run, monkeypatch):
    monkeypatch.setattr(answers, "PATIENCE", 0.3)
    never = threading.Event()
    monkeypatch.setattr(os, "listdir", lambda path: never.wait(20))
    try:
        with pytest.raises(PlanError, match="no answer within"):
            dxflow.plan(run, RoiSum(**IMG))
    finally:
        never.set()


def test_overviews_of_extra_data_are_seen_through(run):
    from extra_data.voview import VirtualOverviewFileWriter

    expected = reduced(run).dataset["roisum.intensity"].values
    whole = extra_data.RunDirectory(str(run), parallelize=False)
    with VirtualOverviewFileWriter(str(run / "overview.h5"), whole) as writer:
        writer.write()
    overview = extra_data.RunDirectory(str(run))
    assert [os.path.basename(f.filename) for f in overview.files] == ["overview.h5"]
    for given in (run, overview, overview.select_trains(np.s_[:])):
        plan = dxflow.plan(given, RoiSum(**IMG))
        assert not any("overview" in os.path.basename(f) for f in plan.inputs[0].location.files)
        assert np.array_equal(reduced(given).dataset["roisum.intensity"], expected)


@pytest.mark.parametrize("text", [b"[1, 2]", b"{", b"\xff\xfe[", b'{"a": 1}', b'[{"filename": "x"}]'])
def test_a_damaged_map_of_the_files_does_not_matter(run, text):
    (run / "karabo_data_map.json").write_bytes(text)
    assert reduced(run).losses.empty


def test_a_map_that_is_out_of_date_is_not_believed(run):
    extra_data.RunDirectory(str(run), parallelize=False)
    path = run / "karabo_data_map.json"
    rows = json.loads(path.read_text())
    for row in rows:
        row["train_ids"] = [t + 1000 for t in row["train_ids"]]
    path.write_text(json.dumps(rows))
    # EXtra-data hands out again what it has read of files, as long as that is anywhere.
    gc.collect()
    assert set(reduced(run).dataset.train_id.values.tolist()) == set(range(10001, 10007))
    with pytest.raises(PlanError, match="other trains than when the run was opened"):
        reduced(extra_data.RunDirectory(str(run), parallelize=False))


def test_files_that_were_replaced_while_the_run_is_open_are_read_as_they_are_now(run, tmp_path):
    make_run(tmp_path / "new", **SMALL, plant=Plant(silent_trains={0: (1,)}))
    open_run = extra_data.RunDirectory(str(run), parallelize=False)
    assert open_run.files[0].file
    for file in run.glob("*.h5"):
        os.replace(tmp_path / "new" / file.name, file)
    result = reduced(run)
    (loss,) = result.losses.to_dict("records")
    assert (loss["cause"], loss["module"], loss["first_train"]) == ("missing frames", 0, 10002)


def test_a_file_that_is_written_to_while_this_process_has_it_open_is_a_fault(run):
    open_run = extra_data.RunDirectory(str(run), parallelize=False)
    assert all(f.file for f in open_run.files)
    with open(run / FILE, "r+b") as f:
        f.seek(0, 2)
        f.write(b"more")
    with pytest.raises(PlanError, match=rf"{FILE}.*written to while this process has it open"):
        dxflow.plan(run, RoiSum(**IMG))


def test_files_of_another_run_are_left_out(run, tmp_path):
    expected = reduced(run).dataset["roisum.intensity"].values
    make_run(tmp_path / "other", **SMALL, run=2, first_train=20001)
    shutil.copy(tmp_path / "other" / FILE.replace("R0001", "R0002"), run)
    with pytest.raises(PlanError, match="other run.*it is of run 2, the others of run 1"):
        dxflow.plan(run, RoiSum(**IMG))
    assert np.array_equal(reduced(run, on_fault="mask").dataset["roisum.intensity"], expected)


def test_trains_that_are_flagged_are_counted_and_left_out_if_asked(run):
    with h5py.File(run / FILE, "r+") as f:
        f["INDEX/flag"][0] = 0
    used, skipped = reduced(run), reduced(run, suspect="skip")
    for result in (used, skipped):
        row = result.losses[result.losses.cause == "suspect trains"].iloc[0]
        assert (row.trains, row.first_train, row.module, os.path.basename(row.file)) == (1, 10004, 1, FILE)
    assert used.dataset.modules_used.values.tolist() == [3] * 12
    assert skipped.dataset.modules_used.values.tolist() == [3] * 6 + [2] * 2 + [3] * 4
    with pytest.raises(PlanError, match="suspect='maybe'"):
        dxflow.plan(run, RoiSum(**IMG), suspect="maybe")


def test_gaps_missing_sequences_and_odd_formats_are_said_and_no_reason_to_stop(tmp_path):
    make_run(tmp_path, **SMALL, plant=Plant(missing_trains=(1,)))
    for file in tmp_path.glob("*S00000*"):
        file.unlink()
    with h5py.File(tmp_path / FILE, "r+") as f:
        f["METADATA/dataFormatVersion"][0] = b"9.9"
    losses = reduced(tmp_path).losses
    assert {"missing sequence", "unknown format"} <= set(losses.cause)
    make_run(tmp_path / "gap", **SMALL, plant=Plant(missing_trains=(1, 2)))
    row = reduced(tmp_path / "gap").losses.iloc[0]
    assert (row.cause, row.trains, row.first_train, row.last_train) == ("missing trains", 2, 10002, 10003)


def test_a_file_that_is_there_but_cannot_be_read_is_not_said_to_be_missing(run):
    last = sorted(run.glob("*S00001*"))[0]
    with last.open("r+b") as f:
        f.truncate(100)
    with pytest.raises(PlanError, match=f"{last.name}.*unreadable file"):
        dxflow.plan(run, RoiSum(**IMG))
    assert "missing sequence" not in set(reduced(run, on_fault="mask").losses.cause)
    last.unlink()
    assert "missing sequence" in set(reduced(run, on_fault="mask").losses.cause)


@pytest.mark.parametrize("also", [False, True])
def test_frames_that_a_wrong_index_hides_are_lost_by_the_index(run, also):
    with h5py.File(run / FILE, "r+") as f:
        source = next(iter(f["INDEX"].keys() - {"trainId", "flag", "origin", "timestamp"}))
        index = f[f"INDEX/{source}/CORR/1CH0:output/image"]
        index["count"][2] = 1
        if also:
            index["count"][0] = 0
            next(iter(f["INSTRUMENT"].values()))["CORR/1CH0:output/image/trainId"][:2] = 0
    result = reduced(run, on_fault="mask")
    row = result.losses[result.losses.frames > 0].iloc[0]
    assert row.frames == (4 if also else 2)
    assert row.cause == ("missing frames" if also else "index does not fit the data")
    assert ("in 1 of these trains the index does not fit the data" in row.detail) == also
    assert (result.account.expected == result.account.used + result.account[row.cause]).all()


@pytest.mark.parametrize("odd", [5, 2**40, 2**63])
def test_a_train_id_that_cannot_be_is_a_fault_of_its_file(run, odd):
    with h5py.File(run / FILE, "r+") as f:
        f["INDEX/trainId"][1] = odd
        rows = next(iter(f["INSTRUMENT"].values()))
        rows["CORR/1CH0:output/image/trainId"][2:4] = odd
    with pytest.raises(PlanError, match=rf"{FILE}.*impossible train id"):
        dxflow.plan(run, RoiSum(**IMG))
    assert reduced(run, on_fault="mask").dataset.modules_used.values.tolist() == [3] * 8 + [2] * 2 + [3] * 2


def test_faults_of_trains_that_nobody_asks_for_are_not_told(run):
    with h5py.File(run / FILE, "r+") as f:
        source = next(iter(f["INDEX"].keys() - {"trainId", "flag", "origin", "timestamp"}))
        f[f"INDEX/{source}/CORR/1CH0:output/image/first"][2] = 1000
    with pytest.raises(PlanError, match="index does not fit the data"):
        dxflow.plan(run, RoiSum(**IMG))
    asked = dxflow.FrameSelection(trains=slice(10001, 10006))
    assert reduced(run, frames=asked).losses.empty
    assert reduced(extra_data.RunDirectory(str(run), parallelize=False).select_trains(np.s_[:5])).losses.empty


def test_files_are_closed_with_the_pass_and_with_the_plan(run):
    reduced(run)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        reduced(run)
        dxflow.plan(run, RoiSum(**IMG))
        runs.opened(run).files.close()
    assert len(os.listdir("/proc/self/fd")) <= before


def test_a_control_source_may_have_a_property_that_is_named_as_an_index_is(run):
    for file in run.glob("*DA*.h5"):
        with h5py.File(file, "r+") as f:
            device = next(n for n in ("SPB_EXP_SCAN/MOTOR/STAGE",) if f"CONTROL/{n}" in f)
            f[f"CONTROL/{device}/trainId/value"] = np.zeros(len(f["INDEX/trainId"]))
    bound = Key("SPB_EXP_SCAN/MOTOR/STAGE", "actualPosition")
    with runs.opened(run) as opened:
        assert bound.bind(opened.run, opened.train_ids, opened.faults).location.count.tolist() == [[1] * 6]


@pytest.mark.properties
@hypothesis.given(
    lost=st.dictionaries(st.integers(0, 2), st.sets(st.integers(0, 5)), max_size=3),
    silent=st.dictionaries(st.integers(0, 2), st.sets(st.integers(0, 5)), max_size=3),
    gone=st.sets(st.integers(0, 5), max_size=3),
)
@hypothesis.settings(max_examples=int(os.environ.get("DXFLOW_EXAMPLES", "8")), deadline=None)
def test_any_trains_may_be_missing_in_any_modules(tmp_path_factory, lost, silent, gone):
    """Against EXtra-data: every frame of the files is read once, under its train and pulse, by its module."""
    for module in range(3):
        hypothesis.assume(set(range(6)) - gone - lost.get(module, set()) - silent.get(module, set()))
    path = tmp_path_factory.mktemp("some") / "r0001"
    plant = Plant(
        missing_trains=tuple(gone),
        lost_trains={m: tuple(t) for m, t in lost.items()},
        silent_trains={m: tuple(t) for m, t in silent.items()},
    )
    truth = make_run(path, **SMALL, plant=plant)
    expected = oracle.frames(path, truth.sources, masked=False)
    found = reduced(path, on_fault="mask").dataset["roisum.intensity"]
    labels = list(zip(found.train_id.values.tolist(), found.pulse_id.values.tolist(), strict=True))
    assert labels == [tuple(int(v) for v in label[:2]) for label in expected[0]]
    oracle.close(found, np.nansum(expected[1], axis=(1, 2, 3)), 1e-6)


@pytest.mark.parametrize("how", ["replaced", "written to"])
def test_a_file_that_changes_while_a_run_is_planned_is_not_read_by_what_was_there_before(
    tmp_path, monkeypatch, how
):
    truth = make_run(tmp_path / "r", detector="AGIPD500K", trains=3, pulses=2, modules=2, module_shape=(8, 8))
    path = next((tmp_path / "r").glob("CORR-*AGIPD01*"))

    class Late(locate.FileIndex):
        def __init__(self, *args):
            super().__init__(*args)
            if self._access.filename == str(path) and how == "replaced":
                shutil.copy(path, tmp_path / "other")
                os.replace(tmp_path / "other", path)
            elif self._access.filename == str(path):
                with open(path, "ab") as file:
                    file.write(b"more")

    monkeypatch.setattr(locate, "FileIndex", Late)
    plan = dxflow.plan(truth.path, RoiSum(img=dxflow.Frames(modules=(0, 1), mask=None)))
    monkeypatch.undo()
    with pytest.raises(InputChanged, match=r"AGIPD01.*changed since the run was planned"):
        dxflow.execute(plan, "here", quiet=True)
