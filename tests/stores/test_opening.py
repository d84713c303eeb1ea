"""verify and open: all damage is found, and what is not finished is not opened."""

import json
import os
import pickle
import re
import shutil
from pathlib import Path

import h5py
import numpy as np
import pytest
from extra_data import RunDirectory
from samples import RoiSum, Stats, TrainSums

import dxflow
from dxflow import FrameSelection, Output
from dxflow.commands import main as cli
from dxflow.disk import manifest as _manifest
from dxflow.driver.result import Result
from dxflow.simulate import make_run
from dxflow.stores.hdf5 import file as _hdf5
from dxflow.stores.opening import verify


@pytest.fixture(scope="module")
def run(half):
    return half


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small") / "r0003"
    return make_run(folder, detector="AGIPD500K", trains=6, pulses=4, module_shape=(8, 8))


@pytest.fixture(scope="module")
def stored(small, tmp_path_factory):
    to = tmp_path_factory.mktemp("stored") / "r.zarr"
    dxflow.reduce(small.path, [RoiSum(), Stats(), TrainSums()], to, cluster="here")
    return to


def files_of(path):
    return sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]


def damaged(path, rng):
    """Flip a bit of a file, cut it, or delete it; return what was done, and how to undo it."""
    good, kind = path.read_bytes(), ("flip", "truncate", "delete")[rng.integers(3)]
    at = int(rng.integers(len(good)))
    if kind == "flip":
        bad = bytearray(good)
        bad[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(bad)
    elif kind == "truncate":
        path.write_bytes(good[:at])
    else:
        path.unlink()
    return kind, lambda: path.write_bytes(good)


def test_a_result_as_it_was_written_has_no_problems(stored):
    assert verify(stored) == []


@pytest.fixture(scope="module", params=["r.zarr", "r.nc", "r.nxs", "r.cxi", "r.tiff", "exdf/"])
def any_result(small, request, tmp_path_factory):
    to = f"{tmp_path_factory.mktemp('any')}/{request.param}"
    return dxflow.reduce(small.path, [RoiSum(), TrainSums()], to, cluster="here").path


def test_a_thousand_of_a_thousand_seeded_damages_are_found_and_named(any_result, monkeypatch):
    # Which array it is, another process finds out: for a few of them, below.
    monkeypatch.setattr(_hdf5, "blamed", lambda *what: "")
    assert verify(any_result) == []
    rng, files, kinds = np.random.default_rng(20), files_of(any_result), set()
    for number in range(1000):
        file = files[rng.integers(len(files))]
        kind, undo = damaged(file, rng)
        kinds.add(kind)
        problems = verify(any_result)
        undo()
        assert len(problems) == 1, (number, kind, file)
        assert str(file) in problems[0]
    assert kinds == {"flip", "truncate", "delete"}
    assert verify(any_result) == []


@pytest.mark.parametrize("any_result", ["r.nc", "r.nxs", "r.cxi"], indirect=True)
def test_of_one_file_the_damaged_array_is_named(any_result):
    good = any_result.read_bytes()
    with h5py.File(any_result) as file:
        places = json.loads(file["dxflow/manifest"][()])["hdf5"]["variables"]
        found = {name: file[places[name]["path"]].id.get_offset() for name in ("tsum.pix", "train_id")}
    # The first byte of values; the signature of HDF5.
    for at, said in {**{v: f"damaged is {k}" for k, v in found.items()}, 1: "HDF5 cannot read it"}.items():
        any_result.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert verify(any_result)[0].endswith(said)
    any_result.write_bytes(good)


def test_of_exdf_files_the_dataset_that_cannot_be_read_is_named(small, tmp_path):
    path = dxflow.reduce(small.path, TrainSums(), f"{tmp_path}/exdf/", cluster="here").path
    (file,) = path.glob("*.h5")
    with h5py.File(file) as opened:
        name = "INSTRUMENT/SPB_DET_AGIPD500K2G/DXFLOW/TSUM:output/frame/row"
        chunk = opened[name].id.get_chunk_info(0)
    good = file.read_bytes()
    for at, said in {
        chunk.byte_offset + chunk.size // 2: f"damaged is {name}",
        1: "HDF5 cannot read it",
    }.items():
        file.write_bytes(good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :])
        assert verify(path)[0].endswith(said)


def test_damage_does_not_depend_on_when_the_file_was_changed_or_who_owns_it(stored, tmp_path):
    shutil.copytree(stored, tmp_path / "copy.zarr", copy_function=shutil.copy)
    assert verify(tmp_path / "copy.zarr") == []


