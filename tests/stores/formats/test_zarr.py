"""Zarr: v3, sharded, checksummed, opened by xarray alone."""

import json
import re
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import numpy as np
import programs
import pytest
import xarray as xr
import zarr
from disks import mounted
from samples import Bright, RoiSum, Stats, TrainSums

import dxflow
from dxflow import Output, PlanError
from dxflow.algorithms.average import Average
from dxflow.simulate import make_run
from dxflow.stores.formats.zarr import Zarr
from dxflow.stores.opening import verify
from dxflow.stores.shards.sharding import CHUNK_BYTES, shardings
from dxflow.stores.store import variables as store_variables
from dxflow.stores.variables import Variable
from dxflow.testing import check_store
from dxflow.testing.case import cut


@pytest.fixture(scope="module")
def run(half):
    return half


@pytest.fixture(scope="module")
def result(run, tmp_path_factory):
    to = tmp_path_factory.mktemp("zarr") / "r.zarr"
    return dxflow.reduce(run.path, [RoiSum(), Stats(), TrainSums(), Bright()], to, cluster="here")


def test_the_store_passes_the_conformance_check():
    check_store(Zarr, "r.zarr")


def test_xarray_opens_it_without_dxflow_and_gets_values_labels_and_units(result, run):
    code = f"""
import sys, xarray as xr
data = xr.open_zarr({str(result.path)!r})
assert not [m for m in sys.modules if m.startswith("dxflow")], "dxflow was imported"
x = data["roisum.intensity"]
print(x.attrs["units"], x.dims, sorted(map(str, x.coords)), float(x.astype("f8").sum()), data.attrs["run"])
"""
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    total = float(result.dataset["roisum.intensity"].astype("f8").sum())
    labels = ["cell_id", "modules_used", "pulse_id", "train_id"]
    assert out.strip() == f"adu ('frame',) {labels} {total} {run.path}"


def test_every_array_is_version_3_with_a_checksum_and_in_shards_where_it_has_axes(result):
    group = zarr.open_group(result.path, mode="r")
    assert group.metadata.zarr_format == 3
    for name, array in group.arrays():
        meta = json.dumps(array.metadata.to_dict(), default=str)
        assert "crc32c" in meta, name
        if name in result.dataset.data_vars and array.ndim:
            assert "sharding_indexed" in meta, name


def test_values_are_read_when_they_are_used(result):
    data = dxflow.Result(result.path).dataset
    assert not any(v._in_memory for v in (a.variable for a in data.data_vars.values()))
    assert data["tsum.pix"].values.any()


def test_a_small_result_is_few_files(result):
    files = [f for f in result.path.rglob("*") if f.is_file()]
    assert len(files) <= 2 + 2 * len(result.dataset.variables)


def test_consolidated_and_plain_metadata_agree(result):
    plain = xr.open_zarr(result.path, consolidated=False)
    xr.testing.assert_identical(plain.load(), result.dataset.load())


def test_labels_metadata_and_names_of_a_stored_result_last_through_a_power_loss(run, tmp_path, monkeypatch):
    from dxflow.stores.formats import zarr as stores

    made, persist = [], stores.persist
    monkeypatch.setattr(stores, "persist", lambda path: (made.append(path), persist(path)))
    path = dxflow.reduce(run.path, Stats(), tmp_path / "x.zarr", cluster="here").path
    root = min(made, key=lambda p: len(p.parts))
    there = {p.relative_to(path) for p in (path, *path.rglob("*")) if p.is_dir() or p.name == "zarr.json"}
    labels = {p.relative_to(path) for name in ("train", "module") for p in (path / name).rglob("*")}
    assert there | labels <= {p.relative_to(root) for p in made}


def test_overwriting_replaces_the_old_result_only_at_the_end(run, tmp_path):
    to = tmp_path / "r.zarr"
    first = dxflow.reduce(run.path, RoiSum(ss=(0, 2)), to, cluster="here").dataset.load()
    with pytest.raises(dxflow.PlanError, match="overwrite=True"):
        dxflow.plan(run.path, RoiSum(), to)

    class Fails(RoiSum):
        def process_module_data(self, block, out):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        dxflow.reduce(run.path, Fails(), to, cluster="here", overwrite=True)
    xr.testing.assert_identical(dxflow.Result(to).dataset.load(), first)
    second = dxflow.reduce(run.path, RoiSum(), to, cluster="here", overwrite=True)
    assert (second.dataset["roisum.intensity"] > first["roisum.intensity"]).all()
    assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]


