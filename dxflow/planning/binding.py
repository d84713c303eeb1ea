"""Bind algorithms to a run: which input each alias is, which rows each output has; refuse what cannot work."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.algorithm import Algorithm
from ..declare.beside import EachTrain
from ..declare.inputs import Frames, From
from ..declare.labelled import Asked
from ..declare.labels import Labels
from ..declare.outputs import BoundOutput, Output, Partial
from ..errors import PlanError
from ..errors.near import did_you_mean, listed
from ..errors.usage import text_of
from ..run.bound import BoundInput
from ..run.findings import Faults
from ..run.index import EntryIndex, same_rows
from ..run.info import InputInfo, RunInfo
from . import stages
from .bound import Alias, BoundAlgorithm, maker
from .reads import frames_of, unread
from .same import same
from .selecting import NO_FRAMES, selected, stand_for_frames
from .variants import one_of, refuse_name_of_variants

if TYPE_CHECKING:
    from extra_data import DataCollection

    from ..run.selection import FrameSelection
    from .where import Where


@dataclass
class Binding:
    """The inputs of a pass, each bound once, and the algorithms that use them, in order."""

    run: DataCollection
    path: str
    trains: NDArray
    selection: FrameSelection | None
    faults: Faults
    mask: Any = "auto"
    bits: Any = None
    """Mask and its bits for images whose input does not say which."""
    opened: Any = None
    """Opens a result by its path, for `Labels`."""
    where: Where | None = None

    def __post_init__(self) -> None:
        self.inputs: list[BoundInput] = []
        self.algorithms: list[BoundAlgorithm] = []
        self._numbers: dict[Any, int] = {}
        self._mask_taken = False
        self._every: dict[EntryIndex, EntryIndex] = {}
        self._asked = Asked(
            self.run, self.trains, self.faults, self.opened, lambda index: self._every.get(index, index)
        )

    @property
    def made(self) -> dict[str, BoundOutput]:
        """Outputs of the algorithms so far, by name."""
        return {o.name: o for a in self.algorithms for o in a.outputs}

    def add(self, algorithm: Algorithm) -> None:
        """Bind one more algorithm; it may read what those before it make."""
        _check_hooks(algorithm)
        aliases: dict[str, Alias] = {}
        for alias, what in algorithm.inputs.items():
            aliases[alias] = (
                self._join(algorithm, alias, what, aliases)
                if isinstance(what, Labels)
                else self._resolve(algorithm, alias, what)
            )
        stream = next(iter(aliases.values())).number
        infos = {alias: self._info(ref) for alias, ref in aliases.items()}
        info = RunInfo(self.path, self.trains, infos).of_modules(slice(None))
        bound = BoundAlgorithm(algorithm, info, aliases, stream, ())
        outputs = self._outputs(bound)
        made = [tuple(o for o in outputs if o.output.stage == stage) for stage in ("pass", "rows")]
        stages.check(algorithm, *made)
        lacks = tuple(algorithm.lacks(bound.info))
        self.algorithms.append(replace(bound, outputs=made[0], finals=made[1], lacks=lacks))

    def _resolve(self, algorithm: Algorithm, alias: str, what: Any) -> Alias:
        """Return what an alias stands for, binding its input if no algorithm before did."""
        if isinstance(what, From):
            return self._resolve_from(algorithm, alias, what)
        if not hasattr(what, "bind"):
            raise PlanError(
                f"{algorithm.name}: input {alias!r} is a {type(what).__name__}; expected Frames, Key, From or Labels"
            )
        try:
            masked = what.with_mask(self.mask, self.bits) if isinstance(what, Frames) else what
        except ValueError as e:
            raise PlanError(f"mask: {e}") from e
        self._mask_taken |= masked is not what
        which = masked, stand_for_frames(what, algorithm.inputs)
        if which not in self._numbers:
            self._numbers[which] = self._bind(algorithm, alias, *which)
        return Alias(self._numbers[which])

    def check_mask(self) -> None:
        """Refuse a mask of the pass that no input takes."""
        if not (
            self._mask_taken or self.mask is None or (isinstance(self.mask, str) and self.mask == "auto")
        ):
            raise PlanError(
                "mask=: no input takes it: there are no images of detectors, or they say their own mask="
            )

    def _resolve_from(self, algorithm: Algorithm, alias: str, what: From) -> Alias:
        made, (name, why) = self.made, frames_of(self.algorithms, algorithm, what.output)
        why = why or one_of(self.algorithms, algorithm, alias, name)
        if why := why or stages.too_late(self.algorithms, algorithm, alias, name):
            raise PlanError(why)
        if name not in made:
            raise PlanError(
                f"{algorithm.name} reads {name!r} as {alias!r}, but no algorithm before it makes that."
                f"{did_you_mean(name, made)} Made so far: {listed(made)}"
            )
        if made[name].output.kind in ("run", "pixel", "event"):
            raise PlanError(
                f"{algorithm.name} reads {name!r} as {alias!r}, but that is an output per "
                f"{made[name].output.kind}: a pass hands on outputs per train and per entry"
            )
        self._check_finished(algorithm, alias, made[name])
        return Alias(self._root(made[name]), made[name])

    def _check_finished(self, algorithm: Algorithm, alias: str, read: BoundOutput) -> None:
        """Refuse what is made only when the chunk ends, and cannot be made train by train."""
        by = maker(self, read)
        whole = [o.key for o in by.outputs if o.output.kind in ("run", "pixel", "event")]
        if read.transient or not by.algorithm.overrides("finalize_chunk_processing"):
            return
        if whole and not by.algorithm.FINISHES_TRAINS:
            raise PlanError(
                f"{algorithm.name} reads {read.name!r} as {alias!r}, but {by.name} may change that in "
                f"finalize_chunk_processing, which cannot run train by train: its {whole} are of the whole chunk. Make "
                "it in process_train_data or process_module_data of an algorithm without that hook, or read it in a "
                "second pass"
            )

    def _bind(self, algorithm: Algorithm, alias: str, what: Any, frames: bool) -> int:
        """Bind an input; one with the same data as an earlier one is that one."""
        if isinstance(what, Frames):
            self._asked.frames = replace(what, mask=None, bits=None, roi=None)
        with _said(algorithm, alias):
            bound = every = what.bind(self.run, self.trains, self.faults)
            if frames or (bound.kind in ("frames", "pulses") and not isinstance(what, EachTrain)):
                bound = selected(bound, self.selection, self.faults)
                self._every.setdefault(bound.index, every.index)
                bound = bound if self.where is None else self.where.of(bound, self._asked)
            elif isinstance(what, NO_FRAMES) and self.selection is not None:
                bound = selected(bound, self.selection.only_trains(), self.faults)
        number = self._number(bound)
        self._every.setdefault(self.inputs[number].index, every.index)
        return number

    def _join(self, algorithm: Algorithm, alias: str, what: Labels, before: Mapping[str, Alias]) -> Alias:
        """Join labels to the frames of an algorithm's first input."""
        if not before:
            raise PlanError(
                f"{algorithm.name}: input {alias!r} is Labels, which are joined to the frames of the first input: put "
                "Frames or a Key before it"
            )
        with _said(algorithm, alias):
            index = self.inputs[next(iter(before.values())).number].index
            return Alias(self._number(what.join(index, self._asked)))

    def _number(self, bound: BoundInput) -> int:
        """Return the number of an input; one with the same data as an earlier one is that one."""
        for number, other in enumerate(self.inputs):
            if same(bound, other):
                return number
        self.inputs.append(replace(bound, index=self._shared(bound.index)))
        return len(self.inputs) - 1

    def _shared(self, index: EntryIndex) -> EntryIndex:
        """Return the index of an earlier input with equal rows, or this one."""
        return next((i.index for i in self.inputs if same_rows(index, i.index)), index)

    def _root(self, made: BoundOutput) -> int:
        """Return the input that an output comes from."""
        by, alias = maker(self, made), made.output.alias
        return by.aliases[alias].number if alias else by.stream

    def _info(self, ref: Alias) -> InputInfo:
        """Return what an algorithm is told of an input."""
        root = self.inputs[ref.number].info()
        if not ref.made:
            return root
        output = ref.made.output
        image = output.kind == "image"
        shape = (root.shape[0], *output.shape, *root.shape[1:]) if image else (1, *output.shape)
        kind = "frames" if image else "from"
        made: dict[str, Any] = {"dims": output.dims, "coords": dict(output.coords)}
        return replace(root, kind=kind, shape=shape, dtype=np.dtype(output.dtype), unit=output.unit, **made)

    def _outputs(self, bound: BoundAlgorithm) -> tuple[BoundOutput, ...]:
        """Ask the algorithm what it makes, and check it."""
        declared = bound.algorithm.outputs(bound.info)
        if not declared:
            raise PlanError(f"{bound.name}: outputs() declares nothing; what should be kept of it?")
        _check_declared(bound.name, declared)
        pixels = bound.info.first_input.shape
        return tuple(self._output(bound, key, output, pixels) for key, output in declared.items())

    def _output(self, bound: BoundAlgorithm, key: str, output: Any, pixels: tuple[int, ...]) -> BoundOutput:
        name, algorithm = f"{bound.name}.{key}", bound.algorithm
        if hasattr(Partial, key):
            raise PlanError(f"{name}: {key!r} is a name of `out` itself; call the output something else")
        if not key.isidentifier():
            raise PlanError(f"{name}: {key!r} cannot be an output's name; use letters, digits and _")
        index: EntryIndex | None = None
        if output.alias is not None:
            if output.alias not in bound.aliases:
                raise PlanError(
                    f"{name}: per={output.per!r} is neither 'run', 'train', 'pixel', 'event' nor an input."
                    f"{did_you_mean(output.alias, bound.aliases)} Inputs: {listed(bound.aliases)}"
                )
            index = self.inputs[bound.aliases[output.alias].number].index
        elif output.kind == "event":
            index = self.inputs[bound.stream].index
        if output.merge == "custom" and output.kind in ("run", "pixel") and not algorithm.overrides("merge"):
            raise PlanError(
                f"{name}: merge='custom', but {type(algorithm).__name__} does not implement merge()"
            )
        return BoundOutput(bound.name, key, output, index, pixels)


