"""Outputs with an axis of groups or variants: as the labels of frames have them, counted by memory and cut."""

import numpy as np
import pytest
import xarray as xr

import dxflow
from dxflow import Algorithm, Frames, Labels, Output, PlanError
from dxflow.algorithms.average import Average

FRAMES = Frames(modules=(0, 1), mask=None)


class GroupSum(Algorithm):
    """Sum over the frames of each group, and how many there are."""

    ALG_ID = "group"
    inputs = {"img": FRAMES, "by": None}

    def outputs(self, info):
        groups = info["by"].values
        axis = {"shape": (len(groups),), "dims": ("group",), "coords": {"group": groups}}
        return {
            "sum": Output(per="pixel", **axis),
            "frames": Output(per="run", dtype="i8", **axis),
        }

    def initialize(self, info):
        self.number = {value: n for n, value in enumerate(info["by"].values.tolist())}

    def process_module_data(self, block, out):
        for frame, label, there in zip(block["img"], block["by"].tolist(), block.valid("by"), strict=True):
            if there:
                out.sum[self.number[label]] += np.nan_to_num(frame)
                out.frames[self.number[label]] += block.module == 0


class Above(Algorithm):
    """Pixels above each of some thresholds, frame by frame: variants of one reduction on one axis."""

    ALG_ID = "above"
    inputs = {"img": FRAMES}

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--thresholds", type=float, nargs="+", default=(1.0,))

    def outputs(self, info):
        n = len(self.thresholds)
        low = np.arange(n) / 2
        coords = {
            "variant": np.arange(n),
            "threshold": ("variant", self.thresholds, "adu"),
            "low": ("variant", low),
        }
        axis = {"shape": (n,), "dims": ("variant",), "coords": coords}
        return {"n": Output(per="img", **axis), "powder": Output(per="pixel", **axis)}

    def process_module_data(self, block, out):
        for n, threshold in enumerate(self.thresholds):
            above = block["img"] > threshold
            out.n[:, n] += above.sum(axis=(1, 2))
            out.powder[n] += above.sum(axis=0)


def images(truth):
    """Return the frames of modules 0 and 1, (frame, module, ss, fs)."""

    class Copy(Algorithm):
        ALG_ID = "copy"
        inputs = {"img": FRAMES}

        def outputs(self, info):
            return {"img": Output(per=("img", "pixel"), dtype="f4")}

        def process_module_data(self, block, out):
            out.img = block["img"]

    return dxflow.reduce(truth.path, Copy(), cluster="here").dataset["copy.img"].values.astype("f8")


def labels(truth, values, keep=slice(None)):
    ids = {"train_id": ("frame", truth.frame_train_ids), "pulse_id": ("frame", truth.pulse_ids)}
    return xr.DataArray(values, dims="frame", coords=ids)[keep]


@pytest.mark.parametrize(
    "values", [np.arange(72) % 5 * 10, np.array(["off", "on", "late"])[np.arange(72) % 3]]
)
def test_groups_are_what_labels_have(run, values):
    keep = np.arange(72) % 7 != 3
    found = dxflow.reduce(run.path, GroupSum(by=Labels(labels(run, values, keep))), cluster="here").dataset
    groups = np.unique(values)
    np.testing.assert_array_equal(found["group"], groups)
    frames = np.nan_to_num(images(run))
    for n, group in enumerate(groups):
        chosen = keep & (values == group)
        assert found["group.frames"].values[n] == chosen.sum()
        np.testing.assert_allclose(
            found["group.sum"].sel(group=group), frames[chosen].sum(axis=0), rtol=1e-12
        )


@pytest.mark.parametrize("to", ["x.zarr", "x.nc", "x/"])
def test_variants_have_a_label_for_each_option(run, tmp_path, to):
    thresholds = [0.5, 1.5, 2.5, 4.0]
    found = dxflow.reduce(run.path, Above(thresholds=thresholds), f"{tmp_path}/{to}", cluster="here").dataset
    frames = images(run)
    assert found["threshold"].dims == found["low"].dims == ("variant",)
    assert found["threshold"].attrs["units"] == "adu"
    np.testing.assert_array_equal(found["above.n"].coords["threshold"], thresholds)
    np.testing.assert_array_equal(found["above.powder"].coords["low"], np.arange(4) / 2)
    for n, threshold in enumerate(thresholds):
        np.testing.assert_array_equal(found["above.n"][:, n], (frames > threshold).sum(axis=(1, 2, 3)))
        np.testing.assert_array_equal(found["above.powder"][n], (frames > threshold).sum(axis=0))


def test_labels_that_differ_between_algorithms_are_told_apart(run):
    two = [
        Above(thresholds=[1, 2]),
        Above(thresholds=[3, 4], name="other"),
        Above(thresholds=[1, 2], name="same"),
    ]
    found = dxflow.reduce(run.path, two, cluster="here").dataset
    assert found["threshold"].values.tolist() == [1, 2]
    assert found["other.threshold"].values.tolist() == [3, 4]
    assert "same.threshold" not in found


def test_memory_and_the_cut_know_the_axis(long):
    def plan(groups):
        by = xr.DataArray(np.arange(192) % groups, dims="train", coords={"train": long.train_ids})
        return dxflow.plan(long.path, GroupSum(img=Frames(), by=Labels(by)), block="1 KiB")

    few, many = plan(2), plan(64)
    pixels = 8 * 8 * 8 * 8
    assert many.memory.partials - few.memory.partials >= 2 * 62 * pixels
    assert many.algorithms[0].unit > few.algorithms[0].unit
    assert len(many.chunks) < len(few.chunks)
    rows = [dxflow.plan(long.path, Above(thresholds=range(n))).memory.rows for n in (1, 40)]
    assert rows[1] == 40 * rows[0]


def test_groups_do_not_depend_on_company_or_chunks(long):
    by = Labels(labels(long, np.arange(192 * 8) % 3))
    frames = Frames(modules=(0, 1))
    alone = dxflow.reduce(long.path, GroupSum(img=frames, by=by), cluster="here").dataset
    both = dxflow.reduce(
        long.path, [Average(img=frames), GroupSum(img=frames, by=by)], cluster="here"
    ).dataset
    np.testing.assert_array_equal(alone["group.sum"], both["group.sum"])


def declares(coords):
    class One(Above):
        def outputs(self, info):
            return {"n": Output(per="img", shape=(2,), dims=("variant",), coords=coords)}

    return One()


@pytest.mark.parametrize(
    ("coords", "says"),
    [
        (
            {"low": [1, 2]},
            "coords of 'low', but its axes are dims=.'variant',.; further labels of one say which",
        ),
        ({"low": ("other", [1, 2])}, "coords of 'low', but its axes"),
        ({"low": ("variant", [1, 2, 3])}, "have shape .3,., but the axis has 2"),
        (
            {"train_id": ("variant", [1, 2])},
            "coords of 'train_id': the result has a label or an axis of this name",
        ),
        ({"frame": ("variant", [1, 2])}, "coords of 'frame': the result has"),
        ({"a b": ("variant", [1, 2])}, "cannot be the name of a label"),
    ],
)
def test_labels_of_no_axis_are_refused(run, coords, says):
    with pytest.raises(PlanError, match=says):
        dxflow.plan(run.path, declares(coords))
