"""Images in q and chi, errors, and sums per frame, pulse and run, against pyFAI and plain loops of numpy."""

import numpy as np
import pytest
from campaign import rings
from readings import Whole, images, near, pixels, same
from test_azint import integrated, of, points_of, pyfai, tilted
from xarray import DataArray

import dxflow
from dxflow import Frames, PlanError, geometry
from dxflow.algorithms._azint_tables import Axis, azimuth
from dxflow.algorithms._moments import ratio
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.testing import check_algorithm

NQ, NCHI = 20, 12
CENTRED = {"poni1": 0.008, "poni2": 0.04, "rot1": 0.05, "rot2": -0.02}
"""The beam goes through the module, so that chi goes all around."""
UNITS = {"q": "q_A^-1", "2theta": "2th_deg", "r": "r_mm"}


def far_from_edges(values, edges):
    """Return which values are in a bin whatever the last digits are."""
    place = np.interp(values, edges, np.arange(len(edges)), left=-0.5, right=len(edges) - 0.5)
    return np.abs(place - np.rint(place)) > 1e-4


def whole_circle(points, low):
    """Return chi in degrees, from `low` on."""
    return (np.degrees(np.arctan2(points[..., 1], points[..., 0])) - low) % 360 + low


class Peer:
    """pyFAI on one module of a run, with random darks, flats and masks."""

    def __init__(self, truth, unit="q", chirange=(-180, 180), **options):
        self.points, self.unit, self.chirange = tilted(images(truth).shape[2:], **CENTRED), unit, chirange
        random = np.random.default_rng(3)
        shape = self.points.shape[:3]
        self.dark, self.flat = random.random(shape), 0.5 + random.random(shape)
        self.options = {"geometry": self.points, "wavelength": 1.33, "nbins": NQ, "unit": unit} | options
        values = {
            "q": geometry.momentum_transfer(self.points, 1.33),
            "2theta": np.degrees(geometry.scattering_angle(self.points)),
            "r": 1e3 * np.hypot(self.points[..., 0], self.points[..., 1]),
        }[unit]
        self.first = np.linspace(values.min(), values.max(), NQ + 1)
        self.good = far_from_edges(values, self.first)
        self.chi = np.linspace(*chirange, NCHI + 1)
        self.good &= far_from_edges(whole_circle(self.points, chirange[0]), self.chi)
        self.frames = np.where(self.good, images(truth)[:, :1], np.nan)[:, 0]

    def ours(self, truth, **options):
        img = Frames(modules=[0], mask=["auto", ~self.good])
        return integrated(truth, AzimuthalIntegration(img=img, **self.options | options))

    def theirs(self, frame, two=True, method="histogram", **options):
        peer = pyfai(self.points, **CENTRED)
        if self.chirange[1] > 180:
            peer.setChiDiscAtZero()
        integrate = peer.integrate2d_ng if two else peer.integrate1d_ng
        return integrate(
            np.nan_to_num(frame).astype("f4"),
            *((NQ, NCHI) if two else (NQ,)),
            mask=np.isnan(frame),
            unit=UNITS[self.unit],
            # Its compiled histogram has pixels of almost a bin before the first edge in the first bin.
            method=("no", method, "python" if two else "cython"),
            radial_range=(self.first[0], self.first[-1]),
            azimuth_range=tuple(self.chirange),
            dummy=np.nan,
            **options,
        )


def agree(found, expected, rtol=1e-6):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-7, equal_nan=True)


@pytest.mark.parametrize(
    ("unit", "chirange"), [("q", (-180, 180)), ("q", (150, 210)), ("2theta", (-20, 50)), ("r", (0, 360))]
)
def test_images_in_q_and_chi_equal_pyfai_with_dark_flat_and_errors(holey, unit, chirange):
    peer = Peer(holey, unit, chirange)
    data = peer.ours(
        holey,
        nchi=NCHI,
        chirange=chirange,
        dark=peer.dark,
        flat=peer.flat,
        polarization=0.9,
        errors="poisson",
    )
    assert data["azint.intensity"].dims[1:] == (unit, "chi")
    agree(data["chi"], (peer.chi[1:] + peer.chi[:-1]) / 2)
    for row, frame in enumerate(peer.frames[:5]):
        given = {"dark": peer.dark[0].astype("f4"), "flat": peer.flat[0].astype("f4")}
        one = peer.theirs(frame, polarization_factor=0.9, variance=np.nan_to_num(frame), **given)
        np.testing.assert_array_equal(data["azint.pixels"].values[row], one.count.T)
        empty = one.count.T == 0
        agree(data["azint.intensity"].values[row], np.where(empty, np.nan, one.intensity.T))
        variance = np.where(one.sum_variance.T > 0, one.sum_variance.T, np.nan)
        expected = ratio(np.sqrt(variance), one.sum_normalization.T)
        agree(data["azint.intensity_error"].values[row], expected)
    assert np.isnan(data["azint.intensity"].values).any()
    assert np.isfinite(data["azint.intensity"].values).any()


