"""Inputs: every frame of EXtra-data's own example runs is what EXtra-data reads; what is not there is said."""

import warnings
from pathlib import Path

import extra_data
import h5py
import numpy as np
import pytest
from samples import RoiSum
from turns import turns

import dxflow
from dxflow import Algorithm, Frames, Key, Output, PlanError
from dxflow.testing import check_input, make_run

by_index = extra_data.by_index


def some_trains(path, *which):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return extra_data.RunDirectory(str(path)).select_trains(by_index[list(which)])


def fill(path, pattern, dataset, seed=0):
    """Put numbers into the frames of an example run, which are empty, in the trains that are read."""
    random = np.random.default_rng(seed)
    for number, file in enumerate(sorted(path.glob(pattern))):
        with h5py.File(file, "r+") as f:
            found = []
            f["INSTRUMENT"].visit(lambda n, found=found: found.append(n) if n.endswith(dataset) else None)
            data = f["INSTRUMENT"][found[0]]
            if data.chunks[1:] != data.shape[1:]:
                # A frame of which a part was never written is missing.
                shape, dtype = data.shape, data.dtype
                del f["INSTRUMENT"][found[0]]
                data = f["INSTRUMENT"].create_dataset(found[0], shape, dtype, chunks=(1, *shape[1:]))
            rows = min(len(data), 90, max(4, 2**28 // data[0].nbytes))
            data[:rows, ..., :7, :5] = random.integers(1, 1000, (rows, *data.shape[1:-2], 7, 5)) + number


class Kept(Algorithm):
    """Keeps all entries of a key."""

    ALG_ID = "kept"
    inputs = {"x": None}

    def outputs(self, info):
        return {"x": Output(per="x", shape=info["x"].shape[1:], dtype=info["x"].dtype)}

    def process_train_data(self, train, out):
        out.x = train["x"]


@pytest.mark.properties
@pytest.mark.parametrize(
    ("detector", "data", "version"),
    turns(("AGIPD500K", "LPD1M", "DSSC1M", "JUNGFRAU"), ("raw", "corr"), ("0.5", "1.2")),
)
def test_frames_of_every_detector_are_those_of_extra_data(tmp_path, detector, data, version):
    modules = {"JUNGFRAU": 2}.get(detector)
    options = {} if modules is None else {"modules": modules}
    truth = make_run(
        tmp_path,
        detector=detector,
        data=data,
        version=version,
        trains=4,
        pulses=3,
        module_shape=(8, 8),
        **options,
    )
    result = check_input(Frames(), truth.path)
    assert result.dataset["check_copy.x"].shape == (12, len(truth.module_numbers), 8, 8)
    assert result.losses.empty


def test_frames_with_gaps_are_those_of_extra_data_and_nan_elsewhere(gappy):
    result = check_input(Frames(), gappy.path)
    frames = result.dataset["check_copy.x"]
    missing = np.isnan(frames).all(axis=(2, 3))
    trains = np.searchsorted(gappy.train_ids, frames.train_id)
    assert (~missing.values).tolist() == gappy.present[trains].tolist()
    assert missing.values.any()


@pytest.mark.parametrize(
    ("name", "pattern", "dataset", "module", "shape"),
    [
        ("spb", "RAW*AGIPD03*", "image/data", 3, (64, 1, 512, 128)),
        ("fxe", "RAW*LPD03*", "image/data", 3, (128, 1, 256, 256)),
        ("scs", "RAW*DSSC03-S00000*", "image/data", 3, (64, 1, 128, 512)),
        ("modern_spb_proc", "CORR*AGIPD03*", "image/data", 3, (32, 1, 512, 128)),
    ],
)
def test_example_runs_of_extra_data_are_read_as_extra_data_does(
    example, name, pattern, dataset, module, shape
):
    path = example(name)
    fill(path, pattern, dataset)
    # The masks of these runs were allocated, but never written.
    result = check_input(Frames(modules=(module,), mask=None), some_trains(path, 0))
    frames = result.dataset["check_copy.x"]
    assert frames.shape == shape
    assert frames.values[1].any()


def test_a_jungfrau_that_is_one_of_two_is_found_by_name(example):
    path = example("fxe_jungfrau")
    fill(path, "*JNGFR0[12]*", "data/adc")
    run = some_trains(path, 0, 3)
    with pytest.raises(PlanError, match=r"several detectors fit: \['FXE_XAD_JF1M', 'FXE_XAD_JF500K'\]"):
        dxflow.plan(run, RoiSum())
    result = check_input(Frames(detector="FXE_XAD_JF1M", mask=None), run)
    assert result.dataset["check_copy.x"].shape == (32, 2, 512, 1024)
    assert result.dataset["check_copy.x"].values[:16].any()


def test_reduced_runs_have_as_many_rows_as_frames_whatever_their_number_per_train(example):
    path = example("reduced_spb", raw=False, rng=np.random.RandomState(3))
    run = some_trains(path, *range(6))
    fill(path, "CORR*AGIPD02*", "image/data")
    counts = np.random.RandomState(3).randint(0, 20, size=64)[:6]
    plan = dxflow.plan(run, RoiSum(img=Frames(modules=(2,))))
    assert plan.indexes[0].counts.tolist() == counts.tolist()
    check_input(Frames(modules=(2,), mask=None), some_trains(path, 1, 2))


def test_keys_of_instrument_and_control_sources_are_those_of_extra_data(run, example):
    check_input(Key(f"{run.devices['xgm']}:output", "data.intensityTD"), run.path)
    spb = example("spb")
    for file in spb.glob("*DA01*"):
        with h5py.File(file, "r+") as f:
            f["CONTROL/SA1_XTD2_XGM/DOOCS/MAIN/beamPosition/ixPos/value"][:] = np.arange(32)
    slow = check_input(Key("SA1_XTD2_XGM/DOOCS/MAIN", "beamPosition.ixPos.value"), some_trains(spb, 0, 5, 40))
    assert slow.dataset["check_copy.x"].values.ravel().tolist() == [0, 5, 8]
    camera = check_input(Key("SPB_IRU_CAM/CAM/SIDEMIC:daqOutput", "data.image.pixels"), some_trains(spb, 1))
    assert camera.dataset["check_copy.x"].shape == (1, 1, 1024, 768)


def test_a_file_alone_is_a_run(example):
    path = sorted(example("spb").glob("*AGIPD04*"))[0]
    plan = dxflow.plan(path, RoiSum(img=Frames(modules=(4,))))
    assert len(plan.indexes[0]) == 64 * 64


@pytest.mark.parametrize(
    ("what", "says"),
    [
        (
            Frames("image.colour"),
            r"no key 'image.colour' in .*CORR/0CH0:output, .*16 in all.* There are: ",
        ),
        (Frames("image.dat"), r"no key 'image.dat' in .* Did you mean 'image.data'\? There are: "),
        (
            Frames(detector="MPX"),
            r"no such detector. Detectors in this run: \['SPB_DET_AGIPD1M-1 \(corrected\)'",
        ),
        (
            Frames(modules=(30,)),
            r"SPB_DET_AGIPD1M-1 \(AGIPD1M\) has no modules 30; in this run are 0-15: give some of these",
        ),
        (Key("SA1_XGM", "x"), r"no source 'SA1_XGM' in this run\. Did you mean '.*XGM.*'\? There are: "),
        (Key("SA1_XTD2_XGM/XGM/MAIN", "x"), r"no source .* Sources of SA1_XTD2_XGM: SA1_XTD2_XGM/"),
        (Frames(data="dark"), "no such detector"),
    ],
)
def test_what_is_not_in_the_run_is_refused_with_what_is(run, what, says):
    with pytest.raises(PlanError, match=says):
        dxflow.plan(run.path, RoiSum(img=what))


@pytest.mark.parametrize(
    ("detector", "there"), [("AGIPD500K", "0-7"), ("JUNGFRAU", "1-8"), ("AGIPD1M", "0-15")]
)
@pytest.mark.parametrize("mask", [None, "auto"])
def test_modules_that_no_such_detector_has_are_refused_though_faults_are_masked(
    tmp_path, detector, there, mask
):
    run = make_run(tmp_path / "r", detector=detector, trains=2, pulses=2, module_shape=(4, 4), devices=())
    with pytest.raises(PlanError, match=rf"has no modules .*20; in this run are {there}: give some of these"):
        dxflow.plan(run.path, RoiSum(img=Frames(modules=range(21), mask=mask)), on_fault="mask")
    assert dxflow.plan(run.path, RoiSum(img=Frames(modules=range(1, 8), mask=mask)))


@pytest.mark.parametrize("modules", [5, "0-3", [0, 0], [], [1.5], True])
def test_what_is_no_list_of_module_numbers_is_refused(modules):
    with pytest.raises((TypeError, ValueError), match="modules=.*: expected"):
        Frames(modules=modules)


def test_modules_that_an_earlier_result_says(run):
    used = dxflow.reduce(run.path, RoiSum(img=Frames(modules=(2, 5, 9))), cluster="here").dataset["valid"]
    bright = used.any("train") & (used["module"] != 5)
    for modules in (bright, bright["module"][bright], bright.isel(module=[2, 0])):
        assert set(Frames(modules=modules).modules) == {2, 9}
        plan = dxflow.plan(run.path, RoiSum(img=Frames(modules=modules)))
        assert set(plan.inputs[0].modules) == {2, 9}
    with pytest.raises(
        TypeError, match="booleans along .'module',. with coordinates none: expected one for each"
    ):
        Frames(modules=bright.drop_vars("module"))
    with pytest.raises(TypeError, match="booleans along .'train', 'module'."):
        Frames(modules=used)
    with pytest.raises(ValueError, match="expected different module numbers"):
        Frames(modules=bright & False)


def test_a_module_that_a_detector_of_any_size_may_have_is_a_fault_that_can_be_masked(tmp_path):
    run = make_run(tmp_path / "r", detector="JUNGFRAU", trains=2, pulses=2, module_shape=(4, 4), devices=())
    for path in Path(run.path).glob("*JNGFR08-*.h5"):
        path.unlink()
    asked = RoiSum(img=Frames(modules=range(1, 9)))
    with pytest.raises(PlanError, match="module 8 .*missing module"):
        dxflow.plan(run.path, asked)
    assert dxflow.plan(run.path, asked, on_fault="mask")


def test_messages_show_of_an_input_only_what_was_said():
    assert str(Frames()) == "Frames()"
    assert str(Frames("image.mask", modules=[3, 4])) == "Frames(key='image.mask', modules=(3, 4))"


def test_detectors_of_unknown_kinds_are_pointed_out_as_keys(tmp_path):
    make_run(tmp_path / "r", trains=2, detector=None, devices=("camera",))
    with pytest.raises(PlanError, match=r"Frames\(\): no such detector.*Key\('.*CAM.*pixels"):
        dxflow.plan(tmp_path / "r", RoiSum())


def test_a_wrong_key_of_a_source_is_refused_with_its_keys(run):
    source = f"{run.devices['xgm']}:output"
    with pytest.raises(PlanError, match=r"no key 'data.x' in .*XGM.* There are: data\.intensity"):
        dxflow.plan(run.path, RoiSum(img=Key(source, "data.x")))


def test_what_was_allocated_but_never_written_is_missing_and_counted_and_not_zero(example):
    run = some_trains(example("agipd500k"), 0)
    frames = dxflow.reduce(run, RoiSum(img=Frames(modules=(1,))), cluster="here", on_fault="mask")
    assert np.isnan(frames.dataset["roisum.intensity"]).all()
    assert frames.losses[["cause", "module", "frames"]].values.tolist() == [["never written", 1, 64]]


def test_aliases_of_a_run_are_sources_and_keys(run):
    xgm, motor = f"{run.devices['xgm']}:output", run.devices["motor"]
    opened = extra_data.RunDirectory(run.path).with_aliases(
        {"xgm": xgm, "xgm-energy": (xgm, "data.intensityTD"), "theta": (motor, "actualPosition.value")}
    )
    pairs = [
        (Key("xgm", "data.intensityTD"), Key(xgm, "data.intensityTD")),
        (Key("xgm-energy"), Key(xgm, "data.intensityTD")),
        (Key("theta"), Key(motor, "actualPosition.value")),
    ]
    for alias, literal in pairs:
        # EXtra-data reads the literal one.
        found = dxflow.plan(opened, RoiSum(img=alias)).inputs[0]
        assert (found.name, found.key) == (literal.source, literal.key)
        expected = dxflow.plan(run.path, RoiSum(img=literal)).inputs[0]
        assert (found.kind, found.shape, len(found.index)) == (
            expected.kind,
            expected.shape,
            len(expected.index),
        )
    with pytest.raises(PlanError, match=r"no source 'xgm-enrgy' in this run\. Did you mean 'xgm-energy'\?"):
        dxflow.plan(opened, RoiSum(img=Key("xgm-enrgy")))
    with pytest.raises(PlanError, match="which key\\? There are: data.intensity"):
        dxflow.plan(opened, RoiSum(img=Key(xgm)))


def written_and_read(paths, source, key, dataset):
    """Put numbers into a key of the sections REDUCTION or ERRATA and return its entries in the order of trains."""
    entries = {}
    for path in paths:
        with h5py.File(path, "r+") as f:
            group, data = f"INDEX/{source}/{key.split('.')[0]}", f[dataset]
            data[...] = np.arange(data.size).reshape(data.shape) % 97
            ids = f["INDEX/trainId"][()].tolist()
            spans = zip(ids, f[f"{group}/first"][()], f[f"{group}/count"][()], strict=True)
            entries |= {train: data[first : first + count] for train, first, count in spans}
    return np.concatenate([entries[train] for train in sorted(entries)])


def test_sources_of_reduction_and_errata_are_keys_as_extra_data_shows_them(example):
    path = example("reduced_spb", format_version="1.3")
    run = extra_data.RunDirectory(str(path))
    pairs = [
        (source, key)
        for source in sorted(run.auxiliary.all_sources)
        if "_REDUCTION/SPB_DET_AGIPD1M-1/DET/3CH0" in source or "@" in source
        for key in sorted(run.auxiliary[source].keys())
        if run.auxiliary[source, key].dtype.kind in "iuf"
    ]
    assert {run.auxiliary[s].section for s, _ in pairs} == {"REDUCTION", "ERRATA"}
    for source, key in pairs[::2]:
        one = run.auxiliary[source, key]
        files = [f for f in one.files if one.source in f.reduction_sources | f.errata_sources]
        paths = [f.filename for f in files]
        for file in files:
            file.close()
        expected = written_and_read(paths, one.source, key, one.hdf5_data_path)
        kept = dxflow.reduce(path, Kept(x=Key(source, key)), cluster="here", on_fault="mask").dataset[
            "kept.x"
        ]
        np.testing.assert_array_equal(kept.values, expected)
    meant = "Did you mean 'DA01@TRAINS_OUTSIDE_BUFFER_RANGE'"
    with pytest.raises(PlanError, match=rf"no source 'DA01@TRAINS_OUTSIDE' .*{meant}"):
        dxflow.plan(path, Kept(x=Key("DA01@TRAINS_OUTSIDE", "event.values")), on_fault="mask")
