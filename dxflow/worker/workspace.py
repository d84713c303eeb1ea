"""A plan on a worker: algorithms initialized once, open files, buffers that are kept between chunks."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from ..deaths.notes import Now
from ..deaths.watch import Doing
from ..disk import fragments, parcels
from ..planning import memory
from ..reader import ring
from ..reader.files import Files
from ..reader.tuning import Tuner, candidates
from ..stores.contents import Contents
from .ahead import Ahead, Reading
from .hooks import named
from .masks import Masks

if TYPE_CHECKING:
    from ..deaths.notes import Note
    from ..disk.fragments import Address
    from ..planning.bound import BoundAlgorithm
    from ..planning.public import Plan


class Workspace:
    """A plan on a worker, for one thread: algorithms initialized once, buffers kept between chunks."""

    def __init__(self, plan: Plan, folder: Path, session: str = "") -> None:
        # Copies, so that in the client's own process `initialize` leaves the user's objects alone.
        self._given = plan
        own = tuple(a.own() for a in plan.algorithms)
        self.plan, self.folder = replace(plan, algorithms=own), folder
        # They are those of the algorithms as they were given, and travel with the plan.
        vars(self.plan).update(fingerprint=plan.fingerprint, digests=plan.digests)
        self.session = session or uuid.uuid4().hex[:12]
        """Names this start of the workers: what another start left unfinished is no fault of the data."""
        self.now = Now(folder, self.session)
        self.files = Files()
        self.masks = Masks()
        self.tuner = Tuner(candidates(memory.buffers(plan, plan.walk), plan.readers))
        self._buffers: list[NDArray] = []
        self.ahead = Ahead(self._reading, self.buffers)
        self._parcel: parcels.Parcel | None = None
        self.ready = False
        self._modules: dict[str, slice] = {}
        """Those of which algorithms have tables, by name."""
        self.doing = Doing(plan.hook_timeout)
        self.note: Note | None = None
        """The last chunk's."""

    def buffers(self) -> list[NDArray]:
        """Return the buffers that blocks or trains are read into."""
        if not self._buffers:
            walk = self.plan.walk
            self._buffers = ring.taken(memory.buffers(self.plan, walk), walk.step_bytes)
        return self._buffers

    def _reading(self, number: int) -> Reading | None:
        """Return the reading of a chunk that comes next, None if it is done already."""
        if self.plan.address(self.folder, number).path.exists():
            return None
        return Reading(self.plan, self.plan.chunks[number], frozenset(), self.files, self.masks)

    @cached_property
    def contents(self) -> Contents:
        """What the result will hold, as the driver noted it."""
        return Contents.of(self.plan, self.folder)

    def leave(self, at: Address, meta: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> None:
        """Leave a fragment; it is made to last if the result is."""
        lasting = not self.plan.store.temporary
        fragments.write(at.path, meta, arrays, of=at.of, lasting=lasting)

    def prepare(self, modules: slice, hook: str = "") -> None:
        """Initialize the algorithms, once per process; and for these modules, all or those that implement a hook."""
        if not self.ready:
            for bound in self.plan.algorithms:
                with named(self.doing, f"in {bound.name}.initialize(), run {self.plan.run}"):
                    bound.algorithm.initialize(bound.info)
                bound.algorithm.freeze()
            self.ready = True
        for bound in self.plan.algorithms:
            if self._modules.get(bound.name) != modules and (not hook or bound.algorithm.overrides(hook)):
                self._make_tables(bound, modules)

    def _make_tables(self, bound: BoundAlgorithm, modules: slice) -> None:
        """Have an algorithm make tables of some modules, in place of those of others."""
        self._modules.pop(bound.name, None)
        numbers = [*self.plan.inputs[bound.stream].modules[modules]]
        what = f"in {bound.name}.initialize_modules(), run {self.plan.run}, modules {numbers}"
        with named(self.doing, what), bound.algorithm.thawed():
            bound.algorithm.initialize_modules(bound.info.of_modules(modules))
        self._modules[bound.name] = modules

    def another(self) -> Workspace:
        """Return one for another thread: hooks may keep scratch arrays on self, so algorithms are its own, too."""
        other = type(self)(self._given, self.folder, self.session)
        other.doing = self.doing
        return other

    def close(self) -> None:
        """Close the files, when no task runs on it; those of one that does are closed with it."""
        self.ahead.close()
        self.files.close()
        buffers, self._buffers = self._buffers, []
        ring.left(buffers)

    def __reduce__(self) -> tuple:
        # Once for all workers, those included that come later.
        if self._parcel is None:
            self._parcel = parcels.packed(self.plan, self.folder / f"arrays-{self.session}.bin")
        return _unpacked, (self._parcel, self.folder, self.session)


def _unpacked(parcel: parcels.Parcel, folder: Path, session: str) -> Workspace:
    return Workspace(parcel.unpack(), folder, session)