def test_azimuthal_errors_equal_pyfai_but_for_the_number_of_pixels(holey):
    peer = Peer(holey)
    # Where pixels have other weights, pyFAI's sum in one pass is only near to the squared deviations.
    data = peer.ours(holey, errors="azimuthal", solid_angle=False)
    for row, frame in enumerate(peer.frames[:5]):
        one = peer.theirs(frame, two=False, method="csr", error_model="azimuthal", correctSolidAngle=False)
        n = data["azint.pixels"].values[row]
        np.testing.assert_array_equal(n, one.count)
        agree(data["azint.intensity"].values[row], np.where(n, one.intensity, np.nan))
        factor = np.sqrt(n[n > 1] / (n[n > 1] - 1))
        agree(data["azint.intensity_error"].values[row][n > 1], factor * one.sem[n > 1], 1e-5)
        assert np.isnan(data["azint.intensity_error"].values[row][n < 2]).all()


def plain(frames, points, truth, edges, w=1.0, dark=0.0):
    """Return y, its weight, the variance of counts, and which pixel is in which bin of q, by numpy."""
    q = geometry.momentum_transfer(points, truth.wavelength)
    c = geometry.solid_angle(points) * w
    which = np.clip(np.searchsorted(edges, q, side="right") - 1, 0, len(edges) - 2)
    y = w * (frames - dark)
    return y, np.broadcast_to(c, y.shape), w**2 * frames, np.broadcast_to(which, y.shape)


@pytest.mark.parametrize("kind", ["poisson", "azimuthal"])
@pytest.mark.parametrize("per", ["frame", "pulse", "run"])
def test_errors_of_frames_pulses_and_the_run_equal_plain_loops(holey, per, kind):
    points, frames = points_of(holey), images(holey)
    random = np.random.default_rng(8)
    w, dark = random.integers(0, 3, points.shape[:3]), random.random(points.shape[:3]).astype("f4")
    q = geometry.momentum_transfer(points, holey.wavelength)
    edges = np.linspace(q.min(), q.max(), 8)
    ours = of(holey, nbins=7, per=per, errors=kind, dark=dark, weights=w.astype("f4"))
    data = integrated(holey, ours)
    y, c, variance, which = plain(frames, points, holey, edges, w, dark.astype("f8"))
    pulse = data["azint.intensity"].pulse_id.values if per == "frame" else np.tile(np.arange(11), 7)
    rows = {
        "frame": [np.arange(len(frames)) == i for i in range(len(frames))],
        "pulse": [pulse == i for i in range(11)],
        "run": [np.ones(len(frames), bool)],
    }[per]
    name, number = ("intensity", "pixels") if per == "frame" else ("mean", "count")
    shape = (len(rows), 7)
    found = [data[f"azint.{n}"].values.reshape(shape) for n in (name, f"{name}_error", number)]
    for i, row in enumerate(rows):
        for k in range(7):
            good = (which[row] == k) & np.isfinite(frames[row]) & (w > 0)
            n, x, weight = good.sum(), y[row][good], c[row][good]
            average = x.sum() / weight.sum()
            squares = ((x - weight * average) ** 2).sum() * n / (n - 1)
            total = variance[row][good].sum() if kind == "poisson" else squares
            np.testing.assert_allclose(found[0][i, k], average, rtol=2e-6, atol=1e-7)
            expected = np.sqrt(total) / weight.sum() if total > 0 else np.nan
            np.testing.assert_allclose(found[1][i, k], expected, rtol=2e-6)
            assert found[2][i, k] == n
    assert data[f"azint.{name}"].dims[-1] == "q"


