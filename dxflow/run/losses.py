"""What could not be used: one row per cause, source and stretch of trains."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors.redact import hidden
from ..sizes import count

if TYPE_CHECKING:
    pass

MOST = 30
"""Lines of a report about losses; all of them are in `Result.losses`."""


@dataclass(frozen=True)
class Loss:
    """Data that a reduction could not use, and why."""

    cause: str
    """In two or three words: "missing module", "missing train", "unreadable", "exception in hook", "no dark"..."""
    frames: int = 0
    """How many frames of the module (or entries of the source) were lost."""
    trains: int = 0
    """In how many trains."""
    first_train: int = 0
    last_train: int = 0
    source: str = ""
    module: int = -1
    """Module number, -1 where the source is not a module."""
    file: str = ""
    algorithm: str = ""
    run: str = ""
    detail: str = ""
    input: str = ""
    """Name and key of the input that lost them, where it is one."""

    def __post_init__(self) -> None:
        # Of an exception: its message may hold whatever the code that raised it had.
        object.__setattr__(self, "detail", hidden(self.detail))

    def __str__(self) -> str:
        return _words(self, [self.module])


def _words(loss: Loss, modules: Sequence[int]) -> str:
    """Return a loss in words; the same one of several modules at once."""
    where = ", ".join(part for part in (_place(loss, modules), _span(loss)) if part)
    each = " each" if len(modules) > 1 else ""
    many = f", {count(loss.frames, 'frame')}{each}" if loss.frames else ""
    detail = f": {' '.join(loss.detail.split())}" if loss.detail else ""
    return f"{f'{where}: ' if where else ''}{loss.cause}{many}{detail}"


def _place(loss: Loss, modules: Sequence[int]) -> str:
    """Return module and file, source and file, or algorithm."""
    name = Path(loss.file).name
    if modules[0] < 0:
        what = loss.source or loss.algorithm
        return f"{what} ({name})" if what and name else what or name
    numbers = f"module {modules[0]}" if len(modules) == 1 else f"modules {ranges(modules)}"
    return f"{numbers} ({name or loss.source})" if name or loss.source else numbers


def _span(loss: Loss) -> str:
    if not loss.trains:
        return ""
    if loss.first_train == loss.last_train:
        return f"train {loss.first_train}"
    gaps = loss.trains < loss.last_train - loss.first_train + 1
    return f"{f'{loss.trains} trains in' if gaps else 'trains'} {loss.first_train}-{loss.last_train}"


def ranges(numbers: Iterable[int]) -> str:
    """Return numbers as ``0-2, 5``."""
    out: list[list[int]] = []
    for n in sorted(numbers):
        if out and n == out[-1][1] + 1:
            out[-1][1] = n
        else:
            out.append([n, n])
    return ", ".join(f"{a}-{b}" if b > a else f"{a}" for a, b in out)


def ordered(losses: Iterable[Loss]) -> list[Loss]:
    """Return losses in an order that does not depend on who found them first, each once."""
    return sorted(dict.fromkeys(losses), key=_order)


def _order(loss: Loss) -> tuple[Any, ...]:
    return loss.source, loss.module, loss.file, loss.algorithm, loss.cause, loss.first_train, loss.detail


def lines(losses: Iterable[Loss]) -> list[str]:
    """Return losses in words: what follows each other as one, the same of several modules as one."""
    joined = [_joined(list(same)) for _, same in groupby(_once(ordered(losses)), _but_trains)]
    alike: dict[Loss, list[int]] = {}
    for loss in joined:
        # With a file it is of this module alone.
        key = loss if loss.file or loss.module < 0 else replace(loss, module=0, source=_detector(loss))
        alike.setdefault(key, []).append(loss.module)
    said = [_words(loss, modules) for loss, modules in alike.items()]
    more = len(said) - MOST
    return said if more <= 0 else [*said[:MOST], f"and {more} more, all of them in Result.losses"]


def _once(losses: Sequence[Loss]) -> Iterator[Loss]:
    """Yield losses, without modules that another one of the same cause counts in frames."""
    counted = {(_detector(x), x.module, x.cause) for x in losses if x.frames and x.module >= 0}
    return (x for x in losses if x.frames or (_detector(x), x.module, x.cause) not in counted)


def _but_trains(loss: Loss) -> tuple[Any, ...]:
    detail = "" if loss.file else loss.detail
    return loss.source, loss.module, loss.file, loss.cause, loss.algorithm, detail


def _joined(same: Sequence[Loss]) -> Loss:
    """Return the losses of neighbouring chunks as one."""
    first, last = same[0].first_train, max(x.last_train for x in same)
    trains = min(sum(x.trains for x in same), last - first + 1)
    return replace(same[0], frames=sum(x.frames for x in same), trains=trains, last_train=last)


def _detector(loss: Loss) -> str:
    """Return the name of the detector that a module's source belongs to."""
    return loss.source.partition("/")[0]


def from_json(rows: Iterable[dict[str, Any]]) -> tuple[Loss, ...]:
    """Return losses from their JSON form."""
    return tuple(Loss(**row) for row in rows)
