"""Outputs that say their source and key in EXDF files, as EXtra-data reads them."""

import numpy as np
import pytest
from extra_data import RunDirectory
from validator import problems

import dxflow
from dxflow import Algorithm, Frames, Output, PlanError
from dxflow.algorithms.average import Average
from dxflow.stores.exdf.given import check
from dxflow.stores.formats.exdf import Exdf

FINDER = "SPB_DET_AGIPD500K2G/REDU/SPI_HITFINDER"
LITFRM = "SPB_EXP_AGIPD500K/REDU/LITFRM"


class Finder(Algorithm):
    """Outputs of each kind under names of a device."""

    ALG_ID = "finder"
    inputs = {"img": Frames()}

    def outputs(self, info):
        fast = f"{info['img'].name}/REDU/SPI_HITFINDER:output"
        return {
            "score": Output(per="img", unit="adu", exdf=(fast, "data.hitscore")),
            "flag": Output(per="img", dtype="?", exdf=(fast, "data.hitFlag"), stage="rows"),
            "limit": Output(per="train", exdf=(fast, "threshold.value")),
            "n": Output(per="train", dtype="u2", exdf=(LITFRM, "nFrame")),
            "pattern": Output(
                per="train", shape=(3,), dtype="u1", exdf=(f"{LITFRM}:output", "data.dataFramePattern")
            ),
            "spots": Output(per="event", shape=(2,), exdf=(fast, "spots.position")),
            "snr": Output(dtype="f4", exdf=(FINDER, "snr"), merge="max"),
            "own": Output(per="img"),
            "private": Output(per="train", store=False, exdf=(LITFRM, "nFrame")),
        }

    def process_train_data(self, train, out):
        out.score = train.pulse_ids * 1.5
        out.limit = train.id / 2
        out.n = len(train.pulse_ids)
        out.pattern = [1, 2, train.id % 7]
        out.spots.append(np.stack([train.pulse_ids[:2]] * 2, axis=1), np.arange(min(2, len(train.pulse_ids))))
        out.snr = 4
        out.own = 1

    def finalize_rows(self, rows, out):
        out.flag = rows["score"] > 3


@pytest.fixture(scope="module")
def made(gappy, tmp_path_factory):
    folder = tmp_path_factory.mktemp("given")
    store = Exdf(folder / "r", trains_per_file=5)
    result = dxflow.reduce(gappy.path, [Average(), Finder()], store, cluster="here")
    return result, RunDirectory(folder / "r")


def test_extra_data_reads_them_under_these_names(made):
    result, run = made
    found = result.dataset
    assert {FINDER, f"{FINDER}:output", LITFRM, f"{LITFRM}:output"} <= run.all_sources
    fast = run[f"{FINDER}:output"]
    used = found["train_used"].values > 0
    assert set(used) == {False, True}
    np.testing.assert_array_equal(fast["data.hitscore"].ndarray(), found["finder.score"])
    np.testing.assert_array_equal(fast["data.hitFlag"].ndarray(), found["finder.flag"])
    np.testing.assert_array_equal(fast["data.pulseId"].ndarray(), found["pulse_id"])
    np.testing.assert_array_equal(fast["data.trainId"].ndarray(), found["train_id"])
    np.testing.assert_array_equal(fast["threshold.value"].ndarray(), found["finder.limit"])
    np.testing.assert_array_equal(fast["spots.position"].ndarray(), found["finder.spots"])
    np.testing.assert_array_equal(fast["spots.trainId"].ndarray(), found["finder.spots_train_id"])
    np.testing.assert_array_equal(fast["spots.position"].data_counts(), found["finder.spots_count"])
    np.testing.assert_array_equal(run[LITFRM]["nFrame"].ndarray(), found["finder.n"])
    np.testing.assert_array_equal(run[LITFRM]["nFrame_valid"].ndarray(), used)
    np.testing.assert_array_equal(
        run[f"{LITFRM}:output"]["data.dataFramePattern"].ndarray(), found["finder.pattern"]
    )
    assert run.get_run_value(FINDER, "snr") == 4
    own = run["SPB_DET_AGIPD500K2G/DXFLOW/FINDER:output"]
    np.testing.assert_array_equal(own["frame.own"].ndarray(), found["finder.own"])
    assert problems(result.path) == []
    assert dxflow.verify(result.path) == []


def test_the_dataset_is_that_of_other_formats(gappy, made):
    plain = dxflow.reduce(gappy.path, Finder(), cluster="here").dataset
    assert set(plain.variables) <= set(made[0].dataset.variables)
    for name, expected in plain.variables.items():
        if name.startswith("finder."):
            np.testing.assert_array_equal(made[0].dataset.variables[name].values, expected.values)


def plan(run, to="x", **outputs):
    class Other(Finder):
        finalize_rows = Algorithm.finalize_rows

        def outputs(self, info):
            return outputs

    return dxflow.plan(run.path, Other(), to, cluster="here")


