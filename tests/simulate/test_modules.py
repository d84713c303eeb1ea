"""How frames are laid out in the files, and pools."""

import h5py
import numpy as np
import pytest

from dxflow.simulate import Speckle, make_run
from dxflow.simulate.modules import shuffle_deflate

TINY = {"module_shape": (16, 8), "trains": 4, "pulses": 3, "modules": 2, "sequences": 1}


def dataset(path, key="image/data", name="CORR-R0001-AGIPD01-S00000.h5", source="CORR/1CH0:output"):
    with h5py.File(path / name) as file:
        found = file[f"INSTRUMENT/SPB_DET_AGIPD1M-1/{source}/{key}"]
        return found[:], found.chunks, found.compression, found.shuffle, found.id.get_offset()


def test_frames_are_chunks_of_one_frame_and_masks_are_compressed(tmp_path):
    make_run(tmp_path, **TINY)
    assert dataset(tmp_path)[1:4] == ((1, 16, 8), None, False)
    for key in ("mask", "gain"):
        assert dataset(tmp_path, f"image/{key}")[1:4] == ((1, 16, 8), "gzip", True)


@pytest.mark.parametrize(
    "options", [{"layout": "contiguous"}, {"compress_data": True}, {"compress_masks": False}]
)
@pytest.mark.parametrize("pool", [None, 2])
def test_layout_and_compression_do_not_change_the_data(tmp_path, options, pool):
    make_run(tmp_path / "a", pool=pool, **TINY)
    make_run(tmp_path / "b", pool=pool, **options, **TINY)
    for key in ("data", "mask", "gain"):
        assert np.array_equal(
            dataset(tmp_path / "a", f"image/{key}")[0], dataset(tmp_path / "b", f"image/{key}")[0]
        )


def test_contiguous_frames_have_an_offset_in_the_file(tmp_path):
    make_run(tmp_path, layout="contiguous", **TINY)
    _, chunks, _, _, offset = dataset(tmp_path)
    assert chunks is None
    assert offset > 0


@pytest.mark.parametrize(("detector", "data", "axes"), [("JUNGFRAU", "corr", 2), ("JUNGFRAU", "raw", 2)])
def test_jungfrau_has_an_entry_per_train_and_a_chunk_per_frame(tmp_path, detector, data, axes):
    truth = make_run(tmp_path, detector=detector, data=data, **TINY)
    prefix = "CORR" if data == "corr" else "RAW"
    with h5py.File(tmp_path / f"{prefix}-R0001-JNGFR02-S00000.h5") as file:
        group = file[f"INSTRUMENT/{truth.sources[1]}/data"]
        assert group["adc"].shape == (4, 3, 16, 8)
        assert group["adc"].chunks == (1, 1, 16, 8)
        assert group["memoryCell"][:].tolist() == [[0, 1, 2]] * 4
        assert group["gain"].shape == (4, 3, 16, 8)
        assert ("mask" in group) == (data == "corr")


@pytest.mark.parametrize("signal", [None, Speckle()])
@pytest.mark.parametrize("data", ["corr", "raw"])
def test_frames_of_a_pool_are_exact_copies_of_their_donors(tmp_path, signal, data):
    truth = make_run(tmp_path, **{**TINY, "trains": 12}, pool=2, signal=signal, data=data)
    corrected = data == "corr"
    frames = dataset(
        tmp_path,
        name=f"{'CORR' if corrected else 'RAW'}-R0001-AGIPD01-S00000.h5",
        source="CORR/1CH0:output" if corrected else "DET/1CH0:xtdf",
    )[0]
    assert np.array_equal(frames, frames[truth.donor])
    donors = np.unique(truth.donor)
    assert len(donors) < len(frames)
    assert len(np.unique(frames[donors].reshape(len(donors), -1), axis=0)) == len(donors)


def test_donors_of_a_pool_are_the_frames_drawn_without_one(tmp_path):
    pooled = make_run(tmp_path / "a", pool=2, **TINY)
    make_run(tmp_path / "b", **TINY)
    donors = np.unique(pooled.donor)
    assert np.array_equal(dataset(tmp_path / "a")[0][donors], dataset(tmp_path / "b")[0][donors])


def test_raw_xtdf_sources_have_their_groups_per_train(tmp_path):
    make_run(tmp_path, data="raw", **TINY)
    name, source = "RAW-R0001-AGIPD01-S00000.h5", "DET/1CH0:xtdf"
    assert dataset(tmp_path, "header/pulseCount", name, source)[0].tolist() == [3] * 4
    assert dataset(tmp_path, "detector/data", name, source)[0].shape == (4, 5408)
    assert dataset(tmp_path, "image/trainId", name, source)[0].shape == (12, 1)
    assert dataset(tmp_path, "image/length", name, source)[0][0, 0] == 16 * 8 * 2 * 2


def test_corrected_modules_may_do_without_their_older_names(tmp_path):
    make_run(tmp_path, legacy_names=False, **TINY)
    with h5py.File(tmp_path / "CORR-R0001-AGIPD00-S00000.h5") as file:
        assert list(file["INSTRUMENT/SPB_DET_AGIPD1M-1"]) == ["CORR"]


def test_chunks_are_what_hdf5_itself_writes(tmp_path):
    image = np.arange(64, dtype="f4").reshape(8, 8)
    with h5py.File(tmp_path / "f.h5", "w") as file:
        out = file.create_dataset(
            "d", data=image, chunks=(8, 8), compression="gzip", compression_opts=1, shuffle=True
        )
        assert out.id.read_direct_chunk((0, 0))[1] == shuffle_deflate(image)
