"""Positions from every source of geometry, and formulas against pyFAI."""

import os
import subprocess
import sys
import time

import extra_geom
import h5py
import numpy as np
import pytest

from dxflow import geometry


@pytest.fixture(scope="module")
def tilted(tmp_path_factory):
    """A pyFAI integrator of a flat, tilted detector, and its .poni file."""
    # Not above: each process that collects tests would load it, for more than a second.
    import pyFAI
    from pyFAI.detectors import Detector
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    detector = Detector(pixel1=1e-3, pixel2=2e-3, max_shape=(40, 30))
    angles = {"rot1": 0.1, "rot2": -0.2, "rot3": 0.3}
    one = AzimuthalIntegrator(
        dist=0.2, poni1=0.01, poni2=0.02, detector=detector, wavelength=1.33e-10, **angles
    )
    path = tmp_path_factory.mktemp("poni") / "tilted.poni"
    one.save(str(path))
    return pyFAI.load(str(path)), path


def test_a_poni_file_gives_positions_and_wavelength(tilted):
    integrator, path = tilted
    layout = geometry.load(path)
    z, y, x = integrator.calc_pos_zyx()
    np.testing.assert_allclose(layout.positions, np.stack([x, y, z], -1)[None], rtol=1e-15)
    assert layout.wavelength == pytest.approx(1.33)
    with pytest.raises(ValueError, match="its own distance"):
        geometry.positions(path, 0.3)


def test_angle_q_solid_angle_and_polarization_equal_pyfai(tilted):
    integrator, path = tilted
    points, shape = geometry.positions(path), integrator.get_shape()
    pairs = [
        (geometry.scattering_angle(points), integrator.center_array(shape, unit="2th_rad")),
        (geometry.momentum_transfer(points, 1.33), integrator.center_array(shape, unit="q_A^-1")),
        (geometry.solid_angle(points), integrator.solidAngleArray(shape)),
        (geometry.polarization(points, 0.9), integrator.polarization(shape, 0.9)),
    ]
    for found, expected in pairs:
        np.testing.assert_allclose(found[0], expected, rtol=2e-7)


def test_solid_angle_of_a_flat_detector_is_the_cube_of_a_cosine():
    y, x = np.indices((30, 40)) * 1e-3
    points = geometry.positions(np.stack([x, y, 0 * x], -1), 0.1)
    expected = np.cos(geometry.scattering_angle(points)) ** 3
    np.testing.assert_allclose(geometry.solid_angle(points), expected, rtol=1e-12)


def test_a_module_that_faces_the_sample_is_seen_under_a_larger_angle():
    y, x = np.indices((11, 11)) * 1e-3 - 5e-3
    flat = np.stack([x, y, np.full_like(x, 0.1)], -1)
    c, s = np.cos(1.0), np.sin(1.0)
    turned = flat @ np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]]).T
    moved = flat + turned[5, 5] - flat[5, 5]
    for other, expected in ((turned, 1.0), (moved, np.cos(1.0))):
        one, two = geometry.solid_angle(np.stack([flat, other]))[:, 5, 5]
        assert two / one == pytest.approx(expected)


def test_polarized_x_rays_do_not_scatter_along_their_polarization():
    sideways, up = np.array([0.1, 0, 0]), np.array([0, 0.1, 0])
    assert geometry.polarization(sideways, 1) == pytest.approx(0)
    assert geometry.polarization(up, 1) == pytest.approx(1)
    assert geometry.polarization(up, -1) == pytest.approx(0)
    assert geometry.polarization(np.array([0, 0, 0.1]), 0.5) == pytest.approx(1)


@pytest.mark.parametrize(
    "name", ["AGIPD_1MGeometry", "LPD_1MGeometry", "DSSC_1MGeometry", "JUNGFRAUGeometry"]
)
def test_a_crystfel_file_gives_the_positions_of_extra_geom(tmp_path, name):
    kind = getattr(extra_geom, name)
    source = kind.example(n_modules=2) if name.startswith("JUNGFRAU") else kind.example()
    source.write_crystfel_geom(str(tmp_path / "d.geom"), clen=0.25, photon_energy=9300)
    layout = geometry.load(tmp_path / "d.geom")
    expected = source.get_pixel_positions() + [0, 0, 0.25]
    np.testing.assert_allclose(layout.positions, expected, atol=2e-8)
    assert layout.wavelength == pytest.approx(12.3984198 / 9.3)
    further = geometry.positions(tmp_path / "d.geom", 0.5)
    np.testing.assert_allclose(further[..., 2], 0.5, atol=1e-12)


def test_an_extra_geom_object_needs_the_distance():
    source = extra_geom.AGIPD_1MGeometry.example()
    np.testing.assert_allclose(geometry.positions(source, 0.2), source.get_pixel_positions() + [0, 0, 0.2])
    with pytest.raises(ValueError, match="give distance="):
        geometry.positions(source)


