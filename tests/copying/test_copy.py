"""What is selected is what numpy selects of the original, as EXtra-data reads both."""

import json
from pathlib import Path

import extra_data
import numpy as np
import pytest
import xarray as xr
from copies import agrees, frames_of, opened
from turns import turns
from validator import problems

import dxflow
from dxflow import FrameSelection, PlanError
from dxflow.copying import plan_copy
from dxflow.simulate import Plant, make_run

GAPS = Plant(
    missing_trains=(3,),
    lost_trains={1: (0, 4)},
    silent_trains={0: (6,)},
    pulse_counts=lambda train: (5, 4, 0, 5, 3, 5, 1)[train % 7],
    empty_trains=(7,),
)


@pytest.mark.properties
@pytest.mark.parametrize(
    ("data", "version", "detector"),
    turns(("corr", "raw"), ("0.5", "1.0", "1.1", "1.2", "1.3"), ("AGIPD1M", "LPD1M", "DSSC1M")),
)
def test_selected_frames_and_everything_else_come_out(made, tmp_path, version, detector, data):
    run = made(version=version, detector=detector, data=data, devices=("xgm", "motor"))
    pulses = np.unique(run.pulse_ids)[[0, 3]]
    report = dxflow.copy_run(run.path, tmp_path / "copy", frames=FrameSelection(pulses=pulses.tolist()))
    agrees(run.path, tmp_path / "copy", lambda t, p: p in pulses)
    assert list(report.frames.values()) == [(40, 16)]
    whole = {f.name for f in report.files if f.how == "whole"}
    assert whole == {f.name for f in report.files if "DA01" in f.name}


@pytest.mark.parametrize(
    "layout", [{"layout": "contiguous"}, {"compress_data": True}, {"compress_masks": False}]
)
def test_frames_of_any_layout_are_selected_by_a_plain_mask(made, tmp_path, layout):
    run = made(**layout)
    mask = np.random.default_rng(3).random(len(run.pulse_ids)) < 0.4
    chosen = set(zip(run.frame_train_ids[mask].tolist(), run.pulse_ids[mask].tolist(), strict=True))
    dxflow.copy_run(run.path, tmp_path / "copy", frames=mask)
    agrees(run.path, tmp_path / "copy", lambda t, p: (t, p) in chosen)


def test_modules_that_lack_frames_keep_theirs(tmp_path):
    run = make_run(tmp_path / "run", trains=10, pulses=5, modules=3, module_shape=(8, 8), plant=GAPS)
    mask = xr.DataArray(
        np.arange(len(run.pulse_ids)) % 3 == 0,
        dims="frame",
        coords={"train_id": ("frame", run.frame_train_ids), "pulse_id": ("frame", run.pulse_ids)},
    )
    chosen = {(int(t), int(p)) for t, p in zip(run.frame_train_ids[::3], run.pulse_ids[::3], strict=True)}
    dxflow.copy_run(run.path, tmp_path / "copy", frames=mask)
    agrees(run.path, tmp_path / "copy", lambda t, p: (t, p) in chosen)


def test_entries_of_16_cells_are_kept_if_one_of_their_frames_is(made, tmp_path):
    run = made(detector="JUNGFRAU", pulses=4)
    selection = FrameSelection(trains=[int(run.train_ids[1]), int(run.train_ids[5])], cells=[2])
    report = dxflow.copy_run(run.path, tmp_path / "copy", frames=selection)
    agrees(run.path, tmp_path / "copy", lambda t, p: t in run.train_ids[[1, 5]])
    ((before, after),) = report.frames.values()
    assert (before, after) == (4 * len(run.train_ids), 8)


@pytest.mark.parametrize("version", ["0.5", "1.0", "1.1", "1.2", "1.3"])
def test_trains_are_left_out_of_all_files(made, tmp_path, version):
    run = made(version=version, data="raw", devices=("xgm", "motor", "timeserver", "camera"))
    kept = run.train_ids[2:7]
    report = dxflow.copy_run(run.path, tmp_path / "copy", trains=slice(int(kept[0]), int(kept[-1]) + 1))
    agrees(run.path, tmp_path / "copy", lambda t, p: True, trains=kept)
    assert opened(tmp_path / "copy").train_ids == kept.tolist()
    assert report.trains == (8, 5)


def test_files_without_any_of_the_trains_are_left_out(made, tmp_path):
    run = made()
    report = dxflow.copy_run(run.path, tmp_path / "copy", trains=extra_data.by_index[:2])
    assert {f.how for f in report.files if "S00001" in f.name} == {"left out"}
    agrees(run.path, tmp_path / "copy", lambda t, p: True, trains=run.train_ids[:2])


def test_frames_and_trains_and_modules_are_selected_together(made, tmp_path):
    run = made()
    kept, pulse = run.train_ids[[0, 3, 5]], int(run.pulse_ids[2])
    trains = [int(t) for t in kept]
    dxflow.copy_run(
        run.path, tmp_path / "copy", frames=FrameSelection(pulses=[pulse]), trains=trains, modules=[1]
    )
    agrees(run.path, tmp_path / "copy", lambda t, p: p == pulse, trains=kept)
    assert problems(tmp_path / "copy") == []
    assert set(frames_of(opened(tmp_path / "copy"))) == {run.sources[1]}


