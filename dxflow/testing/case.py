"""What the checks of `dxflow.testing` share: an algorithm on a run, planned in several ways, and comparisons."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, is_dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..api import plan
from ..declare.algorithm import Algorithm
from ..driver.execute import execute
from ..planning.plan import Chunk
from ..planning.public import Plan

if TYPE_CHECKING:
    from ..driver.result import Result

Factory = Callable[[], Algorithm | Sequence[Algorithm]]


class CheckFailed(AssertionError):
    """A promise that is not kept; the message says which, and how."""


def require(kept: bool, message: str) -> None:
    """Raise the message if a promise is not kept."""
    if not kept:
        raise CheckFailed(message)


@dataclass(frozen=True)
class Case:
    """An algorithm on a run, to be reduced in several ways."""

    factory: Factory
    run: Any
    frames: Any = None
    on_fault: str | None = None

    def algorithms(self) -> list[Algorithm]:
        """Return fresh algorithms."""
        made = self.factory()
        return list(made) if isinstance(made, Sequence) else [made]

    def plan(
        self,
        algorithms: list[Algorithm] | None = None,
        *,
        trains: int | None = None,
        block: int | str = "4 MiB",
        to: Any = None,
        overwrite: bool = False,
    ) -> Plan:
        """Plan with chunks of so many trains, or with one chunk."""
        made = plan(
            self.run,
            algorithms or self.algorithms(),
            to,
            cluster="here",
            frames=self.frames,
            block=block,
            on_fault=self.on_fault,
            overwrite=overwrite,
        )
        n = len(made.train_ids)
        # Units as long as chunks, so that what depends on how many trains are finished at once is found.
        own = tuple(replace(a, unit=1 << n.bit_length()) for a in made.algorithms)
        return cut(replace(made, algorithms=own), trains or n)

    def reduce(self, algorithms: list[Algorithm] | None = None, **how: Any) -> Result:
        """Plan and execute in this process."""
        return execute(self.plan(algorithms, **how), "here")


def cut(made: Plan, trains: int) -> Plan:
    """Return a plan with chunks of so many trains."""
    n = len(made.train_ids)
    spans = [(a, min(a + trains, n), p) for p in range(len(made.parts)) for a in range(0, n, trains)]
    return replace(
        made, chunk_trains=0, chunks=tuple(Chunk(number, *span) for number, span in enumerate(spans))
    )


def by_modules(made: Plan, trains: int, groups: int | None = None) -> Plan:
    """Return a plan with chunks of so many trains, and of groups of modules; each module apart by default."""
    modules = max(len(i.modules) for i in made.inputs)
    edges = [modules * n // (groups or modules) for n in range((groups or modules) + 1)]
    return cut(replace(made, parts=tuple(slice(a, b) for a, b in pairwise(edges))), trains)


def compare(
    check: str, expected: Result, got: Result, rtol: float = 0.0, atol: float = 0.0, *, ordered: bool = True
) -> None:
    """Raise unless a result has every variable of another, with the same values; events in any order, if so asked."""
    for name, variable in expected.dataset.variables.items():
        require(name in got.dataset.variables, f"{check}: {name} is not in the result")
        a, b = variable.values, got.dataset.variables[name].values
        if not ordered and variable.dims and str(variable.dims[0]).endswith("_event"):
            a, b = np.sort(a, axis=0), np.sort(b, axis=0)
        how = difference(a, b, rtol, atol)
        require(not how, f"{check}: {name} differs: {how}")


def difference(a: NDArray, b: NDArray, rtol: float = 0.0, atol: float = 0.0) -> str:
    """Return in words how `b` differs from `a`, or ""; NaN equals NaN."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{a.dtype} {a.shape} became {b.dtype} {b.shape}"
    same = np.isclose(b, a, rtol, atol, equal_nan=True) if a.dtype.kind in "fc" else np.asarray(a == b)
    if same.all():
        return ""
    at = tuple(int(n) for n in np.argwhere(~same)[0])
    return f"{np.sum(~same)} of {same.size} values, the first at {at}: {a[at]!r} became {b[at]!r}"


def state(value: Any) -> Any:
    """Return a copy of a value that compares by content, as deep as arrays and plain containers go."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, Mapping):
        return {key: state(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [state(one) for one in value]
    if value is None or isinstance(value, (str, bytes, int, float, complex, slice, np.generic, np.dtype)):
        return repr(value)
    if is_dataclass(value) and not isinstance(value, type):
        return state(vars(value))
    return id(value)


def changed(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """Return the names whose `state` is not what it was."""
    return sorted(name for name in {*before, *after} if before.get(name) != after.get(name))