ROWS = {"per": "img"}


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        ({"a": Output(**ROWS, exdf=("A/B:c", "data.x"))}, "a: exdf=.*expected a source such as"),
        ({"a": Output(**ROWS, exdf=("A/B/C:o", "data/x"))}, "a key is words with dots between"),
        ({"a": Output(**ROWS, exdf=("A/B/C:o", "x"))}, "needs an index group before it"),
        (
            {"a": Output(**ROWS, exdf=("A/B/C", "data.x"))},
            "several entries per train belong to instrument sources",
        ),
        ({"a": Output(exdf=("A/B/C:o", "data.x"))}, "values of the whole run belong to control sources"),
        ({"a": Output(**ROWS, exdf=("A/B/C:o", "data.pulseId"))}, "data.pulseId is written by itself"),
        (
            {n: Output(**ROWS, exdf=("A/B/C:o", "data.x")) for n in "ab"},
            "b: exdf=.* is the place of f.*a, too",
        ),
    ],
)
def test_names_that_cannot_be_are_refused_for_every_format(run, tmp_path, outputs, says):
    for to in ("x.zarr", "x/"):
        with pytest.raises(PlanError, match=says):
            plan(run, f"{tmp_path}/{to}", **outputs)


AUTOMATIC = ("SPB_DET_AGIPD1M-1/DXFLOW/FINDER:output", "frame.b")


@pytest.mark.parametrize(
    ("outputs", "says"),
    [
        (
            {"a": Output(**ROWS, exdf=AUTOMATIC), "b": Output(**ROWS)},
            "would be at .*/frame/b of EXDF files, where",
        ),
        (
            {
                "a": Output(**ROWS, exdf=("A/B/C:o", "data.x")),
                "b": Output(**ROWS, exdf=("A/B/C:o", "data.x.y")),
            },
            "would be at INSTRUMENT/A/B/C:o/data/x/y of EXDF files, where finder.a is",
        ),
        (
            {
                "a": Output(**ROWS, exdf=("A/B/C:o", "data.x")),
                "b": Output("train", exdf=("A/B/C:o", "data.y")),
            },
            "finder.b and finder.a would be in one index group, A/B/C:o data, and have other rows",
        ),
    ],
)
def test_places_that_exclude_each_other_are_refused_for_exdf(run, tmp_path, outputs, says):
    assert plan(run, f"{tmp_path}/x.zarr", **outputs)
    with pytest.raises(PlanError, match=says):
        plan(run, f"{tmp_path}/x/", **outputs)


def test_outputs_that_say_nothing_are_not_looked_at():
    check([])
    with pytest.raises(TypeError, match="exdf='A/B/C': expected a source and a key, or None"):
        Output(exdf="A/B/C")


# Layouts of devices -------------------------------------------------------------------------------


class Device(Algorithm):
    """The layout of a device, of some trains only, beside a result of its own."""

    ALG_ID = "device"
    inputs = {"img": Frames()}

    def outputs(self, info):
        rows = {"per": "train", "dtype": "u2", "store": "exdf"}
        return {
            "n": Output(**rows, exdf=(LITFRM, "nFrame")),
            "fast": Output(**rows, shape=(2,), exdf=(f"{LITFRM}:output", "data.nPulse")),
            "energy": Output(per="train", store="exdf", exdf=(f"{LITFRM}:output", "data.energy")),
            "own": Output(per="train"),
        }

    def run_values(self, info):
        return {LITFRM: {"classId": "Finder", "trigger.delay": 2.5}, "A/B/C": {"useIt": True}}

    def process_train_data(self, train, out):
        out.own = train.id
        if train.id % 3 and "n" in out:
            out.n, out.fast, out.energy = train.id % 7, [1, train.id % 5], train.id / 2


def test_layouts_have_entries_of_the_trains_with_values_and_values_of_the_run(gappy, tmp_path):
    result = dxflow.reduce(gappy.path, Device(), Exdf(tmp_path / "r", trains_per_file=5), cluster="here")
    run = RunDirectory(tmp_path / "r")
    own = result.dataset["device.own"]
    ids = own["train"].values[np.isfinite(own.values)]
    there = ids[ids % 3 > 0]
    fast = run[f"{LITFRM}:output"]
    assert fast.keys() == {"data.trainId", "data.nPulse", "data.energy"}
    np.testing.assert_array_equal(fast["data.trainId"].ndarray(), there)
    np.testing.assert_array_equal(fast["data.nPulse"].train_id_coordinates(), there)
    np.testing.assert_array_equal(fast["data.nPulse"].ndarray()[:, 1], there % 5)
    np.testing.assert_array_equal(fast["data.energy"].ndarray(), there / 2)
    slow = run[LITFRM]
    assert slow.keys(inc_timestamps=False) == {"nFrame"}
    every = np.array(run.train_ids)
    np.testing.assert_array_equal(slow["nFrame"].ndarray(), np.where(np.isin(every, there), every % 7, 0))
    assert run.get_run_value(LITFRM, "trigger.delay") == 2.5
    assert run.get_run_value(LITFRM, "classId") == "Finder"
    assert run.get_run_value("A/B/C", "useIt") == 1
    assert problems(result.path) == []
    assert dxflow.verify(result.path) == []


def test_layouts_are_in_exdf_files_only_and_no_part_of_the_dataset(gappy, tmp_path):
    kept = dxflow.reduce(gappy.path, Device(), f"{tmp_path}/r/", cluster="here").dataset
    zarr = dxflow.reduce(gappy.path, Device(), cluster="here").dataset
    assert [name for name in zarr if name.startswith("device.")] == ["device.own"]
    assert set(kept.variables) == set(zarr.variables)
    with pytest.raises(ValueError, match="expected one per train or entry, and exdf="):
        Output(per="run", store="exdf", exdf=(f"{LITFRM}:output", "data.x"))
