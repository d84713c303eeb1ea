"""Copies whose pixels are stored with a codec: within the bound for every reader, all else as it was, and said."""

import json
import subprocess
import sys
from pathlib import Path

import extra_data
import h5py
import hdf5plugin  # noqa: F401 - for the readers
import numpy as np
import programs
import pytest
from copies import frames_of, opened
from validator import problems

import dxflow
from dxflow import Frames, FrameSelection, PlanError
from dxflow.algorithms.average import Average
from dxflow.codecs import table
from dxflow.codecs.table import CODECS
from dxflow.commands.main import main
from dxflow.copying import cut, plan_copy
from dxflow.copying.hands import Hands
from dxflow.simulate import make_run

DATA = "image.data"


@pytest.fixture(autouse=True)
def in_this_process(request, monkeypatch):
    """Write in this process: another would load the compiler for each of these small copies."""
    if "other_process" not in request.fixturenames:
        monkeypatch.setattr(Hands, "do", lambda self, work, *given, **named: cut.write((), *given))
        monkeypatch.setattr(Hands, "start", lambda self: None)


@pytest.fixture
def other_process():
    """Write where copies do."""


def pixels(path):
    """Return {source: values} of all modules, as EXtra-data reads them."""
    run = opened(path)
    return {source: run[source, DATA].ndarray() for source in frames_of(run)}


def attributes(path):
    """Return the attributes of all datasets of pixels."""
    found = []
    for file in sorted(Path(path).glob("CORR*.h5")):
        with h5py.File(file) as f:
            found += [dict(f[f"INSTRUMENT/{s}/image/data"].attrs) for s in modules(f)]
    return found


def modules(file):
    return [f"SPB_DET_AGIPD1M-1/CORR/{n}" for n in file.get("INSTRUMENT/SPB_DET_AGIPD1M-1/CORR", ())]


@pytest.mark.parametrize("name", CODECS)
def test_pixels_are_within_the_bound_and_all_else_is_as_it_was(made, tmp_path, name):
    run = made(version="1.3")
    report = dxflow.copy_run(run.path, tmp_path / "copy", codec=name, round="abs=0.25", cluster="here")
    assert report.frames_without_loss == 0
    worst = 0.0
    for source, values in pixels(tmp_path / "copy").items():
        change = np.abs(values - pixels(run.path)[source])
        worst = max(worst, change.max())
    assert 0 < worst <= 0.25
    assert report.largest_error == pytest.approx(worst)
    a, b = opened(run.path), opened(tmp_path / "copy")
    for source in a.all_sources:
        assert a[source].keys() == b[source].keys()
        for key in a[source].keys() - {DATA}:
            np.testing.assert_array_equal(a[source, key].ndarray(), b[source, key].ndarray())
    assert problems(tmp_path / "copy") == []


def test_frames_are_selected_and_rounded_together_and_the_report_is_kept(made, tmp_path):
    run = made()
    pulses = np.unique(run.pulse_ids)[[0, 2]].tolist()
    chosen = FrameSelection(pulses=pulses)
    report = dxflow.copy_run(run.path, tmp_path / "copy", frames=chosen, round={"relative": 2**-8})
    keep = np.isin(run.pulse_ids, pulses)
    for source, values in pixels(tmp_path / "copy").items():
        original = pixels(run.path)[source][keep]
        assert values.dtype == original.dtype
        assert (np.abs(values - original) <= 2**-8 * np.abs(original)).all()
        assert not (values.view("u4") & 0x7FFF).any()
    kept = dxflow.open(tmp_path / "copy").report()
    assert "deflate, values changed by at most 0.00390625 of the value; largest change" in str(kept)
    assert report.codec in str(kept)


def test_files_say_what_was_done_in_attributes_and_reduction(made, tmp_path):
    run = made(version="1.3")
    dxflow.copy_run(run.path, tmp_path / "copy", codec="zfp", round="abs=0.5", cluster="here")
    for said in attributes(tmp_path / "copy"):
        assert (said["codec"], said["bound.absolute"], said["frames_without_loss"]) == ("zfp", 0.5, 0)
        assert 0 < said["largest_error"] <= 0.5
    copy = opened(tmp_path / "copy").auxiliary
    source = run.sources[0]
    record = copy[f"CODEC_REDUCTION/{source}"]
    assert record.run_value("codec.value") == "zfp"
    assert record.run_value("bound.absolute.value") == 0.5
    assert "hdf5plugin" in record.run_value("reader.value")
    change = np.abs(pixels(run.path)[source].astype("f8") - pixels(tmp_path / "copy")[source])
    trains = np.split(change, np.flatnonzero(np.diff(run.frame_train_ids)) + 1)
    errors = copy[f"CODEC_REDUCTION/{source}", f"{DATA}.largestError"].ndarray()
    np.testing.assert_array_equal(errors, [t.max() for t in trains])
    assert not copy[f"CODEC_REDUCTION/{source}", f"{DATA}.framesWithoutLoss"].ndarray().any()