def bind(binding: Binding, algorithms: Sequence[Algorithm]) -> Binding:
    """Bind algorithms in order and check that they fit one pass."""
    for algorithm in algorithms:
        _check_instance(algorithm, [a.name for a in binding.algorithms])
        refuse_name_of_variants(algorithm, [a.algorithm for a in binding.algorithms])
        binding.add(algorithm)
    if why := unread(binding.algorithms):
        raise PlanError(why)
    binding.check_mask()
    for bound in binding.algorithms:
        if bound.algorithm.by_module:
            _check_blocks(binding, bound)
    return binding


def _check_instance(algorithm: Any, names: list[str]) -> None:
    """Refuse classes, other objects and names used twice."""
    if isinstance(algorithm, type):
        raise PlanError(f"{algorithm.__name__} is a class: make an instance, {algorithm.__name__}(...)")
    if not isinstance(algorithm, Algorithm):
        raise PlanError(f"expected an Algorithm, got {type(algorithm).__name__}: make one, such as Average()")
    if not {"options", "name"} <= set(vars(algorithm)):
        raise PlanError(
            f"{type(algorithm).__name__} has an __init__ that does not call super().__init__(): declare options in "
            "add_arguments() and check them in configure() instead, or call it"
        )
    _refuse_hidden(algorithm)
    if algorithm.name in names:
        raise PlanError(f"two algorithms are named {algorithm.name!r}: give one of them name=...")
    if not algorithm.inputs:
        raise PlanError(
            f"{algorithm.name}: no inputs are declared; set inputs = {{'img': Frames()}} on the class"
        )