def test_sources_are_left_out_of_files_and_lists(made, tmp_path, same_file):
    run = made(version="1.3")
    report = dxflow.copy_run(run.path, tmp_path / "copy", sources=["*XGM*", "*/CORR/*"])
    original, copy = opened(run.path), opened(tmp_path / "copy")
    fits = {
        s for s in original.all_sources if "XGM" in s or original.legacy_sources.get(s, s).count("/CORR/")
    }
    assert copy.all_sources == fits
    assert set(report.sources) == original.all_sources - fits
    agrees(run.path, tmp_path / "copy", lambda t, p: True)
    devices = next(f for f in copy.files if "DA01" in f.filename).file
    listed = [n.decode() for n in devices["METADATA/dataSources/deviceId"][:]]
    assert [n for n in listed if "XGM" not in n] == []
    assert [k for k in devices["RUN"] if "XGM" not in k] == []
    for path in Path(run.path).glob("CORR*.h5"):
        same_file(path, tmp_path / "copy" / path.name)


def test_a_legacy_name_keeps_what_it_stands_for(made, tmp_path):
    run = made()
    dxflow.copy_run(run.path, tmp_path / "copy", sources="*/DET/0CH0:xtdf")
    copy = opened(tmp_path / "copy")
    assert copy.all_sources == {run.sources[0], "SPB_DET_AGIPD1M-1/DET/0CH0:xtdf"}


def test_origins_follow_the_list_of_sources(tmp_path):
    import h5py

    run = make_run(tmp_path / "run", trains=4, detector=None, sequences=1, devices=("xgm", "motor"))
    path = next(Path(run.path).glob("*.h5"))
    with h5py.File(path, "a") as f:
        names = [n.decode() for n in f["METADATA/dataSources/dataSourceId"][:]]
        motor = next(n for n, name in enumerate(names) if "MOTOR" in name)
        xgm = next(n for n, name in enumerate(names) if "XGM" in name)
        f["INDEX/origin"][:] = [-1, motor, xgm, motor]
    dxflow.copy_run(run.path, tmp_path / "copy", sources="*MOTOR*")
    with h5py.File(tmp_path / "copy" / path.name) as f:
        assert f["INDEX/origin"][:].tolist() == [-1, 0, 1, 0]
        assert len(f["METADATA/dataSources/dataSourceId"]) == 1


def test_without_selection_every_file_is_the_same_bytes(made, tmp_path):
    run = made()
    report = dxflow.copy_run(run.path, tmp_path / "copy")
    files = sorted(Path(run.path).glob("*.h5"))
    assert [f.name for f in report.files] == [f.name for f in files]
    assert all((tmp_path / "copy" / f.name).read_bytes() == f.read_bytes() for f in files)
    assert report.ratio == 1


def test_compressed_frames_are_moved_byte_by_byte(made, tmp_path):
    import h5py

    run = made(compress_data=True)
    dxflow.copy_run(run.path, tmp_path / "copy", frames=FrameSelection(pulses=[int(run.pulse_ids[1])]))
    for path in Path(run.path).glob("CORR*.h5"):
        with h5py.File(path) as f, h5py.File(tmp_path / "copy" / path.name) as g:
            source = next(s for s in run.sources if f"INSTRUMENT/{s}" in f)
            a, b = (x[f"INSTRUMENT/{source}/image/data"] for x in (f, g))
            rows = np.flatnonzero(f[f"INSTRUMENT/{source}/image/pulseId"][:] == run.pulse_ids[1])
            assert len(rows) == len(b)
            for new, old in enumerate(rows):
                assert b.id.read_direct_chunk((new, 0, 0)) == a.id.read_direct_chunk((int(old), 0, 0))


def test_a_result_of_a_selecting_algorithm_selects(made, tmp_path):
    run = made(devices=("xgm", "motor", "timeserver", "ppd", "agipd"), lit="pulses")
    from dxflow.algorithms.litframes import LitFrames

    result = dxflow.reduce(run.path, LitFrames(), tmp_path / "lit.zarr", cluster="here", on_fault="mask")
    dxflow.copy_run(run.path, tmp_path / "copy", frames=result)
    lit = set(zip(run.frame_train_ids[run.lit].tolist(), run.pulse_ids[run.lit].tolist(), strict=True))
    agrees(run.path, tmp_path / "copy", lambda t, p: (t, p) in lit)


def test_a_selection_of_extra_data_is_what_is_copied(made, tmp_path):
    run = made()
    part = opened(run.path).select("*XGM*").select_trains(extra_data.by_index[1:3])
    dxflow.copy_run(part, tmp_path / "copy")
    copy = opened(tmp_path / "copy")
    assert copy.all_sources == part.all_sources
    assert copy.train_ids == part.train_ids


