"""Rows that no hook filled are missing, in floats and integers, however the work is cut and whoever reads them."""

import numpy as np
import pytest

import dxflow
from dxflow import Algorithm, Frames, From, Key, Output
from dxflow.testing import check_algorithm
from dxflow.testing.case import Case, by_modules

PERS = {"train": "train", "frame": "img", "image": ("img", "pixel")}


@pytest.fixture(scope="module")
def run(half):
    return half


class Now(Algorithm):
    """Fills outputs of every kind in trains with an even id only, and counts with `+= 0`."""

    ALG_ID = "now"
    inputs = {"img": Frames("image.data")}

    def outputs(self, info):
        made = {
            f"{per}_{dtype}": Output(per=PERS[per], dtype=dtype)
            for per in PERS
            for dtype in ("f4", "i4", "bool")
        }
        most = {f"most_{dtype}": Output(per="img", dtype=dtype, merge="max") for dtype in ("f8", "i4")}
        return {
            **made,
            **most,
            "zero": Output(per="train", dtype="i4"),
            "never": Output(per="img", dtype="i4"),
        }

    def process_train_data(self, train, out):
        out.zero += 0
        out.most_f8[::2] = out.most_i4[::2] = np.arange(len(train["img"]))[::2] - 5
        if train.id % 2 == 0:
            for name in out:
                if name.startswith(tuple(PERS)):
                    out[name] = 1


class NowBlocks(Now):
    """The same from blocks: modules add up, and images are made by module 0 alone."""

    process_train_data = Algorithm.process_train_data

    def process_module_data(self, block, out):
        out.zero += 0
        some = block.pulse_ids % 2 == 0
        out.most_f8[some] = out.most_i4[some] = block.pulse_ids[some] - 5.0
        if block.train_ids[0] % 2 == 0 and block.module == 0:
            for name in out:
                if name.startswith("train"):
                    out[name] += out[name].dtype.type(0 in block.pulse_ids)
                elif name.startswith("frame"):
                    out[name] += out[name].dtype.type(1)
                elif name.startswith("image"):
                    out[name] = 1


@pytest.mark.parametrize("algorithm", [Now, NowBlocks])
@pytest.mark.parametrize("trains", [1, 5])
def test_rows_that_no_hook_touched_are_missing_and_counts_of_zero_are_not(run, algorithm, trains):
    data = Case(algorithm, run.path).reduce(trains=trains).dataset
    by_train, by_frame = data["train"] % 2 == 0, data["train_id"] % 2 == 0
    for per, even in (("train", by_train), ("frame", by_frame), ("image", by_frame)):
        modules = slice(0, 1) if per == "image" and algorithm is NowBlocks else slice(None)
        for dtype in ("f4", "i4", "bool"):
            values, wanted = data[f"now.{per}_{dtype}"].values, even.values
            valid = ~np.isnan(values) if dtype == "f4" else data[f"now.{per}_{dtype}_valid"].values
            if per == "image":
                others = np.delete(valid, np.arange(valid.shape[1])[modules], axis=1)
                assert not others.any()
                valid = valid[:, modules]
            shape = wanted.shape + (1,) * (valid.ndim - wanted.ndim)
            np.testing.assert_array_equal(valid, np.broadcast_to(wanted.reshape(shape), valid.shape))
            if dtype != "f4":
                assert not values[~wanted].any()
    assert data["now.zero_valid"].all()
    assert not data["now.zero"].any()
    assert not data["now.never_valid"].any()


@pytest.mark.parametrize("algorithm", [Now, NowBlocks])
def test_rows_that_nothing_was_compared_with_are_missing(run, algorithm):
    data = Case(algorithm, run.path).reduce().dataset
    number = data["pulse_id"].values if algorithm is NowBlocks else np.tile(np.arange(6), 12)
    wanted = np.where(number % 2 == 0, number - 5.0, np.nan)
    np.testing.assert_array_equal(data["now.most_f8"], wanted)
    np.testing.assert_array_equal(data["now.most_i4"].where(data["now.most_i4_valid"]), wanted)


def test_what_is_missing_does_not_depend_on_how_the_work_is_cut(tiny):
    check_algorithm(NowBlocks, tiny.path)


class Finishes(Algorithm):
    """Makes an output at the end of the chunk only."""

    ALG_ID = "finishes"
    inputs = {"img": Frames("image.data")}

    def outputs(self, info):
        return {"n": Output(per="img", dtype="i4"), "many": Output(per="img", dtype="?")}

    def process_module_data(self, block, out):
        out.n += 1

    def finalize_chunk_processing(self, out):
        out.many = out.n > 3


def test_what_the_end_of_a_chunk_makes_is_there(run):
    data = Case(Finishes, run.path).reduce(trains=1).dataset
    assert data["finishes.many_valid"].all()
    assert data["finishes.many"].all()


class Reader(Algorithm):
    """Notes what it is handed on, and whether it is said to be there."""

    ALG_ID = "reader"
    inputs = {"img": Frames("image.data"), "n": From("now.train_i4"), "image": From("now.image_f4")}

    def outputs(self, info):
        return {
            "there": Output(per="train", dtype="?"),
            "n": Output(per="train"),
            "bright": Output(per="train"),
        }

    def process_train_data(self, train, out):
        out.there = train.valid("n") & train.valid("image").any()
        out.n, out.bright = train["n"], np.nansum(train["image"])