def _check_declared(name: str, declared: Any) -> None:
    """Refuse what outputs() should not return."""
    if not isinstance(declared, Mapping):
        raise PlanError(
            f"{name}: outputs() returned a {type(declared).__name__}; expected a dictionary such as "
            '{"mean": Output(per="pixel")}'
        )
    for key, output in declared.items():
        if not isinstance(output, Output) or not isinstance(key, str):
            raise PlanError(
                f"{name}: outputs() declares {key!r} as a {type(output).__name__}; "
                "expected a name and an Output(per=...)"
            )


def _refuse_hidden(algorithm: Algorithm) -> None:
    """Refuse values under the name of a hook, as `configure` keeps an option that is called so."""
    for name, value in vars(algorithm).items():
        if callable(getattr(Algorithm, name, None)) and not callable(value):
            raise PlanError(
                f"{algorithm.name}: self.{name} is {value!r}, which hides the hook {name}(); call the option otherwise"
            )


def _check_hooks(algorithm: Algorithm) -> None:
    """Refuse an algorithm that implements none or both of the two hooks."""
    hooks = [h for h in ("process_train_data", "process_module_data") if algorithm.overrides(h)]
    if len(hooks) != 1:
        has = "both" if hooks else "neither"
        raise PlanError(
            f"{type(algorithm).__name__} implements {has} of process_train_data and process_module_data; "
            "exactly one is needed"
        )
    for hook in filter(algorithm.overrides, CALLED):
        _check_arguments(algorithm, hook)


