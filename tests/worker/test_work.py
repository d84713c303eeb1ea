"""Passes over blocks and trains, cut anyhow, with rubbish in the buffers: always the same, always all accounted for."""

from unittest import mock

import h5py
import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import RoiSum, Stats, TrainSums

import dxflow
from dxflow import Algorithm, Frames, FrameSelection, From, Key, Output
from dxflow.simulate import make_run
from dxflow.testing import check_algorithm
from dxflow.testing.algorithm import poisoned
from dxflow.testing.case import cut
from dxflow.worker.source import Source


@pytest.fixture(scope="module")
def frames(gappy):
    return oracle.frames(gappy.path, gappy.sources)


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    trains=st.integers(1, 12),
    block=st.integers(1, 20) | st.just(10**6),
    share=st.floats(0.05, 1),
    seed=st.integers(0, 1000),
    whole_trains=st.booleans(),
)
def test_any_selection_in_any_chunks_and_blocks_is_what_numpy_says(
    gappy, frames, trains, block, share, seed, whole_trains
):
    labels, values = frames
    keep = np.random.default_rng(seed).random(len(labels)) < share
    keep[seed % len(keep)] = True
    algorithms = [RoiSum(ss=(1, 6)), Stats()] + [TrainSums()] * whole_trains
    plan = dxflow.plan(gappy.path, algorithms, frames=keep, block=block * 256)
    with poisoned(0xFF):
        result = dxflow.execute(cut(plan, trains), "here")
    data, kept = result.dataset, values[keep]
    oracle.close(data["roisum.intensity"], np.nansum(kept[:, :, 1:6], axis=(1, 2, 3)))
    oracle.close(data["stats.count"], (~np.isnan(kept)).sum(axis=0), 0)
    with np.errstate(invalid="ignore"):
        mean = np.nansum(kept, axis=0) / (~np.isnan(kept)).sum(axis=0)
    oracle.close(data["stats.mean"], mean, 1e-12)
    if whole_trains:
        oracle.close(data["tsum.row"], np.nansum(kept, axis=(1, 2, 3)), 1e-12)
    there = (~np.isnan(kept).all(axis=(2, 3))).sum(axis=0)
    for row, used in zip(result.manifest["account"], there, strict=True):
        assert (row["expected"], row["used"]) == (len(kept), used)
        assert row["expected"] == row["used"] + sum(row["masked"].values())


class Looks(Algorithm):
    """Notes what it is shown."""

    inputs = {"img": Frames()}
    shown: list = []

    def outputs(self, info):
        return {"n": Output(per="run")}


class LooksAtTrains(Looks):
    ALG_ID = "trains"

    def process_train_data(self, train, out):
        self.shown.append(
            (train.index, train.id, np.array(train["img"]), train.valid("img").copy(), train.missing)
        )


class LooksAtBlocks(Looks):
    ALG_ID = "blocks"

    def process_module_data(self, block, out):
        assert block["img"].flags.c_contiguous
        assert len(block) == len(block["img"]) == len(block.pulse_ids) == len(block.cell_ids)
        self.shown.append(
            (block.module, block.module_number, block.train_ids, block.pulse_ids, np.array(block["img"]))
        )


@pytest.fixture
def shown():
    Looks.shown.clear()
    return Looks.shown


def test_a_train_shows_all_its_frames_nan_where_a_module_has_none_and_says_so(gappy, frames, shown):
    labels, values = frames
    with poisoned(0x3F):
        dxflow.reduce(gappy.path, LooksAtTrains(), cluster="here")
    with_frames = sorted({t for t, _ in labels})
    assert [s[1] for s in shown] == with_frames
    for index, train, img, valid, missing in shown:
        assert gappy.train_ids[index] == train
        expected = values[[t == train for t, _ in labels]]
        oracle.close(img, expected, 0)
        assert valid.tolist() == (~np.isnan(expected).all(axis=(2, 3))).tolist()
        assert missing == frozenset()


