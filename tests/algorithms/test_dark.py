"""Pedestals against numpy and against what was planted."""

import numpy as np
import pytest
from campaign import darks
from extra_data import RunDirectory
from readings import pixels

import dxflow
from dxflow import Frames, PlanError
from dxflow.algorithms._dark_light import light
from dxflow.algorithms.dark import BIT, Pedestal, far, shares
from dxflow.simulate import Electronics, Flat, Plant, make_run
from dxflow.simulate.detect import Cause
from dxflow.testing import check_algorithm

SMALL = {"detector": "AGIPD500K", "data": "raw", "modules": 2, "module_shape": (16, 24), "pulses": 3}
OURS = {"on_fault": "mask", "cluster": "here"}
WALKS = [{}, {"method": "median"}, {"walk": "blocks"}]


def simulated(folder, **options):
    own = options.pop("electronics", {})
    return make_run(
        folder, **{**SMALL, "signal": Flat(0), "trains": 24, "electronics": Electronics(**own)} | options
    )


@pytest.fixture(scope="module")
def medium(tmp_path_factory):
    """A dark run in medium gain with bad pixels of all causes, and gaps."""
    return simulated(
        tmp_path_factory.mktemp("medium") / "r0001",
        bad_pixels=0.04,
        plant=Plant(lost_trains={1: (3, 4)}, missing_trains=(7,), empty_trains=(9,)),
        electronics={"stage": "medium", "noisy": 0.03, "stuck": 0.03},
    )


def made(truth, *modules, **options):
    """Reduce, and return the modules that the run has."""
    with dxflow.reduce(truth.path, Pedestal(**options), **OURS).dataset as data:
        return data.isel(module=truth.module_numbers).load()


def values(truth, module, cell, key="image.data"):
    """Return values, and levels, of a module in a cell, (frame, ss, fs), by EXtra-data."""
    source = RunDirectory(truth.path)[truth.sources[module]]
    frames = source[key].ndarray()
    return frames[source["image.cellId"].ndarray().reshape(-1) == cell]


def by_numpy(x, method="mean", clip=5.0):
    """Return offset, noise and count as they are defined."""
    x = x.astype("f8")
    if method == "median":
        about = np.median(x, axis=0)
        spread = 1.4826 * np.median(abs(x - about), axis=0)
    else:
        about, spread = x.mean(axis=0), x.std(axis=0, ddof=1)
    reach = np.full(about.shape, np.inf) if np.isinf(clip) else np.maximum(clip * spread.astype("f4"), 1)
    far_off = np.abs(x - about.astype("f4")) > reach
    used = np.ma.masked_array(x, far_off)
    middle = np.ma.median(used, axis=0) if method == "median" else used.mean(axis=0)
    return middle.filled(np.nan), used.std(axis=0, ddof=1).filled(np.nan), used.count(axis=0)


@pytest.mark.parametrize("options", WALKS)
def test_offset_noise_and_count_are_those_of_numpy(medium, options):
    data = made(medium, stage="medium", **options)
    clip = np.inf if "walk" in options else 5.0
    for module in range(2):
        for cell in range(3):
            x = values(medium, module, cell)
            offset, noise, count = by_numpy(x[:, 0], options.get("method", "mean"), clip)
            one = data.isel(stage=0, module=module, cell=cell)
            np.testing.assert_array_equal(one["dark.count"], count)
            np.testing.assert_allclose(one["dark.offset"], offset, rtol=1e-6)
            np.testing.assert_allclose(one["dark.noise"], noise, rtol=1e-6, atol=1e-12)
            used = count == len(x)
            level = x[:, 1].astype("f8")
            np.testing.assert_allclose(
                one["dark.gain_level"].values[used], level.mean(axis=0)[used], rtol=1e-6
            )
            np.testing.assert_allclose(
                one["dark.gain_noise"].values[used], level.std(axis=0, ddof=1)[used], rtol=1e-6
            )
    assert data["stage"].values.tolist() == [1]


@pytest.mark.parametrize("options", WALKS)
def test_bad_pixels_have_the_bits_of_their_causes_and_others_none(medium, options):
    bad = made(medium, stage="medium", **options)["dark.bad"].values[0]
    expected = {
        Cause.DEAD: BIT["dead"] | BIT["hot or low"],
        Cause.HOT: BIT["dead"] | BIT["hot or low"],
        Cause.NOISY: BIT["noisy"],
        Cause.STUCK: BIT["gain level of another stage"],
    }
    assert not bad[:, medium.cause == 0].any()
    for cause, bits in expected.items():
        # Others beside it: a noisy pixel that is stuck.
        assert (bad[:, medium.cause & cause > 0] & bits == bits).all()


