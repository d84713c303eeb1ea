"""The command dxflow codecs."""

import json

import extra_data
import numpy as np
import pytest
from runs import make_run

from dxflow.codecs.samples import sample
from dxflow.commands.codecs import positions
from dxflow.commands.main import main


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(
        tmp_path_factory.mktemp("codecs") / "r0001", trains=2, pulses=3, modules=2, module_shape=(32, 16)
    ).path


def test_a_table_a_plot_and_json_of_the_users_own_frames(run, tmp_path, capsys):
    plot, table = tmp_path / "plot.png", tmp_path / "table.json"
    options = ["--round", "abs=0.5", "rel=1e-2", "--codec", "deflate", "zfp", "--samples", "2", "--quiet"]
    assert main(["codecs", run, *options, "--plot", str(plot), "--json", str(table)]) == 0
    out = capsys.readouterr().out
    assert "2 frames of 2 modules" in out
    assert "PSNR and SSIM refer to a range of" in out
    rows = json.loads(table.read_text())["rows"]
    assert [(r["codec"], r["bound"]) for r in rows] == [
        ("deflate", ""), ("deflate", "abs=0.5"), ("deflate", "rel=0.01"), ("zfp", "abs=0.5"),
    ]  # fmt: skip
    assert all(0 < r["iq_error"] < 1 for r in rows[1:])
    assert plot.stat().st_size > 5000


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--codec", "lzma"], "there is no such codec"),
        (["--round", "much"], "expected 'abs=0.5'"),
        (["--modules", "55"], "expected some of"),
        (["--geometry", "none.geom"], "there is no file"),
        (["--samples", "0"], "--samples"),
        (["--plot", "/nowhere/at/all.png"], "/nowhere/at/all.png"),
    ],
)
def test_what_cannot_be_is_wrong_usage(run, options, says, capsys):
    assert main(["codecs", run, "--samples", "1", "--modules", "0", "--quiet", *options]) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("modules", [(2, 3), (1, 2, 3, 4)])
def test_positions_are_those_of_the_modules_whatever_number_the_first_has(tmp_path, modules):
    run = make_run(
        tmp_path / "r0001",
        detector="JUNGFRAU",
        trains=1,
        pulses=2,
        modules=4,
        module_shape=(16, 8),
        data="corr",
    )
    places = np.zeros((8, 16, 8, 3))
    places[..., 0], places[..., 2] = np.arange(1, 9)[:, None, None], 1
    np.save(tmp_path / "places.npy", places)
    found = sample(extra_data.RunDirectory(run.path), 1, modules=modules)
    where = positions(found, str(tmp_path / "places.npy"), run.path)
    assert where[:, 0, 0, 0].tolist() == list(modules)