def test_a_link_is_not_followed_even_to_overwrite(run, tmp_path):
    (tmp_path / "r.zarr").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(dxflow.PlanError, match="symbolic link, which is not followed and not replaced"):
        dxflow.plan(run.path, RoiSum(), tmp_path / "r.zarr", overwrite=True)


@pytest.mark.parametrize("step", ["create", "keep", "write", "commit"])
def test_a_failure_while_storing_leaves_nothing_under_the_name_and_can_be_resumed(
    run, tmp_path, monkeypatch, step
):
    to = tmp_path / "r.zarr"

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    def reduced(to, **options):
        return dxflow.execute(cut(dxflow.plan(run.path, [Stats(), RoiSum()], to, **options), 2), "here")

    monkeypatch.setattr(Zarr, step, full)
    with pytest.raises(OSError, match="No space left") as caught:
        reduced(to)
    assert "resume=True" in "".join(caught.value.__notes__)
    assert not to.exists()
    monkeypatch.undo()
    result = reduced(to, resume=True)
    assert result.manifest["chunks"]["computed"] == 0
    np.testing.assert_array_equal(result.dataset["stats.mean"], reduced(None).dataset["stats.mean"])


def test_without_room_for_the_store_the_only_chunk_is_not_begun(run, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Zarr, "create", full)
    with pytest.raises(OSError, match="No space left"):
        dxflow.reduce(run.path, Stats(), tmp_path / "r.zarr", cluster="here")
    monkeypatch.undo()
    assert not list(tmp_path.glob("r.zarr.partial/chunk-*"))
    dxflow.reduce(run.path, Stats(), tmp_path / "r.zarr", cluster="here")
    assert [p.name for p in tmp_path.iterdir()] == ["r.zarr"]


# What labels there are ------------------------------------------------------------------------------


def test_trains_have_the_time_that_the_files_say(result, run):
    data = xr.open_zarr(result.path)
    from extra_data import RunDirectory

    wanted = RunDirectory(str(run.path)).train_timestamps()
    np.testing.assert_array_equal(data["time"].values, np.asarray(wanted, "M8[ns]"))
    assert data["time"].dims == ("train",)
    assert np.array_equal(data["train"], run.train_ids)


def test_a_run_without_times_has_a_result_without_times(example, tmp_path):
    class Pulses(dxflow.Algorithm):
        ALG_ID = "pulses"
        inputs = {"x": dxflow.Key("SA1_XTD2_XGM/DOOCS/MAIN:output", "data.intensityTD")}

        def outputs(self, info):
            return {"s": dxflow.Output(per="train")}

        def process_train_data(self, train, out):
            out.s = train["x"].sum()

    path = example("spb", format_version="0.5")
    made = dxflow.reduce(path, Pulses(), tmp_path / "r.zarr", cluster="here")
    assert "train" in made.dataset.coords
    assert "time" not in made.dataset.variables


def test_offsets_and_counts_cut_events_into_trains(result, run):
    data = xr.open_zarr(result.path)
    rows, offsets, counts = (data[f"tsum.ev{what}"].values for what in ("", "_offset", "_count"))
    for number, train in enumerate(run.train_ids):
        own = rows[offsets[number] : offsets[number] + counts[number]]
        assert own.tolist() == [[train, k] for k in range(int(train) % 3)]
    assert np.array_equal(data["tsum.ev_train_id"], np.repeat(run.train_ids, counts))


# How it is cut into files ---------------------------------------------------------------------------


def some_variable(rows, row_shape, dtype="f4"):
    dims = ("frame", *(f"x{i}" for i in range(len(row_shape))))
    return Variable(f"v{rows}", dims, (rows, *row_shape), np.dtype(dtype), {}, "v", "row", 0, "v")


