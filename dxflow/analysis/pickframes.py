"""Frames that were picked, read in one pass over each run: these and no others, and put into the order of picks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import find, geometry
from ..api import reduce
from ..declare.algorithm import Algorithm
from ..declare.inputs import Frames, From, Key
from ..errors import PlanError
from ..errors.kinds import shown
from ..errors.near import listed
from ..planning.variants import flat as in_one_list
from ..run.losses import ranges
from .seen import clock_of, each_of, frames_of, selection

if TYPE_CHECKING:
    from xarray import Dataset

    from ..driver.result import Result

PICK = "pick"


def read(
    flat: Dataset, run: Any, images: Any, where: Any, options: Mapping[str, Any]
) -> tuple[Dataset, list[Result]]:
    """Return the images of picks, and the results they come from; see `Picks.read`."""
    import xarray as xr

    flat = flat.assign(number=(PICK, np.arange(flat.sizes[PICK])))
    if flat.attrs.get("rows") == "events":
        raise ValueError(
            "these rows are events of LCLS: their raw data are not read; copy the images with its own tools"
        )
    if not flat.sizes[PICK]:
        raise ValueError("nothing was picked: there are no frames to read")
    found = [
        _of_run(path, flat.isel({PICK: at}), images, where, dict(options)) for path, at in _runs(flat, run)
    ]
    images, results = [one for one, _ in found], [result for _, result in found]
    if len(found) == 1:
        return images[0].drop_vars("number"), results
    lacking = "; ".join(text for one in images if (text := one.attrs["lacking"]))
    whole = xr.concat([one.chunk({PICK: 1}) for one in images], PICK, combine_attrs="override")
    order = np.argsort(whole["number"].values, kind="stable")
    runs = sorted({one.attrs["run"] for one in images})
    said = {"title": f"picked frames of {listed(runs)}", "run": ", ".join(runs), "lacking": lacking}
    return whole.isel({PICK: order}).drop_vars("number").assign_attrs(said), results


def _runs(flat: Dataset, run: Any) -> Iterator[tuple[Any, NDArray]]:
    """Yield each run, and which of the picks are in it."""
    if "run" not in flat.coords:
        if isinstance(run, Mapping):
            raise TypeError("run=: a mapping is for tables of several runs; expected one run")
        run = flat.attrs.get("run") if run is None else run
        if run in (None, ""):
            raise ValueError("the table does not say of which run it is: give run=")
        yield run, np.arange(flat.sizes[PICK])
        return
    numbers = flat["run"].values
    wanted = np.unique(numbers).tolist()
    for number, own in zip(wanted, each_of(run, wanted), strict=True):
        yield own, np.flatnonzero(numbers == number)


def _of_run(
    run: Any, flat: Dataset, images: Any, where: Any, options: dict[str, Any]
) -> tuple[Dataset, Result]:
    """Return the images of some picks of one run, and their result."""
    kept = [_Kept.of(name, given, _place(run, where)) for name, given in _named(images).items()]
    first = next((one.first for one in kept if one.first is not None), Frames())
    trains, pulses, clock = flat["train_id"].values, flat["pulse_id"].values, options.pop("pulses", None)
    label, ids, seen = frames_of(run, first, trains, pulses, clock_of(flat.attrs, clock))
    chosen = selection(label, trains[seen], ids[seen])
    result = reduce(run, [a for one in kept for a in one.algorithms], frames=chosen, **options)
    whole = result.dataset
    at = np.where(seen, _positions(trains, ids, whole["train_id"].values, whole[label].values), -1)
    there = np.flatnonzero(at >= 0)
    if not len(there):
        raise PlanError(
            f"{run}: it has none of the {len(at)} frames that were picked: is it the run of this table?"
        )
    labels = (
        flat.isel({PICK: there}).set_coords(list(flat.data_vars)).assign_coords(frame_id=(PICK, ids[there]))
    )
    of_frames = [n for n, v in whole.data_vars.items() if v.dims[:1] == ("frame",)]
    names = {a: b for one in kept for a, b in one.names(whole).items()}
    taken = whole[of_frames].rename(names).isel(frame=at[there]).rename(frame=PICK)
    out = taken.drop_vars([n for n in taken.coords if n in labels.coords]).assign_coords(labels.coords)
    return out.assign_attrs(run=str(run), lacking=_said(flat.isel({PICK: np.flatnonzero(at < 0)}))), result


def _named(images: Any) -> dict[str, Any]:
    """Return what images are made of, by the name that a user gave it."""
    if not isinstance(images, Mapping):
        return {"": Frames() if images is None else images}
    if not images:
        raise ValueError("images={}: expected Frames() or algorithms, by name")
    return dict(images)


@dataclass(frozen=True)
class _Kept:
    """The algorithms that keep images of one kind: as they are read, made and assembled."""

    name: str
    chain: list[Algorithm]
    first: Frames | Key | None
    last: Any
    where: Any

    @classmethod
    def of(cls, name: str, given: Any, where: Any) -> _Kept:
        """Return what keeps the images that a user asks for."""
        if isinstance(given, (Frames, Key)):
            return cls(name, [], given, given, where)
        chain = in_one_list(given)
        if not chain or not all(isinstance(one, Algorithm) for one in chain):
            raise TypeError(
                f"images={shown(given)}: expected Frames(...), or algorithms of which the last makes images"
            )
        inputs = [one for a in chain for one in a.inputs.values() if isinstance(one, (Frames, Key))]
        return cls(name, chain, next(iter(inputs), None), From(chain[-1].name), where)

    @property
    def algorithms(self) -> list[Algorithm]:
        """All that run, those of the user first."""
        keep, out = find.algorithm("frames"), [*self.chain]
        if self.first is not None:
            out.append(keep(img=self.first, name=self._called("read")))
        if self.chain:
            out.append(keep(img=self.last, name=self._called("made")))
        if self.where is not None:
            assemble = find.algorithm("assemble")
            name = self._called("assembled")
            out.append(assemble(per="frame", img=self.last, geometry=self.where, name=name))
        return out

    def names(self, whole: Dataset) -> dict[str, str]:
        """Return what the images of a result are called, by the names of its variables."""
        read = whole.get(f"{self._called('read')}.img")
        word = "images" if read is None else read.attrs.get("data", "images")
        made = "corrected" if word == "raw" or not self.chain else self.chain[-1].name
        words = {"read.img": word, "made.img": made, "assembled.image": "assembled"}
        found = {self._called(key): self._called(to) for key, to in words.items()}
        found |= {f"{key}_valid": f"{to}_valid" for key, to in found.items()}
        return {key: to for key, to in found.items() if key in whole}

    def _called(self, what: str) -> str:
        return f"{self.name}_{what}" if self.name else what


def _place(run: Any, where: Any) -> Any:
    """Return where pixels are: what was given, or lies beside the run; None if images are not to be assembled."""
    if where is not None and where is not True:
        return None if where is False else where
    path = Path(run) if isinstance(run, (str, Path)) else None
    if where is True:
        if path is None:
            raise PlanError(f"geometry=True: {shown(run)} is no folder that has one; give its path")
        try:
            return geometry.beside(str(path))
        except ValueError as e:
            raise PlanError(f"geometry=True: {e}") from e
    return geometry.beside(str(path)) if path is not None and _has_geometry(path) else None


def _has_geometry(run: Path) -> bool:
    try:
        geometry.beside(str(run))
    except ValueError:
        return False
    return True


def _positions(trains: NDArray, ids: NDArray, have_trains: NDArray, have_ids: NDArray) -> NDArray:
    """Return where each of some frames is among others, -1 where it is not."""
    there = zip(have_trains.tolist(), have_ids.tolist(), strict=True)
    number = {one: n for n, one in enumerate(there)}
    return np.array([number.get(one, -1) for one in zip(trains.tolist(), ids.tolist(), strict=True)])


def _said(lacking: Dataset) -> str:
    """Say which frames the run does not have."""
    trains = lacking["train_id"].values
    if not len(trains):
        return ""
    return f"{len(trains)} frames, of trains {ranges(np.unique(trains).tolist())}"
