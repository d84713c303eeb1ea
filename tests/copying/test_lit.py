"""Copies of lit frames hold what was planted, and say what they dropped."""

from pathlib import Path

import h5py
import numpy as np
import pytest
from copies import agrees
from extra_data import RunDirectory

import dxflow
from dxflow import PlanError
from dxflow.commands.main import main
from dxflow.copying import Lit
from dxflow.simulate import Plant, make_run

SMALL = {
    "trains": 8,
    "pulses": 40,
    "module_shape": (16, 16),
    "detector": "AGIPD500K",
    "modules": 2,
    "pool": 3,
}
FIRST = {"reference_frame": 0}


@pytest.fixture
def pattern():
    """Two patterns: trains 0 to 3 and 4 to 7."""
    lit = np.zeros((8, 40), bool)
    lit[:4, [0, 3, 35]], lit[4:, :10:3] = True, True
    return lit


@pytest.fixture
def truth(tmp_path, pattern):
    return make_run(tmp_path / "r", lit=pattern, **SMALL)


def copied(truth, to, **options):
    lit = Lit(timing=FIRST, **({"agree": None} | options))
    return dxflow.copy_run(truth.path, to, frames=lit, cluster="here")


def is_kept(truth, to, flags):
    """Check a copy against flags of each train and cell."""
    ids = dict(zip(truth.train_ids.tolist(), range(len(truth.train_ids)), strict=True))
    cells = {
        (int(t), int(p)): int(c)
        for t, p, c in zip(truth.frame_train_ids, truth.pulse_ids, truth.cell_ids, strict=True)
    }
    agrees(truth.path, to, lambda t, p: bool(flags[ids[t], cells[t, p]]))


def rows_of(flags):
    out = flags.copy()
    for row in (slice(0, 32), slice(32, 40)):
        out[:, row] = flags[:, row].any(axis=1)[:, None]
    return out


@pytest.mark.parametrize("select", ["cell", "row", "super", "super-row"])
def test_what_remains_is_what_was_lit(truth, pattern, tmp_path, select):
    report = copied(truth, tmp_path / "c", select=select)
    flags = np.broadcast_to(pattern.any(axis=0), pattern.shape).copy() if "super" in select else pattern
    flags = rows_of(flags) if "row" in select else flags
    is_kept(truth, tmp_path / "c", flags)
    assert report.frames == {f"{truth.detector} (corrected)": (320, int(flags.sum()))}
    assert dxflow.verify(tmp_path / "c") == []


def test_frames_are_matched_by_cell_whatever_each_train_and_module_has(tmp_path, pattern):
    plant = Plant(
        pulse_counts=np.array([40, 3, 0, 36, 1, 40, 7, 40]), lost_trains={1: (0, 5)}, silent_trains={0: (6,)}
    )
    truth = make_run(tmp_path / "r", lit=pattern, plant=plant, **SMALL)
    copied(truth, tmp_path / "c")
    is_kept(truth, tmp_path / "c", pattern)


def test_a_reader_can_map_back_and_knows_the_parameters(truth, pattern, tmp_path):
    copied(truth, tmp_path / "c", margin=1)
    widened = pattern | np.pad(pattern[:, 1:], ((0, 0), (0, 1))) | np.pad(pattern[:, :-1], ((0, 0), (1, 0)))
    flags = widened
    source = truth.sources[0]
    run = RunDirectory(tmp_path / "c")
    record = run.auxiliary[f"FRAME_REDUCTION/{source}"]
    old = record["image.data.indicesBeforeReduction"].ndarray()
    for row, kept in zip(old, flags, strict=True):
        np.testing.assert_array_equal(row[row != 2**32 - 1], np.flatnonzero(kept))
    np.testing.assert_allclose(record["image.data.reductionRatio"].ndarray(), flags.mean(axis=1))
    file = next(f for f in run.files if source in f.instrument_sources)
    with h5py.File(file.filename) as opened:
        said = opened[f"RUN/FRAME_REDUCTION/{source}"]
        values = {}
        said.visititems(lambda n, item: values.__setitem__(n, item[0]) if n.endswith("/value") else None)
    assert values["parameters/lit/select/value"] == b"cell"
    assert values["parameters/lit/margin/value"] == 1
    assert values["parameters/lit/timing/reference_frame/value"] == 0
    assert values["parameters/frames/value"] == b"lit by timing"
    assert values["software/value"].startswith(b"dxflow ")


