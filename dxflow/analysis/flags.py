"""Variables of a table that no key has as they are: flags of the laser, values of the run, lists of outputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.inputs import Key
from ..declare.pulses import PulseKey
from ..declare.pumped import LASER, Pumped
from ..errors import PlanError
from ..errors.near import did_you_mean, listed
from ..errors.usage import text_of
from ..run.findings import Faults
from ..run.losses import Loss
from ..run.runvalues import RunValues
from ..run.timing import SLOTS
from ..run.whole import whole
from . import finding, joining, passing
from .config import Of
from .rows import PULSE, RUN

if TYPE_CHECKING:
    from xarray import Variable

    from ..run.open import OpenedRun
    from .config import Config, Wanted
    from .joining import Grid


@dataclass(eq=False)
class Flags:
    """What is beside keys in the table of a run, by its configuration."""

    source: OpenedRun
    config: Config
    losses: list[Loss] = field(default_factory=list)
    lists: Collection[str] = ()
    """Outputs of algorithms with a list of values per train."""

    def of(self, values: Mapping[str, Wanted], grid: Grid) -> dict[str, Variable]:
        """Return flags of the laser, values of the run, and what rows see of the beam."""
        out: dict[str, Variable] = {}
        for name, wanted in values.items():
            said = {"units": wanted.unit, "long_name": wanted.doc}
            attrs = {k: v for k, v in said.items() if v}
            try:
                out |= self._one(name, wanted.what, grid, attrs)
            except (KeyError, ValueError) as e:
                raise PlanError(str(self.config.wrong(text_of(e), "variables", name))) from e
        if self.config.everything and grid.slots is not None and "pumped" not in self.config.variables:
            out |= self._found_pumped(grid)
        if grid.kind == "frames" and grid.slots is not None:
            words = {"long_name": "X-ray pulses in the exposure", "rate": PULSE}
            out |= joining.variables("pulses", (PULSE,), grid.seen(), None, words)
        return out

    def _one(self, name: str, what: Any, grid: Grid, attrs: Mapping[str, str]) -> dict[str, Variable]:
        """Return a variable that was asked for."""
        if isinstance(what, Pumped):
            if grid.slots is None:
                raise ValueError(f"which slots the rows see is not known: {grid.unknown}")
            return self._pumped(name, what, grid, attrs)
        if isinstance(what, PulseKey):
            return self._joined(name, what, grid, attrs)
        if isinstance(what, Of):
            self._check(what.output, grid)
            return {}
        source = {}
        if isinstance(what, Key):
            source, what = {"source": f"{what.source} {what.key}"}, run_value(self.source.run, what)
        return joining.variables(name, (), np.asarray(what), None, {**attrs, **source, "rate": RUN})

    def _found_pumped(self, grid: Grid) -> dict[str, Variable]:
        """Return the flags of the laser, if there are any in the run."""
        try:
            made = self._pumped("pumped", Pumped(), grid, {})
        except (KeyError, ValueError):
            return {}
        return made if made["pumped"].values.any() else {}

    def _pumped(self, name: str, what: Pumped, grid: Grid, attrs: Mapping[str, str]) -> dict[str, Variable]:
        """Return whether each row saw the pump-probe laser, beside X-rays."""
        faults, run, trains = Faults(trains=self.source.train_ids), self.source.run, self.source.train_ids
        source = what.found(run)
        both = [finding.per_train(Key(source, key).bind(run, trains, faults), faults) for key in LASER]
        (number, has_number), (ids, has_ids) = both
        laser, slots = np.zeros((len(ids), SLOTS), bool), ids.astype(np.int64) + what.shift
        came = (np.arange(ids.shape[1]) < number.reshape(-1, 1)) & (slots >= 0) & (slots < SLOTS)
        laser[np.nonzero(came)[0], slots[came]] = True
        self.losses += faults.losses
        values, there = grid.flags(laser, has_number & has_ids)
        said = {"long_name": "whether the pump-probe laser came with it", "source": source, "rate": PULSE}
        return joining.variables(name, (PULSE,), values, there, {**said, **attrs})

    def _joined(self, name: str, what: PulseKey, grid: Grid, attrs: Mapping[str, str]) -> dict[str, Variable]:
        """Return the values of frames that an input has found with a clock of its own."""
        faults = Faults(trains=self.source.train_ids)
        bound = what.bind(self.source.run, self.source.train_ids, faults)
        values, there = whole(bound, faults)
        self.losses += [*faults.losses, *faults.notes]
        at = joining.places(passing.keys_of_index(bound.index, grid), grid.keys)
        values, there = joining.with_nothing(values[at], there[at] & (at >= 0))
        units = {"units": bound.location.unit} if bound.location.unit else {}
        said = {**units, "source": bound.title, "rate": PULSE, **attrs}
        return joining.variables(name, (PULSE,), values, there, said)

    def _check(self, output: str, grid: Grid) -> None:
        """Refuse what cannot be taken apart, before anything is made."""
        if output not in self.lists:
            near = did_you_mean(output, self.lists)
            raise ValueError(
                f"{output!r} is no output with a list of values per train.{near} There are: {listed(self.lists)}"
            )
        if grid.slots is None:
            raise ValueError(f"which pulses the rows see is not known: {grid.unknown}")

    def taken_apart(
        self, values: Mapping[str, Wanted], made: Mapping[str, Variable], grid: Grid
    ) -> dict[str, Variable]:
        """Return outputs with a list of values per train, one for each pulse, as values of rows."""
        out: dict[str, Variable] = {}
        for name, wanted in values.items():
            if isinstance(wanted.what, Of):
                attrs = {"units": wanted.unit, "long_name": wanted.doc}
                out |= self._apart(
                    name, wanted.what.output, made, grid, {k: v for k, v in attrs.items() if v}
                )
        return out

    def _apart(
        self, name: str, output: str, made: Mapping[str, Variable], grid: Grid, attrs: Mapping[str, str]
    ) -> dict[str, Variable]:
        """Return an output with a list per train as values of rows."""
        assert grid.beam is not None
        found, there = made[output], made.get(f"{output}{joining.VALID}")
        known = np.ones(len(found), bool)
        if there is not None:
            known = np.asarray(there.values.reshape(len(found), -1).all(axis=1))
        blocks = [(0, found.values, known)]
        values, good = grid.of_lists(blocks, found.dtype, grid.beam.sase)
        said = {**found.attrs, "source": output, "rate": PULSE, **attrs}
        return joining.variables(name, (PULSE,), *_no_sums(values, good, grid), said)


def _no_sums(values: NDArray, good: NDArray | None, grid: Grid) -> tuple[NDArray, NDArray]:
    """Return values that rows without a pulse do not have: they are no intensities that add up to 0."""
    seen = grid.seen() > 0
    return joining.with_nothing(values, seen if good is None else good & seen)


def run_value(run: Any, key: Key) -> Any:
    """Return what a device said when the run began, None if it said nothing."""
    return RunValues(run).get(key.source, key.key)
