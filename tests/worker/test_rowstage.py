import os

import numpy as np
import pytest

import dxflow
from dxflow import Algorithm, Frames, From, Key, Labels, Output, PlanError
from dxflow.algorithms.average import Average
from dxflow.testing import check_algorithm


class Hits(Algorithm):
    """Frames that are brighter than most of the run, by a score that is not stored."""

    ALG_ID = "hits"
    SELECTS = "hit"
    inputs = {"img": Frames(mask=None)}

    def outputs(self, info):
        return {
            "score": Output(per="img", store=False),
            "n": Output(per="img", dtype="i4", store=False),
            "brightest": Output(per="train", merge="max"),
            "hit": Output(per="img", dtype="?", stage="rows"),
            "above": Output(per="img", stage="rows", unit="adu", doc="score above the threshold"),
            "rank": Output(per="train", dtype="i4", stage="rows"),
            "threshold": Output(stage="rows"),
            "quartiles": Output(
                shape=(3,), dims=("quartile",), coords={"quartile": [25, 50, 75]}, stage="rows"
            ),
        }

    def process_module_data(self, block, out):
        sums = np.nansum(block["img"], axis=(1, 2), dtype="f8")
        out.score += sums
        out.n += np.isfinite(block["img"]).sum(axis=(1, 2))
        out.brightest = sums.max()

    def finalize_rows(self, rows, out):
        score = rows["score"]
        assert set(score.coords) == {"train_id", "pulse_id", "cell_id"}
        assert score.dims == rows["n_valid"].dims == ("frame",)
        assert rows["brightest"].dims == ("train",)
        np.testing.assert_array_equal(rows["n_valid"], np.isfinite(score))
        out.quartiles = np.nanpercentile(score, [25, 50, 75])
        out.threshold = out.quartiles[2]
        out.hit = score > out.threshold
        out.above = score - out.threshold
        out.rank = np.argsort(np.argsort(-rows["brightest"].values))


def truth_of(found, scores):
    """Check outputs of `Hits` against the score of each frame, NaN where it was not read."""
    quartiles = np.nanpercentile(scores, [25, 50, 75])
    np.testing.assert_allclose(found["hits.quartiles"], quartiles, rtol=1e-6)
    np.testing.assert_allclose(found["hits.above"], scores - quartiles[2], rtol=1e-5, atol=1e-2)
    np.testing.assert_array_equal(found["hits.hit"], scores > quartiles[2])
    np.testing.assert_array_equal(found["hits.hit_valid"], np.isfinite(scores))


def scores_of(path):
    """Return the sum of each frame over all modules, by a pass of its own."""

    class Sums(Algorithm):
        ALG_ID = "sums"
        inputs = {"img": Frames(mask=None)}

        def outputs(self, info):
            return {"sum": Output(per="img")}

        def process_train_data(self, train, out):
            out.sum = np.nansum(train["img"], axis=(1, 2, 3), dtype="f8")

    return dxflow.reduce(path, Sums(), cluster="here").dataset["sums.sum"].values


def test_rows_of_the_whole_run_are_worked_on_once(run, tmp_path):
    result = dxflow.reduce(str(run.path), [Average(), Hits()], tmp_path / "x.zarr", cluster="here")
    found = result.dataset
    truth_of(found, scores_of(run.path))
    assert found["hits.above"].attrs["units"] == "adu"
    assert found["hits.quartiles"].coords["quartile"].values.tolist() == [25, 50, 75]
    assert "hits.score" not in found
    assert found["hits.hit"].dims == found["hits.above"].dims == ("frame",)
    assert dxflow.verify(tmp_path / "x.zarr") == []


def test_what_was_not_read_stays_missing(gappy):
    found = dxflow.reduce(str(gappy.path), Hits(), cluster="here").dataset
    truth_of(found, scores_of(gappy.path))
    used = found["train_used"].values > 0
    assert not used.all()
    np.testing.assert_array_equal(found["hits.rank_valid"], used)


@pytest.mark.parametrize("to", ["x.nc", "exdf/"])
def test_each_format_holds_them(run, tmp_path, to):
    found = dxflow.reduce(str(run.path), Hits(), f"{tmp_path}/{to}", cluster="here").dataset
    plain = dxflow.reduce(str(run.path), Hits(), cluster="here").dataset
    for name in ("hit", "above", "rank", "threshold", "quartiles"):
        np.testing.assert_array_equal(found[f"hits.{name}"].values, plain[f"hits.{name}"].values)


def test_chunks_company_and_workers_do_not_matter(long):
    one = dxflow.reduce(str(long.path), Hits(), cluster="here")
    many = dxflow.reduce(str(long.path), [Average(), Hits()], chunk="64 KiB", block="4 KiB")
    for name in ("hit", "above", "rank", "threshold", "quartiles"):
        np.testing.assert_array_equal(one.dataset[f"hits.{name}"].values, many.dataset[f"hits.{name}"].values)


def test_later_passes_select_by_them_and_read_them(run):
    class Kept(Algorithm):
        ALG_ID = "kept"
        inputs = {"img": Frames(), "above": None}

        def outputs(self, info):
            return {"above": Output(per="img", merge="max")}

        def process_module_data(self, block, out):
            out.above = block["above"]

    hits = dxflow.reduce(str(run.path), Hits(), cluster="here")
    found = dxflow.reduce(
        run.path, Kept(above=Labels(hits, "hits.above")), frames=hits, cluster="here"
    ).dataset
    chosen = hits.dataset["hits.hit"].values
    assert 0 < chosen.sum() < len(chosen)
    np.testing.assert_array_equal(found["kept.above"], hits.dataset["hits.above"].values[chosen])


