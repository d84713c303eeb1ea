"""verify and open: all damage is found, and what is not finished is not opened."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from samples import RoiSum, Stats, TrainSums

import dxflow
from dxflow import cli
from dxflow.simulate import make_run
from dxflow.verify import verify


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


def test_a_thousand_of_a_thousand_seeded_damages_are_found_and_named(stored):
    rng, files, kinds = np.random.default_rng(20), files_of(stored), set()
    for number in range(1000):
        file = files[rng.integers(len(files))]
        kind, undo = damaged(file, rng)
        kinds.add(kind)
        problems = verify(stored)
        undo()
        assert len(problems) == 1, (number, kind, file)
        assert str(file) in problems[0]
    assert kinds == {"flip", "truncate", "delete"}
    assert verify(stored) == []


@pytest.mark.parametrize("name", ["r.nc", "r.nxs", "r.cxi", "r.tiff", "exdf/"])
def test_damage_is_found_in_every_format(small, tmp_path, name):
    to = f"{tmp_path}/{name}"
    result = dxflow.reduce(small.path, [RoiSum(), Stats(), TrainSums()], to, cluster="here")
    assert verify(to) == []
    rng, files = np.random.default_rng(5), files_of(result.path)
    for number in range(60):
        file = files[rng.integers(len(files))]
        kind, undo = damaged(file, rng)
        assert verify(to), (number, kind, file)
        undo()
    assert verify(to) == []


def test_damage_does_not_depend_on_when_the_file_was_changed_or_who_owns_it(stored, tmp_path):
    shutil.copytree(stored, tmp_path / "copy.zarr", copy_function=shutil.copy)
    assert verify(tmp_path / "copy.zarr") == []


def test_a_file_that_is_no_part_of_the_result_is_told(stored, tmp_path):
    shutil.copytree(stored, tmp_path / "r.zarr")
    (tmp_path / "r.zarr" / "roisum.intensity" / "c" / "7").write_bytes(b"x")
    assert [p.split(": ")[1] for p in verify(tmp_path / "r.zarr")] == ["it is no part of the result"]


def test_the_manifest_lists_every_file_and_how_the_result_was_made(stored, small):
    manifest = json.loads((stored / "dxflow.json").read_text())
    there = {str(f.relative_to(stored)): f.stat().st_size for f in files_of(stored)}
    there.pop("dxflow.json")
    assert {name: size for name, (size, _) in manifest["files"].items()} == there
    plan = manifest["plan"]
    assert set(plan) >= {"files", "algorithms", "versions", "selection", "chunks"}
    size, _ = next(iter(plan["files"].values()))
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
    with pytest.raises(FileNotFoundError, match=r"q\.zarr: no such result\. There is \['r\.zarr'\]"):
        dxflow.open(stored.with_name("q.zarr"))
    (tmp_path / "u.zarr.partial").mkdir()
    with pytest.raises(FileNotFoundError, match=r"unfinished.*resume=True"):
        dxflow.open(tmp_path / "u.zarr")
    with pytest.raises(FileNotFoundError, match=r"no result of dxflow: it has no dxflow\.json"):
        dxflow.open(tmp_path)
    with pytest.raises(OSError, match="no manifest of dxflow"):
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
    shard = tmp_path / "r.zarr" / "stats.mean" / "c" / "0" / "0" / "0"
    shard.write_bytes(shard.read_bytes()[:-1])
    assert cli.main(["verify", str(tmp_path / "r.zarr")]) == 1
    out = capsys.readouterr().out
    assert str(shard) in out
    assert "were written" in out


def test_the_command_says_that_there_is_no_such_result(tmp_path, capsys):
    assert cli.main(["verify", str(tmp_path / "none.zarr")]) == 1
    assert "missing" in capsys.readouterr().out
