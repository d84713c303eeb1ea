"""Masks of frames: by default right, in any form, against h5py and numpy in float64."""

import os
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dxflow
from dxflow import Algorithm, Frames, From, Output, PlanError
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.roi import RoiSum
from dxflow.algorithms.subtract import Subtract
from dxflow.simulate import Plant, make_run

HERE = {"cluster": "here"}
SIZE = {"trains": 3, "pulses": 4, "module_shape": (16, 12), "bad_pixels": 0.1, "sequences": 2}


def stored(truth, key):
    """All frames of a key, (frame, module, ...), as the files hold them: h5py alone."""
    group, name = truth.key.split(".")[0], key
    out = []
    for source in truth.sources:
        rows = []
        for path in sorted(Path(truth.path).glob("*.h5")):
            with h5py.File(path) as file:
                at = file.get(f"INSTRUMENT/{source}/{group}/{name}")
                rows += [at[()].reshape(-1, *at.shape[-2:])] if at is not None else []
        out.append(np.concatenate(rows))
    return np.stack(out, axis=1)


def rewrite(truth, key, change, modules=None):
    """Change a dataset of some modules in all files."""
    for number, source in enumerate(truth.sources):
        for path in Path(truth.path).glob("*.h5"):
            with h5py.File(path, "r+") as file:
                name = f"INSTRUMENT/{source}/{truth.key.split('.')[0]}/{key}"
                if name in file and (modules is None or number in modules):
                    values, kept = file[name][()], file[name].dtype
                    del file[name]
                    if (new := change(values, number)) is not None:
                        file.create_dataset(name, data=new, chunks=(1, *new.shape[1:]))
                        assert kept is not None


def good(truth, bits=None):
    """The frames in f8, bad pixels NaN."""
    data, mask = stored(truth, truth.key.split(".")[1]).astype("f8"), stored(truth, "mask")
    bad = mask != 0 if bits is None else (mask & np.uint32(bits)) != 0
    return np.where(bad, np.nan, data)


def check_average(data, frames, name="average"):
    with np.errstate(invalid="ignore"):
        n = (~np.isnan(frames)).sum(axis=0)
        mean = np.nansum(frames, axis=0) / n
        variance = np.nansum((frames - mean) ** 2, axis=0) / np.where(n > 1, n - 1, np.nan)
    np.testing.assert_array_equal(data[f"{name}.count"], n)
    np.testing.assert_allclose(data[f"{name}.mean"], mean, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(data[f"{name}.variance"], variance, rtol=1e-6, atol=1e-9)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("masks") / "r", detector="AGIPD500K", **SIZE)


@pytest.fixture
def own(tmp_path):
    """A run of three modules that a test may spoil."""
    return make_run(tmp_path / "own", modules=3, **SIZE)


@pytest.fixture
def photons(own):
    """A run of three modules with corrected frames of integers, as photon counts are."""
    rewrite(own, "data", lambda x, _: np.rint(np.clip(x, 0, 60000)).astype("u2"))
    return own


THREE = (0, 1, 2)

# The default


@pytest.mark.parametrize("detector", ["AGIPD1M", "LPD1M", "DSSC1M", "JUNGFRAU"])
def test_pixels_that_the_run_marks_as_bad_do_not_count_unless_that_is_asked_for(tmp_path, detector):
    run = make_run(
        tmp_path / "r", detector=detector, **SIZE, **({"modules": 2} if detector == "JUNGFRAU" else {})
    )
    plain = Average(name="plain", img=Frames(mask=None))
    algorithms = [Average(), plain, RoiSum(), LitFrames()]
    plan = dxflow.plan(run.path, algorithms)
    data = dxflow.execute(plan, "here").dataset
    frames = good(run)
    assert np.isnan(frames).any()
    check_average(data, frames)
    assert np.nanmax(data["average.mean"]) < 100
    check_average(data, stored(run, run.key.split(".")[1]).astype("f8"), "plain")
    np.testing.assert_allclose(data["roi.sum"], np.nansum(frames, axis=(1, 2, 3)), rtol=1e-6)
    np.testing.assert_array_equal(data["litframes.valid_pixels"], (~np.isnan(frames)).sum(axis=(1, 2, 3)))
    key = "data.mask" if detector == "JUNGFRAU" else "image.mask"
    assert [i.masked for i in plan.inputs] == [f"mask {key}", "no mask: none is wanted"]


