import sys

import h5py
import numpy as np
import pytest

from dxflow.reader.faults import ReadFault
from dxflow.reader.files import Files
from dxflow.reader.layout import layout_of

VALUES = np.arange(96, dtype="f4").reshape(4, 4, 6)


def of(path, name="/x"):
    files = Files()
    try:
        return files.layout(str(path), name)
    finally:
        files.close()


def write(path, values=VALUES, **options):
    with h5py.File(path, "w") as f:
        f.create_dataset("x", data=values, **options)
    return path


def test_positions_are_those_of_the_bytes(tmp_path):
    path = write(tmp_path / "x.h5", chunks=(2, 4, 6))
    found = of(path)
    whole = path.read_bytes()
    for row, position in enumerate(found.position(np.arange(4))):
        assert whole[position : position + found.row_bytes] == VALUES[row].tobytes()


@pytest.mark.parametrize(
    ("values", "options", "why"),
    [
        (VALUES.astype(">f4"), {}, "values of type >f4"),
        (VALUES.astype("c8"), {}, "values of type complex64"),
        (VALUES, {"chunks": (2, 2, 6)}, "chunks .* that cut frames"),
        (VALUES, {"chunks": (2, 4, 6), "compression": "lzf"}, "filters"),
    ],
)
def test_what_is_left_to_hdf5_says_why(tmp_path, values, options, why):
    import re

    found = of(write(tmp_path / "x.h5", values, **options))
    assert found.way == "hdf5"
    assert re.match(why, found.why)


def test_a_file_with_a_user_block_is_left_to_hdf5(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w", userblock_size=512) as f:
        f["x"] = VALUES
    assert of(tmp_path / "x.h5").why == "a file with a user block"


def test_a_virtual_dataset_is_the_rows_of_its_sources(tmp_path):
    write(tmp_path / "source.h5")
    virtual = h5py.VirtualLayout((6, 4, 6), "f4")
    virtual[:2] = h5py.VirtualSource(tmp_path / "source.h5", "x", (4, 4, 6))[2:]
    virtual[4:] = h5py.VirtualSource("source.h5", "x", (4, 4, 6))[:2]
    with h5py.File(tmp_path / "x.h5", "w") as f:
        f.create_virtual_dataset("x", virtual)
    found = of(tmp_path / "x.h5")
    source = str(tmp_path / "source.h5")
    assert (found.way, found.parts) == ("virtual", ((0, 2, source, "x", 2), (4, 6, source, "x", 0)))


def test_a_virtual_dataset_of_other_than_whole_rows_is_refused(tmp_path):
    virtual = h5py.VirtualLayout((4, 4, 6), "f4")
    virtual[:, :2] = h5py.VirtualSource(write(tmp_path / "source.h5"), "x", (4, 4, 6))[:, :2]
    with h5py.File(tmp_path / "x.h5", "w") as f:
        f.create_virtual_dataset("x", virtual)
    with pytest.raises(ReadFault, match="not made of whole rows"):
        of(tmp_path / "x.h5")


def test_a_link_within_the_run_is_followed_and_one_that_leaves_it_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "elsewhere").mkdir()
    write(tmp_path / "run" / "near.h5")
    write(tmp_path / "elsewhere" / "far.h5")
    with h5py.File(tmp_path / "run" / "x.h5", "w") as f:
        f["near"] = h5py.ExternalLink("near.h5", "/x")
        f["far"] = h5py.ExternalLink("../elsewhere/far.h5", "/x")
    files = Files()
    assert files.place(str(tmp_path / "run" / "x.h5"), "/near") == (str(tmp_path / "run" / "near.h5"), "/x")
    assert files.others(str(tmp_path / "run" / "x.h5"), "/near") == [str(tmp_path / "run" / "near.h5")]
    files.close()
    assert of(tmp_path / "run" / "x.h5", "/near").why == "contiguous"
    with pytest.raises(ReadFault, match=r"a link that leaves the run, to .*far\.h5, is refused"):
        of(tmp_path / "run" / "x.h5", "/far")


def test_filters_of_plug_ins_are_made_known(tmp_path):
    import subprocess

    # In another process: once hdf5plugin is imported here, its filters stay known.
    import hdf5plugin

    with h5py.File(tmp_path / "x.h5", "w") as f:
        f.create_dataset("x", data=VALUES, chunks=(1, 4, 6), **hdf5plugin.Bitshuffle())
    code = (
        "import sys; from dxflow.reader.files import Files; f = Files();"
        "d = f.layout(sys.argv[1], '/x'); print(d.way, d.why, f.dataset(sys.argv[1], '/x')[:].sum())"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "x.h5"], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == ["hdf5", "filters", "(32008,)", str(VALUES.sum())]


def test_a_missing_plug_in_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(h5py.h5z, "filter_avail", lambda code: code != 32000)
    path = write(tmp_path / "x.h5", chunks=(1, 4, 6), compression="lzf")
    with (
        h5py.File(path) as f,
        pytest.raises(ReadFault, match="HDF5 filter 32000, which is not installed: pip install"),
    ):
        layout_of(f["x"], str(path))
