"""check_algorithm: an algorithm gives the same result however its work is cut."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from ..declare.algorithm import Algorithm, SelfChanged
from ..declare.outputs import BoundOutput, Output, Partial, identity, merge_into, valid_name
from ..driver import journal
from ..driver.execute import execute
from ..planning.cutting import separable
from ..planning.walks import Walk
from ..worker import ahead, chunk, merging
from .case import Case, CheckFailed, Factory, by_modules, changed, compare, difference, require, state

if TYPE_CHECKING:
    from ..driver.result import Result


def check_algorithm(
    factory: Factory,
    run: Any,
    *,
    rtol: float = 1e-6,
    atol: float = 0.0,
    frames: Any = None,
    on_fault: Any = None,
) -> Result:
    """Check that an algorithm gives the same result however its work is cut, and leaves alone what is not its own.

    In this process, on a run that should be small, it is checked that

    - chunks of one train and of three give what the whole run as one chunk gives, within a tolerance,
    - so do blocks of a single frame, blocks cut from whole trains, modules in reverse order, and half of the modules
      merged with the other half (``process_module_data`` only),
    - buffers full of rubbish beforehand change no bit,
    - a pickled copy gives the same bits, and nothing that `initialize` does reaches the client's object,
    - a chunk's partial merged into an empty one stays what it is,
    - `outputs` changes nothing and says the same twice,
    - ``process_...`` changes neither its input arrays nor ``self``.

    Parameters
    ----------
    factory : callable
        Makes the algorithm, anew at each call; or a list that ends with it, where it reads what others make.
    run : path or extra_data.DataCollection
        Of `make_run`, for example.
    rtol, atol : float
        Allowed between different ways to cut. Integers and labels must be equal.
    frames, on_fault
        As of `dxflow.plan`.

    Returns
    -------
    Result
        Of the whole run in one chunk, to be compared with what is right.

    Raises
    ------
    CheckFailed

    Examples
    --------
    >>> from dxflow.algorithms.average import Average
    >>> from dxflow.testing import check_algorithm, make_run
    >>> def test_average(tmp_path):
    ...     truth = make_run(tmp_path / "run", trains=7, pulses=5, module_shape=(16, 16))
    ...     result = check_algorithm(lambda: Average(per="cell"), truth.path)
    """
    case = Case(factory, run, frames, on_fault)
    _check_hands_off(case)
    algorithms = case.algorithms()
    whole = _check_client_side(case, algorithms)
    for byte in (0xFF, 0x3F):
        with poisoned(byte):
            compare(f"buffers full of 0x{byte:X} beforehand", whole, case.reduce())
    _check_pickled(case, whole, algorithms)
    strips = algorithms[-1].STRIPS
    for trains in () if strips else (1, 3):
        compare(f"chunks of {trains} trains", whole, case.reduce(trains=trains), rtol, atol)
    if algorithms[-1].by_module:
        compare("blocks as small as can be", whole, case.reduce(block=1), rtol, atol)
        if not strips:
            compare("blocks cut from whole trains", whole, case.reduce(_beside_trains(case)), rtol, atol)
        with _modules(lambda all_of_them: all_of_them[::-1]):
            # Events of a frame are in the order of modules.
            compare("modules in reverse order", whole, case.reduce(), rtol, atol, ordered=False)
        _check_halves(case, whole, rtol, atol)
        if separable(made := case.plan()):
            apart = execute(by_modules(made, len(made.train_ids)), "here")
            compare("each module in a chunk of its own", whole, apart)
    if not strips:
        _check_merge(case)
    if algorithms[-1].overrides("process_variants"):
        twin = case.algorithms()[-1]
        twin.name = "check_twin"
        compare("beside another instance", whole, case.reduce([*case.algorithms(), twin]), rtol, atol)
    return whole


class _Trains(Algorithm):
    """Needs whole trains, so that others in its pass get their blocks as views of them."""

    ALG_ID = "check_trains"

    def outputs(self, info: Any) -> Mapping[str, Output]:
        return {"seen": Output(per="train")}

    def process_train_data(self, train: Any, out: Any) -> None:
        out.seen = 1


def _beside_trains(case: Case) -> list[Algorithm]:
    """Return the algorithms, and one that reads the frames of the last of them train by train."""
    made = case.plan()
    trains: Any = _Trains()
    trains.inputs = {"x": made.inputs[made.algorithms[-1].stream].declared}
    return [*case.algorithms(), trains]


@contextmanager
def _modules(choose: Callable[[Sequence[int]], Sequence[int]]) -> Iterator[None]:
    """Let passes over blocks work on some modules, in some order."""
    real = Walk.modules
    with mock.patch.object(Walk, "modules", lambda self, *args: choose(real(self, *args))):
        yield


def _check_halves(case: Case, whole: Result, rtol: float, atol: float) -> None:
    """Check that what modules share is merged from the modules, where no other hook changes it afterwards."""
    own = case.plan().algorithms[-1]
    if any(own.algorithm.overrides(h) for h in ("finalize_chunk_processing", "merge", "finalize")):
        return
    halves = []
    for part in (slice(0, None, 2), slice(1, None, 2)):
        with _modules(itemgetter(part)):
            halves.append(case.reduce())
    for o in own.outputs:
        if o.output.store and o.output.kind in ("entry", "train", "run") and o.output.merge != "custom":
            into, other = (_of_half(h, o) for h in halves)
            merge_into(into, other, o.output.merge)
            how = difference(_of_half(whole, o), into, rtol, atol)
            require(not how, f"{o.name} is not that of half of the modules merged with the other half: {how}")


def _of_half(result: Result, o: BoundOutput) -> NDArray:
    """Return an output, with the identity of its rule in place of what is missing."""
    values = np.array(result.dataset[o.name])
    missing = np.isnan(values) if values.dtype.kind in "fc" else np.zeros(values.shape, bool)
    if (valid := result.dataset.variables.get(valid_name(o))) is not None:
        missing[~np.asarray(valid, bool)] = True
    values[missing] = identity(o.output.dtype, o.output.merge)
    return values


def _check_client_side(case: Case, algorithms: list[Algorithm]) -> Result:
    """Check `outputs`, and that a run leaves the client's object alone; return the run's result."""
    own = algorithms[-1]
    made, before = case.plan(algorithms), state(vars(own))
    first, second = (own.outputs(made.algorithms[-1].info) for _ in range(2))
    require(state(first) == state(second), f"{own.name}.outputs() said something else when asked again")
    fresh = case.algorithms()[-1]
    unasked = state(vars(fresh))
    fresh.outputs(made.algorithms[-1].info)
    touched = changed(unasked, state(vars(fresh)))
    require(not touched, f"{own.name}.outputs() changed self: {touched}")
    whole = execute(made, "here")
    touched = changed(before, state(vars(own)))
    require(not touched, f"{own.name}: a run changed {touched} of the client's object")
    return whole


def _check_pickled(case: Case, whole: Result, used: list[Algorithm]) -> None:
    """Check that pickled copies, of fresh algorithms and of those of a run, give the same bits."""
    import cloudpickle

    for when, algorithms in (("", case.algorithms()), (" after a run", used)):
        copies = cloudpickle.loads(cloudpickle.dumps(algorithms))
        compare(f"pickled{when}", whole, case.reduce(copies))


def _check_hands_off(case: Case) -> None:
    """Check that the hook changes neither its input arrays nor ``self``."""
    algorithms = case.algorithms()
    problems: list[str] = []
    _watch(algorithms[-1], problems)
    try:
        case.reduce(algorithms)
    except Exception as e:
        if problems:
            raise CheckFailed(problems[0]) from e
        raise
    require(not problems, problems[0] if problems else "")


def _watch(algorithm: Algorithm, problems: list[str]) -> None:
    """Let an algorithm note what its hook changes and must not."""
    hook = "process_module_data" if algorithm.by_module else "process_train_data"
    cls: Any = type(algorithm)

    def watched(self: Any, data: Any, out: Any) -> None:
        inputs = {alias: np.array(data[alias]) for alias in self.inputs}
        before = state(vars(self))
        try:
            getattr(cls, hook)(self, data, out)
        except SelfChanged as e:
            raise CheckFailed(f"{self.name}.{hook}() changed self: {[e.attribute]}; results go to out") from e
        except ValueError as e:
            if "read-only" not in str(e):
                raise
            which = " or ".join(map(repr, inputs))
            raise CheckFailed(
                f"{self.name}.{hook}() changed its input {which}, which is read-only: {e}"
            ) from e
        for alias, values in inputs.items():
            if how := difference(values, np.asarray(data[alias])):
                problems.append(f"{self.name}.{hook}() changed its input {alias!r}: {how}")
        if touched := changed(before, state(vars(self))):
            problems.append(f"{self.name}.{hook}() changed self: {touched}; results go to out")

    # A subclass, so that the copies made for workers are watched as well.
    names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, hook: watched}
    algorithm.__class__ = type(cls.__name__, (cls,), names)


@contextmanager
def poisoned(byte: int) -> Iterator[None]:
    """Fill buffers with a byte each time before something is read into them: 0xFF is NaN as a float."""
    real: Any = ahead.Ring
    filled: dict[int, NDArray] = {}

    def ring(steps: Any, fill: Any, buffers: Any, *args: Any, **options: Any) -> Any:
        def poison_and_fill(step: Any, buffer: NDArray, *rest: Any) -> Any:
            # The larger part of a buffer stays as it was if data are few: what is read, with masks, is less than this.
            used = 8 * step[0].plan.bytes_to_read + 65_536
            buffer[: used if id(buffer) in filled else None] = byte
            filled[id(buffer)] = buffer
            return fill(step, buffer, *rest)

        return real(steps, poison_and_fill, buffers, *args, **options)

    with mock.patch.object(ahead, "Ring", ring):
        yield


def _check_merge(case: Case) -> None:
    """Check that merging each chunk's partial into an empty one gives that partial."""
    made = case.plan(trains=3)
    work = chunk.Workspace(made, journal.begin(made))
    for one in made.chunks:
        chunk.run_chunk(work, one.number)
        at = made.address(work.folder, one.number)
        # Without outputs of the whole run, or alone in its part, a chunk leaves no sums.
        for name, partial in (merging.totals(made, one.part, at) or {}).items():
            own = next(a.algorithm for a in work.plan.algorithms if a.name == name)
            empty = {k: np.full_like(v, identity(v.dtype, own.rules[k])) for k, v in partial.items().items()}
            own.merge(into := Partial(empty), partial)
            for key in into:
                how = difference(partial[key], into[key])
                require(not how, f"{name}.{key}: a partial merged into an empty one changed: {how}")
