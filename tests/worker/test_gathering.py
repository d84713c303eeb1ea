"""Runs that are cut by modules: what modules share is put together, finished once, and the same as without the cut."""

import os
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest
from samples import Scale

import dxflow
from dxflow import Algorithm, Frames, From, Output
from dxflow.algorithms.average import Average
from dxflow.clusters import Local
from dxflow.driver import execute as execution
from dxflow.driver.report import Report
from dxflow.simulate import Plant, make_run
from dxflow.testing.case import by_modules

MODULES = 3


class Shared(Algorithm):
    """One of each kind of rows that modules share, and a hook that finishes them."""

    ALG_ID = "shared"
    inputs = {"img": Frames(modules=range(MODULES), mask=None)}

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--bad", type=int, default=0)

    def outputs(self, info):
        return {
            "mean": Output(per="img"),
            "sum": Output(per="img", store=False),
            "n": Output(per="img", dtype="i8", store=False),
            "least": Output(per="img", merge="min"),
            "lit": Output(per="train", dtype="i8"),
            "most": Output(per="train", merge="max"),
            "over": Output(per="event"),
        }

    def process_module_data(self, block, out):
        img = block["img"].astype("f8") * 0.1
        sums = np.nansum(img, axis=(1, 2)) / 7
        out.sum += sums
        out.sum += sums / 3
        out.n += np.isfinite(img).sum(axis=(1, 2))
        out.least = np.fmin.reduce(img, axis=(1, 2))
        out.lit += int((sums > sums.mean()).sum())
        out.most = np.nanmax(sums)
        out.over.append(sums[:2], frames=np.arange(len(sums))[:2])
        if block.module == 1 and block.train_ids[0] == self.options["bad"]:
            raise ZeroDivisionError("planted in a module")

    def finalize_chunk_processing(self, out):
        out.mean = np.where(out.n > 0, out.sum / np.maximum(out.n, 1), np.nan)
        self.finished(out)

    def finished(self, out):
        """For tests that fail here."""


class Ends(Shared):
    """Cannot finish one train."""

    ALG_ID = "shared"

    def finished(self, out):
        if any(np.isclose(out.most, self.options["bad"] / 1000)):
            raise ZeroDivisionError("planted in the end")


@pytest.fixture(scope="module")
def gaps(tmp_path_factory):
    plant = Plant(
        empty_trains=(4,),
        lost_trains={0: (1, 2), 2: (2,)},
        silent_trains={1: (7,)},
        pulse_counts=np.array([4, 3, 4, 0, 2, 4, 4, 1, 4, 4, 2, 4]),
    )
    return make_run(
        tmp_path_factory.mktemp("gaps") / "r0001",
        detector="AGIPD500K",
        trains=12,
        pulses=4,
        modules=MODULES,
        module_shape=(8, 8),
        plant=plant,
    )


def planned(run, *algorithms, **options):
    return dxflow.plan(run.path, [*algorithms], on_fault="mask", block=600, **options)


def same(a, b):
    """Check that two results have the same bits."""
    assert set(a.dataset.variables) == set(b.dataset.variables)
    for name, variable in b.dataset.variables.items():
        assert a.dataset.variables[name].values.tobytes() == variable.values.tobytes(), name


@pytest.mark.parametrize("trains", [3, 12])
@pytest.mark.parametrize("more", [{}, {"bad": 7}])
def test_rows_that_modules_share_have_the_bits_of_a_run_that_is_not_cut_by_modules(gaps, trains, more):
    more = {"bad": int(gaps.train_ids[9])} if more else {}
    plan = planned(gaps, Shared(**more), Average(img=Frames(modules=range(MODULES))))
    whole, cut = (dxflow.execute(p, "here") for p in (by_modules(plan, trains, 1), by_modules(plan, trains)))
    same(cut, whole)
    assert bool(more) == ("exception in hook" in cut.losses.cause.tolist())
    assert cut.manifest["account"] == whole.manifest["account"]
    assert not any("unexplained" in row["masked"] for row in cut.manifest["account"])


def test_they_are_those_of_numpy(gaps):
    truth = gaps
    got = dxflow.execute(by_modules(planned(truth, Shared()), 12), "here").dataset
    whole = dxflow.reduce(truth.path, [Reads()], cluster="here").dataset
    np.testing.assert_allclose(got["shared.mean"], whole["reads.mean"], rtol=1e-12)
    np.testing.assert_array_equal(got["shared.least"], whole["reads.least"])


class Reads(Algorithm):
    """The same from whole trains, by numpy alone."""

    ALG_ID = "reads"
    inputs = {"img": Frames(modules=range(MODULES), mask=None)}

    def outputs(self, info):
        return {"mean": Output(per="img"), "least": Output(per="img")}

    def process_train_data(self, train, out):
        img = train["img"].astype("f8") * 0.1
        good = np.isfinite(img)
        total = np.nansum(img, axis=(1, 2, 3)) / 7 * (1 + 1 / 3)
        out.mean = total / np.maximum(good.sum(axis=(1, 2, 3)), 1)
        out.mean[~good.any(axis=(1, 2, 3))] = np.nan
        out.least = np.fmin.reduce(img, axis=(1, 2, 3))


