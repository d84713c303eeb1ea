"""What planning finds wrong with the data, collected so that one message can say all of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ..errors.near import listed
from .losses import Loss

MISFIT = "index does not fit the data"


@dataclass
class Faults:
    """What `plan()` finds wrong with the data, collected so that one message can say all of it."""

    losses: list[Loss] = field(default_factory=list)
    whole: bool = True
    """Whether this is a whole run: of a single file, or of someone's selection, other modules are not missing."""
    notes: list[Loss] = field(default_factory=list)
    """What is said in the report, but no reason not to go on."""
    trains: NDArray | None = None
    """Those that are asked for; faults of others are not told."""
    suspect: bool = True
    """Whether trains that files flag as suspect are used."""
    modules: Mapping[str, int] = field(default_factory=dict)
    """Number of the module of a source."""

    def missing_modules(self, detector: str, modules: Sequence[int], unknown: Sequence[str] = ()) -> None:
        """Note modules that a detector should have and the run does not; perhaps they have `unknown` names."""
        detail = "not in this run"
        if unknown:
            detail += f"; sources of this detector that are no module by their name: {listed(unknown, 5)}"
        for module in modules:
            self._put(Loss("missing module", source=detector, module=module, detail=detail))

    def add(
        self,
        cause: str,
        file: str,
        source: str,
        detail: str,
        train_ids: NDArray | None = None,
        *,
        always: bool = False,
    ) -> None:
        """Note one fault of a source in a file; those of trains that nobody asks for only if they are `always` told."""
        if train_ids is not None and self.trains is not None and not always:
            train_ids = np.intersect1d(train_ids, self.trains)
            if not len(train_ids):
                return
        self._put(self.loss(cause, file, source, detail, train_ids))

    def note(
        self, cause: str, file: str, detail: str, train_ids: NDArray | None = None, source: str = ""
    ) -> None:
        """Note what is no reason not to go on."""
        loss = self.loss(cause, file, source, detail, train_ids)
        if loss not in self.notes:
            self.notes.append(loss)

    def loss(self, cause: str, file: str, source: str, detail: str, train_ids: NDArray | None = None) -> Loss:
        """Return a loss of a source in a file."""
        out = Loss(cause, source=source, file=file, detail=detail, module=self.modules.get(source, -1))
        if train_ids is None or not len(train_ids):
            return out
        first, last = int(np.min(train_ids)), int(np.max(train_ids))
        return replace(out, trains=len(train_ids), first_train=first, last_train=last)

    def blamed(self, loss: Loss) -> Loss:
        """Return a loss of frames with its cause where that is known: a file may have them, and its index be wrong."""
        span = range(loss.first_train, loss.last_train + 1)
        wrong = {
            (f.file, f.trains, f.first_train)
            for f in self.losses
            if (f.cause, f.source) == (MISFIT, loss.source) and f.first_train in span and f.last_train in span
        }
        trains = sum(n for _, n, _ in wrong)
        if trains in (0, loss.trains):
            return replace(loss, cause=MISFIT if trains else loss.cause)
        return replace(loss, detail=f"{loss.detail}; in {trains} of these trains the {MISFIT}")

    def told(self, source: str, trains: NDArray) -> NDArray:
        """Return which trains have nothing of a source for a reason that was found, (train,) bool."""
        out = np.zeros(len(trains), bool)
        for loss in (one for one in self.losses if one.source == source):
            inside = (trains >= loss.first_train) & (trains <= loss.last_train)
            out |= inside & (inside.sum() == loss.trains)
        return out

    def _put(self, loss: Loss) -> None:
        # Two inputs, or data and their mask, may lie in the same file.
        if loss not in self.losses:
            self.losses.append(loss)
