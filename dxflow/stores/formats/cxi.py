"""CXI: virtual images of a run, peak lists in the layout that CrystFEL reads, and the results beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...errors import PlanError
from ..hdf5.file import Hdf5Store, options

if TYPE_CHECKING:
    from ...declare.outputs import BoundOutput
    from ...planning.public import Plan
    from ...run.bound import BoundInput
    from ...run.index import EntryIndex
    from ..contents import Contents

SUFFIXES = (".cxi",)
PEAK = "peak"
COLUMNS = ("module", "ss", "fs", "intensity")
RESULTS = "/dxflow/results"
STACKED = "/entry_1/data_1/stacked", "/entry_1/data_1/stacked_mask"
"""Images and masks, (frame, module * ss, fs)."""
PULSES = {"pulseId": "pulse_id", "memoryCell": "cell_id"}
"""What EXtra-data and we call what tells the frames of a train apart: of most detectors, of JUNGFRAU."""


class Cxi(Hdf5Store):
    """A CXI file: images as EXtra-data's virtual datasets, which refer to the files of the run.

    Images are those of the first frames input, all frames of all modules, whatever was selected: give a copy with the
    selected frames as the run, if others should not be there. The file is of no use without the files of the run, and
    these must stay where they are.

    An event output whose only axis is called "peak" is a list of peaks: `Output(per="event", shape=(4,),
    dims=("peak",))` with the columns module number, slow-scan and fast-scan position in the module (whole numbers at
    the centres of pixels), and intensity; further columns are kept among the results only. The first is in
    ``/entry_1/result_1``, the next in ``/entry_1/result_2``: ``nPeaks`` (frame), ``peakXPosRaw`` (fast scan),
    ``peakYPosRaw`` (slow scan, counted through all modules: module m of 512 rows begins at 512 m),
    ``peakTotalIntensity`` (frame, peak). With them come the images as CrystFEL needs them to find its panels by such
    numbers, modules behind one another: ``/entry_1/data_1/stacked`` and ``stacked_mask``. There, images of an output
    take the place of those of the run if it is stored, and has all frames and modules: those without their dark, for
    example. All results are in ``/dxflow/results`` too.
    """

    format = __name__

    def place(self, name: str) -> str:
        """Return the path of a variable in the file."""
        return f"{RESULTS}/{name}"

    def check(self, plan: Plan) -> None:
        """Refuse also what has no images, and lists of peaks of another shape."""
        super().check(plan)
        frames = _frames(plan)
        if frames is None:
            raise PlanError(
                f"{self.path}: CXI is for frames of a detector, and no algorithm reads Frames(...)"
            )
        if frames.location.roi is not None:
            raise PlanError(
                f"{self.path}: images of CXI are whole frames, and {frames.title} is read with roi=: leave that out, "
                "or write to another format"
            )
        for bound in _peaks(plan):
            if bound.output.shape[0] < len(COLUMNS) or not _told_apart(bound.index):
                raise PlanError(
                    f"{bound.name} has an axis {PEAK!r}, so it is a list of peaks: it needs frames with pulse or cell "
                    f"ids, and the columns {list(COLUMNS)}, but has {bound.output.shape[0]}; name other axes otherwise"
                )

    def extra(self, contents: Contents) -> dict[str, Any]:
        """Return which images and which lists of peaks the file has."""
        frames = _frames(contents.plan)
        assert frames is not None
        files = sorted({str(Path(f).resolve()) for f in frames.location.files})
        return {
            "files": files,
            "detector": frames.name,
            "shape": list(frames.shape[1:]),
            "trains": contents.plan.train_ids.tolist(),
            "peaks": [o.name for o in _peaks(contents.plan)],
            "image": next((o.name for o in contents.plan.outputs if _is_image(o)), ""),
        }

    def write(self, contents: Contents, piece: int) -> None:
        """Write the file.

        Raises
        ------
        ValueError
            If a peak belongs to no frame.
        """
        for bound in _peaks(contents.plan):
            for chunk in contents.plan.stretches:
                with contents.fragment(chunk.number) as fragment:
                    # The label of these is pulse 0, which another frame may have.
                    homeless = fragment[f"{bound.name}/frames"] < 0
                    trains = fragment[f"{bound.name}/trains"][homeless] + chunk.first
                if len(trains):
                    raise ValueError(
                        f"{bound.name}: a peak in train {contents.plan.train_ids[trains[0]]} belongs to no frame; "
                        "say which frame each peak is in, with append(rows, frames=...)"
                    )
        super().write(contents, piece)


STORE = Cxi


def _frames(plan: Plan) -> BoundInput | None:
    """Return the first frames input."""
    return next((i for i in plan.inputs if i.kind == "frames"), None)


def _told_apart(index: EntryIndex | None) -> bool:
    """Return whether the frames of a train have ids that EXtra-data's files have, too."""
    return index is not None and (index.pulse_ids is not None or index.cell_ids is not None)


def _peaks(plan: Plan) -> Iterator[BoundOutput]:
    """Yield the outputs that are lists of peaks."""
    for o in plan.outputs:
        if o.output.store and o.output.kind == "event" and o.output.dims == (PEAK,):
            yield o