@pytest.mark.parametrize("detector", ["AGIPD500K", "LPD1M", "DSSC1M", "JUNGFRAU"])
def test_raw_data_have_no_mask_and_say_so(tmp_path, detector):
    run = make_run(
        tmp_path / "r",
        detector=detector,
        data="raw",
        **SIZE,
        **({"modules": 2} if detector == "JUNGFRAU" else {}),
    )
    plan = dxflow.plan(run.path, Average())
    assert [i.masked for i in plan.inputs] == ["no mask: raw data"]
    assert (dxflow.execute(plan, "here").dataset["average.count"] == len(run.frame_train_ids)).all()


def test_a_corrected_run_without_masks_says_so(own):
    rewrite(own, "mask", lambda x, _: None)
    plan = dxflow.plan(own.path, Average(img=Frames(modules=THREE)))
    assert [i.masked for i in plan.inputs] == ["no mask: this run has none"]
    check_average(dxflow.execute(plan, "here").dataset, stored(own, "data").astype("f8"))


def test_gain_and_other_keys_have_no_mask(truth):
    plan = dxflow.plan(truth.path, [Average(img=Frames(k), name=k[6:]) for k in ("image.gain", "image.mask")])
    assert [i.masked for i in plan.inputs] == [
        f"no mask: image.{k} is not the image of a detector" for k in ("gain", "mask")
    ]


def test_the_mask_of_the_pass_is_for_inputs_that_do_not_say_one(truth):
    bad = np.zeros((8, 16, 12), bool)
    bad[:, 3] = True
    mine = Average(name="mine", img=Frames(mask="image.mask"))
    data = dxflow.reduce(truth.path, [Average(), mine], mask=bad, **HERE).dataset
    check_average(data, np.where(bad, np.nan, stored(truth, "data").astype("f8")))
    check_average(data, good(truth), "mine")
    both = dxflow.reduce(truth.path, Average(), mask=["auto", bad], mask_bits=1, **HERE).dataset
    check_average(both, np.where(bad, np.nan, good(truth, 1)))
    plain = dxflow.reduce(truth.path, Average(), mask=None, **HERE).dataset
    check_average(plain, stored(truth, "data").astype("f8"))


def test_a_mask_of_the_pass_that_no_input_takes_is_refused(truth):
    bad = np.zeros((8, 16, 12), bool)
    for img in (Frames("image.gain"), Frames(mask="image.mask")):
        with pytest.raises(PlanError, match="mask=: no input takes it"):
            dxflow.plan(truth.path, Average(img=img), mask=bad)


# Forms of masks


def forms(bad, folder):
    """The same bad pixels of all 8 modules in every form that is taken."""
    np.save(folder / "bad.npy", bad)
    with h5py.File(folder / "bad.h5", "w") as file:
        file["entry/mask"] = bad.astype("u1") * 4
        file["other"] = np.zeros(3)
    order = np.array([4, 2, 0, 1, 3, 7, 6, 5])
    labelled = xr.DataArray(bad[order], dims=("module", "ss", "fs"), coords={"module": order})
    labelled.to_dataset(name="mine.mask").to_zarr(folder / "bad.zarr")
    return {
        "bool": bad,
        "bits": bad.astype("u4") << 7,
        "signed": np.where(bad, np.int16(-(2**15)), np.int16(0)),
        "big-endian": bad.astype(">u4"),
        "stacked": bad.reshape(-1, 12),
        "labelled": labelled,
        "npy": folder / "bad.npy",
        "hdf5": f"{folder}/bad.h5:/entry/mask",
        "hdf5, the only one": f"{folder}/bad.h5",
        "zarr": f"{folder}/bad.zarr",
        "zarr by name": f"{folder}/bad.zarr:mine.mask",
        "cells": np.broadcast_to(bad, (4, *bad.shape)),
    }


