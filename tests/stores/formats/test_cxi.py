"""CXI: images as EXtra-data reads them, and peaks where CrystFEL looks for them."""

import h5py
import numpy as np
import pytest
from extra_data import RunDirectory
from extra_data.components import AGIPD1M
from samples import RoiSum

import dxflow
from dxflow import Algorithm, Frames, Key, Output, PlanError
from dxflow.simulate import make_run
from dxflow.stores.formats.cxi import Cxi
from dxflow.testing import check_store


class Peaks(Algorithm):
    """Finds planted peaks: as many as the pulse's number in its train, in module 2."""

    ALG_ID = "peaks"
    inputs = {"img": Frames("image.data")}
    columns = 4
    frames = True

    def outputs(self, info):
        return {"found": Output(per="event", shape=(self.columns,), dims=("peak",))}

    def process_train_data(self, train, out):
        for n in range(len(train["img"])):
            rows = [[2, 3 + k, 5 + k, 100 * n + k] for k in range(n)]
            if rows:
                out.found.append(rows, frames=[n] * n if self.frames else None)


class Narrow(Peaks):
    columns = 3


class Homeless(Peaks):
    frames = False


@pytest.fixture(scope="module")
def result(run, tmp_path_factory):
    to = tmp_path_factory.mktemp("cxi") / "r.cxi"
    return dxflow.reduce(run.path, [RoiSum(), Peaks()], to, cluster="here")


def test_the_store_passes_the_conformance_check():
    check_store(Cxi, "r.cxi")


def test_images_are_those_that_extra_data_reads(result, run):
    detector = AGIPD1M(RunDirectory(str(run.path)))
    wanted = detector["image.data"].ndarray().swapaxes(0, 1)
    with h5py.File(result.path) as file:
        assert file["cxi_version"][0] == 150
        np.testing.assert_array_equal(file["entry_1/data_1/data"][()], wanted)
        assert file["entry_1/instrument_1/detector_1/data"].is_virtual


def test_peaks_are_a_row_per_frame_with_stacked_modules(result, run):
    with h5py.File(result.path) as file:
        group, lines = file["entry_1/result_1"], 16
        first = np.r_[0, np.flatnonzero(np.diff(file["entry_1/trainId"][()].astype("i8"))) + 1]
        frames = np.arange(len(file["entry_1/trainId"]))
        expected = frames - first[np.searchsorted(first, frames, side="right") - 1]
        np.testing.assert_array_equal(group["nPeaks"], expected)
        for frame in (3, 5, len(frames) - 1):
            n = expected[frame]
            np.testing.assert_array_equal(group["peakXPosRaw"][frame, :n], 5 + np.arange(n))
            np.testing.assert_array_equal(group["peakYPosRaw"][frame, :n], 2 * lines + 3 + np.arange(n))
            np.testing.assert_array_equal(group["peakTotalIntensity"][frame, :n], 100 * n + np.arange(n))
            assert not group["peakTotalIntensity"][frame, n:].any()


def test_with_peaks_come_images_whose_modules_lie_behind_one_another(result):
    with h5py.File(result.path) as file:
        detector, data = file["entry_1/instrument_1/detector_1"], file["entry_1/data_1"]
        for name, stacked in (("data", "stacked"), ("mask", "stacked_mask")):
            images = detector[name][()]
            frames, modules, rows, columns = images.shape
            assert data[stacked].is_virtual
            np.testing.assert_array_equal(data[stacked][()], images.reshape(frames, modules * rows, columns))


def test_results_are_there_too_and_are_read_by_dxflow(result, run):
    opened = dxflow.open(result.path).dataset
    zarr = dxflow.reduce(run.path, [RoiSum(), Peaks()], cluster="here").dataset
    for name in zarr.variables:
        np.testing.assert_array_equal(opened[name].values, zarr[name].values)


def test_a_peak_list_of_too_few_columns_is_refused_before_the_run(run, tmp_path):
    with pytest.raises(PlanError, match=r"list of peaks.*but has 3"):
        dxflow.plan(run.path, Narrow(), tmp_path / "r.cxi")


def test_a_region_of_frames_is_refused_before_the_run(run, tmp_path):
    region = RoiSum(img=Frames("image.data", roi=np.s_[2:9, 3:8]))
    with pytest.raises(PlanError, match=r"whole frames, and .* is read with roi="):
        dxflow.plan(run.path, region, tmp_path / "r.cxi")


def test_peaks_without_a_frame_are_a_named_error_and_nothing_has_the_name(run, tmp_path):
    with pytest.raises(ValueError, match=r"peaks\.found: a peak in train 10001.*append\(rows, frames="):
        dxflow.reduce(run.path, Homeless(), tmp_path / "r.cxi", cluster="here")
    assert not (tmp_path / "r.cxi").exists()


def test_a_reduction_without_frames_is_refused(run, tmp_path):
    class OfKey(Algorithm):
        ALG_ID = "ofkey"
        inputs = {"x": Key("SA1_XTD2_XGM/XGM/DOOCS:output", "data.intensityTD")}

        def outputs(self, info):
            return {"s": Output(per="train")}

        def process_train_data(self, train, out):
            out.s = 1

    with pytest.raises(PlanError, match="CXI is for frames of a detector"):
        dxflow.plan(run.path, OfKey(), tmp_path / "r.cxi")


def test_peaks_of_frames_without_pulse_ids_are_found_by_their_memory_cell(tmp_path):
    truth = make_run(
        tmp_path / "j", detector="JUNGFRAU", trains=3, pulses=4, modules=2, module_shape=(16, 16)
    )
    dxflow.reduce(truth.path, Peaks(), tmp_path / "r.cxi", cluster="here")
    with h5py.File(tmp_path / "r.cxi") as file:
        assert file["entry_1/result_1/nPeaks"][()].tolist() == [0, 1, 2, 3] * 3
        assert file["entry_1/memoryCell"][()].ravel().tolist() == [0, 1, 2, 3] * 3