def test_planted_offsets_and_noise_are_found_with_errors_that_are_right(tmp_path):
    pulls = []
    truth = simulated(tmp_path / "r", trains=60, bad_pixels=0)
    data = made(truth)
    error = data["dark.noise"].values[0] / np.sqrt(data["dark.count"].values[0])
    pulls = (data["dark.offset"].values[0] - truth.offset[0]) / error
    assert abs(pulls.mean()) < 3 / np.sqrt(pulls.size)
    assert 0.9 < pulls.std() < 1.1
    spread = truth.noise_adu / np.sqrt(2 * 59)
    noise = (data["dark.noise"].values[0] - truth.noise_adu) / spread
    assert abs(noise.mean()) < 3 / np.sqrt(noise.size) + 0.05
    assert 0.9 < noise.std() < 1.1


def test_the_numbers_of_bits_are_those_of_the_facility():
    badpixels = {"hot or low": 0, "noisy": 1, "not to be evaluated": 2, "too few": 3, "dead": 14}
    badpixels |= {"gain level of another stage": 13, "other gain stage recorded": 21}
    assert {cause: 1 << bit for cause, bit in badpixels.items()} == BIT


@pytest.mark.parametrize("options", WALKS)
def test_any_cut_gives_the_same(medium, options):
    check_algorithm(lambda: Pedestal(stage="medium", **options), medium.path, on_fault="mask")


def test_outliers_are_left_out_of_offset_and_noise(tmp_path):
    truth = simulated(tmp_path / "r", trains=50, bad_pixels=0, pulses=1)
    source = truth.sources[0]
    import h5py

    for file in sorted((tmp_path / "r").glob("RAW*AGIPD00*.h5"))[:1]:
        with h5py.File(file, "r+") as f:
            f[f"INSTRUMENT/{source}/image/data"][2, 0] = 16000
    plain = made(truth, clip=np.inf)["dark.noise"].values[0, 0, 0]
    for options in ({}, {"method": "median"}):
        data = made(truth, **options)
        assert (data["dark.count"].values[0, 0, 0] <= 49).all()
        assert (abs(data["dark.offset"].values[0, 0, 0] - truth.offset[0, 0, 0]) < 20).all()
        assert np.median(data["dark.noise"].values[0, 0, 0]) < np.median(plain) / 5


@pytest.mark.parametrize(
    ("name", "stage", "noise"),
    [("LPD1M", "low", 0.3), ("JUNGFRAU", "medium", 0.3), ("DSSC1M", "high", 4), ("GOTTHARD2", "low", 0.3)],
)
def test_detectors_that_record_their_stage_or_have_one(tmp_path, name, stage, noise):
    own = {"stage": stage, "stuck": 0.05 if name != "DSSC1M" else 0}
    # Of Gotthard-II two memory cells take turns: each has 20 values in 40 frames, as the others.
    size = {"module_shape": (1, 384), "pulses": 2} if name == "GOTTHARD2" else {}
    truth = simulated(
        tmp_path / "r", detector=name, trains=20, bad_pixels=0, noise=noise, electronics=own, **size
    )
    data = dxflow.reduce(truth.path, Pedestal(stage=stage), **OURS).dataset.isel(module=[0, 1])
    number = ["high", "medium", "low"].index(stage)
    stuck = truth.cause & Cause.STUCK > 0
    bad = data["dark.bad"].values[0]
    good = ~stuck
    error = truth.noise_adu / np.sqrt(20)
    pull = ((data["dark.offset"].values[0] - truth.offset[number]) / error)[:, good]
    assert pull.std() == pytest.approx(1, abs=0.12)
    if name != "DSSC1M":
        assert stuck.any()
        assert (bad[:, stuck] & BIT["other gain stage recorded"]).all()
        assert (data["dark.count"].values[0][:, stuck] == 0).all()
        assert np.isnan(data["dark.offset"].values[0][:, stuck]).all()


def test_light_is_refused_unless_told(tmp_path):
    cases = {
        "some": {"signal": Flat(3), "lit": 0.25},
        "all": {"signal": Flat(0.2), "lit": "all"},
        "faint": {"signal": Flat(1), "lit": [True, False, False]},
    }
    for name, options in cases.items():
        truth = simulated(tmp_path / name, trains=30, **options)
        with pytest.raises(
            ValueError, match=r"of the frames have light .*no dark run; expected at most 2.0%"
        ):
            made(truth)
        assert np.isfinite(made(truth, lit=1)["dark.offset"]).all()


def test_common_mode_is_no_light(tmp_path):
    truth = simulated(tmp_path / "r", trains=40, electronics={"asic_jumps": 30.0})
    assert np.isfinite(made(truth)["dark.offset"]).all()