def test_energy_cells_and_other_selections_narrow_it_down(truth, pattern, tmp_path):
    energy = truth.energy.reshape(8, 40)
    copied(truth, tmp_path / "c", energy=1000.0)
    is_kept(truth, tmp_path / "c", pattern & (energy > 1000))
    both = [Lit(timing=FIRST, agree=None, cells=slice(3, 40)), dxflow.FrameSelection(cells=slice(0, 9))]
    dxflow.copy_run(truth.path, tmp_path / "e", frames=both, cluster="here")
    is_kept(truth, tmp_path / "e", pattern & (np.arange(40) >= 3) & (np.arange(40) < 9))
    none = make_run(tmp_path / "s", lit=pattern, devices=("timeserver",), **SMALL)
    with pytest.raises(PlanError, match="gas monitor has no energy of any lit frame"):
        copied(none, tmp_path / "f", energy=1000.0)


def test_trains_without_pattern_take_that_of_the_others_or_keep_all_frames(tmp_path, pattern):
    pattern = np.repeat(pattern, 2, axis=0)
    truth = make_run(tmp_path / "r", lit=pattern, devices=("timeserver",), **(SMALL | {"trains": 16}))
    server = f"{truth.devices['timeserver']}:outputBunchPattern"
    lost = [10005, 10016]
    for file in Path(truth.path).glob("*DA01*.h5"):
        with h5py.File(file, "r+") as opened:
            if f"INDEX/{server}" in opened:
                there = ~np.isin(opened["INDEX/trainId"][:], lost)
                opened[f"INDEX/{server}/data/count"][:] = there
                opened[f"INDEX/{server}/data/first"][:] = np.cumsum(there) - there
                for key in ("bunchPatternTable", "trainId"):
                    values = opened[f"INSTRUMENT/{server}/data/{key}"][:][there]
                    del opened[f"INSTRUMENT/{server}/data/{key}"]
                    opened[f"INSTRUMENT/{server}/data/{key}"] = values
    guessed = copied(truth, tmp_path / "c")
    flags = pattern.copy()
    flags[15] = True
    is_kept(truth, tmp_path / "c", flags)
    assert "nothing is known of trains 10016: all their frames are kept" in guessed.patterns
    flags[4] = True
    copied(truth, tmp_path / "d", guess_missed=False)
    is_kept(truth, tmp_path / "d", flags)


def test_trains_without_lit_frames_lose_all_frames_or_keep_them(tmp_path, pattern):
    pattern[5] = False
    truth = make_run(tmp_path / "r", lit=pattern, **SMALL)
    copied(truth, tmp_path / "c", select="super")
    flags = np.broadcast_to(pattern.any(axis=0), pattern.shape).copy()
    flags[5] = False
    is_kept(truth, tmp_path / "c", flags)
    copied(truth, tmp_path / "d", keep_empty=True)
    flags = pattern.copy()
    flags[5] = True
    is_kept(truth, tmp_path / "d", flags)


def test_lit_frames_by_intensity_need_no_time_server(tmp_path, pattern):
    truth = make_run(tmp_path / "r", lit=pattern, devices=("xgm",), **SMALL)
    report = dxflow.copy_run(truth.path, tmp_path / "c", frames=Lit(by="intensity"), cluster="here")
    is_kept(truth, tmp_path / "c", pattern)
    assert any("[0:10:3]" in line for line in report.patterns)
    assert report.patterns[-1].startswith("timing and intensity were not compared: litfrm: ")
    with pytest.raises(PlanError, match="no time server"):
        copied(truth, tmp_path / "d")


