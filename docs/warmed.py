"""What examples have in common, done once in the process that theirs are forked from: libraries, kernels, a plot."""

from __future__ import annotations

import gc
import io
import tempfile
import threading
import time
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import dxflow
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.litframes import LitFrames
from dxflow.simulate import make_run

SIZE = {"detector": "AGIPD500K", "trains": 2, "pulses": 2, "module_shape": (8, 8)}


def warm() -> None:
    """Reduce a small run and draw it, and wait until no thread of that is left: those who are forked have none."""
    with tempfile.TemporaryDirectory(prefix="dxflow-warm-") as folder:
        truth = make_run(Path(folder, "r0001"), **SIZE)
        several = [Average(), LitFrames(), AzimuthalIntegration(nbins=10)]
        made = dxflow.reduce(truth.path, several, f"{folder}/x.zarr", cluster="here", quiet=True)
        figure = Figure(layout="constrained")
        axes = figure.subplots()
        axes.plot(made.dataset["azint.mean"], label="x")
        axes.legend()
        FigureCanvasAgg(figure).print_png(io.BytesIO())
        del made
    until = time.monotonic() + 10
    while threading.active_count() > 1 and time.monotonic() < until:
        gc.collect()
        time.sleep(0.02)
    gc.freeze()


warm()