CALLED = (
    *("initialize", "initialize_modules", "process_train_data", "process_module_data", "process_variants"),
    *("finalize_chunk_processing", "merge", "finalize", "finalize_rows"),
)
"""Hooks that workers call."""


def _check_arguments(algorithm: Algorithm, hook: str) -> None:
    """Refuse a hook that cannot be called as it will be: on workers that is found late, and for each train."""
    names = [n for n in inspect.signature(getattr(Algorithm, hook)).parameters if n != "self"]
    try:
        own = inspect.signature(getattr(algorithm, hook))
    except ValueError:
        # What is not written in Python may have none.
        return
    try:
        own.bind(*names)
    except TypeError as e:
        static = " of a staticmethod" if hook == "process_variants" else ""
        raise PlanError(
            f"{type(algorithm).__name__}.{hook}{own} cannot be called with ({', '.join(names)}){static}: {e}"
        ) from None


ADVICE = "; implement process_train_data instead"


def _check_blocks(binding: Binding, bound: BoundAlgorithm) -> None:
    """Refuse what a module block cannot offer."""
    for alias, ref in bound.aliases.items():
        if ref.made and ref.made.output.kind != "image":
            _check_handed_on(binding, bound, alias, ref.made)
        else:
            _check_in_block(binding, bound, alias, ref.number)
    modules = len(binding.inputs[bound.stream].modules)
    for output in bound.outputs:
        if output.output.alias and output.index is not binding.inputs[bound.stream].index:
            raise PlanError(
                f"{output.name}: per={output.output.per!r}, but module blocks are frames of "
                f"{binding.inputs[bound.stream].name}, which has other rows; use per='train'{ADVICE}"
            )
        if output.output.kind == "entry" and output.output.merge == "custom" and modules > 1:
            raise PlanError(
                f"{output.name}: merge='custom' cannot combine modules; use sum, min or max{ADVICE}"
            )


def _check_handed_on(binding: Binding, bound: BoundAlgorithm, alias: str, made: BoundOutput) -> None:
    """Refuse rows of earlier algorithms that are not those of a block."""
    lead, what = (
        binding.inputs[bound.stream],
        f"{bound.name} reads {made.name!r} as {alias!r} in module blocks",
    )
    if bound.algorithm.STRIPS:
        raise PlanError(
            f"{what} of some pixels and all trains, but that is complete only after the last module: read it in a "
            f"second pass, as Labels(result, {made.name!r})"
        )
    if made.index is not None and not same_rows(made.index, lead.index):
        raise PlanError(f"{what}, but that has other rows than the frames of {lead.name}{ADVICE}")


def _check_in_block(binding: Binding, bound: BoundAlgorithm, alias: str, ref: int) -> None:
    """Refuse inputs that do not have one entry for each frame of a block."""
    lead, other = binding.inputs[bound.stream], binding.inputs[ref]
    what = f"{bound.name}: {alias!r} ({other.name})"
    if other.kind == "pulses":
        if not same_rows(other.index, lead.index):
            raise PlanError(
                f"{what} is joined to other frames than those of {lead.name}: set its frames= to them"
            )
    elif other.kind == "frames" or ref == bound.stream:
        if not same_rows(other.index, lead.index) or other.modules != lead.modules:
            raise PlanError(
                f"{what} and its first input ({lead.name}) have different frames or modules: one block cannot hold "
                f"both{ADVICE}"
            )
    elif other.index.counts.max(initial=0) > 1:
        raise PlanError(f"{what} has several entries per train, a block needs one per frame{ADVICE}")


@contextmanager
def _said(algorithm: Algorithm, alias: str) -> Iterator[None]:
    """Raise what is wrong with an input as a PlanError that says of which."""
    try:
        yield
    except (KeyError, ValueError) as e:
        raise PlanError(f"{algorithm.name}: input {alias!r}: {text_of(e)}") from e
