"""Whole simulated runs, read by EXtra-data and checked by its validator."""

import hashlib
import math
import warnings

import h5py
import numpy as np
import pytest
from extra_data import RunDirectory, components
from turns import turns
from validator import problems

from dxflow.simulate import Flat, Plant, PowderRings, Scan, Truth, make_run

DETECTORS = ("AGIPD1M", "AGIPD500K", "LPD1M", "DSSC1M", "JUNGFRAU", "JUNGFRAU1")
VERSIONS = ("0.5", "1.0", "1.1", "1.2", "1.3")
TINY = {"module_shape": (16, 16), "trains": 4, "pulses": 3}


def opened(path):
    with warnings.catch_warnings():
        # Format 1.1 warns that suspect trains are not fully supported; there are none.
        warnings.filterwarnings("ignore", message="Train validation")
        return RunDirectory(path)


def detector_of(truth, run):
    return getattr(components, truth.kind.removesuffix("1") if "JUNGFRAU" in truth.kind else truth.kind)(
        run, raw=truth.data == "raw"
    )


@pytest.mark.filterwarnings("ignore:Train validation")
@pytest.mark.properties
@pytest.mark.parametrize(("data", "name", "version"), turns(("corr", "raw"), DETECTORS, VERSIONS))
def test_every_detector_and_version_is_valid_and_opens_as_that_detector(tmp_path, name, version, data):
    modules = min(2, 1 if name == "JUNGFRAU1" else 2)
    truth = make_run(tmp_path, detector=name, version=version, data=data, modules=modules, **TINY)
    assert problems(tmp_path) == []
    run = opened(tmp_path)
    assert {f.format_version for f in run.files} == {version}
    assert run.train_ids == truth.train_ids.tolist()
    detector = detector_of(truth, run)
    assert detector.detector_name in truth.detector
    assert sorted(detector.source_to_modno) == sorted(truth.sources)
    frames = detector[truth.key].ndarray()
    assert frames.shape[0] == modules
    assert frames.dtype == ("f4" if data == "corr" else "u2")
    assert frames.shape[-2:] == (16, 16)


@pytest.mark.parametrize("data", ["corr", "raw"])
def test_frame_ids_in_the_files_are_those_of_the_truth(tmp_path, data):
    truth = make_run(tmp_path, data=data, modules=2, first_slot=7, repetition_rate=2.2, **TINY)
    array = detector_of(truth, opened(tmp_path)).get_array("image.data", unstack_pulses=False)
    index = array.indexes["train_pulse"]
    assert index.get_level_values("train").tolist() == truth.frame_train_ids.tolist()
    assert index.get_level_values("pulse").tolist() == truth.pulse_ids.tolist()
    assert truth.pulse_ids[:3].tolist() == [7, 9, 11]


def test_mean_of_good_pixels_is_what_the_truth_expects(tmp_path):
    truth = make_run(tmp_path, module_shape=(16, 16), trains=16, pulses=16, lit=0.5, modules=4)
    frames = opened(tmp_path)[truth.sources[2], "image.data"].ndarray().astype(float)
    good = ~truth.bad_pixels[2]
    spread = np.sqrt((truth.mean()[2] + truth.noise**2) / len(frames))
    pull = ((frames.mean(axis=0) - truth.mean()[2]) / spread)[good]
    assert abs(pull.mean()) < 4 / np.sqrt(len(pull))
    assert 0.8 < pull.std() < 1.2


def test_dark_frames_hold_noise_only_and_lit_ones_photons(tmp_path):
    truth = make_run(tmp_path, lit=[True, False, False], noise=0.2, bad_pixels=0, modules=1, **TINY)
    frames = opened(tmp_path)[truth.sources[0], "image.data"].ndarray()
    assert truth.lit.tolist() == [True, False, False] * 4
    assert frames[~truth.lit].std() == pytest.approx(0.2, rel=0.1)
    assert frames[truth.lit].mean() > 0.5


def test_without_noise_corrected_frames_are_whole_photons(tmp_path):
    truth = make_run(tmp_path, noise=0, bad_pixels=0, modules=1, **TINY)
    frames = opened(tmp_path)[truth.sources[0], "image.data"].ndarray()
    assert np.array_equal(frames, np.rint(frames))
    assert frames.max() > 1


def test_pumped_frames_follow_their_own_signal(tmp_path):
    truth = make_run(
        tmp_path,
        signal=Flat(5),
        pump_signal=Flat(20),
        pump="trains",
        bad_pixels=0,
        energy_spread=0,
        modules=1,
        **TINY,
    )
    frames = opened(tmp_path)[truth.sources[0], "image.data"].ndarray().mean(axis=(1, 2))
    assert truth.pump.reshape(4, 3).any(axis=1).tolist() == [False, True, False, True]
    assert frames[truth.pump] == pytest.approx(20, rel=0.1)
    assert frames[~truth.pump] == pytest.approx(5, rel=0.1)


def test_pulse_energy_scales_the_frame_and_is_in_the_gas_monitor(tmp_path):
    truth = make_run(tmp_path, signal=Flat(1000), energy_spread=0.3, bad_pixels=0, modules=1, **TINY)
    run = opened(tmp_path)
    frames = run[truth.sources[0], "image.data"].ndarray().mean(axis=(1, 2))
    assert frames == pytest.approx(truth.energy, rel=0.02)
    xgm = run[truth.devices["xgm"] + ":output", "data.intensityTD"].ndarray()[:, :3]
    assert np.array_equal(xgm.ravel(), truth.energy)


