"""Xas against sums by numpy in float64, and against what its errors have to be."""

import numpy as np
import oracle
import pytest
from extra_data import RunDirectory
from runs import make_run

import dxflow
from dxflow import Algorithm, Frames, From, Key, Labels, Output, PlanError, PulseKey
from dxflow.algorithms.roi import RoiSum
from dxflow.algorithms.spectrum import Spectrum
from dxflow.algorithms.xas import Xas, _values
from dxflow.simulate import Flat, Scan
from dxflow.testing import check_algorithm

MOTOR = Key("SPB_EXP_SCAN/MOTOR/STAGE", "actualPosition.value")
XGM = PulseKey("SA1_XTD2_XGM/XGM/DOOCS:output", "data.intensityTD")
STEPS = np.linspace(7.0, 8.0, 5)


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    return make_run(
        tmp_path_factory.mktemp("xas") / "r0001",
        detector="AGIPD500K",
        trains=20,
        pulses=6,
        lit=[True, True, True, True, False, True],
        module_shape=(8, 8),
        signal=Flat(2.0),
        energy_spread=0.3,
        version="1.3",
        scan=Scan(7.0, 8.0, steps=5, centre=7.5, width=0.4),
    )


def absorbed(truth, *before, cluster="here", **options):
    given = {"i0": XGM, "energy": MOTOR, "steps": STEPS} | options
    chain = [*(before or [Spectrum(img=Frames(modules=[0]))]), Xas(**given)]
    return dxflow.reduce(truth.path, chain, cluster=cluster).dataset


def shots(truth):
    """Return signal, I0 and energy of each frame, read without dxflow."""
    frames = oracle.frames(truth.path, truth.sources[:1])[1]
    energy = RunDirectory(truth.path)["SPB_EXP_SCAN/MOTOR/STAGE", "actualPosition.value"].ndarray()
    return np.nansum(frames, axis=(1, 2, 3)), truth.energy.astype("f8"), np.repeat(energy, 6)


def expected(y, x):
    ratio, n = y.sum() / x.sum(), len(x)
    return ratio, np.sqrt(n / (n - 1) * ((y - ratio * x) ** 2).sum()) / x.sum()


def test_it_is_the_ratio_of_sums_with_its_error(scan):
    data, (y, x, energy) = absorbed(scan), shots(scan)
    assert (x == 0).any()
    for k, step in enumerate(STEPS):
        own = np.abs(energy - step) < 0.01
        good = own & (x > 0)
        ratio, error = expected(y[good], x[good])
        np.testing.assert_allclose(data["xas.mu"][k], ratio, rtol=1e-12)
        np.testing.assert_allclose(data["xas.error"][k], error, rtol=1e-8)
        assert (data["xas.frames"][k], data["xas.left_out"][k]) == (good.sum(), (own & ~good).sum())
    np.testing.assert_array_equal(data["energy"], STEPS)
    assert data["energy"].attrs["units"] == "mm"
    # The ratio of sums does not see how much each pulse had; the mean of ratios would count weak ones as much.
    assert data["xas.outside"] == 0


def test_transmission_is_minus_the_logarithm(scan):
    plain, log = absorbed(scan), absorbed(scan, mode="transmission")
    np.testing.assert_allclose(log["xas.mu"], -np.log(plain["xas.mu"]))
    np.testing.assert_allclose(log["xas.error"], plain["xas.error"] / plain["xas.mu"])


def test_the_signal_may_come_from_a_region_or_from_an_earlier_result(scan):
    here = absorbed(scan, RoiSum(img=Frames(modules=[0])), signal=From("roi.sum"))
    first = dxflow.reduce(scan.path, RoiSum(img=Frames(modules=[0])), cluster="here")
    chain = Xas(signal=Labels(first, "roi.sum"), i0=XGM, energy=MOTOR, steps=STEPS)
    later = dxflow.reduce(scan.path, chain, cluster="here").dataset
    np.testing.assert_array_equal(here["xas.mu"], later["xas.mu"])
    np.testing.assert_array_equal(here["xas.mu"], absorbed(scan)["xas.mu"])


