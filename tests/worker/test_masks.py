import os
import tracemalloc

import h5py
import numpy as np
import pytest
from extra_data import RunDirectory

import dxflow
from dxflow import Algorithm, Frames, Output
from dxflow.reader import decode
from dxflow.run.masks import BoundMask
from dxflow.simulate import make_run
from dxflow.worker import masks


class Sums(Algorithm):
    """Sum and number of valid values of each pixel, in blocks."""

    ALG_ID = "sums"
    inputs = {"img": Frames()}

    def outputs(self, info):
        return {"sum": Output(per="pixel"), "n": Output(per="pixel", dtype="i8")}

    def process_module_data(self, block, out):
        out.sum += np.nansum(block["img"], axis=0, dtype="f8")
        out.n += (~np.isnan(block["img"])).sum(axis=0)


class SumsOfTrains(Sums):
    """The same, in whole trains."""

    process_module_data = Algorithm.process_module_data

    def process_train_data(self, train, out):
        out.sum += np.nansum(train["img"], axis=0, dtype="f8")
        out.n += (~np.isnan(train["img"])).sum(axis=0)


@pytest.fixture(scope="module", params=[True, False], ids=["compressed", "plain"])
def truth(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("masked") / "r"
    options = {"trains": 7, "pulses": 5, "modules": 3, "module_shape": (16, 12), "bad_pixels": 0.1}
    return make_run(path, compress_masks=request.param, **options)


def expected(truth, module, bits=0xFFFFFFFF, roi=np.s_[:, :]):
    run = RunDirectory(truth.path)
    source = truth.sources[module]
    data, mask = (run[source, key].ndarray() for key in ("image.data", "image.mask"))
    return np.where(mask & np.uint32(bits), np.nan, data)[:, roi[0], roi[1]]


def reduced(truth, algorithm, **frames):
    frames = {"modules": (0, 1, 2), "mask": "image.mask"} | frames
    return dxflow.reduce(truth.path, algorithm(img=Frames(**frames)), cluster="here", block=3000).dataset


@pytest.mark.parametrize("algorithm", [Sums, SumsOfTrains])
@pytest.mark.parametrize(
    "roi", [np.s_[:, :], np.s_[3:9, :], np.s_[3:9, 2:7]], ids=["all", "rows", "rectangle"]
)
def test_masked_pixels_are_nan_wherever_they_are_read(truth, algorithm, roi):
    result = reduced(truth, algorithm, roi=roi)
    for module in range(3):
        values = expected(truth, module, roi=roi)
        assert np.isnan(values).any()
        np.testing.assert_array_equal(result["sums.n"][module], (~np.isnan(values)).sum(axis=0))
        np.testing.assert_allclose(
            result["sums.sum"][module], np.nansum(values, axis=0, dtype="f8"), rtol=1e-6
        )


def test_only_the_bits_asked_for_make_a_pixel_bad(truth):
    result = reduced(truth, Sums, bits=1)
    one, every = expected(truth, 0, bits=1), expected(truth, 0)
    assert np.isnan(one).sum() < np.isnan(every).sum()
    np.testing.assert_array_equal(result["sums.n"][0], (~np.isnan(one)).sum(axis=0))


def test_another_fill_value_is_taken(truth):
    result = reduced(truth, Sums, fill=0.0)
    assert (result["sums.n"] == len(truth.frame_train_ids)).all()
    np.testing.assert_allclose(
        result["sums.sum"][2], np.nansum(expected(truth, 2), axis=0), rtol=1e-5, atol=1e-5
    )


def test_equal_masks_are_decoded_once(truth, monkeypatch):
    calls = []
    real = decode.inflate

    def counted(data, size):
        calls.append(size)
        return real(data, size)

    monkeypatch.setattr(decode, "inflate", counted)
    reduced(truth, Sums, modules=(0,))
    compressed = (
        "deflate" in dxflow.plan(truth.path, Sums(img=Frames(modules=(0,), mask="image.mask"))).explain()
    )
    # All frames of a simulated module have the same mask.
    assert len(calls) == (1 if compressed else 0)


@pytest.mark.parametrize("order", ["AABACCB", "ABCABCA", "AAAAAAB", "NNNANNA"])
def test_masks_that_change_between_frames_strike_their_own_frames(tmp_path, order):
    """Equal neighbours are struck out at once; N has no bad pixel."""
    options = {"trains": 1, "pulses": 7, "modules": 1, "module_shape": (16, 8), "sequences": 1}
    truth = make_run(tmp_path / "r", detector="AGIPD500K", compress_masks=True, **options)
    random = np.random.default_rng(3)
    kinds = {c: (random.random((16, 8)) < 0.2).astype("u4") for c in "ABC"} | {"N": np.zeros((16, 8), "u4")}
    with h5py.File(next((tmp_path / "r").glob("CORR-*AGIPD00*")), "r+") as file:
        old = file[f"/INSTRUMENT/{truth.sources[0]}/image/mask"]
        name, how = old.name, {"chunks": old.chunks, "compression": "gzip", "shuffle": old.shuffle}
        del file[name]
        new = file.create_dataset(name, (7, 16, 8), "u4", **how)
        for frame, kind in enumerate(order):
            new[frame] = kinds[kind]
    values = expected(truth, 0)
    assert np.isnan(values).sum() == sum(kinds[c].sum() for c in order)
    result = reduced(truth, Sums, modules=(0,))
    np.testing.assert_array_equal(result["sums.n"][0], (~np.isnan(values)).sum(axis=0))
    np.testing.assert_allclose(result["sums.sum"][0], np.nansum(values, axis=0, dtype="f8"), rtol=1e-6)


def test_a_full_cache_changes_nothing(truth, monkeypatch):
    whole = reduced(truth, Sums)["sums.sum"].values
    monkeypatch.setattr(masks, "CACHE_BYTES", 0)
    np.testing.assert_array_equal(reduced(truth, Sums)["sums.sum"].values, whole)


def test_integers_cannot_be_filled_with_nan(tmp_path):
    truth = make_run(tmp_path / "r", trains=2, pulses=2, modules=1, module_shape=(8, 8))
    with pytest.raises(dxflow.PlanError, match=r"frames of uint8 cannot hold it; give fill=0"):
        dxflow.plan(truth.path, Sums(img=Frames("image.gain", modules=(0,), mask="image.mask", fill=np.nan)))


def test_a_key_that_is_no_mask_is_refused(truth):
    with pytest.raises(dxflow.PlanError, match="not a mask for frames of"):
        dxflow.plan(truth.path, Sums(img=Frames(modules=(0,), mask="image.data")))


@pytest.fixture
def own(tmp_path):
    """A run with compressed masks that a test may damage, and the file and dataset of one of its modules."""
    options = {"trains": 3, "pulses": 2, "modules": 2, "module_shape": (16, 8), "sequences": 1}
    truth = make_run(tmp_path / "r", detector="AGIPD500K", compress_masks=True, bad_pixels=0.1, **options)
    path = next((tmp_path / "r").glob("CORR-*AGIPD01*"))
    return truth, path, f"/INSTRUMENT/{truth.sources[1]}/image/mask"


def masked(truth):
    img = Frames(modules=(0, 1), mask="image.mask")
    return dxflow.reduce(truth.path, Sums(img=img), cluster="here", on_fault="mask", quiet=True)


def test_a_mask_that_claims_too_many_bytes_is_refused_before_they_are_read(own, monkeypatch):
    truth, path, name = own
    with h5py.File(path, "r+") as file:
        file[name].id.write_direct_chunk((3, 0, 0), os.urandom(2**20))
    asked, real = [], os.pread

    def pread(descriptor, size, at):
        asked.append(size)
        return real(descriptor, size, at)

    monkeypatch.setattr(os, "pread", pread)
    lost = masked(truth).losses
    assert max(asked) < 2**16
    assert lost[["file", "module", "first_train"]].values.tolist() == [[str(path), 1, truth.train_ids[1]]]
    assert lost["detail"][0].startswith(f"{name} row 3 (pulse 4): chunk 3: 1048576 bytes for one of 512")


def test_a_mask_that_the_disk_does_not_give_is_a_fault_with_its_name(own, monkeypatch):
    truth, path, name = own
    with h5py.File(path) as file:
        bad, real = file[name].id.get_chunk_info(2).byte_offset, os.pread

    def pread(descriptor, size, at):
        if at <= bad < at + size < at + 4096 and os.path.samestat(os.fstat(descriptor), path.stat()):
            raise OSError(5, "Input/output error")
        return real(descriptor, size, at)

    monkeypatch.setattr(os, "pread", pread)
    lost = masked(truth).losses
    assert lost[["file", "module", "first_train"]].values.tolist() == [[str(path), 1, truth.train_ids[1]]]
    assert "Input/output error" in lost["detail"][0]
    assert name in lost["detail"][0]


def test_what_is_kept_of_masks_is_bounded_however_small_each_is(monkeypatch):
    """Masks without a bad pixel take room, too."""
    monkeypatch.setattr(masks, "CACHE_BYTES", 2**20)
    cells = 40_000
    mask = BoundMask(
        "m", None, 1, None, cells=np.arange(cells), digest="d", packed=np.zeros((1, cells, 1), np.uint8)
    )
    pixels = masks.Pixels(np.zeros((1, 2, 4), "f4"), None, np.nan)
    cache = masks.Masks()
    tracemalloc.start()
    for cell in range(cells):
        cache.apply_static(mask, 0, np.array([cell]), pixels)
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 1.2 * 2**20


HOW = {
    "plain": {},
    "chunked": {"chunks": (1, 40, 32)},
    "deflated": {"chunks": (1, 40, 32), "compression": "gzip"},
    "shuffled": {"chunks": (1, 40, 32), "compression": "gzip", "shuffle": True},
    "several frames": {"chunks": (3, 40, 32), "compression": "gzip", "shuffle": True},
    "cut": {"chunks": (1, 16, 16), "compression": "gzip", "shuffle": True},
}


@pytest.mark.parametrize(
    ("how", "dtype"),
    [
        *((how, "u4") for how in HOW),
        *(("shuffled", d) for d in ("u1", "i2", "u8")),
        ("plain", "i2"),
        ("plain", ">u4"),
        ("shuffled", ">i2"),
    ],
)
def test_masks_of_any_kind_that_differ_in_each_frame_strike_their_own_pixels(tmp_path, how, dtype):
    """Frames without a bad pixel, with one, with all bad, in the last of a size that is no multiple of anything."""
    random = np.random.default_rng(5)
    options = {"trains": 1, "pulses": 9, "modules": 1, "module_shape": (40, 32), "sequences": 1}
    truth = make_run(tmp_path / "r", detector="AGIPD500K", **options)
    width = 8 * np.dtype(dtype).itemsize
    mask = np.where(random.random((9, 40, 32)) < 0.1, 1 << random.integers(0, width - 1, (9, 40, 32)), 0)
    mask[2], mask[3], mask[4], mask[4, 39, 31] = 0, 1, 0, 1
    mask = mask.astype(dtype)
    mask[5, 7, 9] = np.iinfo(dtype).min or np.iinfo(dtype).max
    with h5py.File(next((tmp_path / "r").glob("CORR-*AGIPD00*")), "r+") as file:
        name = file[f"/INSTRUMENT/{truth.sources[0]}/image/mask"].name
        del file[name]
        file.create_dataset(name, data=mask, **HOW[how])
    data = RunDirectory(truth.path)[truth.sources[0], "image.data"].ndarray()
    for bits in (None, 1 << width - 2):
        bad = (mask != 0) if bits is None else (mask & np.dtype(dtype).type(bits)) != 0
        for roi in (np.s_[:, :], np.s_[5:40, :], np.s_[5:30, 3:9]):
            frames = {"modules": (0,), "bits": bits, "roi": roi, "mask": "image.mask"}
            found = dxflow.reduce(truth.path, Sums(img=Frames(**frames)), cluster="here", quiet=True).dataset
            there = ~bad[:, roi[0], roi[1]]
            np.testing.assert_array_equal(found["sums.n"][0], there.sum(axis=0))
            expect = np.where(there, data[:, roi[0], roi[1]], 0).sum(axis=0, dtype="f8")
            np.testing.assert_allclose(found["sums.sum"][0], expect, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("fill", [None, 7])
def test_pixels_of_integers_that_keep_their_values_are_told_apart(tmp_path, fill):
    """Frames that are large enough for compiled loops, once through their own mask, once through a mask for all."""
    options = {"trains": 1, "pulses": 3, "modules": 1, "module_shape": (80, 64), "bad_pixels": 0.1}
    truth = make_run(tmp_path / "r", detector="AGIPD500K", compress_masks=False, **options)
    run = RunDirectory(truth.path)
    bad = run[truth.sources[0], "image.mask"].ndarray() != 0
    gain = run[truth.sources[0], "image.gain"].ndarray()

    class Told(Algorithm):
        ALG_ID = "told"
        inputs = {"img": Frames("image.gain")}

        def outputs(self, info):
            return {"sum": Output(per="pixel"), "n": Output(per="pixel", dtype="i8")}

        def process_module_data(self, block, out):
            out.sum += block["img"].sum(axis=0, dtype="f8")
            out.n += block.valid("img").sum(axis=0)

    for mask in ("image.mask", bad[0]):
        img = Frames("image.gain", mask=mask, fill=fill, modules=(0,))
        found = dxflow.reduce(truth.path, Told(img=img), cluster="here", quiet=True).dataset
        np.testing.assert_array_equal(found["told.n"][0], (~bad).sum(axis=0))
        expect = gain if fill is None else np.where(bad, fill, gain)
        np.testing.assert_array_equal(found["told.sum"][0], expect.sum(axis=0))
