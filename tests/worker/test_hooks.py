"""Faults of data and hooks: refused with the file's name, or masked, counted, and without effect on the rest."""

import os
import shutil
import sys

import h5py
import numpy as np
import oracle
import pytest
from samples import Failing, RoiSum, Stats, TrainSums

import dxflow
from dxflow import Frames, Output, PlanError
from dxflow.planning import cutting
from dxflow.simulate import Plant, make_run
from dxflow.testing.case import cut
from dxflow.worker.hooks import HookExit, HookFailed

FILE = "CORR-R0001-AGIPD02-S00000.h5"
MODULE = 2


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """The truth of a run of 8 trains of 4 pulses in two files per module."""
    folder = tmp_path_factory.mktemp("good") / "r0001"
    return make_run(folder, detector="AGIPD500K", trains=8, pulses=4, module_shape=(8, 8))


@pytest.fixture(scope="module")
def frames(good):
    return oracle.frames(good.path, good.sources)


@pytest.fixture
def copy(good, tmp_path):
    return shutil.copytree(good.path, tmp_path / "r0001")


def reduce(path, algorithms, **options):
    return dxflow.execute(cut(dxflow.plan(path, algorithms, block=600, **options), 3), "here")


def adds_up(result):
    """Check that for every module expected = used + masked, and return the causes of module 2."""
    for row in result.manifest["account"]:
        assert row["expected"] == row["used"] + sum(row["masked"].values()), row
        assert min(row["used"], *row["masked"].values(), 0) == 0
        assert "unexplained" not in row["masked"], row
    return next(r["masked"] for r in result.manifest["account"] if r["module"] == MODULE)


def index(f, name):
    (source,) = (s for s in _sources(f) if s.endswith("CORR/2CH0:output"))
    return f[f"INDEX/{source}/image/{name}"]


def _sources(f):
    return [
        s.decode().removeprefix("INSTRUMENT/").removesuffix("/image")
        for s in f["METADATA/dataSources/dataSourceId"]
        if s
    ]


def image(f, name=None):
    group = f["INSTRUMENT/SPB_DET_AGIPD500K2G/CORR/2CH0:output/image"]
    return group if name is None else group[name]


def replace(f, name, values):
    del image(f)[name]
    image(f)[name] = values


def shorten(f):
    for name in ("first", "count"):
        values, group = index(f, name)[:2], index(f, name).parent
        del group[name]
        group[name] = values


def swap(dataset, a, b):
    values = dataset[:]
    values[[a, b]] = values[[b, a]]
    dataset[:] = values


def put(dataset, at, value):
    dataset[at] = value


# What is done to the first file of module 2 (4 trains), which trains it costs, and words of the message.
INDEX_FAULTS = {
    "first row beyond the data": (lambda f: put(index(f, "first"), 1, 1000), [1], "beyond the 16 rows"),
    "first row 2**64 - 1": (lambda f: put(index(f, "first"), 1, 2**64 - 1), [1], "beyond the 16 rows"),
    "count beyond the data": (lambda f: put(index(f, "count"), 3, 40), [3], "beyond the 16 rows"),
    "rows of another train": (lambda f: put(index(f, "first"), 2, 4), [1, 2], "same rows to several trains"),
    "train id 0": (lambda f: put(f["INDEX/trainId"], 1, 0), [1], "is 0 between two trains"),
    "train id 2**64 - 1": (lambda f: put(f["INDEX/trainId"], 1, 2**64 - 1), [1], "below 2\\*\\*48"),
    "train ids exchanged": (lambda f: swap(f["INDEX/trainId"], 1, 2), [1, 2], "belong to other trains"),
    "entries of another train": (
        lambda f: put(image(f, "trainId"), slice(4, 8), 77),
        [1],
        "belong to other trains",
    ),
    "no index": (
        lambda f: index(f, "first").parent.parent.__delitem__("image"),
        [0, 1, 2, 3],
        "there is no INDEX/",
    ),
    "index too short": (shorten, [2, 3], "the index has 2 rows for 4 trains"),
    "other type": (lambda f: replace(f, "data", image(f, "data")[:].astype("f8")), [0, 1, 2, 3], "float64"),
    "other shape": (lambda f: replace(f, "data", image(f, "data")[:, :4]), [0, 1, 2, 3], r"\(4, 8\)"),
    "no data": (lambda f: image(f).__delitem__("data"), [0, 1, 2, 3], "there is no"),
}