def test_mask_of_the_files_marks_exactly_the_bad_pixels(tmp_path):
    truth = make_run(tmp_path, bad_pixels=0.1, modules=2, **TINY)
    run = opened(tmp_path)
    for module, source in enumerate(truth.sources):
        mask = run[source, "image.mask"].ndarray()
        assert np.array_equal(mask[0] != 0, truth.bad_pixels[module])
        assert (mask == mask[0]).all()
    masked = detector_of(truth, run).masked_data().ndarray()
    assert np.array_equal(np.isnan(masked[:, 0]), truth.bad_pixels)
    assert np.nanmax(masked) < 100


def contents_digest(file):
    """Return a digest of all datasets; the bytes of a file also hold when its objects were made."""
    digest = hashlib.sha256()

    def add(name, item):
        if isinstance(item, h5py.Dataset):
            digest.update(
                name.encode()
                + repr(item[()].tolist() if item.dtype == object else item[()].tobytes()).encode()
            )

    with h5py.File(file) as f:
        f.visititems(add)
    return digest.hexdigest()


def test_same_seed_gives_the_same_files_and_another_seed_others(tmp_path):
    digests = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make_run(tmp_path / name, seed=seed, modules=2, **TINY)
        digests.append([contents_digest(file) for file in sorted((tmp_path / name).glob("*.h5"))])
    assert digests[0] == digests[1]
    assert digests[0] != digests[2]


def test_a_missing_module_or_fewer_sequences_leave_all_other_frames_as_they_were(tmp_path):
    whole = make_run(tmp_path / "whole", modules=3, **TINY)
    part = make_run(tmp_path / "part", modules=3, sequences=1, plant=Plant(missing_modules=(1,)), **TINY)
    assert part.module_numbers.tolist() == [0, 2]
    assert np.array_equal(part.positions, whole.positions[[0, 2]])
    before = opened(tmp_path / "whole")[whole.sources[2], "image.data"].ndarray()
    after = opened(tmp_path / "part")[part.sources[1], "image.data"].ndarray()
    assert np.array_equal(before, after)


def test_truth_is_returned_and_stored(tmp_path):
    truth = make_run(tmp_path, modules=2, signal=PowderRings(q=(1.0,), photons=(3.0,)), **TINY)
    loaded = Truth.load(tmp_path)
    assert np.array_equal(loaded.expected, truth.expected)
    assert loaded.signal["q"] == [1.0]


def test_a_directory_with_files_is_refused(tmp_path):
    make_run(tmp_path, detector=None, trains=2)
    with pytest.raises(FileExistsError, match="already holds HDF5 files"):
        make_run(tmp_path, detector=None, trains=2)


def test_run_without_detector_has_devices_only(tmp_path):
    truth = make_run(tmp_path, detector=None, trains=3, pulses=2)
    assert truth.sources == ()
    assert problems(tmp_path) == []
    assert len(opened(tmp_path).train_ids) == 3
    assert Truth.load(tmp_path).lit.tolist() == [True] * 6


def test_no_part_file_is_left_behind(tmp_path):
    make_run(tmp_path, modules=1, **TINY)
    assert list(tmp_path.glob("*.part")) == list(tmp_path.glob(".*")) == []


def test_full_size_agipd_has_a_geometry_that_extra_geom_reads_back(tmp_path):
    extra_geom = pytest.importorskip("extra_geom")
    truth = make_run(tmp_path, trains=1, pulses=1, pool=1, devices=(), modules=16)
    assert truth.expected.shape == (16, 512, 128)
    geometry = extra_geom.AGIPD_1MGeometry.from_crystfel_geom(tmp_path / truth.geometry["geom"])
    assert np.allclose(geometry.get_pixel_positions(), truth.positions, atol=1e-7)


def test_the_pump_changes_the_signal_as_far_as_its_delay_lets_it(tmp_path):
    scan = Scan(-1, 1, 5, onset=0.0, rise=0.2, lifetime=2.0)
    truth = make_run(
        tmp_path,
        detector="JUNGFRAU1",
        module_shape=(64, 64),
        trains=10,
        pulses=4,
        pump="pulses",
        signal=Flat(5),
        pump_signal=Flat(20),
        scan=scan,
        energy_spread=0,
        bad_pixels=0,
        pool=2,
    )
    on = truth.pump.reshape(10, 4)
    effect = truth.effect.reshape(10, 4)
    assert not effect[~on].any()
    rising = [0.5 * (1 + math.erf(x / 0.2 / math.sqrt(2))) for x in (-1, -0.5, 0, 0.5, 1)]
    np.testing.assert_allclose(effect[::2, 1], rising * np.exp([0, 0, 0, -0.25, -0.5]))
    frames = RunDirectory(tmp_path)[truth.sources[0], truth.key].ndarray()
    means = frames.reshape(10, 4, -1).mean(axis=2)
    np.testing.assert_allclose(means, 5 + 15 * effect, rtol=0.03)
    np.testing.assert_allclose(truth.mean(), (5 + 15 * truth.effect).mean(), rtol=1e-9)
