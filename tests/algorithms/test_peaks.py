"""PeakFinder8 against OM, against its definition, and against planted peaks."""

from itertools import pairwise

import h5py
import numpy as np
import pytest
from peakfinders import FINDERS, ROUNDING, WANTED, plain, radii
from peakfinders import same as same_peaks
from readings import Whole, images, pixels, same
from runs import make_run

import dxflow
from dxflow import Frames, From, PlanError
from dxflow.algorithms import _peaks_tables as tables
from dxflow.algorithms.average import Average
from dxflow.algorithms.peaks import PeakFinder8
from dxflow.algorithms.subtract import Subtract
from dxflow.simulate import Plant, Spots
from dxflow.testing import check_algorithm

SPOTS = Spots(count=12, photons=400, hit_rate=0.5)


@pytest.fixture(scope="module")
def spots(tmp_path_factory):
    """An AGIPD500K with spots in half of its frames; train 0 is missing, and module 5 lacks trains 1 and 3."""
    folder = tmp_path_factory.mktemp("spots") / "r0001"
    plant = Plant(missing_trains=(0,), lost_trains={5: (1, 3)})
    return make_run(
        folder, detector="AGIPD500K", trains=7, pulses=5, module_shape=(64, 32), signal=SPOTS, plant=plant
    )


def reduced(truth, *algorithms, **options):
    algorithms = algorithms or (PeakFinder8(min_peaks=3),)
    return dxflow.reduce(truth.path, list(algorithms), cluster="here", on_fault="mask", **options).dataset


def of_frames(data, name="peaks"):
    """Return the peaks of each frame."""
    label = next(k for k in ("pulse_id", "cell_id") if k in data.coords)
    keys, events = (
        list(zip(data[a].values.tolist(), data[b].values.tolist(), strict=True))
        for a, b in (("train_id", label), (f"{name}.peaks_train_id", f"{name}.peaks_{label}"))
    )
    rows = data[f"{name}.peaks"].values
    return [rows[[e == key for e in events]] for key in keys]


# What others find --------------------------------------------------------------------------------


def background_map(radius, level):
    return level * (20 * np.exp(-radius / 40) + 1)


def lifelike(seed, radius, level=1.0, hot=0.0, top=np.inf, whole=False, masked=0.01):
    """Return a frame: photons of a background that falls with the radius, noise, peaks of all sizes, bad pixels."""
    random = np.random.default_rng(seed)
    frame = random.poisson(background_map(radius, level)) + random.normal(0, 0.3, radius.shape)
    _, rows, columns = radius.shape
    y, x = np.mgrid[:rows, :columns]
    for _ in range(30):
        module, ss, fs = (random.uniform(0, n - 0.6) for n in radius.shape)
        width, height = random.uniform(0.6, 1.4), random.uniform(10, 100) * max(level, 1)
        frame[int(module)] += height * np.exp(-((y - ss) ** 2 + (x - fs) ** 2) / (2 * width**2))
    frame[random.random(frame.shape) < hot] = 1e4
    frame = np.minimum(np.rint(frame) if whole else frame, top).astype("f4")
    frame[random.random(frame.shape) < masked] = np.nan
    frame[1, 10:14] = np.nan
    return frame


@pytest.mark.parametrize("finder", FINDERS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "kind",
    [
        {},
        {"hot": 3e-3},
        {"top": 40, "whole": True},
        {"level": 100},
        {"level": 1000, "whole": True},
        {"level": 0.01},
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"threshold": 30.0, "min_snr": 7.0},
        {"max_pixels": 9, "local_bg_radius": 2},
        {"local_bg_radius": 1},
    ],
    ids=str,
)
def test_peaks_are_those_that_others_find(finder, kind, options):
    line = np.arange(-64, 64.0)
    positions = np.stack(np.meshgrid(line, line, [0]), axis=-1)[:, :, 0].reshape(2, 64, 128, 3)
    radius = radii(positions)
    wanted = {**WANTED, **options}
    search = tables.Search(tables.rings(radius, np.isfinite(radius)), tables.panels(positions, (32, 64)))
    limits = (np.float32(wanted[name]) for name in ("min_snr", "threshold"))
    rest = (wanted[name] for name in ("min_pixels", "max_pixels", "local_bg_radius"))
    setting = tables.Setting(*limits, *rest, finder is plain)
    count = 0
    for seed in range(3):
        frame = lifelike(seed, radius, **kind)
        search.pixels[:-1] = frame.reshape(-1)
        found = search.peaks(setting)
        same_peaks(found, finder(frame, radius, (32, 64), **options), ROUNDING[finder.__name__])
        count += len(found)
    assert count


