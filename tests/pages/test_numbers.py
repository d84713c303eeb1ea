"""Numbers behind a picture: what pandas and numpy read of the files is what is drawn."""

import io
import zipfile

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from dxflow.pages.numbers import ROWS, file_of


def test_one_axis_is_a_table_with_all_digits():
    x = np.random.default_rng(1).normal(size=300)
    data = xr.Dataset(
        {"value": ("x", x), "low": ("x", x - 1), "missing": 3},
        {"x": np.arange(300) / 7},
        {"x": "q (Å⁻¹)", "y": "I\n=cmd"},
    )
    found = file_of(data, "azint.intensity")
    assert found.name.startswith("azint-intensity-")
    assert found.name.endswith(".csv")
    read = pd.read_csv(io.BytesIO(found.content), comment="#")
    assert np.array_equal(read["value"], x)
    assert np.array_equal(read["x"], data["x"])
    head = [line for line in found.content.decode().splitlines() if line.startswith("#")]
    assert head == ["# azint.intensity", "# x: q (Å⁻¹)", "# y: I =cmd", "# missing: 3"]


def test_texts_are_never_formulas_and_times_are_times():
    data = xr.Dataset(
        {"count": ("name", [1, 2, 3])},
        {"name": ["=1+1", "@sum", "plain"], "time": ("name", np.array([0, 1, 2], "M8[s]").astype("M8[ns]"))},
    )
    read = pd.read_csv(io.BytesIO(file_of(data, "x").content), comment="#")
    assert list(read["name"]) == ["'=1+1", "'@sum", "plain"]
    assert read["time"][2].startswith("1970-01-01T00:00:02")


@pytest.mark.parametrize("name", ["image", "../../etc/passwd", "a/b\x00c"])
def test_two_axes_are_arrays_under_names_of_files(name):
    values = np.random.default_rng(2).normal(size=(20, 30))
    found = file_of(xr.Dataset({name: (("y", "x"), values)}, attrs={"x": "mm"}), name)
    assert found.name.endswith(".npz")
    assert not set(found.name) & set("/\\\x00")
    with zipfile.ZipFile(io.BytesIO(found.content)) as folder:
        assert not [one for one in folder.namelist() if "/" in one or ".." in one]
    read = np.load(io.BytesIO(found.content), allow_pickle=False)
    (own,) = set(read) - {"about"}
    assert np.array_equal(read[own], values.astype("f4"))
    assert read["about"][1] == "x: mm"


def test_what_is_large_is_left_out():
    noise = np.random.default_rng(3).random((500, 500))
    assert file_of(xr.Dataset({"image": (("y", "x"), noise)}), "image") is None
    long = xr.Dataset({"value": ("x", np.zeros(ROWS + 1))})
    assert file_of(long, "zeros").name.endswith(".npz")


def test_the_link_is_of_the_file():
    link = file_of(xr.Dataset({"value": ("x", [1.0])}), 'a"><script>').link
    assert link.count("<") == 2
    assert "data:text/csv;base64," in link


def test_whole_numbers_are_the_same_in_the_file():
    counts = np.array([[2.0**24 + 1, np.nan], [1.0, 2.0**40 + 1]])
    read = np.load(io.BytesIO(file_of(xr.Dataset({"image": (("y", "x"), counts)}), "n").content))
    assert np.array_equal(read["image"], counts, equal_nan=True)
    read = np.load(io.BytesIO(file_of(xr.Dataset({"image": (("y", "x"), counts + 0.25)}), "n").content))
    assert read["image"].dtype == np.float32
    assert "image: float32 of float64" in read["about"]


def test_counts_of_a_large_detector_are_few_bytes():
    counts = np.full((1000, 1000), 320.0)
    counts[300:320] = 0
    found = file_of(xr.Dataset({"image": (("y", "x"), counts)}), "n")
    assert np.array_equal(np.load(io.BytesIO(found.content))["image"], counts)
