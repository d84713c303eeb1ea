"""Algorithm: the hooks a user fills in, where and how often each runs."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ..errors.near import written
from ..errors.redact import hidden
from ..errors.usage import OptionParser
from . import signatures
from .outputs import Output, Partial, merge_into
from .variants import alike, instances

if TYPE_CHECKING:
    from xarray import Dataset

    from ..run.bound import Input
    from ..run.info import RunInfo
    from .inputs import From
    from .labels import Labels
    from .lack import Lack
    from .variants import Variant
    from .views import ModuleBlock, Train


class Algorithm:
    """A reduction: what it reads, what it makes, and what it does with a train or a block of frames.

    Implement one of `process_train_data` and `process_module_data`; everything else has a default.

    ========================== ======== =========================== ===================================
    hook                       where    how often                   may change
    ========================== ======== =========================== ===================================
    add_arguments              client   once                        the parser
    configure                  client   once, in the constructor    ``self`` (picklable values)
    outputs                    client   once per plan               nothing
    memory                     client   once per plan               nothing
    depends                    client   once per plan               nothing
    lacks                      client   once per plan               nothing
    run_values                 any      per EXDF file               nothing
    initialize                 worker   once per process            ``self`` (tables; not pickled)
    initialize_modules         worker   when modules change         ``self`` (tables; not pickled)
    process_train_data         worker   once per train              ``out``
    process_module_data        worker   once per block              ``out``
    finalize_chunk_processing  worker   once per unit of trains     ``out``
    merge                      worker   once per pair of partials   ``into``
    finalize                   worker   once per part of the result ``totals``
    finalize_rows              worker   once per run                ``out``
    ========================== ======== =========================== ===================================

    After `initialize`, ``self`` is read-only, and setting an attribute raises `SelfChanged`: results go to ``out``, so
    that chunks may run anywhere, in any order and twice, and give the same bits. Scratch arrays and caches that
    change no result are made in `initialize` and filled by hooks: each thread has its own algorithm. What hooks read
    is read-only as well: copy what is to be changed.

    Parameters
    ----------
    name : str, optional
        Name of this instance in the result; `ALG_ID` by default. Needed to use an algorithm twice in a pass.
    **options
        Those of `add_arguments`, and ``<input alias>=<Input>`` to rebind an input.
    """

    ALG_ID: ClassVar[str] = ""
    """Short name: for the command line and for results."""
    HELP: ClassVar[str] = ""
    """One line for ``dxflow list``."""
    SELECTS: ClassVar[str] = ""
    """Name of the boolean per-frame output that ``frames=`` takes from a result of this algorithm."""
    WHOLE_TRAINS: ClassVar[bool] = False
    """Of `process_module_data`: whether a block holds all frames of a train of one module, those it lacks as NaN."""
    WHOLE_FRAMES: ClassVar[bool] = False
    """Of `process_train_data`: whether it sees some frames of a train at a time, rather than all."""
    STRIPS: ClassVar[bool] = False
    """Of `process_module_data`: whether a block has all trains of the run, but only some slow-scan rows of a module."""
    FINISHES_TRAINS: ClassVar[bool] = False
    """Whether `finalize_chunk_processing` is once per train, not per unit, so that others can read what it makes."""
    TABLES: ClassVar[Sequence[str]] = ()
    """With `process_variants`: options on which tables depend; `alike` variants keep them, and count them, once."""
    inputs: Mapping[str, Input | From | Labels] = {}
    """Alias -> what is read. The first one sets the blocks and the pixels."""

    variant: Variant | None = None
    """Of one that `variants` made: what it has in common with the others."""

    __signature__ = signatures.Options()

    def __init__(self, *args: Any, name: str | None = None, **options: Any) -> None:
        cls = type(self)
        signatures.refuse_positional(cls, args)
        rebound = {alias: options.pop(alias) for alias in list(options) if alias in cls.inputs}
        self.name = (cls.ALG_ID or cls.__name__.lower()) if name is None else name
        self.inputs = {**cls.inputs, **rebound}
        self.options = _parse(cls, options)
        self.configure(argparse.Namespace(**self.options))

    @classmethod
    def variants(cls, *args: Any, name: str | Sequence[str] | None = None, **options: Any) -> list[Self]:
        """Return instances with other options, to be used in one pass; the result has an axis "variant" of them.

        Parameters
        ----------
        name : str or sequence of str, optional
            Of all: the outputs are called so, and the instances ``<name>_1``, ``<name>_2``; or of each instance. By
            default that of the algorithm.
        **options
            Those that differ as lists, of equal length: the first value of each makes the first instance. Others, and
            inputs, are the same in all. Of options that take several values, a list of lists.

        Examples
        --------
        >>> dxflow.reduce(run, PeakFinder8.variants(min_snr=[5, 6, 7], threshold=[0, 10, 10], max_peaks=500))
        """
        signatures.refuse_positional(cls, args)
        return instances(cls, name, options)

    # On the client ------------------------------------------------------------------------------

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Declare options, for the command line and the constructor alike. Default: none."""

    def configure(self, args: argparse.Namespace) -> None:
        """Check the options and keep what is needed on ``self``. Default: keeps each under its own name."""
        for key, value in vars(args).items():
            if hasattr(Algorithm, key) or key in ("name", "options"):
                raise TypeError(
                    f"{type(self).__name__}: an option cannot be kept as {key!r}, which is a name of Algorithm: "
                    f"give it another one, add_argument(..., dest={key + '_'!r}), or keep it in configure()"
                )
            setattr(self, key, value)

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        """Declare what is made of this run. Must not change ``self``. Default: nothing."""
        return {}

    def memory(self, info: RunInfo) -> int:
        """Return the bytes that `initialize`, and `initialize_modules` for ``info.here``, keep per worker process.

        Default: 0.
        """
        return 0

    def depends(self, info: RunInfo) -> Mapping[str, Any]:
        """Return what the result depends on beside options, inputs and code, by name: files that are found, values.

        A resumed run must have the same; the result says what it was, files with a digest. Default: nothing.
        """
        return {}

    def lacks(self, info: RunInfo) -> Iterable[Lack]:
        """Return which frames of the first input it cannot use, as far as that is known beforehand.

        They are in the losses of the plan and of the result, and in its account. Default: none.
        """
        return ()

    def hints(self, info: RunInfo) -> Iterable[str]:
        """Return what a plan says beside the rest: what was given and comes to nothing. Default: nothing."""
        return ()

    def run_values(self, info: RunInfo) -> Mapping[str, Mapping[str, Any]]:
        """Return what EXDF files say of the run in RUN: control source -> key -> number or text. Default: nothing.

        For the layouts of devices, whose settings readers look for: see ``Output(exdf=...)``.
        """
        return {}

    # On the worker ------------------------------------------------------------------------------

    def initialize(self, info: RunInfo) -> None:
        """Build tables that all chunks need, once per process. Default: nothing."""

    def initialize_modules(self, info: RunInfo) -> None:
        """Build tables of the modules ``info.here``, in place of those of others. Default: nothing.

        Called after `initialize`, before a chunk with other modules than the last one: of a pass that is cut by
        modules a worker needs the tables of few. `process_train_data` needs all. `merge` and `finalize` have the tables
        of the modules that they see; `finalize_chunk_processing` and `finalize_rows`, for all modules at once, of all.
        """

    def process_train_data(self, train: Train, out: Partial) -> None:
        """Work on one train with all its modules and pulses.

        Data available: ``train[alias]`` for each input; valid during the call. In ``out``: the rows of this
        train for outputs per entry, one value for outputs per train, the whole array of its unit for others. With
        `WHOLE_FRAMES`, it is some frames of a train at a time.
        """
        raise _not_implemented(self, "process_train_data")

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        """Work on some consecutive frames of one module, few enough to stay in the processor's cache.

        Data available: ``block[alias]``, (frame, ss, fs), valid during the call. In ``out``: the block's rows
        for outputs per entry (shared by all modules: add to them), the module's pixels for ``per="pixel"``. With
        `WHOLE_TRAINS`, a block is all frames of a train of one module; with `STRIPS`, all frames of the run, of which
        it has ``block.strip``, some slow-scan rows, as have the outputs per pixel.
        """
        raise _not_implemented(self, "process_module_data")

    @staticmethod
    def process_variants(
        instances: Sequence[Algorithm], data: Train | ModuleBlock, outs: Sequence[Partial]
    ) -> None:
        """Work for several instances of this class that read the same, in place of their own hooks.

        Optional, where one sweep over the pixels serves several settings: each gets the same bits as alone.

        Parameters
        ----------
        instances : sequence of Algorithm
            Initialized, in the order of the pass; one that is alone has its own hook called.
        data : Train or ModuleBlock
            What each of them would see.
        outs : sequence of Partial
            Of each of them.
        """
        raise _not_implemented(instances[0], "process_variants")

    @staticmethod
    def alike(instances: Sequence[Algorithm]) -> list[list[int]]:
        """Return the positions of instances together whose tables are the same: those of variants with equal `TABLES`.

        The first of each has the tables for all; others make none before they are used.
        """
        return alike(instances)

    def finalize_chunk_processing(self, out: Partial) -> None:
        """Finish a unit, some consecutive trains, after its last train or block. Default: nothing.

        How many trains that are follows from the run, and from what this algorithm reads and makes: they are the same
        in any company and in any chunks; without whole-run outputs, and with `FINISHES_TRAINS`, it is each train. In
        ``out``: their rows, and whole-run outputs as far as the trains of the unit made them, up to these.
        """

    def merge(self, into: Partial, other: Partial) -> None:
        """Merge the whole-run outputs of some trains into `into`, those of the trains before them.

        Called for neighbours in a fixed binary tree. Either may be empty, as made by the declared rules where nothing
        was read. Default: each output's declared rule.
        """
        for name in into:
            rule = self.rules[name]
            if rule != "custom":
                merge_into(into[name], other[name], rule)

    def finalize(self, totals: Partial) -> None:
        """Turn merged totals into results, in place. Default: nothing.

        Data available: the whole-run outputs of one part of the result (all modules, or some of them).
        """

    def finalize_rows(self, rows: Dataset, out: Partial) -> None:
        """Make outputs with ``stage="rows"`` of all rows of the run, once, after the pass. Default: nothing.

        For thresholds that follow the run, running means, a choice among all frames. ``rows[name]`` are the algorithm's
        own outputs per train, entry and event, also those with ``store=False``, each with an axis "train", "frame"
        (those of the first input; "<alias>_entry" of another) or "<name>_event", and ``train_id``, ``pulse_id`` and the
        like as coordinates. What has no value is NaN; of integers ``rows["<name>_valid"]`` says so. In ``out``: the
        whole arrays, 0 at first. Frames and trains of which nothing was read stay missing.
        """

    # The framework's -----------------------------------------------------------------------------

    rules: Mapping[str, str] = {}
    """Output name -> merge rule; set on the copies of workers."""

    def freeze(self) -> None:
        """Make ``self`` read-only; the copies of workers are, once `initialize` has run."""
        self.__dict__["_frozen"] = True

    @contextmanager
    def thawed(self) -> Iterator[None]:
        """Let ``self`` be changed meanwhile."""
        self.__dict__.pop("_frozen", None)
        try:
            yield
        finally:
            self.freeze()

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if "_frozen" in own and own.get(name, own) is not value:
            raise SelfChanged(
                f"{own.get('name')}: self.{name} is set after initialize(). There self is read-only, since chunks run "
                "anywhere and in any order: results go to out, tables are made in initialize()",
                name,
            )
        object.__setattr__(self, name, value)

    @classmethod
    def overrides(cls, hook: str) -> bool:
        """Return whether the class implements a hook itself."""
        return getattr(cls, hook) is not getattr(Algorithm, hook)

    @property
    def by_module(self) -> bool:
        """Whether it works on module blocks."""
        return self.overrides("process_module_data")

    def __repr__(self) -> str:
        rebound = {k: written(v) for k, v in self.inputs.items() if v != type(self).inputs.get(k)}
        given = {k: _short(v) for k, v in self.options.items()} | rebound
        shown = ", ".join(f"{k}={v}" for k, v in given.items())
        return f"{type(self).__name__}({hidden(shown)})"