@pytest.mark.parametrize("finder", FINDERS, ids=lambda f: f.__name__)
def test_peaks_of_a_run_are_those_that_others_find(spots, finder):
    touching = finder is plain
    found = of_frames(reduced(spots, PeakFinder8(min_peaks=3, touching=touching)))
    radius, every = radii(spots.positions), images(spots)
    assert sum(map(len, found)) > 100
    for frame, peaks in zip(every, found, strict=True):
        expected = finder(frame, radius, (64, 32))
        expected[:, 0] = spots.module_numbers[expected[:, 0].astype(int)]
        same_peaks(peaks, expected, ROUNDING[finder.__name__])


# What was planted --------------------------------------------------------------------------------


def test_planted_peaks_are_found_and_others_are_not(tmp_path):
    truth = make_run(
        tmp_path / "r", trains=2, pulses=6, sequences=1, modules=None, signal=Spots(count=50, hit_rate=0.5)
    )
    data = reduced(truth, PeakFinder8(min_snr=7))
    np.testing.assert_array_equal(data["peaks.hit"], truth.hits)
    lost = false = 0
    for number, found in enumerate(of_frames(data)):
        planted = truth.peaks[truth.peaks[:, 0] == number]
        near = np.hypot(*(planted[:, None, k] - found[None, :, k - 1] for k in (2, 3))) < 1.5
        near &= truth.module_numbers[planted[:, 1].astype(int)][:, None] == found[None, :, 0]
        lost += (~near.any(axis=1)).sum()
        false += (~near.any(axis=0)).sum()
    assert lost <= 0.01 * len(truth.peaks)
    assert false <= 0.1 * len(truth.hits)


def test_the_powder_is_the_sum_and_the_maximum_of_hits(spots):
    data, hits = reduced(spots), images(spots)[spots.hits]
    assert 0 < spots.hits.sum() < len(spots.hits)
    np.testing.assert_array_equal(data["peaks.hit"], spots.hits)
    none = np.isnan(hits).all(axis=0)
    np.testing.assert_allclose(data["peaks.powder_sum"], np.where(none, np.nan, np.nansum(hits, axis=0)))
    np.testing.assert_array_equal(data["peaks.powder_max"], np.fmax.reduce(hits.astype("f4"), axis=0))


# The house's own ---------------------------------------------------------------------------------


def test_it_passes_the_conformance_check(spots):
    check_algorithm(lambda: PeakFinder8(min_peaks=3), spots.path, on_fault="mask")


@pytest.mark.parametrize("others", [[Average()], [Whole(), PeakFinder8(name="other", touching=True)]])
def test_workers_and_company_change_no_bit(spots, others):
    alone = reduced(spots)
    options = {"cluster": dxflow.clusters.Local(2), "on_fault": "mask", "chunk": "2 trains"}
    both = dxflow.reduce(spots.path, [*others, PeakFinder8(min_peaks=3)], **options).dataset
    same(alone, both.drop_vars(set(both.variables) - set(alone.variables)))


def test_a_geometry_needs_no_distance_and_its_gaps_have_no_peaks(spots):
    flat = spots.positions * [1, 1, 0]
    same(reduced(spots, PeakFinder8(min_peaks=3, geometry=flat)), reduced(spots))
    flat[3] = np.nan
    data = reduced(spots, PeakFinder8(min_peaks=3, geometry=flat))
    assert 3 not in data["peaks.peaks"][:, 0]
    assert len(data["peaks.peaks"]) > 100


