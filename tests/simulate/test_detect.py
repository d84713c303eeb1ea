"""From photons to stored values."""

import numpy as np
import pytest

from dxflow.simulate import Settings
from dxflow.simulate.detect import HOT, corrected, raw, sensor
from dxflow.simulate.detectors import kind


def setup(name="AGIPD1M", **options):
    settings = Settings(**{"detector": name, "module_shape": (64, 64), "pulses": 4, "noise": 0.25, **options})
    return settings, kind(name), sensor(settings, kind(name), kind(name).first)


def test_share_of_bad_pixels_is_as_asked_and_they_are_dead_or_hot():
    settings, _, part = setup(bad_pixels=0.1)
    assert (part.mask != 0).mean() == pytest.approx(0.1, abs=0.02)
    frame = corrected(settings, part, np.full((64, 64), 5.0), np.random.default_rng(0))
    assert (frame[part.mask == 1] == 0).all()
    assert (frame[part.mask == 2] == HOT).all()
    assert set(np.unique(part.mask)) == {0, 1, 2}


def test_variance_of_a_corrected_pixel_is_poisson_plus_noise():
    settings, _, part = setup(bad_pixels=0)
    random = np.random.default_rng(1)
    frames = np.array([corrected(settings, part, np.full((64, 64), 3.0), random) for _ in range(20)])
    assert frames.mean() == pytest.approx(3, abs=0.03)
    assert frames.var() == pytest.approx(3 + 0.25**2, rel=0.03)


@pytest.mark.parametrize(
    ("name", "shape"), [("AGIPD1M", (2,)), ("LPD1M", (1,)), ("DSSC1M", (1,)), ("JUNGFRAU", ())]
)
def test_raw_frames_have_the_planes_of_the_detector(name, shape):
    settings, facts, part = setup(name)
    data, stage = raw(settings, facts, part, np.zeros((64, 64)), 0, np.random.default_rng(0))
    assert data.shape == (*shape, 64, 64)
    assert data.dtype == np.uint16
    assert not stage.any()


@pytest.mark.parametrize("name", ["AGIPD1M", "LPD1M", "JUNGFRAU"])
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_photons_come_back_from_raw_values_in_each_gain_stage(name, stage):
    settings, facts, part = setup(name, bad_pixels=0)
    photons = [5.0, facts.ceiling[0] * 4, facts.ceiling[1] * 1.5][stage]
    cell = 2
    data, stages = raw(settings, facts, part, np.full((64, 64), photons), cell, np.random.default_rng(0))
    value = data[0] if facts.raw_planes else data
    if name == "LPD1M":
        assert (value >> 12 == stages).all()
        value = value & 0xFFF
    assert (stages == stage).all()
    adu = value - part.pedestal - part.cell_offset[cell]
    assert (adu / facts.adu_per_photon[stage]).mean() == pytest.approx(photons, rel=0.05)


def test_agipd_gain_plane_tells_the_stages_apart():
    settings, facts, part = setup(bad_pixels=0)
    mean = np.where(np.arange(64) < 32, 5.0, 200.0) * np.ones((64, 1))
    data, stages = raw(settings, facts, part, mean, 0, np.random.default_rng(0))
    assert stages.max() == 1
    assert data[1][stages == 0].max() < data[1][stages == 1].min()


def test_memory_cells_have_offsets_of_their_own():
    _, _, part = setup()
    assert len(np.unique(part.cell_offset)) == 4


def test_raw_values_stay_in_the_range_of_the_converter():
    settings, facts, part = setup("DSSC1M")
    data, _ = raw(settings, facts, part, np.full((64, 64), 5000.0), 0, np.random.default_rng(0))
    assert data.max() == 2**9 - 1