def test_a_mask_in_any_form_is_the_same(truth, tmp_path):
    bad = np.random.default_rng(3).random((8, 16, 12)) < 0.2
    expected = np.where(bad, np.nan, stored(truth, "data").astype("f8"))
    for name, mask in forms(bad, tmp_path).items():
        data = dxflow.reduce(truth.path, Average(img=Frames(mask=mask)), **HERE).dataset
        check_average(data, expected)
        assert name


def test_a_mask_may_differ_from_cell_to_cell(truth):
    bad = np.random.default_rng(3).random((6, 8, 16, 12)) < 0.2
    cells = truth.cell_ids.astype(int)
    expected = np.where(bad[cells], np.nan, stored(truth, "data").astype("f8"))
    check_average(dxflow.reduce(truth.path, Average(img=Frames(mask=bad)), **HERE).dataset, expected)
    order = [3, 0, 2, 1]
    labelled = xr.DataArray(bad[order], dims=("cell", "module", "ss", "fs"), coords={"cell": order})
    check_average(dxflow.reduce(truth.path, Average(img=Frames(mask=labelled)), **HERE).dataset, expected)
    with pytest.raises(PlanError, match=r"no memory cells \[2, 3\]"):
        dxflow.plan(truth.path, Average(img=Frames(mask=bad[:2])))


