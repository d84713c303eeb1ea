"""Scripts of benchmarks/, loaded from their files."""

import importlib.util
from pathlib import Path

import pytest

SCRIPTS = sorted((Path(__file__).parents[2] / "benchmarks").glob("bench_*.py"))


@pytest.fixture(params=["read", "reduce", "kernels", "overhead", "stores", "copy", "scaling"])
def script(request):
    """A script, as a module: worker processes import the test, not the script."""
    path = next(p for p in SCRIPTS if p.stem == f"bench_{request.param}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
