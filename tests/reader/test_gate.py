"""The gate: nothing outside of a run is read, through whatever leads there, and nothing fills the memory."""

import functools
import itertools
import os
import resource
import zlib

import h5py
import numpy as np
import pytest
from samples import RoiSum

import dxflow
from dxflow import Frames, Key, PlanError
from dxflow.reader import gate
from dxflow.reader.extents import array
from dxflow.reader.faults import ReadFault
from dxflow.reader.files import Files
from dxflow.simulate import make_run

SMALL = {
    "detector": "AGIPD500K",
    "trains": 4,
    "pulses": 2,
    "modules": 3,
    "module_shape": (8, 8),
    "sequences": 1,
}
IMG = {"img": Frames(modules=(0, 1, 2), mask="image.mask")}
FILE = "CORR-R0001-AGIPD01-S00000.h5"
SOURCE = "SPB_DET_AGIPD500K2G/CORR/1CH0:output"
INDEX = f"INDEX/{SOURCE}/image"
NAMES = [
    *(f"INSTRUMENT/{SOURCE}/image/{key}" for key in ("data", "mask", "pulseId", "cellId", "trainId")),
    f"{INDEX}/first",
    f"{INDEX}/count",
    "INDEX/trainId",
    "INDEX/flag",
    "METADATA/dataSources/dataSourceId",
    "METADATA/dataFormatVersion",
]


@pytest.fixture
def run(tmp_path):
    make_run(tmp_path / "run", **SMALL, legacy_names=False)
    return tmp_path / "run"


def reduced(run, **options):
    return dxflow.reduce(run, RoiSum(**IMG), cluster="here", quiet=True, **options)


def outside(run, name, kind):
    """Have a dataset of a file lie, or seem to lie, in a file outside of the run; it is otherwise the same."""
    other = run.parent / "elsewhere.h5"
    with h5py.File(run / FILE, "r+") as f:
        values = f[name][()]
        with h5py.File(other, "w") as o:
            o[name] = values
        del f[name]
        match kind:
            case "external link":
                f[name] = h5py.ExternalLink(str(other), f"/{name}")
            case "link of a group":
                group, _, key = name.rpartition("/")
                f.move(group, "kept")
                with h5py.File(other, "a") as o:
                    for left in f["kept"]:
                        f.copy(f"kept/{left}", o[group])
                f[group] = h5py.ExternalLink("../elsewhere.h5", f"/{group}")
            case "soft link to an external one":
                f["away"] = h5py.ExternalLink(str(other), "/")
                f[name] = h5py.SoftLink(f"/away/{name}")
            case "virtual":
                layout = h5py.VirtualLayout(values.shape, values.dtype)
                layout[...] = h5py.VirtualSource(str(other), name, values.shape)
                f.create_virtual_dataset(name, layout)
            case "external storage":
                raw = run.parent / "raw.bin"
                raw.write_bytes(values.tobytes())
                f.create_dataset(
                    name, values.shape, values.dtype, external=[(str(raw), 0, h5py.h5f.UNLIMITED)]
                )
            case "symlink of a link":
                (run / "near.dat").symlink_to(other)
                f[name] = h5py.ExternalLink("near.dat", f"/{name}")


KINDS = [
    "external link",
    "soft link to an external one",
    "virtual",
    "external storage",
    "symlink of a link",
    "link of a group",
]


@pytest.mark.parametrize(
    ("name", "kind"),
    [(n, k) for i, n in enumerate(NAMES) for j, k in enumerate(KINDS) if (i + j) % 3 == 0 or i in (0, 2)],
)
def test_nothing_outside_of_a_run_is_read(run, name, kind):
    values_kind = h5py.File(run / FILE)[name].dtype.kind
    if kind == "external storage" and values_kind == "O":
        return
    outside(run, name, kind)
    with pytest.raises(PlanError, match=rf"{FILE}.*(refused|cannot be read)"):
        dxflow.plan(run, RoiSum(**IMG), quiet=True)
    result = reduced(run, on_fault="mask")
    assert FILE in {os.path.basename(f) for f in result.losses.file}
    assert result.dataset.modules_used.values.max() == 2 or name == "METADATA/dataFormatVersion"