def test_edges_are_half_open_and_what_is_outside_is_counted(scan):
    data, (_, x, at) = absorbed(scan, steps=None, edges=[7.25, 7.5, 7.75]), shots(scan)
    assert data["xas.frames"].values.tolist() == [
        ((at >= 7.25) & (at < 7.5) & (x > 0)).sum(),
        ((at >= 7.5) & (at <= 7.75) & (x > 0)).sum(),
    ]
    assert data["xas.outside"] == ((at < 7.25) | (at > 7.75)).sum()
    few = absorbed(scan, steps=[7.25, 7.6], tolerance=0.01)
    assert few["xas.frames"].values[1] == 0
    assert np.isnan(few["xas.mu"].values[1])
    assert few["xas.outside"] == (np.abs(at - 7.25) > 0.01).sum()


class Noisy(Algorithm):
    """Signal and I0 of frames, drawn: correlated, with noise of their own."""

    ALG_ID = "noisy"
    inputs = {"img": Frames(modules=[0])}

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--seed", type=int)

    def outputs(self, info):
        return {"y": Output(per="img"), "x": Output(per="img")}

    def process_train_data(self, train, out):
        random = np.random.default_rng([self.seed, int(train.id)])
        n = len(train["img"])
        pulse = random.gamma(4, 0.25, n)
        out.x = pulse * (1 + 0.02 * random.standard_normal(n))
        out.y = 0.3 * pulse + 0.01 * random.standard_normal(n)


def test_errors_are_those_of_repeated_measurements(scan):
    """Twelve measurements of five steps, which scatter as their errors say: the campaign has 200."""
    pulls = []
    for seed in range(12):
        data = absorbed(scan, Noisy(seed=seed), signal=From("noisy.y"), i0=From("noisy.x"))
        pulls.append((data["xas.mu"] - 0.3) / data["xas.error"])
    assert 0.75 < np.std(pulls) < 1.3


def test_it_follows_the_rules_of_algorithms(scan):
    xas = {"signal": From("roi.sum"), "i0": XGM, "energy": MOTOR, "steps": STEPS}
    check_algorithm(lambda: [RoiSum(), Xas(**xas)], scan.path)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"steps": None}, "give steps="),
        ({"edges": [1, 2]}, "give steps="),
        ({"steps": [2, 1]}, "rising numbers"),
        ({"tolerance": -1}, "tolerance=-1"),
        ({"i0": None}, "give i0="),
        ({"steps": [7.1]}, "tolerance= with a single step"),
        ({"min_i0": np.nan}, "min_i0=nan"),
    ],
)
def test_options_that_cannot_be_right_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        Xas(**({"i0": XGM, "energy": MOTOR, "steps": STEPS} | options))


def test_images_are_no_signal(scan):
    with pytest.raises(PlanError, match="one number per frame or per train"):
        dxflow.plan(scan.path, Xas(signal=Frames(), i0=XGM, energy=MOTOR, steps=STEPS))


def test_a_signal_of_trains_does_not_count_once_for_each_frame(scan):
    with pytest.raises(
        PlanError, match="signal, SPB_EXP_SCAN/MOTOR/STAGE .* one value per train, i0 up to 6"
    ):
        dxflow.plan(scan.path, Xas(signal=MOTOR, i0=XGM, energy=MOTOR, steps=STEPS))


class Shifted(Algorithm):
    """I0 below zero, as a wrong offset makes it."""

    ALG_ID = "shifted"
    inputs = {"x": From("noisy.x")}

    def outputs(self, info):
        return {"x": Output(per="x")}

    def process_train_data(self, train, out):
        out.x = train["x"] - 100.0


def test_integers_that_are_missing_are_no_signal_of_0(scan):
    class Train(dict):
        valid = {"signal": np.array([True, False]), "i0": True}.get

    train = Train(signal=np.array([3, 0]), i0=np.int32(4))
    np.testing.assert_array_equal(_values(train, "signal"), [3, np.nan])
    np.testing.assert_array_equal(_values(train, "i0"), [4])


def test_an_intensity_that_adds_up_to_nothing_gives_no_number(scan):
    chain = Noisy(seed=1), Shifted()
    data = absorbed(scan, *chain, signal=From("noisy.y"), i0=From("shifted.x"), min_i0=-np.inf)
    assert np.isnan(data["xas.mu"]).all()
    assert np.isnan(data["xas.error"]).all()
    assert (data["xas.frames"] == 24).all()


def test_a_scan_in_another_unit_is_said(scan):
    with pytest.warns(
        UserWarning, match="no frame was used, all is NaN: 120 at no energy of the scan, 0 without"
    ):
        absorbed(scan, steps=[7000, 7500])
