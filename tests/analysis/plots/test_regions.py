"""Regions and masks picked by simulated mouse and keys: they have the pixels that lie under the mouse."""

import io

import numpy as np
import pytest
import xarray as xr
from matplotlib.backend_bases import KeyEvent, MouseEvent
from matplotlib.figure import Figure

from dxflow.algorithms.roi import RoiSum
from dxflow.analysis.plots.regions import Regions

SS, FS = 20, 30


def axes():
    # Its canvas draws nothing unless it is saved.
    return Figure((6, 6)).subplots()


def image(modules=3):
    values = np.random.default_rng(0).random((modules, SS, FS))
    return xr.DataArray(values, {"module": 4 + np.arange(modules)}, ("module", "ss", "fs"), name="mean")


def drag(picked, *points):
    """Move the mouse over points of the axes with the button down."""
    canvas = picked.axes.figure.canvas
    places = [picked.axes.transData.transform(point) for point in points]
    names = ["button_press_event", *["motion_notify_event"] * (len(points) - 1), "button_release_event"]
    for name, (x, y) in zip(names, [*places, places[-1]], strict=True):
        MouseEvent(name, canvas, x, y, 1)._process()


def press(picked, key):
    KeyEvent("key_press_event", picked.axes.figure.canvas, key)._process()


def test_a_rectangle_is_the_pixels_whose_centres_it_has():
    picked = Regions(image(1), ax=axes())
    # What matplotlib's own selectors make of this key does not matter.
    press(picked, "r")
    drag(picked, (4.6, 2.4), (10.0, 5.0), (12.4, 9.6))
    assert picked.rois == {"roi1": [(4, 5), (3, 10), (5, 13)]}
    assert picked.regions("roi1") == [(4, 3, 10, 5, 13)]
    RoiSum(rois=picked.rois)
    RoiSum(regions=picked.regions("roi1"))
    with pytest.raises(KeyError, match="there are: roi1"):
        picked.regions("roi2")


def test_modules_side_by_side_have_a_region_each():
    picked = Regions(image(), ax=axes())
    # Two columns of modules of 30 columns with a gap of one between them.
    drag(picked, (27.6, 1.6), (33.4, 4.4))
    assert picked.rois == {
        "roi1_m4": [(4, 5), (2, 5), (28, 30)],
        "roi1_m5": [(5, 6), (2, 5), (0, 3)],
    }
    RoiSum(rois=picked.rois)


def test_what_has_no_pixel_is_no_region_and_the_last_one_is_taken_back():
    picked = Regions(image(), ax=axes())
    patches = len(picked.axes.patches)
    drag(picked, (1, 1), (5, 5))
    drag(picked, (2, 2), (6, 6))
    picked.add(30.1, 30.4, 1, 5)
    assert list(picked.rois) == ["roi1", "roi2"]
    press(picked, "z")
    assert list(picked.rois) == ["roi1"]
    drag(picked, (2, 2), (6, 6))
    assert list(picked.rois) == ["roi1", "roi2"]
    for _ in range(3):
        press(picked, "z")
    assert picked.rois == {}
    assert len(picked.axes.patches) == patches


def test_pixels_within_a_line_are_not_used_until_they_are_used_again():
    picked = Regions(image(1), ax=axes())
    press(picked, "m")
    assert picked.mode == "mask"
    drag(picked, (1.5, 2.5), (10.5, 2.5), (10.5, 7.5), (1.5, 7.5))
    expected = np.zeros((1, SS, FS), bool)
    expected[0, 3:8, 2:11] = True
    np.testing.assert_array_equal(picked.mask, expected)
    assert picked.rois == {}
    press(picked, "u")
    drag(picked, (4.5, 0.5), (30, 0.5), (30, 19), (4.5, 19))
    expected[0, 3:8, 5:] = False
    np.testing.assert_array_equal(picked.mask, expected)
    press(picked, "z")
    expected[0, 3:8, 2:11] = True
    np.testing.assert_array_equal(picked.mask, expected)
    press(picked, "a")
    assert picked.mode == "roi"
    RoiSum(mask=picked.mask)
    picked.axes.figure.savefig(io.BytesIO(), dpi=30)