def test_blocks_are_of_one_module_fit_the_size_and_leave_out_what_is_not_there(gappy, frames, shown):
    labels, values = frames
    dxflow.reduce(gappy.path, LooksAtBlocks(), cluster="here", block=4 * 256)
    assert max(len(s[2]) for s in shown) == 4
    row = {label: n for n, label in enumerate(labels)}
    seen = set()
    for module, number, trains, pulses, img in shown:
        assert gappy.module_numbers[module] == number
        for one, label in zip(img, zip(trains.tolist(), pulses.tolist(), strict=True), strict=True):
            oracle.close(one, values[row[label], module], 0)
            seen.add((label, module))
    there = ~np.isnan(values).all(axis=(2, 3))
    assert seen == {(labels[r], int(m)) for r, m in zip(*np.nonzero(there), strict=True)}


class WithMotor(Algorithm):
    """Reads frames and a slow value, as blocks."""

    ALG_ID = "motor"
    inputs = {"img": Frames(), "x": None}

    def outputs(self, info):
        return {"at": Output(per="img", merge="max")}

    def process_module_data(self, block, out):
        out.at = np.maximum(out.at, block["x"])


class WithMotorTrains(WithMotor):
    process_module_data = Algorithm.process_module_data

    def process_train_data(self, train, out):
        out.at = train["x"]


@pytest.mark.parametrize("algorithm", [WithMotor, WithMotorTrains])
def test_a_slow_value_stands_beside_each_frame_of_its_train(run, algorithm):
    motor = Key(run.devices["motor"], "actualPosition.value")
    data = dxflow.reduce(run.path, algorithm(x=motor), cluster="here").dataset
    position = dict(zip(run.train_ids.tolist(), run.motor, strict=True))
    oracle.close(data["motor.at"], [position[t] for t in data.train_id.values.tolist()])


class WithGain(Algorithm):
    """Reads two inputs in blocks."""

    ALG_ID = "gain"
    inputs = {"img": Frames(mask=None), "gain": Frames("image.gain")}

    def outputs(self, info):
        return {
            "s": Output(per="img"),
            "n": Output(per="run", dtype="i8"),
            "g": Output(per="img", dtype="i8"),
        }

    def process_module_data(self, block, out):
        out.s += np.nansum(block["img"], axis=(1, 2))
        out.g += (block["gain"].astype("i8") + 1).sum(axis=(1, 2))
        out.n += len(block)


@pytest.fixture
def spoiled(tmp_path):
    """A run of one module in which the first frame of the gain cannot be read."""
    truth = make_run(
        tmp_path / "r0001", detector="AGIPD500K", trains=2, pulses=2, modules=1, module_shape=(64, 64)
    )
    (file,) = tmp_path.glob("r0001/*AGIPD00*S00000*")
    with h5py.File(file, "r+") as f:
        source = f"INSTRUMENT/{truth.sources[0]}/image"
        gain = f[f"{source}/gain"][:]
        del f[f"{source}/gain"]
        f[source].create_dataset("gain", data=gain, chunks=(1, *gain.shape[1:]), compression="gzip")
        info = f[f"{source}/gain"].id.get_chunk_info(0)
    with open(file, "r+b") as raw:
        raw.seek(info.byte_offset)
        raw.write(b"\xff" * info.size)
    return truth


def test_an_unreadable_input_costs_those_who_read_it_whoever_else_is_there(spoiled):
    """Frames, counts and NaN of an algorithm follow from its own inputs, in blocks and beside whole trains."""
    img, gain = Frames(modules=(0,), mask=None), Frames("image.gain", modules=(0,))
    company = ([], [TrainSums(img=img)], [RoiSum(name="g", img=gain)], [TrainSums(img=gain)])
    for beside in company:
        algorithms = [WithGain(img=img, gain=gain), RoiSum(ss=(0, 64), img=img), *beside]
        data = dxflow.reduce(spoiled.path, algorithms, cluster="here").dataset
        assert int(data["gain.n"]) == 3
        assert np.isnan(data["gain.s"]).values.tolist() == [True, False, False, False]
        assert data["gain.g_valid"].values.tolist() == [False, True, True, True]
        assert data["gain.g"].values[0] == 0
        assert not np.isnan(data["roisum.intensity"]).any()
        assert data["modules_used"].values.tolist() == [0, 1, 1, 1]
        assert data["modules_used_2"].values.tolist() == [1, 1, 1, 1]


