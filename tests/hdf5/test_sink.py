"""Whatever happens to the process that writes, there is an error with a name, and no file that is wrong."""

import os
import time

import h5py
import numpy as np
import pytest

from dxflow.exdf import WriteError
from dxflow.hdf5.sink import Sink

NOISE = np.random.default_rng(0).normal(size=(64, 4096)).astype("f4")


def fill(sink, blocks=1):
    """Put some noise into a file, and close it."""
    sink.rows("data/noise", NOISE.dtype, NOISE.shape[1:])
    for _ in range(blocks):
        sink.append("data/noise", NOISE)
    return sink.close()


def left(folder):
    """Return the names in a folder, once a killed process had the time to tidy up."""
    for _ in range(100):
        if not os.listdir(folder):
            break
        time.sleep(0.05)
    return os.listdir(folder)


def test_a_file_has_no_name_before_it_is_complete(tmp_path):
    sink = Sink(tmp_path / "x.h5")
    answer = fill(sink)
    assert [p.suffix for p in tmp_path.iterdir()] == [".part"]
    sink.publish()
    assert [p.name for p in tmp_path.iterdir()] == ["x.h5"]
    assert answer["bytes"] == (tmp_path / "x.h5").stat().st_size
    with h5py.File(tmp_path / "x.h5") as file:
        assert np.array_equal(file["data/noise"][:], NOISE)


def test_all_kinds_of_content_come_back(tmp_path):
    sink = Sink(tmp_path / "x.h5")
    sink.plain("small", np.arange(3))
    sink.text("words", ["a", "µ" * 50])
    sink.group("empty/group")
    sink.array("whole", np.dtype("i2"), (4, 2), (1, 2, 2))
    sink.region("whole", (2, 0), np.full((2, 2), 7, "i2"))
    sink.rows("none", np.dtype("f8"), (3,))
    sink.attributes("small", {"unit": "m", "n": 3})
    sink.attributes("none", {"late": "yes"})
    sink.link("elsewhere", "other.h5", "/there")
    sink.close()
    sink.publish()
    with h5py.File(tmp_path / "x.h5") as file:
        assert file["small"][:].tolist() == [0, 1, 2]
        assert file["words"].asstr()[:].tolist() == ["a", "µ" * 50]
        assert isinstance(file["empty/group"], h5py.Group)
        assert file["whole"][0].tolist() == [[0, 0], [0, 0], [7, 7], [7, 7]]
        assert file["none"].shape == (0, 3)
        assert dict(file["small"].attrs) == {"unit": "m", "n": 3}
        assert file["none"].attrs["late"] == "yes"
        assert file.get("elsewhere", getlink=True).filename == "other.h5"


@pytest.mark.parametrize(
    ("path", "words"),
    [("none/x.h5", "does not exist; make it first"), ("x" * 300, "File name too long; choose another name")],
)
def test_a_place_where_no_file_can_be_is_refused_at_once(tmp_path, path, words):
    with pytest.raises(WriteError, match=words):
        Sink(tmp_path / path)


def test_the_longest_name_that_a_file_can_have_is_possible(tmp_path):
    sink = Sink(tmp_path / ("x" * 252 + ".h5"))
    fill(sink)
    sink.publish()


def test_a_read_only_place_is_refused_at_once(read_only_disk):
    with pytest.raises(WriteError, match="is read-only; choose another"):
        Sink(read_only_disk / "x.h5")


def test_giving_up_leaves_nothing(tmp_path):
    sink = Sink(tmp_path / "x.h5")
    sink.plain("x", np.arange(3))
    sink.discard()
    sink.discard()
    assert left(tmp_path) == []
