"""The chains that the documentation prints, in one pass and over passes."""

import numpy as np
import oracle
import pytest
from samples import RoiSum, Scale, Stats

import dxflow
from dxflow import Algorithm, Frames, From, Key, Output, PlanError
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.subtract import Subtract
from dxflow.simulate import Plant, make_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain")
    options = {"detector": "AGIPD500K", "trains": 4, "pulses": 6, "module_shape": (16, 16)}
    light = make_run(folder / "r0034", lit=[True, True, False, True, True, False], **options)
    return light, make_run(folder / "r0035", lit="none", seed=5, **options)


def integrate(truth):
    options = {
        "geometry": f"{truth.path}/geometry.npy",
        "distance": truth.distance,
        "energy": truth.photon_energy,
    }
    return AzimuthalIntegration(img=From("subtract.img"), nbins=500, **options)


def test_lit_frames_dark_subtraction_integration_and_average_run_as_printed(runs, tmp_path):
    run, dark_run = (r.path for r in runs)
    truth = runs[0]
    lit = dxflow.reduce(run, [LitFrames()], cluster="here")
    dark = dxflow.reduce(dark_run, [Average(per="cell")], cluster="here")
    integration = integrate(truth)
    result = dxflow.reduce(
        run,
        [Subtract(dark=dark), integration, Average(img=From("subtract.img"))],
        tmp_path / "r0034.zarr",
        frames=lit,
        cluster="here",
    )
    labels, frames = oracle.frames(run, truth.sources)
    assert lit.selection().values.tolist() == truth.lit.tolist()
    _, darks = oracle.frames(dark_run, runs[1].sources)
    by_cell = np.array([darks[runs[1].cell_ids == c].mean(axis=0) for c in range(6)])
    expected = (frames - by_cell[truth.cell_ids])[truth.lit].mean(axis=0)
    np.testing.assert_allclose(result.dataset["average.mean"], expected, rtol=1e-4, atol=1e-4)
    assert result.dataset.sizes["frame"] == truth.lit.sum()
    assert result.losses.empty


def test_the_wrong_order_fails_in_plan_with_the_printed_words(runs):
    integration = integrate(runs[0])
    says = "azint reads 'subtract.img' as 'img', but no algorithm before it makes that."
    with pytest.raises(PlanError, match=says):
        dxflow.plan(runs[0].path, [integration])


def test_the_algorithm_of_the_introduction_gives_the_sum_of_the_band(runs):
    labels, frames = oracle.frames(runs[0].path, runs[0].sources)
    data = dxflow.reduce(runs[0].path, RoiSum(ss=(4, 9)), cluster="here").dataset
    oracle.close(data["roisum.intensity"], np.nansum(frames[:, :, 4:9], axis=(1, 2, 3)))


# What is handed on within a pass -----------------------------------------------------------------


@pytest.fixture(scope="module")
def gaps(tmp_path_factory):
    """A run of two modules: train 1 is empty, module 1 lacks train 2."""
    plant = Plant(empty_trains=(1,), silent_trains={1: (2,)})
    options = {"trains": 4, "pulses": 2, "modules": 2, "module_shape": (8, 8), "devices": ("motor",)}
    return make_run(tmp_path_factory.mktemp("gaps") / "r0001", detector="AGIPD500K", plant=plant, **options)


IMG = Frames(modules=(0, 1), mask=None)


class Means(Algorithm):
    """Mean of all pixels of a train and of each frame, and how many pixels are missing; reads a motor, too."""

    ALG_ID = "means"
    inputs = {"img": IMG}

    def outputs(self, info):
        return {
            "mean": Output(per="train"),
            "frame": Output(per="img"),
            "n": Output(per="img", dtype="i4"),
            "lost": Output(per="train", dtype="i4"),
        }

    def process_train_data(self, train, out):
        out.mean, out.frame = np.nanmean(train["img"]), np.nanmean(train["img"], axis=(1, 2, 3))
        out.n, out.lost = 1, np.isnan(train["img"]).sum()


class Follows(Algorithm):
    """Runs in every train, since it begins with a motor, and keeps what it is handed."""

    ALG_ID = "follows"
    inputs = {
        "x": None,
        "mean": From("means.mean"),
        "n": From("means.n"),
        "img": IMG,
        "lit": From("litframes.lit"),
    }

    def outputs(self, info):
        return {
            "mean": Output(per="train"),
            "missing": Output(per="train", dtype="?"),
            "frame": Output(per="img"),
            "one": Output(per="img", dtype="i4"),
            "lit": Output(per="img", dtype="?"),
        }

    def process_train_data(self, train, out):
        out.mean, out.missing = train["mean"], train.missing >= {"mean", "img"}
        out.frame, out.one, out.lit = np.nanmean(train["img"], axis=(1, 2, 3)), train["n"], train["lit"]
        assert train.valid("mean").shape == ()
        assert train.valid("n").shape == train["n"].shape


