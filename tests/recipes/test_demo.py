import numpy as np
import xarray as xr

from dxflow.algorithms import _average_kernels, _azint_kernels, _frame_kernels, _subtract_kernels
from dxflow.commands import main as cli
from dxflow.recipes import demo
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


def test_what_is_compiled_beside_the_simulation_is_all_that_the_passes_need(tmp_path):
    demo.compile_kernels()
    before = compiled()
    assert cli.main([*LINE, "--to", str(tmp_path)]) == 0
    assert compiled() == before


def compiled():
    """Return for which types each kernel is compiled."""
    modules = (_average_kernels, _azint_kernels, _frame_kernels, _subtract_kernels)
    return {
        f"{m.__name__}.{name}": set(kernel.signatures)
        for m in modules
        for name, kernel in vars(m).items()
        if hasattr(kernel, "signatures")
    }