def test_a_frame_that_lacks_a_module_is_searched_in_the_others(spots):
    data = reduced(spots)
    lacking = ~np.isfinite(images(spots)).any(axis=(2, 3)).all(axis=1)
    assert lacking.any()
    for peaks, lacks in zip(of_frames(data), lacking, strict=True):
        assert not lacks or 5 not in peaks[:, 0]
    planted = [np.sum(spots.peaks[:, 0] == n) for n in np.flatnonzero(lacking & spots.hits)]
    assert (data["peaks.n_peaks"].values[lacking & spots.hits] <= planted).all()


def test_frames_without_their_dark_are_searched_as_whole_frames(spots):
    dark = np.full((8, 64, 32), 0.1, np.float32)
    dark[2] = np.nan
    chain = [Subtract(dark=dark), PeakFinder8(min_peaks=3, img=From("subtract.img"))]
    found, alone = of_frames(reduced(spots, *chain)), of_frames(reduced(spots))
    for ours, peaks in zip(found, alone, strict=True):
        assert 2 not in ours[:, 0]
        # The background is that of the other modules: most peaks are the same.
        assert abs(len(ours) - (peaks[:, 0] != 2).sum()) <= 1


def test_integers_and_their_masks(tmp_path):
    truth = make_run(
        tmp_path / "r",
        detector="AGIPD500K",
        data="raw",
        trains=2,
        pulses=3,
        module_shape=(64, 32),
        signal=Spots(count=12, photons=150, width=1.0),
    )
    frames = images(truth)
    bad = np.random.default_rng(0).random(frames.shape[1:]) < 0.1
    np.save(tmp_path / "bad.npy", bad)
    finder = PeakFinder8(
        min_peaks=3, min_snr=2.0, img=Frames("image.data", mask=str(tmp_path / "bad.npy")), touching=True
    )
    radius = radii(truth.positions)
    for frame, found in zip(frames, of_frames(reduced(truth, finder)), strict=True):
        frame[bad] = np.nan
        expected = plain(frame.astype("f4"), radius, (64, 32), min_snr=2.0)
        assert len(expected)
        expected[:, 0] = truth.module_numbers[expected[:, 0].astype(int)]
        # The squares of a pedestal of 4000 leave less of the variance in float32.
        same_peaks(found, expected, 0.1)


def test_a_camera_needs_no_geometry(tmp_path):
    truth = make_run(tmp_path / "r", detector=None, devices=("camera",), trains=5)
    source, name = truth.devices["camera"], "data/image/pixels"
    for path in (tmp_path / "r").glob("*.h5"):
        with h5py.File(path, "r+") as file:
            if images := file.get(f"INSTRUMENT/{source}:daqOutput/{name}"):
                images[:, 9:12, 49:52] = [[90, 200, 90], [200, 900, 200], [90, 200, 90]]
    key, frames = pixels(truth)
    ss, fs = (np.arange(n) - (n - 1) / 2 for n in frames.shape[1:])
    radius = np.hypot(*np.meshgrid(fs, ss))[None].astype("f4")
    found = of_events(reduced(truth, PeakFinder8(img=key, min_peaks=1, touching=True)), frames)
    for frame, peaks in zip(frames, found, strict=True):
        same_peaks(peaks, plain(frame[None], radius, (48, 64)), ROUNDING["plain"])
        assert np.hypot(peaks[:, 1] - 10, peaks[:, 2] - 50).min() < 0.1


def of_events(data, frames):
    """Return the peaks of each image of a camera, one per train."""
    ends = [*data["peaks.peaks_offset"].values.tolist(), len(data["peaks.peaks"])]
    assert len(ends) == len(frames) + 1
    return [data["peaks.peaks"].values[a:b] for a, b in pairwise(ends)]


def test_pixels_near_the_beam_and_far_from_it_can_be_left_out(spots):
    data = reduced(spots, PeakFinder8(min_peaks=3, min_res=20, max_res=60))
    radius, rows = radii(spots.positions), data["peaks.peaks"].values
    at = radius[rows[:, 0].astype(int), *np.rint(rows[:, 1:3]).astype(int).T]
    assert len(at)
    assert 19 < at.min() < at.max() < 61