def test_what_an_algorithm_did_not_make_is_missing_for_those_that_read_it(gaps):
    motor = Key(gaps.devices["motor"], "actualPosition.value")
    chain = [Means(), LitFrames(img=IMG, threshold=0.1), Follows(x=motor)]
    data = dxflow.reduce(gaps.path, chain, cluster="here").dataset
    assert np.isnan(data["means.mean"]).values.tolist() == [False, True, False, False]
    np.testing.assert_array_equal(data["follows.mean"], data["means.mean"])
    assert data["follows.missing"].values.tolist() == [False, True, False, False]
    assert data["follows.missing_valid"].values.all()
    assert data["means.lost_valid"].values.tolist() == [True, False, True, True]
    np.testing.assert_array_equal(data["follows.frame"], data["means.frame"])
    np.testing.assert_array_equal(data["follows.lit"], data["litframes.lit"])
    assert data["litframes.lit"].values.any()


def test_images_of_a_module_that_was_not_there_are_nan_for_later_algorithms(gaps):
    chain = [Means(), Scale(img=IMG), Means(name="twice", img=From("scale.img"))]
    data = dxflow.reduce(gaps.path, chain, cluster="here").dataset
    np.testing.assert_allclose(data["twice.frame"], 2 * data["means.frame"], rtol=1e-6)
    np.testing.assert_array_equal(data["twice.lost"], data["means.lost"])
    assert data["means.lost"].values.tolist() == [0, 0, 2 * 64, 0]


def test_what_is_finished_with_the_chunk_cannot_be_read_before(gaps):
    class Total(RoiSum):
        ALG_ID = "total"

        def outputs(self, info):
            return {"frame": Output(per="img"), "all": Output(per="run")}

        def process_module_data(self, block, out):
            out.frame += block["img"].sum(axis=(1, 2))

        def finalize_chunk_processing(self, out):
            out.all = np.nansum(out.frame)

    reads = Means(img=IMG)
    reads.inputs = {"img": IMG, "frame": From("total.frame")}
    with pytest.raises(PlanError, match=r"means reads 'total.frame'.*finalize_chunk_processing.*\['all'\]"):
        dxflow.plan(gaps.path, [Total(img=IMG), reads])


def test_inputs_are_read_only_and_those_that_come_later_see_them_unchanged(gaps):
    class Writes(Stats):
        def process_module_data(self, block, out):
            block["img"][...] = 0

    class WritesTrains(Means):
        def process_train_data(self, train, out):
            train["x"][...] = 0

    for wrong in (Writes(img=IMG), WritesTrains(img=IMG)):
        wrong.inputs = {"img": IMG, "x": From("scale.img")}
        with pytest.raises(ValueError, match="read-only"):
            dxflow.reduce(gaps.path, [Scale(img=IMG), wrong], cluster="here")


def test_the_least_and_the_largest_of_modules_are_of_all_of_them(gaps):
    class Peaks(RoiSum):
        ALG_ID = "peaks"

        def outputs(self, info):
            rules = {"high": "max", "low": "min"}
            rows = {n: Output(per="img", merge=rule) for n, rule in rules.items()}
            return rows | {f"{n}_train": Output(per="train", merge=rule) for n, rule in rules.items()}

        def process_module_data(self, block, out):
            out.high, out.low = block["img"].max(axis=(1, 2)), block["img"].min(axis=(1, 2))
            out.high_train, out.low_train = block["img"].max(), block["img"].min()

    labels, frames = oracle.frames(gaps.path, gaps.sources)
    trains = np.array([t for t, _ in labels])
    for beside in ([], [Means()]):
        data = dxflow.reduce(gaps.path, [Peaks(img=IMG), *beside], cluster="here", block=256).dataset
        oracle.close(data["peaks.high"], np.nanmax(frames, axis=(1, 2, 3)))
        oracle.close(data["peaks.low"], np.nanmin(frames, axis=(1, 2, 3)))
        for n, t in enumerate(gaps.train_ids):
            expected = np.nanmax(frames[trains == t]) if (trains == t).any() else np.nan
            oracle.close(data["peaks.high_train"][n], expected)


def test_rows_of_a_second_input_are_missing_where_the_first_has_nothing(gaps):
    class Second(Algorithm):
        ALG_ID = "second"
        inputs = {"img": IMG, "x": None}

        def outputs(self, info):
            return {"f": Output(per="x"), "n": Output(per="x", dtype="i4")}

        def process_train_data(self, train, out):
            out.f, out.n = train["x"], 1

    motor = Key(gaps.devices["motor"], "actualPosition.value")
    data = dxflow.reduce(gaps.path, Second(x=motor), cluster="here").dataset
    np.testing.assert_array_equal(data["second.f"], np.where([1, 0, 1, 1], gaps.motor, np.nan))
    assert data["second.n"].values.tolist() == [1, 0, 1, 1]
    assert data["second.n_valid"].values.tolist() == [True, False, True, True]


def test_a_block_has_no_rows_of_other_inputs(gaps):
    class Rows(RoiSum):
        inputs = {"img": IMG, "x": None}

        def outputs(self, info):
            return {"at": Output(per="x")}

    with pytest.raises(PlanError, match="module blocks are frames of"):
        dxflow.plan(gaps.path, Rows(x=Key(gaps.devices["motor"], "actualPosition.value")))
