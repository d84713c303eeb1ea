"""Names are refused in the plan, or work in every format; nothing is written elsewhere."""

import os

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dxflow
from dxflow import Algorithm, Frames, Output, PlanError
from dxflow.simulate import make_run
from dxflow.stores import names
from dxflow.stores.formats.cxi import Cxi
from dxflow.stores.formats.exdf import Exdf
from dxflow.stores.formats.netcdf import NetCdf
from dxflow.stores.formats.nexus import Nexus
from dxflow.stores.formats.tiff import Tiff
from dxflow.stores.formats.zarr import Zarr

STORES = [Zarr, Tiff, NetCdf, Nexus, Cxi, Exdf]
EXAMPLES = int(os.environ.get("DXFLOW_EXAMPLES", "8"))


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """The path of a run of 4 trains of 2 frames."""
    path = tmp_path_factory.mktemp("names") / "r0001"
    make_run(path, trains=4, pulses=2, module_shape=(8, 8), detector="AGIPD500K", modules=2, sequences=1)
    return path


class Odd(Algorithm):
    """Outputs with whatever names and axes a test gives."""

    ALG_ID = "odd"
    inputs = {"img": Frames(modules=(0, 1))}

    def __init__(self, outputs=None, **options):
        super().__init__(**options)
        self.declared = outputs or {"x": Output(per="run", shape=(2,))}

    def outputs(self, info):
        return self.declared

    def process_train_data(self, train, out):
        for name, output in self.declared.items():
            if output.kind == "event":
                out[name].append(np.full((2, *output.shape), 7))
            elif output.kind == "train" or (output.kind == "run" and train.index == 0):
                out[name][...] = 3


def written(folder):
    """Return the paths of all that is in a folder, but for what EXtra-data leaves in runs."""
    there = {
        os.path.join(root, name) for root, folders, files in os.walk(folder) for name in [*folders, *files]
    }
    return {path for path in there if not path.endswith("karabo_data_map.json")}


BAD = [
    "../evil",
    "a/b",
    "/abs",
    "..",
    ".",
    ".hidden",
    "a b",
    "x\n",
    "\0",
    "\x1b[1m",
    "a\\b",
    "x" * 101,
    "é" * 51,
    "\ud800",
]


@pytest.mark.parametrize("name", BAD)
def test_names_that_no_file_can_have_are_refused_of_algorithms_and_axes(small, tmp_path, name):
    before = written(tmp_path.parent)
    with pytest.raises(PlanError, match="cannot be the name of an algorithm"):
        dxflow.plan(small, Odd(name=name), tmp_path / "x.zarr")
    axis = {"x": Output(per="run", shape=(2,), dims=(name,))}
    with pytest.raises(PlanError, match="cannot be the name of an axis"):
        dxflow.plan(small, Odd(axis), tmp_path / "x.zarr")
    with pytest.raises(PlanError, match=r"cannot be (an output's name|the name of an output)"):
        dxflow.plan(small, Odd({name: Output(per="run")}), tmp_path / "x.zarr")
    assert written(tmp_path.parent) == before


TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12) | st.sampled_from(
    [*BAD, "time", "train", "x"]
)