class Motor(Algorithm):
    """A slow value alone, in blocks."""

    ALG_ID = "slow"
    inputs = {"x": None}

    def outputs(self, info):
        return {"s": Output(per="run"), "row": Output(per="x")}

    def process_module_data(self, block, out):
        out.s += block["x"].sum()
        out.row = block["x"]


def test_blocks_of_a_slow_value_are_the_same_beside_whole_trains(run):
    motor = Key(run.devices["motor"], "actualPosition.value")
    for beside in ([], [TrainSums()], [Stats()]):
        data = dxflow.reduce(run.path, [Motor(x=motor), *beside], cluster="here").dataset
        oracle.close(data["slow.s"], run.motor.sum())
        oracle.close(data["slow.row"], run.motor)


class SaysValid(Algorithm):
    """Says where an integer of a slow device is there."""

    ALG_ID = "says"
    inputs = {"img": Frames(mask=None), "x": None}

    def outputs(self, info):
        return {"there": Output(per="img", dtype="?"), "x": Output(per="img", dtype="i8", merge="max")}

    def process_module_data(self, block, out):
        assert block.valid("img").all()
        out.there |= block.valid("x")
        out.x = block["x"]


def test_integers_that_a_train_lacks_are_told_from_zeros(gappy):
    """The camera has nothing in the trains that the run lost; its counters begin at 0."""
    real = Source._read_key

    def without_the_second_train(self, bound):
        values, good = real(self, bound)
        offsets = bound.index.offsets[self.chunk.first :] - bound.index.offsets[self.chunk.first]
        good[offsets[1] : offsets[2]] = False
        return values, good

    key = Key(gappy.devices["motor"], "actualPosition.timestamp")
    with mock.patch.object(Source, "_read_key", without_the_second_train):
        data = dxflow.reduce(gappy.path, SaysValid(x=key), cluster="here").dataset
    second = data["train_id"].values == data["train"].values[1]
    np.testing.assert_array_equal(data["says.there"], ~second)
    assert (data["says.x"].values[second] == 0).all()
    np.testing.assert_array_equal(data["says.x_valid"], ~second)


class Overwrites(Algorithm):
    """Assigns where it should add."""

    ALG_ID = "over"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--per", default="img")

    def outputs(self, info):
        return {"s": Output(per=self.per)}

    def process_module_data(self, block, out):
        total = np.nansum(block["img"], axis=(1, 2))
        out.s = (
            total
            if self.per == "img"
            else np.nansum(block["img"], axis=0)
            if self.per == "pixel"
            else total.sum()
        )


class OverwritesTrains(Overwrites):
    process_module_data = Algorithm.process_module_data

    def process_train_data(self, train, out):
        out.s = np.nansum(train["img"])


@pytest.mark.parametrize(
    "algorithm",
    [*(Overwrites(per=per) for per in ("img", "train", "run", "pixel")), OverwritesTrains(per="run")],
    ids=["frame", "train", "run", "pixel", "run from trains"],
)
@pytest.mark.parametrize("on_fault", [None, "mask"])
def test_assigning_where_modules_and_trains_add_up_is_an_error_that_says_how(run, algorithm, on_fault):
    with pytest.raises(Exception, match=r"out\.s \+= \.\.\. to add"):
        dxflow.reduce(run.path, algorithm, cluster="here", on_fault=on_fault)


def test_rows_that_a_single_module_makes_may_be_assigned(run):
    one = Overwrites(img=Frames(modules=[3]))
    data = dxflow.reduce(run.path, one, cluster="here", block="2 kB").dataset
    expected = oracle.frames(run.path, [run.sources[3]])[1]
    oracle.close(data["over.s"], np.nansum(expected, axis=(1, 2, 3)))
    assert OverwritesTrains().by_module is False


