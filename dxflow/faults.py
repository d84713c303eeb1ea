"""What happens when a hook raises: it is said where, or the trains are left out."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from .losses import Loss

if TYPE_CHECKING:
    from .algorithm import Algorithm
    from .state import ChunkState
    from .watch import Doing


class TrainsFailed(Exception):
    """A hook raised in some trains; the chunk is to be done again without them."""

    def __init__(self, trains: frozenset[int], loss: Loss) -> None:
        super().__init__(str(loss))
        self.trains, self.loss = trains, loss


class HookExit(RuntimeError):
    """A hook that would have ended the process: ``sys.exit()``, or an interrupt that no user made."""


@contextmanager
def hook_context(
    algorithm: Algorithm, hook: str, state: ChunkState, trains: NDArray, module: int | None = None
) -> Iterator[None]:
    """Add to an exception of a hook where it happened, or leave these trains out if faults are to be masked.

    Parameters
    ----------
    trains : ndarray of int
        Positions in the plan of the trains that the hook works on.
    module : int, optional
        Position of the module.
    """
    try:
        with state.doing.hook(lambda: _where(algorithm, hook, state, trains, module)):
            yield
    except BaseException as raised:
        e = _exception(raised)
        where = _where(algorithm, hook, state, trains, module)
        if state.plan.on_fault != "mask":
            e.add_note(where)
            if e is raised:
                raise
            raise e from raised
        positions = np.unique(trains)
        raise TrainsFailed(frozenset(positions.tolist()), _loss(algorithm, state, positions, where, e)) from e


def _exception(raised: BaseException) -> Exception:
    """Return what a hook raised as an exception; raise it if it came from outside, such as Ctrl-C."""
    if isinstance(raised, Exception):
        return raised
    # Python interrupts the main thread only: in others, where workers run hooks, it was the hook.
    ours = isinstance(raised, SystemExit) or threading.current_thread() is not threading.main_thread()
    if not ours or isinstance(raised, GeneratorExit):
        raise raised
    what = f"{type(raised).__name__}({', '.join(map(repr, raised.args))})"
    said = f"{what} would end the worker; a hook that cannot go on raises an exception"
    return HookExit(said).with_traceback(raised.__traceback__)


@contextmanager
def named(doing: Doing, where: str) -> Iterator[None]:
    """Add to an exception of a hook of the whole run where it happened."""
    try:
        with doing.hook(lambda: where):
            yield
    except BaseException as raised:
        e = _exception(raised)
        e.add_note(where)
        if e is raised:
            raise
        raise e from raised


def _where(algorithm: Algorithm, hook: str, state: ChunkState, trains: NDArray, module: int | None) -> str:
    ids = state.plan.train_ids[[trains.min(), trains.max()]]
    span = f"train {ids[0]}" if ids[0] == ids[1] else f"trains {ids[0]}-{ids[1]}"
    if module is not None:
        lead = next(a for a in state.plan.algorithms if a.algorithm is algorithm).stream
        span += f", module {state.plan.inputs[lead].modules[module]}"
    chunk = state.chunk.number
    return f"in {algorithm.name}.{hook}(), run {state.plan.run}, chunk {chunk}, {span}"


def _loss(algorithm: Algorithm, state: ChunkState, positions: NDArray, where: str, error: Exception) -> Loss:
    ids = state.plan.train_ids[positions]
    return Loss(
        cause="exception in hook",
        frames=0,
        trains=len(ids),
        first_train=int(ids[0]),
        last_train=int(ids[-1]),
        algorithm=algorithm.name,
        run=state.plan.run,
        detail=f"{type(error).__name__}: {error} ({where})",
    )