def test_frames_pulses_and_the_run_have_the_same_sums(holey):
    options = {"nbins": 9, "nchi": 5, "errors": "poisson"}
    by = {per: integrated(holey, of(holey, per=per, **options)) for per in ("frame", "pulse", "run")}
    for name in ("mean", "mean_error"):
        near(by["run"][f"azint.{name}"], by["frame"][f"azint.{name}"])
    np.testing.assert_array_equal(by["run"]["azint.count"], by["frame"]["azint.count"])
    np.testing.assert_array_equal(by["pulse"]["azint.count"].sum("pulse"), by["run"]["azint.count"])
    assert by["pulse"]["azint.mean"].dims == ("pulse", "q", "chi")
    assert "azint.intensity" not in by["run"]
    np.testing.assert_array_equal(by["frame"]["azint.pixels"].sum(axis=0), by["frame"]["azint.count"])
    # What is counted is just what numpy counts, with errors and without.
    same_count = integrated(holey, of(holey, nbins=9, nchi=5))["azint.count"]
    np.testing.assert_array_equal(same_count, by["run"]["azint.count"])
    assert int(same_count.sum()) == np.isfinite(images(holey)).sum()


def test_a_sector_is_the_sum_of_its_bins_of_chi(holey):
    fine = integrated(holey, of(holey, nbins=9, nchi=36, per="run"))
    sector = integrated(holey, of(holey, nbins=9, chirange=(-30, 50), per="run"))
    inside = slice(15, 23)
    np.testing.assert_array_equal(fine["azint.count"][:, inside].sum("chi"), sector["azint.count"])
    total = (fine["azint.mean"] * fine["azint.count"])[:, inside].sum("chi") / sector["azint.count"]
    # But for the solid angle.
    near(total, sector["azint.mean"], 0.02)
    assert sector["azint.mean"].dims == ("q",)


def test_bins_without_pixels_are_nan_with_a_count_of_0(holey):
    data = integrated(holey, of(holey, nbins=8, nchi=4, qrange=(0, 100), errors="azimuthal"))
    empty = data["azint.count"].values == 0
    assert 0 < empty.sum() < empty.size
    for name in ("intensity", "intensity_error", "mean", "mean_error"):
        assert np.isnan(data[f"azint.{name}"].values[..., empty]).all(), name
    assert np.isfinite(data["azint.mean"].values[~empty]).all()


@pytest.mark.parametrize("options", [{}, {"errors": "azimuthal"}, {"per": "pulse"}, {"per": "run"}])
def test_images_keep_their_bits_in_any_chunks(holey, options):
    given = {"nbins": 9, "nchi": 6} | options
    whole = integrated(holey, of(holey, **given))
    small = integrated(holey, of(holey, **given), chunk="20 kB")
    beside = integrated(holey, Whole(), of(holey, **given))
    for name in whole:
        if "frame" in whole[name].dims:
            assert whole[name].values.tobytes() == small[name].values.tobytes()
        near(small[name], whole[name].values.astype("f8"))
        near(beside[name], whole[name].values.astype("f8"), 1e-6)


@pytest.mark.parametrize("options", [{}, {"nbins": 9, "nchi": 6, "errors": "poisson", "per": "pulse"}])
def test_it_keeps_what_is_asked_of_algorithms(holey, options):
    check_algorithm(lambda: of(holey, **options), holey.path)


def test_modules_may_have_a_poni_file_each(holey, tmp_path):
    """Each tilted in its own way: their solid angles are those that pyFAI has in sr."""
    given = [{**CENTRED, "dist": 0.1 + 0.01 * n, "rot1": 0.05 * n, "poni2": 0.01 * n} for n in range(8)]
    peers = [pyfai(np.zeros((1, 16, 40, 3)), **one) for one in given]
    paths = [tmp_path / f"{n}.poni" for n in range(8)]
    for peer, path in zip(peers, paths, strict=True):
        peer.save(str(path))
    options = {"nbins": 6, "distance": None, "energy": None, "per": "run"}
    data = integrated(holey, of(holey, geometry=paths, **options))
    points = np.concatenate([tilted((16, 40), **one) for one in given])
    q = geometry.momentum_transfer(points, 1.33)
    edges = np.linspace(q.min(), q.max(), 7)
    c = np.stack([peer.solidAngleArray((16, 40), absolute=True) for peer in peers])
    good = np.isfinite(images(holey))
    means = []
    for k in range(6):
        here = good & ((q >= edges[k]) & (q < edges[k + 1]) | (k == 5) & (q == edges[6]))
        means.append(images(holey)[here].sum() / np.broadcast_to(c, good.shape)[here].sum())
    expected = np.array(means) / means[0]
    np.testing.assert_allclose(data["azint.mean"] / data["azint.mean"][0], expected, rtol=1e-5)
    line = integrated(holey, of(holey, geometry=[str(p) for p in paths], **options))
    same(line, data)