def per_cell(modules, cells, name, dtype="f8"):
    dims = ("cell", "module", "ss", "fs")
    return Variable(name, dims, (cells, modules, 512, 128), np.dtype(dtype), {}, name, "part", -1, name)


class Cut(NamedTuple):
    """What a sharding needs of a plan."""

    parts: tuple
    chunks: tuple = (None,) * 500


WHOLE = Cut((slice(0, 16),))
APART = Cut(tuple(slice(n, n + 1) for n in range(16)))
RESULTS = {
    "100 GB of images": ([some_variable(24_000, (16, 512, 128))], WHOLE),
    "100 GB in ten outputs": ([some_variable(250_000 + n, (10_000,)) for n in range(10)], WHOLE),
    "spectra of 10 million frames": (
        [some_variable(10_000_000, (1000,)), some_variable(10_000_001, ())],
        WHOLE,
    ),
    "a dark per cell": ([per_cell(16, 352, n) for n in ("mean", "variance", "count")], APART),
    "six maps per cell": ([per_cell(16, 800, f"m{n}") for n in range(6)], APART),
    "a dark of few cells": ([per_cell(16, 8, n) for n in ("mean", "variance", "count")], WHOLE),
    "a map in parts of three modules": (
        [per_cell(16, 100, "mean")],
        Cut(tuple(slice(n, min(n + 3, 16)) for n in range(0, 16, 3))),
    ),
}


@pytest.mark.parametrize("what", RESULTS)
def test_results_of_up_to_100_gigabytes_are_less_than_100_files_of_bounded_memory(what):
    variables, plan = RESULTS[what]
    assert sum(v.nbytes for v in variables) <= 105e9
    made = shardings(variables, plan).values()
    assert sum(1 + sharding.shard_count() for sharding in made) <= 80, "20 are for coordinates and metadata"
    assert max(sharding.memory() for sharding in made) < 2**30


@pytest.mark.parametrize("what", RESULTS)
def test_shards_are_whole_chunks_and_no_two_pieces_share_one(what):
    variables, plan = RESULTS[what]
    for sharding in shardings(variables, plan).values():
        assert all(s % c == 0 for s, c in zip(sharding.shard, sharding.chunk, strict=True))
        files = [sharding.file(s) for _, a, b in sharding.pieces() for s in sharding.shards(a, b)]
        assert len(files) == len(set(files)) == sharding.shard_count()
        assert np.prod(sharding.chunk) * sharding.variable.dtype.itemsize <= CHUNK_BYTES


def test_parts_that_share_a_shard_and_shards_that_end_beyond_the_array_are_read_back(tmp_path, monkeypatch):
    import dxflow.stores.shards.sharding as sharding
    from dxflow.planning import cutting

    run = make_run(tmp_path / "r0001", trains=12, pulses=6, module_shape=(16, 16))

    wanted = dxflow.reduce(run.path, Average(per="cell"), cluster="here").dataset.load()
    size = 20 * 16 * 16 * 6
    monkeypatch.setattr(cutting, "PARTIAL_LIMIT", 3 * size)
    monkeypatch.setattr(sharding, "CHUNK_BYTES", 5 * 256 * 8)
    monkeypatch.setattr(sharding, "APART_BYTES", 1)
    for most in (1, 7, 1000):
        monkeypatch.setattr(sharding, "MOST_SHARDS", most)
        plan = dxflow.plan(run.path, Average(per="cell"), tmp_path / f"{most}.zarr")
        assert len(plan.parts) == 6
        shared = [one.parts for one in shardings(store_variables(plan), plan).values()]
        assert (max(shared) > 1) == (most < 1000)
        made = dxflow.execute(plan, "here").dataset
        for name in ("mean", "variance", "count"):
            np.testing.assert_array_equal(made[f"average.{name}"], wanted[f"average.{name}"])


def test_the_plan_says_how_many_files_there_will_be(run, tmp_path):
    plan = dxflow.plan(run.path, [RoiSum(), Stats()], tmp_path / "r.zarr")
    count = int(re.search(r"about (\d+) files", str(plan))[1])
    made = dxflow.execute(plan, "here")
    there = len([f for f in made.path.rglob("*") if f.is_file()])
    assert there <= count <= there + 8