def test_frames_that_a_codec_cannot_store_are_counted_and_as_they_were(tmp_path, other_process):
    run = make_run(tmp_path / "r0001", trains=4, pulses=5, modules=2, module_shape=(16, 8))
    path = next(Path(run.path).glob("CORR*AGIPD00-S00000.h5"))
    with h5py.File(path, "r+") as f:
        f[f"INSTRUMENT/{run.sources[0]}/image/data"][[1, 4], 3, 3] = np.nan
    report = dxflow.copy_run(run.path, tmp_path / "copy", codec="sz3", round="abs=0.5")
    assert report.frames_without_loss == 2
    assert "2 frames without loss" in str(report)
    before, after = (pixels(p)[run.sources[0]] for p in (run.path, tmp_path / "copy"))
    np.testing.assert_array_equal(before[[1, 4]], after[[1, 4]])
    record = opened(tmp_path / "copy").auxiliary[
        f"CODEC_REDUCTION/{run.sources[0]}", f"{DATA}.framesWithoutLoss"
    ]
    assert record.ndarray().tolist() == [2, 0, 0, 0]
    manifest = json.loads((tmp_path / "copy" / "dxflow.json").read_text())
    assert manifest["report"]["frames_without_loss"] == 2


def test_integers_are_stored_with_a_codec_bit_by_bit_and_never_rounded(made, tmp_path):
    run = made(data="raw")
    report = dxflow.copy_run(run.path, tmp_path / "copy", codec="bitshuffle+zstd", round="abs=2")
    assert any("not rounded" in note and "uint16" in note for note in report.notes)
    for source, values in pixels(tmp_path / "copy").items():
        np.testing.assert_array_equal(values, pixels(run.path)[source])
    with pytest.raises(PlanError, match="Only floats"):
        plan_copy(run.path, tmp_path / "other", round="abs=2")
    with pytest.raises(PlanError, match="Only floats"):
        plan_copy(run.path, tmp_path / "other", codec="sz3", round="abs=2")


def test_16_cells_of_an_entry_are_frames_of_their_own(made, tmp_path):
    run = made(detector="JUNGFRAU", pulses=4, data="corr")
    source, key = run.sources[0], "data.adc"
    dxflow.copy_run(run.path, tmp_path / "copy", codec="blosc2", round="abs=0.5")
    a, b = (opened(p)[source, key].ndarray() for p in (run.path, tmp_path / "copy"))
    assert 0 < np.nanmax(np.abs(a - b)) <= 0.5
    np.testing.assert_array_equal(np.isnan(a), np.isnan(b))


def test_another_bound_is_another_copy(made, tmp_path):
    run = made()
    plans = [
        plan_copy(run.path, tmp_path / "copy", **how)
        for how in (
            {},
            {"codec": "deflate"},
            {"round": "abs=0.5"},
            {"round": "abs=0.25"},
            {"codec": "sz3", "round": "abs=0.5"},
        )
    ]
    assert len({plan.fingerprint() for plan in plans}) == len(plans)
    same = plan_copy(run.path, tmp_path / "copy", codec="deflate", round={"absolute": 0.5})
    assert same.fingerprint() == plans[2].fingerprint()


