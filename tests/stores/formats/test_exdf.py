"""A reduction written as EuXFEL files: EXtra-data opens it beside the run, and all that went in comes out."""

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import h5py
import numpy as np
import programs
import pytest
import samples
from extra_data import RunDirectory, by_id
from validator import problems

import dxflow
from dxflow import Algorithm, Frames, FrameSelection, Key, Output, PlanError
from dxflow.driver.execute import execute
from dxflow.exdf import WriteError
from dxflow.simulate import make_run
from dxflow.stores import problems as damage
from dxflow.stores.formats.exdf import Exdf
from dxflow.stores.named import store_for
from dxflow.testing import check_store
from dxflow.testing.store import Every

EVERY = "SPB_DET_AGIPD500K2G/DXFLOW/EVERY"
SHARED = "SPB_DET_AGIPD500K2G/DXFLOW/REDUCTION"


class Every(Every):
    """One output of each kind, and an option of each kind."""

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--threshold", type=float, default=0.7)
        parser.add_argument("--label", default="µ")
        parser.add_argument("--cells", type=int, nargs="*", default=(1, 2))

    def outputs(self, info):
        return super().outputs(info) | {"good": Output(per="x", dtype=bool, unit="", doc="even pulses")}

    def process_train_data(self, train, out):
        super().process_train_data(train, out)
        out.good = train.pulse_ids % 2 == 0


def reduced(run, folder, algorithms=None, *, name="r", **options):
    """Reduce to EXDF and return the result with the run that EXtra-data sees."""
    store = Exdf(folder / name, trains_per_file=options.pop("trains_per_file", 5))
    result = dxflow.reduce(run.path, algorithms or Every(), store, cluster="here", **options)
    return result, RunDirectory(folder / name)


@pytest.fixture(scope="module")
def made(gappy, tmp_path_factory):
    return reduced(gappy, tmp_path_factory.mktemp("every"))


def test_the_store_keeps_what_stores_must_keep():
    check_store(Exdf, "result")


def test_a_name_that_ends_with_a_slash_is_a_directory_of_files(tmp_path):
    assert isinstance(store_for(f"{tmp_path}/out/"), Exdf)
    with pytest.raises(PlanError, match="'name/' for a directory of EuXFEL HDF5 files"):
        store_for(f"{tmp_path}/out")


def test_the_dataset_is_the_same_as_that_of_a_zarr_store(gappy, made, tmp_path):
    zarr = dxflow.reduce(gappy.path, Every(), tmp_path / "r.zarr", cluster="here").dataset
    exdf = made[0].dataset
    assert set(exdf.variables) == set(zarr.variables)
    assert set(exdf.coords) == set(zarr.coords)
    for name, expected in zarr.variables.items():
        got = exdf.variables[name]
        assert (got.dims, got.dtype, got.attrs) == (expected.dims, expected.dtype, expected.attrs), name
        assert np.array_equal(got.values, expected.values, equal_nan=expected.dtype.kind == "f"), name
    assert exdf.attrs["every.options"] == zarr.attrs["every.options"]


def test_the_validator_finds_nothing(made):
    assert problems(made[0].path) == []
    # What extra-data-validate runs.
    program = "import sys; from extra_data.validation import main; sys.exit(main())"
    command = [sys.executable, "-c", program, str(made[0].path)]
    assert subprocess.run(command, capture_output=True).returncode == 0


def test_it_opens_beside_the_original_run(gappy, made):
    original = RunDirectory(gappy.path)
    both = original.union(made[1])
    assert both.all_sources == original.all_sources | made[1].all_sources
    train = int(gappy.train_ids[5])
    _, one = both.select_trains(by_id[[train]]).train_from_id(train)
    assert one[f"{EVERY}:output"]["data.train"] == train
    assert any("AGIPD" in s and "CORR" in s for s in one)


def test_files_are_named_as_those_of_the_facility(made):
    names = sorted(p.name for p in made[0].path.glob("*.h5"))
    assert names == [f"CORR-R0001-DXFL00-S{n:05d}.h5" for n in range(3)]
    meta = made[1].run_metadata()
    assert (meta["runNumber"], meta["proposalNumber"], meta["dataFormatVersion"]) == (1, 900000, "1.3")


