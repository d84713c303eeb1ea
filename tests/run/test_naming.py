"""Texts for many runs, filled in for one."""

import pytest

from dxflow.errors.usage import UsageError
from dxflow.run.naming import filled

RUN = {"name": "r0034", "run": 34, "proposal": None}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("r{run:04}.zarr", "r0034.zarr"),
        ("{run:4d}-{run}", "0034-34"),
        # Digits are asked of numbers only, and other braces are somebody else's.
        ("{name:04}/{cell}{}", "r0034/{cell}{}"),
        ("{{run}}", "{34}"),
    ],
)
def test_fields_are_filled_in(text, said):
    assert filled(text, RUN, ("name", "run", "proposal"), "raw/r0034") == said


def test_what_a_run_does_not_say_is_named():
    with pytest.raises(
        UsageError, match=r"\{proposal\}: raw/r0034 does not say its proposal number; \{name\} is r0034"
    ):
        filled("p{proposal}", RUN, ("proposal",), "raw/r0034")
    assert filled("p{proposal}", RUN, ("run",), "raw/r0034") == "p{proposal}"
