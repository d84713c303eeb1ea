"""Runs that grow: each result has the bits of its trains alone, and what is done of chunks and merges is kept."""

import os
import re
import shutil
import tempfile
from contextlib import suppress
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from disks import mounted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs import make_run
from samples import Above, RoiSum, Stats, TrainSums

import dxflow
from dxflow import Frames, PlanError
from dxflow.driver import journal
from dxflow.driver.execute import execute
from dxflow.driver.growing import growing
from dxflow.planning import cutting
from dxflow.simulate import Plant
from dxflow.worker import merging
from dxflow.worker.chunk import run_chunk
from dxflow.worker.workspace import Workspace

TWO = Frames(modules=range(2))
COMPANY = (Stats, TrainSums, RoiSum)
LAST = 7
EXAMPLES = int(os.environ.get("DXFLOW_EXAMPLES", "2"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The truth of a run of 28 trains in 7 sequences; some are missing, some have no frames in one module or in all."""
    plant = Plant(
        missing_trains=(6, 7), empty_trains=(9,), silent_trains={1: (0, 14)}, lost_trains={0: (20,)}
    )
    options = {"modules": 2, "pulses": 3, "module_shape": (8, 8), "devices": ("motor",)}
    return make_run(tmp_path_factory.mktemp("whole"), trains=28, sequences=LAST, plant=plant, **options)


class Grown:
    """A folder that gets the files of a run bit by bit."""

    def __init__(self, whole, folder):
        self.whole, self.folder, self.to = whole, folder / "run", folder
        self.folder.mkdir()

    def get(self, *parts):
        """Take over the files that have one of some texts in their names."""
        for file in Path(self.whole.path).glob("*.h5"):
            if any(part in file.name for part in parts) and not (self.folder / file.name).exists():
                shutil.copy2(file, self.folder)

    def plan(self, makers, name=None, **options):
        to = None if name is None else self.to / f"{name}.zarr"
        algorithms = [make(img=TWO) for make in makers]
        return dxflow.plan(
            self.folder, algorithms, to, chunk="3 trains", on_fault="mask", quiet=True, **options
        )


@pytest.fixture
def grown(whole, tmp_path):
    return Grown(whole, tmp_path)


def agree(result, expected):
    """Check that two results have the same variables, with the same bits, and the same losses."""
    for name, variable in expected.dataset.variables.items():
        assert result.dataset.variables[name].values.tobytes() == variable.values.tobytes(), name
    assert set(result.dataset.variables) == set(expected.dataset.variables)
    losses = [
        # A chunk is another one of the run when trains came before it.
        [loss | {"detail": re.sub(r", chunk \d+", "", loss["detail"])} for loss in one.manifest["losses"]]
        for one in (result, expected)
    ]
    assert losses[0] == losses[1]


def chunks_in(folder):
    return {path.name: path.stat().st_ino for path in folder.glob("chunk-*")}


class Mean(Stats):
    """Nothing of the whole detector: modules may be reduced apart."""

    ALG_ID = "stats"

    def outputs(self, info):
        return {k: v for k, v in super().outputs(info).items() if k in ("mean", "count")}

    def process_module_data(self, block, out):
        img = block["img"]
        out.mean += np.nansum(img, axis=0)
        out.count += (~np.isnan(img)).sum(axis=0)


MAKERS = {"blocks": [Stats], "trains": COMPANY, "apart": [Mean, RoiSum], "rows": [Stats, Above]}


@pytest.mark.parametrize("makers", MAKERS.values(), ids=MAKERS)
def test_each_result_of_a_run_that_grows_is_that_of_its_trains_alone(grown, makers, monkeypatch):
    """Full chunks are worked on once, full groups of eight are merged once, earlier results stay what they are."""
    monkeypatch.setattr("dxflow.driver.merges.FAN_IN", 2)
    parts = 2 if Mean in makers else 1
    if parts > 1:
        monkeypatch.setattr(cutting, "PARTIAL_LIMIT", 1)
    merged, real = [], merging.merge
    monkeypatch.setattr(merging, "merge", lambda *args: merged.append(args[-1].path.name) or real(*args))
    grown.get("S00000")
    files, done = {}, []
    with growing(grown.plan(makers, "x")) as known:
        for n in range(LAST):
            grown.get(f"S{n:05d}")
            made = grown.plan(makers, n)
            names = {made.address(known.folder, c.number).path.name for c in made.chunks}
            before = chunks_in(known.folder)
            merged.clear()
            done.append(execute(made, "here", quiet=True, within=known))
            after = chunks_in(known.folder)
            assert before.items() <= after.items()
            assert len(made.parts) == parts
            assert parts <= len(names - before.keys()) <= 3 * parts, "four trains more"
            assert not set(merged) & set(files)
            files |= dict.fromkeys(merged)
            agree(done[-1], execute(grown.plan(makers), "here", quiet=True))
        assert len(made.chunks) == 10 * parts
        assert len(files) > 12
    assert not known.folder.exists()
    assert [r.dataset.sizes["train"] for r in done] == [4, 6, 10, 14, 18, 22, 26]
    for n, result in enumerate(done):
        assert not dxflow.verify(grown.to / f"{n}.zarr")
        assert result.dataset["stats.count"].values.max() > 0


def test_it_does_not_matter_where_the_chunks_of_a_run_that_grows_are_worked_on(grown, client):
    grown.get("S00000")
    with growing(grown.plan(COMPANY, "x")) as known:
        for n in (2, 5):
            grown.get(*(f"S{i:05d}" for i in range(n)))
            result = execute(grown.plan(COMPANY, n), client, within=known)
            agree(result, execute(grown.plan(COMPANY), "here", quiet=True))


LATE = {
    "the first files of all": (["S00004", "S00005", "S00006"], ["S00000", "S00001"], 4),
    "the first files of a module": (["AGIPD00", "DA", "S00004", "S00005"], ["AGIPD01-S00000"], 2),
    "files in the middle": (["S00000", "S00001", "S00005"], ["S00003"], 2),
    "all files of a device": (["AGIPD"], ["DA"], 0),
}


class Bad(RoiSum):
    """Cannot take one train, which is left out of all."""

    ALG_ID = "bad"

    def process_module_data(self, block, out):
        if block.module == 1 and 10021 in block.train_ids:
            raise ValueError("planted")
        super().process_module_data(block, out)


@pytest.mark.parametrize(
    ("case", "company"), [*product(LATE, [(*COMPANY, Bad)]), (next(iter(LATE)), (Mean, Bad))]
)
def test_files_that_come_late_change_only_the_chunks_of_their_trains(grown, case, company, monkeypatch):
    first, late, most = LATE[case]
    parts = 2 if Mean in company else 1
    if parts > 1:
        monkeypatch.setattr(cutting, "PARTIAL_LIMIT", 1)
    grown.get(*first)
    with growing(grown.plan(company, "x")) as known:
        execute(grown.plan(company, 0), "here", quiet=True, within=known)
        before = chunks_in(known.folder)
        grown.get(*late)
        result = execute(grown.plan(company, 1), "here", quiet=True, within=known)
        new = chunks_in(known.folder).keys() - before.keys()
        assert before.items() <= chunks_in(known.folder).items()
        assert len(new) <= parts * (most + 1)
        agree(result, execute(grown.plan(company), "here", quiet=True))


NAMES = [f"{name}-S{n:05d}" for name in ("AGIPD00", "AGIPD01", "DA01") for n in range(LAST)]


@pytest.mark.properties
@settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=[*HealthCheck])
@given(order=st.permutations(NAMES), cuts=st.sets(st.integers(1, len(NAMES) - 1), min_size=1, max_size=3))
def test_whatever_files_come_in_whichever_order_results_are_those_of_their_trains(whole, order, cuts):
    with tempfile.TemporaryDirectory() as folder:
        grown = Grown(whole, Path(folder))
        grown.get(f"AGIPD00-{order[0][-6:]}")
        with growing(grown.plan(COMPANY, "x")) as known:
            for n, last in enumerate([*sorted(cuts), len(NAMES)]):
                grown.get(*order[:last])
                result = execute(grown.plan(COMPANY, n), "here", quiet=True, within=known)
                agree(result, execute(grown.plan(COMPANY), "here", quiet=True))
    assert result.dataset.sizes["train"] == 26


def test_a_file_that_is_written_again_is_read_again(grown):
    grown.get("S")
    with growing(grown.plan([Stats], "x")) as known:
        execute(grown.plan([Stats], 0), "here", quiet=True, within=known)
        before = chunks_in(known.folder)
        (file,) = grown.folder.glob("*AGIPD01-S00002.h5")
        os.utime(file, (1, 1))
        execute(grown.plan([Stats], 1), "here", quiet=True, within=known)
        assert 1 <= len(chunks_in(known.folder).keys() - before.keys()) <= 3


def test_what_was_done_of_a_shorter_run_is_gone_on_with(grown):
    """After an interruption, and more files than before."""
    grown.get("S00000", "S00001", "S00002")
    short = grown.plan(COMPANY, "x")
    work = Workspace(short, journal.begin(short))
    for chunk in short.chunks:
        run_chunk(work, chunk.number)
    grown.get("S")
    with pytest.raises(PlanError, match="holds 5 chunks of an interrupted run"):
        execute(grown.plan(COMPANY, "x"), "here", quiet=True)
    another = Path(shutil.copytree(grown.folder, grown.to / "another"))
    for run, trains, why in (
        (grown.folder, 4, r"how many trains a chunk has \(chunk=\)"),
        (another, 3, r"run/CORR-R0001-AGIPD00-S00000.h5: is not read now"),
    ):
        other = dxflow.plan(run, [make(img=TWO) for make in COMPANY], short.store.path, resume=True,
                            chunk=f"{trains} trains", on_fault="mask")  # fmt: skip
        with pytest.raises(PlanError, match=f"(?s)cannot be resumed.*{why}"):
            execute(other, "here", quiet=True)
    result = execute(grown.plan(COMPANY, "x", resume=True), "here", quiet=True)
    assert result.manifest["chunks"] == {"computed": 6, "reused": 4}
    agree(result, execute(grown.plan(COMPANY), "here", quiet=True))


def test_a_train_that_a_late_module_cannot_use_is_left_out_of_all(grown, monkeypatch):
    """Modules that are reduced apart: also of those that had it before, whose chunks were merged."""
    monkeypatch.setattr(cutting, "PARTIAL_LIMIT", 1)

    class Pixels(Mean):
        """Cannot take one module of one train."""

        def process_module_data(self, block, out):
            if block.module == 1 and 10003 in block.train_ids:
                raise ValueError("planted")
            super().process_module_data(block, out)

    grown.get("AGIPD00", "AGIPD01-S00001", "AGIPD01-S00002", "DA")
    with growing(grown.plan([Pixels], "x")) as known:
        assert len(grown.plan([Pixels]).parts) == 2
        execute(grown.plan([Pixels], 0), "here", quiet=True, within=known)
        grown.get("AGIPD01-S00000")
        result = execute(grown.plan([Pixels], 1), "here", quiet=True, within=known)
    assert "exception in hook" in set(result.losses["cause"])
    agree(result, execute(grown.plan([Pixels]), "here", quiet=True))


def test_results_of_a_run_that_grows_replace_nothing_and_chunks_are_asked_for_by_trains(grown):
    grown.get("S")
    first = grown.plan([Stats], "x")
    with growing(first) as known:
        execute(grown.plan([Stats], 0), "here", quiet=True, within=known)
        with pytest.raises(PlanError, match="replace nothing"):
            execute(grown.plan([Stats], 0, overwrite=True), "here", quiet=True, within=known)
        with mounted(grown.to / "disk", size="1m"), pytest.raises(PlanError, match="on another disk than"):
            execute(grown.plan([Stats], "disk/1"), "here", quiet=True, within=known)
        with pytest.raises(PlanError, match='such as chunk="64 trains"'):
            execute(
                dxflow.plan(grown.folder, Stats(img=TWO), grown.to / "1.zarr"),
                "here",
                quiet=True,
                within=known,
            )
    assert not dxflow.verify(grown.to / "0.zarr")


@pytest.mark.parametrize("name", ["{}.nc", "{}.nxs", "{}.tif", "{}/"])
def test_results_so_far_are_written_in_any_format(grown, name):
    """Each is whole, and those before it stay as they are."""
    grown.get("S00000", "S00001")
    options = {"chunk": "3 trains", "on_fault": "mask", "quiet": True}
    results = []
    with growing(grown.plan([Mean], "x")) as known:
        for n in (1, 4):
            grown.get(f"S{n:05d}")
            to, alone = (f"{grown.to}/{name.format(which)}" for which in (n, f"{n}-alone"))
            made = dxflow.plan(grown.folder, Mean(img=TWO), to, **options)
            results.append(execute(made, "here", quiet=True, within=known))
            agree(results[-1], dxflow.reduce(grown.folder, Mean(img=TWO), alone, cluster="here", **options))
    for result in results:
        assert not dxflow.verify(result.path)
        assert result.dataset["stats.count"].values.max() > 0


def test_what_an_interrupted_run_of_results_has_done_is_gone_on_with(grown):
    grown.get("S00000", "S00001", "S00002")
    with suppress(KeyboardInterrupt), growing(grown.plan(COMPANY, "x")) as known:
        execute(grown.plan(COMPANY, 0), "here", quiet=True, within=known)
        raise KeyboardInterrupt
    before = chunks_in(known.folder)
    assert len(before) == 5
    grown.get("S")
    with growing(grown.plan(COMPANY, "x", resume=True)) as known:
        result = execute(grown.plan(COMPANY, 1), "here", quiet=True, within=known)
        assert before.items() <= chunks_in(known.folder).items()
    assert result.manifest["chunks"] == {"computed": 6, "reused": 4}
    agree(result, execute(grown.plan(COMPANY), "here", quiet=True))
