"""Names of axes and labels of a result: plain where there is one of a kind, numbered or prefixed otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.beside import EachTrain

if TYPE_CHECKING:
    from ..declare.outputs import BoundOutput
    from ..planning.bound import BoundAlgorithm
    from ..planning.public import Plan
    from ..run.bound import BoundInput
    from ..run.index import EntryIndex


@dataclass(frozen=True)
class Coordinate:
    """A labelled axis or a label along an axis: small, known to the driver."""

    dims: tuple[str, ...]
    values: NDArray
    attrs: Mapping[str, Any] = field(default_factory=dict)


def _of_frames(plan: Plan, algorithm: BoundAlgorithm) -> list[BoundInput]:
    """Return the inputs whose entries are the frames of an algorithm: its first; of each train, those of pulses."""
    lead = plan.inputs[algorithm.stream]
    if not isinstance(lead.declared, EachTrain):
        return [lead]
    others = (plan.inputs[a.number] for a in algorithm.aliases.values() if a.number != algorithm.stream)
    return [bound for bound in others if bound.kind == "pulses"]


class Names:
    """Names of axes: plain where there is one of a kind, numbered or prefixed where there are several."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        leads = [bound.index for a in plan.algorithms for bound in _of_frames(plan, a)]
        stored = [o.index for o in plan.results if o.output.store]
        self.rows: dict[EntryIndex, str] = {}
        # Of each train nothing is named, unless others have just these rows.
        trains = [bound.index for bound in plan.inputs if isinstance(bound.declared, EachTrain)]
        for index in sorted(plan.indexes, key=lambda index: index in trains):
            base = "frame" if index in leads else "entry"
            taken = sum(d.split("_")[0] == base for d in self.rows.values())
            self.rows[index] = base if not taken else f"{base}_{taken + 1}"
        self._first_row = next((i for i in plan.indexes if i in leads and i in stored), plan.indexes[0])
        self._pixels: dict[tuple, str] = {}
        self._values: dict[str, tuple[int, bytes]] = {}
        self._labels: dict[str, tuple[str, bytes]] = {}
        for o in plan.results:
            if o.output.store and o.output.kind in ("pixel", "image"):
                self._suffix(o)

    def of_sight(self, name: str, number: int) -> str:
        """Return the name of a label of what some algorithms saw: plain for the first, numbered for others."""
        sights = list(dict.fromkeys(self.plan.sights.values()))
        if name != "modules_used":
            return name if not number else f"{name}_{number + 1}"
        index = sights[number].index
        same = [n for n, s in enumerate(sights) if s.index is index and n < number]
        return self.label(name, index) + (f"_{len(same) + 1}" if same else "")

    def label(self, name: str, index: EntryIndex) -> str:
        """Return the name of a label of rows: plain for the first frames."""
        return name if index is self._first_row else f"{self.rows[index]}_{name}"

    def pixel_dims(self, o: BoundOutput) -> tuple[str, ...]:
        """Return the names of the module and pixel axes."""
        suffix = self._suffix(o)
        axes = ("ss", "fs") if len(o.pixels) == 3 else tuple(f"x{i}" for i in range(len(o.pixels) - 1))
        return tuple(f"{axis}{suffix}" for axis in ("module", *axes))

    def module_axis(self, o: BoundOutput) -> tuple[str, NDArray]:
        """Return the name of the module axis and the module numbers."""
        return f"module{self._suffix(o)}", np.asarray(self._lead(o).modules)

    def pixel_axes(self, o: BoundOutput) -> Iterator[tuple[str, Coordinate]]:
        """Yield pixel numbers where only a region of each module is read."""
        roi = self._lead(o).location.roi
        for dim, part in zip(self.pixel_dims(o)[1:], roi or (), strict=False):
            yield (
                dim,
                Coordinate((dim,), np.arange(part.start, part.stop), {"long_name": f"pixel along {dim[:2]}"}),
            )

    def _suffix(self, o: BoundOutput) -> str:
        """Return what tells detectors of different shape apart: "" for the first, "_2", "_3"."""
        key = (self._lead(o).modules, o.pixels, repr(self._lead(o).location.roi))
        if key not in self._pixels:
            self._pixels[key] = f"_{len(self._pixels) + 1}" if self._pixels else ""
        return self._pixels[key]

    def detector(self, o: BoundOutput) -> dict[str, str]:
        """Return the attributes that say whose pixels or modules these are, and of which data."""
        lead = self._lead(o)
        if o.output.kind not in ("pixel", "image") and "module" not in o.output.dims:
            return {}
        data = {"data": "raw" if lead.raw else "corrected"} if lead.kind == "frames" else {}
        return {"detector": lead.name, **data}

    def _lead(self, o: BoundOutput) -> Any:
        bound = next(a for a in self.plan.algorithms if a.name == o.algorithm)
        return self.plan.inputs[bound.stream]

    def value_dims(self, o: BoundOutput) -> tuple[str, ...]:
        """Return the names of the axes of one value; another algorithm's axis of the same name must be equal."""
        names = o.output.dims or tuple(f"{o.key}_{i}" for i in range(len(o.output.shape)))
        return tuple(self._own(o, name, size) for name, size in zip(names, o.output.shape, strict=True))

    def _own(self, o: BoundOutput, name: str, size: int) -> str:
        if o.kind.whole_run and self._of_input(o, name, size):
            return f"{name}{self._suffix(o)}"
        values = o.output.coordinate(name)[0].tobytes() if name in o.output.coords else b""
        named = name if o.output.dims else f"{o.algorithm}.{name}"
        if self._values.setdefault(named, (size, values)) == (size, values):
            return named
        return f"{o.algorithm}.{named}"

    def _of_input(self, o: BoundOutput, name: str, size: int) -> bool:
        """Return whether an axis of values is that of the modules that are read, or of their pixels beside it."""
        if "module" not in o.output.coords or len(o.pixels) != 3:
            return False
        mine = np.array_equal(o.output.coordinate("module")[0], self._lead(o).modules)
        return mine and dict(zip(("module", "ss", "fs"), o.pixels, strict=True)).get(name) == size

    def value_coordinates(self, o: BoundOutput) -> Iterator[tuple[str, Coordinate]]:
        """Yield the coordinates that an output declares."""
        dims = dict(zip(o.output.dims, self.value_dims(o), strict=False))
        for name in o.output.coords:
            values, unit = o.output.coordinate(name)
            dim = dims[o.output.axis(name)]
            label = dims[name] if name in dims else self._label(o, name, dim, values)
            yield label, Coordinate((dim,), values, {"units": unit} if unit else {})

    def _label(self, o: BoundOutput, name: str, dim: str, values: NDArray) -> str:
        """Return the name of a further label of an axis; another algorithm's of the same name must be equal."""
        same = self._labels.setdefault(name, (dim, values.tobytes())) == (dim, values.tobytes())
        return name if same else f"{o.algorithm}.{name}"