@pytest.mark.parametrize(
    ("kind", "tiles", "shape"), [("LPD", 16, (16, 256, 256)), ("DSSC", 2, (16, 128, 512))]
)
def test_a_euxfel_file_gives_lpd_and_dssc(tmp_path, kind, tiles, shape):
    with h5py.File(tmp_path / "g.h5", "w") as file:
        for q in range(1, 5):
            file[f"Q{q}/Position"] = [10.0 * q, -5.0 * q, 0]
            for m in range(1, 5):
                file[f"Q{q}/M{m}/Position"] = [1.0 * m, 2.0 * m, 0]
                for t in range(1, tiles + 1):
                    file[f"Q{q}/M{m}/T{t:02}/Position"] = [0.5 * t, 0.1 * t, 0]
    points = geometry.positions(tmp_path / "g.h5", 0.2)
    source = getattr(extra_geom, f"{kind}_1MGeometry").from_h5_file(str(tmp_path / "g.h5"))
    assert points.shape == (*shape, 3)
    np.testing.assert_allclose(points, source.get_pixel_positions() + [0, 0, 0.2])


def test_arrays_and_npy_files_are_taken_as_they_are(tmp_path):
    points = np.random.default_rng(1).random((2, 3, 4, 3)) + 0.1
    np.save(tmp_path / "p.npy", points)
    np.testing.assert_array_equal(geometry.positions(tmp_path / "p.npy"), points)
    np.testing.assert_array_equal(geometry.positions(points[0])[0], points[0])
    np.testing.assert_array_equal(geometry.positions(points, 0.5), points + [0, 0, 0.5])


def test_the_real_layout_of_a_simulated_run_is_read_back(tmp_path):
    from dxflow.simulate import make_run

    truth = make_run(tmp_path, detector="JUNGFRAU1", trains=1, pulses=1)
    expected = truth.positions + [0, 0, truth.distance]
    np.testing.assert_allclose(geometry.positions(tmp_path / truth.geometry["geom"]), expected, atol=2e-8)
    found = geometry.positions(tmp_path / truth.geometry["npy"], truth.distance)
    np.testing.assert_allclose(geometry.momentum_transfer(found, truth.wavelength), truth.q(), rtol=1e-12)


def test_what_is_no_geometry_is_refused(tmp_path):
    (tmp_path / "a.txt").touch()
    for wrong, message in {
        str(tmp_path / "a.txt"): "ending '.txt'",
        str(tmp_path / "gone.npy"): "no file",
        "": "ending ''",
    }.items():
        with pytest.raises(ValueError, match=message):
            geometry.positions(wrong)
    with pytest.raises(ValueError, match="shape"):
        geometry.positions(np.zeros((4, 4)))
    with pytest.raises(ValueError, match="give distance="):
        geometry.positions(np.zeros((4, 4, 3)))


def test_a_library_that_is_not_there_is_named_with_its_extra(tmp_path, monkeypatch):
    for module, name, extra in (("pyFAI", "a.poni", "azint"), ("cfel_fmt.geometry", "a.geom", "geometry")):
        (tmp_path / name).touch()
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ImportError, match=rf"dxflow\[{extra}\]"):
            geometry.positions(tmp_path / name)


def test_importing_dxflow_and_its_algorithms_loads_nothing_heavy():
    names = "average azint litframes roi subtract"
    code = (
        f"import sys, dxflow, dxflow.geometry; [__import__('dxflow.algorithms.' + n) for n in '{names}'.split()];"
        "print([m for m in ('numba', 'pyFAI', 'extra_geom', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_geometries_are_told_apart_by_what_they_hold(tmp_path, monkeypatch):
    points = np.random.default_rng(1).random((2, 3, 4, 3))
    assert geometry.identity(points) == geometry.identity(points.tolist())
    assert geometry.identity(points) != geometry.identity(points[:, ::-1])
    assert geometry.identity(points) != geometry.identity(points.reshape(1, 6, 4, 3))
    # An object may change.
    assert geometry.identity(extra_geom.JUNGFRAUGeometry.example(n_modules=1)) is None
    path = tmp_path / "g.npy"
    np.save(path, points)
    assert geometry.identity(path) is None, "what was just written may change and keep its times"
    monkeypatch.setattr(geometry, "SETTLED", 0.0)
    first = geometry.identity(path)
    assert first == geometry.identity(str(path))
    path.with_suffix(".json").write_text('{"distance": 0.2}')
    assert geometry.identity(path) != first


def test_a_file_is_read_once_until_it_changes(tmp_path):
    """What is kept of it cannot be changed, and what `positions` returns is the caller's own."""
    path, points = tmp_path / "a.npy", np.random.default_rng(1).random((2, 3, 4, 3))
    np.save(path, points)
    os.utime(path, (1, 1))
    time.sleep(geometry.SETTLED + 0.1)
    first = geometry.load(path, 0.5)
    assert geometry.load(path, 0.5) is first
    assert geometry.load(path, 0.6) is not first
    with pytest.raises(ValueError, match="read-only"):
        first.positions[0] = 0
    geometry.positions(path, 0.5)[0] = 0
    assert geometry.load(path, 0.5).positions.any()
    np.save(path, points + 1)
    np.testing.assert_allclose(geometry.load(path, 0.5).positions[..., 0], first.positions[..., 0] + 1)
