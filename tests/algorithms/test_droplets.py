"""Droplets against scipy.ndimage, and photons where they were planted."""

from math import erf

import h5py
import numpy as np
import pytest
from readings import images, same
from runs import make_run
from scipy import ndimage
from xarray import DataArray

import dxflow
from dxflow import Frames, From, PlanError
from dxflow.algorithms import _photon_kernels as kernels
from dxflow.algorithms.average import Average
from dxflow.algorithms.dark import Pedestal
from dxflow.algorithms.droplets import Droplets
from dxflow.algorithms.photons import Photonise
from dxflow.algorithms.photonstats import PhotonStatistics
from dxflow.algorithms.subtract import Subtract
from dxflow.testing import check_algorithm


def made(truth, **options):
    return dxflow.reduce(truth.path, Droplets(**options), cluster="here").dataset


def labelled(image, high, low):
    """Return ss, fs, sum, pixels and highest of each droplet, and how many there are with those that are too low."""
    x = np.nan_to_num(image.astype("f8"), nan=-1e9)
    numbers, n = ndimage.label(image > low)
    every = np.arange(1, n + 1)
    highest = ndimage.maximum(np.nan_to_num(image / high, nan=-1e9), numbers, every).reshape(-1)
    keep = every[highest > 1]
    if not len(keep):
        return np.zeros((0, 5)), n
    return np.column_stack(
        [
            np.reshape(ndimage.center_of_mass(x, numbers, keep), (-1, 2)),
            ndimage.sum(x, numbers, keep),
            ndimage.sum(np.ones_like(x), numbers, keep),
            ndimage.maximum(x, numbers, keep),
        ]
    ), n


@pytest.mark.parametrize("noise", [None, "map"])
def test_droplets_are_those_of_scipy(holey, noise):
    frames = images(holey)
    given, scale = {}, np.ones(frames.shape[1:])
    if noise:
        scale = np.random.default_rng(3).uniform(0.5, 2, frames.shape[1:])
        given = {"noise": scale}
    data = made(holey, threshold=4.0, low=2.5, **given)
    expected, n, every = [], [], []
    for frame in frames:
        found = [labelled(m, 4.0 * s, 2.5 * s) for m, s in zip(frame, scale, strict=True)]
        n.append(sum(len(rows) for rows, _ in found))
        every.append(sum(total for _, total in found))
        expected += [[module, *row] for module, (rows, _) in enumerate(found) for row in rows]
    np.testing.assert_array_equal(data["droplets.n_droplets"], n)
    np.testing.assert_array_equal(data["droplets.n_all"], every)
    np.testing.assert_allclose(data["droplets.droplets"], np.array(expected), rtol=1e-6)
    assert len(expected) > 100


def test_noise_and_labels_of_modules_are_found_in_any_order(holey):
    random = np.random.default_rng(8)
    noise, order = random.uniform(0.5, 2, (8, 16, 40)), random.permutation(8)
    labelled = DataArray(noise[order], {"module": order}, ("module", "ss", "fs"))
    img = Frames(modules=[5, 2])
    same(*(made(holey, threshold=4.0, noise=n, img=img) for n in (labelled, noise)))
    regions = labelled.copy(data=(noise[order] * 3).astype(int))
    chain = [[Photonise(img=img), PhotonStatistics(labels=n)] for n in (regions, (noise * 3).astype(int))]
    same(*(dxflow.reduce(holey.path, each, cluster="here").dataset for each in chain))


def test_sums_outside_the_limits_are_left_out(holey):
    whole, some = made(holey, threshold=4.0), made(holey, threshold=4.0, min_sum=6.0, max_sum=12.0)
    rows = whole["droplets.droplets"].values
    keep = (rows[:, 3] >= 6) & (rows[:, 3] < 12)
    assert 0 < keep.sum() < len(keep)
    np.testing.assert_array_equal(some["droplets.droplets"], rows[keep])
    np.testing.assert_array_equal(whole["droplets.n_all"], some["droplets.n_all"])


