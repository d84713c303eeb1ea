"""Lines of a time tool against the edges that were planted."""

import numpy as np
from extra_data import RunDirectory
from scipy.optimize import curve_fit

from dxflow.simulate import Plant, TimeTool, make_run


def test_each_train_has_the_edge_that_the_truth_says(tmp_path):
    plant = Plant(shut_trains=(2,))
    truth = make_run(tmp_path, detector=None, trains=6, pulses=2, devices=("timetool",), plant=plant)
    lines = RunDirectory(tmp_path)[truth.devices["timetool"] + ":daqOutput", "data.image.pixels"].ndarray()
    assert np.flatnonzero(np.isnan(truth.edges)).tolist() == [2]
    at = np.arange(lines.shape[1])
    shape = np.exp(-0.5 * ((at - 255.5) / (512 / 3)) ** 2)

    def dimmed(at, light, edge, width, depth):
        return light * shape * (1 - depth / (1 + np.exp(-(at - edge) / width)))

    for line, edge in zip(lines[[0, 1, 3, 4, 5]], truth.edges[[0, 1, 3, 4, 5]], strict=True):
        found, spread = curve_fit(dimmed, at, line.astype(float), (8000, edge, 4, 0.25))
        assert np.all(np.abs(found - [found[0], edge, 4, 0.25]) < 4 * np.sqrt(np.diag(spread)))
    level = lines[2] / shape
    assert abs(level[:200].mean() / level[-200:].mean() - 1) < 0.01
    assert np.nanstd(TimeTool().edges(0, np.arange(400))) > 20
