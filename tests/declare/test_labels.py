import pickle

import numpy as np
import pytest
import xarray as xr

import dxflow
from dxflow import Algorithm, Frames, FrameSelection, Key, Labels, Output, PlanError
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.roi import RoiSum

FRAMES = Frames(modules=(0, 1))


class ByBlock(Algorithm):
    """Keeps the label of each frame and whether it has one, as blocks see it."""

    ALG_ID = "kept"
    inputs = {"img": FRAMES, "x": None}

    def outputs(self, info):
        shape = info["x"].shape[1:]
        return {
            "x": Output(per="img", shape=shape, dtype=info["x"].dtype, merge="max"),
            "has": Output(per="img", dtype="?", merge="max"),
        }

    def process_module_data(self, block, out):
        out.x = block["x"]
        out.has = block.valid("x")


class ByTrain(ByBlock):
    """The same, as trains see it."""

    process_module_data = Algorithm.process_module_data

    def process_train_data(self, train, out):
        out.x = train["x"]
        out.has = train.valid("x")


BOTH = pytest.mark.parametrize("algorithm", [ByBlock, ByTrain])


def reduced(run, algorithm, values, name=None, frames=None, to=None, **options):
    one = algorithm(x=Labels(values, name))
    return dxflow.reduce(str(run.path), one, to, cluster="here", frames=frames, **options)


def kept(*args, **options):
    """Return labels as an algorithm saw them, and where there was one."""
    found = reduced(*args, **options).dataset
    return found["kept.x"].values, found["kept.has"].values


def labelled(run, values, *dims, keep=None, **attrs):
    """Return values per frame with their ids."""
    ids = {"train_id": ("frame", run.frame_train_ids), "pulse_id": ("frame", run.pulse_ids)}
    array = xr.DataArray(values, dims=("frame", *dims), coords=ids, name="mine", attrs=attrs)
    return array if keep is None else array[keep]


@pytest.fixture(scope="module")
def numbers(run):
    """A number for each frame of the run."""
    return np.random.default_rng(1).normal(size=12 * 6)


@BOTH
def test_labels_of_any_order_are_joined_by_train_and_pulse(run, numbers, algorithm):
    order = np.random.default_rng(2).permutation(72)
    x, has = kept(run, algorithm, labelled(run, numbers)[order])
    assert has.all()
    np.testing.assert_array_equal(x, numbers)


@BOTH
@pytest.mark.parametrize("dtype", ["f8", "i4", "u1", "?"])
def test_what_has_no_label_is_missing(run, numbers, algorithm, dtype):
    keep = np.arange(72) % 5 != 0
    keep[18:30] = False
    values = (numbers * 10).astype(dtype)
    x, has = kept(run, algorithm, labelled(run, values, keep=keep))
    np.testing.assert_array_equal(has, keep)
    missing = np.nan if dtype == "f8" else 0
    np.testing.assert_array_equal(x, np.where(keep, values, missing))
    assert x.dtype == dtype


@BOTH
def test_labels_per_train(run, algorithm):
    ids = run.train_ids[2:9:2]
    array = xr.DataArray([5, 6, 7, 8], dims="train", coords={"train": ids})
    x, has = kept(run, algorithm, array)
    expected = np.repeat(
        np.where(np.isin(run.train_ids, ids), np.cumsum(np.isin(run.train_ids, ids)) + 4, 0), 6
    )
    np.testing.assert_array_equal(has, np.repeat(np.isin(run.train_ids, ids), 6))
    np.testing.assert_array_equal(x, expected)


@BOTH
def test_integers_stay_integers_where_a_train_has_none(run, algorithm):
    class Looks(algorithm):
        def outputs(self, info):
            return {"kind": Output(per="img", dtype="u1", merge="max")}

        def process_module_data(self, block, out):
            out.kind = ord(block["x"].dtype.kind)

        def process_train_data(self, train, out):
            out.kind = ord(np.asarray(train["x"]).dtype.kind)

    if algorithm is ByBlock:
        Looks.process_train_data = Algorithm.process_train_data
    else:
        Looks.process_module_data = Algorithm.process_module_data
    per_train = xr.DataArray([5], dims="train", coords={"train": run.train_ids[3:4]})
    for array in (per_train, labelled(run, np.arange(72), keep=slice(20, 30))):
        assert set(reduced(run, Looks, array).dataset["kept.kind"].values) == {ord("i")}