@pytest.mark.parametrize("name", INDEX_FAULTS)
def test_a_file_that_cannot_be_true_is_refused_by_name(copy, name):
    spoil, _, says = INDEX_FAULTS[name]
    with h5py.File(copy / FILE, "r+") as f:
        spoil(f)
    for on_fault in (None, "raise"):
        with pytest.raises(PlanError, match=says) as caught:
            dxflow.plan(copy, Stats(), on_fault=on_fault)
        assert FILE in str(caught.value)
        assert 'on_fault="mask"' in str(caught.value)


@pytest.mark.parametrize("name", INDEX_FAULTS)
def test_with_mask_exactly_the_trains_of_that_file_that_cannot_be_trusted_are_left_out(copy, frames, name):
    spoil, lost, _ = INDEX_FAULTS[name]
    with h5py.File(copy / FILE, "r+") as f:
        spoil(f)
    result = reduce(copy, [Stats(), TrainSums()], on_fault="mask")
    expected = frames[1].copy()
    expected[[4 * t + p for t in lost for p in range(4)], MODULE] = np.nan
    oracle.close(result.dataset["tsum.row"], np.nansum(expected, axis=(1, 2, 3)), 1e-12)
    oracle.close(result.dataset["stats.count"], (~np.isnan(expected)).sum(axis=0), 0)
    masked = adds_up(result)
    assert sum(masked.values()) == 4 * len(lost)
    assert any(str(copy / FILE) == file for file in result.losses["file"])


def truncate(path, n):
    os.truncate(path, n if n >= 0 else path.stat().st_size + n)