def test_a_dry_run_says_how_large_it_will_be_and_what_readers_need(made, tmp_path, capsys):
    run = made(trains=16, module_shape=(64, 64))
    options = ["--codec", "bitshuffle+lz4", "--round", "abs=0.5"]
    assert main(["copy", run.path, str(tmp_path / "copy"), *options, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert "pixels   bitshuffle+lz4, values changed by at most 0.5" in out
    assert "need hdf5plugin" in out
    planned = plan_copy(run.path, tmp_path / "copy", codec="bitshuffle+lz4", round="abs=0.5").report
    done = dxflow.copy_run(run.path, tmp_path / "copy", codec="bitshuffle+lz4", round="abs=0.5")
    assert planned.after == pytest.approx(done.after, rel=0.2)
    assert done.after < 0.6 * done.before


def test_a_bound_is_not_mixed_with_that_of_an_earlier_copy(made, tmp_path):
    run = made()
    dxflow.copy_run(run.path, tmp_path / "one", round="rel=1e-2", cluster="here")
    dxflow.copy_run(tmp_path / "one", tmp_path / "two", round="abs=0.5", cluster="here")
    dxflow.copy_run(tmp_path / "one", tmp_path / "same", codec="bitshuffle+zstd", cluster="here")
    one, two, same = (attributes(tmp_path / name) for name in ("one", "two", "same"))
    for first, said, kept in zip(one, two, same, strict=True):
        assert said["bound.absolute"] == 0.5
        assert "bound.relative" not in said
        assert said["earlier.bound.relative"] == 1e-2
        assert said["earlier.largest_error"] == first["largest_error"]
        assert kept == first | {"codec": "bitshuffle+zstd"}


@pytest.mark.parametrize("name", ["sz3", "zfp"])
def test_codecs_that_cannot_hold_nan_are_refused_where_pixels_become_that(made, tmp_path, name):
    run = made()
    given = {"region": np.array([(0, 3, 6, 2, 7)]), "codec": name, "round": "abs=0.5", "cluster": "here"}
    with pytest.raises(PlanError, match="outside=0"):
        plan_copy(run.path, tmp_path / "copy", **given)
    report = dxflow.copy_run(run.path, tmp_path / "copy", outside=0, **given)
    assert report.frames_without_loss == 0


def test_what_cannot_work_is_refused_before(made, tmp_path, monkeypatch):
    run = made()
    for options, says in (
        ({"codec": "lzma"}, "there is no such codec"),
        ({"codec": "zfp"}, "keeps an absolute bound"),
        ({"round": "0.5"}, "expected 'abs=0.5'"),
        ({"codec": 3}, "codec=3"),
        ({"codec": "deflate", "sources": "*XGM*"}, "no detector"),
    ):
        with pytest.raises(PlanError, match=says):
            plan_copy(run.path, tmp_path / "copy", **options)
    monkeypatch.setattr(table, "find_spec", lambda name: None)
    with pytest.raises(PlanError, match="pip install"):
        dxflow.copy_run(run.path, tmp_path / "copy", codec="blosc2", dry_run=True)
    assert not list(tmp_path.iterdir())


def test_a_copy_with_deflate_opens_without_plugins(made, tmp_path, other_process):
    run = made()
    dxflow.copy_run(run.path, tmp_path / "copy", codec="quantised", round="abs=0.3")
    code = (
        "import sys, extra_data, numpy as np; sys.modules['hdf5plugin'] = None; "
        f"a, b = (extra_data.RunDirectory(p)[{run.sources[0]!r}, {DATA!r}].ndarray() for p in sys.argv[1:]); "
        "print(0 < abs(a - b).max() <= 0.3)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, run.path, str(tmp_path / "copy")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "True"


def test_dxflow_reads_its_copies(made, tmp_path):
    run = made()

    def mean(path):
        average = Average(img=Frames(modules=(0, 1)))
        return dxflow.reduce(path, average, cluster="here").dataset["average.mean"].values

    for name in ("deflate", "bitshuffle+lz4"):
        dxflow.copy_run(run.path, tmp_path / name, codec=name, round="abs=0.25")
    plain, rounded, other = mean(run.path), mean(tmp_path / "deflate"), mean(tmp_path / "bitshuffle+lz4")
    # What is NaN in one of them only is no small change.
    np.testing.assert_allclose(rounded, plain, rtol=0, atol=0.25, equal_nan=True)
    np.testing.assert_array_equal(rounded, other)
    assert extra_data.RunDirectory(tmp_path / "deflate").train_ids == run.train_ids.tolist()


def test_a_coded_copy_is_cut_and_coded_again_where_nobody_has_imported_the_plugin(
    made, tmp_path, other_process
):
    run = made(version="1.3")
    dxflow.copy_run(run.path, tmp_path / "one", codec="bitshuffle+lz4", round="abs=0.25", quiet=True)
    code = (
        "import sys, dxflow; assert 'hdf5plugin' not in sys.modules; "
        "keep = dxflow.FrameSelection(cells=slice(1, 3)); "
        "dxflow.copy_run('one', 'two', frames=keep, codec='deflate', quiet=True)"
    )
    done = programs.run(code, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    one, two = (opened(tmp_path / name) for name in ("one", "two"))
    for source in run.sources:
        keep = np.isin(one[source, "image.cellId"].ndarray().ravel(), [1, 2])
        np.testing.assert_array_equal(two[source, DATA].ndarray(), one[source, DATA].ndarray()[keep])
    names = {
        f"{n}/{s}" for n in ("CODEC_REDUCTION", "CODEC_REDUCTION_2", "FRAME_REDUCTION") for s in run.sources
    }
    assert two.auxiliary.reduction_sources == names
