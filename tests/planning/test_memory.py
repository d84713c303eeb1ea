"""Memory: computed before the run, by purpose, and kept while it runs."""

import numpy as np
import pytest
import samples
from samples import RoiSum, Stats, TrainSums

import dxflow
from dxflow import Algorithm, Frames, Output, PlanError
from dxflow.algorithms.average import Average
from dxflow.algorithms.contrast import Contrast
from dxflow.algorithms.twotime import TwoTime
from dxflow.algorithms.xcca import AngularCorrelation
from dxflow.planning import cutting, memory
from dxflow.simulate import make_run


def plan(run, *algorithms, **options):
    return dxflow.plan(run.path, list(algorithms), **options)


def test_buffers_of_a_pass_over_blocks_hold_a_block_and_of_one_over_trains_a_train(run):
    blocks, trains = plan(run, RoiSum(), block=5000), plan(run, TrainSums(), block=5000)
    frame = 16 * 16 * 4
    assert 4 * frame <= blocks.walk.step_bytes <= 4 * frame + 64 * 8
    assert 6 * 16 * frame <= trains.walk.step_bytes <= 6 * 16 * frame + 64 * 8


def test_partials_and_rows_are_counted_from_shapes_alone(run):
    assert memory.partial_bytes(plan(run, Stats()).algorithms, slice(0, 16)) == 16 * 16 * 16 * 8 * 4 + 8
    made = plan(run, RoiSum(), chunk=1)
    rows = max(int(made.indexes[0].counts[c.first : c.last].sum()) for c in made.chunks)
    assert made.memory.rows >= rows * 4


class Tables(RoiSum):
    def memory(self, info):
        return 123_456_789


def test_what_initialize_keeps_is_in_the_plan(run):
    with_tables, without = plan(run, Tables(), mask=None), plan(run, RoiSum(), mask=None)
    assert with_tables.memory.tables - without.memory.tables == 123_456_789
    assert with_tables.memory.total - without.memory.total == 123_456_789
    assert "tables 123 MB" in str(with_tables)


class Hungry(RoiSum):
    def memory(self, info):
        return 10**15


def test_a_plan_that_does_not_fit_this_machine_is_refused_where_it_is_to_run_here(run):
    with pytest.raises(PlanError, match=r"more than 80 % of the .* of this machine"):
        plan(run, Hungry(), cluster="here")


class PerCell(Algorithm):
    """Sums too large for one partial."""

    ALG_ID = "percell"
    inputs = {"img": Frames()}

    def outputs(self, info):
        return {"sum": Output(per="pixel", shape=(6,), dims=("cell",))}

    def process_module_data(self, block, out):
        np.add.at(out.sum, block.cell_ids, block["img"])


def test_partials_beyond_the_limit_are_split_by_modules_with_the_same_result(run, monkeypatch):
    whole = dxflow.reduce(run.path, PerCell(), cluster="here")
    made = plan(run, PerCell())
    assert len(made.parts) == 1
    size = memory.partial_bytes(made.algorithms, slice(0, 16))
    monkeypatch.setattr(cutting, "PARTIAL_LIMIT", size // 3)
    split = plan(run, PerCell())
    assert [p.stop - p.start for p in split.parts] == [6, 6, 4]
    assert "3 groups of modules apart" in str(split)
    apart = dxflow.execute(split, "here")
    np.testing.assert_array_equal(apart.dataset["percell.sum"], whole.dataset["percell.sum"])
    for row in apart.manifest["account"]:
        assert row["used"] == row["expected"] == 72


def used_by(made, client):
    """Execute a plan on fresh workers and return what each used at most, beyond what it used while idle."""
    client.restart()

    def rss(field):
        return client.run(samples.status, field)

    idle = rss("VmRSS")
    client.run(samples.forget_peak)
    dxflow.execute(made, client)
    return [peak - idle[worker] for worker, peak in rss("VmHWM").items()]


def test_what_compiled_algorithms_load_is_counted(tmp_path, client):
    """Of small data, what numba and its compiler take is most of it."""
    truth = make_run(tmp_path / "r0001", modules=2, trains=4, pulses=4, module_shape=(64, 64))
    made = dxflow.plan(truth.path, [Average()], on_fault="mask", block="16 kB", mask=None)
    used = used_by(made, client)
    assert 0 < max(used) <= made.memory.total, (used, str(made.memory))


def test_a_run_of_twenty_buffers_stays_within_the_planned_memory_per_worker(tmp_path, client):
    """Peak RSS above the idle RSS of fresh workers, for whole trains, which need most."""
    truth = make_run(tmp_path / "r0001", trains=72, pulses=8, module_shape=(128, 128), pool=1, sequences=1)
    made = dxflow.plan(truth.path, [TrainSums(), Stats()], mask=None)
    assert made.bytes_to_read >= 20 * made.walk.step_bytes
    used = used_by(made, client)
    assert max(used) <= made.memory.total, (used, str(made.memory))
    # Twice over: had each worker kept what it read, it would not have fitted.
    assert made.memory.total < made.bytes_to_read / 2


def test_correlations_need_what_is_planned(tmp_path, client):
    size = {"detector": "AGIPD500K", "module_shape": (128, 128), "devices": ()}
    truth = make_run(tmp_path / "r0001", trains=6, pulses=32, **size)
    labels = np.random.default_rng(0).integers(0, 11, truth.positions.shape[:3])
    for algorithm in (
        Contrast(labels=labels),
        AngularCorrelation(nbins=50, nchi=180),
        TwoTime(labels=labels),
    ):
        made = dxflow.plan(truth.path, algorithm, on_fault="mask", mask=None)
        used = max(used_by(made, client))
        # The compiler and what it made may be in these workers already.
        own = made.memory.total - made.memory.libraries
        assert own / 1.5 <= used <= made.memory.total, (algorithm.name, used, str(made.memory))
