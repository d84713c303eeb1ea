"""Histogram against numpy."""

import numpy as np
import pytest
from readings import images, same
from runs import make_run

import dxflow
from dxflow import From, Labels, PlanError
from dxflow.algorithms.histogram import Histogram
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.photons import Photonise
from dxflow.algorithms.subtract import Subtract
from dxflow.simulate import Flat
from dxflow.testing import check_algorithm

BAD = np.random.default_rng(4).random((8, 16, 40)) < 0.2
EDGES = [-1, 0, 0.1, 0.5, 0.75, 2]
"""Not equally far apart."""


def made(truth, *algorithms, **options):
    return dxflow.reduce(truth.path, list(algorithms), cluster="here", **options).dataset


def check(data, x, edges, name="histogram", **where):
    """Compare with numpy on the pixels x, (frame, pixel), of frames or of the run."""
    x = x.reshape(len(x), -1)
    parts = {"counts": lambda y: np.histogram(y[np.isfinite(y)], edges)[0]}
    parts |= {"below": lambda y: (y < edges[0]).sum(), "above": lambda y: (y > edges[-1]).sum()}
    parts["missing"] = lambda y: np.isnan(y).sum()
    for key, of in parts.items():
        found = data[f"{name}.{key}"].sel(where)
        expected = np.array([of(y) for y in x]) if "frame" in found.dims else of(x)
        np.testing.assert_array_equal(found, expected, key)


@pytest.mark.parametrize("per", ["frame", "run"])
@pytest.mark.parametrize("edges", [EDGES, np.linspace(-0.3, 1.7, 41)])
def test_bins_of_any_width_equal_numpy(holey, per, edges):
    data = made(holey, Histogram(edges=edges, per=per))
    check(data, images(holey), edges)
    np.testing.assert_array_equal(data["value_high"], edges[1:])
    total = sum(data[f"histogram.{name}"].sum() for name in ("counts", "below", "above", "missing"))
    assert total == images(holey).size


def test_values_on_an_edge_belong_to_the_bin_above_it_and_at_the_end_to_the_last(raw):
    low, high = int(images(raw).min()), int(images(raw).max())
    data = made(raw, Histogram(bins=high - low, range=(low, high), per="run"))
    check(data, images(raw), np.linspace(low, high, high - low + 1))
    assert data["histogram.above"] == 0
    tenths = np.round(np.arange(0, 1.01, 0.1), 1)
    found = Histogram(bins=10, range=(0, 1))
    np.testing.assert_allclose(found._edges, tenths)


def test_bins_of_very_different_widths_equal_numpy(holey):
    edges = np.concatenate([-np.geomspace(1, 1e-9, 20), np.geomspace(1e-9, 1e6, 60)])
    check(made(holey, Histogram(edges=edges)), images(holey), edges)
    check(made(holey, Histogram(edges=[0, 1e-300])), images(holey), [0, 1e-300])


def test_regions_by_name_and_a_mask(holey):
    regions = {"a": [(2, 5), (3, 12), (7, 30)], "b": [None, (20, 40)]}
    data, frames = made(holey, Histogram(rois=regions, mask=BAD, edges=EDGES)), images(holey)
    for name, cut in (("a", np.s_[2:5, 3:12, 7:30]), ("b", np.s_[:, :, 20:])):
        check(data, frames[(slice(None), *cut)][:, ~BAD[cut]], EDGES, roi=name)


def test_photons_are_counted_by_rounding_or_as_they_are_shared(holey):
    edges = np.arange(-0.5, 6)
    chain = [Photonise(method="share"), Histogram(name="shared", edges=edges, img=From("photons.img"))]
    data = made(holey, Histogram(photon=1.5, edges=edges), *chain)
    frames = images(holey).astype("f8")
    check(data, np.where(np.isnan(frames), np.nan, np.maximum(np.floor(frames / 1.5 + 0.5), 0)), edges)
    assert (data["shared.missing"] == np.isnan(frames).sum(axis=(1, 2, 3))).all()