@BOTH
def test_vectors_grids_and_extra_datas_names(run, numbers, algorithm):
    vectors = np.stack([numbers, 2 * numbers], axis=1)
    x, _ = kept(run, algorithm, labelled(run, vectors, "q"))
    np.testing.assert_array_equal(x, vectors)
    ids = {"trainId": run.train_ids, "pulseId": run.pulse_ids[:6]}
    grid = xr.DataArray(numbers.reshape(12, 6), dims=("trainId", "pulseId"), coords=ids)
    for one in (grid, grid.T, grid.stack(row=("trainId", "pulseId"))):
        np.testing.assert_array_equal(kept(run, algorithm, one)[0], numbers)


@BOTH
def test_results_by_path_result_dataset_and_variable(run, tmp_path, algorithm):
    lit = dxflow.reduce(str(run.path), LitFrames(), tmp_path / "lit.zarr", cluster="here")
    expected = lit.dataset["litframes.lit"].values
    for values in (lit, tmp_path / "lit.zarr", str(tmp_path / "lit.zarr"), lit.dataset):
        np.testing.assert_array_equal(kept(run, algorithm, values)[0], expected)
        np.testing.assert_array_equal(kept(run, algorithm, values, "litframes.lit")[0], expected)
    np.testing.assert_array_equal(kept(run, algorithm, lit.dataset["litframes.lit"])[0], expected)


def test_integers_of_a_result_that_are_not_valid_are_missing(gappy):
    class Counts(Algorithm):
        ALG_ID = "counts"
        inputs = {"img": Frames()}

        def outputs(self, info):
            return {"n": Output(per="img", dtype="i4", merge="max")}

        def process_train_data(self, train, out):
            if train.id % 2:
                out.n = train.pulse_ids + 1

    counts = dxflow.reduce(gappy.path, Counts(), cluster="here")
    found = dxflow.reduce(gappy.path, ByTrain(img=Frames(), x=Labels(counts)), cluster="here").dataset
    valid = counts.dataset["counts.n_valid"].values
    assert 0 < valid.sum() < len(valid)
    np.testing.assert_array_equal(found["kept.has"], valid)


@BOTH
def test_selected_frames_get_their_own(run, numbers, algorithm):
    frames = FrameSelection(pulses=run.pulse_ids[1:6:2])
    x, _ = kept(run, algorithm, labelled(run, numbers), frames=frames)
    np.testing.assert_array_equal(x, numbers.reshape(12, 6)[:, 1::2].ravel())


@BOTH
def test_frames_without_pulse_ids_by_cell_or_entry(tmp_path, algorithm):
    from dxflow.simulate import make_run

    jungfrau = make_run(tmp_path / "r", detector="JUNGFRAU", trains=4, module_shape=(8, 8), modules=2)
    frames = Frames(modules=(1, 2))
    index = dxflow.plan(jungfrau.path, RoiSum(img=frames)).inputs[0].index
    labels = index.labels(slice(0, len(index)))
    assert "pulse_id" not in labels
    values = np.arange(len(index)) * 1.5
    for name in sorted({"cell_id", "entry_id"} & set(labels)):
        ids = {n: ("frame", labels[n][::-1]) for n in ("train_id", name)}
        array = xr.DataArray(values[::-1], dims="frame", coords=ids)
        one = algorithm(img=frames, x=Labels(array))
        found = dxflow.reduce(jungfrau.path, one, cluster="here").dataset
        np.testing.assert_array_equal(found["kept.x"], values)


def test_labels_with_cells_only_fit_frames_with_pulses(run, numbers):
    index = dxflow.plan(run.path, RoiSum(img=FRAMES)).inputs[0].index
    labels = index.labels(slice(0, len(index)))
    ids = {n: ("frame", labels[n]) for n in ("train_id", "cell_id")}
    np.testing.assert_array_equal(
        kept(run, ByBlock, xr.DataArray(numbers, dims="frame", coords=ids))[0], numbers
    )


def test_the_plan_and_the_result_say_what_was_joined(run, numbers, tmp_path):
    dxflow.reduce(str(run.path), LitFrames(), tmp_path / "lit.zarr", cluster="here")
    plan = dxflow.plan(run.path, ByBlock(x=Labels(tmp_path / "lit.zarr")), tmp_path / "x.zarr")
    said = f"{tmp_path / 'lit.zarr'} litframes.lit, joined by train and pulse: 72 of 72 frames have a value"
    assert said in str(plan)
    assert said in dxflow.execute(plan, "here").dataset.attrs["kept.reads"]
    assert plan.inputs[1].info().kind == "pulses"
    only = dxflow.plan(run.path, ByBlock(x=FRAMES))
    assert plan.bytes_to_read == only.bytes_to_read
    assert "joined by train and pulse" in plan.explain()


