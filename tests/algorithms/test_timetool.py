"""TimeTool against numpy and the edges that were planted."""

import numpy as np
import pytest
from extra_data import RunDirectory
from runs import make_run

import dxflow
from dxflow import Frames, From, Key, PlanError
from dxflow.algorithms import _timetool_kernels as kernels
from dxflow.algorithms.average import Average
from dxflow.algorithms.subtract import Subtract
from dxflow.algorithms.timetool import TimeTool
from dxflow.simulate import Plant
from dxflow.testing import check_algorithm

SHUT = (3, 7)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("timetool") / "r0001"
    options = {"devices": ("timetool", "camera"), "plant": Plant(shut_trains=SHUT)}
    return make_run(path, detector=None, trains=12, pulses=2, **options)


def line(run):
    return Key(run.devices["timetool"] + ":daqOutput", "data.image.pixels")


@pytest.fixture(scope="module")
def reference(run):
    shut = dxflow.FrameSelection(trains=run.train_ids[list(SHUT)].tolist())
    result = dxflow.reduce(run.path, Average(img=line(run)), frames=shut, cluster="here")
    return np.squeeze(result.dataset["average.mean"].values)


def lines(run):
    return RunDirectory(run.path)[line(run).source, line(run).key].ndarray().astype(float)


def made(run, **options):
    return dxflow.reduce(run.path, TimeTool(line=line(run), **options), cluster="here").dataset


def by_hand(values, reference, width):
    """Return the edge of a line, pixel by pixel."""
    r = values / reference - 1
    heights = np.full(len(r), np.nan)
    for k in range(width, len(r) - width + 1):
        heights[k] = r[k - width : k].mean() - r[k : k + width].mean()
    k = np.nanargmax(heights)
    a, b, c = heights[k - 1 : k + 2]
    noise = 1.482602218505602 * np.nanmedian(np.abs(heights - np.nanmedian(heights)))
    return k + (a - c) / (2 * (a - 2 * b + c)) - 0.5, b, b / noise


def test_edges_are_those_found_pixel_by_pixel_and_those_planted(run, reference):
    data = made(run, reference=reference, calibration=(-2.0, 0.01))
    position = data["timetool.position"].values
    for values, place, height, snr in zip(
        lines(run), position, data["timetool.amplitude"].values, data["timetool.snr"].values, strict=True
    ):
        wanted = by_hand(values, reference, 20)
        np.testing.assert_allclose([height, snr], wanted[1:], rtol=1e-9)
        if np.isfinite(place):
            assert place == pytest.approx(wanted[0], abs=1e-6)
    # Without X-rays there is no edge; the others are known to a fraction of their width.
    assert np.flatnonzero(np.isnan(position)).tolist() == list(SHUT)
    seen = np.isfinite(position)
    assert np.abs(position - run.edges)[seen].max() < 4 / 3
    np.testing.assert_allclose(data["timetool.time"], -2 + 0.01 * position)
    assert data["timetool.time"].attrs["units"] == "ps"
    assert (data["timetool.next"].values[seen] < data["timetool.amplitude"].values[seen] / 3).all()
    # The means of 20 pixels on either side make a triangle of an edge, 20 pixels wide at half of its height.
    assert np.abs(data["timetool.fwhm"].values[seen] - 23).max() < 5


def test_a_template_of_the_two_means_is_the_same(run, reference):
    means = np.repeat([1.0, -1.0], 20) / 20
    plain, same = made(run, reference=reference), made(run, reference=reference, template=means)
    np.testing.assert_allclose(same["timetool.amplitude"], plain["timetool.amplitude"], rtol=1e-9)
    np.testing.assert_allclose(same["timetool.position"] - 0.5, plain["timetool.position"], atol=1e-6)


def test_brighter_lines_have_the_same_edge_and_pixels_without_reference_none(run, reference):
    whole = made(run, reference=reference)
    half = made(run, reference=reference / 2)
    np.testing.assert_allclose(half["timetool.position"], whole["timetool.position"], atol=1e-9)
    np.testing.assert_allclose(half["timetool.amplitude"], 2 * whole["timetool.amplitude"])
    dead = reference.copy()
    dead[[5, 500]] = 0, np.nan
    np.testing.assert_allclose(
        made(run, reference=dead)["timetool.position"], whole["timetool.position"], atol=1e-9
    )
    around = made(run, reference=reference, window=(0, 60))["timetool.position"]
    assert np.isnan(around).all()