def test_names_and_numbers_can_be_chosen(run, tmp_path):
    store = Exdf(tmp_path / "r", category="RED", aggregator="MINE07", run=99, proposal=5)
    dxflow.reduce(run.path, samples.RoiSum(), store, cluster="here")
    assert [p.name for p in (tmp_path / "r").glob("*.h5")] == ["RED-R0099-MINE07-S00000.h5"]
    assert RunDirectory(tmp_path / "r").run_metadata()["proposalNumber"] == 5
    with pytest.raises(ValueError, match="is no name of an EXDF file"):
        Exdf(tmp_path / "r", aggregator="X")


def test_trains_have_the_times_and_flags_of_the_run(gappy, made):
    original = RunDirectory(gappy.path)
    assert np.array_equal(made[1].train_timestamps(), original.train_timestamps())
    assert made[1].train_ids == original.train_ids
    with h5py.File(sorted(made[0].path.glob("*.h5"))[0]) as file:
        assert set(file["INDEX/flag"][:]) == {1}
        assert set(file["INDEX/origin"][:]) == {-1}


def test_frames_have_train_pulse_and_cell_beside_them(gappy, made):
    source = made[1][f"{EVERY}:output"]
    for key, expected in (
        ("trainId", gappy.frame_train_ids),
        ("pulseId", gappy.pulse_ids),
        ("cellId", gappy.cell_ids),
    ):
        assert np.array_equal(source[f"frame.{key}"].ndarray(), expected)
    assert np.array_equal(source["frame.entry"].ndarray(), gappy.pulse_ids)
    counts = source["frame.entry"].data_counts(labelled=False)
    assert np.array_equal(counts, gappy.frame_counts)
    assert {0, 1, 6} <= set(counts)
    assert source["frame.good"].dtype == np.uint8


def test_trains_have_one_value_each_and_events_any_number(gappy, made):
    source, trains = made[1][f"{EVERY}:output"], np.array(made[1].train_ids)
    assert np.array_equal(source["data.train"].xarray().coords["trainId"], trains)
    there = gappy.frame_counts > 0
    assert np.array_equal(source["data.train"].ndarray(), trains * there)
    assert np.array_equal(source["event.value"].data_counts(labelled=False), trains % 3 * there)


def test_values_of_the_whole_run_and_parameters_are_run_values(gappy, made):
    source = made[1][EVERY]
    values = source.run_values(inc_timestamps=False)
    assert values["run"] == gappy.train_ids[gappy.frame_counts > 0].sum()
    assert np.array_equal(values["pixel"], made[0].dataset["every.pixel"])
    assert (values["parameters.threshold"], values["parameters.label"]) == (0.7, "µ")
    assert values["parameters.cells"].tolist() == [1, 2]
    assert source.device_class.endswith("Every")
    shared = made[1][SHARED].run_values(inc_timestamps=False)
    assert json.loads(shared["dxflow.versions"])["dxflow"]
    assert shared["axes.half"].tolist() == [0.5, 1.5]
    with h5py.File(sorted(made[0].path.glob("*.h5"))[0]) as file:
        assert file[f"RUN/{EVERY}/run"].attrs["unitSymbol"] == "s"
        assert file[f"RUN/{EVERY}/run"].attrs["description"] == "sum of train ids"


def test_a_train_has_the_number_of_its_frames_as_a_control_value(gappy, made):
    frames = made[1][EVERY, "dxflow.frames"]
    assert np.array_equal(frames.ndarray(), gappy.frame_counts)


def test_info_reads_well(made, capsys):
    made[1].with_aliases(made[0].path / "aliases.json").info(details_for_sources="*")
    text = capsys.readouterr().out
    for words in (
        f"{EVERY}:output",
        "entries per train",
        "frame.entry",
        "<every.entry>",
        "dxflow.frames",
        "parameters.threshold",
    ):
        assert words in text


