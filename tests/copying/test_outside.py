"""Pixels outside of a region are 0 or NaN in a copy, take no room, and all else is as it was."""

import json
from pathlib import Path

import extra_data
import h5py
import numpy as np
import pytest
import xarray as xr
from copies import frames_of, opened
from samples import Somewhere
from turns import turns
from validator import problems

import dxflow
from dxflow import Frames, FrameSelection, PlanError
from dxflow.algorithms.average import Average
from dxflow.algorithms.signal import Signal
from dxflow.commands import main as cli
from dxflow.simulate import PowderRings, make_run

BOXES = [(0, 3, 6, 2, 7), (0, 10, 12, 0, 3)]
NAME = "SPB_DET_AGIPD1M-1"


def region(boxes=BOXES, modules=(0, 1), shape=(16, 8), detector=NAME):
    """Return a mask as a result has it."""
    mask = np.zeros((len(modules), *shape), bool)
    for module, ss0, ss1, fs0, fs1 in boxes:
        mask[list(modules).index(module), ss0:ss1, fs0:fs1] = True
    attrs = {"detector": detector} if detector else {}
    return xr.DataArray(mask, dims=("module", "ss", "fs"), coords={"module": list(modules)}, attrs=attrs)


def expected(values, inside, fill):
    return np.where(inside, values, np.asarray(fill, values.dtype))


def agrees(original, copy, mask, fill):
    """Check every key of the modules, and that files are valid."""
    a, b = opened(original), opened(copy)
    for number, source in enumerate(frames_of(a)):
        for key in sorted(a[source].keys()):
            values = a[source, key].ndarray()
            if key in ("image.data", "data.adc"):
                values = expected(values, mask.values[number], fill)
            elif key in ("image.gain", "data.gain"):
                values = expected(values, mask.values[number], 0)
            np.testing.assert_array_equal(b[source, key].ndarray(), values, err_msg=f"{source} {key}")
    assert problems(copy) == []


@pytest.mark.properties
@pytest.mark.parametrize(
    ("data", "detector", "layout", "version"),
    turns(
        ("corr", "raw"),
        ("AGIPD1M", "LPD1M", "DSSC1M", "JUNGFRAU"),
        ({}, {"layout": "contiguous"}, {"compress_data": True}),
        ("0.5", "1.2", "1.3"),
    ),
)
def test_pixels_outside_are_replaced_in_all_kinds_of_files(made, tmp_path, data, detector, layout, version):
    run = made(data=data, detector=detector, version=version, **layout)
    modules = (1, 2) if detector == "JUNGFRAU" else (0, 1)
    mask = region([(modules[0], 3, 6, 2, 7)], modules, detector="")
    report = dxflow.copy_run(run.path, tmp_path / "copy", region=mask)
    agrees(run.path, tmp_path / "copy", mask, np.nan if data == "corr" else 0)
    assert list(report.pixels.values()) == [(256, 15)]
    said = json.loads((tmp_path / "copy" / "dxflow.json").read_text())
    assert said["selection"]["outside"] == "nan for floats, 0 for integers"


@pytest.mark.parametrize("layout", [{"layout": "contiguous"}, {"compress_data": True}])
def test_what_is_outside_takes_no_room(tmp_path, layout):
    run = make_run(
        tmp_path / "run",
        trains=4,
        pulses=8,
        modules=2,
        module_shape=(128, 64),
        devices=(),
        data="raw",
        **layout,
    )
    mask = region([(0, 0, 32, 0, 64)], shape=(128, 64))
    dry = dxflow.copy_run(run.path, tmp_path / "copy", region=mask, dry_run=True)
    report = dxflow.copy_run(run.path, tmp_path / "copy", region=mask)
    for guess, real in zip(dry.files, report.files, strict=True):
        assert guess.after == pytest.approx(real.after, rel=0.15), guess.name
    with h5py.File(next((tmp_path / "copy").glob("*AGIPD01*.h5"))) as f:
        data = f[f"INSTRUMENT/{NAME}/DET/1CH0:xtdf/image/data"]
        assert data.id.get_storage_size() < 0.03 * data.size * 2
        assert (data.compression, data.shuffle, data.chunks[0]) == ("gzip", True, 1)