UNREADABLE = {
    "truncated by one byte": lambda p: truncate(p, -1),
    "truncated to a tenth": lambda p: truncate(p, p.stat().st_size // 10),
    "empty": lambda p: truncate(p, 0),
    "not HDF5": lambda p: p.write_bytes(b"not HDF5" * 1000),
    "a broken link": lambda p: (p.unlink(), p.symlink_to("nowhere.h5")),
    "a directory": lambda p: (p.unlink(), p.mkdir()),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_file_that_does_not_open_is_refused_by_name_and_masked_if_asked(copy, frames, name):
    UNREADABLE[name](copy / FILE)
    with pytest.raises(PlanError, match="unreadable file") as caught:
        dxflow.plan(copy, Stats())
    assert FILE in str(caught.value)
    result = reduce(copy, TrainSums(), on_fault="mask")
    expected = frames[1].copy()
    expected[:16, MODULE] = np.nan
    oracle.close(result.dataset["tsum.row"], np.nansum(expected, axis=(1, 2, 3)), 1e-12)
    assert sum(adds_up(result).values()) == 16


def test_all_faults_are_said_in_one_message(copy):
    for number in (1, 4):
        truncate(copy / FILE.replace("02", f"{number:02}"), 100)
    with pytest.raises(PlanError, match=r"2 fault\(s\) in the data") as caught:
        dxflow.plan(copy, Stats())
    assert "AGIPD01" in str(caught.value)
    assert "AGIPD04" in str(caught.value)


def test_a_file_of_another_run_is_refused(copy, tmp_path):
    make_run(
        tmp_path / "other",
        detector="AGIPD500K",
        trains=2,
        pulses=4,
        module_shape=(8, 8),
        modules=1,
        run=2,
        first_train=20001,
    )
    for file in (tmp_path / "other").glob("CORR*.h5"):
        shutil.copy(file, copy)
    with pytest.raises(PlanError, match="it is of run 2, the others of run 1"):
        dxflow.plan(copy, Stats())


def test_the_same_trains_in_two_files_are_refused(copy):
    shutil.copy(copy / FILE, copy / FILE.replace("S00000", "S00007"))
    with pytest.raises(
        PlanError, match=r"module 2 .*S00007.h5.*same trains in two files: and in .*S00000.h5"
    ):
        dxflow.plan(copy, Stats())


def test_a_missing_module_is_refused_and_counted_and_can_be_done_without(copy, frames):
    for file in copy.glob("*AGIPD02*"):
        file.unlink()
    with pytest.raises(
        PlanError, match=r"module 2 \(SPB_DET_AGIPD500K2G\): missing module.*\n.*Frames\(modules="
    ):
        dxflow.plan(copy, Stats())
    result = reduce(copy, [Stats(), RoiSum()], on_fault="mask")
    assert adds_up(result) == {"missing module": 32}
    assert np.isnan(result.dataset["stats.mean"][MODULE]).all()
    others = [m for m in range(8) if m != MODULE]
    oracle.close(result.dataset["stats.mean"][others], frames[1][:, others].mean(axis=0), 1e-12)
    named = reduce(copy, RoiSum(img=Frames(modules=others)))
    assert named.losses.empty
    assert (
        named.dataset["roisum.intensity"].values.tobytes()
        == result.dataset["roisum.intensity"].values.tobytes()
    )


def test_a_corrupt_train_costs_that_train_and_nothing_else(copy, frames):
    """A compressed chunk that does not decode: the frames in it are lost, and listed."""
    with h5py.File(copy / FILE, "r+") as f:
        data = image(f, "data")[:]
        del image(f)["data"]
        image(f).create_dataset("data", data=data, chunks=(2, 8, 8), compression="gzip")
        info = image(f, "data").id.get_chunk_info_by_coord((6, 0, 0))
    with open(copy / FILE, "r+b") as f:
        f.seek(info.byte_offset + info.size // 2)
        f.write(b"\xff" * 16)
    expected = frames[1].copy()
    expected[6:8, MODULE] = np.nan
    for algorithms in ([TrainSums(), Stats()], [Stats(), RoiSum()]):
        result = reduce(copy, algorithms)
        oracle.close(result.dataset["stats.count"], (~np.isnan(expected)).sum(axis=0), 0)
        oracle.close(result.dataset["stats.mean"], np.nanmean(expected, axis=0), 1e-12)
        assert adds_up(result) == {"unreadable data": 2}
        (loss,) = result.losses.to_dict("records")
        assert (loss["module"], loss["frames"], loss["trains"], loss["first_train"]) == (MODULE, 2, 1, 10002)
        assert loss["file"] == str(copy / FILE)
        assert "image/data" in loss["detail"]
    with pytest.raises(OSError, match=FILE) as caught:
        reduce(copy, Stats(), on_fault="raise")
    assert "image/data" in str(caught.value)


def test_missing_trains_and_silent_modules_are_counted_per_module(gappy):
    result = dxflow.reduce(gappy.path, [Stats(), TrainSums()], cluster="here")
    frames = gappy.frame_counts.sum()
    present = (gappy.frame_counts[:, None] * gappy.present).sum(axis=0)
    for row, number in zip(result.manifest["account"], present, strict=True):
        assert (row["expected"], row["used"]) == (frames, number)
    assert adds_up(result) == {"missing frames": frames - present[MODULE]}


def test_a_sequence_that_all_modules_miss_leaves_other_trains_right(tmp_path):
    truth = make_run(tmp_path, detector="AGIPD500K", trains=8, pulses=4, module_shape=(8, 8))
    for file in tmp_path.glob("CORR*S00000*"):
        file.unlink()
    data = dxflow.reduce(tmp_path, TrainSums(), cluster="here").dataset
    assert data.train.values.tolist() == truth.train_ids.tolist()
    assert np.isnan(data["tsum.s"].values).tolist() == [True] * 4 + [False] * 4


def test_integers_that_are_missing_are_counted_by_modules_used_and_never_mistaken(tmp_path):
    plant = Plant(lost_trains={2: (1,)})
    truth = make_run(
        tmp_path, detector="AGIPD500K", data="raw", trains=4, pulses=2, module_shape=(8, 8), plant=plant
    )
    data = dxflow.reduce(tmp_path, RoiSum(), cluster="here").dataset
    assert data.modules_used.values.tolist() == [8, 8, 7, 7, 8, 8, 8, 8]
    assert truth.present[1].tolist() == [True, True, False, True, True, True, True, True]


# Hooks ------------------------------------------------------------------------------------------


def test_a_hook_that_raises_under_mask_gives_the_result_without_that_train(good, frames):
    bad = int(good.train_ids[2])
    result = reduce(good.path, [Failing(trains=[bad]), Stats()], on_fault="mask")
    keep = np.array([t != bad for t, _ in frames[0]])
    oracle.close(result.dataset["stats.mean"], frames[1][keep].mean(axis=0), 1e-12)
    assert int(result.dataset["stats.frames"]) == keep.sum() * 8
    values = result.dataset["failing.intensity"].values
    assert np.isnan(values).tolist() == (~keep).tolist()
    (loss,) = result.losses.to_dict("records")
    assert (loss["cause"], loss["algorithm"], loss["first_train"]) == ("exception in hook", "failing", bad)
    assert "ZeroDivisionError: planted" in loss["detail"]
    assert adds_up(result) == {"exception in hook": 4}


def test_hooks_that_raise_in_a_run_with_gaps_still_leave_an_account_that_adds_up(gappy):
    bad = [int(gappy.train_ids[n]) for n in (0, 4, 5)]
    plan = dxflow.plan(gappy.path, [Failing(trains=bad), TrainSums()], on_fault="mask")
    result = dxflow.execute(cut(plan, 4), "here")
    assert adds_up(result)["exception in hook"] > 0
    assert result.dataset["tsum.s"].isnull().sum() >= 3


def test_a_hook_that_fails_in_all_trains_is_an_error_whatever_is_masked(good):
    """However the run is cut: in one chunk, in some, in as many as there are trains."""
    for trains in (1, 3, 8):
        plan = dxflow.plan(good.path, [Stats(), Failing(trains=good.train_ids.tolist())], on_fault="mask")
        with pytest.raises(HookFailed, match=r"all of the first 8 trains.*ZeroDivisionError: planted"):
            dxflow.execute(cut(plan, trains), "here")


def test_a_hook_that_fails_in_all_of_the_first_trains_ends_a_long_run_at_once(long):
    failing = Failing(trains=long.train_ids[:40].tolist())
    with pytest.raises(ZeroDivisionError, match="planted"):
        dxflow.reduce(long.path, failing, cluster="here", on_fault="mask")
    some = Failing(trains=long.train_ids[1:40].tolist())
    result = dxflow.reduce(long.path, some, cluster="here", on_fault="mask")
    assert result.dataset["failing.intensity"].isnull().sum() == 39 * 8


class FailsInTheEnd(RoiSum):
    """Raises when it finishes a chunk with a train."""

    ALG_ID = "failing"
    frames = 0

    def outputs(self, info):
        return super().outputs(info) | {"n": Output(per="run")}

    def finalize_chunk_processing(self, out):
        if len(out.intensity) == self.frames:
            raise ValueError("planted")


def test_a_chunk_that_cannot_be_finished_is_lost_and_named(good, monkeypatch):
    # All of a chunk is finished at once.
    monkeypatch.setattr(cutting, "FEWEST_OF_SMALL", 1)
    algorithm = FailsInTheEnd()
    algorithm.frames = 2 * 4
    result = reduce(good.path, [algorithm, Stats()], on_fault="mask")
    assert result.dataset["failing.intensity"].isnull().values.tolist() == [False] * 24 + [True] * 8
    assert int(result.dataset["stats.frames"]) == 24 * 8
    (loss,) = result.losses.to_dict("records")
    assert (loss["trains"], loss["first_train"]) == (2, int(good.train_ids[6]))
    assert "failing.finalize_chunk_processing(), run" in loss["detail"]


@pytest.mark.parametrize("beside", [(), (TrainSums,)], ids=["blocks", "trains"])
def test_masking_many_trains_calls_each_hook_twice_at_most(long, beside):
    calls = []

    class Counts(RoiSum):
        def process_module_data(self, block, out):
            calls.append(1)
            if block.train_ids[0] % 2:
                raise ValueError("odd")

    algorithms = [Counts(name="counts"), *(b() for b in beside)]
    result = dxflow.reduce(long.path, algorithms, cluster="here", on_fault="mask")
    bad = len(long.train_ids) // 2
    assert len(result.losses) == bad
    assert len(calls) == bad + 2 * bad * 8


class Exits(RoiSum):
    """Ends the process, or tries to, in some trains."""

    ALG_ID = "failing"
    train = 0

    def process_module_data(self, block, out):
        if self.train in block.train_ids:
            sys.exit(3)
        super().process_module_data(block, out)


def test_a_hook_that_exits_is_named_as_one_that_raises_and_can_be_masked(good):
    algorithm = Exits()
    algorithm.train = int(good.train_ids[2])
    with pytest.raises(HookExit, match=r"SystemExit\(3\)") as caught:
        reduce(good.path, algorithm)
    assert any("failing.process_module_data(), run" in note for note in caught.value.__notes__)
    result = reduce(good.path, algorithm, on_fault="mask")
    assert result.losses["detail"].str.contains(r"HookExit: SystemExit\(3\)").all()
    assert result.dataset["failing.intensity"].isnull().sum() == 4


def test_ctrl_c_in_a_hook_of_this_process_stays_what_it_is(good):
    class Interrupted(RoiSum):
        def process_module_data(self, block, out):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reduce(good.path, Interrupted(), on_fault="mask")


@pytest.mark.parametrize("chunk", ["1 GiB", "1 KiB"])
def test_a_hook_of_chunks_that_never_works_is_an_error_however_many_chunks_there_are(run, chunk):
    class Never(RoiSum):
        def finalize_chunk_processing(self, chunk):
            raise ValueError("never")

    with pytest.raises(HookFailed, match=r"finalize_chunk_processing\(\) failed in all of the"):
        dxflow.reduce(run.path, Never(), cluster="here", on_fault="mask", chunk=chunk)
