"""Pixel positions and momentum transfer."""

import numpy as np
import pytest

from dxflow.simulate import detectors
from dxflow.simulate.geometry import HC, Geometry, layout


def test_small_modules_are_tiled_around_the_beam_without_overlap():
    kind = detectors.kind("AGIPD1M")
    positions, source = layout(kind, (8, 4), range(16))
    assert source is None
    assert positions.shape == (16, 8, 4, 3)
    assert positions.reshape(-1, 3).mean(axis=0) == pytest.approx([0, 0, 0], abs=1e-12)
    flat = positions.reshape(-1, 3)
    apart = np.linalg.norm(flat[:, None] - flat, axis=-1)[~np.eye(len(flat), dtype=bool)]
    step = positions[0, 0, 1, 0] - positions[0, 0, 0, 0]
    assert step > 0
    assert apart.min() == pytest.approx(step)


@pytest.mark.parametrize("name", sorted(name for name, kind in detectors.KINDS.items() if kind.geometry))
def test_full_size_is_the_real_layout_around_the_beam(name):
    pytest.importorskip("extra_geom")
    kind = detectors.kind(name)
    positions, source = layout(kind, kind.shape, kind.module_numbers())
    assert source is not None
    assert positions.shape == (kind.modules, *kind.shape, 3)
    assert (positions.reshape(-1, 3).min(axis=0)[:2] < 0).all()
    assert (positions.reshape(-1, 3).max(axis=0)[:2] > 0).all()


def test_some_modules_of_the_real_layout_are_rows_of_all():
    pytest.importorskip("extra_geom")
    kind = detectors.kind("AGIPD1M")
    whole, _ = layout(kind, kind.shape, kind.module_numbers())
    part, _ = layout(kind, kind.shape, (3, 7))
    assert np.array_equal(part, whole[[3, 7]])


def test_momentum_transfer_follows_bragg():
    # At 45 degrees: q = 4 pi / lambda * sin(22.5 degrees).
    geometry = Geometry(np.array([[[[0.1, 0.0, 0.0], [0.0, 0.0, 0.0]]]]), 0.1, 12.0)
    expected = 4 * np.pi / (HC / 12.0) * np.sin(np.radians(22.5))
    assert geometry.q()[0, 0] == pytest.approx([expected, 0])
    assert geometry.wavelength == pytest.approx(1.0332, abs=1e-4)


def test_vectors_and_lengths_of_momentum_transfer_agree():
    positions, _ = layout(detectors.kind("LPD1M"), (6, 6), range(4))
    geometry = Geometry(positions, 0.3, 9.3)
    for module in range(4):
        assert np.linalg.norm(geometry.q_vectors(module), axis=-1) == pytest.approx(geometry.q(module))
        assert np.array_equal(geometry.q(module), geometry.q()[module])
