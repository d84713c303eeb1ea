"""Variants of an algorithm: one pass, each with the bits that it has alone, stacked with a coordinate per option."""

import numpy as np
import pytest
from samples import RoiSum

import dxflow
from dxflow import Algorithm, Frames, Labels, Output
from dxflow.driver.result import open_result


class Above(Algorithm):
    """One output of each kind, of pixels above a threshold, in ranges that differ."""

    ALG_ID = "above"
    SELECTS = "lit"
    inputs = {"img": Frames(mask=None)}

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--threshold", type=float, default=1.0)
        parser.add_argument("--span", type=float, nargs=2, default=(0.0, 1.0))
        parser.add_argument("--bins", type=int, default=4)

    def outputs(self, info):
        edges = np.linspace(*self.span, self.bins + 1)
        return {
            "total": Output(doc=f"above {self.threshold}", unit="ph"),
            "map": Output(per="pixel"),
            "most": Output(per="train"),
            "n": Output(per="img", dtype="i4"),
            "lit": Output(per="img", dtype="?"),
            "hist": Output(
                dtype="i8", shape=(self.bins,), dims=("bin",), coords={"bin": (edges[:-1] + edges[1:]) / 2}
            ),
            "two": Output(per="train", shape=(2,), dims=("two",)),
            "ev": Output(per="event", shape=(2,), dims=("column",)),
        }

    def process_train_data(self, train, out):
        img = np.nan_to_num(train["img"].astype("f8"))
        over = img > self.threshold
        out.total += img[over].sum()
        out.map += over.sum(axis=0)
        out.most = img.max() if train.id % 3 else np.nan
        out.n = over.sum(axis=(1, 2, 3))
        out.lit = out.n % 3 == 0
        out.hist += np.histogram(img, self.bins, self.span)[0]
        out.two = [train.id, over.sum()]
        n = int(over.sum()) % 4
        out.ev.append(np.full((n, 2), train.id), frames=np.zeros(n, int))


THRESHOLDS = [0.2, 1.0, 4.0]


@pytest.fixture(scope="module")
def run(gappy):
    return gappy


@pytest.fixture(scope="module")
def alone(run):
    return [
        dxflow.reduce(run.path, Above(threshold=t), cluster="here", on_fault="mask").dataset
        for t in THRESHOLDS
    ]


def same(got, want):
    assert got.dtype == want.dtype
    assert got.dims == want.dims
    assert got.values.tobytes() == want.values.tobytes()


@pytest.mark.parametrize("name", ["v.zarr", "v.nc", "v/"])
def test_each_variant_has_the_bits_that_it_has_alone_in_every_format(run, alone, tmp_path, name):
    to = f"{tmp_path}/{name}"
    dxflow.reduce(run.path, Above.variants(threshold=THRESHOLDS), to, cluster="here", on_fault="mask")
    found = open_result(to).dataset
    assert found.variant.values.tolist() == ["above_1", "above_2", "above_3"]
    assert found.threshold.values.tolist() == THRESHOLDS
    for key in ("total", "map", "most", "n", "n_valid", "lit", "hist", "two"):
        assert found[f"above.{key}"].dims[0] == "variant"
        for t, want in zip(THRESHOLDS, alone, strict=True):
            same(found[f"above.{key}"].sel(threshold=t), want[f"above.{key}"])
    assert found["above.total"].attrs == {"units": "ph"}
    assert not [n for n in found.variables if str(n).startswith("above_")]
    assert set(found.dims) - set(alone[0].dims) == {"variant"}
    _check_events(found, alone)


def _check_events(found, alone):
    """Of a variant and a train, rows are offset : offset + count; columns say of which variant they are."""
    for number, (t, want) in enumerate(zip(THRESHOLDS, alone, strict=True)):
        mine = found["above.ev_threshold"].values == t
        assert (found["above.ev_variant"].values[mine] == f"above_{number + 1}").all()
        for label in ("", "_train_id", "_pulse_id"):
            assert (
                found[f"above.ev{label}"].values[mine].tobytes() == want[f"above.ev{label}"].values.tobytes()
            )
        for train in range(found.sizes["train"]):
            at, n = (int(found[f"above.ev_{what}"][number, train]) for what in ("offset", "count"))
            rows = found["above.ev"][at : at + n]
            assert rows.values.tolist() == [[found.train.values[train]] * 2] * n
    np.testing.assert_array_equal(found["above.ev"][::-2], found["above.ev"].values[::-2])
    np.testing.assert_array_equal(found["above.ev"][-1], found["above.ev"].values[-1])
    np.testing.assert_array_equal(found["above.n"][::-1, 1::2], found["above.n"].values[::-1, 1::2])


