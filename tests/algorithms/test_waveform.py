"""Waveform against numpy, scipy and the pulses that were planted."""

from pathlib import Path
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from extra_data import RunDirectory
from runs import make_run
from scipy.optimize import curve_fit

import dxflow
from dxflow import Key, PlanError
from dxflow.algorithms import _waveform_kernels as kernels
from dxflow.algorithms.waveform import Waveform
from dxflow.simulate import Waveforms
from dxflow.testing import check_algorithm

KEY = "digitizers.channel_1_A.raw.samples"
WAVES = Waveforms(samples=1000)
LIT = [1, 1, 0, 1, 1, 1, 0, 1]
T = np.arange(-20, 40.0)
TEMPLATE = np.exp(-0.5 * (T / np.where(T < 0, 3.0, 6.0)) ** 2)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("waves") / "r0001"
    options = {"devices": ("digitizer",), "waveforms": WAVES, "lit": np.array(LIT, bool)}
    return make_run(path, detector=None, trains=5, pulses=8, **options)


def traces(run):
    return RunDirectory(run.path)[run.devices["digitizer"] + ":network", KEY].ndarray().astype(float)


def made(run, **options):
    trace = Key(run.devices["digitizer"] + ":network", KEY)
    return dxflow.reduce(run.path, Waveform(trace=trace, **options), cluster="here").dataset


def period(run):
    return run.frame_period * WAVES.rate


def test_without_options_a_trace_has_level_noise_and_samples_at_the_limits(run):
    data = made(run, limits=(-5, 1500))
    values = traces(run)
    middle = np.median(values, axis=1)
    np.testing.assert_array_equal(data["waveform.baseline"], middle)
    spread = 1.482602218505602 * np.median(np.abs(values - middle[:, None]), axis=1)
    np.testing.assert_allclose(data["waveform.noise"], spread, rtol=1e-12)
    np.testing.assert_array_equal(data["waveform.saturated"], (values >= 1500).sum(axis=1))
    assert not data["waveform.missing"].any()
    assert "waveform.integral" not in data
    assert not made(run)["waveform.saturated"].any()


def test_windows_are_added_up_above_baseline_or_background(run):
    step, values = period(run), traces(run)
    options = {"window": (130, 190), "pulses": 8, "period": step}
    flat = made(run, baseline=(0, 100), **options)
    base = values[:, :100].mean(axis=1)
    np.testing.assert_allclose(flat["waveform.baseline"], base, rtol=1e-13)
    np.testing.assert_allclose(flat["waveform.noise"], values[:, :100].std(axis=1, ddof=1), rtol=1e-12)
    under = made(run, background=(100, 120), **options)
    for pulse in range(8):
        move = round(pulse * step)
        part = values[:, 130 + move : 190 + move]
        x = part - base[:, None]
        np.testing.assert_allclose(flat["waveform.integral"][:, pulse], x.sum(axis=1), rtol=1e-12)
        np.testing.assert_allclose(flat["waveform.height"][:, pulse], x.max(axis=1), rtol=1e-12)
        below = values[:, 100 + move : 120 + move].mean(axis=1, keepdims=True)
        found = under["waveform.integral"][:, pulse]
        np.testing.assert_allclose(found, (part - below).sum(axis=1), rtol=1e-10, atol=1e-9)
    # The area that was planted, within what noise of 60 samples and of the baseline make of it.
    planted = np.zeros((5, 8))
    planted[:, np.array(LIT, bool)] = run.waves[:, 3].reshape(5, -1)
    assert np.abs(flat["waveform.integral"] - planted).max() < 5 * 8 * np.hypot(60**0.5, 60 / 100**0.5)


@pytest.mark.parametrize("options", [{"threshold": 300}, {"sigma": 30}, {"threshold": 300, "dead": 20}])
def test_each_planted_pulse_is_a_hit_at_its_leading_edge(run, options):
    data = made(run, fraction=0.5, **options)
    hits = data["waveform.hits"].values
    np.testing.assert_array_equal(data["waveform.n_hits"], 6)
    np.testing.assert_array_equal(data["waveform.hits_train_id"], run.train_ids[run.waves[:, 0].astype(int)])
    edge = run.waves[:, 1] - 3 * np.sqrt(2 * np.log(2))
    width = 9 * np.sqrt(2 * np.log(2))
    assert np.abs(hits[:, 0] - edge).max() < width / 20
    np.testing.assert_allclose(hits[:, 1], run.waves[:, 2], atol=50)
    np.testing.assert_allclose(hits[:, 2], run.waves[:, 3], rtol=0.12)


