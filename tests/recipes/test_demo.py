import io
from contextlib import redirect_stdout

import numpy as np
import pytest
import xarray as xr

from dxflow.algorithms import _average_kernels, _azint_kernels, _frame_kernels, _subtract_kernels
from dxflow.commands import main as cli
from dxflow.recipes import demo
from dxflow.simulate import Truth

LINE = ["recipe", "demo", "--trains", "4", "--pulses", "4", "--module-shape", "16", "16", "--cluster", "here"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The folder of a demonstration, what it printed, and what was compiled before and after."""
    folder = tmp_path_factory.mktemp("demo")
    demo.compile_kernels()
    before = compiled()
    with redirect_stdout(io.StringIO()) as shown:
        assert cli.main([*LINE, "--to", str(folder)]) == 0
    return folder, shown.getvalue(), before, compiled()


def test_the_demo_simulates_reduces_and_says_where_everything_is(made):
    folder, shown, *_ = made
    assert "simulated 8 dark frames and 16 lit and dark frames" in shown
    assert "lost     nothing" in shown
    assert f"{folder}/saxs.png" in shown
    assert (folder / "saxs.png").stat().st_size > 10_000
    found = xr.open_zarr(folder / "data.zarr", chunks=None)["litframes.lit"]
    np.testing.assert_array_equal(found, Truth.load(folder / "raw" / "r0002").lit)


def test_what_is_compiled_beside_the_simulation_is_all_that_the_passes_need(made):
    *_, before, after = made
    assert after == before


def test_the_demo_can_be_run_again(made):
    assert cli.main([*LINE, "--to", str(made[0])]) == 0


def compiled():
    """Return for which types each kernel is compiled."""
    modules = (_average_kernels, _azint_kernels, _frame_kernels, _subtract_kernels)
    return {
        f"{m.__name__}.{name}": set(kernel.signatures)
        for m in modules
        for name, kernel in vars(m).items()
        if hasattr(kernel, "signatures")
    }
