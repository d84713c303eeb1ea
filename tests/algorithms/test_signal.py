"""Signal: planted ASICs are found and noise marks none; any chunks give the same; regions across modules; bad input."""

import extra_data
import numpy as np
import pytest
from campaign import places

import dxflow
from dxflow import Frames, Labels, PlanError
from dxflow.algorithms import _signal_regions as regions
from dxflow.algorithms import _signal_statistics as statistics
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.signal import Signal
from dxflow.algorithms.spihits import SpiHitFinder
from dxflow.simulate import Bursts, Flat, Patches, Plant, PowderRings, make_run
from dxflow.testing import check_algorithm

IMG = Frames(modules=range(4))


@pytest.fixture(scope="module")
def rings(tmp_path_factory):
    return make_run(
        tmp_path_factory.mktemp("signal") / "r0001",
        detector="AGIPD500K",
        modules=4,
        module_shape=(32, 16),
        trains=10,
        pulses=4,
        lit=0.5,
        signal=PowderRings(),
    )


@pytest.mark.parametrize("name", places.NOISES)
def test_noise_alone_marks_nothing(name):
    assert not places.dark(name, 100)
    rng = np.random.default_rng(101)
    assert not places.found(places.NOISES[name](rng, 96), 8, what="unclear").any()


@pytest.mark.parametrize("photons", [0.05, 0.1, 0.2])
def test_a_weak_patch_of_one_asic_is_marked_or_unclear_and_no_other_is(tmp_path, photons):
    boxes = ((0, 0, 64, 0, 32), (3, 10, 40, 5, 25))
    weak = Patches(boxes=boxes, photons=photons, hit_rate=1)
    given = {"detector": "AGIPD500K", "module_shape": (64, 32), "trains": 12, "pulses": 8}
    data = dxflow.reduce(
        make_run(tmp_path / "r", signal=weak, **given).path, Signal(), cluster="here"
    ).dataset
    asics, unclear = data["signal.asics"].values[:, 0], data["signal.unclear"].values[:, 0]
    np.testing.assert_array_equal(np.flatnonzero(asics | unclear), [0, 3])
    assert not (asics & unclear).any()


@pytest.mark.parametrize("name", places.SIGNALS)
def test_planted_asics_are_found_and_no_others(name):
    planted, found, beside = places.lit(name, 100)
    assert found >= 0.99 * planted
    assert not beside


def test_any_chunks_give_the_same_and_modules_are_taken_by_frames(rings):
    result = check_algorithm(lambda: Signal(img=IMG, asic=(8, 8)), rings.path)
    data = result.dataset
    asics = rings.expected.reshape(4, 4, 8, 2, 8).mean(axis=(2, 4)).reshape(4, 8)
    found = data["signal.asics"].values
    assert found[asics > 0.5].all()
    np.testing.assert_array_equal(
        data["signal.mask"].values, found.reshape(4, 4, 2).repeat(8, axis=1).repeat(8, axis=2)
    )
    chosen = Frames(modules=data["signal.modules"])
    assert chosen.modules == tuple(np.flatnonzero(found.any(axis=1)))
    np.testing.assert_allclose(data["signal.occupancy"].values[asics > 1], 0.5, atol=0.06)


def test_dark_frames_are_the_background_where_they_are_known(rings):
    plain = dxflow.reduce(rings.path, Signal(img=IMG, asic=(8, 8)), cluster="here").dataset
    lit = plain["signal.asics"]
    frames = dxflow.reduce(rings.path, LitFrames(img=IMG), cluster="here").dataset["litframes.lit"]
    np.testing.assert_array_equal(frames.values, rings.lit)
    data = dxflow.reduce(rings.path, Signal(img=IMG, asic=(8, 8), lit=Labels(frames)), cluster="here").dataset
    assert (data["signal.asics"].values >= lit.values).all()
    assert (data["signal.frames"].values == rings.lit.sum()).all()
    assert data["signal.occupancy"].values[lit.values].mean() > 0.95