class SelfChanged(AttributeError):
    """A hook that keeps something on ``self`` after `Algorithm.initialize`."""

    def __init__(self, message: str, attribute: str) -> None:
        super().__init__(message)
        self.attribute = attribute

    def __reduce__(self) -> tuple:
        return type(self), (str(self), self.attribute)


def _parse(cls: type[Algorithm], options: dict[str, Any]) -> dict[str, Any]:
    """Return all options of an algorithm: those given, checked, and the defaults of the others."""
    parser = OptionParser(prog=cls.__name__, add_help=False)
    cls.add_arguments(parser)
    actions = {action.dest: action for action in parser._actions}
    signatures.refuse_unknown(cls, options, actions)
    signatures.refuse_without(cls, options, actions)
    for dest, value in options.items():
        action = actions[dest]
        action.required, action.nargs = False, "?" if not action.option_strings else action.nargs
        several = action.nargs not in (None, "?") and isinstance(value, (list, tuple))
        if value is None and action.default is None:
            continue
        for one in value if several else [value]:
            if action.choices is not None and one not in action.choices:
                raise TypeError(f"{cls.__name__}: {dest}={one!r}; expected one of {list(action.choices)}")
    return vars(parser.parse_args([], argparse.Namespace(**options)))


def _not_implemented(algorithm: Algorithm, hook: str) -> Exception:
    return TypeError(f"{type(algorithm).__name__} does not implement {hook}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"<{type(value).__name__}>"