def test_poni_files_that_do_not_fit_each_other_are_refused(holey, tmp_path):
    one, other = pyfai(np.zeros((1, 16, 40, 3))), pyfai(np.zeros((1, 16, 40, 3)))
    other.wavelength = 2e-10
    small = pyfai(np.zeros((1, 16, 8, 3)))
    paths = {name: str(tmp_path / f"{name}.poni") for name in ("one", "other", "small")}
    for peer, path in zip((one, other, small), paths.values(), strict=True):
        peer.save(path)
    for second, says in (
        ("other", r"wavelengths from 1\.33 to 2 angstrom"),
        ("small", r"\(16, 8\), \(16, 40\)"),
    ):
        with pytest.raises(PlanError, match=says):
            dxflow.plan(holey.path, of(holey, geometry=[paths["one"], paths[second]], distance=None))
    with pytest.raises(
        PlanError, match=r"geometry has \(module, ss, fs\) = \(2, 16, 40\); expected \(8, 16, 40\)"
    ):
        dxflow.plan(holey.path, of(holey, geometry=[paths["one"]] * 2, distance=None))


def test_the_command_line_takes_files_of_modules_and_pixels(holey, tmp_path):
    from dxflow.algorithms.azint import _paths

    assert _paths("a.poni,b.poni") == ["a.poni", "b.poni"]
    assert _paths("a,b.npy") == "a,b.npy"
    flat = np.full((8, 16, 40), 2.0)
    np.save(tmp_path / "flat.npy", flat)
    by_path = integrated(holey, of(holey, flat=tmp_path / "flat.npy"))
    same(by_path, integrated(holey, of(holey, flat=flat)))
    near(by_path["azint.mean"] * 2, integrated(holey, of(holey))["azint.mean"])


@pytest.mark.parametrize(
    ("name", "read"), [("flat", (3, 1)), ("dark", tuple(range(8))[::-1]), ("weights", range(8))]
)
def test_labelled_modules_and_pixels_are_found_in_any_order(holey, name, read):
    random = np.random.default_rng(8)
    plain, order = 0.5 + random.random((8, 16, 40)), random.permutation(8)
    img = Frames(modules=list(read), roi=np.s_[4:12, 10:30])
    coords = {"module": order, "ss": np.arange(4, 16), "fs": np.arange(40)}
    labelled = DataArray(plain[order][:, 4:], coords, ("module", "ss", "fs"))
    expected = integrated(holey, of(holey, img=img, **{name: plain}))
    # After each other in one process: labels are part of what is kept.
    same(integrated(holey, of(holey, img=img, **{name: labelled})), expected)
    mixed = labelled.assign_coords(module=order[::-1]).transpose("fs", "ss", "module")
    found = integrated(holey, of(holey, img=img, **{name: mixed}))
    unmixed = np.empty_like(plain)
    unmixed[order[::-1]] = plain[order]
    near(found["azint.mean"], integrated(holey, of(holey, img=img, **{name: unmixed}))["azint.mean"])