def test_a_control_value_outside_of_a_run_is_not_read(run):
    (file,) = run.glob("*DA*.h5")
    with h5py.File(file, "r+") as f, h5py.File(run.parent / "o.h5", "w") as o:
        name = "CONTROL/SPB_EXP_SCAN/MOTOR/STAGE/actualPosition/value"
        o["x"] = f[name][()]
        del f[name]
        f[name] = h5py.ExternalLink("../o.h5", "/x")
    with pytest.raises(PlanError, match="leaves the run"):
        dxflow.plan(run, RoiSum(img=Key("SPB_EXP_SCAN/MOTOR/STAGE", "actualPosition")), quiet=True)


def test_a_run_of_symbolic_links_to_where_the_files_really_are_is_read_as_ever(run):
    expected = reduced(run).dataset["roisum.intensity"].values
    real = run.rename(run.parent / "store")
    run.mkdir()
    for file in real.glob("*.h5"):
        (run / file.name).symlink_to(file)
    (run.parent / "r").symlink_to(run, target_is_directory=True)
    for path in (run, run.parent / "r"):
        assert np.array_equal(reduced(path).dataset["roisum.intensity"], expected)


def test_what_links_within_the_run_lead_to_is_read_and_may_not_change(run):
    expected = reduced(run).dataset["roisum.intensity"].values
    name = NAMES[0]
    with h5py.File(run / FILE, "r+") as f, h5py.File(run / "near.dat", "w") as o:
        o["x"] = f[name][()]
        del f[name]
        f[name] = h5py.ExternalLink("near.dat", "/x")
    plan = dxflow.plan(run, RoiSum(**IMG), quiet=True)
    assert str(run / "near.dat") in plan.inputs[0].location.files
    assert np.array_equal(dxflow.execute(plan, "here").dataset["roisum.intensity"], expected)
    plan = dxflow.plan(run, RoiSum(**IMG), quiet=True)
    os.utime(run / "near.dat")
    with pytest.raises(RuntimeError, match=r"near\.dat: changed since"):
        dxflow.execute(plan, "here")


def virtual(run, *, gone):
    """Have the frames of module 1 be virtual, of two files in the run; return what they were."""
    name = NAMES[0]
    with h5py.File(run / FILE, "r+") as f:
        values = f[name][()]
        del f[name]
        layout = h5py.VirtualLayout(
            values.shape,
            values.dtype,
        )
        for n, part in enumerate((slice(0, 4), slice(4, 8))):
            with h5py.File(run / f"part{n}.dat", "w") as o:
                o["x"] = values[part]
            layout[part] = h5py.VirtualSource(f"part{n}.dat", "x", (4, 8, 8))
        f.create_virtual_dataset(name, layout, fillvalue=7)
    if gone:
        (run / "part1.dat").unlink()
    return values


def test_virtual_datasets_are_read_from_their_sources(run):
    expected = reduced(run).dataset["roisum.intensity"].values
    virtual(run, gone=False)
    assert np.array_equal(reduced(run).dataset["roisum.intensity"], expected)


def test_a_missing_source_of_a_virtual_dataset_costs_its_rows_and_is_named(run):
    virtual(run, gone=True)
    result = reduced(run)
    assert result.dataset.modules_used.values.tolist() == [3] * 4 + [2] * 4
    (loss,) = result.losses.to_dict("records")
    assert (loss["cause"], loss["module"], loss["frames"], loss["first_train"]) == (
        "unreadable data",
        1,
        4,
        10003,
    )
    assert "part1.dat" in loss["file"] + loss["detail"]


