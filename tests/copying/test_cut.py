"""A file that is written object by object is the original, whatever is in it."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from turns import turns

from dxflow.copying.cut import write
from dxflow.copying.tasks import FileTask
from dxflow.reader.files import stat_of

DATA = ("corr", "raw")
DETECTORS = ("AGIPD1M", "AGIPD500K", "LPD1M", "DSSC1M", "JUNGFRAU", "JUNGFRAU1")
VERSIONS = ("0.5", "1.0", "1.1", "1.2", "1.3")


def rewritten(path, to, **what):
    task = FileTask(str(path), Path(path).name, stat_of(str(path)), **what)
    write([], task, to, sync=False)
    return to


@pytest.mark.properties
@pytest.mark.parametrize(("data", "detector", "version"), turns(DATA, DETECTORS, VERSIONS))
def test_every_object_link_and_attribute_of_every_kind_of_file_comes_out_as_it_was(
    made, same_file, tmp_path, version, detector, data
):
    pulses = 1 if detector == "JUNGFRAU1" else 5
    modules = 1 if detector == "JUNGFRAU1" else 2
    devices = ("xgm", "motor", "camera", "agipd")
    run = made(version=version, detector=detector, data=data, pulses=pulses, modules=modules, devices=devices)
    for path in sorted(Path(run.path).glob("*S00000.h5")):
        same_file(path, rewritten(path, tmp_path / path.name))


@pytest.fixture
def unusual(tmp_path):
    """A file with most of what HDF5 can hold."""
    path = tmp_path / "unusual.h5"
    with h5py.File(path, "w", libver="earliest") as f:
        f["INDEX/trainId"] = np.arange(10, 14, dtype="u8")
        f["METADATA/dataSources/dataSourceId"] = np.array([], object).astype(h5py.special_dtype(vlen=bytes))
        f.attrs["note"] = "text of any length"
        group = f.create_group("tracked", track_order=True)
        for name in ("z", "a", "m"):
            group[name] = name
        f["scalar"], f["empty"] = 3.5, h5py.Empty("f4")
        f["lists"] = np.array([np.arange(n) for n in range(4)] + [None], object)[:4].astype(
            h5py.vlen_dtype(np.int64)
        )
        f["big_endian"] = np.arange(6, dtype=">u4")
        f["enum"] = np.array([0, 1], h5py.enum_dtype({"OFF": 0, "ON": 1}, "u1"))
        f["compound"] = np.zeros(3, [("x", "f4"), ("name", "S5")])
        f["type"] = np.dtype("f8")
        f["hard"] = f["big_endian"]
        f["soft"], f["dangling"] = h5py.SoftLink("/scalar"), h5py.SoftLink("/nowhere")
        f["external"] = h5py.ExternalLink("other.h5", "/data")
        f.create_dataset(
            "lzf", data=np.arange(5000).reshape(50, 100), chunks=(7, 33), compression="lzf", shuffle=True
        )
        f.create_dataset("sums", data=np.arange(100), chunks=(9,), fletcher32=True)
        f.create_dataset("holes", (40, 8), "f4", chunks=(1, 8), fillvalue=-1)[3:5] = 7
        f.create_dataset(
            "large", data=np.arange(400000).reshape(100, 4000), chunks=(1, 1000), maxshape=(None, 4000)
        )
        f.create_dataset("large_flat", data=np.arange(400000.0).reshape(100, 4000))
        f.create_dataset("deflated", data=np.arange(3000000) % 7919, chunks=(1000,), compression="gzip")
        f["enum"].attrs.create("fixed", np.bytes_(b"abc"))
        f["enum"].attrs["many"] = ["a", "bcd"]
        f["enum"].attrs["null"] = h5py.Empty("f8")
        virtual = h5py.VirtualLayout((4,), "u8")
        virtual[:] = h5py.VirtualSource(".", "INDEX/trainId", (4,))
        f.create_virtual_dataset("virtual", virtual)
    return path


def test_unusual_types_links_layouts_and_filters_come_out_as_they_were(unusual, same_file, tmp_path):
    copy = rewritten(unusual, tmp_path / "copy.h5")
    same_file(unusual, copy)
    with h5py.File(copy) as f, h5py.File(unusual) as g:
        assert f["hard"] == f["big_endian"]
        assert f["virtual"].is_virtual
        assert list(f["tracked"]) == list(g["tracked"])
        assert f.id.get_create_plist().get_version()[0] == 0


def test_references_into_the_file_are_refused_rather_than_wrong(unusual, tmp_path):
    with h5py.File(unusual, "a") as f:
        f["reference"] = np.array([f["scalar"].ref], h5py.ref_dtype)
    with pytest.raises(OSError, match="references into its file"):
        rewritten(unusual, tmp_path / "copy.h5")