# When it cannot be written --------------------------------------------------------------------------


FORMATS = ["r.zarr", "r.nc", "r.nxs", "r.cxi", "r.tiff", "exdf/"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_full_disk_is_foreseen_by_the_plan(run, tmp_path, name):
    with (
        mounted(tmp_path / "disk", size="64k") as disk,
        pytest.raises(PlanError, match="may be needed there"),
    ):
        dxflow.plan(run.path, [RoiSum(), Stats()], f"{disk}/{name}")


@pytest.mark.parametrize("name", FORMATS)
def test_a_disk_that_fills_up_while_it_is_written_is_a_named_error_and_the_run_is_resumed(
    run, tmp_path, name
):
    algorithms = [RoiSum(), Stats(), Average(per="cell")]
    with mounted(tmp_path / "disk", size="16m") as disk:
        plan = cut(dxflow.plan(run.path, algorithms, f"{disk}/{name}"), 4)
        create = type(plan.store).create

        def fill(self, contents):
            pieces = create(self, contents)
            with open(disk / "other", "wb") as other, suppress(OSError):
                while other.write(bytes(4096)):
                    other.flush()
            return pieces

        with (
            mock.patch.object(type(plan.store), "create", fill),
            pytest.raises(OSError, match="No space left"),
        ):
            dxflow.execute(plan, "here")
        assert not (disk / name).exists()
        (disk / "other").unlink()
        made = dxflow.execute(
            cut(dxflow.plan(run.path, algorithms, f"{disk}/{name}", resume=True), 4), "here"
        )
        assert made.manifest["chunks"]["computed"] == 0
        assert verify(disk / name) == []


@pytest.mark.parametrize("name", ["r.zarr", "r.tiff"])
def test_too_few_file_numbers_are_foreseen_by_the_plan(run, tmp_path, name):
    with (
        mounted(tmp_path / "disk", size="64m", nr_inodes=12) as disk,
        pytest.raises(PlanError, match=r"files are needed there, \d+ more are allowed"),
    ):
        dxflow.plan(run.path, [RoiSum(), Stats()], f"{disk}/{name}")


@pytest.mark.parametrize("name", FORMATS)
def test_a_quota_of_files_that_is_used_up_meanwhile_is_a_named_error(run, tmp_path, name):
    with mounted(tmp_path / "disk", size="64m", nr_inodes=150) as disk:
        plan = dxflow.plan(run.path, [RoiSum(), Stats()], f"{disk}/{name}")
        with suppress(OSError):
            for number in range(200):
                (disk / f"other{number}").touch()
        (disk / "other0").unlink()
        with pytest.raises(OSError, match="No space left"):
            dxflow.execute(plan, "here")
        assert not (disk / name).exists()


@pytest.mark.parametrize("name", FORMATS)
def test_a_read_only_target_is_refused_by_the_plan(run, tmp_path, name):
    with (
        mounted(tmp_path / "disk", size="64m", ro=None) as disk,
        pytest.raises(PlanError, match="is read-only"),
    ):
        dxflow.plan(run.path, RoiSum(), f"{disk}/{name}")


@pytest.mark.parametrize("name", FORMATS)
def test_a_name_that_is_too_long_is_refused_by_the_plan(run, tmp_path, name):
    with pytest.raises(PlanError, match="too long: .* may have 255 bytes"):
        dxflow.plan(run.path, RoiSum(), f"{tmp_path}/{'ä' * 125}{name}")
    longest = "x" * (255 - len(f"{name.rstrip('/')}.partial")) + name
    dxflow.reduce(run.path, RoiSum(), f"{tmp_path}/{longest}", cluster="here")
    assert verify(tmp_path / longest) == []


@pytest.mark.parametrize("dtype", ["S4", "U4", "M8[ns]", "g"])
@pytest.mark.parametrize("name", FORMATS)
def test_a_dtype_that_a_format_cannot_hold_is_refused_by_the_plan(run, tmp_path, name, dtype):
    class Odd(RoiSum):
        def outputs(self, info):
            return {"x": dxflow.Output(per="run", dtype=dtype)}

    with pytest.raises(PlanError, match=r"roisum\.x is .* which an? .* cannot hold"):
        dxflow.plan(run.path, Odd(), f"{tmp_path}/{name}")


@pytest.mark.parametrize("name", FORMATS)
def test_a_target_that_appears_meanwhile_is_not_overwritten(run, tmp_path, name):
    plan = dxflow.plan(run.path, RoiSum(), f"{tmp_path}/{name}")
    (tmp_path / name).mkdir()
    (tmp_path / name / "precious").touch()
    with pytest.raises(FileExistsError, match="appeared while it was being made"):
        dxflow.execute(plan, "here")
    assert [p.name for p in (tmp_path / name).iterdir()] == ["precious"]


KILLED = """
import sys, os, signal, builtins
sys.path.insert(0, {tests!r})
from samples import RoiSum, Stats
import dxflow
calls, stop = 0, {stop}
def dies(call):
    def counted(*args, **kwargs):
        global calls
        calls += 1
        if calls == stop:
            os.kill(os.getpid(), signal.SIGKILL)
        return call(*args, **kwargs)
    return counted
plan = dxflow.plan({run!r}, [RoiSum(), Stats()], {to!r}, resume=True)
create = type(plan.store).create
def begin(self, contents):
    for name in ("replace", "fsync", "open", "mkdir", "write"):
        setattr(os, name, dies(getattr(os, name)))
    return create(self, contents)
type(plan.store).create = begin
dxflow.execute(plan, "here")
print(calls)
"""


@pytest.mark.parametrize("name", FORMATS)
def test_kill_9_at_any_moment_of_storing_leaves_a_whole_result_or_none(tiny, tmp_path, name):
    to, tests = tmp_path / name, str(Path(__file__).parents[2])
    slash = "/" * name.endswith("/")

    def attempt(stop):
        code = KILLED.format(tests=tests, stop=stop, run=str(tiny.path), to=f"{to}{slash}")
        return programs.run(code)

    done = attempt(-1)
    assert done.returncode == 0, done.stderr
    wanted, calls = dxflow.open(to).dataset.load(), int(done.stdout.split()[-1])
    shutil.rmtree(to) if to.is_dir() else to.unlink()
    # Each run resumes the one that was killed before, until one is killed after the rename.
    for stop in [*sorted(np.random.default_rng(9).integers(1, calls - 2, 2).tolist()), calls - 1, calls]:
        if stop >= calls - 1:
            # Afresh: a run that goes on with another may not have so many calls to make.
            shutil.rmtree(to.with_name(f"{to.name}.partial"), ignore_errors=True)
        assert attempt(stop).returncode == -signal.SIGKILL, stop
        if to.exists():
            assert verify(to) == []
            shutil.rmtree(to) if to.is_dir() else to.unlink()
    assert attempt(-1).returncode == 0
    assert verify(to) == []
    xr.testing.assert_identical(dxflow.open(to).dataset.load(), wanted)
    assert not to.with_name(f"{to.name}.partial").exists()


class Growing(RoiSum):
    """Events, of which nobody knows before how much room they take."""

    def outputs(self, info):
        return {"rows": Output(per="event", shape=(20_000,))}

    def process_module_data(self, block, out):
        out.rows.append(np.random.default_rng(1).random((1, 20_000)), frames=[0])


@pytest.mark.parametrize("name", ["r.zarr", "r.nc", "exdf/"])
def test_a_full_disk_is_said_with_place_need_and_free_space(run, tmp_path, name):
    with mounted(tmp_path / "disk", size="4m") as disk:
        with pytest.raises(OSError, match="No space left") as raised:
            dxflow.reduce(run.path, Growing(), f"{disk}/{name}", cluster="here")
        said = [str(raised.value), *raised.value.__notes__]
        assert any(
            re.search(rf"{disk}/{name.rstrip('/')}: up to .* needed there .*, .* are free", s) for s in said
        )
        assert not (disk / name).exists()