def test_frames_without_pulse_ids_are_told_apart_by_their_number(tmp_path):
    lit = np.arange(16) % 3 == 0
    options = {"trains": 4, "pulses": 16, "module_shape": (8, 8), "detector": "JUNGFRAU", "modules": 2}
    truth = make_run(tmp_path / "r", lit=lit, repetition_rate=1.1, **options)
    plan = dxflow.copying.plan_copy(
        truth.path, tmp_path / "c", frames=Lit(timing=FIRST | {"stride": 4}, agree=None)
    )
    assert any("[0:16:3]" in line for line in plan.report.patterns)
    # All cells of a train are one entry, which stays as a whole.
    assert plan.report.frames == {f"{truth.detector} (corrected)": (64, 64)}


def test_what_differs_from_the_pixels_is_refused_with_the_shift_that_would_mend_it(truth, pattern, tmp_path):
    late = Lit(timing={"reference_frame": 2})
    with pytest.raises(PlanError, match="more than 1.00%") as caught:
        dxflow.copy_run(truth.path, tmp_path / "c", frames=late, cluster="here")
    assert "shifted by -2 frames 0.00% would" in str(caught.value)
    assert "--agree no" in str(caught.value)
    dry = dxflow.copy_run(truth.path, tmp_path / "c", frames=late, cluster="here", dry_run=True)
    assert any(note.startswith("it would be refused: ") for note in dry.notes)
    assert not (tmp_path / "c").exists()
    bright = Lit(by="intensity", timing={"reference_frame": 2}, agree=1)
    dry = dxflow.copy_run(truth.path, tmp_path / "c", frames=bright, cluster="here", dry_run=True)
    assert "differ in" in dry.notes[-1]
    told = Lit(timing={"reference_frame": 2}, limit=1.0, agree=1)
    assert not dxflow.copy_run(truth.path, tmp_path / "c", frames=told, cluster="here").notes[1:]


def test_raw_data_say_what_the_comparison_needs(tmp_path, pattern):
    truth = make_run(tmp_path / "r", lit=pattern, data="raw", **SMALL)
    with pytest.raises(PlanError, match="whether it counts photons is not known(.|\n)*--agree no"):
        copied(truth, tmp_path / "c", agree=2)
    copied(truth, tmp_path / "c")
    is_kept(truth, tmp_path / "c", pattern)


def test_the_command_selects_as_the_function_does_and_a_dry_run_shows_patterns(
    truth, pattern, tmp_path, capsys
):
    argv = ["copy", truth.path, str(tmp_path / "c"), "--frames", "lit", "--timing", "reference-frame=0"]
    argv += ["--cluster", "here"]
    assert main([*argv, "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert " 0 10001:10005                     4    0    3   3  40 [0, 3, 35]" in out
    assert " 1 10005:10009                     4    0    4   4  40 [0:10:3]" in out
    assert "0.00% of 320 frames differ" in out
    assert f"bytes    {truth.detector} AGIPD00: " in out
    assert "bytes    DA01: " in out
    assert not (tmp_path / "c").exists()
    assert main([*argv, "--select", "row", "--agree", "no", "--frames", "trains=10002:10008"]) == 0
    assert "copy     " in capsys.readouterr().out
    assert main(["info", str(tmp_path / "c")]) == 0
    flags = rows_of(pattern)
    flags[[0, 7]] = False
    is_kept(truth, tmp_path / "c", flags)


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--select", "row"], "these are about lit frames: give --frames lit"),
        (["--frames", "lit", "--frames", "lit:intensity"], "lit frames are chosen twice"),
        (["--frames", "lit", "--margin", "-1"], "expected frames from 0"),
        (["--frames", "lit:intensity", "--energy", "3"], "energy= is of frames that are found by timing"),
        (["--frames", "lit", "--timing", "no-such=3"], "no-such"),
        (
            ["--frames", "lit", "--timing", "n-frames=400", "--agree", "no"],
            "352 memory cells: give n_frames=",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(truth, tmp_path, capsys, argv, says):
    assert main(["copy", truth.path, str(tmp_path / "c"), *argv]) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
