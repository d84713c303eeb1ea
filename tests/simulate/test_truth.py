"""Storing and loading the truth."""

import dataclasses

import numpy as np
import pytest

from dxflow.simulate import Flat, Plant, Truth, make_run


@pytest.mark.parametrize("options", [{}, {"detector": "JUNGFRAU", "data": "raw"}, {"detector": None}])
def test_every_field_comes_back_as_it_was(tmp_path, options):
    plant = Plant(missing_modules=[1], empty_trains=[2])
    truth = make_run(tmp_path, module_shape=(8, 8), modules=3, trains=4, pulses=2, plant=plant, **options)
    loaded = Truth.load(tmp_path)
    for field in dataclasses.fields(Truth):
        before, after = getattr(truth, field.name), getattr(loaded, field.name)
        if isinstance(before, np.ndarray):
            assert before.dtype == after.dtype, field.name
            np.testing.assert_array_equal(before, after, field.name)
        elif field.name not in ("signal", "pump_signal"):
            assert before == after, field.name


def test_nothing_in_the_stored_arrays_needs_pickle(tmp_path):
    make_run(tmp_path, module_shape=(8, 8), modules=1, trains=2, pulses=2)
    with np.load(tmp_path / "truth.npz", allow_pickle=False) as file:
        assert all(file[name].dtype.kind in "biuf" for name in file.files)


def test_mean_counts_dark_frames_and_pumped_ones(tmp_path):
    truth = make_run(
        tmp_path,
        module_shape=(8, 8),
        modules=1,
        trains=2,
        pulses=4,
        lit=0.5,
        pump="trains",
        signal=Flat(2),
        pump_signal=Flat(6),
        energy_spread=0,
    )
    assert truth.mean() == pytest.approx((2 * 2 + 2 * 6) / 8 * np.ones((1, 8, 8)))


def test_momentum_transfer_is_that_of_pyfai(tmp_path):
    azimuthal = pytest.importorskip("pyFAI.integrator.azimuthal")
    truth = make_run(tmp_path, module_shape=(8, 8), modules=1, trains=1, pulses=1)
    pixel = truth.positions[0, 0, 1, 0] - truth.positions[0, 0, 0, 0]
    poni = -(truth.positions[0, 0, 0, :2] - pixel / 2)
    geometry = azimuthal.AzimuthalIntegrator(
        dist=truth.distance,
        poni1=poni[1],
        poni2=poni[0],
        pixel1=pixel,
        pixel2=pixel,
        wavelength=truth.wavelength * 1e-10,
    )
    assert truth.q()[0] == pytest.approx(geometry.qArray((8, 8)) / 10, rel=1e-5)


def test_a_directory_without_truth_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"truth.json.*not a simulated run"):
        Truth.load(tmp_path)
