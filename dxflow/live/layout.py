"""Layout: the keys that feedback has in Redis, and how values are written there: JSON texts and .npy bytes."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import numpy as np
from numpy.typing import NDArray

from ..errors.redact import hidden_in

PREFIX = "dxflow"
FORMAT = "dxflow feedback 1"
VALUE = "data:"
"""What the fields with values begin with, before the name of a variable."""
PROVISIONAL = "provisional"
"""Attribute of variables that later trains may change."""
OFFSETS = "offset"
"""Kind of what is worked out of rows: where those of each train begin."""


@dataclass(frozen=True)
class Keys:
    """The keys of a run's feedback, by its name; what is special in a key is written as in addresses of pages."""

    name: str

    @property
    def base(self) -> str:
        """What all of them begin with."""
        return f"{PREFIX}:{quote(self.name, safe='')}"

    @property
    def owner(self) -> str:
        """Who writes it: a text, which ends when its process does."""
        return f"{self.base}:owner"

    @property
    def about(self) -> str:
        """What runs: JSON."""
        return f"{self.base}:about"

    @property
    def status(self) -> str:
        """How it goes, about once a second: JSON."""
        return f"{self.base}:status"

    @property
    def snapshot(self) -> str:
        """What there is: JSON with all variables."""
        return f"{self.base}:snapshot"

    @property
    def totals(self) -> str:
        """Values of the run: a hash."""
        return f"{self.base}:totals"

    @property
    def provisional(self) -> str:
        """Values of rows that later trains may change: a hash."""
        return f"{self.base}:provisional"

    def rows(self, axis: str) -> str:
        """Return the key of the stream with the rows along an axis."""
        return f"{self.base}:rows:{quote(axis, safe='')}"

    def of_rows(self, key: Any) -> bool:
        """Return whether a key is one of a stream of rows."""
        return isinstance(key, str) and key.startswith(f"{self.base}:rows:")

    @property
    def plain(self) -> tuple[str, ...]:
        """All but streams."""
        return self.about, self.status, self.snapshot, self.totals, self.provisional


def packed(values: NDArray) -> bytes:
    """Return an array as the bytes of a .npy file."""
    file = io.BytesIO()
    np.lib.format.write_array(
        file, np.ascontiguousarray(values).reshape(np.shape(values)), allow_pickle=False
    )
    return file.getvalue()


def unpacked(data: bytes) -> NDArray:
    """Return the array of the bytes of a .npy file; nothing in it is run.

    Raises
    ------
    ValueError
        If it is none, or says that it has more than there is.
    """
    file = io.BytesIO(data)
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    # Memory for it would be taken before its values are looked at.
    size = math.prod(shape) * dtype.itemsize
    if not dtype.hasobject and (size != len(data) - file.tell() or min(shape, default=0) < 0):
        raise ValueError(f"an array of {dtype}, shape {shape}, in {len(data)} bytes")
    return np.lib.format.read_array(io.BytesIO(data), allow_pickle=False)


def dumped(what: Mapping[str, Any]) -> str:
    """Return JSON, as any program reads it: without NaN, and without secrets."""
    return json.dumps(hidden_in(plain(what)), allow_nan=False)


def plain(value: Any) -> Any:
    """Return what JSON has of a value: numbers that are none as null, anything else as its text."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, (list, tuple, set)):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, type(None))) else str(value)
