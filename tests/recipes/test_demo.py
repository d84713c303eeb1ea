import numpy as np
import xarray as xr

from dxflow.commands import main as cli
from dxflow.simulate import Truth

LINE = ["recipe", "demo", "--trains", "4", "--pulses", "4", "--module-shape", "16", "16", "--cluster", "here"]


def test_the_demo_simulates_reduces_and_says_where_everything_is(tmp_path, capsys):
    assert cli.main([*LINE, "--to", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "simulated 8 dark frames and 16 lit and dark frames" in shown
    assert "lost     nothing" in shown
    assert f"{tmp_path}/saxs.png" in shown
    assert (tmp_path / "saxs.png").stat().st_size > 10_000
    found = xr.open_zarr(tmp_path / "data.zarr", chunks=None)["litframes.lit"]
    np.testing.assert_array_equal(found, Truth.load(tmp_path / "raw" / "r0002").lit)


def test_the_demo_can_be_run_again(tmp_path):
    assert cli.main([*LINE, "--to", str(tmp_path)]) == 0
    assert cli.main([*LINE, "--to", str(tmp_path)]) == 0