class PulseCorrelation(Algorithm):
    """g(lag) over the pulses of a train, pixel by pixel: needs all of them, of one module at a time."""

    ALG_ID = "g"
    WHOLE_TRAINS = True
    inputs = {"img": Frames("image.data")}

    def outputs(self, info):
        lags = info["img"].max_per_train
        return {
            "sum": Output(per="pixel", shape=(lags,), dims=("lag",)),
            "pairs": Output(per="run", shape=(lags,), dtype="i8", dims=("lag2",)),
            "first": Output(per="img", dtype="i4"),
        }

    def process_module_data(self, block, out):
        img = block["img"].astype("f8")
        there = block.valid("img")
        assert not np.isnan(img[there]).all()
        assert np.isnan(img[~there]).all()
        for lag in range(len(img)):
            both = there[lag:] & there[: len(img) - lag]
            product = img[lag:][both] * img[: len(img) - lag][both]
            out.sum[lag] += np.nansum(product, axis=0)
            out.pairs[lag] += both.sum()
        out.first += there


def correlation(values):
    """Return g of one train of all modules, (lag, module, ss, fs), by loops over pairs of frames."""
    out = np.zeros(values.shape)
    for lag in range(len(values)):
        for n in range(len(values) - lag):
            out[lag] += np.nan_to_num(values[n] * values[n + lag])
    return out


@pytest.mark.parametrize("company", [[], [Stats], [TrainSums]], ids=["alone", "blocks", "trains"])
def test_all_pulses_of_a_train_of_one_module_are_in_one_block_alone_and_in_company(gappy, frames, company):
    labels, values = frames
    with poisoned(0x3F):
        made = [PulseCorrelation(), *(a() for a in company)]
        data = dxflow.reduce(gappy.path, made, cluster="here", block=3 * 256).dataset
    ids = np.array([t for t, _ in labels])
    expected = np.zeros(data["g.sum"].shape)
    for train in np.unique(ids):
        one = correlation(values[ids == train])
        expected[: len(one)] += one
    oracle.close(data["g.sum"], expected, 1e-9)
    np.testing.assert_array_equal(data["g.first"], (~np.isnan(values).all(axis=(2, 3))).sum(axis=1))
    alone = dxflow.reduce(gappy.path, PulseCorrelation(), cluster="here").dataset
    for name in ("g.sum", "g.pairs", "g.first"):
        assert data[name].values.tobytes() == alone[name].values.tobytes()


class Brightest(Algorithm):
    """The largest pixel of the whole detector in each frame, and what an image made before says of it."""

    ALG_ID = "bright"
    WHOLE_FRAMES = True
    inputs = {"img": Frames("image.data"), "twice": From("twice.img"), "x": None}

    def outputs(self, info):
        return {
            "most": Output(per="img"),
            "twice": Output(per="img"),
            "x": Output(per="img"),
            "calls": Output(per="train", dtype="i4"),
            "frames": Output(per="run", dtype="i8"),
        }

    def process_train_data(self, frames, out):
        out.most = np.nanmax(frames["img"], axis=(1, 2, 3))
        out.twice = np.nanmax(frames["twice"], axis=(1, 2, 3))
        out.x = frames["x"]
        out.calls += 1
        out.frames += frames.valid("img").sum()
        assert len(frames.pulse_ids) == len(frames["img"])


class Twice(Algorithm):
    """An image of each frame, module by module."""

    ALG_ID = "twice"
    inputs = {"img": Frames("image.data")}

    def outputs(self, info):
        return {"img": Output(per=("img", "pixel"), dtype="f4", store=False)}

    def process_module_data(self, block, out):
        out.img = 2 * block["img"]


