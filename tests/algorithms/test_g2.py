"""G2 against frames that are averaged and correlated one by one, and planted speckle."""

from types import SimpleNamespace

import numpy as np
import pytest
from campaign import speckle as speckle_runs
from readings import images
from runs import make_run

import dxflow
from dxflow import From
from dxflow.algorithms._products import Pixels, Products
from dxflow.algorithms.contrast import Contrast
from dxflow.algorithms.g2 import G2, Lags
from dxflow.algorithms.photons import Photonise
from dxflow.algorithms.twotime import SLOT, TwoTime, means
from dxflow.algorithms.xcca import AngularCorrelation
from dxflow.simulate import Plant, Speckle
from dxflow.testing import check_algorithm

TRAINS, PULSES = 6, 12


@pytest.fixture(scope="module")
def speckle(tmp_path_factory):
    """The truth of speckle that decays, with frames that are as bright as their pulses."""
    signal = Speckle(contrast=0.6, decorrelation=6.0, photons=4.0)
    how = {"detector": "AGIPD500K", "module_shape": (24, 16), "bad_pixels": 0.02, "devices": ()}
    folder = tmp_path_factory.mktemp("g2") / "r0001"
    return make_run(folder, trains=TRAINS, pulses=PULSES, signal=signal, energy_spread=0.3, **how)


def labels_of(truth):
    return np.random.default_rng(1).integers(0, 3, truth.positions.shape[:3])


def reduced(truth, algorithm, **options):
    return dxflow.reduce(truth.path, algorithm, cluster="here", **options).dataset


