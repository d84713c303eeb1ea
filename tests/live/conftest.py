"""A run that files come of."""

import sys
from pathlib import Path

import pytest
from runs import make_run

from dxflow.simulate import Plant

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The truth of a run of 28 trains in 7 sequences; some are missing, some have no frames in one module or in all."""
    plant = Plant(
        missing_trains=(6, 7), empty_trains=(9,), silent_trains={1: (0, 14)}, lost_trains={0: (20,)}
    )
    made = {"modules": 2, "pulses": 3, "module_shape": (8, 8), "devices": ("motor",)}
    return make_run(tmp_path_factory.mktemp("whole"), trains=28, sequences=7, plant=plant, **made)


@pytest.fixture
def now(monkeypatch):
    """Nothing is waited for by the clock."""
    import growth

    growth.at_once(monkeypatch)
