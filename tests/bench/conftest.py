"""Scripts of benchmarks/, loaded from their files."""

import importlib.util
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from dxflow.bench import subject

# As where a script is started, also for the worker processes that the tests share.
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))
SCRIPTS = sorted((Path(__file__).parents[2] / "benchmarks").glob("bench_*.py"))


@pytest.fixture(params=["read", "reduce", "kernels", "overhead", "stores", "copy", "scaling"])
def script(request):
    """A script, as a module: worker processes import the test, not the script."""
    path = next(p for p in SCRIPTS if p.stem == f"bench_{request.param}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def lent():
    """What lends worker processes as `subject.workers` does, but starts those of each number once for all tests."""
    with ExitStack() as stack:
        started = {}

        @contextmanager
        def workers(count):
            if count not in started:
                started[count] = stack.enter_context(subject.workers(count))
            yield started[count]

        yield workers
