"""An algorithm in a plan: what its aliases stand for, its outputs, the trains that it adds up at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Protocol

from ..declare.algorithm import Algorithm
from ..declare.lack import Lack
from ..declare.outputs import BoundOutput
from ..run.info import RunInfo

ROWS = ("train", "entry", "event")
"""Kinds of outputs that are rows."""


@dataclass(frozen=True, eq=False)
class Alias:
    """What an alias of an algorithm stands for: an input of the plan, or what an earlier algorithm makes of one."""

    number: int
    """Of the input, through all `From`."""
    made: BoundOutput | None = None


@dataclass(frozen=True, eq=False)
class BoundAlgorithm:
    """An algorithm with its inputs and outputs in a run.

    `stream` is the input whose frames it follows: that of its first alias; `unit`: trains it adds up at once; `finals`:
    outputs that are made of all rows, when the pass is over.
    """

    algorithm: Algorithm
    info: RunInfo
    aliases: Mapping[str, Alias]
    stream: int
    outputs: tuple[BoundOutput, ...]
    lacks: tuple[Lack, ...] = ()
    unit: int = 1
    finals: tuple[BoundOutput, ...] = ()

    def without_layouts(self) -> BoundAlgorithm:
        """Return it without outputs that only EXDF files have."""

        def kept(outputs: tuple[BoundOutput, ...]) -> tuple[BoundOutput, ...]:
            return tuple(o for o in outputs if not o.output.layout)

        return replace(self, outputs=kept(self.outputs), finals=kept(self.finals))

    @property
    def name(self) -> str:
        """Name of the instance."""
        return self.algorithm.name

    @property
    def rows(self) -> tuple[BoundOutput, ...]:
        """The outputs that its `finalize_rows` gets."""
        return tuple(o for o in self.outputs if self.finals and o.output.kind in ROWS)

    @property
    def inputs(self) -> tuple[int, ...]:
        """Numbers of the inputs that it reads itself, in order."""
        return tuple(ref.number for ref in self.aliases.values() if not ref.made)

    @property
    def read(self) -> tuple[BoundOutput, ...]:
        """What it reads of earlier algorithms, in order."""
        return tuple(ref.made for ref in self.aliases.values() if ref.made)

    @property
    def reads_rows(self) -> bool:
        """Whether its blocks have rows of earlier algorithms, which are whole when all modules have been worked on."""
        return self.algorithm.by_module and any(o.output.kind in ROWS for o in self.read)

    def own(self) -> BoundAlgorithm:
        """Return it with a copy of the algorithm, to be initialized, which knows how its outputs merge."""
        algorithm = copy(self.algorithm)
        algorithm.rules = {o.key: o.output.merge for o in self.outputs}
        return replace(self, algorithm=algorithm)


class Bound(Protocol):
    """What holds algorithms that read each other: a plan, or what becomes one."""

    @property
    def algorithms(self) -> Sequence[BoundAlgorithm]:
        """In the order in which they run."""


def maker(of: Bound, made: BoundOutput) -> BoundAlgorithm:
    """Return the algorithm that makes an output."""
    return next(a for a in of.algorithms if a.name == made.algorithm)