def test_rows_of_images_are_added_up(run):
    camera = Key(run.devices["camera"] + ":daqOutput", "data.image.pixels")
    images = RunDirectory(run.path)[camera.source, camera.key].ndarray().astype(float)
    flat = np.full(images.shape[1:], 50.0)
    tool = TimeTool(line=camera, reference=flat, rows=(10, 30), width=5, edge="rising", min_snr=0)
    data = dxflow.reduce(run.path, tool, cluster="here").dataset
    r = images[:, 10:30].sum(axis=1) / (50 * 20) - 1
    wanted = [max(x[k : k + 5].mean() - x[k - 5 : k].mean() for k in range(5, 60)) for x in r]
    np.testing.assert_allclose(data["timetool.amplitude"], wanted, rtol=1e-10)


def test_images_that_an_algorithm_made_of_a_camera_are_lines_as_well(run, broken):
    camera = Key(run.devices["camera"] + ":daqOutput", "data.image.pixels")
    how = {"reference": 1, "width": 5, "min_snr": 0}
    plain = dxflow.reduce(run.path, TimeTool(line=camera, **how), cluster="here").dataset
    pedestal = np.zeros(dxflow.plan(run.path, TimeTool(line=camera, **how)).inputs[0].shape[1:])
    both = [Subtract(img=camera, dark=pedestal), TimeTool(line=From("subtract.img"), **how)]
    data = dxflow.reduce(run.path, both, cluster="here").dataset
    np.testing.assert_allclose(data["timetool.amplitude"], plain["timetool.amplitude"], rtol=1e-6)
    with pytest.raises(PlanError, match="modules; expected one camera"):
        dxflow.plan(broken.path, TimeTool(line=Frames("image.data"), **how), on_fault="mask")


def test_a_reference_is_taken_in_every_form(run, reference, tmp_path):
    np.save(tmp_path / "light.npy", reference)
    shut = dxflow.FrameSelection(trains=run.train_ids[list(SHUT)].tolist())
    stored = dxflow.reduce(
        run.path, Average(img=line(run)), tmp_path / "light.zarr", frames=shut, cluster="here"
    )
    wanted = made(run, reference=reference)["timetool.position"]
    for given in (stored, stored.path, str(stored.path), stored.dataset, tmp_path / "light.npy"):
        np.testing.assert_array_equal(made(run, reference=given)["timetool.position"], wanted)


def test_an_edge_outside_of_the_window_has_no_place_though_its_flank_is_inside():
    r = np.zeros(512)
    r[300:] = -0.3
    heights = np.empty(512)
    kernels.steps(r, 20, -1.0, heights)
    assert kernels.peak(heights, 0, 400, 40)[0] == pytest.approx(300)
    for window in ((0, 295), (305, 400)):
        assert np.isnan(kernels.peak(heights, *window, 40)[0])


def test_lines_whose_light_only_rises_have_no_width_and_no_error():
    # Heights of falling edges are all the same, and negative.
    heights = np.full(50, -0.5)
    place, height, width, _ = kernels.peak(heights, 0, 50, 10)
    assert height == -0.5
    assert np.isnan(width)
    assert place in range(50) or np.isnan(place)


def test_an_infinite_pixel_is_no_edge(run, reference):
    tool = TimeTool(line=line(run), reference=reference)
    tool.initialize(dxflow.plan(run.path, tool).algorithms[0].info)
    values = lines(run)[0]
    wanted = tool._edge(values)
    values[5] = np.inf
    assert tool._edge(values)["position"] == pytest.approx(wanted["position"])


def test_the_contract_of_algorithms_is_kept(run, reference):
    check_algorithm(lambda: TimeTool(line=line(run), reference=reference, calibration=(0, 1)), run.path)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"width": 0}, "width=0"),
        ({"rows": (0, 2)}, "has \\(512,\\) pixels"),
        ({"window": (0, 600)}, "has \\(512,\\) pixels"),
        ({"width": 300}, "width=300"),
        ({"reference": np.ones(5)}, "expected \\(512,\\)"),
        ({"reference": "nowhere.npy"}, "reference='nowhere.npy'"),
        ({"reference": np.ones((2, 512))}, "expected \\(512,\\)"),
        ({"reference": 0}, "no light"),
        ({"template": np.zeros(4)}, "weights"),
        ({"template": np.ones(600)}, "600 pixels"),
        ({"template": "nowhere.npy"}, "nowhere.npy"),
        ({"template": np.ones(4), "edge": "rising"}, "which way"),
        ({"calibration": []}, "coefficients"),
        ({"unit": "fs"}, "give calibration="),
    ],
)
def test_what_cannot_be_is_refused(run, options, says):
    with pytest.raises(ValueError, match=says):
        dxflow.plan(run.path, TimeTool(**{"line": line(run), "reference": 1, **options}))


def test_what_is_no_camera_is_refused(run):
    with pytest.raises(ValueError, match="line="):
        TimeTool(reference=1)
    with pytest.raises(PlanError, match="expected lines"):
        dxflow.plan(run.path, TimeTool(line=Key(run.devices["timetool"], "exposureTime"), reference=1))
