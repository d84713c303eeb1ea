"""What is shown of results and tables: the variables, the picture that each deserves, and near names of wrong ones."""

import numpy as np
import pytest
import smalltables
import xarray as xr

from dxflow import reduce
from dxflow.algorithms.average import Average
from dxflow.algorithms.litframes import LitFrames
from dxflow.analysis.plots.screen import Screen
from dxflow.analysis.show import show
from dxflow.commands.main import main
from dxflow.simulate import make_run

ASCII = Screen(60, 20, unicode=False)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A result of the smallest run with a geometry beside it."""
    folder = tmp_path_factory.mktemp("show")
    make_run(folder / "r0001", detector="AGIPD500K", trains=4, pulses=2, module_shape=(16, 16))
    reduce(folder / "r0001", [Average(), LitFrames()], folder / "x.zarr", cluster="here")
    return folder / "x.zarr"


def test_a_result_is_listed_with_the_picture_that_says_most(made, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "70")
    assert main(["show", str(made)]) == 0
    out = capsys.readouterr().out
    assert "float64 8 module x 16 ss x 16 fs, mean" in out
    assert "rows      8 frame, 4 train" in out
    # Put together by the geometry beside the run.
    assert "x (mm)" in out
    assert "\x1b" not in out
    # Names of files are whole.
    lines = [line for line in out.splitlines()[1:] if not line.startswith("geometry")]
    assert max(map(len, lines)) <= 70


def test_one_module_is_drawn_where_the_geometry_beside_the_run_or_a_given_one_has_it(made, capsys):
    for more in ([], ["--geometry", str(made.parent / "r0001" / "geometry.npy")]):
        assert main(["show", str(made), "average.mean", "--at", "module=3", *more]) == 0
        out = capsys.readouterr().out
        assert "module 3" in out
        assert "x (mm)" in out


def test_a_variable_is_drawn_alone_or_written_to_a_file_that_is_replaced(made, tmp_path, capsys):
    picture = tmp_path / "lit.png"
    for _ in range(2):
        assert main(["show", str(made), "litframes.lit", "--png", str(picture)]) == 0
    assert picture.read_bytes()[:4] == b"\x89PNG"
    assert "average.mean" not in capsys.readouterr().out
    other = tmp_path / "notes.png"
    other.write_text("mine")
    assert main(["show", str(made), "litframes.lit", "--png", str(other)]) == 2
    assert other.read_text() == "mine"
    assert main(["show", str(made), "litframes.lit", "--png", str(tmp_path / "lit.txt")]) == 2
    assert ".png, .pdf, .svg" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["average.men"], "Did you mean 'average.mean'?"),
        (["average.mean", "--at", "modul=3"], "Did you mean 'module'?"),
        (["average.mean", "--at", "module"], "expected AXIS=VALUE"),
        (["average.mean", "--at", "module=first"], "expected a number"),
        (["average.mean", "--as", "histogramm"], "histogram"),
        (["average.mean", "--as", "series"], "cannot be drawn as series; usual is image"),
        (["average.mean", "--geometry", "no.geom"], "no.geom"),
    ],
)
def test_what_cannot_be_shown_says_what_can(made, words, said, capsys):
    assert main(["show", str(made), *words]) == 2
    assert said in capsys.readouterr().err


def test_what_is_no_result_is_refused(tmp_path, capsys):
    assert main(["show", str(tmp_path / "none.zarr")]) == 2
    assert "none.zarr" in capsys.readouterr().err


def test_tables_and_datasets_are_shown_in_plain_signs():
    out = show(smalltables.table(), "xgm", screen=ASCII)
    assert out.startswith("made\n")
    assert "xgm (uJ)" in out
    assert out.isascii()
    assert "energy of the pulse" in out
    whole = show(smalltables.dataset(), screen=ASCII, whole=True)
    assert "lit_valid" not in whole
    assert "state" in whole


def test_one_value_is_said_and_not_drawn(tmp_path):
    assert "energy: 9.3, float64 one value (keV)" in show(smalltables.dataset(), "energy")
    with pytest.raises(ValueError, match="is one value"):
        show(smalltables.dataset(), "energy", png=tmp_path / "energy.png")


def test_nothing_to_draw_is_only_listed():
    assert show(xr.Dataset({"a": ((), 3.0)}, attrs={"title": "one"})) == "one\n  a  float64 one value"
    assert show(xr.Dataset()) == "dataset"


def test_a_picture_takes_most_of_the_terminal():
    data = xr.Dataset({"y": ("x", np.arange(100.0))}, {"x": np.arange(100.0)})
    for height in (12, 24, 60):
        lines = show(data, "y", screen=Screen(60, height)).splitlines()
        assert height - 4 <= len(lines) <= height + 1
        assert max(map(len, lines)) <= 60


def test_a_dollar_in_a_name_is_a_dollar_in_a_picture(tmp_path):
    about = {"long_name": "$\\no{such", "units": "$x$"}
    data = xr.Dataset(
        {"$\\frac": ("q", np.arange(20.0), about), "b": ("s", [1.0, 2.0])}, {"s": ["$\\a", "$"]}
    )
    for name in data.data_vars:
        show(data, name, png=tmp_path / "x.svg")
        drawn = (tmp_path / "x.svg").read_text()
        assert "$" in drawn
        (tmp_path / "x.svg").unlink()