def test_with_a_geometry_pixels_are_where_they_are_seen():
    ss, fs = np.indices((SS, FS))
    # Two modules beside the beam, the second one turned by half a turn, pixels of 1 mm.
    first = np.stack([fs - 35.0, ss - 10.0, np.full(ss.shape, 1000.0)], -1)
    second = np.stack([35.0 - fs, 10.0 - ss, np.full(ss.shape, 1000.0)], -1)
    picked = Regions(image(2).values, geometry=np.stack([first, second]) / 1e3, ax=axes())
    assert picked.axes.get_xlabel() == "x (mm)"
    drag(picked, (-9.4, 2.6), (9.4, 6.4))
    assert picked.rois == {"roi1_m0": [(0, 1), (13, 17), (26, 30)], "roi1_m1": [(1, 2), (4, 8), (26, 30)]}
    picked.mode = "mask"
    drag(picked, (30.5, -9.5), (40, -9.5), (40, 0.5), (30.5, 0.5))
    expected = np.zeros((2, SS, FS), bool)
    expected[1, 10:20, :5] = True
    np.testing.assert_array_equal(picked.mask, expected)
    picked.axes.figure.savefig(io.BytesIO(), dpi=30)


def test_a_mask_to_begin_with_and_what_is_refused():
    begun = np.zeros((3, SS, FS), bool)
    begun[1, 2, 3] = True
    picked = Regions(image(), mask=begun, ax=axes())
    np.testing.assert_array_equal(picked.mask, begun)
    picked.mask[:] = True
    np.testing.assert_array_equal(picked.mask, begun)
    with pytest.raises(ValueError, match="as the image"):
        Regions(image(), mask=begun[0], ax=axes())
    with pytest.raises(ValueError, match=r"expected \(module, ss, fs\)"):
        Regions(np.zeros(3), ax=axes())
    with pytest.raises(ValueError, match="expected one of roi"):
        picked.mode = "lasso"


def test_a_backend_without_mouse_is_refused_in_words():
    import matplotlib as mpl

    with mpl.rc_context({"backend": "agg"}), pytest.raises(RuntimeError, match="%matplotlib widget"):
        Regions(image())


def test_a_name_is_that_of_one_region():
    picked = Regions(image(), ax=axes())
    picked.add(0, 4, 0, 4, name="a")
    patches, before = len(picked.axes.patches), picked.rois
    # The second one is in two modules: its parts would be b_m4 and b_m5.
    picked.add(9, 12, 1, 4, name="b_m4")
    for name, right in (("a", 4), ("a", 33), ("b_m4", 4), ("b", 33)):
        with pytest.raises(ValueError, match="there are: a, b_m4"):
            picked.add(0, right, 0, 4, name=name)
    assert list(picked.rois) == ["a", "b_m4"]
    press(picked, "z")
    assert picked.rois == before
    assert len(picked.axes.patches) == patches
    press(picked, "z")
    press(picked, "z")
    assert picked.rois == {}
    picked.add(5, 9, 0, 4, name="a")
    assert picked.rois == {"a": [(4, 5), (0, 5), (5, 10)]}


def test_regions_that_are_dragged_are_called_as_no_other_and_no_part_of_one():
    picked = Regions(image(), ax=axes())
    picked.add(0, 4, 0, 4, name="roi1_m5")
    drag(picked, (27.6, 1.6), (33.4, 4.4))
    assert list(picked.rois) == ["roi1_m5", "roi2_m4", "roi2_m5"]


def test_a_mask_of_an_image_of_two_axes_has_them_too():
    one = image(1)[0]
    begun = np.zeros((SS, FS), bool)
    begun[2, 3] = True
    for given in (begun, begun[None]):
        picked = Regions(one, mask=given, ax=axes())
        np.testing.assert_array_equal(picked.mask, begun)
    assert picked.rois == {}
    picked.add(0, 4, 0, 4)
    assert picked.rois == {"roi1": [(4, 5), (0, 5), (0, 5)]}
    picked.mode = "mask"
    picked.enclose([(4.5, 4.5), (6.5, 4.5), (6.5, 6.5), (4.5, 6.5)])
    begun[5:7, 5:7] = True
    np.testing.assert_array_equal(picked.mask, begun)
    RoiSum(mask=picked.mask)
    np.testing.assert_array_equal(Regions(one.values, ax=axes()).mask, np.zeros((SS, FS), bool))
    # An image of one module with its axis keeps it, whatever the mask had.
    np.testing.assert_array_equal(Regions(image(1), mask=begun, ax=axes()).mask, begun[None])
    with pytest.raises(ValueError, match=r"expected \(20, 30\), as the image"):
        Regions(one, mask=begun[:-1], ax=axes())
