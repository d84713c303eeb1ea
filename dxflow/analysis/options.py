"""Options of a pass that are handed on: names that nobody knows are refused where they are given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import Parameter, signature
from typing import Any

from ..api import reduce
from ..errors.near import did_you_mean, listed

OF_PASS = tuple(
    name for name, one in signature(reduce).parameters.items() if one.kind is Parameter.KEYWORD_ONLY
)
"""Of `dxflow.reduce`."""


def refuse_unknown(what: str, options: Mapping[str, Any], own: Iterable[str] = ()) -> None:
    """Refuse an option that is none of a pass, nor one of its own.

    Raises
    ------
    TypeError
        It names what was perhaps meant, and all there are.
    """
    known = [*own, *OF_PASS]
    for name in options:
        if name not in known:
            raise TypeError(
                f"{what}: no option {name!r}.{did_you_mean(name, known)} Its own: {listed(own)}; "
                f"of the pass: {listed(OF_PASS, len(OF_PASS))}"
            )
