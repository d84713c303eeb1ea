"""Gotthard-II: lines of strips, two memory cells that take turns, read as EXtra-data reads them."""

import h5py
import numpy as np
import pytest
from extra_data import RunDirectory

import dxflow
from dxflow import Frames, FrameSelection, From, Labels
from dxflow.algorithms.average import Average
from dxflow.algorithms.calibrate import Calibrate
from dxflow.algorithms.dark import Pedestal
from dxflow.algorithms.projection import Projection
from dxflow.algorithms.roi import RoiSum
from dxflow.algorithms.spectrum import Spectrum
from dxflow.simulate import Electronics, Flat, Plant, make_run
from dxflow.testing import check_input

STRIPS = 300
SMALL = {
    "detector": "GOTTHARD2",
    "instrument": "FXE",
    "module_shape": (1, STRIPS),
    "pulses": 5,
    "trains": 6,
    "devices": (),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("gotthard2")


@pytest.fixture(scope="module")
def runs(folder):
    """Dark runs of the three gain stages, and one with light in which strips switch."""
    out = {}
    for stage in ("high", "medium", "low"):
        own = Electronics(stage=stage)
        out[stage] = make_run(
            folder / stage, **SMALL, data="raw", modules=2, bad_pixels=0, signal=Flat(0), electronics=own
        )
    free = {**SMALL, "modules": 2, "bad_pixels": 0, "signal": Flat(100), "electronics": Electronics()}
    out["light"] = make_run(folder / "light", data="raw", **free)
    return out


@pytest.fixture(scope="module")
def corrected(folder):
    return make_run(folder / "corr", **SMALL, modules=2, bad_pixels=0.05, signal=Flat(3))


def values(truth, key="data.adc", module=0):
    """Return what EXtra-data reads of a module, (frame, strip)."""
    return RunDirectory(truth.path)[truth.sources[module], key].ndarray().reshape(-1, STRIPS)


@pytest.mark.parametrize(
    ("data", "how"), [("raw", {}), ("corr", {"layout": "contiguous"}), ("corr", {"compress_data": True})]
)
def test_frames_are_those_of_extra_data(tmp_path, data, how):
    gaps = Plant(lost_trains={1: (2,)} if data == "corr" else {}, empty_trains=(4,))
    run = make_run(tmp_path / "r", **SMALL, data=data, modules=2, plant=gaps, **how)
    for one in (Frames("image.gain" if data == "raw" else "image.data", mask=None), Frames()):
        check_input(one, run.path, on_fault="mask")
    part = Frames(roi=np.s_[:, 30:41], mask=None, modules=(1,))
    found = dxflow.reduce(run.path, Average(img=part), cluster="here").dataset["average.mean"].values
    expected = values(run).astype("f8")[:, 30:41].mean(axis=0)
    np.testing.assert_allclose(found, expected[None, None], rtol=1e-6, atol=1e-6)


def test_cells_take_turns_since_files_do_not_say_them(runs):
    truth = runs["high"]
    assert (RunDirectory(truth.path)[truth.sources[0], "data.memoryCell"].ndarray() == 255).all()
    assert truth.cell_ids.tolist() == [0, 1, 0, 1, 0] * 6
    data = dxflow.reduce(truth.path, Average(per="cell"), cluster="here").dataset
    assert data["cell"].values.tolist() == [0, 1]
    for cell in (0, 1):
        expected = values(truth)[truth.cell_ids == cell].mean(axis=0)
        np.testing.assert_allclose(data["average.mean"].values[cell, 0, 0], expected, rtol=1e-12)


@pytest.fixture(scope="module")
def constants(runs, folder):
    """Constants that `dark` makes of the three runs, in both ways."""
    for stage in ("high", "medium", "low"):
        both = []
        for walk in ("strips", "blocks"):
            one = Pedestal(stage=stage, walk=walk, clip=np.inf, least=5)
            both.append(
                dxflow.reduce(runs[stage].path, one, cluster="here", to=folder / f"{stage}-{walk}.zarr")
            )
        a, b = (one.dataset for one in both)
        assert (a["dark.count"].values == b["dark.count"].values).all()
        np.testing.assert_allclose(a["dark.offset"], b["dark.offset"], rtol=1e-6)
    return [folder / f"{stage}-strips.zarr" for stage in ("high", "medium", "low")]


def test_dark_and_calibrate_are_per_gain_stage_and_cell(runs, constants):
    truth = runs["light"]
    offset = np.zeros((3, 2, 2, STRIPS))
    for stage, name in enumerate(("high", "medium", "low")):
        dark = runs[name]
        for module in (0, 1):
            x = values(dark, module=module).astype("f8")
            assert (values(dark, "data.gain", module) == (0, 1, 3)[stage]).all()
            for cell in (0, 1):
                offset[stage, cell, module] = x[dark.cell_ids == cell].mean(axis=0)
        made = dxflow.open(constants[stage]).dataset
        np.testing.assert_allclose(made["dark.offset"].values[0][:, :, 0], offset[stage], rtol=1e-6)
        pull = (made["dark.offset"].values - dark.offset[stage])[0] / (dark.noise_adu / np.sqrt(12))
        assert 0.9 < pull.std() < 1.1
    calibrate = Calibrate(constants=constants, unit="photons", photon_energy=1.0, adu=truth.adu_per_photon)
    chain = [calibrate, Average(img=From("calibrate.img"), per="cell")]
    found = dxflow.reduce(truth.path, chain, cluster="here").dataset["average.mean"].values
    for module in (0, 1):
        stage = np.searchsorted((0, 1, 3), values(truth, "data.gain", module))
        assert len(np.unique(stage)) > 1
        place = stage, truth.cell_ids[:, None], module, np.arange(STRIPS)
        photons = (values(truth, module=module) - offset[place]) / np.array(truth.adu_per_photon)[stage]
        for cell in (0, 1):
            expected = photons[truth.cell_ids == cell].mean(axis=0)
            np.testing.assert_allclose(found[cell, module, 0], expected, rtol=1e-5, atol=1e-4)


def test_roi_projection_and_spectrum_are_those_of_numpy(corrected):
    good = np.where(values(corrected, "data.mask") == 0, values(corrected).astype("f8"), np.nan)
    one = Frames(modules=(1,))
    algorithms = [
        RoiSum(img=Frames(modules=(1,), roi=np.s_[:, 20:60])),
        Projection(img=one, axis="fs"),
        Spectrum(img=one, fs=(20, 60), bins=10, background=[(0, 1, 100, 120)], background_by="all"),
    ]
    data = dxflow.reduce(corrected.path, algorithms, cluster="here").dataset
    np.testing.assert_allclose(data["roi.sum"], np.nansum(good[:, 20:60], axis=1), rtol=1e-5)
    np.testing.assert_allclose(data["projection.fs"], good, rtol=1e-6)
    pixels = (~np.isnan(good[:, 20:60])).reshape(-1, 10, 4).sum(axis=2)
    empty = np.nanmean(good[:, 100:120], axis=1, keepdims=True)
    expected = np.nansum(good[:, 20:60].reshape(-1, 10, 4), axis=2) - pixels * empty
    np.testing.assert_allclose(data["spectrum.spectrum"], expected, rtol=1e-5, atol=1e-5)


def test_frames_are_selected_and_labelled_by_their_number_in_the_train(corrected):
    truth = corrected
    entry = FrameSelection(entries=(truth.train_ids, np.full(6, 2)))
    one = RoiSum(img=Frames(modules=(1,), mask=None))
    some = dxflow.reduce(truth.path, one, frames=entry, cluster="here").dataset
    sums = values(truth).astype("f8").sum(axis=1)
    np.testing.assert_allclose(some["roi.sum"].values.reshape(-1), sums[2::5], rtol=1e-5)
    bound = dxflow.plan(truth.path, Average(img=Frames(modules=(1,)), by=Labels(some["roi.sum"] > 0))).inputs
    (joined,) = [i.joined for i in bound if i.joined is not None]
    assert joined.there.reshape(6, 5).tolist() == [[False, False, True, False, False]] * 6


def test_virtual_datasets_are_read_as_what_they_are_made_of(tmp_path):
    truth = make_run(tmp_path / "r", **SMALL, modules=1, sequences=1)
    (path,) = (tmp_path / "r").glob("CORR*GH201*.h5")
    with h5py.File(path, "r+") as f:
        group = f[f"INSTRUMENT/{truth.sources[0]}/data"]
        group.move("adc", "elsewhere")
        source = h5py.VirtualSource(group["elsewhere"])
        expected = group["elsewhere"][:].reshape(-1, STRIPS)
        made = h5py.VirtualLayout(source.shape, "f4")
        made[:] = source
        group.create_virtual_dataset("adc", made)
    data = dxflow.reduce(truth.path, Average(img=Frames(mask=None)), cluster="here").dataset
    np.testing.assert_allclose(data["average.mean"].values[0, 0], expected.mean(axis=0), rtol=1e-5, atol=1e-6)


def test_a_line_of_strips_has_one_row(tmp_path):
    with pytest.raises(ValueError, match=r"GOTTHARD2 is a line of strips: module_shape=\(1, ...\)"):
        make_run(tmp_path / "r", detector="GOTTHARD2", module_shape=(4, 8))
