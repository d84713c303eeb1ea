"""Runs that tests of algorithms share."""

import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from runs import make_run  # noqa: E402

from dxflow.simulate import Plant  # noqa: E402


@pytest.fixture(scope="session")
def holey(tmp_path_factory):
    """The truth of an AGIPD500K with NaN in its frames: 5 % at random, and pixels that always are.

    640 pixels per module: more than one tile of the kernels, and not a whole number of them.
    """
    folder = tmp_path_factory.mktemp("holey") / "r0003"
    truth = make_run(folder, detector="AGIPD500K", trains=7, pulses=11, module_shape=(16, 40), lit=0.5)
    random = np.random.default_rng(5)
    for file in Path(folder).glob("CORR*AGIPD*.h5"):
        with h5py.File(file, "r+") as f:
            for source in (s for s in f["INSTRUMENT"].values() if s.name.endswith("AGIPD500K2G")):
                source.visititems(lambda name, item: punch(name, item, random))
    return truth


def punch(name, item, random):
    """Put NaN into the frames of a module."""
    if name.endswith("image/data"):
        frames = item[()]
        frames[random.random(frames.shape) < 0.05] = np.nan
        frames[:, 3, 5:9] = np.nan
        item[()] = frames


@pytest.fixture(scope="session")
def raw(tmp_path_factory):
    """The truth of raw data of an AGIPD500K."""
    folder = tmp_path_factory.mktemp("raw") / "r0004"
    return make_run(
        folder, detector="AGIPD500K", data="raw", trains=5, pulses=6, module_shape=(16, 24), noise=0.5
    )


@pytest.fixture(scope="session")
def broken(tmp_path_factory):
    """The truth of an AGIPD500K without module 2, and whose module 5 lacks trains."""
    folder = tmp_path_factory.mktemp("broken") / "r0005"
    plant = Plant(missing_modules=(2,), lost_trains={5: (0, 4)}, missing_trains=(3,))
    return make_run(folder, detector="AGIPD500K", trains=8, pulses=4, module_shape=(16, 16), plant=plant)


@pytest.fixture(scope="session")
def camera(tmp_path_factory):
    """The truth of a run with just a camera, 9 trains."""
    folder = tmp_path_factory.mktemp("camera") / "r0006"
    return make_run(folder, detector=None, devices=("camera",), trains=9)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """The truth of three modules with 12 frames, of which one lacks a train: for what runs again and again."""
    folder = tmp_path_factory.mktemp("tiny") / "r0007"
    options = {"detector": "AGIPD500K", "modules": 3, "trains": 4, "pulses": 3, "module_shape": (16, 40)}
    return make_run(folder, plant=Plant(lost_trains={1: (2,)}), **options)