@pytest.mark.parametrize("interrupted", [None, 0, 2])
def test_a_train_that_cannot_be_finished_is_left_out_of_all_modules_and_algorithms(
    gaps, tmp_path, interrupted
):
    first = dxflow.execute(planned(gaps, Shared()), "here").dataset
    bad = 1000 * float(first["shared.most"][9])
    made = [Ends(), Average(img=Frames(modules=range(MODULES)))]
    made[0].options["bad"] = bad
    plan = by_modules(planned(gaps, *made, to=tmp_path / "r.zarr", resume=True), 4)
    if interrupted is not None:
        # Some chunk has been done again without it, others have not.
        real, done, disagreeing = execution.run_chunk_without, [], Report.disagreeing

        def once(work, which):
            if done:
                raise KeyboardInterrupt
            done.append(which)
            return real(work, which)

        def turned(self):
            todo = disagreeing(self)
            return todo[interrupted:] + todo[:interrupted]

        ordered = mock.patch.object(Report, "disagreeing", turned)
        ended = mock.patch.object(execution, "run_chunk_without", once)
        with ordered, ended, pytest.raises(KeyboardInterrupt):
            dxflow.execute(plan, "here")
    cut = dxflow.execute(plan, "here")
    whole = dxflow.execute(by_modules(replace(plan, store=planned(gaps, *made).store), 4, 1), "here")
    same(cut, whole)
    assert int(cut.dataset["average.count"].max()) < int(
        dxflow.reduce(gaps.path, [made[1]], cluster="here").dataset["average.count"].max()
    )
    causes = cut.losses
    assert causes[causes.cause == "exception in hook"].detail.str.contains("planted in the end").all()
    assert (causes.cause == "exception in hook").sum() == 1


def test_the_hook_runs_once_for_all_modules_of_a_stretch_and_on_any_workers(gaps, tmp_path):
    calls = tmp_path / "calls"
    calls.mkdir()
    plan = planned(gaps, Counts(name="shared", where=str(calls)))
    once = dxflow.execute(by_modules(plan, 4), Local(workers=2))
    # Of trains without a frame there is none.
    trains = [t for p in calls.iterdir() if (t := int(p.name.split("-")[0]))]
    assert len(trains) == len(set(trains))
    same(once, dxflow.execute(by_modules(planned(gaps, Shared()), 4, 1), "here"))


class Counts(Shared):
    """Notes each call."""

    ALG_ID = "shared"

    @classmethod
    def add_arguments(cls, parser):
        super().add_arguments(parser)
        parser.add_argument("--where", default="")

    def finished(self, out):
        from pathlib import Path
        from uuid import uuid4

        # A train is told by the largest sum of it.
        (Path(self.options["where"]) / f"{int(1e6 * np.nanmax(out.most, initial=0))}-{uuid4().hex}").touch()


class Dies(Shared):
    """Ends its process, or raises, in three trains: in one module, in another, and at the end."""

    ALG_ID = "shared"

    @classmethod
    def add_arguments(cls, parser):
        super().add_arguments(parser)
        parser.add_argument("--trains", type=int, nargs=3)
        parser.add_argument("--deadly", action="store_true")

    def outputs(self, info):
        return super().outputs(info) | {"id": Output(per="train", dtype="i8", merge="max", store=False)}

    def process_module_data(self, block, out):
        train = int(block.train_ids[0])
        out.id = train
        if (train, block.module) == (self.trains[0], 0):
            self.end()
        if (train, block.module) == (self.trains[1], 1):
            raise ZeroDivisionError("planted in another module")
        super().process_module_data(block, out)

    def finished(self, out):
        if (out.id == self.trains[2]).any():
            self.end()

    def end(self):
        if self.deadly:
            os._exit(3)
        raise ZeroDivisionError("planted")


def test_a_train_that_kills_in_one_module_or_in_the_end_is_left_out_and_said_of_each(gaps):
    trains = [int(gaps.train_ids[n]) for n in (9, 8, 10)]
    deadly, raises = (planned(gaps, Dies(trains=trains, deadly=deadly)) for deadly in (True, False))
    cut = dxflow.execute(by_modules(deadly, 6), Local(workers=1))
    same(cut, dxflow.execute(by_modules(raises, 6, 1), "here"))
    causes = cut.losses.set_index("first_train").cause
    killed, raised = "killed its worker", "exception in hook"
    assert [causes[train] for train in trains] == [killed, raised, killed]
    assert "in shared.finalize_chunk_processing()" in " ".join(cut.losses.detail)
    assert not any("unexplained" in row["masked"] for row in cut.manifest["account"])


def test_rows_that_would_be_other_bits_are_not_cut_by_modules(gaps):
    from dxflow.planning import cutting

    def separable(*algorithms):
        return cutting.separable(planned(gaps, *algorithms))

    assert separable(Shared(), Average(img=Frames(modules=range(MODULES))))
    assert not separable(Trains())
    assert not separable(Whole())
    assert separable(Scale(img=Frames(modules=range(MODULES))), Average(img=From("scale.img")))


class Trains(Shared):
    """Floats of a train, which many blocks share."""

    ALG_ID = "trains"

    def outputs(self, info):
        return super().outputs(info) | {"most": Output(per="train")}


class Whole(Shared):
    """Finishes trains, and adds up pixels."""

    ALG_ID = "whole"

    def outputs(self, info):
        return super().outputs(info) | {"pix": Output(per="pixel")}
