"""Results stored with a codec by name: the same values for every reader; refused in the plan where there is none."""

import h5py
import hdf5plugin  # noqa: F401 - for the readers
import numpy as np
import programs
import pytest
import xarray as xr
import zarr
from runs import make_run

import dxflow
from dxflow import Frames, PlanError
from dxflow.algorithms.average import Average
from dxflow.codecs import table
from dxflow.commands.main import main

FORMATS = {
    ".zarr": ["deflate", "bitshuffle+lz4", "bitshuffle+zstd"],
    ".nc": ["deflate", "bitshuffle+lz4", "bitshuffle+zstd", "blosc2"],
    ".nxs": ["deflate", "bitshuffle+lz4", "bitshuffle+zstd", "blosc2"],
}
ALL = [(suffix, name) for suffix, names in FORMATS.items() for name in names]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("codecs") / "r0001"
    return make_run(path, trains=4, pulses=4, modules=2, module_shape=(128, 64)).path


@pytest.fixture(scope="module")
def plain(run):
    return dxflow.reduce(run, average(), cluster="here").dataset["average.mean"].values


def average():
    return Average(img=Frames(modules=(0, 1)), per="cell")


@pytest.mark.parametrize(("suffix", "name"), ALL)
def test_values_are_the_same_with_every_codec(run, plain, tmp_path, suffix, name):
    to = tmp_path / f"result{suffix}"
    made = dxflow.reduce(run, average(), to, cluster="here", codec=name)
    np.testing.assert_array_equal(made.dataset["average.mean"], plain)
    assert dxflow.open(to).dataset["average.mean"].equals(made.dataset["average.mean"])
    if suffix == ".zarr":
        array = zarr.open_group(to)["average.mean"]
        np.testing.assert_array_equal(array[...], plain)
        (blosc,) = [c for c in array.metadata.codecs[0].codecs if type(c).__name__ == "BloscCodec"]
        assert {"deflate": "zlib"}.get(name, name.rpartition("+")[2]) == blosc.cname.value
        np.testing.assert_array_equal(xr.open_zarr(to)["average.mean"], plain)
        return
    found = {}
    with h5py.File(to) as f:
        f.visititems(
            lambda n, i: found.__setitem__(n.rpartition("/")[2], i) if isinstance(i, h5py.Dataset) else None
        )
        mean = found["average.mean"]
        np.testing.assert_array_equal(mean[...], plain)
        plist = mean.id.get_create_plist()
        filters = tuple(plist.get_filter(n)[0] for n in range(plist.get_nfilters()))
    assert filters == tuple(code for code, _ in table.CODECS[name].filters())


@pytest.mark.parametrize(
    ("to", "codec", "says"),
    [
        ("x.zarr", "lzma", "there is no such codec"),
        ("x.zarr", "blosc2", "expected one of bitshuffle"),
        ("x.zarr", "sz3", "algorithm rounding"),
        ("x.nc", "quantised", "algorithm rounding"),
        ("x/", "bitshuffle+lz4", "leave codec= out"),
        ("x.zarr", 7, "codec=7"),
    ],
)
def test_what_a_format_does_not_know_is_refused_in_the_plan(run, tmp_path, to, codec, says):
    with pytest.raises(PlanError, match=says):
        dxflow.plan(run, average(), f"{tmp_path}/{to}", codec=codec)
    assert not list(tmp_path.iterdir())


def test_without_the_plugin_it_is_said_in_the_plan(run, tmp_path, monkeypatch):
    monkeypatch.setattr(table, "find_spec", lambda name: None)
    with pytest.raises(PlanError, match="pip install"):
        dxflow.plan(run, average(), tmp_path / "x.nc", codec="bitshuffle+lz4")
    # Zarr has its own.
    dxflow.plan(run, average(), tmp_path / "x.zarr", codec="bitshuffle+lz4")


def test_results_open_where_nobody_has_imported_the_plugin(run, plain, tmp_path):
    to = tmp_path / "x.nxs"
    dxflow.reduce(run, average(), to, cluster="here", codec="bitshuffle+zstd")
    code = (
        "import sys, dxflow; assert 'hdf5plugin' not in sys.modules; "
        "print(float(dxflow.open(sys.argv[1]).dataset['average.mean'].sum()))"
    )
    done = programs.run(code, str(to), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(float(np.nansum(plain)), rel=1e-6)


def test_the_command_line_has_the_same_names(run, tmp_path):
    to = tmp_path / "x.nxs"
    assert (
        main(["reduce", run, "--to", str(to), "--codec", "blosc2", "--modules", "0,1", "--quiet", "average"])
        == 0
    )
    assert "average.mean" in dxflow.open(to).dataset
