"""The recipe on small runs: what a copy would be and is, that nothing is written unasked, and what is refused."""

import itertools
import shutil
from pathlib import Path

import numpy as np
import pytest
from extra_data import RunDirectory
from matplotlib.image import imread
from runs import make_run

import dxflow
from dxflow import PlanError
from dxflow.algorithms.average import Average
from dxflow.recipes.reduce_raw import ReduceRaw
from dxflow.simulate import Flat, Patches, Plant, SphereFormFactor

SIZE = {"detector": "AGIPD500K", "pulses": 16, "module_shape": (64, 32)}
STORES = ("lit.zarr", "bright.zarr", "signal.zarr")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Two patterns; a module lacks a train."""
    lit = np.zeros((10, 16), bool)
    lit[:6, ::4], lit[6:, ::3] = True, True
    plant = Plant(lost_trains={3: (0,)})
    return make_run(tmp_path_factory.mktemp("reduce") / "r0001", trains=10, lit=lit, plant=plant, **SIZE)


def reduced(truth, to, *, seen=False, **options):
    given = {"cluster": "here", "quiet": True, "on_fault": "mask", "copy_codec": "no", **options}
    recipe = ReduceRaw(run=truth.path, to=str(to), **given)
    if not seen:
        # A picture takes as long as all else.
        recipe.plot = lambda args: None
    return recipe


@pytest.fixture(scope="module")
def dry(run, tmp_path_factory):
    return reduced(run, tmp_path_factory.mktemp("dry") / "out", seen=True, copy_codec="deflate").run()


def files(folder):
    return {p.name: (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


def kept_of(folder, truth):
    """The ids of the frames of a copy."""
    copied = RunDirectory(str(folder))[truth.sources[0]]
    return [np.ravel(copied[key].ndarray()) for key in ("image.trainId", "image.pulseId")]


def test_a_dry_run_shows_patterns_agreement_and_bytes_and_copies_nothing(run, dry):
    shown = dry.report()
    assert "6    0    4   4  16 [0:13:4]" in shown
    assert "4    0    6   6  16 [0:16:3]" in shown
    assert "agree    0.00% of 160 frames differ" in shown
    assert "next     nothing was copied" in shown
    assert {p.name for p in dry.folder.iterdir()} == {*STORES, "reduce_raw.png"}
    assert len(np.unique(imread(dry.folder / "reduce_raw.png").reshape(-1, 4), axis=0)) > 100
    np.testing.assert_array_equal(dry.results["lit"].selection(), run.lit)


def test_with_write_the_copy_is_made_of_these_results_and_is_as_large_as_was_said(run, dry, tmp_path):
    shutil.copytree(dry.folder, tmp_path / "out")
    was = list(dry.steps.values())[-1]
    before = files(Path(run.path))
    made = reduced(run, tmp_path / "out", copy_codec="deflate", write=True).run()
    assert files(Path(run.path)) == before
    assert made.results["lit"].manifest == dry.results["lit"].manifest
    copied = made.copies["run"]
    assert copied.before == was.before
    assert copied.after == pytest.approx(was.after, rel=0.1)
    trains, pulses = kept_of(tmp_path / "out" / "run", run)
    np.testing.assert_array_equal(trains, run.frame_train_ids[run.lit])
    np.testing.assert_array_equal(pulses, run.pulse_ids[run.lit])
    assert "is a run of its own" in made.report()
    assert "was there before" not in made.report()
    made_then = files(tmp_path / "out" / "run")
    assert reduced(run, tmp_path / "out", copy_codec="deflate", write=True).run().copies == {}
    for other in ({"copy_codec": "bitshuffle+lz4"}, {"margin": 1}, {"round": "abs=0.5"}):
        with pytest.raises(PlanError, match="other options, or of other data, is there: --overwrite"):
            reduced(run, tmp_path / "out", **{"copy_codec": "deflate", "write": True, **other}).run()
    assert files(tmp_path / "out" / "run") == made_then
    shown = reduced(run, tmp_path / "out", copy_codec="deflate", resume=True).run().report()
    assert f"note     {tmp_path}/out/run was there before, and may be of other results" in shown


def test_lit_frames_by_another_frame_are_in_doubt_and_not_copied(run, tmp_path):
    made = reduced(run, tmp_path / "a", reference_frame=1).run()
    assert "doubt    timing and pixels differ in" in made.report()
    assert "shifted by -1 frames" in made.report()
    with pytest.raises(PlanError, match=r"differ in .* more than 1.00%\. Give --reference-frame"):
        reduced(run, tmp_path / "b", reference_frame=1, write=True).run()
    assert not (tmp_path / "b" / "run").exists()


def test_without_time_server_pixels_say_which_frames_are_lit(run, tmp_path):
    truth = make_run(tmp_path / "r", trains=4, lit=0.25, devices=(), **SIZE)
    with pytest.raises(PlanError, match="no time server"):
        reduced(truth, tmp_path / "a").run()
    reduced(truth, tmp_path / "b", lit="intensity", write=True).run()
    trains, pulses = kept_of(tmp_path / "b" / "run", truth)
    np.testing.assert_array_equal(pulses, truth.pulse_ids[truth.lit])


@pytest.mark.parametrize("agree", ["abc", "0", "-3", "1.5"])
def test_how_many_trains_are_compared_is_a_number_or_no(run, tmp_path, agree):
    with pytest.raises(PlanError, match=f"--agree {agree}: expected a number of trains from 1 on, or no"):
        reduced(run, tmp_path / "x", agree=agree).run()
    assert not list((tmp_path / "x").glob("*"))


def test_a_run_without_lit_frames_is_refused(tmp_path):
    truth = make_run(tmp_path / "r", trains=3, lit="none", signal=Flat(0), **SIZE)
    with pytest.raises(PlanError, match="no frame of .* is lit by timing: nothing would remain"):
        reduced(truth, tmp_path / "out").run()


def test_of_some_trains_only_these_are_planned_and_copied(run, tmp_path):
    made = reduced(run, tmp_path, trains=slice(10003, 10006), select="super", write=True).run()
    assert set(kept_of(tmp_path / "run", run)[0]) == {10003, 10004, 10005}
    assert made.steps["lit frames"].trains == (10, 3)


# Raw data ----------------------------------------------------------------------------------------


def test_pixels_of_raw_data_are_compared_without_their_dark_or_not_at_all(tmp_path):
    given = {**SIZE, "data": "raw"}
    dark = make_run(tmp_path / "d", trains=6, signal=Flat(0), lit="none", **given)
    store = str(dxflow.reduce(dark.path, Average(per="cell"), tmp_path / "d.zarr", cluster="here").path)
    truth = make_run(tmp_path / "r", trains=4, lit=0.25, **given)
    shown = reduced(truth, tmp_path / "a").run().report()
    assert "doubt    litframes: " in shown
    assert "doubt    signal: " in shown
    with pytest.raises(PlanError, match=r"--agree no\n.*--localise no$"):
        reduced(truth, tmp_path / "a", write=True).run()
    known = reduced(truth, tmp_path / "b", dark=store).run()
    assert "agree    0.00% of 64" in known.report()
    assert list(known.steps) == ["lit frames", "places with signal"]
    reduced(truth, tmp_path / "a", agree="no", localise="no", write=True).run()
    trains, pulses = kept_of(tmp_path / "a" / "run", truth)
    np.testing.assert_array_equal(pulses, truth.pulse_ids[truth.lit])


# Places and codecs -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def spheres(tmp_path_factory):
    """Something is in the middle of the detector only."""
    given = {**SIZE, "module_shape": (128, 64), "bad_pixels": 0}
    folder = tmp_path_factory.mktemp("spheres")
    return make_run(folder / "r0002", trains=6, lit=0.25, signal=SphereFormFactor(background=0), **given)


def pixels(folder, truth, keep=slice(None)):
    run = RunDirectory(str(folder))
    return np.stack([run[source]["image.data"].ndarray()[keep] for source in truth.sources], axis=1)


def test_pixels_where_nothing_is_are_gone_and_others_are_as_they_were(spheres, tmp_path):
    made = reduced(spheres, tmp_path, write=True).run()
    mask = made.results["signal"].dataset["signal.mask"].values
    bright = spheres.expected.mean(axis=(1, 2)) > 1
    np.testing.assert_array_equal(mask.any(axis=(1, 2)), bright)
    assert 0 < bright.sum() < len(bright)
    was, kept = pixels(spheres.path, spheres, spheres.lit), pixels(tmp_path / "run", spheres)
    np.testing.assert_array_equal(kept[:, mask], was[:, mask])
    assert np.isnan(kept[:, ~mask]).all()
    bytes_left = [step.after for step in made.steps.values()]
    assert bytes_left[1] < 0.5 * bytes_left[0]


def test_modules_without_signal_are_left_out_and_floats_rounded_within_the_bound(spheres, tmp_path):
    made = reduced(spheres, tmp_path, localise="modules", round="abs=0.25", write=True).run()
    found = made.results["signal"].dataset["signal.modules"].values
    copied = RunDirectory(str(tmp_path / "run"))
    left = [source for source, has in zip(spheres.sources, found, strict=True) if has]
    assert [s for s in spheres.sources if s in copied.instrument_sources] == left
    ours = copied[left[0]]["image.data"].ndarray()
    was = RunDirectory(spheres.path)[left[0]]["image.data"].ndarray()[spheres.lit]
    assert 0 < abs(ours - was).max() <= 0.25


def test_a_step_that_makes_more_bytes_is_said_with_what_leaves_it_out(tmp_path):
    truth = make_run(tmp_path / "r", trains=4, lit=0.25, signal=Flat(5), **SIZE)
    made = reduced(truth, tmp_path / "a", copy_codec="deflate").run()
    sizes = [step.after for step in made.steps.values()]
    notes = [line for line in made.report().splitlines() if "more than without this step" in line]
    assert sizes[1] > sizes[0]
    assert notes[0].startswith("note     places with signal: ")
    assert notes[0].endswith("--localise no leaves it out")
    assert len(notes) == sum(np.diff(sizes) > 0)


def test_a_detector_on_which_nothing_is_is_kept_or_in_doubt(tmp_path):
    truth = make_run(tmp_path / "r", trains=6, lit=0.25, signal=Flat(0), **SIZE)
    made = reduced(truth, tmp_path / "a", agree="no").run()
    assert "doubt    no part of the detector has signal. Give --localise no" in made.report()
    made = reduced(truth, tmp_path / "b", agree="no", localise="no", write=True).run()
    assert list(made.steps) == ["lit frames"]
    np.testing.assert_array_equal(pixels(tmp_path / "b" / "run", truth), pixels(truth.path, truth, truth.lit))


def test_the_picture_of_a_detector_whose_modules_are_far_apart_is_drawn(tmp_path):
    """Its image has more points than the picture."""
    given = {"detector": "AGIPD500K", "module_shape": (16, 16), "sequences": 1}
    truth = make_run(
        tmp_path / "r", trains=4, pulses=128, lit="pulses", devices=("xgm", "timeserver"), **given
    )
    made = reduced(truth, tmp_path / "out", seen=True, write=True).run()
    assert f"plot     {tmp_path}/out/reduce_raw.png" in made.report()


def test_a_weak_patch_that_is_always_there_is_in_doubt_until_it_is_kept(tmp_path):
    weak = Patches(boxes=((0, 0, 64, 0, 32), (3, 10, 40, 5, 25)), photons=0.1, hit_rate=1)
    truth = make_run(tmp_path / "r", trains=12, signal=weak, **{**SIZE, "pulses": 8})
    with pytest.raises(PlanError, match=r"more pixels of modules \[3\] are lit .* smaller --fraction"):
        reduced(truth, tmp_path / "a", agree="no", write=True).run()
    assert not (tmp_path / "a" / "run").exists()
    made = reduced(truth, tmp_path / "b", agree="no", fraction=0.002, write=True).run()
    data = made.results["signal"].dataset
    np.testing.assert_array_equal(data["signal.modules"].values.nonzero()[0], [0, 3])
    np.testing.assert_array_equal(
        pixels(tmp_path / "b" / "run", truth)[:, 3], pixels(truth.path, truth, truth.lit)[:, 3]
    )


class Drawn(ReduceRaw):
    """Keeps its figure."""

    def save(self, figure, name):
        self.figure = figure
        super().save(figure, name)


def test_numbers_do_not_overlap_and_no_point_is_behind_the_legend(tmp_path):
    truth = make_run(tmp_path / "r", trains=4, lit=0.25, **SIZE)
    given = {"run": truth.path, "to": str(tmp_path / "out"), "cluster": "here", "quiet": True}
    figure = Drawn(**given).run().figure
    figure.draw_without_rendering()
    for axes in figure.axes:
        low, high = sorted(axes.get_xlim())
        ticks = [*axes.xaxis.get_major_ticks(), *axes.xaxis.get_minor_ticks()]
        there = [t.label1 for t in ticks if low <= t.get_loc() <= high and t.label1.get_text()]
        spans = sorted((b.x0, b.x1) for b in (label.get_window_extent() for label in there))
        assert all(left[1] < right[0] for left, right in itertools.pairwise(spans))
    error = next(axes for axes in figure.axes if axes.get_title().startswith("ratio"))
    points = np.concatenate([line.get_transform().transform(line.get_xydata()) for line in error.lines])
    legend = error.get_legend().get_window_extent()
    assert not any(legend.contains(*point) for point in points)
