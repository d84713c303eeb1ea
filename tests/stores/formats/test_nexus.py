"""NeXus: nexusformat reads it, and a viewer knows what to plot."""

import h5py
import numpy as np
import pytest
from samples import Bright, RoiSum, Stats, TrainSums

import dxflow
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.litframes import LitFrames
from dxflow.stores.formats.nexus import Nexus
from dxflow.testing import check_store


@pytest.fixture(scope="module")
def result(run, tmp_path_factory):
    to = tmp_path_factory.mktemp("nexus") / "r.nxs"
    return dxflow.reduce(
        run.path, [RoiSum(), Stats(), TrainSums(), Bright(), Average(per="cell")], to, cluster="here"
    )


def test_the_store_passes_the_conformance_check():
    check_store(Nexus, "r.nxs")


def test_every_result_is_an_nxdata_with_its_signal_axes_and_units(result):
    with h5py.File(result.path) as file:
        entry = file["entry"]
        for name, variable in result.dataset.data_vars.items():
            data = entry[name]
            assert data.attrs["NX_class"] == "NXdata"
            assert data.attrs["signal"] == name
            np.testing.assert_array_equal(data[name][()], variable.values)
            assert data[name].attrs.get("units") == variable.attrs.get("units")
            if variable.ndim:
                for axis, dim in zip(data.attrs["axes"], variable.dims, strict=True):
                    assert axis == (dim if dim in variable.coords else ".")
                    if axis != ".":
                        assert data[axis].shape == (variable.sizes[dim],)


def test_following_the_default_attributes_leads_to_something_to_plot(result):
    with h5py.File(result.path) as file:
        at = file
        while "default" in at.attrs:
            at = at[at.attrs["default"]]
        signal = at[at.attrs["signal"]]
        assert 1 <= signal.ndim <= 2
        assert signal.size > 1


@pytest.mark.parametrize(
    ("algorithms", "name"),
    [
        ([Average()], "average.mean"),
        ([Average(per="cell"), RoiSum()], "average.mean"),
        ([LitFrames(threshold=1)], "litframes.lit"),
        ([TrainSums(), RoiSum()], None),
    ],
)
def test_what_is_plotted_by_default_is_the_first_result_and_not_what_is_valid(
    run, tmp_path, algorithms, name
):
    result = dxflow.reduce(run.path, algorithms, tmp_path / "r.nxs", cluster="here")
    first = next(v for v in result.dataset.data_vars if v.startswith(algorithms[0].name) and "valid" not in v)
    with h5py.File(result.path) as file:
        at = file
        while "default" in at.attrs:
            at = at[at.attrs["default"]]
        assert at.attrs["signal"] == (name or first)
        assert at[at.attrs["signal"]].size > 1


def test_each_label_says_which_axis_it_belongs_to(result):
    with h5py.File(result.path) as file:
        data = file["entry/roisum.intensity"]
        for label in ("train_id", "pulse_id", "cell_id"):
            assert data.attrs[f"{label}_indices"].tolist() == [0]
            assert data[label].shape == data["roisum.intensity"].shape
        assert file["entry/average.mean"].attrs["cell_indices"].tolist() == [0]


def test_how_it_was_made_is_an_nxprocess(result):
    with h5py.File(result.path) as file:
        process = file["entry/process"]
        assert process.attrs["NX_class"] == "NXprocess"
        assert process["program"][()] == b"dxflow"
        assert b'"per": "cell"' in process["average.options/data"][()]


def test_nexusformat_finds_the_plottable_data_and_reads_the_same(result):
    nexus = pytest.importorskip("nexusformat.nexus")
    root = nexus.nxload(str(result.path))
    assert type(root["entry"]).__name__ == "NXentry"
    plottable = root.plottable_data
    assert plottable.nxsignal.nxname == root["entry"].attrs["default"]
    for name, variable in result.dataset.data_vars.items():
        data = root["entry"][name]
        assert type(data).__name__ == "NXdata"
        np.testing.assert_array_equal(data.nxsignal.nxvalue, variable.values)
    axes = root["entry"]["average.mean"].nxaxes
    np.testing.assert_array_equal(axes[0].nxvalue, result.dataset["cell"].values)


def test_curves_have_their_axis_with_its_unit(run, tmp_path):
    pytest.importorskip("extra_geom")
    try:
        made = dxflow.reduce(run.path, AzimuthalIntegration(nbins=20), tmp_path / "r.nxs", cluster="here")
    except (dxflow.PlanError, TypeError, ValueError) as e:
        pytest.skip(f"no geometry here: {e}")
    with h5py.File(made.path) as file:
        data = file["entry"][file["entry"].attrs["default"]]
        axis = data[data.attrs["axes"][-1]]
        assert axis.attrs["units"]
