"""What the driver finds out once of a finished pass, and whoever writes a piece of the result needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from numpy.typing import NDArray

from ..disk import fragments
from ..run.losses import from_json
from .origin import Origin

if TYPE_CHECKING:
    from ..run.losses import Loss

NAME = f"noted{fragments.SUFFIX}"


@dataclass(frozen=True, eq=False)
class Noted:
    """Rows of event outputs, by chunk and by train; what could not be used; what files say of trains."""

    events: Mapping[str, list[int]]
    counts: Mapping[str, NDArray]
    losses: Sequence[Loss]
    origin: Origin

    def write(self, folder: Path, digest: str) -> None:
        """Leave it in a journal."""
        of_run, losses = self.origin, [vars(loss) for loss in self.losses]
        meta = {"events": dict(self.events), "losses": losses, "of": [int(of_run.proposal), int(of_run.run)]}
        counts = {f"{name}/counts": rows for name, rows in self.counts.items()}
        arrays = {"timestamps": of_run.timestamps, "flags": of_run.flags, **counts}
        fragments.write(folder / NAME, meta, arrays, of=digest, lasting=False)


def read(folder: Path, digest: str) -> Noted:
    """Return what the driver left."""
    with fragments.Fragment(folder / NAME, digest) as found:
        events = found.meta["events"]
        counts = {name: found[f"{name}/counts"] for name in events}
        origin = Origin(found["timestamps"], found["flags"], *found.meta["of"])
        return Noted(events, counts, from_json(found.meta["losses"]), origin)
