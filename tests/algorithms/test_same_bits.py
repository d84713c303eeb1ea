"""All algorithms of a kind in one pass: the same bits on any number of workers, and after it was interrupted."""

import os

import numpy as np
import pytest
from readings import same
from runs import make_run

import dxflow
from dxflow import Algorithm, Frames, From, Key, Labels, Output
from dxflow.algorithms.assemble import Assemble
from dxflow.algorithms.autocorrelation import Autocorrelation
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.calibrate import Calibrate
from dxflow.algorithms.contrast import Contrast
from dxflow.algorithms.dark import Pedestal
from dxflow.algorithms.difference import Difference
from dxflow.algorithms.droplets import Droplets
from dxflow.algorithms.g2 import G2
from dxflow.algorithms.histogram import Histogram
from dxflow.algorithms.imagecube import ImageCube
from dxflow.algorithms.integrating import Integrating
from dxflow.algorithms.keep import Keep
from dxflow.algorithms.photons import Photonise
from dxflow.algorithms.photonstats import PhotonStatistics
from dxflow.algorithms.projection import Projection
from dxflow.algorithms.roi import RoiSum
from dxflow.algorithms.sparsify import Sparsify
from dxflow.algorithms.spectrum import Spectrum
from dxflow.algorithms.sums import ImageSums
from dxflow.algorithms.timetool import TimeTool
from dxflow.algorithms.twotime import TwoTime
from dxflow.algorithms.waveform import Waveform
from dxflow.algorithms.xas import Xas
from dxflow.algorithms.xcca import AngularCorrelation
from dxflow.clusters import Local
from dxflow.simulate import Plant, Scan

SIZE = {"detector": "AGIPD500K", "module_shape": (16, 16), "trains": 12, "pulses": 6, "sequences": 3}
PLANT = Plant(lost_trains={3: (0, 7)}, silent_trains={5: (2,)}, empty_trains=(9,))
DEVICES = ("xgm", "motor", "timeserver", "ppd", "digitizer", "timetool", "camera")


class Stumbles(Algorithm):
    """Is interrupted in one train, the first time."""

    ALG_ID = "stumbles"
    inputs = {"img": Frames("image.data")}

    def outputs(self, info):
        return {"n": Output(per="train", dtype="i4", merge="max")}

    def process_module_data(self, block, out):
        if int(block.train_ids[0]) == 10009 and os.environ.pop("STUMBLE", ""):
            raise KeyboardInterrupt
        out.n = len(block)


def of_corrected(run):
    """Every algorithm of corrected frames, pulses and traces, some of them grouped."""
    motor = Key(run.devices["motor"], "actualPosition")
    by, labels = Labels(motor).steps(0.01, least=1), np.ones((8, 16, 16), int)
    pumped = Labels.pumped(frames=Frames())
    camera = Key(run.devices["camera"] + ":daqOutput", "data.image.bitsPerPixel")
    line = Key(run.devices["timetool"] + ":daqOutput", "data.image.pixels")
    trace = Key(run.devices["digitizer"] + ":network", "digitizers.channel_1_A.raw.samples")
    return [
        Average(by=by),
        ImageCube(by=by, i0=Key(run.devices["xgm"], "pulseEnergy.photonFlux")),
        AzimuthalIntegration(nbins=30, errors="poisson"),
        AzimuthalIntegration(nbins=12, nchi=6, per="run", name="image", by=by),
        Difference(on=pumped, by=by),
        Spectrum(),
        Xas(i0=Key(run.devices["xgm"], "pulseEnergy.photonFlux"), energy=motor, steps=[0, 0.5, 1]),
        TwoTime(labels=labels),
        G2(labels=labels),
        Contrast(labels=labels, photons=5),
        AngularCorrelation(nbins=8, nchi=16),
        Photonise(),
        PhotonStatistics(labels=labels),
        Droplets(threshold=0.7),
        RoiSum(rois={"a": [(0, 8), (2, 9), (3, 16)]}),
        Projection(rebin=(4, 4)),
        Histogram(edges=np.arange(-1, 6.5, 0.5)),
        ImageSums(),
        Assemble(per="run"),
        Sparsify(threshold=2.5),
        Autocorrelation(),
        Waveform(trace=trace, baseline=(0, 100), window=(130, 190), threshold=300),
        TimeTool(line=line, reference=1),
        Integrating(of=From("roi.sum"), slow=camera),
        Keep(keys={"xgm": f"{run.devices['xgm']}:output:data.intensityTD", "x": motor, "bits": camera}),
    ]


def of_raw(run):
    """Every algorithm of raw frames."""
    shape = (1, 6, 8, 16, 16)
    constants = {"offset": np.full(shape, run.pedestal[None, None], "f4"), "noise": np.full(shape, 5, "f4")}
    calibrate = Calibrate(constants=constants, stage="high", common_mode="asic")
    img = From("calibrate.img")
    return [
        Pedestal(walk="blocks"),
        calibrate,
        Average(img=img),
        ImageSums(img=img),
        AzimuthalIntegration(img=img, nbins=20),
    ]


KINDS = {"corr": of_corrected, "raw": of_raw}


@pytest.fixture(scope="module", params=list(KINDS))
def made(request, tmp_path_factory):
    """A run, what is to be done with it, and what comes out in this process."""
    path = tmp_path_factory.mktemp(request.param) / "r0001"
    options = {
        "data": request.param,
        "plant": PLANT,
        "pump": "pulses",
        "scan": Scan(0, 1, 3),
        "devices": DEVICES,
    }
    run = make_run(path, **SIZE, **options)
    return run, KINDS[request.param], reduced(run, KINDS[request.param](run), "here")


def reduced(run, algorithms, cluster, to=None, **options):
    given = {"cluster": cluster, "on_fault": "mask", "quiet": True, "chunk": "3 trains", **options}
    return dxflow.reduce(run.path, algorithms, to, **given).dataset.load()


@pytest.mark.parametrize("workers", [2, 4])
def test_bits_are_the_same_on_any_number_of_workers(made, workers):
    run, listed, wanted = made
    same(reduced(run, listed(run), Local(workers)), wanted)


def test_bits_are_the_same_after_a_run_that_was_interrupted(made, tmp_path, monkeypatch):
    run, listed, wanted = made

    def again(**options):
        algorithms = [*listed(run), Stumbles()]
        return reduced(run, algorithms, "here", tmp_path / "out.zarr", **options)

    monkeypatch.setenv("STUMBLE", "once")
    with pytest.raises(KeyboardInterrupt):
        again()
    assert len(list((tmp_path / "out.zarr.partial").glob("chunk-*.fragment"))) > 0
    found = again(resume=True)
    # Beside outputs there is what is said of the one that stumbles.
    outputs = [name for name in wanted.data_vars if "." in str(name)]
    same(
        found[outputs].drop_vars(list(found[outputs].coords)),
        wanted[outputs].drop_vars(list(wanted[outputs].coords)),
    )


def test_bits_of_medians_by_strips_are_the_same_on_any_number_of_workers(tmp_path):
    run = make_run(tmp_path / "r0001", data="raw", **SIZE)
    dark = Pedestal(method="median", lit=1)
    wanted, *others = (reduced(run, [dark], where) for where in ("here", Local(2), Local(4)))
    for found in others:
        same(found, wanted)