def test_a_file_that_is_no_part_of_the_result_is_told(stored, tmp_path):
    shutil.copytree(stored, tmp_path / "r.zarr")
    (tmp_path / "r.zarr" / "roisum.intensity" / "c.7").write_bytes(b"x")
    assert [p.split(": ")[1] for p in verify(tmp_path / "r.zarr")] == ["it is no part of the result"]


def test_the_manifest_lists_every_file_and_how_the_result_was_made(stored, small):
    manifest = json.loads((stored / "dxflow.json").read_text())
    there = {str(f.relative_to(stored)): f.stat().st_size for f in files_of(stored)}
    there.pop("dxflow.json")
    assert {name: size for name, (size, _) in manifest["files"].items()} == there
    plan = manifest["plan"]
    assert set(plan) >= {"files", "algorithms", "versions", "chunks"}
    size, *_ = next(iter(plan["files"].values()))
    assert size > 1000
    assert manifest["losses"] == []


@pytest.mark.parametrize("name", ["r.zarr", "r.nc", "r.nxs", "r.cxi", "r.tiff", "exdf/"])
def test_open_gives_the_same_result_as_reduce_for_every_format(small, tmp_path, name):
    to = f"{tmp_path}/{name}"
    made = dxflow.reduce(small.path, [RoiSum(), TrainSums()], to, cluster="here")
    opened = dxflow.open(to)
    assert opened.manifest == made.manifest
    assert opened.report() == made.report()
    for variable in made.dataset.variables:
        np.testing.assert_array_equal(opened.dataset[variable], made.dataset[variable])


def test_open_says_what_there_is_instead(stored, tmp_path, small):
    with pytest.raises(
        FileNotFoundError, match=r"q\.zarr: no such result\. Did you mean 'r\.zarr'\? There are: r\.zarr$"
    ):
        dxflow.open(stored.with_name("q.zarr"))
    (tmp_path / "u.zarr.partial").mkdir()
    with pytest.raises(FileNotFoundError, match=r"unfinished.*resume=True"):
        dxflow.open(tmp_path / "u.zarr")
    with pytest.raises(FileNotFoundError, match=r"no result of dxflow: it has no dxflow\.json"):
        dxflow.open(tmp_path)
    with pytest.raises(
        ValueError, match="no small-data file.* It is a file of a EuXFEL run: open its folder"
    ):
        dxflow.open(files_of(Path(small.path))[0])


def test_open_refuses_a_manifest_that_was_changed(stored, tmp_path):
    shutil.copytree(stored, tmp_path / "r.zarr")
    manifest = tmp_path / "r.zarr" / "dxflow.json"
    manifest.write_text(manifest.read_text().replace('"losses": []', '"losses": [1]'))
    with pytest.raises(OSError, match="its checksum is not"):
        dxflow.open(tmp_path / "r.zarr")


def test_the_command_exits_with_0_for_a_whole_result_and_1_for_a_damaged_one(stored, tmp_path, capsys):
    assert cli.main(["verify", str(stored)]) == 0
    assert "as it was written" in capsys.readouterr().out
    shutil.copytree(stored, tmp_path / "r.zarr")
    shard = tmp_path / "r.zarr" / "stats.mean" / "c.0.0.0"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert cli.main(["verify", str(tmp_path / "r.zarr")]) == 1
    out = capsys.readouterr().out
    assert str(shard) in out
    assert "were written" in out


def test_the_command_says_that_there_is_no_such_result(tmp_path, capsys):
    assert cli.main(["verify", str(tmp_path / "none.zarr")]) == 2
    assert capsys.readouterr().err == f"dxflow: {tmp_path}/none.zarr: no such result\n"


# Copies of runs -------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["whole", "cut"])
def copied(small, request, tmp_path_factory):
    to = tmp_path_factory.mktemp("copied") / "r0003"
    frames = None if request.param == "whole" else FrameSelection(pulses=slice(0, 100))
    return dxflow.copy_run(small.path, to, frames=frames), to


def test_damage_of_a_copy_is_found_and_named(copied, monkeypatch):
    monkeypatch.setattr(_hdf5, "blamed", lambda *what: "")
    _, to = copied
    assert verify(to) == []
    rng, files = np.random.default_rng(7), files_of(to)
    for number in range(100):
        file = files[rng.integers(len(files))]
        kind, undo = damaged(file, rng)
        assert [p for p in verify(to) if str(file) in p], (number, kind, file)
        undo()
    assert verify(to) == []


def test_what_extra_data_leaves_in_a_copy_is_no_damage(copied):
    _, to = copied
    assert len(RunDirectory(str(to)).train_ids) == 6
    (to / "karabo_data_map.json").write_text("[]")
    assert verify(to) == []
    (to / "karabo_data_map.json").unlink()


