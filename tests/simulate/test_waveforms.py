"""Traces of a digitizer against the peaks that were planted."""

import numpy as np
import pytest
from extra_data import RunDirectory
from scipy.optimize import curve_fit

from dxflow.simulate import Plant, Waveforms, make_run

LIT = [True, False, True, True]


def test_each_pulse_has_the_peak_that_the_truth_says(tmp_path):
    options = {"lit": LIT, "devices": ("digitizer",), "plant": Plant(shut_trains=(2,), missing_trains=(1,))}
    truth = make_run(tmp_path, detector=None, trains=4, pulses=4, **options)
    source = truth.devices["digitizer"] + ":network"
    traces = RunDirectory(tmp_path)[source, "digitizers.channel_1_A.raw.samples"].xarray()
    np.testing.assert_array_equal(traces.trainId, truth.train_ids)
    # The second train is missing, and the third behind a closed shutter.
    assert truth.waves[:, 0].tolist() == [0, 0, 0, 2, 2, 2]
    energies = truth.energy[truth.lit & np.isin(truth.frame_train_ids, truth.train_ids[[0, 2]])]
    np.testing.assert_allclose(truth.waves[:, 2], 2000 * energies / truth.pulse_energy, rtol=1e-6)

    def peak(t, top, height, level):
        return level + height * np.exp(-0.5 * ((t - top) / np.where(t < top, 3.0, 6.0)) ** 2)

    for train, top, height, area in truth.waves:
        around = np.arange(int(top) - 30, int(top) + 40)
        trace = traces.values[int(train), around].astype(float)
        level = np.median(traces.values[int(train)])
        found, spread = curve_fit(peak, around, trace, (top, height, level))
        error = np.sqrt(np.diag(spread))
        assert abs(found[0] - top) < 4 * error[0]
        assert abs(found[1] - height) < 4 * error[1]
        fine = np.linspace(top - 40, top + 60, 200_001)
        assert np.trapezoid(peak(fine, top, height, 0), fine) == pytest.approx(area, rel=1e-5)
    assert traces.values[1].max() < np.median(traces.values[1]) + 60


def test_high_peaks_are_cut_off_and_negative_ones_go_down():
    waves = Waveforms(height=1e6, noise=0, drift=0)
    found = waves.trace(0, 1, waves.peaks(0, 1, np.zeros(1), np.ones(1)))
    assert found.max() == 32767
    down = Waveforms(height=-200, noise=0, drift=0, jitter=0)
    assert down.trace(0, 1, down.peaks(0, 1, np.zeros(1), np.ones(1))).min() == 100


def test_traces_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="rise must be positive"):
        Waveforms(rise=0)
