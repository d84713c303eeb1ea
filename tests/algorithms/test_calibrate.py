"""Calibrated frames against numpy in float64, with constants in all forms, and against what was planted."""

import pickle
import warnings
from dataclasses import dataclass
from itertools import pairwise

import h5py
import numpy as np
import pytest
import xarray as xr
from extra_data import RunDirectory
from readings import pixels

import dxflow
from dxflow import Algorithm, Frames, From, Key, Output, PlanError
from dxflow.algorithms.average import Average
from dxflow.algorithms.calibrate import Calibrate, regions, thresholds
from dxflow.algorithms.dark import Pedestal
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.roi import RoiSum
from dxflow.simulate import Electronics, Flat, make_run
from dxflow.simulate.detect import Cause
from dxflow.simulate.detectors import kind
from dxflow.simulate.electronics import jumps
from dxflow.simulate.exdf import FileFacts, SimulatedFile
from dxflow.testing import check_algorithm

SMALL = {"detector": "AGIPD500K", "data": "raw", "module_shape": (16, 24), "pulses": 3, "modules": 2}
OURS = {"on_fault": "mask", "cluster": "here"}
ADU = [7.0, 0.2, 0.05]


class Keep(Algorithm):
    """Stores images: what tests look at."""

    ALG_ID = "keep"
    inputs = {"img": From("calibrate.img")}

    def outputs(self, info):
        return {"img": Output(per=("img", "pixel"), dtype="f4")}

    def process_module_data(self, block, out):
        out.img = block["img"]


