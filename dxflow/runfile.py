"""One file of a run, opened for one plan: as EXtra-data sees it, but read through the gate and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from extra_data.file_access import FileAccess
from numpy.typing import NDArray

from .reader import ReadFault, gate
from .reader.extents import array

if TYPE_CHECKING:
    import h5py

    from .reader.files import Files

KNOWN_VERSIONS = ("0.5", "1.0", "1.1", "1.2", "1.3")
TEXT = ("METADATA/dataSourceId", "METADATA/dataSources/dataSourceId", "METADATA/dataFormatVersion")


class _Apart(type(FileAccess)):  # type: ignore[misc]
    """Makes an object of its own: EXtra-data shares those of a process, and so what it read of a file long ago."""

    def __call__(cls, *args: Any) -> Any:
        return type.__call__(cls, *args)


class RunFile(FileAccess, metaclass=_Apart):
    """A file of a run whose open handle belongs to `files`, so that few are open at a time.

    Raises
    ------
    ReadFault
        If it cannot be opened, its train ids are not a list of whole numbers, or it says nothing of its sources.
    """

    def __init__(self, path: str, files: Files) -> None:
        self.files, self.filename = files, path
        with gate.wrapped(path, ""):
            said = files.recall(path, "sources", "METADATA", self._said)
            self._format_version, (control, instrument, legacy) = said
            self.all_train_ids = self.index("INDEX/trainId")
            self.train_ids = self.all_train_ids[self.all_train_ids != 0]
            super().__init__(
                path,
                {
                    "train_ids": self.train_ids,
                    "control_sources": control,
                    "instrument_sources": instrument,
                    "legacy_sources": legacy,
                    "flag": self._flags(),
                },
            )
            self.run_number = self._number("METADATA/runNumber")

    def _said(self) -> tuple[str, tuple[Any, Any, Any]]:
        """Return the version of the format and the sources, which must lie in the file itself."""
        for name in TEXT:
            if self.files.has(self.filename, name):
                dataset = self.files.dataset(self.filename, name)
                if dataset.is_virtual or self.files.place(self.filename, name)[0] != self.filename:
                    raise ReadFault(self.filename, name, 0, 0, "it is not in this file, which is refused")
        return self.format_version, self._read_data_sources()

    @property
    def is_voview(self) -> bool:
        """Whether it only shows what other files hold."""
        name = ".source_files"
        return self.files.recall(self.filename, "there", name, lambda: name in self.file)

    def _flags(self) -> NDArray:
        """Return which trains are good, as the file says it."""
        n = len(self.train_ids)
        if self.format_version == "0.5":
            return np.asarray(self._guess_valid_trains())
        flags = np.zeros(n, bool)
        said = self.index("INDEX/flag")[:n].astype(bool)
        # In format 1.1 it is the number of the source of the train id, and 0 the time server.
        flags[: len(said)] = ~said if self.format_version == "1.1" else said
        return flags

    def index(self, name: str) -> NDArray:
        """Return what an index says, one whole number per train.

        Raises
        ------
        ReadFault
        """
        out = array(self.files, self.filename, name, filled=True)
        if out.ndim != 1 or out.dtype.kind not in "iub":
            raise ReadFault(
                self.filename, name, 0, 0, f"it is {out.dtype} {out.shape}: not one number per train"
            )
        return out

    def _number(self, name: str) -> int:
        """Return a number of the metadata, 0 where there is none."""
        if not self.has_dataset(name):
            return 0
        values = array(self.files, self.filename, name, filled=True)
        return int(values.reshape(-1)[0]) if values.size else 0

    @property
    def file(self) -> h5py.File:
        """The open file."""
        return self.files.handle(self.filename)

    def has_dataset(self, name: str) -> bool:
        """Return whether there is a dataset by this name, which may still be unreadable.

        Raises
        ------
        ReadFault
            If a link on the way to it leaves the run.
        """
        return self.files.has(self.filename, name)

    def has_source_key(self, source: str, key: str) -> bool:
        """Return whether there is a dataset that may be read."""
        section = "CONTROL" if source in self.control_sources else "INSTRUMENT"
        try:
            return self.has_dataset(f"{section}/{source}/{key.replace('.', '/')}")
        except ReadFault:
            return False

    def close(self) -> None:
        """Do nothing: `files` closes it."""