def charges(random, shape, n, gain, spread=0.35, noise=0.03):
    """Return an image of photons whose charge spreads over pixels, and where these were."""
    image = np.zeros(shape)
    places = np.column_stack([random.uniform(3, k - 4, n) for k in shape])
    for place in places:
        middle = np.round(place).astype(int)
        rows, columns = (np.arange(m - 3, m + 4) for m in middle)

        def part(at, x):
            return 0.5 * (erf((at + 0.5 - x) / spread / 2**0.5) - erf((at - 0.5 - x) / spread / 2**0.5))

        across = np.array([part(r, place[0]) for r in rows])
        along = np.array([part(c, place[1]) for c in columns])
        image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += gain * np.outer(across, along)
    return (image + gain * random.normal(0, noise, shape)).astype("f4"), places


def test_planted_photons_are_found_with_their_number_and_place():
    random, gain = np.random.default_rng(7), 40.0
    scratch = [np.zeros(64 * 64, bool), np.empty(64 * 64, int), np.empty((2049, 5))]
    scratch += [np.empty(64 * 64, int), np.empty(2050, int)]
    found, planted, far = 0, 0, []
    for _ in range(30):
        image, places = charges(random, (64, 64), 15, gain)
        n, _ = kernels.droplets(image, 0.2 * gain, 0.1 * gain, np.zeros((0, 0)), *scratch)
        counts = np.floor(scratch[2][:n, 2] / gain + 0.5).astype(int)
        photons = np.empty((counts.sum(), 3))
        kernels.split(image, *scratch[3:], np.arange(n), counts, gain, np.empty(64 * 64), photons)
        photons = photons[:, :2]
        found, planted = found + len(photons), planted + len(places)
        far += [np.hypot(*(photons - place).T).min() for place in places]
    assert abs(found - planted) <= 0.02 * planted
    assert np.median(far) < 0.3
    assert np.quantile(far, 0.95) < 0.8


def test_photons_add_up_in_a_run(holey):
    data = made(holey, threshold=4.0, gain=2.0)
    counts = np.floor(data["droplets.droplets"].values[:, 3].astype("f8") / 2.0 + 0.5)
    assert data["droplets.n_photons"].sum() == counts.sum() == len(data["droplets.photons"])
    np.testing.assert_array_equal(
        data["droplets.photons"].values[:, 3], np.repeat(counts, counts.astype(int))
    )


def test_bright_droplets_are_counted_and_not_split(holey):
    whole, few = (made(holey, threshold=0.5, gain=0.05, most=n) for n in (10**6, 12))
    counts = np.floor(whole["droplets.droplets"].values[:, 3].astype("f8") / 0.05 + 0.5)
    assert (counts == 12).any()
    many = counts > 12
    assert int(few["droplets.n_unsplit"].sum()) == many.sum() > 0
    assert int(few["droplets.n_photons"].sum()) == counts[~many].sum() == len(few["droplets.photons"])
    kept = whole["droplets.photons"].values[whole["droplets.photons"].values[:, 3] <= 12]
    np.testing.assert_array_equal(few["droplets.photons"], kept)


@pytest.mark.parametrize("value", [np.inf, -np.inf, 3e9])
def test_numbers_that_are_none_and_numbers_beyond_integers(tmp_path, value):
    """Beside photons: no photon, no droplet, and no crash."""
    truth = make_run(tmp_path / "r", detector="AGIPD500K", trains=2, pulses=2, module_shape=(8, 8), modules=1)
    for file in (tmp_path / "r").glob("CORR*AGIPD00*"):
        with h5py.File(file, "r+") as f:
            f[f"INSTRUMENT/{truth.sources[0]}/image/data"][:, 4, 4] = value
            f[f"INSTRUMENT/{truth.sources[0]}/image/data"][:, 4, 5:7] = 2.0
    labels = np.zeros((1, 8, 8), int)
    labels[0, 4, 4:7] = 1
    img = Frames(modules=[0], mask=None)
    chain = [Droplets(threshold=1.5, gain=1.0, img=img)]
    chain += [Photonise(method=m, name=m, images=m == "round", img=img) for m in ("round", "share")]
    chain += [PhotonStatistics(labels=labels, most=2, img=From("round.img"))]
    data = dxflow.reduce(truth.path, chain, cluster="here").dataset
    assert (data["photonstats.counts"][:, 0, 2] == 2).all()
    if np.isinf(value):
        assert (data["photonstats.counts"].sum(axis=(1, 2)) == 2).all()
        assert (data["round.pixels"] == 63).all()
        assert (data["round.total"] < 1000).all()
        assert (data["share.total"] < 1000).all()
        assert np.isfinite(data["droplets.droplets"]).all()
    else:
        assert (data["round.total"] > 2.9e9).all()
        assert (data["droplets.n_unsplit"] == 1).all()
        with pytest.raises(Exception, match="list"):
            dxflow.reduce(truth.path, Photonise(sparse=True, images=False, img=img), cluster="here")