def test_a_dark_or_flat_may_be_a_result_of_other_modules_in_another_order(holey):
    made = dxflow.reduce(holey.path, Average(img=Frames(modules=[6, 1, 3])), cluster="here").dataset
    mean, whole = made["average.mean"], np.full((8, 16, 40), np.nan)
    whole[[6, 1, 3]] = mean
    img = Frames(modules=[1, 6])
    found = integrated(holey, of(holey, img=img, dark=mean))
    near(found["azint.mean"], integrated(holey, of(holey, img=img, dark=whole))["azint.mean"])
    with pytest.raises(PlanError, match="dark has module 1, 3, 6; expected the numbers of all .* 1, 2"):
        dxflow.plan(holey.path, of(holey, img=Frames(modules=[1, 2]), dark=mean))
    with pytest.raises(PlanError, match="dark is of OTHER, the frames are of SPB_DET_AGIPD500K2G"):
        dxflow.plan(holey.path, of(holey, img=img, dark=mean.assign_attrs(detector="OTHER")))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"nchi": 0}, "nchi=0; expected a positive number, or None"),
        (
            {"chirange": (170, -170)},
            r"chirange=\(170, -170\); expected two rising .*; across 180 it is \(170, 190\)",
        ),
        ({"chirange": (-200, 200)}, r"chirange=\(-200, 200\); .* no more than 360 apart"),
        ({"chirange": (0, np.nan)}, r"chirange=\(0, nan\); expected two rising"),
        ({"unit": "2theta", "qrange": (190, 200)}, r"qrange=\(190, 200\); expected up to 180 degree"),
    ],
)
def test_ranges_that_cannot_be_are_refused(holey, options, says):
    with pytest.raises(ValueError, match=says):
        of(holey, **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            {"flat": np.ones((8, 16, 41))},
            r"flat has \(module, ss, fs\) = \(8, 16, 41\); expected \(8, 16, 40\)",
        ),
        ({"dark": np.ones((3, 16, 40))}, r"dark has \(module, ss, fs\) = \(3, 16, 40\)"),
        ({"weights": np.ones(16)}, r"weights is float64 \(16,\); expected numbers, \(module, ss, fs\)"),
        ({"weights": -np.ones((8, 16, 40))}, "weights has numbers below 0, down to -1"),
        ({"flat": np.zeros((8, 16, 40))}, "flat= and weights= leave no pixel"),
        ({"flat": "/nowhere/flat.npy"}, "flat='/nowhere/flat.npy'; expected an .npy file that is there"),
        ({"dark": "dark.zarr"}, "dark='dark.zarr'; expected an .npy file"),
        ({"chirange": (0.0, 1e-9)}, r"chirange=\(0\.0, 1e-09\) degree holds no pixel"),
        (
            {"unit": "r", "qrange": (900, 1000)},
            r"qrange=\(900, 1000\) mm holds no pixel .*: they are from .* mm",
        ),
    ],
)
def test_pixels_that_do_not_fit_and_ranges_without_any_are_refused_in_the_plan(holey, options, says):
    with pytest.raises(PlanError, match=says):
        dxflow.plan(holey.path, of(holey, **options))


def test_pulses_need_pulse_ids(camera):
    key, frames = pixels(camera)
    points = tilted((48, 64))
    ours = AzimuthalIntegration(img=key, geometry=points, wavelength=1.33, per="pulse")
    with pytest.raises(PlanError, match="per='pulse', but .* has no pulse ids; use per='run'"):
        dxflow.plan(camera.path, ours)
    data = integrated(
        camera, AzimuthalIntegration(img=key, geometry=points, wavelength=1.33, nchi=8, nbins=5)
    )
    assert int(data["azint.count"].sum()) == frames.size


def test_other_units_need_no_wavelength(holey):
    data = integrated(holey, of(holey, energy=None, geometry=points_of(holey), distance=None, unit="2theta"))
    theta = np.degrees(geometry.scattering_angle(points_of(holey)))
    assert data["2theta"].attrs["units"] == "degree"
    assert theta.min() < data["2theta"][0] < data["2theta"][-1] < theta.max()


def test_a_pixel_at_the_end_of_the_circle_is_counted_once():
    """Beside -180, at it, and within a rounding of where the bins begin."""
    points = np.array([[-1, 0.0, 1], [-1, -0.0, 1], [1, -1e-18, 1], [1, 0, 1]])[None, None]
    for low in (-180, 0, -90):
        axis = Axis("chi", "degree", azimuth(points), 4, (low, low + 360), 360.0)
        numbers = axis.numbers(np.zeros((1, 1, 4), bool))
        assert ((numbers >= 0) & (numbers < 4)).all(), (low, numbers)


@pytest.mark.parametrize("kind", rings.KINDS)
def test_errors_are_as_large_as_means_are_off_and_rings_are_where_they_were_planted(kind):
    bins, images, places = rings.gathered(kind, range(3))
    assert 0.9 < bins.std() < 1.1
    assert 0.9 < images.std() < 1.1
    assert np.abs(places).max() < 3