@pytest.mark.parametrize("company", [[], [Stats], [TrainSums]], ids=["alone", "blocks", "trains"])
def test_all_modules_of_some_frames_are_seen_together_with_what_was_made_of_each(gappy, frames, company):
    labels, values = frames
    motor = Key(gappy.devices["motor"], "actualPosition.value")
    with poisoned(0x3F):
        made = [Twice(), Brightest(x=motor), *(a() for a in company)]
        result = dxflow.reduce(gappy.path, made, cluster="here", block=4 * 256)
    data = result.dataset
    most = np.nanmax(values, axis=(1, 2, 3))
    oracle.close(data["bright.most"], most, 0)
    oracle.close(data["bright.twice"], 2 * most, 0)
    position = dict(zip(gappy.train_ids.tolist(), gappy.motor, strict=True))
    oracle.close(data["bright.x"], [position[t] for t, _ in labels])
    ids, counts = np.unique([t for t, _ in labels], return_counts=True)
    calls = dict(zip(ids.tolist(), (-(-counts // 4)).tolist(), strict=True))
    assert data["bright.calls"].values.tolist() == [calls.get(t, 0) for t in data["train"].values.tolist()]
    assert data["bright.frames"] == (~np.isnan(values).all(axis=(2, 3))).sum()


class Above(Algorithm):
    """Pixels above a threshold, per frame and pixel: one sweep serves several thresholds."""

    ALG_ID = "above"
    inputs = {"img": Frames("image.data", mask=None)}

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--threshold", type=float, default=1.0)

    def outputs(self, info):
        return {
            "n": Output(per="img", dtype="i8"),
            "map": Output(per="pixel", dtype="i8"),
            "most": Output(per="train", merge="max"),
        }

    def process_module_data(self, block, out):
        over = block["img"] > self.options["threshold"]
        out.n += over.sum(axis=(1, 2))
        out.map += over.sum(axis=0)
        out.most = block["img"].max()


class AboveTogether(Above):
    """Counts how many instances were served."""

    ALG_ID = "above"

    def initialize(self, info):
        self.served = []

    @staticmethod
    def process_variants(instances, block, outs):
        for one, out in zip(instances, outs, strict=True):
            one.served.append(len(instances))
            Above.process_module_data(one, block, out)
        assert set(one.served) == {3}


THRESHOLDS = (0.5, 1.0, 4.0)


def variants(cls, img):
    return [cls(name=f"t{n}", threshold=t, img=img) for n, t in enumerate(THRESHOLDS)]


def test_instances_that_are_served_together_have_the_bits_that_each_has_alone(gappy):
    img = Frames("image.data", mask=None)
    together = dxflow.reduce(gappy.path, variants(AboveTogether, img), cluster="here", on_fault="mask")
    for one in variants(Above, img):
        alone = dxflow.reduce(gappy.path, one, cluster="here", on_fault="mask").dataset
        for name in ("n", "map", "most"):
            got, want = together.dataset[f"{one.name}.{name}"], alone[f"{one.name}.{name}"]
            assert got.values.tobytes() == want.values.tobytes()
    check_algorithm(lambda: Single(img=img), gappy.path, on_fault="mask")


class Single(Above):
    """Two at a time."""

    ALG_ID = "above"

    @staticmethod
    def process_variants(instances, block, outs):
        over = block["img"] > min(one.options["threshold"] for one in instances)
        for out in outs:
            out.n += over.sum(axis=(1, 2))
            out.map += over.sum(axis=0)
            out.most = block["img"].max()


def test_instances_that_read_other_frames_are_not_served_together(gappy):
    class Alone(Above):
        ALG_ID = "above"

        @staticmethod
        def process_variants(instances, block, outs):
            raise AssertionError

    two = [Alone(img=Frames(mask=None)), Alone(name="raw", img=Frames("image.gain", mask=None))]
    dxflow.reduce(gappy.path, two, cluster="here", on_fault="mask")


def test_a_hook_that_fails_for_several_leaves_out_the_train_for_all(gappy):
    bad = int(gappy.train_ids[3])

    class Fails(Above):
        ALG_ID = "above"

        @staticmethod
        def process_variants(instances, block, outs):
            if block.train_ids[0] == bad:
                raise ZeroDivisionError("planted")
            for one, out in zip(instances, outs, strict=True):
                one.process_module_data(block, out)

    img = Frames("image.data", mask=None)
    result = dxflow.reduce(gappy.path, variants(Fails, img), cluster="here", on_fault="mask")
    assert "in t0.process_variants()" in " ".join(result.losses.detail)
    rest = FrameSelection(trains=[int(t) for t in gappy.train_ids if int(t) != bad])
    kept = dxflow.reduce(gappy.path, variants(Above, img), cluster="here", on_fault="mask", frames=rest)
    for one in THRESHOLDS:
        name = f"t{THRESHOLDS.index(one)}.map"
        np.testing.assert_array_equal(result.dataset[name], kept.dataset[name])
