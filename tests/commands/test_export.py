"""dxflow export, as it is typed, of what dxflow has made of a run."""

import numpy as np
import pandas as pd
import pytest
import smalltables
from runs import make_run

import dxflow
from dxflow.algorithms.average import Average
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.peaks import PeakFinder8
from dxflow.analysis import saved
from dxflow.commands.main import main
from dxflow.handover.damnit import variables
from dxflow.simulate import Spots


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """The result of a run: values of frames, images of the run, peaks."""
    folder = tmp_path_factory.mktemp("export")
    given = {"detector": "AGIPD500K", "module_shape": (64, 32), "signal": Spots(count=20, photons=400)}
    run = make_run(folder / "r0001", trains=6, pulses=4, **given)
    chain = [LitFrames(), Average(), PeakFinder8(min_peaks=5)]
    dxflow.reduce(run.path, chain, folder / "r.zarr", cluster="here", quiet=True)
    return folder


def export(*words):
    return main(["export", *map(str, words)])


def test_a_result_is_exported_by_its_rows_and_what_is_too_large_is_said(results, tmp_path, capsys):
    assert export(results / "r.zarr", tmp_path / "y.csv") == 0
    said = capsys.readouterr().out
    assert f"wrote    {tmp_path}/y.pulse.csv: 24 rows" in said
    assert "no list (module 8, ss 64, fs 32): write .npz or .mat" in said
    data = dxflow.open(results / "r.zarr").dataset
    frames = pd.read_csv(tmp_path / "y.pulse.csv")
    np.testing.assert_array_equal(frames["train_id"], data["train_id"])
    np.testing.assert_array_equal(frames["litframes.lit"].astype(bool), data["litframes.lit"])


def test_a_row_for_each_peak_says_of_which_train_it_is(results, tmp_path):
    assert export(results / "r.zarr", tmp_path / "peaks.csv", "peaks.peaks") == 0
    read, data = pd.read_csv(tmp_path / "peaks.csv"), dxflow.open(results / "r.zarr").dataset["peaks.peaks"]
    assert len(read) == len(data) > 0
    assert {name for name in read if name.endswith(("train_id", "pulse_id"))} == {
        name for name in data.coords if name.endswith(("train_id", "pulse_id"))
    }
    numbers = read[[name for name in read if name.startswith("peaks.peaks[")]].to_numpy()
    np.testing.assert_array_equal(numbers.astype("f4"), data)


def test_arrays_of_any_shape_go_into_one_file(results, tmp_path):
    assert export(results / "r.zarr", tmp_path / "y.npz", "average.mean") == 0
    with np.load(tmp_path / "y.npz") as read:
        np.testing.assert_array_equal(
            read["average.mean"], dxflow.open(results / "r.zarr").dataset["average.mean"]
        )


def test_a_run_table_shows_the_same_result(results):
    made, data = variables(results / "r.zarr"), dxflow.open(results / "r.zarr").dataset
    lit, mean = (made[name].func(None, 1, 900123) for name in ("litframes_lit", "average_mean"))
    np.testing.assert_array_equal(lit.data["train_id"], data["train_id"])
    assert lit.get_summary() == data["litframes.lit"].values.mean()
    assert type(mean.preview).__name__ == "Figure"
    assert "peaks_peaks" not in made


def test_what_cannot_be_is_said_in_the_words_of_the_line(results, tmp_path, capsys):
    source, to = results / "r.zarr", tmp_path / "y.mat"
    for words, expected in (
        (
            (source, to, "--limit", "10 B"),
            "more than the limit of 10 B: name those that are needed, or give --yes",
        ),
        ((source, tmp_path / "y.csv", "nothing"), "no variable 'nothing'"),
        ((source, source / "y.csv"), "would lie in"),
        ((tmp_path / "none.zarr", to), "none.zarr"),
    ):
        assert export(*words) == 2
        assert expected in capsys.readouterr().err
    assert export(source, to, "litframes.*", "--limit", "10 B", "--yes") == 0
    assert export(source, to, "litframes.*") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert export(source, to, "litframes.*", "--overwrite") == 0


def test_units_are_left_out_where_they_are_not_wanted(tmp_path):
    saved.write(smalltables.dataset(), tmp_path / "t.zarr", "table", {})
    for words, head in (((), "train,time,delay (ps)"), (("--no-units",), "train,time,delay")):
        to = tmp_path / f"y{len(words)}.csv"
        assert export(tmp_path / "t.zarr", to, "delay", *words) == 0
        assert to.read_text().partition("\n")[0] == head
    assert export(tmp_path / "t.zarr", tmp_path / "one.csv", "delay", "xgm", "--at", "pulse") == 0
    assert len(pd.read_csv(tmp_path / "one.csv")) == dxflow.open(tmp_path / "t.zarr").data.sizes["pulse"]
