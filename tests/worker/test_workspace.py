"""What workers keep between chunks: algorithms initialized once, tables of the modules that a chunk has."""

import numpy as np
import pytest
from samples import Stats

import dxflow
from dxflow import Algorithm, Frames, From, Output
from dxflow.algorithms.average import Average
from dxflow.algorithms.subtract import Subtract
from dxflow.clusters import Local
from dxflow.testing.case import by_modules

MODULES = 4
IMG = Frames(modules=range(MODULES))


class Tables(Algorithm):
    """A table for each module that is worked on, and notes of who asked for it."""

    ALG_ID = "tables"
    inputs = {"img": IMG}

    def outputs(self, info):
        assert info.here == range(MODULES)
        return {"s": Output(per="pixel"), "at": Output(per="pixel", dtype="i4")}

    def memory(self, info):
        return len(info.here) * 10**9

    def initialize(self, info):
        assert info.here == range(MODULES)
        self.asked = []

    def initialize_modules(self, info):
        self.asked = [*self.asked, info.here]
        self.table = {n: np.full(info["img"].shape[1:], 100.0 * n) for n in info.here}

    def process_module_data(self, block, out):
        assert list(self.table) == list(self.asked[-1])
        out.s += np.nansum(block["img"], axis=0) + self.table[block.module]
        out.at += len(self.asked)


def cut(run, groups, trains=4):
    return by_modules(dxflow.plan(run.path, [Tables(img=IMG)]), trains, groups)


def test_tables_are_made_of_the_modules_of_a_chunk_and_once_for_chunks_that_follow(run):
    whole, apart = (dxflow.execute(cut(run, groups), "here").dataset for groups in (1, 2))
    assert whole["tables.s"].values.tobytes() == apart["tables.s"].values.tobytes()
    # Blocks that were worked on with the first and with the second table.
    first, second = apart["tables.at"].values[0, 0, 0], apart["tables.at"].values[2, 0, 0]
    assert (first, second) == (whole["tables.at"].values[0, 0, 0], 2 * whole["tables.at"].values[2, 0, 0])
    there = dxflow.execute(cut(run, 2), Local(workers=2)).dataset
    assert there["tables.s"].values.tobytes() == whole["tables.s"].values.tobytes()


def test_memory_counts_the_tables_of_the_modules_that_a_chunk_has(run):
    whole, apart = (cut(run, groups).memory.tables for groups in (1, MODULES))
    assert whole - apart == (MODULES - 1) * 10**9


def test_a_dark_is_loaded_for_the_modules_of_a_chunk(run):
    rng = np.random.default_rng(3)
    dark = rng.normal(size=(MODULES, 16, 16)).astype("f4")

    def plan(groups):
        algorithms = [Subtract(img=IMG, dark=dark), Average(img=From("subtract.img"))]
        return by_modules(dxflow.plan(run.path, algorithms), 12, groups)

    whole, apart = (dxflow.execute(plan(groups), "here").dataset for groups in (1, MODULES))
    assert whole["average.mean"].values.tobytes() == apart["average.mean"].values.tobytes()
    plain = dxflow.reduce(run.path, Average(img=IMG), cluster="here").dataset["average.mean"]
    np.testing.assert_allclose(whole["average.mean"], plain - dark, atol=1e-5)
    saved = plan(1).memory.tables - plan(MODULES).memory.tables
    assert saved == dark.nbytes * (MODULES - 1) / MODULES


class Factors(Algorithm):
    """A factor for each module, kept in a table of those that are worked on, in the last hook that has modules."""

    inputs = {"img": IMG}

    def memory(self, info):
        return len(info.here) * 10**9

    def initialize_modules(self, info):
        self.table = np.array([1.0 + n for n in info.here])


class AtTheEnd(Factors):
    """Of pixels."""

    def outputs(self, info):
        return {"s": Output(per="pixel")}

    def process_module_data(self, block, out):
        out.s += np.nansum(block["img"], axis=0)

    def merge(self, into, other):
        assert len(self.table) == len(into.s)
        super().merge(into, other)

    def finalize(self, totals):
        totals.s *= self.table[:, None, None]


class OfRows(Factors):
    """Of frames."""

    def outputs(self, info):
        return {"s": Output(per="img"), "all": Output(per="run", stage="rows")}

    def process_module_data(self, block, out):
        out.s += np.nansum(block["img"], axis=(1, 2))

    def finalize_chunk_processing(self, out):
        out.s *= self.table.sum()

    def finalize_rows(self, rows, out):
        out.all = self.table.sum()


@pytest.mark.parametrize("cluster", ["here", Local(workers=2)], ids=["here", "workers"])
@pytest.mark.parametrize("groups", [1, 2])
def test_the_last_hooks_have_the_tables_of_the_modules_that_they_work_on(run, groups, cluster):
    plan = by_modules(dxflow.plan(run.path, [AtTheEnd(), OfRows()]), 4, groups)
    data = dxflow.execute(plan, cluster).dataset
    plain = dxflow.reduce(run.path, [AtOnce(), Rows()], cluster="here").dataset
    each = 1.0 + np.arange(MODULES)
    np.testing.assert_array_equal(data["attheend.s"], plain["atonce.s"] * each[:, None, None])
    np.testing.assert_array_equal(data["ofrows.s"], plain["rows.s"] * each.sum())
    assert float(data["ofrows.all"]) == each.sum()
    # What sees all modules has the tables of all, wherever it runs.
    assert plan.memory.tables >= (MODULES // groups + MODULES) * 10**9


class AtOnce(AtTheEnd):
    """Without factors."""

    merge, finalize = Algorithm.merge, Algorithm.finalize


class Rows(OfRows):
    """Without factors."""

    finalize_chunk_processing = Algorithm.finalize_chunk_processing


class Failing(Tables):
    """Has no table of one module."""

    ALG_ID = "tables"

    def initialize_modules(self, info):
        if 2 in info.here:
            raise ZeroDivisionError("planted")
        super().initialize_modules(info)


def test_a_table_that_cannot_be_made_is_an_error_that_says_where(run):
    plan = by_modules(dxflow.plan(run.path, [Failing(img=IMG)], on_fault="mask"), 12, MODULES)
    with pytest.raises(ZeroDivisionError, match="planted") as raised:
        dxflow.execute(plan, "here")
    assert any("tables.initialize_modules()" in note for note in raised.value.__notes__)


def test_setting_an_attribute_is_refused_again_after_tables_were_made(run):
    class Sets(Stats):
        def initialize_modules(self, info):
            self.table = 1

        def process_module_data(self, block, out):
            self.table = 2

    with pytest.raises(AttributeError, match="set after initialize"):
        dxflow.reduce(run.path, Sets(img=IMG), cluster="here")
