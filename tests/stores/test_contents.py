"""Names, axes and labels of what a result holds."""

from dataclasses import replace

import numpy as np
import oracle
import pytest
from samples import RoiSum, TrainSums

import dxflow
from dxflow import Algorithm, Frames, Output
from dxflow.disk import fragments
from dxflow.stores import contents
from dxflow.stores.contents import Contents
from dxflow.testing.case import cut
from dxflow.worker.chunk import run_chunk
from dxflow.worker.workspace import Workspace


class Axes(Algorithm):
    """Makes outputs with an axis of given values, and counts frames per train."""

    ALG_ID = "axes"
    inputs = {"img": Frames()}

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--values", type=float, nargs="+", default=(1.0, 2.0))

    def outputs(self, info):
        axis = {"shape": (len(self.values),), "dims": ("q",), "coords": {"q": (self.values, "1/angstrom")}}
        return {
            "curve": Output(per="img", **axis),
            "plain": Output(shape=(3,)),
            "frames": Output(per="train", dtype="u2"),
            "pixels": Output(per="pixel"),
        }

    def process_train_data(self, train, out):
        out.curve = np.arange(len(self.values))
        out.frames = len(train["img"])
        out.pixels += 1


def dataset(path, *algorithms, **options):
    return dxflow.reduce(path, list(algorithms), cluster="here", **options).dataset


def test_axes_of_equal_values_are_shared_and_others_get_their_owners_name(run):
    data = dataset(run.path, Axes(name="a"), Axes(name="b"), Axes(name="c", values=(1.0, 3.0)))
    assert data["a.curve"].dims == data["b.curve"].dims == ("frame", "q")
    assert data["c.curve"].dims == ("frame", "c.q")
    assert data["q"].values.tolist() == [1.0, 2.0]
    assert data["c.q"].values.tolist() == [1.0, 3.0]
    assert data["q"].attrs["units"] == "1/angstrom"


def test_axes_without_names_get_the_name_of_their_output(run):
    assert dataset(run.path, Axes())["axes.plain"].dims == ("axes.plain_0",)


def test_trains_without_data_are_told_apart_from_zeros(gappy):
    data = dataset(gappy.path, Axes())
    used = data["train_used"].values.astype(bool)
    with_frames = np.isin(data["train"].values, np.unique(gappy.frame_train_ids))
    np.testing.assert_array_equal(used, with_frames)
    assert not used.all()
    assert (data["axes.frames"].values[~used] == 0).all()
    assert "train_used" in data["axes.frames"].coords


@pytest.mark.parametrize("roi", [np.s_[3:9, 2:7], np.s_[3:9, :]])
def test_pixels_of_a_region_have_their_numbers_in_the_module(run, roi):
    data = dataset(run.path, Axes(img=Frames(roi=roi)))
    assert data["ss"].values.tolist() == list(range(3, 9))
    assert data["fs"].values.tolist() == list(range(16))[roi[1]]


def test_two_regions_have_axes_of_their_own(run):
    one, two = (Axes(name=n, img=Frames(roi=np.s_[a : a + 4, :])) for n, a in (("a", 0), ("b", 8)))
    data = dataset(run.path, one, two)
    assert data["a.pixels"].dims == ("module", "ss", "fs")
    assert data["b.pixels"].dims == ("module_2", "ss_2", "fs_2")
    assert data["ss_2"].values.tolist() == [8, 9, 10, 11]


def test_which_modules_were_used_in_which_trains_and_which_integers_are_values(gappy, tmp_path):
    """The same in each format, and per group of algorithms that see the same frames."""
    labels, frames = oracle.frames(gappy.path, gappy.sources)
    present = ~np.isnan(frames).all(axis=(2, 3))
    some = Axes(name="some", img=Frames(modules=(0, 2)))
    for name in ("x.zarr", "x.nc", "x.nxs", "x/", "x.cxi", "x.tiff"):
        dxflow.reduce(gappy.path, [Axes(), some], f"{tmp_path}/{name}", cluster="here")
        data = dxflow.open(tmp_path / name).dataset
        there = np.zeros((len(data.train), 8), bool)
        np.logical_or.at(there, np.searchsorted(data.train.values, [t for t, _ in labels]), present)
        np.testing.assert_array_equal(data["valid"], there)
        np.testing.assert_array_equal(data["valid_2"], there[:, [0, 2]])
        assert data["module_2"].values.tolist() == [0, 2]
        assert data["valid_2"].attrs["algorithms"] == "some" or name == "x/"
        np.testing.assert_array_equal(data["axes.frames_valid"], there.any(axis=1))
        np.testing.assert_array_equal(data["some.frames_valid"], there[:, [0, 2]].any(axis=1))
        assert data["axes.frames_valid"].dtype == bool


def test_modules_that_are_reduced_apart_say_together_where_they_were_used(gappy, monkeypatch):
    from samples import Stats

    from dxflow.planning import cutting

    whole = dataset(gappy.path, Stats())["valid"]
    monkeypatch.setattr(cutting, "PARTIAL_LIMIT", 4000)

    class Pixels(Stats):
        def outputs(self, info):
            return {k: o for k, o in super().outputs(info).items() if k != "frames"}

        def process_module_data(self, block, out):
            out.count += 1

        def finalize(self, totals):
            pass

    plan = dxflow.plan(gappy.path, Pixels())
    assert len(plan.parts) > 1
    np.testing.assert_array_equal(dxflow.execute(plan, "here").dataset["valid"], whole)


def test_reading_a_variable_looks_once_at_each_chunk_however_many_there_are(run, tmp_path):
    class Counted(tuple):
        looked = 0

        def __iter__(self):
            for item in super().__iter__():
                Counted.looked += 1
                yield item

    made = cut(dxflow.plan(run.path, [RoiSum(), TrainSums()], cluster="here"), 1)
    work = Workspace(made, tmp_path)
    events = {"tsum.ev": [run_chunk(work, chunk.number).events["tsum.ev"] for chunk in made.chunks]}
    expected = dataset(run.path, RoiSum(), TrainSums())
    holds = Contents(replace(made, chunks=Counted(made.chunks)), tmp_path, events)
    # What follows from the plan alone is found out with the first.
    first = next(v for v in holds.variables.values() if v.axis == "row")
    holds.rows(first, 0, first.shape[0])
    for variable in holds.variables.values():
        if variable.axis != "part":
            before = Counted.looked
            found = holds.rows(variable, 0, variable.shape[0])
            np.testing.assert_array_equal(found, expected[variable.name].values, variable.name)
            assert Counted.looked - before <= 2 * len(made.chunks), variable.name


@pytest.mark.parametrize(("room", "opened"), [(2**25, 1), (0, 2)])
def test_a_small_fragment_is_opened_once_for_all_variables(run, tmp_path, monkeypatch, room, opened):
    """As long as there is room for them in memory."""
    monkeypatch.setattr(contents, "ROOM", room)
    made = cut(dxflow.plan(run.path, RoiSum(), cluster="here"), 1)
    work = Workspace(made, tmp_path)
    for chunk in made.chunks:
        run_chunk(work, chunk.number)
    holds, times = Contents(made, tmp_path, {}), []
    variables = [v for v in holds.variables.values() if v.axis == "row" and v.output][:1] * 2
    assert len(variables) == 2
    head = fragments.Fragment._head
    monkeypatch.setattr(fragments.Fragment, "_head", lambda self: times.append(self.path) or head(self))
    for variable in variables:
        holds.rows(variable, 0, variable.shape[0])
    assert len(times) == opened * len(made.chunks)