def test_the_check_of_algorithms_takes_them(run):
    check_algorithm(Hits, run.path)


class Smooth(Algorithm):
    """Rows of two inputs, and events."""

    ALG_ID = "smooth"
    inputs = {"img": Frames(modules=(0,)), "xgm": None}

    def outputs(self, info):
        return {
            "bright": Output(per="event"),
            "pulse": Output(per="xgm", store=False),
            "mean": Output(per="xgm", stage="rows"),
            "events": Output(dtype="i4", stage="rows"),
        }

    def process_train_data(self, train, out):
        out.pulse = train["xgm"].mean(axis=1)
        frames = np.arange(0, len(train.pulse_ids), 2)
        out.bright.append(frames * 1.5, frames)

    def finalize_rows(self, rows, out):
        assert rows["pulse"].dims == ("xgm_entry",)
        assert rows["xgm_train_id"].dims == ("xgm_entry",)
        assert rows["bright_pulse_id"].dims == rows["bright"].dims
        assert len(np.unique(rows["bright_train_id"])) == rows["bright_count"].sizes["train"]
        out.mean = rows["pulse"] - rows["pulse"].mean()
        out.events = len(rows["bright"])


def test_rows_of_other_inputs_and_events(run):
    xgm = Key(f"{run.devices['xgm']}:output", "data.intensityTD")
    found = dxflow.reduce(run.path, [Average(), Smooth(xgm=xgm)], cluster="here").dataset
    assert int(found["smooth.events"]) == 12 * 3
    assert abs(float(found["smooth.mean"].mean())) < 1e-6
    assert found["smooth.mean"].dims == ("entry",)


def variant(base=Hits, hook=True, **outputs):
    """Return an algorithm with other outputs."""

    class Other(base):
        def outputs(self, info):
            return outputs or super().outputs(info)

    if not hook:
        Other.finalize_rows = Algorithm.finalize_rows
    return Other()


ROW = Output(per="img")


@pytest.mark.parametrize(
    ("algorithms", "says"),
    [
        ([variant(score=ROW)], "implements finalize_rows, but declares no Output"),
        ([variant(hook=False)], "makes above, hit, .*, but does not implement finalize_rows"),
        ([variant(x=Output(stage="rows"))], "finalize_rows needs rows"),
        (
            [variant(s=ROW, x=Output(per="pixel", stage="rows"))],
            "hits.x: per='pixel'.* expected one per run, train",
        ),
        ([variant(s=ROW, x=Output(per="event", stage="rows"))], "hits.x: per='event'"),
        ([variant(s=ROW, x=Output(merge="max", stage="rows"))], "hits.x: per='run', merge='max'"),
        (
            [Hits(), Smooth(xgm=From("hits.above"))],
            "made of all rows of the run, .* Labels.result, 'hits.above'",
        ),
    ],
)
def test_what_cannot_work_is_refused_when_planning(run, algorithms, says):
    with pytest.raises(PlanError, match=says):
        dxflow.plan(run.path, algorithms)
    with pytest.raises(ValueError, match="expected one of .'pass', 'rows'"):
        Output(stage="row")


def test_the_plan_counts_all_rows_and_names_what_is_made(long):
    class Vectors(Hits):
        def outputs(self, info):
            return {
                "score": Output(per="img", shape=(10_000,), store=False),
                "hit": Output(dtype="?", stage="rows"),
            }

    plan = dxflow.plan(long.path, Vectors(), chunk="64 KiB", block="4 KiB")
    assert len(plan.chunks) > 3
    assert plan.memory.rows >= 192 * 8 * 10_000 * 8
    assert "hits: Vectors() -> hit" in str(plan)


def test_an_error_says_where_and_a_resumed_run_goes_on_with_the_rows(run, tmp_path, monkeypatch):
    monkeypatch.setenv("BROKEN", "yes")

    class Breaks(Hits):
        def process_module_data(self, block, out):
            assert "BROKEN" in os.environ
            super().process_module_data(block, out)

        def finalize_rows(self, rows, out):
            if "BROKEN" in os.environ:
                raise ZeroDivisionError("no frames")
            super().finalize_rows(rows, out)

    with pytest.raises(ZeroDivisionError) as raised:
        dxflow.reduce(str(run.path), Breaks(), tmp_path / "x.zarr", cluster="here")
    assert "in hits.finalize_rows(), run" in raised.value.__notes__[0]
    monkeypatch.delenv("BROKEN")
    found = dxflow.reduce(str(run.path), Breaks(), tmp_path / "x.zarr", cluster="here", resume=True).dataset
    truth_of(found, scores_of(run.path))


def test_rows_that_are_not_assigned_are_missing(run):
    class Nothing(Hits):
        def finalize_rows(self, rows, out):
            out.threshold = 3

    found = dxflow.reduce(run.path, Nothing(), cluster="here").dataset
    assert np.isnan(found["hits.above"].values).all()
    assert not found["hits.hit_valid"].values.any()
    assert float(found["hits.threshold"]) == 3


def test_self_is_read_only(run):
    class Keeps(Hits):
        def finalize_rows(self, rows, out):
            self.seen = rows

    with pytest.raises(AttributeError, match="self.seen is set after initialize"):
        dxflow.reduce(run.path, Keeps(), cluster="here")