@pytest.mark.properties
@given(name=TEXT, dim=TEXT, store=st.sampled_from(STORES))
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_name_is_refused_in_the_plan_or_comes_back(small, tmp_path_factory, name, dim, store):
    folder = tmp_path_factory.mktemp("any")
    try:
        outputs = {
            "x": Output(per="run", shape=(2,), dims=(dim,), coords={dim: [1.5, 2.5]}),
            "ev": Output(per="event", dtype="f4"),
            "t": Output(per="train", dtype="i4"),
        }
        made = dxflow.plan(small, Odd(outputs, name=name), store(folder / "x"))
    # What no text may hold is refused where it is given.
    except (PlanError, TypeError):
        assert os.listdir(folder) == []
        return
    found = dxflow.execute(made, "here").dataset.load()
    assert os.listdir(folder) == ["x"]
    assert found[f"{name}.x"].dims == (dim,)
    assert found[f"{name}.ev_train_id"].dims == found[f"{name}.ev"].dims
    assert f"{name}.ev_train_id" in found.coords
    np.testing.assert_array_equal(found[dim], [1.5, 2.5])


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        ({"x": Output(per="train", shape=(10,), dims=("train",))}, "two axes cannot have one name"),
        ({"x": Output(per="run", shape=(10,), dims=("train",))}, "axis 'train' has 10 entries"),
        ({"x": Output(per="train", shape=(4,), dims=("train",))}, "two axes cannot have one name"),
        ({"x": Output(per="run", shape=(3, 3), dims=("q", "q"))}, "two axes cannot have one name"),
        (
            {"x": Output(per="img"), "y": Output(per="run", shape=(10,), dims=("frame",))},
            "axis 'frame' has 10 entries, that of .* has 8",
        ),
        ({"x": Output(per="pixel", shape=(2,), dims=("module",))}, "two axes cannot have one name"),
        ({"x": Output(per="run", shape=(5,), dims=("time",))}, "'time': the result has a label of this name"),
        (
            {"x": Output(per="run", shape=(2,), dims=("time",), coords={"time": [1.5, 2.5]})},
            "'time': the result has a label of this name",
        ),
        (
            {
                "ev": Output(per="event"),
                "x": Output(per="run", shape=(2,), dims=("odd.ev_offset",), coords={"odd.ev_offset": [1, 2]}),
            },
            "the result has a label of this name",
        ),
        (
            {"x": Output(per="img"), "y": Output(per="run", shape=(5,), dims=("train_id",))},
            "'train_id': the result has a label",
        ),
        ({"x": Output(shape=(2,), dims=("k",), coords={"k": [1, 2, 3]})}, r"have shape \(3,\), .* 2 entries"),
        ({"x": Output(shape=(2,), dims=("k",), coords={"k": [[1], [2]]})}, r"have shape \(2, 1\)"),
        ({"x": Output(shape=(2,), dims=("k",), coords={"other": [1, 2]})}, "coords of 'other', but its axes"),
        ({"x": Output(shape=(2,), dims=("k",), coords={"k": [{}, {}]})}, "are numbers, times or text"),
        (
            {"peaks": Output(per="event"), "peaks_count": Output(per="img")},
            "name of a label that odd.peaks has",
        ),
        ({"peaks_train_id": Output(), "peaks": Output(per="event")}, "odd.peaks_train_id would also be"),
        ({"n": Output(per="train", dtype="i4"), "n_valid": Output(per="train")}, "odd.n_valid would also be"),
        ({"items": Output(per="run")}, "'items' is a name of `out` itself"),
        ({"x" * 101: Output(per="run")}, "101 bytes"),
    ],
)
def test_names_that_mean_two_things_are_refused_in_the_plan(small, outputs, says):
    with pytest.raises(PlanError, match=says):
        dxflow.plan(small, Odd(outputs))


@pytest.mark.parametrize("store", STORES)
@pytest.mark.parametrize(
    "labels",
    [["ä", "€€"], np.array(["2020-01-01", "2021-01-01"], "M8[ns]"), [True, False]],
)
def test_labels_of_any_kind_come_back_or_are_refused_in_the_plan(small, tmp_path, store, labels):
    outputs = {"x": Output(per="train", shape=(2,), dims=("k",), coords={"k": labels})}
    try:
        made = dxflow.plan(small, Odd(outputs), store(tmp_path / "x"))
    except PlanError as e:
        assert np.asarray(labels).dtype.kind in "UM", labels  # noqa: PT017
        assert "coords of 'k' are" in str(e)  # noqa: PT017
        return
    found = dxflow.execute(made, "here").dataset["k"]
    assert found.values.tolist() == np.asarray(labels).tolist()


@pytest.mark.parametrize("store", STORES)
def test_an_axis_is_one_of_modules_by_kind_and_not_by_name(small, tmp_path, store):
    dim = "module_half"
    outputs = {
        "run": Output(per="run", shape=(32,), dims=(dim,)),
        "train": Output(per="train", shape=(32,), dims=(dim,)),
        "pixel": Output(per="pixel", shape=(32,), dims=(dim,)),
    }
    found = dxflow.reduce(small, Odd(outputs), store(tmp_path / "x"), cluster="here").dataset
    assert (found["odd.run"].values == 3).all()
    assert (found["odd.train"].values == 3).all()
    assert found["odd.pixel"].dims == (dim, "module", "ss", "fs")


def test_an_axis_of_modules_may_be_named_so_where_it_is_one(small, tmp_path):
    outputs = {"x": Output(per="pixel"), "y": Output(per="run", shape=(2,), dims=("module",))}
    found = dxflow.reduce(small, Odd(outputs), tmp_path / "x.zarr", cluster="here").dataset
    assert found["odd.y"].values.tolist() == [3, 3]
    assert found["module"].values.tolist() == [0, 1]


def test_options_that_hide_hooks_are_refused():
    class Hiding(Odd):
        @classmethod
        def add_arguments(cls, parser):
            parser.add_argument("--merge", default="fast")

    with pytest.raises(TypeError, match="an option cannot be kept as 'merge', which is a name of Algorithm"):
        Hiding()


def test_the_problem_is_said():
    assert names.problem("average-2.b_ä") == ""
    assert names.problem("") == names.problem(None) == "it is empty, or no text"
    assert names.problem("a/b\n") == r"it has '\n', '/' in it"