def test_a_camera_and_masked_pixels(camera, medium):
    key, frames = pixels(camera)
    data = dxflow.reduce(camera.path, Pedestal(img=key, lit=1, least=2), **OURS).dataset
    np.testing.assert_allclose(data["dark.offset"].values[0, 0, 0], by_numpy(frames)[0], rtol=1e-6)
    mask = np.zeros((2, 16, 24), bool)
    mask[:, 3] = True
    for options in WALKS:
        some = Frames(data="raw", modules=(0, 1), mask=mask)
        data = dxflow.reduce(medium.path, Pedestal(stage="medium", img=some, **options), **OURS).dataset
        assert (data["dark.count"].values[..., 3, :] == 0).all()
        assert (data["dark.bad"].values[..., 3, :] & BIT["too few"] > 0).all()
        assert (data["dark.count"].values[..., 4, :] > 0).all()


def test_shares_of_bad_pixels_by_cause(medium):
    table = shares(made(medium, stage="medium"))
    assert table.index.names == ["stage", "module"]
    assert table["any"].values == pytest.approx((medium.cause != 0).mean(axis=(1, 2)), abs=1e-12)
    assert table["too few"].max() == 0


def test_few_values_are_bad(tmp_path):
    truth = simulated(tmp_path / "r", trains=4)
    bad = made(truth)["dark.bad"].values
    assert (bad & BIT["too few"] > 0).all()
    assert not (made(truth, least=3)["dark.bad"].values[:, :, truth.cause == 0] & BIT["too few"]).any()


def test_ranges_of_offset_and_noise():
    values = np.array([1.0, 2, 3, 4, 50])
    assert far(values, np.ones(5, bool), 10).tolist() == [False] * 4 + [True]
    assert far(values, np.ones(5, bool), 1e9, (1.5, 10)).tolist() == [True, False, False, False, True]
    assert not far(values, np.zeros(5, bool), 1).any()


def test_light_is_more_bright_than_dim_pixels():
    n, frame = np.full(100, 20), np.arange(100)
    assert light(n, n, 1000, frame % 2) == 0
    assert light(np.where(frame < 3, 200, 20), n, 1000, frame % 2) == 0.03
    assert light(4 * n, n, 10**6, frame % 2) == 1
    assert light(np.where(frame % 4, 20, 100), n, 10**6, frame % 4) == 0.25
    assert light(n, np.where(frame % 4, 20, 100), 10**6, frame % 4) == 0


def test_what_makes_no_sense_is_refused(medium, broken, tmp_path):
    for options, said in {
        "clip=0": "clip=0",
        "method=median walk=blocks": "medians need all frames",
        "lit=2": "lit=2",
        "least=0": "least=0",
    }.items():
        given = {
            k: float(v) if v.replace(".", "").isdigit() else v
            for k, v in (x.split("=") for x in options.split())
        }
        with pytest.raises(ValueError, match=said):
            Pedestal(**given)
    with pytest.raises(PlanError, match="raw"):
        dxflow.plan(broken.path, Pedestal())
    dssc = simulated(tmp_path / "r", detector="DSSC1M", trains=2)
    with pytest.raises(PlanError, match="has no low gain; expected one of"):
        dxflow.plan(dssc.path, Pedestal(stage="low"), on_fault="mask")


def judged(**values):
    """Return the bits of pixels of one module."""
    made = Pedestal()
    made._plane = made._coded = False
    one = {name: np.asarray(v, "f4").reshape(1, 1, 1, 1, -1) for name, v in values.items()}
    one["count"] = one["count"].astype("i4")
    totals = {**one, "bad": np.zeros(one["offset"].shape, "u4")}

    class Totals(dict):
        __getattr__ = dict.__getitem__

    totals = Totals(totals)
    made._judge(totals, (0, 0, 0))
    return totals["bad"].reshape(-1)


def test_a_module_without_noise_is_dead():
    assert (judged(offset=[100] * 9, noise=[0] * 9, count=[20] * 9) & BIT["dead"]).all()


def test_pixels_next_to_many_that_are_the_same_are_not_bad():
    offset = [100.0] * 9 + [100.5, 140]
    assert judged(offset=offset, noise=[2.0] * 11, count=[20] * 11).tolist() == [0] * 10 + [BIT["hot or low"]]


@pytest.mark.parametrize("options", WALKS)
def test_one_frame_has_no_noise_and_nothing_is_said_of_it(tmp_path, options):
    import warnings

    truth = simulated(tmp_path / "r", trains=1, pulses=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        data = made(truth, least=1, **options)
    assert np.isfinite(data["dark.offset"]).all()
    assert (data["dark.count"] == 1).all()


def test_offsets_noise_and_calibrated_photons_are_off_by_their_errors():
    """Of 3 sets of runs; `make campaign` does 200."""
    for off in darks.gathered(range(3)):
        assert 0.9 < off.std() < 1.1
        assert abs(off.mean()) < 0.15
