"""Files of detector modules: index, frame ids, frames, masks."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from .exdf import FileFacts, SimulatedFile
from .paint import Painter, Scene

DEFLATE_LEVEL = 1
"""As in corrected data of the facility: fast rather than small."""

XTDF_DETECTOR_BYTES = {"AGIPD": 5408, "LPD": 416, "DSSC": 416}
"""Length of ``detector.data``, raw data only."""


@dataclass
class FrameWriter:
    """Writes frames into one dataset, each as one HDF5 chunk or as a part of a contiguous dataset.

    Notes
    -----
    Chunks bypass the HDF5 filters: a frame that comes again (``donor``) is compressed only once.
    """

    dataset: h5py.Dataset
    compressed: bool
    _encoded: dict[int, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._chunks, self._ndim = self.dataset.chunks, self.dataset.ndim

    def put(self, place: tuple[int, ...], frame: NDArray[Any], donor: int, *, keep: bool) -> None:
        """Write a frame at a place (leading indices); ``keep`` its compressed bytes for the donor's copies."""
        if self._chunks is None:
            self.dataset[place] = frame.reshape(self.dataset.shape[len(place) :])
            return
        offset = place + (0,) * (self._ndim - len(place))
        self.dataset.id.write_direct_chunk(
            offset, self._bytes(frame, donor, keep) if self.compressed else frame
        )

    def _bytes(self, frame: NDArray[Any], donor: int, keep: bool) -> bytes:
        if donor in self._encoded:
            return self._encoded[donor]
        encoded = shuffle_deflate(frame)
        if keep:
            self._encoded[donor] = encoded
        return encoded


def shuffle_deflate(frame: NDArray[Any]) -> bytes:
    """Return a chunk as HDF5's filters shuffle and deflate write it."""
    planes = np.ascontiguousarray(frame).view(np.uint8).reshape(-1, frame.itemsize).T
    return zlib.compress(planes.tobytes(), DEFLATE_LEVEL)


def write_module(directory: Path, scene: Scene, painter: Painter) -> None:
    """Write all sequence files of one module."""
    for sequence in range(scene.settings.sequences):
        _write_sequence(directory, scene, painter, sequence)


def _write_sequence(directory: Path, scene: Scene, painter: Painter, sequence: int) -> None:
    settings, kind, number = scene.settings, scene.kind, painter.sensor.number
    trains = _trains(scene, number, sequence)
    facts = FileFacts(
        category="CORR" if settings.data == "corr" else "RAW",
        proposal=settings.proposal,
        run=settings.run,
        aggregator=f"{kind.aggregator}{number:02d}",
        sequence=sequence,
        version=settings.version,
        train_ids=scene.schedule.train_ids[trains],
    )
    with SimulatedFile(directory, facts) as file:
        _ModuleFile(file, scene, painter, trains).write()


def _trains(scene: Scene, number: int, sequence: int) -> NDArray[np.int64]:
    """Return the indices of the trains of one sequence file of a module."""
    schedule, plant = scene.schedule, scene.settings.plant
    lost = plant.inside("lost_trains", plant.lost_trains.get(number, ()), scene.settings.trains)
    here = (schedule.sequence == sequence) & ~np.isin(schedule.positions, lost)
    return np.flatnonzero(here)