def test_labels_that_differ_get_an_axis_of_variants_and_other_shapes_stay_apart(run):
    spans = [(0, 1), (0, 2)]
    found = dxflow.reduce(run.path, Above.variants(span=spans), cluster="here", on_fault="mask").dataset
    assert found["above.hist"].dims == ("variant", "above.bin_bin")
    assert found["above.bin"].values.tolist() == [[0.125, 0.375, 0.625, 0.875], [0.25, 0.75, 1.25, 1.75]]
    assert found.span.values.tolist() == ["0:1", "0:2"]
    found = dxflow.reduce(run.path, Above.variants(bins=[2, 3]), cluster="here", on_fault="mask").dataset
    assert found["above.n"].dims == ("variant", "frame")
    assert [found[f"above_{n}.hist"].shape for n in (1, 2)] == [(2,), (3,)]


def test_one_variant_has_an_axis_too_and_two_algorithms_have_one_each(run, alone):
    several = [
        *Above.variants(threshold=[1.0]),
        RoiSum(),
        Above.variants(threshold=[0.2, 4.0], name="more"),
    ]
    found = dxflow.reduce(run.path, several, cluster="here", on_fault="mask").dataset
    same(found["above.n"].sel({"above.threshold": 1.0}), alone[1]["above.n"])
    same(found["more.n"].sel({"more.variant": "more_2"}), alone[2]["above.n"])
    assert found["roisum.intensity"].dims == ("frame",)
    assert found.attrs["selection"] == "above.lit, more.lit"


def test_bits_do_not_depend_on_chunks_and_workers(run, alone, tmp_path, client):
    made = dxflow.reduce(
        run.path, Above.variants(threshold=THRESHOLDS), cluster=client, chunk="2 kB", on_fault="mask"
    )
    for t, want in zip(THRESHOLDS, alone, strict=True):
        same(made.dataset["above.n"].sel(threshold=t), want["above.n"])


# One of them -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def result(run, tmp_path_factory):
    to = tmp_path_factory.mktemp("one") / "v.zarr"
    return dxflow.reduce(run.path, Above.variants(threshold=THRESHOLDS), to, cluster="here", on_fault="mask")


class Reads(RoiSum):
    inputs = {"img": Frames(), "label": Frames()}

    def process_module_data(self, block, out):
        out.intensity += block["label"]


def planned(run, algorithm, **options):
    return dxflow.plan(run.path, algorithm, on_fault="mask", **options)


def test_frames_are_selected_by_one_variant_in_python_and_on_the_command_line(run, result):
    from dxflow.line.options import frames_of

    want = int(result.dataset["above.lit"].sel(threshold=4.0).sum())
    assert 0 < want < result.dataset.sizes["frame"]
    choices = (
        result.selection("above_3"),
        result.dataset["above.lit"].sel(threshold=4.0),
        frames_of([f"{result.path}:above_3"]),
    )
    for frames in choices:
        assert len(planned(run, RoiSum(), frames=frames).inputs[0].index) == want
    for several in (result, result.dataset["above.lit"]):
        with pytest.raises(ValueError, match=r"3 variants, above_1 \(threshold=0.2\), above_2 .* say which"):
            planned(run, RoiSum(), frames=several)
    with pytest.raises(TypeError, match="no 'above_4' selects frames; there are above.lit"):
        result.selection("above_4")


def test_labels_are_of_one_variant(run, result):
    for label in (Labels(result, "above_2.n"), Labels(result.dataset["above.n"].sel(threshold=1.0))):
        made = dxflow.reduce(run.path, Reads(label=label), cluster="here", on_fault="mask").dataset
        want = result.dataset["above.n"].sel(threshold=1.0) * made.modules_used
        np.testing.assert_array_equal(made["roisum.intensity"][want > 0], want[want > 0])
    for label in (Labels(result, "above.n"), Labels(result), Labels(result.dataset["above.n"])):
        with pytest.raises(dxflow.PlanError, match=r"is of 3 variants, above_1 \(threshold=0.2\)"):
            planned(run, Reads(label=label))
    with pytest.raises(dxflow.PlanError, match="no 'above_4.n'"):
        planned(run, Reads(label=Labels(result, "above_4.n")))
