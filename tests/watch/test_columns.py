"""Numbers that are chosen from results."""

import numpy as np
import pytest
import xarray as xr
from runs import make_run

import dxflow
from dxflow import Algorithm, Frames, Output
from dxflow.analysis import saved
from dxflow.errors.usage import UsageError
from dxflow.watch import columns


class Numbers(Algorithm):
    """Some values of each frame, and one of the run."""

    ALG_ID = "numbers"
    HELP = "numbers"
    inputs = {"img": Frames("image.data")}

    def outputs(self, info):
        return {"of": Output(per="img", dtype="f4"), "n": Output(per="run", merge="sum", dtype="i8")}

    def process_module_data(self, block, out):
        out.of[:] = np.arange(len(out.of))
        out.of[:1] = np.nan
        out.n += len(out.of)


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("columns")
    make_run(folder / "r0001", trains=3, pulses=4, module_shape=(8, 8))
    dxflow.reduce(folder / "r0001", Numbers(), folder / "a.zarr", cluster="here", modules=[0], quiet=True)
    return folder / "a.zarr"


def test_numbers_are_made_without_what_is_missing(result):
    data = dxflow.driver.result.open_result(result).dataset
    of = data["numbers.of"].values.ravel()
    there = of[~np.isnan(of)]
    assert 0 < len(there) < len(of)
    for how, made in {
        "mean": there.mean(),
        "std": there.std(),
        "min": there.min(),
        "max": there.max(),
        "sum": there.sum(),
        "median": np.median(there),
        "n": len(there),
        "first": there[0],
        "last": there[-1],
        "": there.mean(),
    }.items():
        assert columns.value(result, "numbers.of", how)[0] == pytest.approx(float(made)), how
    assert columns.value(result, "numbers.n")[0] == int(data["numbers.n"])
    assert columns.value(result.parent, "a.zarr:numbers.n")[0] == int(data["numbers.n"])


def test_what_is_not_there_is_said_and_no_failure(result):
    wanted = {
        "a": columns.Column("a", "mean", "numbers.of"),
        "b": columns.Column("b", "mean", "numbers.off"),
        "c": columns.Column("c", "mean", "@nothing"),
        "d": columns.Column("d", "other", "numbers.of"),
    }
    found = columns.values(wanted, "mean", result)
    wrong = found.wrong
    assert list(found.numbers) == ["a"]
    assert "Did you mean 'numbers.of'?" in wrong[0]
    assert wrong[1].startswith("c: there is no 'nothing'")


def test_what_is_written_must_be_a_column():
    assert columns.column("a", "table xgm std", ["table"]) == columns.Column("a", "table", "xgm", "std")
    for text, said in (
        ("table", "expected TASK VARIABLE"),
        ("table x y", "'y': expected"),
        (3, "3: expected"),
    ):
        with pytest.raises(UsageError, match=said):
            columns.column("a", text, ["table"])


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), (True, "yes"), (0.1234567, "0.12346"), (12, "12"), ("x", "x")]
)
def test_values_are_shown_short(value, text):
    assert columns.shown(value) == text


def test_what_has_no_value_does_not_count(tmp_path):
    data = xr.Dataset(
        {
            "n": ("train", np.array([10, 0, 20])),
            "n_valid": ("train", np.array([True, False, True])),
            "f": ((), 3.5),
        }
    ).assign_coords(train_id=("train", np.arange(3)))
    saved.write(data, tmp_path / "t.zarr", "table", {})
    of = {how: columns.value(tmp_path / "t.zarr", "n", how)[0] for how in ("mean", "min", "n", "last", "std")}
    assert of == {"mean": 15.0, "min": 10, "n": 2, "last": 20, "std": 5.0}
    assert columns.value(tmp_path / "t.zarr", "f", "std")[0] == 0.0