def _is_image(bound: BoundOutput) -> bool:
    """Return whether an output is a stored image of each frame."""
    return bool(bound.output.store) and bound.output.kind == "image" and not bound.output.shape


def create(path: Path, task: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Let EXtra-data make the file, add datasets for the results; return it, and the datasets by name."""
    import h5py

    _images(path, task)
    file = h5py.File(path, "r+", libver=("v110", "v110"))
    group, made = file.create_group(RESULTS), {}
    for name, one in task["arrays"].items():
        dtype = np.dtype("i8") if np.dtype(one["dtype"]).kind == "M" else np.dtype(one["dtype"])
        made[name] = group.create_dataset(
            name, one["shape"], dtype, **options(one["shape"], dtype, task["codec"])
        )
        made[name].attrs.update(one["attrs"] | {"axes": ":".join(one["dims"])})
    if task["peaks"]:
        _stack(file, made.get(task["image"]))
    return _File(file, task), made


def _images(path: Path, task: dict[str, Any]) -> None:
    """Write the virtual images of the files that were read."""
    from extra_data import DataCollection, by_id
    from extra_data.components import identify_multimod_detectors

    data = DataCollection.from_paths(task["files"], is_single_run=True).select_trains(by_id[task["trains"]])
    name, cls = identify_multimod_detectors(data, task["detector"], single=True)
    detector = cls(data, name, min_modules=1)
    # The real one; the class knows that of the full detector.
    detector.module_shape = tuple(task["shape"][-2:])
    detector.write_virtual_cxi(str(path))


def _stack(file: Any, made: Any) -> None:
    """Add the images, and their masks, with the modules behind one another along the slow scan.

    Parameters
    ----------
    made : h5py.Dataset or None
        Images of results, which take the place of those of the run if all frames and modules have one.
    """
    import h5py

    detector = file["/entry_1/instrument_1/detector_1"]
    for name, to in zip(("data", "mask"), STACKED, strict=True):
        images = detector.get(name)
        if name == "data" and made is not None and made.shape == (*images.shape[:2], *images.shape[-2:]):
            images = made
        # Raw data may have a plane of gains as well.
        if images is not None and images.ndim == 4:
            frames, modules, rows, columns = images.shape
            layout = h5py.VirtualLayout((frames, modules * rows, columns), images.dtype)
            source = h5py.VirtualSource(".", images.name, images.shape)
            for module in range(modules):
                layout[:, module * rows : (module + 1) * rows] = source[:, module]
            file.create_virtual_dataset(to, layout, fillvalue=images.fillvalue)


class _File:
    """A file that gets its peak lists when it is closed, after all rows have come in."""

    def __init__(self, file: Any, task: dict[str, Any]) -> None:
        self.file, self.task = file, task

    def close(self) -> None:
        """Write the lists of peaks, and close the file."""
        for number, name in enumerate(self.task["peaks"], 1):
            self._write_peaks(name, self.file.create_group(f"/entry_1/result_{number}"))
        self.file.close()

    def _write_peaks(self, name: str, group: Any) -> None:
        """Turn a row per peak into a row per frame, filled up with zeros."""
        rows = self.file[RESULTS][name][()]
        frames = self._frames_of(name)
        order = np.argsort(frames, kind="stable")
        rows, frames = rows[order], frames[order]
        count = np.bincount(frames, minlength=len(self.file["/entry_1/trainId"]))
        column = np.arange(len(frames)) - np.repeat(np.cumsum(count) - count, count)
        modules = self.file["/entry_1/instrument_1/detector_1/module_identifier"][()]
        lines = self.file["/entry_1/instrument_1/detector_1/data"].shape[-2]
        group.create_dataset("nPeaks", data=count.astype("i4"))
        stacked = np.searchsorted(modules, rows[:, 0]) * lines + rows[:, 1]
        for key, values in (
            ("peakXPosRaw", rows[:, 2]),
            ("peakYPosRaw", stacked),
            ("peakTotalIntensity", rows[:, 3]),
        ):
            table = np.zeros((len(count), max(1, count.max(initial=0))), "f4")
            table[frames, column] = values
            group.create_dataset(key, data=table, **options(table.shape, table.dtype))

    def _frames_of(self, name: str) -> NDArray:
        """Return the number of the frame of each peak in the file."""
        entry, kept = self.file["/entry_1"], self.file[RESULTS]
        key, label = next((key, label) for key, label in PULSES.items() if key in entry)
        of_frame = list(zip(entry["trainId"][()].tolist(), entry[key][()].tolist(), strict=True))
        number = {ids: n for n, ids in enumerate(of_frame)}
        ids = zip(kept[f"{name}_train_id"][()].tolist(), kept[f"{name}_{label}"][()].tolist(), strict=True)
        try:
            return np.array([number[one] for one in ids], np.int64)
        except KeyError as e:
            train, pulse = e.args[0]
            raise ValueError(
                f"{name}: there are peaks in train {train}, pulse {pulse}, but no image: files of the run have changed"
            ) from None