def test_aliases_are_the_names_of_the_result(made):
    run = made[1].with_aliases(made[0].path / "aliases.json")
    assert np.array_equal(run.alias["every.entry"].ndarray(), made[0].dataset["every.entry"])
    assert run.alias["every"].run_value("run") == made[0].dataset["every.run"]


def test_what_was_dropped_is_in_the_section_reduction(gappy, tmp_path):
    selection = FrameSelection(pulses=gappy.pulse_ids[:6:2].tolist())
    _, run = reduced(gappy, tmp_path, frames=selection)
    name = f"DXFLOW_REDUCTION/{SHARED}"
    assert run.auxiliary.reduction_sources == {name}
    source = run.auxiliary[name]
    before = source["frame.framesBeforeReduction"].ndarray()
    after = source["frame.framesAfterReduction"].ndarray()
    assert np.array_equal(before, gappy.frame_counts)
    assert np.array_equal(after, (gappy.frame_counts + 1) // 2)
    kept = source["frameSelection.indicesBeforeReduction"]
    assert np.array_equal(kept.data_counts(labelled=False), after)
    assert kept.ndarray().tolist() == [n for count in after for n in range(0, 2 * count, 2)]


def test_losses_are_in_the_section_reduction_at_the_train_they_begin(made):
    source = made[1].auxiliary[f"DXFLOW_REDUCTION/{SHARED}"]
    losses = made[0].losses
    assert len(losses)
    expected = sorted(
        zip(losses["first_train"], losses["cause"], losses["frames"], losses["source"], strict=True)
    )
    found = zip(
        source["loss.firstTrain"].ndarray().tolist(),
        (text.decode() for text in source["loss.cause"].ndarray()),
        source["loss.frames"].ndarray().tolist(),
        (text.decode() for text in source["loss.source"].ndarray()),
        strict=True,
    )
    assert sorted(found) == expected
    counts = source["loss.cause"].data_counts()
    begun = losses["first_train"].value_counts()
    # What a run has in no file begins at a train that it does not have.
    assert all(counts[train] == n for train, n in begun.items() if train in counts.index)
    assert counts.sum() == len(losses)


class Large(Algorithm):
    """An output of the run that is too large to be in each file."""

    ALG_ID = "large"
    inputs = {"x": Frames(mask=None)}

    def outputs(self, info):
        return {"sum": Output(per="pixel", shape=(700,), dtype="f4"), "few": Output(per="run")}

    def process_module_data(self, block, out):
        out.sum[3] += block["x"].sum(axis=0)
        out.few += 1


def test_a_large_output_is_in_the_first_file_and_found_from_all(run, tmp_path):
    result, opened = reduced(run, tmp_path, Large())
    value = result.dataset["large.sum"].values
    assert np.allclose(value[3], sum_of_frames(run), atol=1e-3)
    for number, file in enumerate(sorted(result.path.glob("*.h5"))):
        with h5py.File(file) as one:
            link = one.get(f"RUN/{run.detector}/DXFLOW/LARGE/sum", getlink=True)
        assert isinstance(link, h5py.ExternalLink if number else h5py.HardLink)
    source = opened.control_sources & {f"{run.detector}/DXFLOW/LARGE"}
    last = opened.select_trains(by_id[opened.train_ids[-1:]])
    assert np.array_equal(last[next(iter(source))].run_value("sum"), value)


def sum_of_frames(run):
    data = [RunDirectory(run.path)[s, run.key].ndarray() for s in run.sources]
    return np.stack(data).sum(axis=1)


def test_parts_of_the_modules_are_put_together(run, tmp_path, monkeypatch):
    monkeypatch.setattr("dxflow.planning.cutting.PARTIAL_LIMIT", 2**20)
    result, _ = reduced(run, tmp_path, Pixels())
    plan = json.loads((result.path / "dxflow.json").read_text())["plan"]
    assert len(plan["parts"]) > 1
    assert np.allclose(result.dataset["pixels.sum"].values[3], sum_of_frames(run), atol=1e-3)
    assert problems(result.path) == []


class Pixels(Large):
    ALG_ID = "pixels"

    def outputs(self, info):
        return {"sum": Output(per="pixel", shape=(700,), dtype="f4")}

    def process_module_data(self, block, out):
        out.sum[3] += block["x"].sum(axis=0)


class OfKey(Algorithm):
    """Follows a source that is no detector."""

    ALG_ID = "frame"
    inputs = {"e": Key("SA1_XTD2_XGM/XGM/DOOCS:output", "data.intensityTD")}

    def outputs(self, info):
        return {"peak": Output(per="e", shape=(2,), unit="uJ"), "frame": Output(per="event")}

    def process_train_data(self, train, out):
        out.peak = np.stack([train["e"].min(axis=1), train["e"].max(axis=1)], axis=1)
        out.frame.append([1.0], frames=[0])


def test_algorithms_of_other_sources_have_a_domain_of_their_own(run, tmp_path):
    result, opened = reduced(run, tmp_path, [OfKey(name="Reduction"), OfKey(name="re.duction")])
    names = {s for s in opened.control_sources if "DXFLOW" in s}
    assert names == {f"SA1_XTD2_XGM/DXFLOW/{m}" for m in ("REDUCTION", "REDUCTION_", "RE_DUCTION")}
    peak = opened[
        "SA1_XTD2_XGM/DXFLOW/RE_DUCTION:output", result.dataset["re.duction.peak"].dims[0] + ".peak"
    ]
    assert peak.units == "μJ"
    assert np.array_equal(peak.ndarray(), result.dataset["re.duction.peak"])
    assert len(result.dataset["Reduction.frame"]) == len(run.train_ids)


def test_several_workers_write_the_same_files(gappy, made, client, tmp_path):
    store = Exdf(tmp_path / "r", trains_per_file=5)
    plan = dxflow.plan(gappy.path, samples.RoiSum(ss=(0, 4)), store, chunk="10 kB")
    result = execute(plan, client)
    here = dxflow.reduce(
        gappy.path, samples.RoiSum(ss=(0, 4)), tmp_path / "r.zarr", cluster="here", chunk="10 kB"
    )
    name = "roisum.intensity"
    assert np.array_equal(result.dataset[name], here.dataset[name], equal_nan=True)
    assert problems(result.path) == []


# Refusals and accidents -------------------------------------------------------------------------


def output(key="x", **how):
    """Return an algorithm with one output."""

    class One(Algorithm):
        ALG_ID = "one"
        inputs = {"img": Frames()}

        def outputs(self, info):
            return {key: Output(**how)}

        def process_train_data(self, train, out):
            pass

    return One()


@pytest.mark.parametrize("dtype", ["c16", "M8[s]", "S4", "f16", "U3"])
def test_a_dtype_that_files_cannot_hold_is_refused_in_the_plan(run, tmp_path, dtype):
    with pytest.raises(PlanError, match=r"one\.x is .*, which an EXDF file cannot hold"):
        dxflow.plan(run.path, output(dtype=dtype), Exdf(tmp_path / "r"), cluster="here")


def test_keys_that_files_have_of_their_own_are_refused(run, tmp_path):
    with pytest.raises(PlanError, match=r"one\.pulseId: EXDF files have 'pulseId' of their own"):
        dxflow.plan(run.path, output("pulseId", per="img"), Exdf(tmp_path / "r"), cluster="here")


def test_an_existing_directory_is_kept_unless_asked(gappy, made):
    before = sorted(os.listdir(made[0].path))
    with pytest.raises(PlanError, match="exists: choose another name"):
        dxflow.plan(gappy.path, Every(), f"{made[0].path}/", cluster="here")
    assert sorted(os.listdir(made[0].path)) == before


def test_a_read_only_place_is_refused_in_the_plan(run, read_only_disk):
    with pytest.raises(PlanError, match="read-only"):
        dxflow.plan(run.path, samples.RoiSum(), Exdf(read_only_disk / "r"), cluster="here")


def test_after_a_full_disk_the_run_is_resumed_with_the_same_result(run, small_disk, tmp_path, monkeypatch):
    path = small_disk / "r"
    monkeypatch.setattr("dxflow.stores.store.output_bytes", lambda plan: 0)
    with pytest.raises(WriteError, match=r"DXFL00-S0000\d\.h5 was not written: No space left on device"):
        dxflow.reduce(run.path, samples.Noise(), Exdf(path, trains_per_file=4), cluster="here")
    assert not path.exists()
    subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
    resumed = dxflow.reduce(
        run.path, samples.Noise(), Exdf(path, trains_per_file=4), cluster="here", resume=True
    )
    assert resumed.manifest["chunks"]["computed"] == 0
    fresh = dxflow.reduce(run.path, samples.Noise(), tmp_path / "r.zarr", cluster="here")
    assert np.array_equal(resumed.dataset["noise.noise"], fresh.dataset["noise.noise"])


def test_a_changed_file_is_noticed_by_verify_and_by_reading(gappy, tmp_path):
    # EXtra-data would leave its own map of the run in the directory.
    result = dxflow.reduce(gappy.path, Every(), Exdf(tmp_path / "r", trains_per_file=5), cluster="here")
    assert damage.problems(result.path) == []
    file = sorted(result.path.glob("*.h5"))[1]
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    assert [str(file) in line for line in damage.problems(result.path)] == [True]
    with pytest.raises(OSError, match="checksum"):
        dxflow.Result(result.path).dataset.load()
    file.unlink()
    with pytest.raises(OSError, match=file.name):
        dxflow.Result(result.path).dataset.load()


@pytest.mark.parametrize("seed", range(2))
def test_a_run_killed_while_it_writes_has_no_name_and_is_resumed(run, tmp_path, seed):
    program = textwrap.dedent("""
        import sys
        sys.path.insert(0, sys.argv[3])
        import dxflow
        from samples import RoiSum
        from dxflow.stores.formats.exdf import Exdf
        store = Exdf(sys.argv[2], trains_per_file=3)
        plan = dxflow.plan(sys.argv[1], RoiSum(ss=(0, 4)), store, cluster="here", resume="resume" in sys.argv)
        create = store.create
        def created(contents):
            print("writing", flush=True)
            return create(contents)
        store.create = created
        dxflow.execute(plan, "here")
    """)
    here = str(Path(__file__).parents[2])
    words = (run.path, str(tmp_path / "r"), here)
    process = programs.Program(program, *words)
    while "writing" not in process.printed():
        assert process.poll() is None
        time.sleep(0.01)
    # All of it takes half a second.
    time.sleep(np.random.default_rng(seed).uniform(0, 0.3))
    process.kill()
    process.wait()
    assert not (tmp_path / "r").exists()
    assert programs.run(program, *words, "resume").returncode == 0
    assert problems(tmp_path / "r") == []
    assert len(list((tmp_path / "r").glob("*.h5"))) == 4
    assert not [p for p in (tmp_path / "r").iterdir() if p.name.startswith(".")]


class BesideFrames(Algorithm):
    """A number for each entry of a key that is read beside frames."""

    ALG_ID = "beside"
    inputs = {"img": Frames("image.data"), "m": Key("a/b/c", "value")}

    def outputs(self, info):
        return {"f": Output(per="m"), "n": Output(per="m", dtype="i4")}

    def process_train_data(self, train, out):
        out.f = np.arange(len(out.f)) + 0.5
        out.n = 3


@pytest.mark.parametrize("device", ["camera", "motor"])
def test_entries_of_a_key_read_beside_frames_have_their_labels(tmp_path, device):
    path = tmp_path / "run"
    options = {"trains": 6, "pulses": 3, "module_shape": (8, 8), "detector": "AGIPD500K"}
    truth = make_run(path, devices=("camera", "motor"), **options)
    source, key = (
        truth.devices[device],
        {"camera": "data.image.pixels", "motor": "actualPosition.value"}[device],
    )
    if device == "camera" and ":" not in source:
        source += ":daqOutput"
    algorithm = BesideFrames(m=Key(source, key))
    expected = dxflow.reduce(path, algorithm, tmp_path / "x.zarr", cluster="here").dataset.load()
    found = dxflow.reduce(path, algorithm, f"{tmp_path}/x/", cluster="here").dataset.load()
    assert set(found.variables) == set(expected.variables)
    for name in expected.variables:
        np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
    assert problems(tmp_path / "x") == []
