"""TwoTime against direct sums in float64, and planted speckle; sparse and dense products against each other."""

import shutil

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from readings import images
from runs import make_run

import dxflow
from dxflow import Frames, From, PlanError, geometry
from dxflow.algorithms import _blas, _products
from dxflow.algorithms.contrast import Contrast
from dxflow.algorithms.g2 import G2
from dxflow.algorithms.photons import Photonise
from dxflow.algorithms.subtract import Subtract
from dxflow.algorithms.twotime import SLOT, TwoTime
from dxflow.simulate import Flat, Plant, Speckle, Truth
from dxflow.testing import check_algorithm

REGIONS = 3


def labels_of(truth, seed=0):
    return np.random.default_rng(seed).integers(0, REGIONS + 1, (8, *truth.positions.shape[1:3]))


def direct(frames, labels):
    """Return C of the frames of a train and what float32 may add to it, (q, t, t), pair by pair; pixels, (q,)."""
    there = np.isfinite(frames).any(axis=(2, 3))
    good = (np.isfinite(frames) | ~there[..., None, None]).all(axis=0)
    found, error = np.full((2, REGIONS, len(frames), len(frames)), np.nan)
    for q in range(REGIONS):
        own = good & (labels == q + 1)
        for a in range(len(frames)):
            for b in range(len(frames)):
                both = own & (there[a] & there[b])[:, None, None]
                x, y = frames[a][both], frames[b][both]
                if len(x) and x.mean() > 0 and y.mean() > 0:
                    found[q, a, b] = (x * y).mean() / (x.mean() * y.mean())
                    # Noise of dark frames cancels.
                    error[q, a, b] = 1e-6 * abs((abs(x * y)).mean() / (x.mean() * y.mean()))
    some = (good & there.any(axis=0)[:, None, None]) & (
        labels[None] == np.arange(1, REGIONS + 1)[:, None, None, None]
    )
    return found, error, some.sum(axis=(1, 2, 3))


def reduced(truth, algorithm, **options):
    return dxflow.reduce(truth.path, algorithm, cluster="here", on_fault="mask", **options).dataset