def test_groups_of_frames_have_histograms_of_their_own(holey):
    lit = dxflow.reduce(holey.path, LitFrames(), cluster="here")
    data = made(holey, Histogram(edges=EDGES, per="run", by=Labels(lit, "litframes.lit")))
    flags = lit.dataset["litframes.lit"].values
    assert 0 < flags.sum() < len(flags)
    for flag in (False, True):
        check(data, images(holey)[flags == flag], EDGES, lit=flag)


def test_raw_data_after_a_dark_and_modules_that_lack_frames(raw, broken):
    data = made(raw, Subtract(dark=raw.pedestal), Histogram(img=From("subtract.img"), edges=[-50, 0, 9, 1e3]))
    check(data, images(raw).astype("f4") - raw.pedestal.astype("f4"), [-50, 0, 9, 1e3])
    data = made(broken, Histogram(edges=EDGES, modules=5), on_fault="mask")
    lacking = images(broken)[:, [list(broken.module_numbers).index(5)]]
    there = np.isfinite(lacking).any(axis=(1, 2, 3))
    # What is not there is not counted as missing pixels.
    for part in ("counts", "missing"):
        assert (data[f"histogram.{part}"].values[~there] == 0).all()
    check(data.isel(frame=np.flatnonzero(there)), lacking[there], EDGES)


def test_photons_of_a_flat_signal_have_the_numbers_of_poisson(tmp_path):
    options = {"detector": "AGIPD500K", "module_shape": (16, 16), "trains": 6, "pulses": 6}
    truth = make_run(tmp_path / "run", signal=Flat(0.8), noise=0.05, energy_spread=0, lit="all", **options)
    data = made(truth, Histogram(photon=1, edges=np.arange(-0.5, 5), per="run"))
    found = data["histogram.counts"].values
    expected = (
        0.8 ** np.arange(5) * np.exp(-0.8) / [1, 1, 2, 6, 24] * (found.sum() + int(data["histogram.above"]))
    )
    assert (np.abs(found - expected) < 5 * np.sqrt(expected)).all()


@pytest.mark.parametrize("options", [{"per": "frame"}, {"per": "run", "rois": {"a": [(1, 9)]}, "mask": BAD}])
def test_the_result_depends_neither_on_cuts_nor_on_company(tiny, options):
    check_algorithm(lambda: Histogram(edges=EDGES, **options), tiny.path, on_fault="mask")


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "expected one of edges=, and range="),
        ({"edges": [0, 1], "range": (0, 1)}, "expected one of edges="),
        ({"edges": [0, 1, 1]}, "numbers that rise"),
        ({"edges": [0]}, "two or more numbers"),
        ({"edges": [0, np.nan]}, "numbers that rise"),
        ({"range": (1, 0)}, "range=.1, 0."),
        ({"range": (0, 1), "bins": 0}, "bins=0"),
        ({"range": (0, 1), "photon": 0}, "photon=0; expected"),
        ({"range": (0, 1), "by": "x.zarr"}, "give per='run'"),
    ],
)
def test_what_cannot_be_meant_is_refused(options, says):
    with pytest.raises(ValueError, match=says):
        Histogram(**options)


def test_what_does_not_fit_is_refused_in_words(holey):
    with pytest.raises(PlanError, match="edges='x.npy'.*expected numbers"):
        Histogram(edges="x.npy")
    with pytest.raises(PlanError, match="ends outside"):
        dxflow.plan(holey.path, Histogram(edges=EDGES, ss=(0, 17)))


def test_on_the_command_line(holey, tmp_path):
    from dxflow.commands.main import main

    line = "histogram --edges -1 0 0.1 0.5 0.75 2 --per run --roi a 2 5 3 12 7 30 --cluster here --to"
    assert main(["reduce", str(holey.path), *line.split(), str(tmp_path / "x.zarr")]) == 0
    region = {"a": [(2, 5), (3, 12), (7, 30)]}
    same(
        dxflow.open(tmp_path / "x.zarr").dataset.load()[["histogram.counts"]],
        made(holey, Histogram(edges=EDGES, per="run", rois=region))[["histogram.counts"]],
    )
