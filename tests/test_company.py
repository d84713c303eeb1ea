"""An algorithm alone and in any company gives the same bits, whatever is missing, however and wherever it runs."""

import itertools
import os
import shutil
from contextlib import contextmanager, nullcontext
from unittest import mock

import numpy as np
import pytest
from distributed import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import RoiSum, Scale, ScaleTrains, Stats, TrainSums

import dxflow
from dxflow import Algorithm, Frames, From, Key, Output, PlanError
from dxflow.algorithms.average import Average
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.roi import RoiSum as Roi
from dxflow.planning import cutting
from dxflow.simulate import Plant, make_run
from dxflow.testing.case import by_modules, cut
from dxflow.worker.source import Source

EXAMPLES = int(os.environ.get("DXFLOW_EXAMPLES", "4"))
MODULES = 3
LONG = 41
"""Trains of which there are units of several lengths."""
COUNT = itertools.count()
IMG = Frames(modules=range(MODULES), mask=None)
GAIN = Frames("image.gain", modules=range(MODULES))
anything = settings(
    deadline=None,
    max_examples=EXAMPLES,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
pytestmark = pytest.mark.properties


class TwoInputs(Algorithm):
    """A block of data and gain: one output of each kind."""

    ALG_ID = "two"
    inputs = {"img": IMG, "gain": GAIN, "x": None}

    def outputs(self, info):
        return {
            "sum": Output(per="img"),
            "high": Output(per="img", merge="max"),
            "n": Output(per="gain", dtype="i4"),
            "train": Output(per="train"),
            "least": Output(per="train", dtype="i4", merge="min"),
            "run": Output(per="run"),
            "pix": Output(per="pixel"),
            "img": Output(per=("img", "pixel"), dtype="f4"),
            "ev": Output(per="event", shape=(2,)),
        }

    def process_module_data(self, block, out):
        img = block["img"].astype("f8") * 0.1 + block["gain"]
        sums = np.nansum(img, axis=(1, 2)) + np.where(block.valid("x"), np.nan_to_num(block["x"]), 0)
        out.sum += sums
        out.high = np.nanmax(img, axis=(1, 2))
        out.n += block["gain"].sum(axis=(1, 2), dtype="i4") + 1
        out.train += sums.sum()
        out.least = len(block)
        out.run += sums.sum()
        out.pix += np.nansum(img, axis=0)
        out.img[:] = img
        out.ev.append(np.stack([sums, sums], axis=1), frames=np.arange(len(sums)))


class Reads(Algorithm):
    """Keeps what it is handed by a block algorithm, train by train, and what is said of it."""

    ALG_ID = "reads"
    inputs = {
        "img": IMG,
        "sum": From("two.sum"),
        "n": From("two.n"),
        "train": From("two.train"),
        "image": From("two.img"),
        "lit": From("litframes.lit"),
        "mean": From("roi.mean"),
    }

    def outputs(self, info):
        rows = {k: Output(per="img") for k in ("sum", "n", "image", "lit", "mean", "there")}
        return rows | {"train": Output(per="train"), "missing": Output(per="train", dtype="?")}

    def process_train_data(self, train, out):
        for name in ("sum", "n", "lit", "mean"):
            out[name] = train[name]
        out.image = np.nansum(train["image"], axis=(1, 2, 3), dtype="f8")
        out.there = train.valid("image").sum(axis=1)
        out.train, out.missing = train["train"], "train" in train.missing


class Running(Algorithm):
    """A number that depends on the order of blocks, under a rule of its own that depends on that of partials."""

    ALG_ID = "running"
    inputs = {"img": IMG}

    def outputs(self, info):
        return {
            "last": Output(per="run", merge="custom"),
            "n": Output(per="run", dtype="i8", merge="custom"),
            "sum": Output(per="run"),
        }

    def process_module_data(self, block, out):
        out.last = 0.9 * out.last + np.nansum(block["img"], dtype="f8") / 7
        out.n += 1
        out.sum += out.last

    def merge(self, into, other):
        super().merge(into, other)
        into.last = into.last * 0.9 ** int(other.n) + other.last
        into.n += other.n


class Finishes(Algorithm):
    """What is made when some trains are finished depends on all of them."""

    ALG_ID = "finishes"
    inputs = {"img": IMG}

    def outputs(self, info):
        return {"s": Output(per="img"), "run": Output(per="run"), "most": Output(per="pixel", merge="max")}

    def process_module_data(self, block, out):
        sums = np.nansum(block["img"], axis=(1, 2), dtype="f8") / 7
        out.s += sums
        out.run += sums.sum()
        out.most = np.fmax(out.most, np.fmax.reduce(block["img"]))

    def finalize_chunk_processing(self, out):
        out.s -= out.s.mean() if len(out.s) else 0
        out.run *= 1 + 1 / (3 + len(out.s))


class Ends(Algorithm):
    """Rows of all modules, which are finished when all are there."""

    ALG_ID = "ends"
    inputs = {"img": IMG, "x": None}

    def outputs(self, info):
        return {
            "sum": Output(per="img", store=False),
            "mean": Output(per="img"),
            "n": Output(per="img", dtype="i4"),
            "least": Output(per="img", merge="min"),
            "train": Output(per="train", dtype="i8"),
            "most": Output(per="train", merge="max"),
            "ev": Output(per="event", shape=(2,)),
        }

    def process_module_data(self, block, out):
        img = block["img"].astype("f8") * 0.1
        sums = np.nansum(img, axis=(1, 2)) / 7
        out.sum += sums
        out.sum += np.where(block.valid("x"), np.nan_to_num(block["x"]), 0) / 3
        out.n += np.isfinite(img).sum(axis=(1, 2), dtype="i4")
        out.least, out.most = np.nanmin(img, axis=(1, 2)), np.nanmax(img)
        out.train += int(sums.sum())
        if block.module != 1:
            out.ev.append(np.stack([sums, sums], axis=1), frames=np.arange(len(sums)))

    def finalize_chunk_processing(self, out):
        out.mean = np.where(out.n > 0, out.sum / np.maximum(out.n, 1), np.nan)


COMPANY = {
    "average": lambda key: Average(img=IMG),
    "stats": lambda key: Stats(img=IMG),
    "tsum": lambda key: TrainSums(img=IMG),
    "one": lambda key: RoiSum(name="one", img=Frames(modules=(1,), mask=None)),
    "gain": lambda key: TrainSums(name="gain", img=GAIN),
    "region": lambda key: Roi(
        name="region", img=Frames(modules=range(MODULES), roi=np.s_[1:4, 2:7], mask=None)
    ),
    "two": lambda key: TwoInputs(x=key),
    "litframes": lambda key: LitFrames(img=IMG, threshold=1.0),
    "roi": lambda key: Roi(img=IMG),
    "reads": lambda key: Reads(),
    "scale": lambda key: Scale(img=IMG),
    "scaled": lambda key: Stats(name="scaled", img=From("scale.img")),
    "trains": lambda key: ScaleTrains(name="trains", img=IMG),
    "scaledtrains": lambda key: Stats(name="scaledtrains", img=From("trains.img")),
    "motor": lambda key: RoiMotor(x=key),
    "running": lambda key: Running(),
    "finishes": lambda key: Finishes(),
    "ends": lambda key: Ends(x=key),
}
NEEDS = {"reads": {"two", "litframes", "roi"}, "scaled": {"scale"}, "scaledtrains": {"trains"}}
UNSTORED = {"scale", "trains"}
STORED = [name for name in COMPANY if name not in UNSTORED]
"""Those that can be asked for; what makers hand on must be read."""
ROWWISE = [name for name in STORED if name != "finishes"]
"""Those whose rows are the same in chunks of any trains."""


class RoiMotor(Algorithm):
    """A slow value alone, in blocks."""

    ALG_ID = "motor"
    inputs = {"x": None}

    def outputs(self, info):
        return {"s": Output(per="run"), "row": Output(per="x"), "n": Output(per="x", dtype="i8")}

    def process_module_data(self, block, out):
        out.s += block["x"].sum()
        out.row, out.n = block["x"], 1


SIX = st.just(6)


@st.composite
def plants(draw, lengths=SIX):
    """What is missing in a run of some trains: trains, frames, modules in some trains, data that cannot be read."""
    n = draw(lengths)
    trains = st.sets(st.integers(0, n - 1), max_size=max(3, n // 5)).map(tuple)
    counts = draw(st.lists(st.integers(0, 4), min_size=n, max_size=n))
    return Plant(
        empty_trains=draw(trains),
        lost_trains={draw(st.integers(0, MODULES - 1)): draw(trains)},
        silent_trains={draw(st.integers(0, MODULES - 1)): draw(trains)},
        pulse_counts=np.array(counts if any(counts) else [1] * n),
    )


@contextmanager
def unreadable(key, module, train):
    """Let the first frame of a train of a module be unreadable in all inputs of a key."""
    real = Source.read

    def read(self, bound, position, rows, out, *more):
        good = real(self, bound, position, rows, out, *more)
        if bound.key == key and bound.modules[position] == module:
            row = int(bound.index.offsets[train])
            if rows.start <= row < rows.stop and bound.index.counts[train]:
                good[row - rows.start] = False
                out[row - rows.start] = 77
        return good

    with mock.patch.object(Source, "read", read):
        yield


def reduced(path, names, key, trains, block, cluster="here"):
    """Return the bytes of the outputs of these algorithms, and whether they have rows, by name."""
    algorithms = [COMPANY[name](key) for name in names]
    plan = cut(dxflow.plan(path, algorithms, block=block, on_fault="mask"), trains)
    data = dxflow.execute(plan, cluster).dataset
    kinds = {o.name: o.output.kind in ("run", "pixel") for o in plan.outputs}
    made = {str(n): v for n, v in data.variables.items() if str(n).split(".")[0] in names and "." in str(n)}
    return {n: (kinds.get(n, False), v.shape, v.dtype, v.values.tobytes()) for n, v in made.items()}


def with_makers(names):
    """Return names with those of the algorithms they read from, in an order that works."""
    wanted = set(names) | {maker for name in names for maker in NEEDS.get(name, ())}
    return [name for name in COMPANY if name in wanted]


def differences(expected, got, *, rows_only=False):
    return [n for n, (whole, *v) in expected.items() if not (rows_only and whole) and list(got[n][1:]) != v]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("company")


@anything
@given(
    plant=plants(),
    alone=st.sampled_from(ROWWISE),
    beside=st.sets(st.sampled_from(STORED), min_size=1),
    cuts=st.tuples(st.integers(1, 6), st.integers(1, 6)),
    block=st.sampled_from([256, 600, 10**6]),
    damage=st.none()
    | st.tuples(st.sampled_from(["image.data", "image.gain"]), st.integers(0, 2), st.integers(0, 5)),
)
def test_the_same_bits_alone_and_in_company(folder, plant, alone, beside, cuts, block, damage):
    truth = made(folder / str(next(COUNT)), plant)
    key = Key(truth.devices["motor"], "actualPosition.value")
    try:
        with unreadable(*damage) if damage else nullcontext():
            names = with_makers([alone])
            expected = reduced(truth.path, names, key, cuts[0], block)
            everybody = reduced(truth.path, with_makers([alone, *beside]), key, cuts[0], block)
            assert differences(expected, everybody) == []
            assert (
                differences(expected, reduced(truth.path, names, key, cuts[1], block), rows_only=True) == []
            )
    except PlanError as e:
        assert "nothing to read" in str(e)  # noqa: PT017
    finally:
        shutil.rmtree(truth.path)


@pytest.fixture(scope="module", params=[(1, 4, False), (2, 2, True)], ids=["threads", "processes of threads"])
def workers(request):
    n, threads, processes = request.param
    with Client(
        n_workers=n, threads_per_worker=threads, processes=processes, dashboard_address=None
    ) as client:
        yield client


@settings(anything, max_examples=max(2, EXAMPLES // 10))
@given(plant=plants(), names=st.sets(st.sampled_from(STORED), min_size=2), trains=st.integers(1, 3))
def test_the_same_bits_on_workers_of_every_kind(folder, workers, plant, names, trains):
    truth = made(folder / str(next(COUNT)), plant)
    key = Key(truth.devices["motor"], "actualPosition.value")
    try:
        order = with_makers(names)
        expected = reduced(truth.path, order, key, trains, 600)
        assert differences(expected, reduced(truth.path, order, key, trains, 600, workers)) == []
    except PlanError as e:
        assert "nothing to read" in str(e)  # noqa: PT017
    finally:
        shutil.rmtree(truth.path)


hows = st.sampled_from(
    [
        {},
        {"chunk": 3000},
        {"block": 600},
        {"chunk": 12_000, "block": 256},
        {"chunk": "3 trains", "block": 600},
    ]
)
"""Options of plans; none, and such that a small run has several chunks."""
smalls = st.sampled_from([cutting.SMALL, 10, 2000])
"""Bytes of outputs that count as small: units of one length, and of several."""


def planned(path, names, key, small, **how):
    """Return a plan as it is made for everybody."""
    with mock.patch.object(cutting, "SMALL", small):
        return dxflow.plan(path, [COMPANY[name](key) for name in names], on_fault="mask", **how)


def outcome(plan, names, cluster="here"):
    """Return the bytes of the outputs of these algorithms, by name."""
    data = dxflow.execute(plan, cluster).dataset
    made = {str(n): v for n, v in data.variables.items() if str(n).split(".")[0] in names and "." in str(n)}
    return {n: (None, v.shape, v.dtype, v.values.tobytes()) for n, v in made.items()}


@anything
@given(
    plant=plants(st.integers(1, LONG)),
    alone=st.sampled_from(STORED),
    beside=st.sets(st.sampled_from(STORED), min_size=1),
    how=hows,
    small=smalls,
    factor=st.sampled_from([2, 4, 64]),
)
def test_the_same_bits_alone_and_in_company_as_it_is_planned(
    folder, plant, alone, beside, how, small, factor
):
    truth = made(folder / str(next(COUNT)), plant)
    key = Key(truth.devices["motor"], "actualPosition.value")
    try:
        names = with_makers([alone])
        plan = planned(truth.path, names, key, small, **how)
        expected, together = outcome(plan, names), with_makers([alone, *beside])
        everybody = outcome(planned(truth.path, together, key, small, **how), together)
        assert differences(expected, everybody) == []
        if not plan.chunk_trains:
            longer = cut(plan, factor * (plan.chunks[0].last - plan.chunks[0].first))
            assert differences(expected, outcome(longer, names)) == []
    except PlanError as e:
        assert "nothing to read" in str(e)  # noqa: PT017
    finally:
        shutil.rmtree(truth.path)


APART = ["average", "litframes", "ends"]
"""Those of which modules can be worked on in chunks of their own."""


@anything
@given(
    plant=plants(st.integers(1, LONG)),
    names=st.sets(st.sampled_from(APART), min_size=1),
    trains=st.integers(1, LONG),
    block=st.sampled_from([256, 600, 10**6]),
    damage=st.none() | st.tuples(st.just("image.data"), st.integers(0, 2), st.integers(0, 5)),
)
def test_the_same_bits_and_account_whether_modules_are_apart_or_not(
    folder, plant, names, trains, block, damage
):
    truth = made(folder / str(next(COUNT)), plant)
    key = Key(truth.devices["motor"], "actualPosition.value")
    try:
        with unreadable(*damage) if damage else nullcontext():
            names = with_makers(names)
            plan = dxflow.plan(truth.path, [COMPANY[n](key) for n in names], block=block, on_fault="mask")
            assert cutting.separable(plan)
            trains *= max(a.unit for a in plan.algorithms)
            whole, apart = (outcomes(by_modules(plan, trains, groups), names) for groups in (1, MODULES))
            assert differences(whole[0], apart[0]) == []
            assert whole[1] == apart[1]
    except PlanError as e:
        assert "nothing to read" in str(e)  # noqa: PT017
    finally:
        shutil.rmtree(truth.path)


def outcomes(plan, names):
    """Return the bytes of outputs, what is said of where they are valid, and the account."""
    result = dxflow.execute(plan, "here")
    made = {n: (None, v.shape, v.dtype, v.values.tobytes()) for n, v in result.dataset.variables.items()}
    return made, result.manifest["account"]


@settings(anything, max_examples=max(2, EXAMPLES // 10))
@given(
    plant=plants(st.just(LONG)),
    alone=st.sampled_from(STORED),
    beside=st.sets(st.sampled_from(STORED), min_size=1),
    how=hows,
    small=smalls,
)
def test_the_same_bits_alone_here_and_in_company_on_workers(
    folder, workers, plant, alone, beside, how, small
):
    truth = made(folder / str(next(COUNT)), plant)
    key = Key(truth.devices["motor"], "actualPosition.value")
    try:
        names, together = with_makers([alone]), with_makers([alone, *beside])
        expected = outcome(planned(truth.path, names, key, small, **how), names)
        plan = planned(truth.path, together, key, small, **how)
        assert differences(expected, outcome(plan, together, workers)) == []
    except PlanError as e:
        assert "nothing to read" in str(e)  # noqa: PT017
    finally:
        shutil.rmtree(truth.path)


def made(folder, plant):
    """Make a run of some trains with these gaps."""
    options = {
        "trains": len(plant.pulse_counts),
        "pulses": 4,
        "modules": MODULES,
        "module_shape": (8, 8),
        "devices": ("motor",),
    }
    return make_run(folder, detector="AGIPD500K", plant=plant, **options)
