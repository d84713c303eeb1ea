"""Files of a volume that were cut are compared with their originals: each change is found, and nothing else."""

import shutil

import h5py
import numpy as np
import pytest
from proposals import SMALL
from runs import make_run

import dxflow
from dxflow.red.comparing import compare

OPTIONS = {
    "frames": {"frames": dxflow.FrameSelection(pulses=slice(0, 5)), "trains": slice(10002, 10004)},
    "coded": {"round": "abs=0.5", "codec": "deflate"},
    "regions": {"modules": [1]},
    "trains": {"trains": [10001, 10004]},
}


@pytest.fixture(scope="module", params=["1.3", "1.0"])
def run(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "r0001"
    make_run(path, version=request.param, **SMALL)
    return path


@pytest.fixture(scope="module", params=OPTIONS)
def copy(request, run, tmp_path_factory):
    """A copy, and the options it was made by."""
    to = tmp_path_factory.mktemp("copy") / "r0001"
    given = OPTIONS[request.param]
    dxflow.copy_run(run, to, cluster="here", quiet=True, **given)
    return to, given


def image(file):
    (source,) = [name for name in _sources(file) if "CH0" in name]
    return file[f"INSTRUMENT/{source}/image"]


def _sources(file):
    found = []
    file["INSTRUMENT"].visit(lambda name: found.append(name) if name.count("/") == 2 else None)
    return found


def compared(copy, run, options):
    return {
        path.name: found
        for path in sorted(copy.glob("*.h5"))
        if (found := compare(path, run / path.name, options, lambda n: None))
    }


def test_what_was_cut_is_what_was_to_remain(copy, run):
    assert compared(copy[0], run, copy[1]) == {}


@pytest.mark.parametrize("change", ["value", "nan", "id", "order", "train", "control"])
def test_each_change_is_found(copy, run, change, tmp_path):
    shutil.copytree(copy[0], tmp_path / "copy")
    name = next(path.name for path in sorted(copy[0].glob("*AGIPD01*")))
    if change == "control":
        name = next(path.name for path in sorted(copy[0].glob("*.h5")) if "AGIPD" not in path.name)
    with h5py.File(tmp_path / "copy" / name, "r+") as file:
        if change == "value":
            image(file)["data"][0, 3, 3] += 2
        elif change == "nan":
            image(file)["data"][0, 3, 3] = np.nan
        elif change == "id":
            image(file)["pulseId"][0] += 1
        elif change == "order":
            image(file)["data"][...] = image(file)["data"][:][::-1]
        elif change == "train":
            file["INDEX/trainId"][0] += 1000
        else:
            found = []
            file["CONTROL"].visititems(
                lambda path, item: found.append(path) if isinstance(item, h5py.Dataset) else None
            )
            one = next(path for path in found if file["CONTROL"][path].dtype.kind == "f")
            file["CONTROL"][one][0] += 1
    found = compared(tmp_path / "copy", run, copy[1])
    assert list(found) == [name]
    assert "is not what was to remain" in found[name][0]


def test_pixels_outside_of_a_region_may_be_replaced_and_no_others(run, tmp_path):
    inside = np.zeros((2, 8, 8), bool)
    inside[:, 2:5, 2:7] = True
    dxflow.copy_run(run, tmp_path / "copy", region=inside, outside=0, cluster="here", quiet=True)
    assert compared(tmp_path / "copy", run, {}) == {}
    name = next(path.name for path in (tmp_path / "copy").glob("*AGIPD01*"))
    with h5py.File(tmp_path / "copy" / name, "r+") as file:
        image(file)["data"][0, 3, 3] = 0
        recorded = any(one.startswith("REGION_REDUCTION") for one in file.get("RUN", ()))
    # Files of older versions say how many pixels are inside, and not which.
    assert list(compared(tmp_path / "copy", run, {})) == ([name] if recorded else [])
    with h5py.File(tmp_path / "copy" / name, "r+") as file:
        image(file)["data"][0, 3, 3] = 5
    assert list(compared(tmp_path / "copy", run, {})) == [name]


def test_damage_is_a_line_and_no_error(run, tmp_path):
    (tmp_path / "x.h5").write_bytes(b"x" * 100)
    (line,) = compare(tmp_path / "x.h5", next(run.glob("*.h5")), {}, lambda n: None)
    assert line.startswith("cannot be compared with ")