@pytest.mark.properties
@settings(
    deadline=None,
    max_examples=int(os.environ.get("DXFLOW_EXAMPLES", "12")),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_any_modules_and_region_with_any_mask_are_what_numpy_says(truth, data):
    modules = tuple(data.draw(st.permutations(range(8)))[: data.draw(st.integers(1, 8))])
    a, c = data.draw(st.integers(0, 14)), data.draw(st.integers(0, 10))
    region = np.s_[a : data.draw(st.integers(a + 1, 16)), c : data.draw(st.integers(c + 1, 12))]
    random = np.random.default_rng(data.draw(st.integers(0, 99)))
    bad = random.random((8, 16, 12)) < data.draw(st.sampled_from([0.0, 0.1, 0.9]))
    bad[:, region[0].start, region[1].start] = False
    mask = (
        bad[list(modules)]
        if data.draw(st.booleans()) and sorted(modules) != list(range(len(modules)))
        else bad
    )
    mask = mask[:, *region] if data.draw(st.booleans()) else mask
    run_too, bits = data.draw(st.booleans()), data.draw(st.sampled_from([None, 1, 2, 7]))
    img = Frames(modules=modules, roi=region, mask=["auto", mask] if run_too else mask, bits=bits)
    block = data.draw(st.sampled_from([200, 3000, 10**6]))
    found = dxflow.reduce(truth.path, Average(img=img), block=block, **HERE).dataset
    frames = good(truth, bits) if run_too else stored(truth, "data").astype("f8")
    check_average(found, np.where(bad, np.nan, frames)[:, modules][..., *region])


def test_a_mask_of_cells_of_a_run_without_frames_is_no_reason_to_say_more_than_that(tmp_path):
    truth = make_run(
        tmp_path / "r0001",
        detector="AGIPD500K",
        module_shape=(4, 4),
        trains=2,
        plant=Plant(empty_trains=[0, 1]),
    )
    with pytest.raises(PlanError, match="nothing to read"):
        dxflow.plan(truth.path, Average(), mask=np.zeros((8, 8, 4, 4), bool))


def test_bits_are_numbers_or_names_and_the_sign_is_one_of_them(own):
    rewrite(own, "mask", lambda x, _: np.where(x == 1, -(2**31), x).astype("i4"))
    mask, frames = stored(own, "mask"), stored(own, "data").astype("f8")
    assert (mask < 0).any()
    for bits, bad in {
        None: mask != 0,
        2: mask == 2,
        "NOISE_OUT_OF_THRESHOLD": mask == 2,
        ("NOISE_OUT_OF_THRESHOLD", 1 << 31): mask != 0,
        "0x2 | 0x80000000": mask != 0,
        1 << 31: mask < 0,
    }.items():
        data = dxflow.reduce(own.path, Average(img=Frames(modules=THREE, bits=bits)), **HERE).dataset
        check_average(data, np.where(bad, np.nan, frames))
    with pytest.raises(
        ValueError, match="no mask bit is named 'HOT'; expected a number such as 0x1f, or OFFSET_OUT"
    ):
        Frames(bits="HOT")


@pytest.mark.parametrize(
    ("mask", "says"),
    [
        ("image.masc", "no key 'image.masc' in .*; mask=None uses the frames without one"),
        ("image.data", r"image.data is float32 \(16, 12\): not a mask for frames of \(16, 12\)"),
        ("nowhere.npy", "mask nowhere.npy: there is no such file"),
        (
            np.zeros((3, 16, 12), bool),
            r"\(module, ss, fs\) = \(3, 16, 12\); expected \(8, 16, 12\) for modules",
        ),
        (np.zeros((8, 12, 16), bool), r"= \(8, 12, 16\); expected \(8, 16, 12\)"),
        (["image.mask", "image.gain"], "expected at most one key of the run"),
        (np.ones((8, 16, 12), bool), "leaves no pixel of SPB_DET_AGIPD500K2G"),
    ],
)
def test_what_does_not_fit_is_refused_in_the_plan_with_both_shapes(truth, mask, says):
    with pytest.raises(PlanError, match=says):
        dxflow.plan(truth.path, Average(img=Frames(mask=mask)))


def test_masks_of_floats_and_bits_that_the_mask_has_not_are_refused(truth):
    with pytest.raises(ValueError, match=r"the mask is float64 \(8, 16, 12\); expected bool \(True is bad\)"):
        Frames(mask=np.ones((8, 16, 12)))
    with pytest.raises(
        PlanError, match="bits=0x100000000: none of them is in mask image.mask, which has 32 bits"
    ):
        dxflow.plan(truth.path, Average(img=Frames(bits=1 << 32)))


def test_a_mask_with_another_axis_is_refused(own):
    rewrite(own, "mask", lambda x, _: np.stack([x, x], axis=1))
    with pytest.raises(
        PlanError, match=r"image.mask is uint32 \(2, 16, 12\): not a mask for frames of \(16, 12\)"
    ):
        dxflow.plan(own.path, Average(img=Frames(modules=THREE)))


def test_masks_of_a_jungfrau_are_those_of_the_cell_whatever_the_chunks(tmp_path):
    run = make_run(tmp_path / "r", detector="JUNGFRAU", modules=1, **SIZE)
    random = np.random.default_rng(0)
    for path in Path(run.path).glob("*JNGFR*.h5"):
        with h5py.File(path, "r+") as file:
            name = f"INSTRUMENT/{run.sources[0]}/data/mask"
            shape = file[name].shape
            del file[name]
            values = (random.random(shape) < 0.3).astype("u4")
            file.create_dataset(name, data=values, chunks=(1, *shape[1:]), compression="gzip", shuffle=True)
    check_average(dxflow.reduce(run.path, Average(), **HERE).dataset, good(run))


# Integers


class Looks(Algorithm):
    """Counts valid pixels and sums values, valid or not; of blocks."""

    ALG_ID = "looks"
    inputs = {"img": Frames()}

    def outputs(self, info):
        return {"n": Output(per="pixel", dtype="i8"), "sum": Output(per="pixel")}

    def process_module_data(self, block, out):
        assert block.masked("img")
        out.n += block.valid("img").sum(axis=0)
        out.sum += block["img"].sum(axis=0, dtype="f8")


class LooksAtTrains(Looks):
    """The same of trains."""

    process_module_data = Algorithm.process_module_data

    def process_train_data(self, train, out):
        out.n += train.valid("img").sum(axis=0)
        out.sum += train["img"].sum(axis=0, dtype="f8")


@pytest.mark.parametrize("fill", [None, 0, 7])
@pytest.mark.parametrize("algorithm", [Looks, LooksAtTrains])
def test_masked_integers_are_told_and_never_filled_without_being_told(photons, algorithm, fill):
    img = Frames(modules=THREE, fill=fill)
    data = dxflow.reduce(photons.path, algorithm(img=img), **HERE).dataset
    values, bad = stored(photons, "data"), stored(photons, "mask") != 0
    np.testing.assert_array_equal(data["looks.n"], (~bad).sum(axis=0))
    expected = values if fill is None else np.where(bad, fill, values)
    np.testing.assert_array_equal(data["looks.sum"], expected.sum(axis=0, dtype="f8"))


class Sums(Algorithm):
    """Sums frames as one does with floats: bad pixels of integers are no NaN."""

    ALG_ID = "sums"
    inputs = {"img": Frames()}

    def outputs(self, info):
        return {"sum": Output(per="img")}

    def process_module_data(self, block, out):
        out.sum += np.nansum(block["img"], axis=(1, 2), dtype="f8")


class SumsOfTrains(Sums):
    """The same of trains."""

    process_module_data = Algorithm.process_module_data

    def process_train_data(self, train, out):
        out.sum = np.nansum(train["img"], axis=(1, 2, 3), dtype="f8")


@pytest.mark.parametrize("sums", [Sums, SumsOfTrains])
def test_who_never_asks_which_integers_are_bad_is_named_in_the_report_and_a_warning(tmp_path, sums):
    raw = make_run(
        tmp_path / "r", detector="AGIPD500K", data="raw", trains=2, pulses=2, module_shape=(16, 12)
    )
    bad = np.zeros((8, 16, 12), bool)
    bad[:, 3] = True
    mask = tmp_path / "bad.npy"
    np.save(mask, bad)
    algorithms = [
        sums(),
        Average(),
        RoiSum(),
        LitFrames(threshold=9),
        Subtract(dark=bad * 1.0),
        Average(name="less"),
    ]
    algorithms[-1] = Average(name="less", img=From("subtract.img"))
    with pytest.warns(
        UserWarning, match=r"sums never asked which pixels of img are bad, valid\('img'\)"
    ) as seen:
        result = dxflow.reduce(raw.path, algorithms, mask=str(mask), **HERE)
    assert len(seen) == 1
    (line,) = [x for x in result.report().splitlines() if x.startswith("check")]
    assert "sums never asked which pixels of img are bad" in line
    assert "bad.npy" in line
    told = "told by valid(): uint16 keeps the values of bad pixels"
    assert told in result.manifest["reads"]["sums"]
    assert told in result.dataset.attrs["sums.reads"]
    assert told in str(dxflow.plan(raw.path, sums(), mask=str(mask)))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("sums", [Sums, SumsOfTrains])
def test_nobody_is_named_whose_bad_pixels_are_filled_or_nan(photons, truth, sums):
    for path, fill in ((photons.path, 0), (truth.path, None)):
        result = dxflow.reduce(path, sums(img=Frames(modules=THREE, fill=fill)), **HERE)
        assert "check" not in result.report()
        assert "told by" not in result.report()


@pytest.mark.parametrize("fill", [None, 0])
@pytest.mark.parametrize("dtype", ["u2", "i4", "f4"])
@pytest.mark.parametrize("trains", [False, True])
def test_masked_pixels_never_count_whatever_they_are_filled_with(own, dtype, fill, trains):
    if dtype != "f4":
        rewrite(own, "data", lambda x, _: np.rint(np.clip(x, 0, 60000)).astype(dtype))
    img = Frames(modules=THREE, fill=fill)
    algorithms = [
        Average(img=img),
        Average(name="cells", per="cell", img=img),
        RoiSum(ss=(2, 9), fs=(1, 12), img=img),
        LitFrames(threshold=2, img=img),
        AzimuthalIntegration(nbins=5, solid_angle=False, img=img),
        Subtract(dark=np.full((3, 16, 12), 0.5), img=img),
        Average(name="less", img=From("subtract.img")),
    ] + [LooksAtTrains(img=img)] * (trains and not (dtype == "f4" and fill is None))
    data = dxflow.reduce(own.path, algorithms, block=3000, **HERE).dataset
    frames = good(own)
    check_average(data, frames)
    check_average(data, frames - 0.5, "less")
    part = frames[:, :, 2:9, 1:12]
    np.testing.assert_allclose(data["roi.sum"], np.nansum(part, axis=(1, 2, 3)), rtol=1e-6)
    np.testing.assert_array_equal(data["roi.pixels"], (~np.isnan(part)).sum(axis=(1, 2, 3)))
    np.testing.assert_array_equal(data["litframes.lit_pixels"], (frames > 2).sum(axis=(1, 2, 3)))
    np.testing.assert_array_equal(data["litframes.valid_pixels"], (~np.isnan(frames)).sum(axis=(1, 2, 3)))
    q = own.q()
    bins = np.clip(((q - q.min()) / (q.max() - q.min()) * 5).astype(int), 0, 4)
    profile = [np.nanmean(frames[:, bins == k]) for k in range(5)]
    np.testing.assert_allclose(data["azint.mean"], profile, rtol=0.01)
    of_cell = own.cell_ids == 2
    np.testing.assert_array_equal(data["cells.count"][2], (~np.isnan(frames[of_cell])).sum(axis=0))


def test_integers_cannot_be_filled_with_what_they_cannot_hold(photons):
    with pytest.raises(PlanError, match=r"fill=nan: frames of uint16 cannot hold it; give fill=0"):
        dxflow.plan(photons.path, Average(img=Frames(modules=THREE, fill=np.nan)))


# Masks that are missing or broken


@pytest.mark.parametrize(
    ("change", "lost"),
    [
        pytest.param(lambda x, _: None, range(12), id="missing"),
        pytest.param(lambda x, _: x.astype("u1"), range(12), id="another type"),
        # The last train of each of the two files.
        pytest.param(lambda x, _: x[:-1], [4, 5, 6, 7, 8, 9, 10, 11], id="shorter"),
    ],
)
def test_a_module_without_its_mask_is_refused_by_name_and_not_used_if_faults_are_masked(own, change, lost):
    frames, values = good(own), stored(own, "data").astype("f8")
    frames[list(lost), 1] = np.nan
    rewrite(own, "mask", change, modules=[1])
    img = Frames(modules=THREE)
    with pytest.raises(
        PlanError, match=r"(?s)module 1 .*missing mask.*image[./]mask.*mask=None uses them without"
    ):
        dxflow.plan(own.path, Average(img=img))
    result = dxflow.reduce(own.path, Average(img=img), on_fault="mask", **HERE)
    check_average(result.dataset, frames)
    account = result.account.set_index("module")
    assert account["missing mask"].tolist() == [0, len(lost), 0]
    assert account["used"].tolist() == [12, 12 - len(lost), 12]
    plain = dxflow.reduce(own.path, Average(img=Frames(modules=THREE, mask=None)), **HERE)
    check_average(plain.dataset, values)
    assert plain.losses.empty


def test_a_mask_that_cannot_be_decoded_is_named_as_the_masks_and_only_its_frame_is_lost(own):
    path = sorted(Path(own.path).glob("*AGIPD01-S00000.h5"))[0]
    with h5py.File(path) as file:
        chunk = file[f"INSTRUMENT/{own.sources[1]}/image/mask"].id.get_chunk_info(2)
    with path.open("r+b") as raw:
        raw.seek(chunk.byte_offset)
        raw.write(b"\xff" * chunk.size)
    result = dxflow.reduce(own.path, Average(img=Frames(modules=THREE)), **HERE)
    loss = result.losses.iloc[0]
    assert (len(result.losses), loss.cause, loss.module, loss.frames) == (1, "unreadable mask", 1, 1)
    assert re.search("image/mask row 2", loss.detail)
    assert result.account["unreadable mask"].tolist() == [0, 1, 0]