def test_a_region_has_the_places_of_the_module(holey):
    whole = made(holey, threshold=4.0, img=Frames(modules=[1]))["droplets.droplets"].values
    part = made(holey, threshold=4.0, img=Frames(modules=[1], roi=np.s_[4:12, 8:30]))[
        "droplets.droplets"
    ].values
    alone = [row.tolist() for row in whole if row[4] == 1 and 5 < row[1] < 10 and 9 < row[2] < 28]
    assert alone
    assert all(row in part.tolist() for row in alone)


def test_it_follows_the_rules_of_algorithms(holey):
    check_algorithm(lambda: Droplets(threshold=4.0, gain=2.0), holey.path)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"threshold": 1, "low": 2}, ValueError, "0 < low <= threshold"),
        ({"threshold": 0}, ValueError, "0 < low"),
        ({"threshold": 1, "gain": -1}, ValueError, "gain=-1"),
        ({"threshold": 1, "most": 0}, ValueError, "most=0"),
        ({"threshold": 1, "min_sum": 3, "max_sum": 2}, ValueError, "not below"),
        ({"threshold": 1, "noise": np.ones((3, 4))}, PlanError, "noise has"),
        ({"threshold": 1, "noise": "nowhere.npy"}, PlanError, "nowhere.npy"),
        ({"threshold": 1, "noise": np.zeros((8, 16, 40))}, PlanError, "noise is above 0 in no pixel"),
    ],
)
def test_what_cannot_be_right_is_refused(holey, options, error, says):
    with pytest.raises(error, match=says):
        dxflow.plan(holey.path, Droplets(**options))


def test_files_of_several_arrays_and_of_none_are_named(holey, tmp_path):
    np.savez(tmp_path / "noise.npz", a=1)
    (tmp_path / "text.npy").write_text("noise")
    for name in ("noise.npz", "text.npy"):
        with pytest.raises(PlanError, match=f"noise='.*{name}'; expected an .npy file"):
            dxflow.plan(holey.path, Droplets(threshold=1, noise=tmp_path / name))


def test_the_noise_of_a_dark_run_and_raw_data_behind_their_dark(raw):
    """Raw frames themselves are refused: their pedestals would be photons."""
    found = dxflow.reduce(raw.path, Pedestal(lit=1), cluster="here").dataset
    noise = found["dark.noise"].sel(stage=0).median("cell")
    mean = dxflow.reduce(raw.path, Average(), cluster="here")
    img = From("subtract.img")
    chain = [
        Subtract(dark=mean),
        Droplets(threshold=5, noise=noise, img=img),
        Photonise(gain=60, images=False, img=img),
    ]
    data = dxflow.reduce(raw.path, chain, cluster="here").dataset
    frames = images(raw) - mean.dataset["average.mean"].values
    lit = (frames > 5 * np.where(noise > 0, noise, np.nan).astype("f4")).any(axis=(1, 2, 3))
    np.testing.assert_array_equal(data["droplets.n_droplets"] > 0, lit)
    for one in (Droplets(threshold=5), Photonise(images=False, gain=60)):
        with pytest.raises(PlanError, match="is raw, with its pedestal: subtract a dark first"):
            dxflow.plan(raw.path, one)
    with pytest.raises(PlanError, match="photons: .* is in ADU: give gain=, what one photon makes"):
        dxflow.plan(raw.path, [Subtract(dark=mean), Photonise(images=False, img=img)])
