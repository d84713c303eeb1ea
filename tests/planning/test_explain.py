import re

import numpy as np
import pytest
from samples import RoiSum

import dxflow
from dxflow import Frames, FrameSelection, Labels
from dxflow.algorithms.average import Average
from dxflow.run.bound import bytes_spared
from dxflow.simulate import Plant, make_run

SIZE = {"trains": 5, "pulses": 4, "modules": 2, "module_shape": (16, 16), "devices": ()}
FRAMES = 5 * 4 * 2


def explained(path, frames=None, **options):
    return dxflow.plan(path, RoiSum(img=Frames(modules=(0, 1), **options)), frames=frames).explain()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"layout": "contiguous"}, r"100% read straight into the buffer, without HDF5 \(contiguous\)"),
        ({"layout": "chunked"}, r"100% read straight into the buffer, without HDF5 \(chunked\)"),
        (
            {"compress_data": True},
            r"100% decoded here, in parallel and without HDF5's lock \(shuffle\+deflate\)",
        ),
    ],
)
def test_each_way_is_named_with_its_reason(tmp_path, options, says):
    make_run(tmp_path / "r", **SIZE, **options)
    assert re.search(says, explained(tmp_path / "r"))


def test_what_is_left_to_hdf5_says_why(tmp_path):
    import h5py

    truth = make_run(tmp_path / "r", **SIZE)
    for file in (tmp_path / "r").glob("*AGIPD*.h5"):
        with h5py.File(file, "r+") as f:
            group = next(g for name, g in f["INSTRUMENT/SPB_DET_AGIPD1M-1/CORR"].items() if "CH0" in name)[
                "image"
            ]
            data = group["data"][:]
            del group["data"]
            group.create_dataset("data", data=data, chunks=(1, 16, 16), compression="lzf")
    assert truth.key == "image.data"
    assert re.search(
        r"100% through HDF5, one thread at a time \(filters \(32000,\)\)", explained(tmp_path / "r")
    )


def test_the_bytes_are_those_of_the_frames(tmp_path):
    make_run(tmp_path / "r", layout="contiguous", **SIZE)
    text = explained(tmp_path / "r")
    size = f"{FRAMES * 16 * 16 * 4 / 1000:.3g} kB"
    assert f"{size} from files for {size}" in text
    assert "spared" not in text


def test_compressed_bytes_are_counted_as_stored(tmp_path):
    import h5py

    truth = make_run(tmp_path / "r", compress_data=True, **SIZE)
    stored = 0
    for file in (tmp_path / "r").glob("*AGIPD*.h5"):
        with h5py.File(file) as f:
            for source in truth.sources:
                if (name := f"INSTRUMENT/{source}/image/data") in f:
                    stored += f[name].id.get_storage_size()
    assert f"{stored / 1000:.3g} kB from files" in explained(tmp_path / "r")


def test_what_selecting_spares_is_counted(tmp_path):
    truth = make_run(tmp_path / "r", layout="contiguous", **SIZE)
    one = FrameSelection(pulses=[int(truth.pulse_ids[0])])
    frame = 16 * 16 * 4
    spared = f"{(FRAMES - FRAMES // 4) * frame / 1000:.3g} kB"
    assert f"spared: {spared}" in explained(tmp_path / "r", one)
    spared = f"{FRAMES * frame * 3 / 4 / 1000:.3g} kB"
    assert f"spared: {spared}" in explained(tmp_path / "r", roi=np.s_[4:8, :])
    result = dxflow.reduce(tmp_path / "r", RoiSum(img=Frames(modules=(0, 1))), frames=one, cluster="here")
    assert "spared   " in result.report()


def test_labels_of_frames_spare_nothing_where_a_module_lacks_trains(tmp_path):
    truth = make_run(tmp_path / "r", **SIZE | {"modules": None, "plant": Plant(lost_trains={1: (3,)})})
    ids = {"train_ids": truth.frame_train_ids, "pulse_ids": truth.pulse_ids}
    by = Labels(np.arange(20) % 2 == 0, **ids)
    plan = dxflow.plan(tmp_path / "r", Average(by=by, img=Frames(modules=(0, 1))), on_fault="mask")
    assert [bytes_spared(one) for one in plan.inputs] == [0, 0]


def test_masks_are_explained_apart(tmp_path):
    make_run(tmp_path / "r", layout="contiguous", **SIZE)
    text = explained(tmp_path / "r", mask="image.mask", bits=3)
    assert re.search(r"mask image.mask, bits 0x3:\n  100% decoded here", text)