def simulated(folder, **options):
    own = options.pop("electronics", {})
    return make_run(
        folder, **{**SMALL, "trains": 3, "signal": Flat(60), "electronics": Electronics(**own)} | options
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run in which a part of the pixels has switched, once or twice."""
    return simulated(tmp_path_factory.mktemp("run") / "r0001", energy_spread=1.5, signal=Flat(900), trains=8)


@pytest.fixture(scope="module")
def constants(run):
    """Arrays with some bad pixels."""
    random = np.random.default_rng(3)
    bad = (random.random(run.offset.shape) < 0.03).astype("u4") << random.integers(0, 3, run.offset.shape)
    limits = (run.gain_level[:-1] + run.gain_level[1:]) / 2
    gain = np.broadcast_to(run.gain_adu[:, None] / 9.3, run.offset.shape).astype("f4")
    named = {"offset": run.offset, "bad": bad.astype("u4"), "thresholds": limits, "gain": gain}
    return {**named, "noise": np.broadcast_to(run.noise_adu, run.offset.shape)}


def planes(truth):
    """Return values and gain words, (frame, module, ss, fs), f8, by EXtra-data."""
    opened = RunDirectory(truth.path)
    if truth.key == "data.adc":
        both = [
            np.stack([opened[s, f"data.{k}"].ndarray() for s in truth.sources], axis=2)
            for k in ("adc", "gain")
        ]
        return [one.reshape(-1, *truth.offset.shape[2:]).astype("f8") for one in both]
    frames = np.stack([opened[s, truth.key].ndarray() for s in truth.sources], axis=1)
    return frames[:, :, 0].astype("f8"), frames[:, :, -1].astype("f8")


def by_numpy(truth, constants, unit=1.0):
    """Return calibrated frames, (frame, module, ss, fs), and the stages."""
    x, level = planes(truth)
    cells = truth.cell_ids
    stage = sum((level > t[cells]).astype(int) for t in constants["thresholds"].astype("f8"))

    def of_stage(name):
        return np.choose(stage, list(constants[name].astype("f8")[:, cells]))

    y = (x - of_stage("offset")) / (of_stage("gain") * unit if unit else 1)
    return np.where(of_stage("bad") != 0, np.nan, y), stage


def calibrated(truth, constants, *others, **options):
    img = options.pop("img", None) or Frames(data="raw", modules=tuple(truth.module_numbers))
    chain = [Calibrate(constants=constants, img=img, **options), Keep(), *others]
    return dxflow.reduce(truth.path, chain, **OURS).dataset


def near(found, expected, atol=1e-6):
    np.testing.assert_allclose(np.asarray(found, "f8"), expected, rtol=1e-6, atol=atol, equal_nan=True)


@pytest.mark.parametrize(("unit", "by"), [("ADU", 0), ("keV", 1.0), ("photons", 9.3)])
def test_three_gain_stages_are_those_of_numpy(run, constants, unit, by):
    expected, stage = by_numpy(run, constants, by)
    data = calibrated(run, constants, unit=unit, photon_energy=9.3 if unit == "photons" else None)
    near(data["keep.img"], expected)
    for s in range(3):
        assert (stage == s).any()
        np.testing.assert_array_equal(data["calibrate.stages"][:, s], (stage == s).sum(axis=(1, 2, 3)))
    assert data["calibrate.stages"].coords["stage"].values.tolist() == [0, 1, 2]


def test_photons_are_those_that_were_planted(run, constants):
    good = {**constants, "bad": constants["bad"] * 0}
    image = calibrated(run, good, unit="photons", photon_energy=9.3)["keep.img"].values
    expected = run.intensity[:, None, None, None] * run.expected
    error = np.sqrt(expected + (run.noise_adu / 0.45) ** 2)
    pull = ((image - expected) / error)[:, run.cause == 0]
    assert abs(pull.mean()) < 3 / np.sqrt(pull.size) + 0.02


def test_offsets_alone_and_relative_gains(run, constants):
    x, _ = planes(run)
    plain = {"offset": run.offset[0].astype("f4")}
    near(calibrated(run, plain, stage="high")["keep.img"], x - run.offset[0].astype("f8")[run.cell_ids])
    with pytest.raises(
        PlanError, match=r"no offset of \[1, 2\]: give dark runs of all of them, or stage='high'"
    ):
        calibrated(run, plain)
    part = {k: constants[k] for k in ("offset", "bad", "thresholds")}
    relative = np.array([1.0, 30, 140])[:, None, None, None, None] * np.ones(run.offset.shape)
    whole = {**part, "gain": 1 / relative}
    expected, _ = by_numpy(run, whole, 2.0)
    near(calibrated(run, {**part, "relative_gain": relative}, unit="keV", adu=2.0)["keep.img"], expected)
    table = {**part, "gain": np.array(ADU)[:, None, None, None, None] * np.ones(run.offset.shape)}
    near(calibrated(run, part, unit="keV", adu=ADU)["keep.img"], by_numpy(run, table, 1.0)[0])


def test_bits_that_count(run, constants):
    some = {**constants, "bad": constants["bad"] & 2}
    found = calibrated(run, constants, bits="NOISE_OUT_OF_THRESHOLD", unit="keV")
    near(found["keep.img"], by_numpy(run, some, 1.0)[0])


@pytest.fixture(scope="module")
def darks(tmp_path_factory):
    """Results of dark runs in three gain stages, in a folder."""
    folder = tmp_path_factory.mktemp("darks")
    for stage in ("high", "medium", "low"):
        own = {"stage": stage, "noisy": 0.02, "stuck": 0.02}
        truth = simulated(folder / f"r_{stage}", trains=30, signal=Flat(0), electronics=own, bad_pixels=0.02)
        img = Frames(data="raw", modules=(0, 1))
        dxflow.reduce(truth.path, Pedestal(stage=stage, img=img), folder / f"{stage}.zarr", cluster="here")
    return folder


@pytest.fixture(scope="module")
def same(tmp_path_factory):
    """A run of the sensors of these dark runs."""
    own = {"noisy": 0.02, "stuck": 0.02}
    folder = tmp_path_factory.mktemp("same") / "r0001"
    return simulated(folder, trains=12, bad_pixels=0.02, electronics=own, energy_spread=0)


def test_three_dark_runs_make_a_set_in_every_form(same, darks):
    stores = [darks / f"{stage}.zarr" for stage in ("low", "high", "medium")]
    options = {"unit": "photons", "adu": [a / 9.3 for a in (65, 2, 0.5)], "photon_energy": 9.3}
    first = calibrated(same, darks, **options)["keep.img"]
    good = same.cause == 0
    assert np.isnan(first.values[:, ~good]).all()
    assert np.isfinite(first.values[:, good]).all()
    # The gain of single pixels is 3 % off; noise is that of 36 frames, and of 30 of the dark of each of three cells.
    noise = 0.3 * 65 / 2 / 60 * np.sqrt(1 / 36 + 1 / 90)
    pull = (first.values.mean(axis=0) / 60 - 1)[good] / np.sqrt(0.03**2 + 1 / 60 / 36 + noise**2)
    assert abs(pull.mean()) < 4 / np.sqrt(pull.size)
    assert pull.std() < 1.2
    opened = [xr.open_zarr(store, chunks=None) for store in stores]
    whole = xr.concat(
        [d.drop_vars([v for v in d if "dark." not in str(v)]) for d in opened], "stage", join="outer"
    )
    arrays = {name: whole[f"dark.{name}"] for name in ("offset", "gain_level", "bad")}
    for given in (stores, [str(s) for s in stores], opened, whole, arrays):
        near(calibrated(same, given, **options)["keep.img"], first.values)


def test_hdf5_files_with_named_datasets(run, constants, tmp_path):
    with h5py.File(tmp_path / "constants.h5", "w") as file:
        for name, values in constants.items():
            file[f"somewhere/{name}"] = values[:, ::-1] if name != "thresholds" else values
            if name == "thresholds":
                file[f"somewhere/{name}"][...] = values[:, ::-1]
        file["cell"] = np.arange(3)[::-1]
        file["module"] = np.arange(2)
    found = calibrated(run, tmp_path / "constants.h5", unit="keV")
    near(found["keep.img"], by_numpy(run, constants, 1.0)[0])


@dataclass
class Single:
    """Looks like a `SingleConstant` of extra.calibration."""

    path: str
    dataset: str

    def file_path(self, caldb_root=None):
        return self.path


@dataclass
class Group(dict):
    """Looks like a `MultiModuleConstant`."""

    constants: dict
    detector_name: str

    @property
    def module_nums(self):
        return list(self.constants)

    def __getitem__(self, number):
        return self.constants[number]


def facility(folder, truth, constants, detector=""):
    """Write constants as EuXFEL's database has them: a file for each module, (fs, ss, cell, stage)."""
    names = {"offset": "Offset", "thresholds": "ThresholdsDark", "bad": "BadPixelsDark"}
    out = {}
    for name, theirs in names.items():
        some = {}
        for place, number in enumerate(truth.module_numbers):
            path = folder / f"{theirs}{number}.h5"
            with h5py.File(path, "w") as file:
                file["/unit/0/data"] = constants[name][:, :, place].transpose(3, 2, 1, 0)
            some[int(number)] = Single(str(path), "/unit/0")
        out[theirs] = Group(some, detector or truth.detector)
    return out


def test_constants_of_the_facility_are_read_from_their_files(run, constants, tmp_path):
    given = facility(tmp_path, run, constants)
    near(calibrated(run, given)["keep.img"], by_numpy(run, constants, 0)[0])
    with pytest.raises(PlanError, match="offset is of HED_DET_AGIPD500K2G, the frames are of SPB_DET"):
        calibrated(run, facility(tmp_path, run, constants, "HED_DET_AGIPD500K2G"))


def test_arrays_of_the_facility_have_axes_by_their_length(run, constants):
    axes = ("module", "dim_0", "dim_1", "dim_2", "dim_3")
    names = {"Offset": "offset", "ThresholdsDark": "thresholds", "BadPixelsDark": "bad"}
    given = {
        theirs: xr.DataArray(constants[own].transpose(2, 4, 3, 1, 0), dims=axes, coords={"module": [0, 1]})
        for theirs, own in names.items()
    }
    near(calibrated(run, given)["keep.img"], by_numpy(run, constants, 0)[0])


@pytest.mark.parametrize(
    ("name", "codes"),
    [("LPD1M", (0, 1, 2)), ("JUNGFRAU", (0, 1, 3)), ("DSSC1M", (0,)), ("GOTTHARD2", (0, 1, 3))],
)
def test_detectors_that_record_their_stage_or_have_one(tmp_path, name, codes):
    size = {"module_shape": (1, 384)} if name == "GOTTHARD2" else {}
    truth = simulated(tmp_path / "r", detector=name, signal=Flat(60), energy_spread=1.0, trains=6, **size)
    x, word = planes(truth)
    if name == "LPD1M":
        x, word = x % 4096, x // 4096
    stage = np.searchsorted(codes, word) if len(codes) > 1 else np.zeros(x.shape, int)
    expected = x - np.choose(stage, list(truth.offset.astype("f8")[:, truth.cell_ids]))
    assert name == "DSSC1M" or stage.max() > 0
    near(calibrated(truth, {"offset": truth.offset})["keep.img"], expected)
    high = calibrated(truth, {"offset": truth.offset[:1]}, stage="high")["keep.img"]
    near(high, x - truth.offset[0].astype("f8")[truth.cell_ids])


def test_stages_that_there_are_not_are_nan(tmp_path):
    truth = simulated(tmp_path / "r", detector="JUNGFRAU", signal=Flat(1))
    for file in (tmp_path / "r").glob("RAW*JNGFR01*.h5"):
        with h5py.File(file, "r+") as f:
            f[f"INSTRUMENT/{truth.sources[0]}/data/gain"][:, :, 2] = 2
    for options in ({}, {"common_mode": "asic", "dark": 100}):
        image = calibrated(truth, {"offset": truth.offset}, **options)["keep.img"].values
        assert np.isnan(image[:, 0, 2]).all()
        assert np.isfinite(image[:, 0, 3]).all()


def common_by_numpy(y, stage, rectangles, dark, middle=np.median):
    """Take common mode off values above the offset, (frame, module, ss, fs)."""
    out = y.astype("f4").astype("f8")
    for frame in np.ndindex(y.shape[:2]):
        for a, b, c, d in rectangles:
            part = out[frame][a:b, c:d]
            high = stage[frame][a:b, c:d] == 0
            used = part[high & (np.abs(part) <= dark)]
            if len(used) >= 0.1 * part.size and len(used):
                part[high] -= middle(used)
    return out


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A run of which ASICs and rows jump; larger than an ASIC."""
    own = {"asic_jumps": 25.0, "row_jumps": 6.0}
    folder = tmp_path_factory.mktemp("moving") / "r0001"
    lit = {"signal": Flat(0.05), "module_shape": (70, 72), "trains": 4}
    return simulated(folder, **lit, bad_pixels=0, electronics=own)


@pytest.mark.parametrize(
    ("modes", "method"), [("asic", "median"), (["asic", "row"], "mean"), (["column"], "median")]
)
def test_common_mode_is_that_of_numpy(moving, modes, method):
    constants = {"offset": moving.offset, "gain_level": moving.gain_level}
    table = {
        **constants,
        "bad": 0 * moving.offset,
        "thresholds": (moving.gain_level[1:] + moving.gain_level[:-1]) / 2,
    }
    y, stage = by_numpy(moving, table, 0)
    expected, middle = y, {"median": np.median, "mean": np.mean}[method]
    rows, columns = [0, 64, 70], [0, 64, 72]
    for mode in [modes] if isinstance(modes, str) else modes:
        a = range(71) if mode == "row" else rows
        b = range(73) if mode == "column" else columns
        some = [(i, j, k, m) for i, j in pairwise(a) for k, m in pairwise(b)]
        expected = common_by_numpy(expected, stage, some, 120.0, middle)
    data = calibrated(moving, constants, common_mode=modes, method=method, dark=120.0)
    near(data["keep.img"], expected, atol=2e-4)
    assert (data["calibrate.uncorrected"] == 0).all()


def test_planted_jumps_are_gone(moving):
    constants = {
        "offset": moving.offset,
        "gain_level": moving.gain_level,
        "noise": moving.noise_adu[None, None],
    }
    before = calibrated(moving, constants)["keep.img"].values
    after = calibrated(moving, constants, common_mode="asic", dark=150.0)["keep.img"].values
    own = Electronics(asic_jumps=25.0, row_jumps=6.0)
    for frame, module in np.ndindex(*before.shape[:2]):
        ids = (
            0,
            int(moving.module_numbers[module]),
            int(moving.frame_train_ids[frame]),
            int(moving.cell_ids[frame]),
        )
        jump = jumps(own, kind("AGIPD500K"), (70, 72), *ids)[:64, :64]
        found = np.median((before - after)[frame, module, :64, :64])
        # Median of a region with photons in 5 % of its pixels, and rows that jump on their own.
        assert abs(found - jump.mean()) < 3 * 1.25 * np.hypot(20, 0) / 64 + 3 * 6 / 8 + 2


def test_regions_without_dark_pixels_are_counted_and_left(moving):
    constants = {"offset": moving.offset, "gain_level": moving.gain_level}
    data = calibrated(moving, constants, common_mode="asic", dark=1e-9)
    assert (data["calibrate.uncorrected"] == 2 * 4).all()
    near(data["keep.img"], calibrated(moving, constants)["keep.img"])


def test_any_cut_gives_the_same(run, constants, moving):
    img = Frames(data="raw", modules=(0, 1))
    own = {"offset": moving.offset, "gain_level": moving.gain_level}
    modes = {"common_mode": ["asic", "row"], "dark": 100.0}
    for truth, given, options in ((run, constants, {}), (moving, own, modes)):

        def chain(given=given, options=options):
            return [Calibrate(constants=given, img=img, **options), Average(img=From("calibrate.img"))]

        check_algorithm(chain, truth.path)


def test_cells_and_modules_are_matched_by_number_and_nan_without_constants(run, constants):
    offset = xr.DataArray(run.offset, dims=("stage", "cell", "module", "ss", "fs"))
    offset = offset.assign_coords(cell=[0, 1, 2], module=[0, 1]).isel(cell=[2, 0], module=[1])
    given = {**constants, "offset": offset}
    expected, _ = by_numpy(run, constants, 1.0)
    expected[run.cell_ids == 1] = np.nan
    expected[:, 0] = np.nan
    near(calibrated(run, given, unit="keV")["keep.img"], expected)
    plan = dxflow.plan(run.path, [Calibrate(constants=given, img=Frames(modules=(0, 1))), Keep()])
    assert "no constants" in str(plan)


def test_masks_of_the_pass_and_regions_of_pixels(run, constants, moving):
    mask = np.zeros((2, 16, 24), bool)
    mask[:, 5] = True
    expected, _ = by_numpy(run, constants, 1.0)
    expected[:, :, 5] = np.nan
    img = Frames(data="raw", modules=(0, 1), mask=mask)
    near(calibrated(run, constants, img=img, unit="keV")["keep.img"], expected)
    # Constants of whole modules are those of AGIPD's; these are cut already.
    part = Frames(data="raw", modules=(0, 1), roi=np.s_[60:70, 8:72])
    cut = {"offset": moving.offset[..., 60:70, 8:72], "gain_level": moving.gain_level[..., 60:70, 8:72]}
    for modes in ({}, {"common_mode": "asic", "dark": 100.0, "least": 0.0}):
        assert np.isfinite(calibrated(moving, cut, img=part, **modes)["keep.img"]).all()
    masked = np.zeros((2, 70, 72), bool)
    masked[:, :64, :40] = True
    img = Frames(data="raw", modules=(0, 1), mask=masked)
    whole = {"offset": moving.offset, "gain_level": moving.gain_level}
    data = calibrated(moving, whole, img=img, common_mode="asic", dark=100.0)["keep.img"].values
    assert np.isnan(data[:, masked]).all()
    assert np.isfinite(data[:, ~masked]).all()


def test_regions_follow_asics_from_the_first_pixel_that_is_read(moving):
    info = dxflow.plan(moving.path, Average(img=Frames(data="raw", roi=np.s_[60:70, 8:72])), on_fault="mask")
    img = info.algorithms[0].info["img"]
    assert regions("asic", (10, 64), (64, 64), img).tolist() == [
        [0, 4, 0, 56],
        [0, 4, 56, 64],
        [4, 10, 0, 56],
        [4, 10, 56, 64],
    ]
    assert len(regions("row", (10, 64), (64, 64), img)) == 20
    assert len(regions("column", (10, 64), (64, 64), img)) == 128


def test_thresholds_lie_between_levels_that_are_in_order():
    levels = {0: np.array([[10.0, 30, np.nan]]), 1: np.array([[21.0, 20, 1]]), 2: np.array([[40.0, 50, 2]])}
    limits, wrong = thresholds({}, levels, 3)
    assert limits[:, 0, 0].tolist() == [15, 30]
    assert wrong.tolist() == [[False, True, True]]
    noise = dict.fromkeys(range(3), np.array([[1.5, 2, 2]]))
    assert not thresholds({}, levels, 3, noise)[1][0, 0]
    assert thresholds({}, levels, 3, {s: one + 1 for s, one in noise.items()})[1].all()
    assert thresholds({0: np.array([[5.0]]), 1: np.array([[4.0]])}, {}, 3)[1].all()


def test_a_camera(camera):
    key, frames = pixels(camera)
    data = calibrated(camera, {"offset": np.full(frames.shape[1:], 3.5)}, img=key)
    near(data["keep.img"][:, 0], frames - 3.5)


def epix(folder, frames):
    """Write raw frames, (train, ss, fs), as those of an ePix100; return its key."""
    folder.mkdir()
    source, ids = "MID_EXP_EPIX-1/DET/RECEIVER:daqOutput", 10001 + np.arange(len(frames), dtype="u8")
    with SimulatedFile(folder, FileFacts("RAW", 900000, 1, "EPIX01", 0, "1.3", ids)) as file:
        file.fast(source, "data", {"image.pixels": frames.astype("u2")})
    return Key(source, "data.image.pixels")


def test_an_epix100_without_the_noise_that_its_rows_and_columns_share(tmp_path):
    random = np.random.default_rng(5)
    offset = random.normal(3000, 100, (24, 32))
    dark = offset + random.normal(0, 4, (40, 24, 32))
    light = np.rint(offset + random.normal(0, 4, (8, 24, 32)) + 220 * random.poisson(0.1, (8, 24, 32)))
    light = np.rint(light + random.normal(0, 15, (8, 24, 1)) + random.normal(0, 15, (8, 1, 32)))
    key = epix(tmp_path / "dark", np.rint(dark))
    pedestal = dxflow.reduce(
        tmp_path / "dark", Pedestal(img=key), tmp_path / "x.zarr", cluster="here"
    ).dataset
    np.testing.assert_allclose(pedestal["dark.offset"].values[0, 0, 0], offset, atol=4)
    assert np.median(pedestal["dark.noise"]) == pytest.approx(4, rel=0.05)
    epix(tmp_path / "light", light)
    options = {"common_mode": ("row", "column"), "dark": 100.0, "unit": "photons", "photon_energy": 8.0}
    chain = [Calibrate(constants=tmp_path / "x.zarr", img=key, adu=220 / 8.0, **options), Keep()]
    found = dxflow.reduce(tmp_path / "light", chain, cluster="here").dataset["keep.img"].values[:, 0]
    expected = light - pedestal["dark.offset"].values[0, 0, 0]
    for axis in (2, 1):
        middle = np.ma.median(np.ma.masked_array(expected, abs(expected) > 100), axis=axis, keepdims=True)
        expected = expected - middle.filled(0)
    expected[:, pedestal["dark.bad"].values[0, 0, 0] > 0] = np.nan
    np.testing.assert_allclose(found, expected / 220, atol=1e-4)
    assert np.nanstd(np.where(found < 0.5, found, np.nan)) < 6 / 220


def test_what_makes_no_sense_is_refused(run, constants, broken, tmp_path):
    for options, said in (
        ({"unit": "photons"}, "photons need photon_energy"),
        ({"adu": 0}, "expected ADU per keV, not 0"),
        ({"common_mode": "cell"}, "common_mode"),
        ({"dark": -1}, "dark=-1"),
        ({"least": 2}, "least=2"),
        ({"photon_energy": 0}, "photon_energy=0"),
        ({"unit": "photons", "photon_energy": 9300}, "photon_energy=9300; expected keV, 0.02 to 200"),
        ({"adu": 7}, "adu= does nothing without unit='keV' or 'photons'"),
        ({"dark": 60}, "dark= does nothing without common_mode="),
        ({"method": "mean"}, "method= does nothing without common_mode="),
        ({"unit": "keV", "photon_energy": 9}, "photon_energy= does nothing without unit='photons'"),
    ):
        with pytest.raises((ValueError, TypeError), match=said):
            Calibrate(constants=constants, **options)
    few = {"offset": constants["offset"], "thresholds": constants["thresholds"]}
    big = {name: np.zeros((*v.shape[:-2], 8, 8)) for name, v in few.items()}
    cells = xr.DataArray(
        run.offset, dims=("stage", "cell", "module", "ss", "fs"), coords={"cell": [50, 51, 52]}
    )
    for given, options, said in (
        (few, {"unit": "keV"}, "keV need the gain"),
        (few, {"common_mode": "asic"}, "have no noise: say with dark="),
        ({"offset": few["offset"]}, {}, "neither thresholds nor gain_level"),
        (few, {"adu": [1, 2], "unit": "keV"}, "adu= has 2 numbers; expected one for each of 3"),
        (few, {"adu": 1, "unit": "keV"}, "one number for 3 gain stages"),
        (big, {}, r"frames of \(8, 8\) pixels; expected \(16, 24\)"),
        ({**few, "offset": cells}, {}, "no memory cell of SPB_DET_AGIPD500K2G, 0-2: .*offset 50-52"),
        ({"thresholds": few["thresholds"]}, {}, "have no offset"),
        ({"pedestal": run.offset}, {}, "no constant is named 'pedestal'"),
        ({**few, "offset": run.offset[:, :, :1].repeat(5, axis=2)}, {}, "has 5 modules; expected 2"),
        (str(tmp_path / "nowhere"), {}, "no such file, store, or folder"),
        (__file__, {}, "constants .*test_calibrate.py: .*expected results of dark"),
        (5, {}, "constants are int; expected results of dark"),
    ):
        with pytest.raises(PlanError, match=said):
            calibrated(run, given, **options)
    with pytest.raises(PlanError, match="no such detector"):
        dxflow.plan(broken.path, [Calibrate(constants=few, img=Frames()), Keep()], on_fault="mask")


def test_constants_of_another_detector_are_refused(run, darks, tmp_path):
    big = simulated(tmp_path / "big", detector="AGIPD1M", signal=Flat(0), trains=12)
    img = Frames(data="raw", modules=(0, 1))
    dark = dxflow.reduce(big.path, Pedestal(img=img), tmp_path / "big.zarr", cluster="here")
    with pytest.raises(
        PlanError, match="offset is of SPB_DET_AGIPD1M-1, the frames are of SPB_DET_AGIPD500K2G"
    ):
        calibrated(run, dark, stage="high")


def test_constants_of_another_region_are_refused(moving, tmp_path):
    part = Frames(data="raw", modules=(0, 1), roi=np.s_[8:18, :])
    dark = dxflow.reduce(moving.path, Pedestal(img=part, lit=1), tmp_path / "part.zarr", cluster="here")
    assert np.isfinite(calibrated(moving, dark, img=part, stage="high", bits=0)["keep.img"]).all()
    other = Frames(data="raw", modules=(0, 1), roi=np.s_[20:30, :])
    with pytest.raises(PlanError, match="offset begins at pixel ss = 8, the frames at 20"):
        calibrated(moving, dark, img=other, stage="high")


def test_a_run_in_another_gain_than_was_said_is_refused(run, constants, darks, tmp_path):
    img = Frames(data="raw", modules=(0, 1))
    again = Pedestal(stage="medium", img=img)
    wrong = dxflow.reduce(darks / "r_high", again, tmp_path / "wrong.zarr", cluster="here")
    said = "no pixel of module 0 can be calibrated, as all levels of the gain stages are not in order"
    with pytest.raises(Exception, match=said):
        calibrated(run, [darks / "high.zarr", wrong, darks / "low.zarr"])
    with pytest.raises(Exception, match="as all gains are 0 or no numbers"):
        calibrated(run, {**constants, "gain": 0 * constants["gain"]}, unit="keV")


def test_bad_pixels_of_a_frame_are_counted(run, constants):
    expected = (constants["bad"][0] != 0).sum(axis=(1, 2, 3))[run.cell_ids]
    assert calibrated(run, constants, unit="keV")["calibrate.bad"].values.tolist() == expected.tolist()
    whole = {**constants, "offset": np.full(run.offset.shape, np.nan)}
    assert (calibrated(run, whole)["calibrate.bad"] == 2 * 16 * 24).all()


def test_a_result_travels_as_its_path(darks):
    made = Calibrate(constants=darks)
    assert len(pickle.dumps(made)) < 3000
    assert pickle.loads(pickle.dumps(made)).constants == str(darks)


def test_causes_of_the_truth_are_the_bad_pixels(same, darks):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = calibrated(same, darks)["keep.img"].values
    for cause in Cause:
        assert np.isnan(image[:, same.cause & cause > 0]).all()


def test_a_constant_that_is_no_number_makes_none(run, constants):
    """Neither does a gain of 0, nor an infinite offset, nor bits that are not known."""
    given = {name: values.astype("f8").copy() for name, values in constants.items()}
    given["gain"][:, :, :, 0, 0] = 0
    given["offset"][:, :, :, 0, 1] = np.inf
    given["gain"][:, :, :, 0, 2] = np.nan
    given["offset"][:, :, :, 0, 3] = np.nan
    given["bad"][:, :, :, 0, 4] = np.nan
    given["thresholds"][:, :, :, 0, 5] = np.nan
    expected = by_numpy(run, constants, 1.0)[0]
    expected[:, :, 0, :6] = np.nan
    for bits in (None, 7):
        near(calibrated(run, given, unit="keV", bits=bits)["keep.img"], expected)


def test_one_mask_of_bad_pixels_is_for_all_gain_stages(run, constants):
    bad = constants["bad"][0, 0] != 0
    whole = {**constants, "bad": np.broadcast_to(bad, constants["offset"].shape)}
    for given in (bad, bad.astype("u4"), xr.DataArray(bad, dims=("module", "ss", "fs"))):
        data = calibrated(run, {**constants, "bad": given}, unit="keV")
        near(data["keep.img"], by_numpy(run, whole, 1.0)[0])


def labelled(values, **coords):
    dims = ("stage", "cell", "module", "ss", "fs")
    usual = {name: np.arange(n) for name, n in zip(dims[:3], values.shape, strict=False)}
    return xr.DataArray(values, dims=dims, coords={**usual, **coords})


@pytest.mark.parametrize("name", ["bad", "thresholds", "gain", "relative_gain"])
def test_a_module_or_cell_that_one_constant_lacks_is_nan_and_said(run, constants, name):
    given = {**constants, "relative_gain": np.ones(run.offset.shape)}
    arrays = {key: labelled(np.asarray(values)) for key, values in given.items()}
    arrays["thresholds"] = labelled(given["thresholds"], stage=[0, 1])
    img = Frames(data="raw", modules=(0, 1))
    for part, where, said in (
        ({"module": [1]}, np.s_[:, 0], "module 0"),
        ({"cell": [2, 0]}, np.s_[run.cell_ids == 1], "memory cells 1"),
    ):
        some = {**arrays, name: arrays[name].isel(part)}
        expected = by_numpy(run, constants, 1.0)[0]
        expected[where] = np.nan
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            modes = [{}, {"common_mode": "asic", "dark": 1e-6}]
            for mode in modes:
                data = calibrated(run, some, unit="keV", **mode)
                near(data["keep.img"], expected)
        plan = str(dxflow.plan(run.path, [Calibrate(constants=some, img=img, unit="keV"), Keep()]))
        assert "no constants" in plan
        assert name in plan
        assert said in plan


def test_modules_without_constants_have_no_common_mode(run, constants):
    noise = {**constants, "noise": constants["noise"] * 0}
    missing = {key: labelled(np.asarray(v)).isel(module=[1]) for key, v in constants.items()}
    for given, modules in ((noise, [0, 1]), (missing, [1])):
        data = calibrated(run, given, common_mode=["asic", "row"])
        found = data["keep.img"].values
        assert np.isfinite(found[:, modules]).any()
        assert np.isnan(found[:, [m for m in (0, 1) if m not in modules]]).all()
    assert (calibrated(run, noise, common_mode="asic")["calibrate.uncorrected"] == 2).all()


def test_constants_that_are_there_twice_are_refused(run, constants, darks, tmp_path):
    with h5py.File(tmp_path / "two.h5", "w") as file:
        for number in range(2):
            file[f"module{number}/offset"] = run.offset[:, :, number]
    for given, said in (
        ([constants, {"offset": run.offset}], "offset of high gain is there twice"),
        ([darks, darks / "medium.zarr"], "offset of medium gain is there twice"),
        (tmp_path / "two.h5", "offset is there twice: module0/offset and module1/offset"),
    ):
        with pytest.raises(PlanError, match=said):
            calibrated(run, given)


def test_numbers_of_cells_and_modules_are_as_many_as_there_are(run, constants, tmp_path):
    with h5py.File(tmp_path / "few.h5", "w") as file:
        for name, values in constants.items():
            file[name] = values
        file["cell"] = np.arange(2)
    with pytest.raises(PlanError, match="offset has 3 of the axis cell and 2 numbers of them"):
        calibrated(run, tmp_path / "few.h5")
    twice = labelled(run.offset, cell=[0, 1, 1])
    with pytest.raises(PlanError, match=r"offset has cell \[1\] twice"):
        calibrated(run, {**constants, "offset": twice})


def test_gains_of_all_stages_are_needed(run, constants):
    for name in ("gain", "relative_gain"):
        given = {**constants, name: np.ones(run.offset.shape[2:])}
        with pytest.raises(PlanError, match=rf"no {name} of \[1, 2\]"):
            calibrated(run, given, unit="keV")


def test_gains_below_zero_are_of_stages_that_count_down(run, constants):
    """As those of JUNGFRAU in medium and low gain."""
    adu = [7.0, -0.2, -0.05]
    table = {**constants, "gain": np.array(adu)[:, None, None, None, None] * np.ones(run.offset.shape)}
    near(calibrated(run, constants, unit="keV", adu=adu)["keep.img"], by_numpy(run, table, 1.0)[0])


def test_one_stage_of_a_set_stays_what_it_is(run, constants):
    arrays = {key: labelled(np.asarray(values)) for key, values in constants.items() if key != "thresholds"}
    medium = {key: array.isel(stage=1) for key, array in arrays.items()}
    with pytest.raises(PlanError, match="no offset of"):
        calibrated(run, {**medium, "thresholds": constants["thresholds"]}, unit="keV")
    with pytest.raises(PlanError, match=r"no offset of \[0\]"):
        calibrated(run, medium, unit="keV", stage="high")
    x, _ = planes(run)
    expected = x - run.offset[1].astype("f8")[run.cell_ids]
    expected[constants["bad"][1, run.cell_ids] != 0] = np.nan
    near(calibrated(run, medium, stage="medium")["keep.img"], expected)


def test_constants_of_several_cells_are_not_for_a_camera(camera):
    key, frames = pixels(camera)
    with pytest.raises(PlanError, match="offset has 3 memory cells, .* has none"):
        calibrated(camera, {"offset": np.zeros((3, 1, *frames.shape[1:]))}, img=key)


def test_several_algorithms_read_calibrated_frames_in_one_pass(run, constants):
    expected = by_numpy(run, constants, 9.3)[0]
    lit = LitFrames(threshold=300, img=From("calibrate.img"))
    both = [RoiSum(img=From("calibrate.img")), lit, Average(img=From("calibrate.img"))]
    data = calibrated(run, constants, *both, unit="photons", photon_energy=9.3)
    near(data["keep.img"], expected)
    np.testing.assert_allclose(data["roi.sum"], np.nansum(expected, axis=(2, 3)).sum(axis=1), rtol=1e-6)
    bright = [np.count_nonzero(frame > 300) for frame in expected]
    assert data["litframes.lit_pixels"].values.tolist() == bright
    there = np.isfinite(expected).sum(axis=0)
    mean = np.where(there > 0, np.nansum(expected, axis=0) / np.maximum(there, 1), np.nan)
    np.testing.assert_allclose(data["average.mean"], mean, rtol=1e-6)
