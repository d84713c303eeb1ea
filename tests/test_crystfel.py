"""Geometry files for CrystFEL, read back by another library."""

import extra_geom
import numpy as np
import pytest

from dxflow import crystfel, geometry

KINDS = {
    "AGIPD": (extra_geom.AGIPD_1MGeometry.example(), 16 * 8, 1e-3),
    "LPD": (extra_geom.LPD_1MGeometry.example(), 16 * 16, 1e-3),
    "JUNGFRAU": (extra_geom.JUNGFRAUGeometry.example(n_modules=3), 3 * 8, 1e-3),
    # Rows of hexagonal pixels are shifted to and fro.
    "DSSC": (extra_geom.DSSC_1MGeometry.example(), 16 * 2, 0.26),
}


def written(tmp_path, positions):
    path = tmp_path / "made.geom"
    path.write_text(crystfel.text(positions, 9.3, "/data", "/peaks", "/mask"))
    return path


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_are_where_they_were(tmp_path, kind):
    made, panels, off = KINDS[kind]
    # Modules are tilted, too, each by another angle.
    positions = made.get_pixel_positions() + [0.001, -0.002, 0.2]
    positions[..., 2] += 0.01 * positions[..., 0] * np.arange(len(positions))[:, None, None]
    path = written(tmp_path, positions)
    back = geometry.load(path)
    assert path.read_text().count("corner_x") == panels
    assert back.wavelength == pytest.approx(12.39842 / 9.3, rel=1e-6)
    apart = np.linalg.norm(back.positions.reshape(positions.shape) - positions, axis=-1)
    assert apart.max() < off * geometry.pitch(positions)


def test_it_says_where_images_masks_and_peaks_are(tmp_path):
    text = written(tmp_path, KINDS["AGIPD"][0].get_pixel_positions() + [0, 0, 0.3]).read_text()
    for line in ("data = /data", "mask = /mask", "peak_list = /peaks", "photon_energy = 9300", "clen = 0.3"):
        assert f"\n{line}\n" in f"\n{text}"
    assert "\nm1p0/min_ss = 512\n" in text
    assert "photon_energy = 9300.1234\n" in crystfel.text(
        np.ones((1, 4, 4, 3)) * np.arange(4)[:, None], 9.3001234, "/data"
    )
    assert "mask" not in crystfel.text(np.ones((1, 4, 4, 3)) * np.arange(4)[:, None], 9.3, "/data")


def test_modules_without_positions_are_left_out(tmp_path):
    positions = KINDS["AGIPD"][0].get_pixel_positions() + [0, 0, 0.3]
    positions[3] = np.nan
    text = written(tmp_path, positions).read_text()
    assert "m3p0/" not in text
    assert "m4p0/" in text