class ReaderOfBlocks(Algorithm):
    """Counts what is not NaN of images that it is handed on."""

    ALG_ID = "blocks"
    inputs = {"img": From("now.image_f4")}

    def outputs(self, info):
        return {"there": Output(per="img", dtype="i8")}

    def process_module_data(self, block, out):
        out.there += np.isfinite(block["img"]).sum(axis=(1, 2))


def test_algorithms_that_read_it_see_that_it_is_missing(run):
    even = run.train_ids % 2 == 0
    for maker in (Now, NowBlocks):
        data = dxflow.reduce(run.path, [maker(), Reader()], cluster="here").dataset
        np.testing.assert_array_equal(data["reader.there"], even)
        np.testing.assert_array_equal(data["reader.n"], np.where(even, 1, np.nan))
        assert ((data["reader.bright"] > 0) == even).all()


@pytest.mark.parametrize("beside", [[], [Finishes()], [Reader()]])
def test_images_that_a_block_did_not_make_are_missing_for_the_next_algorithm(run, beside):
    data = dxflow.reduce(run.path, [NowBlocks(), ReaderOfBlocks(), *beside], cluster="here")
    even = np.repeat(run.train_ids % 2 == 0, 6)
    np.testing.assert_array_equal(data.dataset["blocks.there"], np.where(even, 16 * 16, 0))


class Device(Algorithm):
    """Copies an integer of a device, and says where it is there."""

    ALG_ID = "device"
    inputs = {"img": Frames("image.data"), "on": None}

    def outputs(self, info):
        return {
            "on": Output(per="train", dtype="i8", merge="max"),
            "as_float": Output(per="train", merge="max"),
            "there": Output(per="train", dtype="?"),
        }

    def process_train_data(self, train, out):
        out.on, out.as_float, out.there = train["on"], train["on"], train.valid("on")
        assert ("on" in train.missing) != train.valid("on")


class DeviceBlocks(Device):
    process_train_data = Algorithm.process_train_data

    def process_module_data(self, block, out):
        out.on, out.as_float = block["on"][0], block["on"][0]
        out.there |= block.valid("on")[0]


@pytest.mark.parametrize("algorithm", [Device, DeviceBlocks])
def test_an_integer_of_a_device_that_a_train_lacks_is_nan_and_no_zero(gappy, algorithm):
    key = Key(gappy.devices["motor"], "isOnTarget.value", offset=1)
    data = dxflow.reduce(gappy.path, algorithm(on=key), cluster="here").dataset
    there = data["device.there"].values & data["device.there_valid"].values
    # The motor has a value in each train of the run: none comes before the first, and a train is missing.
    assert not there[0]
    seen = data["train_used"].values == 1
    np.testing.assert_array_equal(data["device.on_valid"], there)
    np.testing.assert_array_equal(data["device.on"], np.where(there, 1, 0))
    np.testing.assert_array_equal(np.isnan(data["device.as_float"]), ~there)
    assert (seen & ~there).any()


class Doubled(Algorithm):
    """Images that are added to: they begin at 0 in each module."""

    ALG_ID = "doubled"
    STORED = False
    inputs = {"img": Frames("image.data", mask=None)}

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--rule", default="sum")

    def outputs(self, info):
        return {"img": Output(per=("img", "pixel"), dtype="f8", store=self.STORED, merge=self.rule)}

    def process_module_data(self, block, out):
        if self.rule == "sum":
            out.img += 2 * block["img"].astype("f8")
        else:
            out.img = 2 * block["img"].astype("f8")


class DoubledAndStored(Doubled):
    """The same, kept in the result."""

    ALG_ID = "doubled"
    STORED = True


class Steps(Algorithm):
    """From one frame of a train to the next, where both are there."""

    ALG_ID = "steps"
    WHOLE_TRAINS = True
    inputs = {"img": Frames("image.data", mask=None)}

    def outputs(self, info):
        return {"sum": Output(per="pixel"), "frames": Output(per="img", dtype="i4")}

    def process_module_data(self, block, out):
        img = block["img"].astype("f8")
        out.sum += np.nansum(np.abs(np.diff(img, axis=0)), axis=0)
        out.frames += np.isfinite(img).all(axis=(1, 2))


@pytest.mark.parametrize("cls", [Doubled, DoubledAndStored])
@pytest.mark.parametrize("rule", ["sum", "max"])
def test_whole_trains_of_a_module_are_read_from_images_that_lack_some(gappy, cls, rule):
    alone = dxflow.reduce(gappy.path, Steps(), cluster="here", on_fault="mask").dataset
    made = [cls(rule=rule), Steps(img=From("doubled.img"))]
    plan = dxflow.plan(gappy.path, made, on_fault="mask")
    assert plan.walk.words == "whole trains of each module"
    modules = len(plan.inputs[0].modules)
    plans = [plan] if cls.STORED else [plan, by_modules(plan, len(plan.train_ids), modules)]
    for one in plans:
        data = dxflow.execute(one, "here").dataset
        np.testing.assert_array_equal(data["steps.frames"], alone["steps.frames"])
        np.testing.assert_array_equal(data["steps.sum"], 2 * alone["steps.sum"])