GRID = regions.Grid.of((16, 16), (8, 8), None)


def side_by_side(gap):
    """Return the positions of two modules with a gap along the fast scan, in pixels."""
    y, x = np.mgrid[:16, :16].astype(float)
    modules = [np.stack([x + m * (16 + gap), y, 0 * x], axis=-1) for m in range(2)]
    return np.stack(modules)


@pytest.mark.parametrize(("gap", "regions_"), [(0, 1), (3, 1), (6, 2)])
def test_regions_reach_across_small_gaps_between_modules(gap, regions_):
    kept = np.zeros((2, 4), bool)
    kept[0, [1, 3]] = kept[1, 0] = True
    label = regions.components(kept.reshape(-1), regions.assembled(GRID, side_by_side(gap)))
    boxes = regions.boxes(label, GRID, (4, 7), 2, (0, 0))
    np.testing.assert_array_equal(boxes[:, :5], [[4, 0, 16, 6, 16], [7, 0, 10, 0, 10]])
    assert len(set(boxes[:, 5])) == regions_


def test_opening_drops_the_lonely_and_closing_fills_holes():
    near = regions.within_modules(regions.Grid.of((40, 24), (8, 8), None), 1)
    kept = np.zeros((5, 3), bool)
    kept[:3] = True
    kept[1, 1] = False
    kept[4, 2] = True
    filled = regions.tidied(kept.reshape(-1), near, 0, 5).reshape(5, 3)
    assert filled[1, 1]
    assert filled[4, 2]
    assert not regions.tidied(kept.reshape(-1), near, 1, 0).reshape(5, 3)[4, 2]


