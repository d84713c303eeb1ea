"""One file of a run, opened for one plan: as EXtra-data sees it, but read through the gate and checked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from extra_data.file_access import FileAccess
from numpy.typing import NDArray

from ..reader import gate
from ..reader.extents import array
from ..reader.faults import ReadFault

if TYPE_CHECKING:
    import h5py

    from ..reader.files import Files

KNOWN_VERSIONS = ("0.5", "1.0", "1.1", "1.2", "1.3")
VOVIEW = b".source_files"
VERSION = "METADATA/dataFormatVersion"
TEXT = ("METADATA/dataSourceId", "METADATA/dataSources/dataSourceId", VERSION)


CATEGORIES = {"INSTRUMENT", "CONTROL", "Karabo_TimerServer"}
"""Of sources; the last one is a source in format 1.1 only, and has no data."""


def _of_channel(name: str) -> str:
    """Return the source that a group of a channel belongs to: ``A/B/C:out/image`` is of ``A/B/C:out``."""
    device, _, rest = name.partition(":")
    return f"{device}:{rest.partition('/')[0]}"


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
            self.run_number = self.number("METADATA/runNumber")
            self.is_voview = files.recall(path, "there", "voview", lambda: self.file.id.links.exists(VOVIEW))

    def _said(self) -> tuple[str, tuple[Any, Any, Any]]:
        """Return the version of the format and the sources, which must lie in the file itself."""
        for name in TEXT:
            if self.files.has(self.filename, name):
                dataset = self.files.dataset(self.filename, name)
                if dataset.is_virtual or self.files.place(self.filename, name)[0] != self.filename:
                    raise ReadFault(self.filename, name, 0, 0, "it is not in this file, which is refused")
                if name == VERSION:
                    self._format_version = dataset[0].decode("ascii")
        return self.format_version, self._read_data_sources()

    is_voview = False
    """Whether it only shows what other files hold."""

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

    def number(self, name: str) -> int:
        """Return a number of the metadata, 0 where there is none."""
        if not self.has_dataset(name):
            return 0
        values = array(self.files, self.filename, name, filled=True)
        return int(values.reshape(-1)[0]) if values.size else 0

    def _read_data_sources(self) -> tuple[frozenset[str], frozenset[str], dict[str, str]]:
        """Return control, instrument and legacy sources, as EXtra-data does, but asking less of HDF5."""
        name = TEXT[0] if self.format_version == "0.5" else TEXT[1]
        said = [s.decode() for s in self.files.dataset(self.filename, name)[:]]
        ids = [s.partition("/")[::2] for s in said if s]
        if odd := {category for category, _ in ids} - CATEGORIES:
            raise ValueError(f"{name} has the category {sorted(odd)[0]!r}")
        instrument = {_of_channel(rest) for category, rest in ids if category == "INSTRUMENT"}
        legacy = {source: of for source in instrument if (of := self._stands_for(source))}
        return (
            frozenset(rest for category, rest in ids if category == "CONTROL"),
            frozenset(instrument),
            legacy,
        )

    def _stands_for(self, source: str) -> str:
        """Return the source that an old name of it leads to, "" for another."""
        import h5py

        links, path = self.file.id.links, f"INSTRUMENT/{source}".encode()
        try:
            soft = links.get_info(path).type == h5py.h5l.TYPE_SOFT
        except RuntimeError:
            return ""
        return links.get_val(path).decode()[1:].partition("/")[2] if soft else ""

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
            return self.has_dataset(f"/{section}/{source}/{key.replace('.', '/')}")
        except ReadFault:
            return False

    def close(self) -> None:
        """Do nothing: `files` closes it."""