def by_hand(x, threshold, fraction, delay=0, dead=0):
    """Return hits of a trace, sample by sample."""
    above, found, ends = np.flatnonzero(x > threshold), [], []
    for part in np.split(above, np.flatnonzero(np.diff(above) > dead + 1) + 1):
        if not len(part):
            continue
        start, last = part[0], part[-1]
        top = part[x[part].argmax()]
        if delay:
            s = np.r_[np.full(delay, np.nan), fraction * x[delay:] - x[:-delay]]
            at = [
                i
                for i in range(max(start, delay) + 1, min(last + delay + 1, len(x)))
                if (s[max(start, delay) : i] > 0).any() and s[i] <= 0
            ]
            time = at[0] - 1 + s[at[0] - 1] / (s[at[0] - 1] - s[at[0]]) - delay if at else np.nan
        else:
            begin = ends[-1] if ends else 0
            low = begin + np.flatnonzero(x[begin:top] < fraction * x[top])
            i = low[-1] if len(low) else None
            time = np.nan if i is None else i + (fraction * x[top] - x[i]) / (x[i + 1] - x[i])
        found.append((time, x[top], x[start : last + 1].sum(), last - start + 1))
        ends.append(last + 1)
    return np.array(found).reshape(-1, 4)


@pytest.mark.parametrize("seed", range(6))
def test_hits_of_any_trace_are_those_found_sample_by_sample(seed):
    random = np.random.default_rng(seed)
    trace = np.rint(np.convolve(random.standard_normal(400), np.ones(5), "same") * 20).astype("i2")
    how = {
        "fraction": random.uniform(0.1, 0.9),
        "delay": int(seed % 2) * 4,
        "dead": int(random.integers(0, 6)),
    }
    for sign in (1.0, -1.0):
        found = np.empty((100, 4))
        n = kernels.hits(trace, 3.0, sign, 40.0, how["fraction"], how["delay"], how["dead"], found)
        wanted = by_hand(sign * (trace - 3.0), 40.0, **how)
        assert n > 3
        np.testing.assert_allclose(found[:n], wanted, rtol=1e-12, atol=1e-9)
        # Without room they are counted all the same.
        assert (
            kernels.hits(trace, 3.0, sign, 40.0, how["fraction"], how["delay"], how["dead"], found[:1]) == n
        )


def test_a_template_is_fitted_as_scipy_does_and_finds_what_was_planted(run):
    step, values = period(run), traces(run)
    data = made(run, baseline=(0, 100), window=(130, 190), pulses=8, period=step, template=TEMPLATE)
    moves = np.rint(np.arange(8) * step)
    lit = np.array(LIT, bool)
    top = (data["waveform.shift"] + 150 + moves).values[:, lit].ravel()
    pulls = []
    for train, (start, found) in enumerate(zip(moves[lit].astype(int), top[: lit.sum()], strict=True)):
        del train
        x = values[0, 130 + start : 190 + start]

        def pulse(t, at, a, b):
            return b + a * np.exp(-0.5 * ((t - at) / np.where(t < at, 3.0, 6.0)) ** 2)

        best, spread = curve_fit(pulse, np.arange(60) + 130 + start, x, (found, 2000, 300))
        # The cubic through the samples of the template is not quite the Gaussian.
        assert abs(found - best[0]) < 0.01
        pulls.append(spread[0, 0] ** 0.5)
    assert np.abs(top - run.waves[:, 1]).max() < 5 * max(pulls) + 0.01
    np.testing.assert_allclose(data["waveform.amplitude"].values[:, lit].ravel(), run.waves[:, 2], atol=30)
    # Noise of 8 and the rounding to integers; a dark window has no pulse of any height.
    assert 7 < float(data["waveform.rest"].values[:, lit].mean()) < 11
    dark = data["waveform.amplitude"].values[:, ~lit]
    assert np.nanmax(np.abs(dark), initial=0) < 40