def test_open_says_of_a_copy_what_it_is(copied):
    report, to = copied
    opened = dxflow.open(to)
    assert opened.is_copy
    assert opened.report() == str(report)
    assert opened.losses.empty
    assert opened.account.empty
    assert str(to) in opened._repr_html_()
    with pytest.raises(TypeError, match=r"copy of a run.*extra_data\.RunDirectory"):
        opened.dataset  # noqa: B018 - it is to raise


@pytest.fixture(params=["zarr", "exdf", "tiff"])
def made(run, tmp_path, request):
    """A result in a folder, of several variables."""
    name = "x/" if request.param == "exdf" else f"x.{request.param}"
    return dxflow.reduce(run.path, [RoiSum(ss=(0, 4)), Stats()], f"{tmp_path}/{name}", cluster="here").path


def data_files(path):
    return sorted(
        f for f in path.rglob("*") if f.is_file() and f.name != "dxflow.json" and f.suffix != ".tif"
    )


def test_a_missing_or_shortened_file_of_a_result_is_named_when_it_is_opened(made):
    before = {f: f.read_bytes() for f in data_files(made)}
    for file, content in before.items():
        for what in ("missing", "bytes"):
            file.unlink() if what == "missing" else file.write_bytes(content[:-1])
            for opened in (lambda: dxflow.open(made), lambda: Result(made).dataset.load()):
                with pytest.raises(OSError, match=rf"{re.escape(file.name)}.*{what}"):
                    opened()
            file.write_bytes(content)
    dxflow.open(made).dataset.load()


def test_a_changed_byte_is_named_when_it_is_read(made):
    # Not read: the metadata of each array, which the store has all in one, and names for EXtra-data.
    for file in [f for f in data_files(made) if f.suffix != ".json" or f == made / "zarr.json"]:
        content = file.read_bytes()
        at = len(content) // 2
        file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(OSError, match=rf"{re.escape(file.name)}: .*checksum"):
            dxflow.open(made).dataset.load()
        file.write_bytes(content)


def test_a_dataset_of_a_result_can_be_pickled_and_read_by_dask(made):
    if made.suffix == "":
        return
    found = dxflow.open(made).dataset
    again = pickle.loads(pickle.dumps(found))
    assert again.load().equals(found.load())
    assert dxflow.open(made).dataset.chunk().compute(scheduler="threads").equals(found)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/../../secret", "", "a//b"])
def test_a_manifest_that_names_files_elsewhere_is_refused(made, name):
    secret = made.parent / "secret"
    secret.write_text("secret")
    facts = json.loads((made / "dxflow.json").read_text())
    files = {**facts.pop("files"), name: [6, 1]}
    facts.pop("crc32")
    _manifest.write(made, facts, files)
    (found,) = verify(made)
    assert re.search(r"dxflow.json: it lists .* outside of the result", found)
    with pytest.raises(OSError, match="outside of the result"):
        dxflow.open(made)


def test_links_pipes_and_folders_in_place_of_files_are_named_and_not_followed(made):
    file = data_files(made)[0]
    content = file.read_bytes()
    (made.parent / "same").write_bytes(content)
    for make in (lambda: file.symlink_to(made.parent / "same"), lambda: os.mkfifo(file), file.mkdir):
        file.unlink() if not file.is_dir() else file.rmdir()
        make()
        found = verify(made)
        assert any(
            re.search(rf"{re.escape(file.name)}: (it is|.*link|no regular)", line) for line in found
        ), found
        with pytest.raises(OSError, match=re.escape(file.name)):
            dxflow.open(made)


def test_a_pipe_or_device_is_no_result_and_nothing_waits_for_it(tmp_path):
    os.mkfifo(tmp_path / "x.nc")
    for path in (tmp_path / "x.nc", "/dev/zero"):
        assert verify(path) == [f"{path}: it is no regular file"]
        with pytest.raises(OSError, match="no regular file"):
            dxflow.open(path)


@pytest.mark.parametrize("unit", ["seconds", "hours", "s", "days since 2000-01-01"])
def test_values_are_what_they_were_whatever_their_unit(run, tmp_path, unit):
    class Timed(RoiSum):
        def outputs(self, info):
            return {"intensity": Output(per="img", unit=unit), "at": Output(per="train", unit=unit)}

        def process_module_data(self, block, out):
            out.intensity += 1.5

    for name in ("x.zarr", "x.nc", "x/"):
        found = dxflow.reduce(run.path, Timed(), f"{tmp_path}/{name}", cluster="here").dataset
        assert found["roisum.intensity"].dtype == "f8"
        assert set(found["roisum.intensity"].values.tolist()) == {1.5 * 8}
        assert found["roisum.intensity"].attrs["units"] == unit
        assert found["time"].dtype.kind == "M"
