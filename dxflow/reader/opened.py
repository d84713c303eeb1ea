"""A dataset of a file that nobody writes to while it is open: HDF5 is asked once for what it is."""

from __future__ import annotations

import h5py
import numpy as np


class Opened(h5py.Dataset):
    """An open dataset that keeps its shape and type."""

    def __init__(self, found: h5py.h5d.DatasetID) -> None:
        super().__init__(found, readonly=True)
        self.plist = found.get_create_plist()
        self.kind = self.plist.get_layout()
        self._type: np.dtype | None = None

    @property
    def dtype(self) -> np.dtype:
        """Of its values."""
        # No cached_property, whose lock would be taken before that of h5py here, and after it there.
        if self._type is None:
            self._type = np.dtype(self.id.dtype)
        return self._type