def correlated(frames, times, norm, channels):
    """Return {lag: g2} of frames, (t, pixel), pair by pair; with channels, of averages of two, of four, ..."""
    found, level = {}, 0
    while len(frames):
        pairs = {}
        for a in range(len(frames)):
            for b in range(a, len(frames)):
                lag = times[b] - times[a]
                low = 0 if level == 0 else channels // 2
                if channels is None or low <= lag < channels:
                    pairs.setdefault(lag * 2**level, []).append((frames[a], frames[b]))
        for lag, listed in pairs.items():
            x, y = (np.array(z) for z in zip(*listed, strict=True))
            if norm == "frame":
                found[lag] = np.mean((x * y).mean(axis=1) / (x.mean(axis=1) * y.mean(axis=1)))
            else:
                found[lag] = (x * y).mean() / (x.mean() * y.mean())
        if channels is None:
            break
        both = [n for n in range(len(times) - 1) if times[n] % 2 == 0 and times[n + 1] == times[n] + 1]
        frames = np.array([(frames[n] + frames[n + 1]) / 2 for n in both])
        times, level = [times[n] // 2 for n in both], level + 1
    return found


@pytest.mark.parametrize("norm", ["frame", "symmetric"])
@pytest.mark.parametrize("channels", [None, 2, 4])
@pytest.mark.parametrize("read", [list(range(PULSES)), [0, 1, 3, 4, 5, 8, 9, 10]])
def test_trains_are_what_frames_give_one_by_one(speckle, norm, channels, read):
    labels = labels_of(speckle)
    chosen = np.tile(np.isin(np.arange(PULSES), read), TRAINS)
    data = reduced(speckle, G2(labels=labels, norm=norm, channels=channels), frames=chosen)
    # Pulses are recorded at every fourth slot.
    lags = np.rint(data["lag"].values / SLOT / 4).astype(int)
    frames = images(speckle).reshape(TRAINS, PULSES, *labels.shape)[:, read]
    for train in range(TRAINS):
        for q in (1, 2):
            own = frames[train][:, (labels == q) & ~speckle.bad_pixels]
            expected = correlated(own, read, norm, channels)
            assert lags.tolist() == sorted(expected)
            wanted = [expected[lag] for lag in lags]
            np.testing.assert_allclose(data["g2.g2"].values[train, q - 1], wanted, rtol=1e-6)


def test_the_run_is_the_mean_of_its_trains_with_its_standard_error(speckle):
    data = reduced(speckle, G2(labels=labels_of(speckle)))
    trains = data["g2.g2"].values
    np.testing.assert_allclose(data["g2.mean"], trains.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(data["g2.error"], trains.std(axis=0, ddof=1) / np.sqrt(TRAINS), rtol=1e-9)
    assert (data["g2.trains"].values == TRAINS).all()


def test_any_cut_gives_the_same_bits(holey):
    labels = np.random.default_rng(1).integers(0, 3, holey.positions.shape[:3])
    check_algorithm(lambda: G2(labels=labels, matrices=True), holey.path, rtol=1e-5, atol=1e-6)


def test_matrices_are_those_of_twotime(speckle):
    labels = labels_of(speckle)
    data = reduced(speckle, [G2(labels=labels, matrices=True), TwoTime(labels=labels)])
    np.testing.assert_array_equal(data["g2.c"], data["twotime.c"])
    assert "g2.c" not in reduced(speckle, G2(labels=labels))
    assert data["g2.c"].attrs["long_name"] == "two-time correlation, 0.00115 MB per train"


def test_planted_decay_is_found_whatever_the_energy_of_pulses(speckle):
    data = reduced(speckle, G2(labels=np.ones(speckle.positions.shape[:3], int)))
    lag, mean, error = data["lag"].values[1:], data["g2.mean"].values[0, 1:], data["g2.error"].values[0, 1:]
    pull = (mean - 1 - 0.6 * np.exp(-2 * lag / 6.0)) / error
    # Of six trains: Student's t with five degrees of freedom; lags are correlated.
    assert np.abs(pull).max() < 6
    slope, _ = np.polyfit(lag[:4], np.log(mean[:4] - 1), 1, w=(mean[:4] - 1) / error[:4])
    assert -2 / slope == pytest.approx(6.0, rel=0.15)


def test_errors_are_as_wide_as_the_spread_of_runs():
    random, runs, trains, frames, pixels = np.random.default_rng(7), 200, 12, 6, 500
    lags, at, made = Lags.between(np.arange(frames), None), np.arange(frames), Products(frames, pixels)
    own, pulls = Pixels.of(np.ones(pixels, int), 1), []
    for _ in range(runs):
        found = []
        for _ in range(trains):
            # Speckle of one mode whose amplitude keeps 0.8 from frame to frame, in pulses of other energies.
            steps = random.normal(size=(2, frames, pixels)) * np.sqrt(0.5)
            for t in range(1, frames):
                steps[:, t] = 0.8 * steps[:, t - 1] + 0.6 * steps[:, t]
            photons = random.poisson(2 * (steps**2).sum(axis=0) * random.gamma(9, 1 / 9, (frames, 1)))
            out = np.zeros((1, frames, frames)), np.zeros((1, frames)), np.zeros((1, frames), np.int64)
            made.add(photons.astype("f4"), at, at, own, *out)
            found.append(lags.mean(*means(out[0][0], out[1], out[2]), "frame"))
        excess = np.array(found) - 1
        totals = SimpleNamespace(mean=excess.sum(0), error=(excess**2).sum(0), trains=np.full(frames, trains))
        G2(labels=np.ones(1, int)).finalize(totals)
        pulls.append((totals.mean - 1 - 0.64**at)[1:] / totals.error[1:])
    # 200 pulls have a width that is known to 5 %; of 12 trains it is Student's, 10 % wider.
    width = np.std(pulls, axis=0) / np.sqrt(11 / 9)
    assert 0.9 < width.mean() < 1.1
    # Normalised by what 500 pixels have, a train is off by a part of its own error.
    assert np.abs(np.mean(pulls, axis=0)).max() < 0.5


def test_contrast_and_decay_are_off_by_their_errors():
    for name, off in speckle_runs.gathered(range(2)).items():
        assert np.abs(off).max() < 4, name


def test_trains_without_a_lag_do_not_count_for_it(tmp_path):
    run = make_run(
        tmp_path / "r",
        detector="AGIPD500K",
        trains=3,
        pulses=5,
        module_shape=(16, 16),
        plant=Plant(pulse_counts=[5, 3, 5]),
    )
    data = reduced(run, G2(labels=np.ones(run.positions.shape[:3], int)))
    assert data["g2.trains"].values.tolist() == [[3, 3, 3, 2, 2]]
    assert np.isnan(data["g2.g2"].values[1, 0, 3:]).all()
    assert np.isfinite(data["g2.mean"].values).all()


def test_dark_runs_have_no_g2(tmp_path):
    run = make_run(
        tmp_path / "r", detector="AGIPD500K", trains=2, pulses=3, module_shape=(8, 8), lit="none", noise=0
    )
    data = reduced(run, G2(labels=np.ones(run.positions.shape[:3], int)))
    assert np.isnan(data["g2.mean"].values).all()
    assert np.isnan(data["g2.error"].values).all()
    assert not data["g2.trains"].values.any()


def test_multi_tau_has_few_lags_of_long_trains():
    lags = Lags.between(np.arange(352) * 4, 16)
    found = (lags.values // 4).tolist()
    assert found == [
        *range(16),
        *(k * 2**level for level in range(1, 6) for k in range(8, 16) if (k + 1) * 2**level <= 352),
    ]
    assert len(Lags.between(np.arange(352), None).values) == 352


@pytest.mark.parametrize("channels", [0, 3, -2])
def test_channels_that_cannot_be_halved_are_refused(channels):
    with pytest.raises(ValueError, match=f"channels={channels}; expected an even number"):
        G2(q=[1, 2], channels=channels)


def four(truth):
    """Return all algorithms of speckle, behind one that hands frames on."""
    labels, img = labels_of(truth), From("photons.img")
    return [
        TwoTime(labels=labels, img=img),
        G2(labels=labels, channels=4, matrices=True, img=img),
        Contrast(labels=labels, img=img),
        AngularCorrelation(nbins=4, nchi=18, img=img),
    ]


def test_bits_are_the_same_alone_in_company_and_on_workers(holey, client):
    how = {"on_fault": "mask", "quiet": True, "chunk": "2 trains"}
    together = dxflow.reduce(holey.path, [Photonise(), *four(holey)], cluster="here", **how).dataset
    for algorithm in four(holey):
        alone = dxflow.reduce(holey.path, [Photonise(), algorithm], cluster="here", **how).dataset
        same_values(alone, together)
    same_values(
        dxflow.reduce(holey.path, [Photonise(), *four(holey)], cluster=client, **how).dataset, together
    )


def same_values(found, expected):
    """Compare the bits of all that is found."""
    for name in found.data_vars:
        if not name.startswith("photons."):
            assert found[name].values.tobytes() == expected[name].values.tobytes(), name