def test_what_is_made_from_is_not_replaced(run, tmp_path):
    dxflow.reduce(str(run.path), LitFrames(), tmp_path / "lit.zarr", cluster="here")
    with pytest.raises(PlanError, match="lit.zarr"):
        reduced(run, ByBlock, tmp_path / "lit.zarr", to=tmp_path / "lit.zarr", overwrite=True)


def test_other_values_make_another_result_and_more_of_them_do_not(run, numbers):
    def plan(values, keep=None):
        return dxflow.plan(run.path, ByBlock(x=Labels(labelled(run, values, keep=keep))))

    first = plan(numbers)
    assert plan(numbers.copy()).digest == first.digest
    other = plan(numbers + (np.arange(72) == 7))
    assert other.digest != first.digest
    assert any("the values of" in line for line in other.fingerprint.differences(first.fingerprint))
    assert plan(numbers, keep=np.arange(72) != 3).digest != first.digest
    twice = xr.concat(
        [
            labelled(run, numbers),
            labelled(run, numbers).assign_coords(train_id=("frame", np.repeat(run.train_ids + 1000, 6))),
        ],
        "frame",
    )
    more = dxflow.plan(run.path, ByBlock(x=Labels(twice)))
    assert more.digest == first.digest


def test_a_resumed_pass_notices_other_values(run, numbers, tmp_path):
    class Stops(ByBlock):
        def process_module_data(self, block, out):
            if block.train_ids[0] == run.train_ids[-1]:
                raise RuntimeError("stops here")

    array = labelled(run, numbers)
    with pytest.raises(RuntimeError, match="stops here"):
        reduced(run, Stops, array, to=tmp_path / "x.zarr", on_fault="raise", chunk="1 KiB", block="1 KiB")
    with pytest.raises(PlanError, match="the values of"):
        reduced(
            run,
            Stops,
            array + 1,
            to=tmp_path / "x.zarr",
            resume=True,
            on_fault="raise",
            chunk="1 KiB",
            block="1 KiB",
        )


def test_workers_get_the_values_and_not_what_they_are_from(run, numbers):
    one = pickle.loads(pickle.dumps(Labels(labelled(run, numbers))))
    assert one.values == "<DataArray>"
    assert repr(ByBlock(x=Labels(labelled(run, numbers), None))) == "ByBlock(x=Labels(<DataArray>))"
    plan = dxflow.plan(run.path, ByBlock(x=Labels(labelled(run, numbers))))
    sent = pickle.loads(pickle.dumps(plan))
    np.testing.assert_array_equal(sent.inputs[1].joined.values, numbers)
    assert plan.memory.tables >= numbers.nbytes


def twice(run):
    array = labelled(run, np.arange(72.0))
    return xr.concat([array, array[5:7]], "frame")