def test_the_same_copy_is_made_by_processes_here_or_by_workers(made, tmp_path, client, same_file):
    run = made()
    selection = FrameSelection(pulses=[int(run.pulse_ids[0])])
    for name, cluster in (("threads", None), ("here", "here"), ("workers", client)):
        dxflow.copy_run(run.path, tmp_path / name, frames=selection, cluster=cluster)
    for path in (tmp_path / "threads").glob("*.h5"):
        same_file(path, tmp_path / "here" / path.name)
        same_file(path, tmp_path / "workers" / path.name)


@pytest.mark.parametrize("data", ["corr", "raw"])
def test_a_dry_run_says_the_size_within_a_few_per_cent_and_writes_nothing(made, tmp_path, data):
    run = made(data=data, trains=30, pulses=20, module_shape=(64, 64), pool=50)
    selection = np.random.default_rng(1).random(len(run.pulse_ids)) < 0.3
    expected = dxflow.copy_run(run.path, tmp_path / "copy", frames=selection, dry_run=True)
    assert list(tmp_path.iterdir()) == []
    report = dxflow.copy_run(run.path, tmp_path / "copy", frames=selection)
    assert report.after == sum(f.stat().st_size for f in (tmp_path / "copy").glob("*.h5"))
    for guess, real in zip(expected.files, report.files, strict=True):
        assert guess.after == pytest.approx(real.after, rel=0.05), guess.name
    assert 0.25 < report.ratio < 0.4


def test_the_record_in_files_says_what_was_dropped(made, tmp_path):
    run = made(version="1.3")
    pulses = [int(p) for p in np.unique(run.pulse_ids)[[1, 4]]]
    dxflow.copy_run(run.path, tmp_path / "copy", frames=FrameSelection(pulses=pulses))
    copy = opened(tmp_path / "copy")
    name = f"FRAME_REDUCTION/{run.sources[0]}"
    assert copy.auxiliary.reduction_sources == {f"FRAME_REDUCTION/{s}" for s in run.sources}
    record = copy.auxiliary[name]
    for key in ("data", "pulseId", "mask"):
        indices = record[f"image.{key}.indicesBeforeReduction"].ndarray()
        np.testing.assert_array_equal(indices, np.tile([1, 4], (8, 1)))
    assert (record["image.data.reductionRatio"].ndarray() == 0.4).all()
    assert (record["image.data.wasReduced"].ndarray() == 1).all()
    values = record.run_values(inc_timestamps=False)
    assert values["method"] == "FRAME"
    assert values["frames.before"] == 40
    assert values["frames.after"] == 16
    assert values["parameters.frames"] == f"pulses={pulses}"
    manifest = json.loads((tmp_path / "copy" / "dxflow.json").read_text())
    assert manifest["selection"] == {"frames": f"pulses={pulses}"}
    assert manifest["state"] == "complete"


def test_a_copy_of_a_copy_keeps_the_first_record(made, tmp_path):
    run = made(version="1.3")
    pulses = [int(p) for p in np.unique(run.pulse_ids)]
    dxflow.copy_run(run.path, tmp_path / "one", frames=FrameSelection(pulses=pulses[:3]))
    dxflow.copy_run(
        tmp_path / "one",
        tmp_path / "two",
        frames=FrameSelection(pulses=pulses[1:]),
        trains=slice(0, int(run.train_ids[2])),
    )
    copy = opened(tmp_path / "two")
    first, second = (f"FRAME_REDUCTION{n}/{run.sources[0]}" for n in ("", "_2"))
    key = "image.data.indicesBeforeReduction"
    assert copy.auxiliary[first, key].ndarray().tolist() == [[0, 1, 2]] * 2
    assert copy.auxiliary[second, key].ndarray().tolist() == [[1, 2]] * 2
    agrees(run.path, tmp_path / "two", lambda t, p: p in pulses[1:3], trains=run.train_ids[:2])


def test_older_formats_say_in_the_manifest_what_was_dropped(made, tmp_path):
    run = made(version="1.2")
    report = dxflow.copy_run(
        run.path, tmp_path / "copy", frames=FrameSelection(pulses=[int(run.pulse_ids[2])])
    )
    assert any("only said in the manifest" in note for note in report.notes)
    assert not opened(tmp_path / "copy").auxiliary.reduction_sources
    manifest = json.loads((tmp_path / "copy" / "dxflow.json").read_text())
    group = manifest["dropped"]["CORR-R0001-AGIPD00-S00000.h5"]["groups"][f"{run.sources[0]}/image"]
    assert group["indicesBeforeReduction"] == [2, 2, 2, 2]
    assert group["counts"] == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sources": "*NOTHING*"}, "nothing fits"),
        ({"modules": [0, 7]}, "expected some of"),
        ({"trains": slice(1, 5)}, "none of the trains"),
        ({"detector": "EPIX"}, "there are"),
        ({"frames": np.ones(3, bool)}, "there are 40 frames"),
        ({"frames": FrameSelection(pulses=[0]), "sources": "*XGM*"}, "no detector"),
    ],
)
def test_what_selects_nothing_is_refused_with_what_there_is(made, tmp_path, options, message):
    with pytest.raises(PlanError, match=message):
        plan_copy(made().path, tmp_path / "copy", **options)
    assert list(tmp_path.iterdir()) == []
