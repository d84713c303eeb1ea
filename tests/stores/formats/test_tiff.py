"""TIFF: images that other programs open, beside the values they show."""

import numpy as np
import pytest
from samples import RoiSum, Stats

import dxflow
from dxflow.algorithms.average import Average
from dxflow.stores.formats.tiff import Tiff
from dxflow.stores.opening import verify
from dxflow.testing import check_store

tifffile = pytest.importorskip("tifffile")


def test_the_store_passes_the_conformance_check():
    def opened(path):
        # Images are no part of the dataset: `verify` is what notices their damage.
        if problems := verify(path):
            raise OSError(problems[0])
        return dxflow.Result(path).dataset

    check_store(Tiff, "r.tiff", opened=opened)


def test_tifffile_reads_each_output_per_pixel_as_modules_one_above_the_other(run, tmp_path):
    result = dxflow.reduce(run.path, [Stats(), RoiSum()], tmp_path / "r.tiff", cluster="here")
    images = sorted(p.name for p in (result.path / "images").iterdir())
    assert images == ["stats.count.tif", "stats.high.tif", "stats.low.tif", "stats.mean.tif"]
    for name in images:
        image = tifffile.imread(result.path / "images" / name)
        values = result.dataset[name.removesuffix(".tif")].values
        np.testing.assert_array_equal(image, values.reshape(-1, values.shape[-1]).astype("f4"))


def test_an_image_per_memory_cell_is_a_file_of_as_many_pages(run, tmp_path):
    result = dxflow.reduce(run.path, Average(per="cell"), tmp_path / "r.tiff", cluster="here")
    counts = result.dataset["average.count"].values
    with tifffile.TiffFile(result.path / "images" / "average.count.tif") as file:
        assert len(file.pages) == len(counts) > 1
        for page, cell in zip(file.pages, counts, strict=True):
            assert page.dtype == np.int32
            np.testing.assert_array_equal(page.asarray(), cell.reshape(-1, cell.shape[-1]))


def test_a_changed_image_is_found_by_verify(run, tmp_path):
    result = dxflow.reduce(run.path, Stats(), tmp_path / "r.tif", cluster="here")
    assert verify(result.path) == []
    image = result.path / "images" / "stats.mean.tif"
    image.write_bytes(image.read_bytes()[:-1])
    assert len(verify(result.path)) == 1
    assert "stats.mean.tif" in verify(result.path)[0]