REFUSED = {
    "twice": (twice, "several values for train 10001, pulse 20; train 10002, pulse 0;"),
    "twice per train": (
        lambda run: xr.DataArray([1, 2], dims="t", coords={"train_id": ("t", run.train_ids[[1, 1]])}),
        "several values for train 10002;",
    ),
    "another run": (
        lambda run: labelled(run, np.arange(72)).assign_coords(train_id=("frame", np.arange(72))),
        "none of its values belongs .* 72 trains from 0 to 71, the run has 12 trains from 10001",
    ),
    "only NaN": (lambda run: labelled(run, np.full(72, np.nan)), "it has no values: all 72 are missing"),
    "other ids": (
        lambda run: labelled(run, np.arange(72)).rename(pulse_id="entry_id"),
        "it has entry_id, train_id, and what is read has cell_id, pulse_id, train_id: nothing to join",
    ),
    "no train": (lambda run: xr.DataArray(np.arange(3), dims="x", name="mine"), "mine has coordinates none"),
    "objects": (lambda run: labelled(run, np.array([{}] * 72)), "mine is object; expected numbers"),
    "float ids": (
        lambda run: labelled(run, np.arange(72)).assign_coords(pulse_id=("frame", np.arange(72) / 2)),
        "pulse_id is float64; expected ids",
    ),
    "several variables": (
        lambda run: xr.Dataset({"a": labelled(run, np.arange(72)), "b": labelled(run, np.arange(72))}),
        "which variable. name= one of a, b",
    ),
    "no such path": (lambda run: "/nowhere/x.zarr", "/nowhere/x.zarr"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_joined_is_refused_when_planning(run, case):
    make, message = REFUSED[case]
    with pytest.raises(PlanError, match=f"(?s)kept: input 'x': .*{message}"):
        reduced(run, ByBlock, make(run))


def test_a_variable_that_is_not_there_is_named(run, tmp_path):
    dxflow.reduce(str(run.path), LitFrames(), tmp_path / "lit.zarr", cluster="here")
    with pytest.raises(PlanError, match="Did you mean 'litframes.lit'"):
        reduced(run, ByBlock, tmp_path / "lit.zarr", "litframes.lt")
    with pytest.raises(PlanError, match="is an array already"):
        reduced(run, ByBlock, labelled(run, np.arange(72)), "mine")
    with pytest.raises(TypeError, match="expected a path of a result"):
        Labels(3)


def test_labels_follow_the_first_input(run, numbers):
    class First(ByBlock):
        inputs = {"x": None, "img": FRAMES}

    with pytest.raises(PlanError, match="put Frames or a Key before it"):
        reduced(run, First, labelled(run, numbers))


def test_labels_of_trains_beside_a_device(run):
    class Device(Algorithm):
        ALG_ID = "device"
        inputs = {"a": Key(f"{run.devices['xgm']}", "pulseEnergy.photonFlux"), "x": None}

        def outputs(self, info):
            return {"x": Output(per="train")}

        def process_train_data(self, train, out):
            out.x = train["x"]

    array = xr.DataArray(np.arange(12.0), dims="train", coords={"train": run.train_ids})
    found = dxflow.reduce(run.path, Device(x=Labels(array)), cluster="here").dataset
    np.testing.assert_array_equal(found["device.x"], np.arange(12.0))


def test_inputs_that_are_the_same_labels_are_joined_once(run, numbers):
    labels = Labels(labelled(run, numbers))
    plan = dxflow.plan(run.path, [ByBlock(x=labels), ByTrain(x=labels, name="again")])
    assert len(plan.inputs) == 2


def test_a_selection_that_leaves_nothing_is_what_is_said(run, numbers):
    with pytest.raises(PlanError, match="nothing to read from .*: the selection leaves none of its frames"):
        reduced(run, ByBlock, labelled(run, numbers), frames=FrameSelection(pulses=[999]))


def motor(run):
    return Key(run.devices["motor"], "actualPosition")


@pytest.fixture(scope="module")
def late(tmp_path_factory):
    """Two modules; the motor steps, and its file lacks the trains of every second sequence."""
    import glob
    import os

    from dxflow.simulate import Scan, make_run

    folder = tmp_path_factory.mktemp("late") / "r"
    options = {"trains": 12, "pulses": 6, "module_shape": (8, 8), "modules": 2, "lit": 0.5, "sequences": 3}
    truth = make_run(folder, scan=Scan(0.0, 3.0, 4), devices=("xgm", "motor", "timeserver"), **options)
    os.remove(next(f for f in sorted(glob.glob(f"{folder}/*DA01*")) if "S00001" in f))
    return truth


@BOTH
def test_a_motor_labels_all_frames_of_its_trains(late, algorithm):
    x, has = kept(late, algorithm, motor(late))
    there = ~np.isin(np.arange(12), np.arange(4, 8))
    np.testing.assert_array_equal(has, np.repeat(there, 6))
    np.testing.assert_array_equal(x, np.repeat(np.where(there, late.motor, np.nan), 6))
    shifted = Key(late.devices["motor"], "actualPosition", offset=1)
    x, has = kept(late, algorithm, shifted)
    expected = np.concatenate([[np.nan], np.where(there, late.motor, np.nan)[:-1]])
    np.testing.assert_array_equal(x, np.repeat(expected, 6))


@BOTH
def test_energies_of_pulses_label_frames_as_the_input_has_them(late, algorithm, monkeypatch):
    from dxflow import PulseKey
    from dxflow.run import whole

    pattern = f"{late.devices['timeserver']}:outputBunchPattern"
    options = {"sase": 1, "offset": 0, "frames": FRAMES}
    energy = PulseKey(f"{late.devices['xgm']}:output", "data.intensityTD", pattern, **options)
    x, has = kept(late, algorithm, energy)
    there = np.repeat(~np.isin(np.arange(12), np.arange(4, 8)), 6)
    np.testing.assert_array_equal(has, there)
    np.testing.assert_allclose(x, np.where(there, np.where(late.lit, late.energy, 0), np.nan), rtol=1e-6)
    some = FrameSelection(pulses=late.pulse_ids[1:6:2])
    y, _ = kept(late, algorithm, energy, frames=some)
    np.testing.assert_array_equal(y, x.reshape(12, 6)[:, 1::2].ravel())
    monkeypatch.setattr(whole, "TRAINS", 5)
    for many in (energy, Key(energy.source, energy.key)):
        values = dxflow.plan(late.path, algorithm(x=Labels(many))).inputs[1].joined.values
        if many is energy:
            np.testing.assert_array_equal(values, x)
        assert len(values) == len(x)


def test_inputs_of_the_run_are_named_and_read_when_planning(late):
    plan = dxflow.plan(late.path, ByBlock(x=Labels(motor(late))))
    assert "actualPosition, joined by train: 8 of 12 trains have a value" in str(plan)
    assert plan.inputs[1].info().unit == "mm"
    only = dxflow.plan(late.path, ByBlock(x=FRAMES))
    assert plan.bytes_to_read == only.bytes_to_read
    cases = {
        "no source 'MOTOR'": Key("MOTOR", "actualPosition"),
        "Did you mean 'actualPosition.value'": Key(late.devices["motor"], "actualPosition2"),
        "images of a detector label nothing": FRAMES,
    }
    for words, what in cases.items():
        with pytest.raises(PlanError, match=f"(?s)kept: input 'x': .*{words}"):
            dxflow.plan(late.path, ByBlock(x=Labels(what)))
    with pytest.raises(PlanError, match="name= is of a variable of a result"):
        dxflow.plan(late.path, ByBlock(x=Labels(motor(late), "x")))


def test_values_that_cannot_be_read_are_faults_and_missing(tmp_path):
    import glob

    import h5py

    from dxflow.simulate import make_run

    options = {"trains": 4, "pulses": 2, "module_shape": (8, 8), "modules": 2, "devices": ("motor",)}
    truth = make_run(tmp_path / "r", sequences=1, **options)
    file = glob.glob(f"{tmp_path}/r/*DA01*")[0]
    with h5py.File(file, "a") as f:
        name = f"CONTROL/{truth.devices['motor']}/actualPosition/value"
        values = f[name][:]
        del f[name]
        new = f.create_dataset(name, (4,), "f8", chunks=(1,), fletcher32=True)
        new[:] = values
        where = new.id.get_chunk_info(2).byte_offset
    with open(file, "r+b") as raw:
        raw.seek(where)
        raw.write(b"broken!!")
    with pytest.raises(PlanError, match="1 fault"):
        kept(truth, ByBlock, motor(truth))
    x, has = kept(truth, ByBlock, motor(truth), on_fault="mask")
    np.testing.assert_array_equal(has, np.repeat([True, True, False, True], 2))


def test_a_device_without_a_value_is_said_with_the_cause(tmp_path):
    import glob

    import h5py

    from dxflow.simulate import make_run

    options = {"trains": 4, "pulses": 2, "module_shape": (4, 4), "modules": 2, "devices": ("motor",)}
    truth = make_run(tmp_path / "r", sequences=1, **options)
    with h5py.File(glob.glob(f"{tmp_path}/r/*DA01*")[0], "a") as f:
        name = f"CONTROL/{truth.devices['motor']}/actualPosition/value"
        del f[name]
        f.create_dataset(name, (0,), "f8", maxshape=(None,))
    for on_fault in (None, "mask"):
        with pytest.raises(
            PlanError, match="actualPosition.* has no value in these trains: index does not fit the data"
        ):
            kept(truth, ByBlock, motor(truth), on_fault=on_fault)


def test_texts_of_a_device_are_labels(tmp_path):
    import glob

    import h5py

    from dxflow.algorithms.average import Average
    from dxflow.simulate import make_run

    options = {"trains": 6, "pulses": 2, "module_shape": (4, 4), "modules": 2, "devices": ("motor",)}
    truth = make_run(tmp_path / "r", **options)
    states = iter(["ON", "MOVING", "MOVING", "ON", "ON", "\u00e4"])
    for file in sorted(glob.glob(f"{tmp_path}/r/*DA01*")):
        with h5py.File(file, "a") as f:
            trains = len(f["INDEX/trainId"])
            group = f.create_group(f"CONTROL/{truth.devices['motor']}/state")
            group["value"] = np.array([next(states) for _ in range(trains)], h5py.string_dtype())
            group["timestamp"] = np.zeros(trains, "u8")
    state = Key(truth.devices["motor"], "state")
    found = dxflow.reduce(truth.path, Average(img=FRAMES, by=state), cluster="here").dataset
    assert found["state"].values.tolist() == ["MOVING", "ON", "\u00e4"]
    assert found["average.count"].max(["module", "ss", "fs"]).values.tolist() == [4, 6, 2]
    on = dxflow.plan(truth.path, ByBlock(x=FRAMES), where="s == 'ON'", labels={"s": state})
    assert on.where.passed[0].cuts == (("s == 'ON'", 6),)
    with pytest.raises(PlanError, match="steps and bins are of numbers"):
        dxflow.plan(truth.path, Average(img=FRAMES, by=Labels(state).steps(1)))


@BOTH
def test_arrays_need_ids(run, numbers, algorithm):
    for array in (numbers, [1.0, 2.0]):
        with pytest.raises(TypeError, match="does not say of which trains: give train_ids="):
            Labels(array)
    whole = Labels(numbers[::-1], train_ids=run.frame_train_ids[::-1], pulse_ids=run.pulse_ids[::-1])
    found = dxflow.reduce(str(run.path), algorithm(x=whole), cluster="here").dataset
    np.testing.assert_array_equal(found["kept.x"], numbers)
    trains = Labels([5, 6], train_ids=run.train_ids[2:4])
    found = dxflow.reduce(str(run.path), algorithm(x=trains), cluster="here").dataset
    assert found["kept.x"].values.reshape(12, 6)[:5].tolist() == [[0] * 6, [0] * 6, [5] * 6, [6] * 6, [0] * 6]
    with pytest.raises(ValueError, match="expected an id for each value"):
        Labels([5, 6], train_ids=[1])


@BOTH
def test_patterns_count_frames_of_a_train_whichever_are_read(run, algorithm):
    class OnlyHas(algorithm):
        def outputs(self, info):
            return {"has": Output(per="img", dtype="?", merge="max")}

    def found(labels, **options):
        result = dxflow.reduce(str(run.path), algorithm(x=labels), cluster="here", **options).dataset
        return result["kept.x"].values, result["kept.has"].values

    assert found(Labels.pattern([True, False, False]))[0].tolist() == [True, False, False] * 24
    frames = FrameSelection(pulses=run.pulse_ids[1:6:2])
    assert found(Labels.pattern([1.5, 2.5]), frames=frames)[0].tolist() == [2.5] * 36
    plan = dxflow.plan(run.path, OnlyHas(x=Labels.pattern(["on", "off"])))
    assert plan.inputs[1].joined.values.tolist() == ["on", "off"] * 36
    lit = np.random.default_rng(3).random(72) < 0.5
    x, has = found(Labels.pattern([1, 2], over=labelled(run, lit)))
    np.testing.assert_array_equal(has, lit)
    number = lit.reshape(12, 6).cumsum(1).ravel() - 1
    np.testing.assert_array_equal(x, np.where(lit, number % 2 + 1, 0))
    with pytest.raises(PlanError, match="expected a boolean for each of 72 frames"):
        found(Labels.pattern([1, 2], over=labelled(run, np.arange(72))))
    with pytest.raises(PlanError, match="that is true of none of 72 frames"):
        found(Labels.pattern([1, 2], over=labelled(run, np.zeros(72, bool))))
    with pytest.raises(TypeError, match="at least one"):
        Labels.pattern([])


def test_values_of_trains_that_are_not_read_do_not_matter(late):
    frames = FrameSelection(trains=late.train_ids[:4])
    plan = dxflow.plan(late.path, ByBlock(x=Labels(motor(late))), frames=frames)
    np.testing.assert_array_equal(plan.inputs[1].info().values, np.unique(late.motor[:4]))
    assert "4 of 4 trains have a value" in str(plan)
    with pytest.raises(PlanError, match="none of its values belongs to a frame or train that is read"):
        dxflow.plan(
            late.path,
            ByBlock(x=Labels([1], train_ids=late.train_ids[5:6])),
            frames=FrameSelection(trains=late.train_ids[:4]),
        )