@pytest.mark.parametrize("step", [95.7, 31.4])
def test_coefficients_of_a_basis_are_those_of_least_squares(run, step):
    values, basis = traces(run), np.stack([TEMPLATE, np.gradient(TEMPLATE)])
    data = made(run, baseline=(0, 100), window=(130, 190), pulses=8, period=step, basis=basis)
    moves = np.rint(np.arange(8) * step).astype(int)
    design = np.zeros((1000, 16))
    for pulse, move in enumerate(moves):
        design[130 + move : 190 + move, 2 * pulse : 2 * pulse + 2] = basis.T
    used = design.any(axis=1)
    y = values - values[:, :100].mean(axis=1, keepdims=True)
    wanted, rest, *_ = np.linalg.lstsq(design[used], y.T[used], rcond=None)
    np.testing.assert_allclose(
        data["waveform.coefficients"].values.reshape(5, -1), wanted.T, rtol=1e-8, atol=1e-6
    )
    np.testing.assert_allclose(data["waveform.basis_rest"], np.sqrt(rest / (used.sum() - 16)), rtol=1e-9)


def test_nan_counts_and_what_it_touches_is_nan():
    trace = np.arange(50.0)
    trace[20] = np.nan
    assert kernels.saturated(trace, -1.0, 49.0) == (1, 1)
    assert kernels.level(trace, 0, 50)[0] == pytest.approx(np.nanmean(trace))
    assert kernels.middle(trace)[0] == np.nanmedian(trace)
    integral, height = np.empty(2), np.empty(2)
    kernels.windows(
        trace, np.array([0, 15]), np.array([10, 25]), np.zeros((0, 2), int), 0.0, 1.0, integral, height
    )
    assert integral[0] == 45
    assert np.isnan([integral[1], height[1]]).all()
    fitted = np.zeros(3)
    kernels.fit_template(trace[:40], TEMPLATE[:40], 0.0, 1.0, 3, fitted)
    assert np.isnan(fitted).all()
    assert np.isnan(kernels.level(trace, 20, 21)).all()


def test_a_template_that_leaves_the_window_is_no_fit_and_no_error():
    random, found = np.random.default_rng(0), np.empty(3)
    for _ in range(300):
        template = random.integers(0, 3, random.integers(2, 8)).astype(float)
        window = random.integers(0, 4, len(template)).astype("i2")
        kernels.fit_template(window, template, 0.0, 1.0, int(random.integers(0, 12)), found)
        assert np.isnan(found[0]) or found[0] > 0


def test_hits_without_a_valley_between_them_do_not_share_an_edge():
    # Both are above 8, between them 7 is not below half of the height.
    x, found = np.array([0, 0, 9, 10, 7, 9, 10, 0.0]), np.empty((5, 4))
    assert kernels.hits(x, 0.0, 1.0, 8.0, 0.5, 0, 0, found) == 2
    assert found[0, 0] == pytest.approx(1 + 5 / 9)
    assert np.isnan(found[1, 0])


def test_noise_below_one_step_of_the_digitizer_makes_no_hits():
    # More than half of the samples are alike: the median absolute deviation is 0.
    trace = np.tile([100, 101, 100], 30).astype("i2")
    trace[50:53] = 150
    tool = Waveform(trace=Key("a/b/c:d", "e"), sigma=5)
    tool._sign = 1.0
    base, noise = kernels.middle_of_integers(trace)
    assert noise == 0
    found = tool._found(trace, base, noise)
    assert found[:, 3].tolist() == [3]


@pytest.mark.parametrize(
    "given", [[3], [3, 4], [-5, 7, 100, 30000], [0, 2**31 - 1], list(range(9)) * 5, [7] * 10]
)
def test_the_median_of_integers_is_that_of_numpy(given):
    values = np.array(given, "i8")
    middle = np.median(values)
    wanted = middle, 1.482602218505602 * np.median(np.abs(values - middle))
    np.testing.assert_allclose(kernels.middle_of_integers(values), wanted, rtol=1e-14)
    np.testing.assert_allclose(kernels.middle(values.astype(float)), wanted, rtol=1e-14)


