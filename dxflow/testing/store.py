"""check_store: a store keeps every kind of output, appears complete or not at all, and notices damage."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..declare.algorithm import Algorithm
from ..declare.inputs import Frames
from ..declare.outputs import Output
from ..disk.fragments import Address
from ..driver import journal
from ..driver.execute import execute
from ..driver.report import Report
from ..planning.make import PlanError
from ..planning.public import Plan
from ..simulate import Truth, make_run
from ..stores.contents import Contents
from ..worker import chunk, merging
from .case import Case, difference, require

if TYPE_CHECKING:
    import xarray as xr

    from ..stores.store import Store

Open = Callable[[Path], "xr.Dataset"]


def check_store(factory: Callable[[Path], Store], name: str, *, opened: Open | None = None) -> None:
    """Check that a store keeps every kind of output, appears complete or not at all, and notices damage.

    Parameters
    ----------
    factory : callable
        Makes the store of a path, such as the class.
    name : str
        Of a result of this format: ``"result.zarr"``.
    opened : callable, optional
        Opens a result as a dataset; ``Result(path).dataset`` by default.

    Raises
    ------
    CheckFailed

    Examples
    --------
    >>> from dxflow.stores.formats.zarr import Zarr
    >>> check_store(Zarr, "result.zarr")
    """
    read = opened or _opened
    with tempfile.TemporaryDirectory(prefix="dxflow-") as folder:
        path = Path(folder) / name
        size = {"trains": 5, "pulses": 3, "detector": "AGIPD500K", "module_shape": (8, 8)}
        truth = make_run(Path(folder) / "run", sequences=1, devices=(), **size)
        case = Case(_every, truth.path)
        _check_commit(case.plan(to=factory(path), trains=2))
        _check_round_trip(truth, read(path))
        _check_overwrite(case, factory, path)
        _check_round_trip(truth, read(path))
        _check_damage(path, read)


def _opened(path: Path) -> xr.Dataset:
    from ..driver.result import Result

    return Result(path).dataset


class Every(Algorithm):
    """Makes one output of each kind, whose values follow from train and pulse ids."""

    ALG_ID = "every"
    inputs = {"x": Frames()}

    def outputs(self, info: Any) -> Mapping[str, Output]:
        """Declare one of each kind."""
        return {
            "run": Output(per="run", unit="s", doc="sum of train ids"),
            "train": Output(per="train", dtype="i8"),
            "pixel": Output(per="pixel", dtype="f4", shape=(2,), dims=("half",), coords={"half": [0.5, 1.5]}),
            "entry": Output(per="x", dtype="u4"),
            "image": Output(per=("x", "pixel"), dtype="f4"),
            "event": Output(per="event", shape=(2,)),
        }

    def process_train_data(self, train: Any, out: Any) -> None:
        """Make values that `values_of` can predict."""
        out.run += train.id
        out.train = train.id
        # Frames of some detectors have memory cells, but no pulses.
        ids = train.cell_ids if train.pulse_ids is None else train.pulse_ids
        out.pixel[1] += ids.sum()
        out.entry = ids
        out.image = np.asarray(ids, float)[:, None, None, None]
        out.event.append(np.array([[train.id, n] for n in range(train.id % 3)]).reshape(-1, 2))


def _every() -> Algorithm:
    return Every()


def values_of(truth: Truth) -> dict[str, NDArray]:
    """Return what `Every` makes of a run."""
    trains, pulses = truth.train_ids.astype("i8"), truth.pulse_ids.astype("f4")
    pixels = (len(truth.module_numbers), *truth.bad_pixels.shape[1:])
    return {
        "run": np.asarray(trains.sum(), "f8"),
        "train": trains,
        "pixel": np.stack([np.zeros(pixels, "f4"), np.full(pixels, pulses.sum(), "f4")]),
        "entry": pulses.astype("u4"),
        "image": np.broadcast_to(pulses[:, None, None, None], (len(pulses), *pixels)),
        "event": np.array([(t, n) for t in trains for n in range(t % 3)], "f8"),
    }


def _check_round_trip(truth: Truth, dataset: xr.Dataset) -> None:
    """Check that values, labels and attributes are those that were made."""
    for key, values in values_of(truth).items():
        how = difference(values, dataset[f"every.{key}"].values)
        require(not how, f"the output per {key} came back different: {how}")
    for label, ids in (("train_id", truth.frame_train_ids), ("pulse_id", truth.pulse_ids)):
        found = dataset["every.entry"].coords[label].values
        require(np.array_equal(found, ids), f"{label} of the frames came back as {found}")
    half = dataset["every.pixel"].coords["half"].values
    require(half.tolist() == [0.5, 1.5], f"the coordinate [0.5, 1.5] of an axis came back as {half}")
    attributes = dataset["every.run"].attrs
    kept = (attributes.get("units"), attributes.get("long_name"))
    require(kept == ("s", "sum of train ids"), f"unit and doc of an output came back as {kept}")


def _check_commit(made: Plan) -> None:
    """Check that nothing has the result's name before `commit`, and that pieces may be written twice, in any order."""
    store, work = made.store, chunk.Workspace(made, journal.begin(made))
    report = Report(made)
    for one in made.chunks:
        report.add(chunk.run_chunk(work, one.number))
    leaves = [(one.number, made.address(work.folder, one.number)) for one in made.chunks]
    contents = Contents(made, work.folder, report.events, report.losses)
    contents.note()
    pieces = list(store.create(contents))
    total = merging.merge(work, 0, leaves, Address(work.folder / "merged-000-0-000000-check.fragment", ""))
    for _ in range(2):
        merging.finalize(work, [(0, total)])
    for piece in [*pieces, *reversed(pieces)]:
        store.write(Contents.of(made, work.folder), piece)
        require(not store.path.exists(), f"{store.path.name} appeared before commit()")
    store.commit(contents, report.manifest({"kind": "this process"}))
    journal.end(made)
    require(store.path.exists(), f"{store.path.name} is not there after commit()")


def _check_overwrite(case: Case, factory: Callable[[Path], Store], path: Path) -> None:
    """Check that an existing result is refused, and replaced where that is asked for."""
    try:
        case.plan(to=factory(path))
    except PlanError:
        pass
    else:
        require(False, f"{path.name} exists and was not refused; Store.check() refuses it by default")
    execute(case.plan(to=factory(path), overwrite=True), "here")


def _check_damage(path: Path, read: Open) -> None:
    """Check that a changed byte in any data file is noticed when everything is read."""
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
    for file in files:
        if file.suffix == ".json":
            continue
        good = file.read_bytes()
        for at in {0, len(good) // 2, len(good) - 1}:
            file.write_bytes(good[:at] + bytes([good[at] ^ 0x40]) + good[at + 1 :])
            require(
                _fails(path, read), f"byte {at} of {file.relative_to(path)} was changed, and nothing noticed"
            )
        file.write_bytes(good)


def _fails(path: Path, read: Open) -> bool:
    """Return whether reading everything raises."""
    try:
        with read(path) as dataset:
            dataset.load()
    # Whatever a format raises: that it does is what counts.
    except Exception:  # noqa: BLE001
        return True
    return False