def test_asics_of_a_region_that_is_read_are_those_of_the_module():
    grid = regions.Grid.of((20, 10), (8, 8), (slice(4, 24), slice(6, 16)))
    np.testing.assert_array_equal(grid.ss, [0, 4, 12, 20])
    np.testing.assert_array_equal(grid.fs, [0, 2, 10])


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"snr": 0}, "snr=0"),
        ({"rate": 2}, "rate=2"),
        ({"closing": 9}, "closing=9"),
        ({"asic": (0, 8)}, "rows and columns"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        Signal(**options)


def test_what_does_not_fit_is_refused_by_the_plan(rings):
    with pytest.raises(PlanError, match="give threshold="):
        dxflow.plan(rings.path, Signal(img=Frames("image.gain", modules=(0, 1))))
    with pytest.raises(PlanError, match="geometry has"):
        dxflow.plan(rings.path, Signal(img=IMG, geometry=np.zeros((3, 5, 5, 3))))
    with pytest.raises(PlanError, match="too few"):
        dxflow.plan(extra_data.RunDirectory(rings.path)[:1], Signal(img=IMG))
    motor = dxflow.Key(rings.devices["motor"], "actualPosition.value")
    with pytest.raises(PlanError, match="not one value per frame"):
        dxflow.plan(rings.path, Signal(img=IMG, lit=motor))


BOXES = ((0, 8, 24, 0, 16), (2, 0, 8, 8, 16))
"""Six ASICs of 8 x 8 pixels."""


@pytest.fixture(scope="module")
def patches(tmp_path_factory):
    """A run in which six ASICs see hits, whole ASICs and modules jump, and a module lacks trains."""
    return make_run(
        tmp_path_factory.mktemp("signal") / "r0002",
        detector="AGIPD500K",
        modules=4,
        module_shape=(32, 16),
        trains=16,
        pulses=8,
        signal=Patches(boxes=BOXES, photons=1.0, hit_rate=0.4),
        plant=Plant(bursts=Bursts(rate=0.02, photons=5, asic=(8, 8)), lost_trains={2: (3, 4), 3: range(16)}),
        seed=3,
    )


def test_planted_patches_of_a_run_with_bursts_are_found_and_taken_by_later_passes(patches):
    result = dxflow.reduce(patches.path, Signal(img=IMG, asic=(8, 8)), cluster="here", on_fault="mask")
    data = result.dataset
    np.testing.assert_array_equal(data["signal.mask"].values, patches.expected > 0)
    np.testing.assert_array_equal(data["signal.modules"].values, [True, False, True, False])
    frames = data["signal.frames"].values
    np.testing.assert_array_equal(frames[:, 0], [128, 128, 112, 0])
    occupancy = data["signal.occupancy"].values
    assert np.isnan(occupancy[3]).all()
    np.testing.assert_allclose(occupancy[0, 2:6], patches.hits.mean(), atol=0.03)
    boxes = data["signal.roi"].values
    np.testing.assert_array_equal(boxes[:2, :5], [(0, 0, 32, 0, 16), (2, 0, 16, 0, 16)])
    assert (boxes[2:] == -1).all()
    near = dxflow.plan(patches.path, LitFrames(img=Frames(modules=result, roi=data["signal.roi"])))
    assert near.inputs[0].modules == (0, 2)
    assert near.inputs[0].location.roi == (slice(0, 32), slice(0, 16))


def test_a_run_without_signal_has_no_regions(tmp_path):
    bursts = Bursts(rate=0.02, photons=5)
    options = {"detector": "AGIPD500K", "modules": 2, "module_shape": (32, 16), "trains": 10}
    run = make_run(tmp_path / "r", signal=Flat(0), plant=Plant(bursts=bursts), **options)
    found = Signal(img=Frames(modules=(0, 1)), asic=(8, 8), margin=0)
    data = dxflow.reduce(run.path, found, cluster="here").dataset
    assert not data["signal.mask"].values.any()
    assert (data["signal.roi"].values == -1).all()
    assert np.isfinite(data["signal.occupancy"].values).all()


def test_it_shares_a_pass_with_algorithms_of_other_modules(patches):
    both = [
        LitFrames(img=Frames(modules=(1, 2))),
        SpiHitFinder(img=Frames(modules=(1,))),
        Signal(img=IMG, asic=(8, 8)),
    ]
    together = dxflow.reduce(patches.path, both, cluster="here", on_fault="mask").dataset
    alone = dxflow.reduce(patches.path, both[-1], cluster="here", on_fault="mask").dataset
    for name in ("mask", "occupancy", "roi", "modules", "background"):
        np.testing.assert_array_equal(together[f"signal.{name}"], alone[f"signal.{name}"])


def test_what_jumps_in_dark_frames_too_is_no_signal_in_lit_ones():
    rng = np.random.default_rng(8)
    codes = np.rint(rng.normal(0, statistics.CHANCE, (2000, 20))).astype("i1")
    lit = np.arange(2000) % 2 == 0
    codes[rng.random(2000) < 0.05, 3] = 100
    codes[lit & (rng.random(2000) < 0.05), 7] = 100
    ground = statistics.background(codes, ~lit)
    limits = statistics.Limits(snr=4.0, rate=0.01, least=0.002)
    trains, most = np.arange(2000) // 10, np.full(20, np.inf)
    found = statistics.judge(codes, trains, lit, ~lit, ground, most, limits)
    assert np.flatnonzero(found.significant).tolist() == [7]
    np.testing.assert_allclose(found.occupancy[[3, 7]], 0.05, atol=0.02)


def test_too_few_are_lit_or_nothing_is_known():
    codes = np.full((40, 3), -128, "i1")
    codes[:, 1] = 0
    codes[::20, 1] = 100
    seen = np.ones(40, bool)
    ground = statistics.background(codes, None)
    found = statistics.judge(
        codes, np.arange(40), seen, None, ground, np.zeros(3), statistics.Limits(4.0, 0.01, 0.002)
    )
    assert not found.significant.any()
    assert np.isnan(found.occupancy).tolist() == [True, False, True]
    assert found.frames.tolist() == [0, 40, 0]