def test_outside_is_what_is_asked_for(made, tmp_path):
    run = made()
    for outside, text in ((0, "0"), (np.nan, "nan")):
        to = tmp_path / text
        dxflow.copy_run(run.path, to, region=region(), outside=outside)
        agrees(run.path, to, region(), outside)
        with h5py.File(next(to.glob("*AGIPD00-S00000.h5"))) as f:
            attributes = dict(f[f"INSTRUMENT/{run.sources[0]}/image/data"].attrs)
        np.testing.assert_equal(attributes["outside"], float(outside))
        assert attributes["pixels_inside"] == 21


def test_frames_modules_trains_and_regions_combine(made, tmp_path):
    run = made()
    found = dxflow.reduce(
        run.path, Somewhere(boxes=BOXES), tmp_path / "signal.zarr", cluster="here", on_fault="mask"
    )
    pulse = int(run.pulse_ids[2])
    report = dxflow.copy_run(
        run.path,
        tmp_path / "copy",
        frames=FrameSelection(pulses=[pulse]),
        modules=found,
        region=found,
        trains=run.train_ids[2:5].tolist(),
    )
    copy = opened(tmp_path / "copy")
    assert set(frames_of(copy)) == {run.sources[0]}
    assert copy.train_ids == run.train_ids[2:5].tolist()
    values = opened(run.path)[run.sources[0], "image.data"].ndarray()
    rows = np.isin(run.frame_train_ids, run.train_ids[2:5]) & (run.pulse_ids == pulse)
    np.testing.assert_array_equal(
        copy[run.sources[0], "image.data"].ndarray(), expected(values[rows], region().values[0], np.nan)
    )
    assert report.pixels == {f"{NAME} (corrected)": (128, 21)}
    said = json.loads((tmp_path / "copy" / "dxflow.json").read_text())["selection"]
    assert said["modules"] == [0]
    assert str(tmp_path / "signal.zarr") in said["region"]
    assert problems(tmp_path / "copy") == []


def test_the_record_has_the_pixels(made, tmp_path):
    run = made(version="1.3")
    dxflow.copy_run(
        run.path, tmp_path / "copy", region=region(), outside=0, trains=run.train_ids[:6].tolist()
    )
    copy = opened(tmp_path / "copy")
    assert copy.auxiliary.reduction_sources == {f"REGION_REDUCTION/{s}" for s in run.sources}
    for number, source in enumerate(run.sources):
        one = copy.auxiliary[f"REGION_REDUCTION/{source}"]
        share = region().values[number].mean()
        np.testing.assert_array_equal(one["image.data.reductionRatio"].ndarray(), np.full(6, share))
        assert (one["image.data.wasReduced"].ndarray() == 1).all()
        values = one.run_values(inc_timestamps=False)
        np.testing.assert_array_equal(values["inside"], region().values[number])
        assert (values["method"], values["outside"], values["pixels"]) == ("REGION", 0, 128)
    for file in json.loads((tmp_path / "copy" / "dxflow.json").read_text())["dropped"].values():
        assert all("inside" not in one for one in file.get("pixels", {}).values())


def test_older_formats_have_the_pixels_in_the_manifest(made, tmp_path):
    import base64
    import zlib

    run = made(version="1.2")
    report = dxflow.copy_run(run.path, tmp_path / "copy", region=region())
    assert any("only said in the manifest" in note for note in report.notes)
    said = json.loads((tmp_path / "copy" / "dxflow.json").read_text())["dropped"]
    one = said["CORR-R0001-AGIPD00-S00000.h5"]["pixels"][f"INSTRUMENT/{run.sources[0]}/image/data"]
    packed = np.frombuffer(zlib.decompress(base64.b64decode(one["inside"])), np.uint8)
    inside = np.unpackbits(packed)[: one["pixels"]].reshape(one["shape"])
    np.testing.assert_array_equal(inside, region().values[0])


def test_a_table_of_regions_is_a_region_too(made, tmp_path):
    run = made()
    dxflow.copy_run(run.path, tmp_path / "copy", region=np.array(BOXES))
    agrees(run.path, tmp_path / "copy", region(), np.nan)


