"""Which runs a task is for."""

import pytest

from dxflow.errors import yamls
from dxflow.watch import filters

FACTS = {
    "type": "Dark run",
    "run": 12,
    "trains": 100,
    "detectors": ["SPB_DET_AGIPD1M-1", "SPB_IRDA_JF4M"],
    "values": {"A/B/C shutter.state": "OPEN", "A/B/C n": 3},
}


def refused(text):
    given = yamls.load(f"where: {text}")
    return filters.refused(filters.conditions(given["where"], given), FACTS)


@pytest.mark.parametrize(
    "text",
    [
        "{type: '*Dark*', run: 12}",
        "{trains: '>= 100, < 101'}",
        "{run: [11, 12]}",
        "{detectors: '*AGIPD*'}",
        "{type: '!*Light*'}",
        "{A/B/C shutter.state: OPEN, A/B/C n: '> 2'}",
    ],
)
def test_runs_that_a_task_is_for(text):
    assert refused(text) == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{type: '*light*'}", "type: 'Dark run', not *light*"),
        ("{trains: '> 100'}", "trains: 100, not > 100"),
        ("{run: [1, 2]}", "run: 12, not 1 or 2"),
        ("{type: '> 3'}", "type: 'Dark run', not > 3"),
        ("{detectors: '*LPD*'}", "detectors: SPB_DET_AGIPD1M-1, SPB_IRDA_JF4M, not *LPD*"),
        ("{sample: x}", "sample is not known of it"),
        ("{A/B/D state: x}", "A/B/D state is not known of it"),
        ("{run: true}", "run: 12, not True"),
    ],
)
def test_runs_that_it_is_not_for(text, why):
    assert refused(text) == why
