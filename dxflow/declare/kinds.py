"""What outputs have one value for: how large a chunk's array of each kind is, and which part of it belongs to what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """A part of a chunk's arrays: `module` is None for all, positions count from the chunk's first.

    `train` is None for several, as a whole stretch of trains has them.
    """

    module: int | None
    rows: slice
    trains: slice
    train: int | None = None
    strip: slice | None = None
    """Of outputs per pixel: slow-scan rows, None for all."""


@dataclass(frozen=True)
class Kind:
    """One kind of output, by the axes of a chunk's array.

    Parameters
    ----------
    axes : tuple of str
        "train", "row" of an index, "event", "module", "value" (all axes of one value), "pixels" (all of a module).
    """

    axes: tuple[str, ...]

    @property
    def whole_run(self) -> bool:
        """Whether chunks share one array of it (and merge), rather than each having rows of its own."""
        return self.axes[0] == "value"

    @property
    def _before(self) -> tuple[str, ...]:
        """The axes before those of the value: of what there is one for."""
        return self.axes[: self.axes.index("value")]

    def shape(self, value: Shape, pixels: Shape, rows: int, trains: int, modules: int) -> Shape:
        """Return the shape of the array of a chunk of so many rows, trains and modules.

        Parameters
        ----------
        value : tuple of int
            Shape of one value.
        pixels : tuple of int
            (module, ss, fs) of the input.
        """
        of: dict[str, Shape] = {
            "train": (trains,),
            "row": (rows,),
            "module": (modules,),
            "event": (0,),
            "value": value,
            "pixels": pixels[1:],
        }
        return tuple(n for axis in self.axes for n in of[axis])

    def part(self, array: NDArray, at: Place, pixels: int) -> NDArray:
        """Return what belongs to a part of the chunk, a view; images of a train as (frame, module, ...).

        Parameters
        ----------
        pixels : int
            Axes of pixels that there are, modules included.
        """
        if self.whole_run:
            if "module" not in self.axes or at.module is None:
                return array
            value: Any = (slice(None),) * (array.ndim - pixels)
            return array[(*value, at.module, *([] if at.strip is None else [at.strip]))]
        found = array[(*self._index(at), ...)]
        turned = "module" in self.axes and at.module is None and at.train is not None
        return found.swapaxes(0, 1) if turned else found

    def _index(self, at: Place) -> tuple[Any, ...]:
        """Return the index of a part along the axes before the value."""
        of = {
            "train": at.trains if at.train is None else at.train,
            "row": at.rows,
            "module": slice(None) if at.module is None else at.module,
        }
        return tuple(of[axis] for axis in self._before)

    def made(self, rows: int, trains: int, modules: int) -> Shape | None:
        """Return the shape of what says where there is a value; None where it is never missing."""
        return (
            self.shape((), (), rows, trains, modules) if self._before and "event" not in self.axes else None
        )

    def where(self, at: Place) -> tuple[Any, ...]:
        """Return where a part is in that, several trains as they are."""
        several = Place(at.module, at.rows, at.trains)
        return self._index(several)


KINDS = {
    "run": Kind(("value",)),
    "pixel": Kind(("value", "module", "pixels")),
    "train": Kind(("train", "value")),
    "entry": Kind(("row", "value")),
    "image": Kind(("module", "row", "value", "pixels")),
    "event": Kind(("event", "value")),
}