def test_traces_of_another_length_are_lost_and_said_once(tmp_path):
    options = {"devices": ("digitizer",), "waveforms": Waveforms(samples=100), "sequences": 2}
    run = make_run(tmp_path / "r0002", detector=None, trains=6, **options)
    (file,) = (path for path in Path(run.path).glob("*S00001.h5") if "DA" in path.name)
    with h5py.File(file, "a") as f:
        name = f"INSTRUMENT/{run.devices['digitizer']}:network/{KEY.replace('.', '/')}"
        short = f[name][:, :80]
        del f[name]
        f[name] = short
    trace = Waveform(trace=Key(run.devices["digitizer"] + ":network", KEY))
    with pytest.raises(PlanError, match="unlike other files"):
        dxflow.plan(run.path, trace)
    result = dxflow.reduce(run.path, trace, on_fault="mask", cluster="here")
    assert result.losses.cause.tolist() == ["unlike other files"]
    assert np.isfinite(result.dataset["waveform.baseline"]).sum() == 3


@pytest.mark.parametrize("dtype", ["u8", "i8"])
def test_the_largest_integers_do_not_wrap_around(dtype):
    trace = np.array([np.iinfo(dtype).max, np.iinfo(dtype).min, 5, 6, 7, 8, 9], dtype)
    tool = Waveform(trace=Key("a/b/c:d", "e"))
    tool._limits, out = (
        (-np.inf, np.inf),
        {n: np.zeros(1) for n in ("baseline", "noise", "saturated", "missing")},
    )
    tool._one(trace, 0, SimpleNamespace(**out))
    assert out["baseline"][0] == np.median(trace.astype(float))


def test_a_template_may_be_a_file(run, tmp_path):
    np.save(tmp_path / "pulse.npy", TEMPLATE)
    given, stored = (
        made(run, window=(130, 190), template=one) for one in (TEMPLATE, str(tmp_path / "pulse.npy"))
    )
    np.testing.assert_array_equal(given["waveform.shift"], stored["waveform.shift"])
    (tmp_path / "empty.npy").touch()
    for name in ("empty.npy", "nowhere.npy"):
        with pytest.raises(ValueError, match=f"template=.*{name}"):
            Waveform(trace=Key("a/b/c:d", "e"), window=(0, 60), template=tmp_path / name)


def test_the_contract_of_algorithms_is_kept(run):
    trace = Key(run.devices["digitizer"] + ":network", KEY)
    options = {"window": (130, 190), "template": TEMPLATE, "basis": TEMPLATE[None], "threshold": 300}
    check_algorithm(lambda: Waveform(trace=trace, **options), run.path)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"threshold": 3, "sigma": 3}, "give one"),
        ({"threshold": -3}, "positive threshold"),
        ({"fraction": 1.5}, "fraction"),
        ({"sigma": 5, "baseline": (3, 4)}, "two samples"),
        ({"limits": (5, 5)}, "two that rise"),
        ({"limits": (5,)}, "two that rise"),
        ({"period": 10}, "period= does nothing without pulses="),
        ({"delay": 10}, "nothing without threshold or sigma="),
        ({"fraction": 0.3, "window": (0, 60)}, "fraction= does nothing"),
        ({"search": 3, "window": (0, 60)}, "nothing without template="),
        ({"window": (10, 5)}, "one after the last"),
        ({"background": (1, 5)}, "needs window="),
        ({"window": (1, 5), "pulses": 3}, "period="),
        ({"window": (0, 50), "template": TEMPLATE}, "as many samples"),
        ({"window": (0, 60), "template": np.ones(60)}, "no shift"),
        ({"window": (0, 60), "basis": np.stack([TEMPLATE, 2 * TEMPLATE])}, "sums of others"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        Waveform(trace=Key("a/b/c:d", "e"), **options)


def test_what_is_no_trace_is_refused(run, holey):
    with pytest.raises(ValueError, match="trace="):
        Waveform()
    trace = Key(run.devices["digitizer"] + ":network", KEY)
    with pytest.raises(PlanError, match=r"end at sample 2000.*have 1000"):
        dxflow.plan(run.path, Waveform(trace=trace, window=(100, 200), pulses=19, period=100))
    with pytest.raises(PlanError, match="delay=1000: the traces of .* have 1000 samples"):
        dxflow.plan(run.path, Waveform(trace=trace, threshold=300, delay=1000))
    with pytest.raises(PlanError, match="traces of an instrument source"):
        dxflow.plan(run.path, Waveform(trace=Key(run.devices["digitizer"], "board1.samplingRate")))