@dataclass(frozen=True)
class _ModuleFile:
    file: SimulatedFile
    scene: Scene
    painter: Painter
    trains: NDArray[np.int64]
    """Indices of the trains of this file."""

    def write(self) -> None:
        kind, settings, number = self.scene.kind, self.scene.settings, self.painter.sensor.number
        detector = kind.detector(settings.instrument)
        old, new = kind.raw_source(detector, number), kind.corrected_source(detector, number)
        source = new if settings.data == "corr" else old
        filled = self.counts() if kind.xtdf else (self.counts() > 0).astype(int)
        group = self.file.instrument(source, kind.group, filled)
        self._write_ids(group)
        self._write_frames(group)
        if settings.data == "raw" and kind.xtdf:
            self._write_train_groups(source)
        if settings.data == "corr" and settings.legacy_names:
            self.file.legacy(old, source, [kind.group])

    def counts(self) -> NDArray[np.int64]:
        """Return how many frames this module has of each train of this file."""
        plant, schedule = self.scene.settings.plant, self.scene.schedule
        silent = plant.silent_trains.get(self.painter.sensor.number, ())
        planted = plant.inside("silent_trains", silent, self.scene.settings.trains)
        here = ~np.isin(schedule.positions[self.trains], planted)
        return schedule.counts[self.trains] * here

    def _write_ids(self, group: h5py.Group) -> None:
        if self.scene.kind.xtdf:
            self._write_xtdf_ids(group)
        else:
            self._write_entry_ids(group)

    def _write_xtdf_ids(self, group: h5py.Group) -> None:
        """Write what names each frame: (frame, 1) in raw data, (frame,) in corrected data."""
        settings, counts = self.scene.settings, self.counts()
        cells = np.concatenate([np.arange(n) for n in counts]) if len(counts) else np.zeros(0, int)
        shape = (-1, 1) if settings.data == "raw" else (-1,)
        group["trainId"] = np.repeat(self.file.facts.train_ids, counts).reshape(shape)
        group["cellId"] = cells.astype("u2").reshape(shape)
        group["pulseId"] = (settings.first_slot + cells * settings.stride).astype("u8").reshape(shape)
        group["status"] = np.zeros((len(cells), 1), "u2")
        group["length"] = np.full((len(cells), 1), _frame_bytes(self.scene), "u4")

    def _write_entry_ids(self, group: h5py.Group) -> None:
        """Write what names each entry of JUNGFRAU and Gotthard-II, (train, cell)."""
        settings, ids = self.scene.settings, self.file.facts.train_ids[self.counts() > 0]
        cells = np.arange(settings.pulses)
        # The receiver of Gotthard-II does not say it.
        said = np.full(len(cells), 255, "u1") if self.scene.kind.turns else cells.astype("u1")
        group["trainId"] = ids
        group["memoryCell"] = np.broadcast_to(said, (len(ids), len(cells)))
        group["frameNumber"] = ids[:, np.newaxis] * np.uint64(len(cells)) + cells.astype("u8")
        group["timestamp"] = np.broadcast_to((ids / 10.0)[:, np.newaxis], (len(ids), len(cells)))

    def _write_frames(self, group: h5py.Group) -> None:
        settings, kind = self.scene.settings, self.scene.kind
        is_raw = settings.data == "raw"
        planes = (kind.raw_planes,) if is_raw and kind.raw_planes else ()
        frames = self._dataset(
            group, kind.data, "u2" if is_raw else "f4", (*planes, *settings.shape), settings.compress_data
        )
        gains = None
        if is_raw and kind.gain == "key":
            gains = self._dataset(group, "gain", "u1", settings.shape, settings.compress_data)
        for place, frame in self._placed():
            frames.put(place, frame.data, frame.donor, keep=settings.pool is not None)
            if gains is not None and frame.gain is not None:
                gains.put(place, frame.gain, frame.donor, keep=settings.pool is not None)
        if not is_raw:
            self._write_constant(group, "mask", self.painter.sensor.mask)
            self._write_constant(group, "gain", np.zeros(settings.shape, np.uint8))

    def _write_constant(self, group: h5py.Group, key: str, image: NDArray[Any]) -> None:
        """Write the same image for each frame."""
        dataset = self._dataset(group, key, image.dtype.str, image.shape, self.scene.settings.compress_masks)
        for place in self._places():
            dataset.put(place, image, 0, keep=True)

    def _dataset(
        self, group: h5py.Group, key: str, dtype: str, shape: tuple[int, ...], compressed: bool
    ) -> FrameWriter:
        """Create a dataset of frames: (frame, ...) of XTDF, (train, cell, ...) of the others."""
        counts = self.counts()
        lead = (
            (int(counts.sum()),)
            if self.scene.kind.xtdf
            else (int((counts > 0).sum()), self.scene.settings.pulses)
        )
        shape = shape[1:] if self.scene.kind.strips else shape
        contiguous = self.scene.settings.layout == "contiguous" and not compressed
        filters = (
            {"compression": "gzip", "compression_opts": DEFLATE_LEVEL, "shuffle": True} if compressed else {}
        )
        dataset = group.create_dataset(
            key,
            lead + shape,
            dtype,
            chunks=None if contiguous else (1,) * len(lead) + shape,
            maxshape=None if contiguous else (None, *lead[1:], *shape),
            fill_time="never",
            **filters,
        )
        return FrameWriter(dataset, compressed)

    def _places(self) -> list[tuple[int, ...]]:
        """Return the leading indices of each frame in the datasets."""
        counts = self.counts()
        if self.scene.kind.xtdf:
            return [(frame,) for frame in range(int(counts.sum()))]
        return [(train, cell) for train, n in enumerate(counts[counts > 0]) for cell in range(n)]

    def _placed(self) -> Any:
        """Yield (place, frame) of each frame of this file."""
        trains = self.trains[self.counts() > 0]
        frames = (frame for train in trains for frame in self.painter.train(int(train)))
        return zip(self._places(), frames, strict=True)

    def _write_train_groups(self, source: str) -> None:
        """Write the groups of a raw XTDF source that have one entry per train."""
        n = len(self.trains)
        length = XTDF_DETECTOR_BYTES[self.scene.kind.aggregator]
        header = {
            "pulseCount": self.counts().astype("u8"),
            "dataId": np.zeros(n, "u8"),
            "linkId": np.zeros(n, "u8"),
        }
        self.file.fast(source, "header", {**header, "majorTrainFormatVersion": np.full(n, 2, "u4")})
        self.file.fast(source, "detector", {"data": np.zeros((n, length), "u1")})
        self.file.fast(source, "trailer", {"status": np.zeros(n, "u8"), "checksum": np.zeros((n, 16), "i1")})


def _frame_bytes(scene: Scene) -> int:
    """Return the bytes of a stored frame."""
    planes = max(scene.kind.raw_planes, 1) if scene.settings.data == "raw" else 1
    return int(np.prod(scene.settings.shape)) * planes * (2 if scene.settings.data == "raw" else 4)