def test_rows_that_no_source_of_a_virtual_dataset_has_were_never_written(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as f:
        f["part"] = np.arange(4)
        layout = h5py.VirtualLayout((6,), "i8")
        layout[1:5] = h5py.VirtualSource(".", "part", (4,))
        f.create_virtual_dataset("x", layout, fillvalue=9)
    files = Files()
    with pytest.raises(ReadFault, match="never written"):
        array(files, str(tmp_path / "x.h5"), "x")
    assert array(files, str(tmp_path / "x.h5"), "x", filled=True).tolist() == [0, 0, 1, 2, 3, 0]


def test_virtual_datasets_of_each_other_end(tmp_path):
    for a, b in (("a", "b"), ("b", "a")):
        with h5py.File(tmp_path / f"{a}.h5", "w") as f:
            layout = h5py.VirtualLayout((4,), "i8")
            layout[:] = h5py.VirtualSource(f"{b}.h5", "x", (4,))
            f.create_virtual_dataset("x", layout)
    with pytest.raises(ReadFault, match="too many"):
        array(Files(), str(tmp_path / "a.h5"), "x")


def test_links_in_a_circle_end(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as f:
        f["a"], f["b"] = h5py.SoftLink("/b"), h5py.SoftLink("/a")
    with pytest.raises(ReadFault, match="links lead to it"):
        Files().dataset(str(tmp_path / "x.h5"), "a")


@functools.cache
def bomb(size):
    engine = zlib.compressobj(9)
    return b"".join(engine.compress(b"\0" * 2**24) for _ in range(size // 2**24)) + engine.flush()


def bombed(path, chunk, filters, stored, shape=(8, 16, 16)):
    """Write a dataset whose first rows are in chunks that are given as stored."""
    with h5py.File(path, "w") as f:
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_chunk(chunk)
        for add in filters:
            getattr(plist, add)(*([9] if add == "set_deflate" else []))
        plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        most = tuple(max(a, b) for a, b in zip(shape, chunk, strict=True))
        space = h5py.h5s.create_simple(shape, most)
        made = h5py.h5d.create(f.id, b"x", h5py.h5t.NATIVE_FLOAT, space, plist)
        for corner in itertools.product(*(range(0, n, c) for n, c in zip(shape[1:], chunk[1:], strict=True))):
            made.write_direct_chunk((0, *corner), stored)
    return str(path)


@pytest.mark.parametrize(
    ("chunk", "filters", "size"),
    [
        ((1, 16, 16), ["set_deflate"], 2**30),
        ((1, 16, 16), ["set_deflate", "set_fletcher32"], 2**30),
        ((1, 8, 8), ["set_deflate"], 2**30),
        ((2**22, 16, 16), ["set_deflate"], 2**24),
        ((2**23, 8, 8), ["set_deflate", "set_fletcher32"], 2**24),
        # As many stored bytes as such a chunk may have, and far more decoded.
        ((2**11, 8, 8), ["set_deflate"], 2**29),
        ((2**11, 8, 8), ["set_shuffle", "set_deflate", "set_fletcher32"], 2**29),
    ],
)
def test_a_chunk_that_would_fill_the_memory_is_refused_before_it_is_made(tmp_path, chunk, filters, size):
    path = bombed(tmp_path / "x.h5", chunk, filters, bomb(size) + b"\0" * 4 * ("set_fletcher32" in filters))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ReadFault, match="refused|inflate|stored bytes|bytes for one of"):
        array(Files(), path, "x")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18


@pytest.mark.parametrize(
    ("shape", "chunk"), [((2**40, 4), (1, 4)), ((2**50, 4), (2**10, 4)), ((2**31 - 1,), (1,))]
)
def test_a_dataset_that_claims_too_many_rows_is_refused(tmp_path, shape, chunk):
    with h5py.File(tmp_path / "x.h5", "w") as f:
        f.create_dataset("x", shape, "f4", chunks=chunk)
    with pytest.raises(ReadFault, match="refused"):
        array(Files(), str(tmp_path / "x.h5"), "x")


def test_a_file_may_be_known_by_any_of_its_paths(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "x.h5").write_bytes(b"")
    (tmp_path / "x.h5").symlink_to("real/x.h5")
    (tmp_path / "real" / "y.h5").write_bytes(b"")
    assert gate.permitted("y.h5", str(tmp_path / "x.h5"), "n") == str(tmp_path / "real" / "y.h5")
    with pytest.raises(ReadFault, match="leaves the run"):
        gate.permitted("/etc/passwd", str(tmp_path / "x.h5"), "n")
    with pytest.raises(ReadFault, match="is not there"):
        gate.permitted("z.h5", str(tmp_path / "x.h5"), "n")