@pytest.mark.parametrize("plain", [lambda mask: mask.values, lambda mask: mask.drop_vars("module")])
def test_plain_masks_have_the_modules_of_a_detector_from_its_first_on(made, tmp_path, plain):
    run = made(detector="JUNGFRAU")
    mask = region([(1, 3, 6, 2, 7)], (1, 2), detector="")
    dxflow.copy_run(run.path, tmp_path / "copy", region=plain(mask))
    agrees(run.path, tmp_path / "copy", mask, np.nan)
    bound = dxflow.plan(run.path, Average(img=Frames(modules=[1], roi=plain(mask)))).inputs[0]
    assert bound.location.roi == (slice(3, 6), slice(2, 7))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"region": region(detector="MID_DET_AGIPD1M-1")}, "of MID_DET_AGIPD1M-1, and what is copied has"),
        ({"region": region(shape=(16, 16))}, r"modules have \(16, 16\) pixels"),
        ({"region": region(modules=(0, 3))}, r"has modules \[0, 3\], and nothing of module 1"),
        ({"region": region([])}, "no pixel of the modules that are copied is inside"),
        ({"region": region(), "modules": [1]}, "no pixel of the modules that are copied is inside"),
        ({"region": np.array([(0, 0, 17, 0, 4)])}, r"up to \(17, 4\) pixels"),
        ({"region": region().astype(int)}, "expected two slices, a result, a table"),
        ({"region": region(), "outside": 3}, "expected 0, nan"),
        ({"outside": 0}, "outside of what"),
        ({"region": region(), "sources": "*XGM*"}, "no detector"),
        ({"modules": region()}, "expected one for each module"),
        ({"modules": region([])[:, 0, 0]}, "has no module: nothing was found"),
        (
            {"modules": xr.DataArray([0], attrs={"detector": "OTHER"}, dims="module")},
            "these are of OTHER, there are",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(made, tmp_path, given, message):
    with pytest.raises(PlanError, match=message):
        dxflow.copy_run(made().path, tmp_path / "copy", dry_run=True, **given)
    assert list(tmp_path.iterdir()) == []


def test_integers_cannot_be_nan(made, tmp_path):
    with pytest.raises(PlanError, match="uint16, which has no NaN: give outside=0"):
        dxflow.copy_run(made(data="raw").path, tmp_path / "copy", region=region(), outside=np.nan)


def test_files_that_lie_wholly_inside_are_copied_byte_by_byte(made, tmp_path):
    run = made()
    mask = region([(0, 0, 16, 0, 8), (1, 0, 1, 0, 1)])
    report = dxflow.copy_run(run.path, tmp_path / "copy", region=mask)
    assert {f.how for f in report.files if "AGIPD00" in f.name} == {"whole"}
    assert {f.how for f in report.files if "AGIPD01" in f.name} == {"cut"}
    agrees(run.path, tmp_path / "copy", mask, np.nan)


def test_a_copy_with_another_region_does_not_go_on_with_the_first(made, tmp_path, monkeypatch):
    from dxflow.copying import plan_copy
    from dxflow.copying.copy import execute
    from dxflow.copying.hands import Hands

    run, copied = made(), Hands.copy

    def fails(self, task, *rest, **named):
        if "AGIPD01" in task.name:
            raise OSError("planted")
        return copied(self, task, *rest, **named)

    monkeypatch.setattr(Hands, "copy", fails)
    with pytest.raises(OSError, match="planted"):
        dxflow.copy_run(run.path, tmp_path / "copy", region=region(), cluster="here")
    monkeypatch.undo()
    for other in ({"region": region(BOXES[:1])}, {"region": region(), "outside": 0}, {}):
        with pytest.raises(PlanError, match="another copy was begun there"):
            dxflow.copy_run(run.path, tmp_path / "copy", resume=True, cluster="here", **other)
    plan = plan_copy(run.path, tmp_path / "copy", region=region(), resume=True)
    execute(plan, "here")
    agrees(run.path, tmp_path / "copy", region(), np.nan)


def test_the_command_line_takes_results(made, tmp_path, capsys):
    run, found = made(), tmp_path / "signal.zarr"
    dxflow.reduce(run.path, Somewhere(boxes=BOXES), found, cluster="here", on_fault="mask")
    argv = ["copy", run.path, str(tmp_path / "copy"), "--quiet", "--outside", "0"]
    assert cli.main([*argv, "--region", str(found), "--dry-run"]) == 0
    assert f"pixels   {NAME} (corrected): 21 of 256 are inside" in capsys.readouterr().out
    assert cli.main([*argv, "--region", str(found)]) == 0
    agrees(run.path, tmp_path / "copy", region(), 0)
    assert cli.main(["copy", run.path, str(tmp_path / "one"), "--quiet", "--modules", str(found)]) == 0
    assert set(frames_of(opened(tmp_path / "one"))) == {run.sources[0]}
    assert cli.main([*argv, "--region", str(tmp_path / "none")]) == 2
    assert "no result of dxflow is there" in capsys.readouterr().err
    # What a copy is made of is not replaced by it.
    assert cli.main(["copy", run.path, str(found), "--region", str(found), "--overwrite", "--quiet"]) == 2


def test_the_same_copy_is_made_again(made, tmp_path, same_file):
    run = made(data="raw", compress_data=True)
    for name, cluster in (("a", None), ("b", "here")):
        dxflow.copy_run(run.path, tmp_path / name, region=region(), cluster=cluster)
    for path in Path(tmp_path / "a").glob("*.h5"):
        same_file(path, tmp_path / "b" / path.name)
    assert extra_data.RunDirectory(str(tmp_path / "a")).train_ids == run.train_ids.tolist()


@pytest.mark.parametrize("how", [{"codec": "bitshuffle+zstd"}, {"round": "abs=0.5"}])
def test_codecs_and_regions_combine(made, tmp_path, how):
    run = made(version="1.3")
    given = {"region": region(), "outside": 0, **how}
    dry = dxflow.copy_run(run.path, tmp_path / "copy", dry_run=True, **given)
    report = dxflow.copy_run(run.path, tmp_path / "copy", **given)
    assert dry.pixels == report.pixels
    a, b = opened(run.path), opened(tmp_path / "copy")
    for number, source in enumerate(run.sources):
        values = expected(a[source, "image.data"].ndarray(), region().values[number], 0)
        np.testing.assert_allclose(
            b[source, "image.data"].ndarray(), values, atol=0.5 if "round" in how else 0
        )
    assert len(b.auxiliary.reduction_sources) == 2 * len(run.sources)
    assert problems(tmp_path / "copy") == []


def test_what_signal_finds_is_what_is_read_and_kept(tmp_path):
    sizes = {"detector": "AGIPD500K", "modules": 4, "module_shape": (32, 16), "trains": 10, "pulses": 4}
    run = make_run(tmp_path / "run", lit=0.5, signal=PowderRings(), **sizes)
    rng = np.random.default_rng(1)
    for path in Path(run.path).glob("*AGIPD0[123]-*.h5"):
        with h5py.File(path, "a") as f:
            source = next(s for s in run.sources if s in f["INSTRUMENT"] or f"INSTRUMENT/{s}" in f)
            data = f[f"INSTRUMENT/{source}/image/data"]
            # Of module 1 a half, of 2 and 3 nothing is lit.
            rows = slice(16, 32) if "AGIPD01" in path.name else slice(0, 32)
            data[:, rows] = rng.normal(0, 0.3, data[:, rows].shape)
    img = Frames(modules=range(4))
    found = dxflow.reduce(run.path, Signal(img=img, asic=(8, 8)), tmp_path / "signal.zarr", cluster="here")
    mask, modules = found.dataset["signal.mask"].values, found.dataset["signal.modules"].values
    assert 0 < mask.mean() < 1
    kept = np.flatnonzero(modules)
    plan = dxflow.plan(run.path, Average(), modules=found, roi=found)
    (ss, fs), inside = plan.inputs[0].location.roi, mask[kept].any(axis=0)
    assert plan.inputs[0].modules == tuple(kept)
    assert inside[ss, fs].sum() == inside.sum()
    dxflow.copy_run(run.path, tmp_path / "copy", modules=found, region=found)
    copy, original = opened(tmp_path / "copy"), opened(run.path)
    assert set(frames_of(copy)) == {run.sources[m] for m in kept}
    for m in kept:
        values = expected(original[run.sources[m], "image.data"].ndarray(), mask[m], np.nan)
        np.testing.assert_array_equal(copy[run.sources[m], "image.data"].ndarray(), values)
