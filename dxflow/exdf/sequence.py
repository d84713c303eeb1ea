"""One sequence file of a writer, from its first rows to its metadata."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..hdf5.sink import Sink
from .declare import Declared
from .file import ExdfFile, Head, data_path
from .groups import IndexGroup
from .series import Steps


class SequenceFile:
    """The trains at positions ``start:stop`` of a writer, as a file."""

    def __init__(self, sink: Sink, start: int) -> None:
        self.sink, self.start = sink, start
        self._made: set[str] = set()

    def append(self, declared: Declared, arrays: Iterable[NDArray]) -> None:
        """Add entries of an instrument key."""
        path = self._rows(declared)
        for values in arrays:
            self.sink.append(path, _stored(values))

    def _rows(self, declared: Declared) -> str:
        """Return the path of the dataset of an instrument key, made on the first call."""
        path = data_path("INSTRUMENT", declared.source, declared.key)
        if path not in self._made:
            self._made.add(path)
            dtype = np.dtype(np.uint8) if declared.dtype.kind == "b" else declared.dtype
            self.sink.rows(path, dtype, declared.shape, declared.ds.chunk, declared.ds.compressed)
            self.sink.attributes(path, declared.attributes)
        return path

    def finish(
        self, head: Head, groups: Sequence[IndexGroup], controls: Sequence[Steps], runs: Mapping[str, Any]
    ) -> None:
        """Write everything but the entries, and close the file."""
        file = ExdfFile(self.sink, head)
        self._controls(file, controls, runs)
        for group in groups:
            self._group(file, group)
        file.finish()
        self.sink.close()

    def _group(self, file: ExdfFile, group: IndexGroup) -> None:
        """Declare an index group; a key without any entry in this file still is there."""
        file.instrument(group.source, group.name, group.counts(self.start, self.start + file.trains))
        for series in group.used:
            self._rows(series.declared)

    def _controls(self, file: ExdfFile, controls: Sequence[Steps], runs: Mapping[str, Any]) -> None:
        """Write the control sources: those that have a value at all."""
        keys = [s.declared for s in controls] + [declared for declared, _ in runs.values()]
        for source in dict.fromkeys(d.source for d in keys):
            file.control(source)
        for steps in controls:
            self._steps(file, steps)
        for declared, value in runs.values():
            file.run_key(declared.source, declared.key, value, attributes=declared.attributes)

    def _steps(self, file: ExdfFile, steps: Steps) -> None:
        """Write a control key: its value in each train, and in RUN the first of the run."""
        declared = steps.declared
        values, since = steps.settings(self.start, self.start + file.trains)
        # What was set before this file began keeps the time of its first train: older ones are in another file.
        times = file.head.timestamps[np.maximum(since - self.start, 0)]
        file.control_key(declared.source, declared.key, _stored(values), times, declared.attributes)
        file.run_key(declared.source, declared.key, _stored(steps.value()), attributes=declared.attributes)


def _stored(values: NDArray) -> NDArray:
    """Return booleans as the bytes 0 and 1."""
    return values.astype(np.uint8) if values.dtype.kind == "b" else values