def test_positions_in_a_region_are_those_in_the_module(spots):
    region = np.s_[10:50, 4:30]
    found = of_frames(reduced(spots, PeakFinder8(min_peaks=1, touching=True, img=Frames(roi=region))))
    radius, every = radii(spots.positions)[:, *region], images(spots)[:, :, *region]
    assert sum(map(len, found)) > 50
    for frame, peaks in zip(every, found, strict=True):
        expected = plain(frame, radius, (40, 26))
        expected[:, 0] = spots.module_numbers[expected[:, 0].astype(int)]
        expected[:, 1:3] += 10, 4
        same_peaks(peaks, expected, ROUNDING["plain"])


def test_hits_have_some_peaks_but_not_too_many(spots):
    few, some = (reduced(spots, PeakFinder8(min_peaks=5, max_peaks=n)) for n in (8, None))
    count = few["peaks.n_peaks"].values
    np.testing.assert_array_equal(few["peaks.hit"], (count >= 5) & (count <= 8))
    np.testing.assert_array_equal(some["peaks.hit"], count >= 5)


def test_more_peaks_than_there_is_room_for(spots, monkeypatch):
    expected = reduced(spots)
    monkeypatch.setattr(tables, "ROOM", 2)
    same(reduced(spots), expected)


def test_panels_end_where_the_geometry_has_a_gap():
    rows, columns = np.array([0, 1, 2, 3, 6, 7, 8, 9.0]), np.arange(6.0)
    points = np.stack([*np.meshgrid(columns, rows), np.ones((8, 6))], axis=-1)[None]
    found = tables.panels(points, None)
    assert [found.ss.tolist(), found.fs.tolist()] == [[0, 4, 8], [0, 6]]
    assert found.of_ss.tolist() == [0] * 4 + [1] * 4
    chosen = tables.panels(points, (3, 6))
    assert chosen.ss.tolist() == [0, 3, 6, 8]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"min_pixels": 5, "max_pixels": 4}, "min_pixels=5 is more than max_pixels=4"),
        ({"min_peaks": 5, "max_peaks": 4}, "min_peaks=5 is more than max_peaks=4"),
        ({"min_res": 50, "max_res": 40}, "min_res=50.0 is more than max_res=40.0"),
        ({"local_bg_radius": 0}, "local_bg_radius=0; expected 1 or more"),
        ({"min_snr": float("nan")}, "min_snr=nan; expected a number"),
        ({"min_snr": -1}, "min_snr=-1.0; expected 0 or more"),
        ({"threshold": float("inf")}, "threshold=inf; expected a number"),
        ({"threshold": None}, "threshold=None; expected a number"),
        ({"min_pixels": 2.5}, "min_pixels=2.5; expected a whole number"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        PeakFinder8(**options)


def test_what_does_not_fit_the_run_is_refused_in_the_plan(spots, tmp_path):
    refusals = [
        ({"geometry": np.ones((3, 64, 32, 3))}, r"geometry has \(module, ss, fs\) = \(3, 64, 32\); expected"),
        ({"geometry": np.ones((8, 60, 32, 3))}, r"\(8, 60, 32\); expected \(8, 64, 32\)"),
        ({"geometry": str(tmp_path / "none.geom")}, "there is no file"),
        ({"min_res": 1e5}, "leave no pixel of .*: they are from"),
        ({"panel": (100, 32)}, r"panel=\(100, 32\); expected rows and columns"),
    ]
    for options, says in refusals:
        with pytest.raises(PlanError, match=says):
            dxflow.plan(spots.path, PeakFinder8(**options))


def test_many_modules_need_a_geometry(tmp_path):
    truth = make_run(tmp_path / "r", detector="AGIPD500K", trains=2, pulses=2, module_shape=(16, 16))
    for name in ("npy", "json"):
        (tmp_path / "r" / f"geometry.{name}").unlink()
    for modules in (None, [3]):
        with pytest.raises(PlanError, match=r"no geometry was given.*\.geom"):
            dxflow.plan(truth.path, PeakFinder8(img=Frames(modules=modules)))