def same_as_direct(truth, data, labels):
    some, trains = images(truth), data["train"].values
    frames = np.full((len(some), 8, *some.shape[2:]), np.nan)
    frames[:, truth.module_numbers] = some
    of = np.repeat(np.arange(len(trains)), len(frames) // len(trains))
    for n in range(len(trains)):
        expected, error, pixels = direct(frames[of == n], labels)
        found = data["twotime.c"].values[n]
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        assert not (np.abs(found - expected) > error + 1e-6 * np.abs(expected)).any()
        if data["twotime.pixels_valid"].values[n]:
            np.testing.assert_array_equal(data["twotime.pixels"].values[n], pixels)
        else:
            assert not pixels.any()


def test_matrices_are_direct_sums_without_pixels_that_are_nan_in_a_frame_of_their_train(holey):
    labels = labels_of(holey)
    data = reduced(holey, TwoTime(labels=labels))
    same_as_direct(holey, data, labels)
    assert 0 < data["twotime.pixels"].values.max() < 0.8 * (labels == 1).sum()


def test_pairs_of_frames_count_the_pixels_of_modules_that_have_both(broken):
    labels = labels_of(broken)
    data = reduced(broken, TwoTime(labels=labels))
    same_as_direct(broken, data, labels)


def test_any_cut_gives_the_same_bits(holey):
    found = check_algorithm(lambda: TwoTime(labels=labels_of(holey)), holey.path)
    c = found.dataset["twotime.c"].values
    np.testing.assert_array_equal(c, c.swapaxes(-1, -2))


@pytest.fixture(scope="module")
def speckle(tmp_path_factory):
    """The truth of speckle that decays, on an AGIPD500K."""
    signal = Speckle(modes=2, decorrelation=4.0, photons=0.5)
    folder = tmp_path_factory.mktemp("speckle") / "r0001"
    how = {"detector": "AGIPD500K", "module_shape": (32, 32), "noise": 0.0, "bad_pixels": 0.01}
    return make_run(folder, trains=6, pulses=8, signal=signal, devices=(), **how)


def with_q(truth, **options):
    given = {"geometry": f"{truth.path}/{truth.geometry['npy']}", "distance": truth.distance}
    return TwoTime(**given, energy=truth.photon_energy, **options)


def momentum(truth):
    points = truth.positions + [0, 0, truth.distance]
    return geometry.momentum_transfer(points, truth.wavelength)


def test_bins_of_q_are_the_labels_of_pixels_between_the_edges(speckle):
    q = momentum(speckle)
    # Pixels lie on circles: no edge is on one.
    edges = np.quantile(q, [0.1, 0.4, 0.7, 1.0]) * 1.000001
    labels = np.zeros(q.shape, int)
    for n, (low, high) in enumerate(zip(edges[:-1], edges[1:], strict=True), 1):
        labels[(q >= low) & (q < high)] = n
    by_q = reduced(speckle, with_q(speckle, q=edges.tolist()))
    pairs = reduced(speckle, with_q(speckle, q=np.stack([edges[:-1], edges[1:]], axis=-1)[[0, 2]]))
    by_label = reduced(speckle, TwoTime(labels=labels))
    np.testing.assert_array_equal(by_q["twotime.c"], by_label["twotime.c"])
    np.testing.assert_array_equal(pairs["twotime.c"], by_label["twotime.c"][:, [0, 2]])
    np.testing.assert_allclose(by_q["q"], (edges[1:] + edges[:-1]) / 2)
    assert by_q["q"].attrs["units"] == "1/angstrom"
    assert by_label["q"].values.tolist() == [1, 2, 3]


def blanked(truth, path, frame, value):
    """Return the truth of a copy in which module 5 has nothing but a value in a frame."""
    shutil.copytree(truth.path, path)
    file = next(path.glob("CORR*AGIPD05*.h5"))
    with h5py.File(file, "r+") as f:
        f["INSTRUMENT"].visititems(
            lambda name, item: item.__setitem__(frame, value) if name.endswith("image/data") else None
        )
    return Truth.load(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_frame_of_which_a_module_has_no_pixel_costs_the_others_of_its_train_nothing(
    speckle, tmp_path, value
):
    run, labels = blanked(speckle, tmp_path / "r", 10, value), labels_of(speckle)
    data = reduced(run, TwoTime(labels=labels))
    np.testing.assert_array_equal(data["twotime.pixels"].values[1], data["twotime.pixels"].values[0])
    same_as_direct(run, data, labels)
    if np.isinf(value):
        return
    behind = [Photonise(), TwoTime(labels=labels, img=From("photons.img"))]
    same_as_direct(run, reduced(run, behind), labels)


def test_a_region_whose_mean_is_not_above_0_has_no_correlation(tmp_path):
    run = make_run(
        tmp_path / "r", detector="AGIPD500K", trains=2, pulses=4, module_shape=(8, 8), lit=0.5, noise=1.0
    )
    labels = np.ones(run.positions.shape[:3], int)
    dark = np.full(run.positions.shape[:3], 0.7, "f4")
    chain = [Subtract(dark=dark), TwoTime(labels=labels, img=From("subtract.img"))]
    data = reduced(run, [*chain, G2(labels=labels, img=From("subtract.img"))])
    mean = data["twotime.intensity"].values[:, 0]
    known = np.isfinite(data["twotime.c"].values[:, 0])
    assert (mean < 0).any()
    np.testing.assert_array_equal(known, (mean > 0)[:, :, None] & (mean > 0)[:, None])
    np.testing.assert_array_equal(data["g2.trains"].values[0, 0], known.any(axis=(1, 2)).sum())


def test_planted_contrast_and_decay_are_found(speckle):
    data = reduced(speckle, TwoTime(labels=np.ones(speckle.positions.shape[:3], int)))
    c = data["twotime.c"].values[:, 0].astype(float)
    times = data["t1"].values
    np.testing.assert_allclose(times, np.unique(speckle.pulse_ids) * SLOT)
    lags = np.abs(times[:, None] - times)
    expected = 1 + 0.5 * np.exp(-2 * lags / 4.0)
    off = lags > 0
    # Neighbouring pixels are independent: the error of each pair is that of the mean over pixels.
    pixels = data["twotime.pixels"].values.mean()
    error = (c - expected)[:, off].mean(axis=0)
    assert np.abs(error).max() < 5 * 1.5 / 0.5 / np.sqrt(pixels * len(c))
    np.testing.assert_allclose(data["twotime.intensity"], 0.5, rtol=0.5)


def test_frames_that_are_not_read_leave_no_lag(speckle):
    labels = labels_of(speckle)
    whole = reduced(speckle, TwoTime(labels=labels))
    some = reduced(speckle, TwoTime(labels=labels), frames=np.tile(np.arange(8) % 3 != 1, 6))
    kept = [0, 2, 3, 5, 6]
    np.testing.assert_array_equal(some["t1"], whole["t1"].values[kept])
    np.testing.assert_array_equal(
        some["twotime.intensity"].values, whole["twotime.intensity"].values[:, :, kept]
    )
    np.testing.assert_allclose(some["twotime.c"], whole["twotime.c"].values[:, :, kept][..., kept], rtol=1e-6)


def products(frames, numbers, way, rows=None):
    """Return products, sums and counts as one of the two ways makes them."""
    pixels = _products.Pixels.of(numbers, REGIONS)
    t = len(frames)
    out = np.zeros((REGIONS, t, t)), np.zeros((REGIONS, t)), np.zeros((REGIONS, t), np.int64)
    rows = np.arange(t) if rows is None else rows
    made = _products.Products(t, len(pixels.order))
    done = getattr(made, way)(frames, rows, rows, pixels, *out)
    assert done in (None, True)
    return out


@pytest.mark.parametrize("dtype", ["f4", "f8", "u2", "i4", "u1"])
def test_counts_give_the_same_bits_sparse_and_dense(dtype):
    random = np.random.default_rng(3)
    frames = random.poisson(0.01, (12, 2500)).astype(dtype)
    frames[3, 7::500] = 200
    if dtype in ("f4", "i4"):
        # Products beyond what float32 counts.
        frames[:2, 8] = 60001
    if dtype in ("f4", "f8"):
        frames[5, 100:110], frames[2, 50], frames[:, 60] = np.nan, np.inf, -0.0
    numbers = random.integers(0, REGIONS + 1, 2500)
    rows = np.array([0, 1, 2, 3, 5, 7, 11])
    expected = np.zeros((REGIONS, 12, 12))
    good = np.isfinite(frames[rows].astype(float)).all(axis=0)
    for q in range(REGIONS):
        own = frames[rows][:, good & (numbers == q + 1)].astype(float)
        expected[q][np.ix_(rows, rows)] = own @ own.T
    dense, sparse = (products(frames, numbers, way, rows) for way in ("_dense", "_sparse"))
    for a, b in zip(dense, sparse, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(dense[0], expected)


def test_other_numbers_agree_within_a_millionth():
    random = np.random.default_rng(4)
    frames = (random.poisson(0.015, (40, 3000)) * random.normal(9.3, 1.0, (40, 3000))).astype("f4")
    # What float32 adds up worst: the same number again and again.
    flat = np.full((40, 3000), 0.1, "f4")
    numbers = np.repeat([1, 2, 3], 1000)
    dense, sparse = (products(frames, numbers, way) for way in ("_dense", "_sparse"))
    for a, b in zip(dense, sparse, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    np.testing.assert_allclose(products(flat, numbers, "_dense")[0], np.float32(0.1) ** 2.0 * 1000, rtol=2e-6)


@pytest.mark.parametrize("hot", [3e18, 1e25, 3e38])
def test_squares_beyond_float32_are_not_infinite(hot):
    frames = np.random.default_rng(6).random((4, 900)).astype("f4")
    frames[1, 7] = hot
    found = products(frames, np.ones(900, int), "_dense")[0][0]
    np.testing.assert_allclose(found, frames.astype("f8") @ frames.T.astype("f8"), rtol=1e-6)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32),
    st.integers(2, 9),
    st.sampled_from([1, 63, 64, 200, 1025]),
    st.sampled_from([0.0, 0.004, 0.02, 0.5]),
    st.sampled_from(["f4", "f8", "u1", "u2", "i4"]),
    st.sampled_from([1, 300, 70000]),
)
def test_any_counts_give_the_same_bits_sparse_and_dense_whatever_else_is_read(seed, t, n, share, dtype, most):
    random = np.random.default_rng(seed)
    some = random.random((t, n)) < share
    frames = np.where(some, random.integers(1, min(most, 255 if dtype == "u1" else 65535) + 1, (t, n)), 0)
    frames = frames.astype(dtype)
    if frames.dtype.kind == "f":
        frames[random.random((t, n)) < 0.002] = np.nan
        frames *= random.choice([1, -1], (t, n))
    numbers, rows = random.integers(0, REGIONS + 1, n), np.flatnonzero(random.random(t) < 0.8)
    if not len(rows):
        return
    pixels = _products.Pixels.of(numbers, REGIONS)
    found, chosen = [], []
    # Memory for the largest train of the largest module that is read: it decides nothing.
    for frames_, pixels_ in ((t, n), (3 * t, 5 * n)):
        made = _products.Products(frames_, pixels_)
        chosen.append(made.listed(frames, rows, pixels) is not None)
        for way in ("_sparse", "_dense"):
            out = np.zeros((REGIONS, t, t)), np.zeros((REGIONS, t)), np.zeros((REGIONS, t), np.int64)
            if getattr(made, way)(frames, rows, rows, pixels, *out) is not False:
                found.append(out)
    assert chosen[0] is chosen[1]
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_few_photons_are_found_sparse_and_many_are_not():
    random = np.random.default_rng(5)
    for mean, way in ((0.005, True), (0.3, False)):
        frames, numbers = random.poisson(mean, (20, 1000)).astype("f4"), np.ones(1000, int)
        made, pixels = _products.Products(20, 1000), _products.Pixels.of(numbers, 1)
        out = np.zeros((1, 20, 20)), np.zeros((1, 20)), np.zeros((1, 20), np.int64)
        assert made._sparse(frames, np.arange(20), np.arange(20), pixels, *out) is way


def test_blas_has_one_thread_meanwhile_and_as_many_as_before_afterwards():
    blas = _blas.blas()
    before = blas._get()
    with blas.one_thread():
        assert blas._get() == 1
        with blas.one_thread():
            assert blas._get() == 1
        assert blas._get() == 1
    assert blas._get() == before


def test_what_a_result_depends_on_names_blas_and_processor(speckle):
    facts = dxflow.plan(speckle.path, TwoTime(labels=labels_of(speckle))).fingerprint["algorithms"][0][
        "depends"
    ]
    assert facts["blas"]
    assert facts["processor"]


def test_a_region_without_good_pixels_is_nan_and_has_count_0(speckle):
    labels = np.ones(speckle.positions.shape[:3], int)
    labels[speckle.bad_pixels] = 7
    data = reduced(speckle, TwoTime(labels=labels))
    assert data["q"].values.tolist() == [1, 7]
    assert np.isnan(data["twotime.c"].values[:, 1]).all()
    assert not data["twotime.pixels"].values[:, 1].any()
    assert np.isfinite(data["twotime.c"].values[:, 0]).all()
    beyond = [momentum(speckle).min(), momentum(speckle).max(), 99.0]
    data = reduced(speckle, with_q(speckle, q=beyond))
    assert data["twotime.pixels"].values[:, 1].tolist() == [0] * 6
    for algorithm in (with_q(speckle, q=beyond), Contrast(labels=labels, name="c")):
        said = str(dxflow.plan(speckle.path, algorithm))
        assert ("no pixel that is read is in the region at q = " in said) == (algorithm.name == "twotime")


def test_dark_frames_are_nan(tmp_path):
    run = make_run(
        tmp_path / "r", detector="AGIPD500K", trains=2, pulses=3, module_shape=(8, 8), noise=0, signal=Flat(0)
    )
    data = reduced(run, TwoTime(labels=np.ones(run.positions.shape[:3], int)))
    assert np.isnan(data["twotime.c"].values).all()
    assert (data["twotime.intensity"].values == 0).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "expected one of labels=.* and q="),
        ({"labels": np.ones(3, int), "q": [1, 2]}, "expected one of labels=.* and q="),
        ({"q": [2.0, 1.0]}, "expected rising edges"),
        ({"q": [[1, 3], [2, 4]]}, "expected rising edges"),
        ({"q": [1.0]}, "expected rising edges"),
        ({"q": [1.0, np.inf]}, "expected rising edges"),
        ({"q": [1, 2], "energy": 9000.0}, "energy=9000; expected 0.1 to 200"),
        ({"q": [1, 2], "energy": 9.0, "wavelength": 1.0}, "expected one of them"),
        ({"labels": "x.npy", "period": 0.0}, "period=0.0; expected microseconds"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        TwoTime(**options)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (
            lambda t: TwoTime(labels=np.ones((8, 31, 32), int)),
            r"labels has \(module, ss, fs\) = \(8, 31, 32\)",
        ),
        (lambda t: TwoTime(labels=np.ones((3, 32, 32), int)), r"expected \(8, 32, 32\)"),
        (lambda t: TwoTime(labels=np.ones((8, 32, 32))), "labels are float64 .*; expected integers"),
        (lambda t: TwoTime(labels=-np.ones((8, 32, 32), int)), "expected integers from 0"),
        (lambda t: TwoTime(labels=np.zeros((8, 32, 32), int)), "labels have no region"),
        (lambda t: TwoTime(labels="none.npy"), "labels='none.npy': .*expected an .npy file that is there"),
        (
            lambda t: TwoTime(labels=several(t)),
            "several.npz' has several arrays; expected an .npy file of one",
        ),
        (lambda t: with_q(t, q=[90.0, 99.0]), "holds no pixel"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_read(speckle, make, words):
    with pytest.raises(PlanError, match=words):
        dxflow.plan(speckle.path, make(speckle))


def several(truth):
    file = f"{truth.path}/several.npz"
    np.savez(file, labels=labels_of(truth))
    return file


def test_labels_of_a_file_and_of_the_whole_detector_serve_some_modules(speckle, tmp_path):
    labels = labels_of(speckle)
    np.save(tmp_path / "labels.npy", labels)
    own = Frames("image.data", modules=[1, 5])
    some = reduced(speckle, TwoTime(labels=str(tmp_path / "labels.npy"), img=own))
    same = reduced(speckle, TwoTime(labels=labels[[1, 5]], img=own))
    np.testing.assert_array_equal(some["twotime.c"], same["twotime.c"])


def test_frames_without_pulse_ids_need_a_period(tmp_path):
    run = make_run(tmp_path / "r", detector="JUNGFRAU1", trains=2, pulses=4, module_shape=(8, 8))
    labels = np.ones(run.positions.shape[:3], int)
    with pytest.raises(PlanError, match="have no pulse ids: give period="):
        dxflow.plan(run.path, TwoTime(labels=labels))
    data = reduced(run, TwoTime(labels=labels, period=3.0))
    assert data["t1"].values.tolist() == [0, 3, 6, 9]
    assert np.isfinite(data["twotime.c"].values).all()
    # Of the second train, the third is left out, too.
    some = reduced(run, TwoTime(labels=labels, period=3.0), frames=np.array([1, 0, 1, 1, 1, 0, 0, 1], bool))
    assert some["t1"].values.tolist() == [0, 6, 9]
    expected = data["twotime.c"].values[:, :, [0, 2, 3]][..., [0, 2, 3]].copy()
    expected[1, :, 1], expected[1, :, :, 1] = np.nan, np.nan
    np.testing.assert_allclose(some["twotime.c"].values, expected, rtol=1e-6)


def test_one_frame_per_train_is_refused(tmp_path):
    run = make_run(tmp_path / "r", detector="AGIPD500K", trains=2, pulses=1, module_shape=(8, 8))
    with pytest.raises(PlanError, match="1 frame per train; expected several"):
        dxflow.plan(run.path, TwoTime(labels=np.ones(run.positions.shape[:3], int)))


def test_trains_of_other_lengths_have_nan_where_they_have_no_frame(tmp_path):
    run = make_run(
        tmp_path / "r",
        detector="AGIPD500K",
        trains=3,
        pulses=5,
        module_shape=(8, 8),
        plant=Plant(pulse_counts=[5, 3, 5]),
    )
    c = reduced(run, TwoTime(labels=np.ones(run.positions.shape[:3], int)))["twotime.c"].values[:, 0]
    assert np.isfinite(c[[0, 2]]).all()
    assert np.isfinite(c[1, :3, :3]).all()
    assert np.isnan(c[1, 3:]).all()
    assert np.isnan(c[1, :, 3:]).all()
