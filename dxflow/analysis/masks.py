"""Masks: booleans that are given as arrays, joined to the rows of a table, and kept as text with a selection."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..declare.condition import Column
from .aligned import aligned
from .rows import Rows

LARGEST = 2**15
"""Bytes of a mask that go into an attribute: HDF5 takes 64 kB."""
START = "mask:"
"""What names of masks begin with."""


@dataclass(frozen=True, eq=False)
class Mask:
    """A boolean for each row, or train, of a table, and where it is known; kept in bits.

    `of` says by a digest which rows or trains.
    """

    rate: str
    size: int
    true: bytes
    known: bytes
    of: str

    @classmethod
    def made(cls, found: Column, rate: str, rows: Rows) -> Mask:
        """Return the mask of some booleans."""
        true, known = (
            zlib.compress(np.packbits(one).tobytes()) for one in (found.values & found.there, found.there)
        )
        return cls(rate, len(found.values), true, known, rows.digests[rate])

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Mask:
        """Return the mask that `to_dict` gave.

        Raises
        ------
        ValueError
            If it is none.
        """
        try:
            true, known = (base64.b64decode(given.get(name, ""), validate=True) for name in ("true", "known"))
            return cls(str(given["rate"]), int(given["size"]), true, known, str(given["of"]))
        except (KeyError, TypeError, ValueError) as e:
            raise ValueError(f"it is no mask of a selection: {e}") from e

    def to_dict(self, largest: int | None = None) -> dict[str, Any]:
        """Return it as JSON values, without the booleans if they have more bytes than that."""
        told = {"rate": self.rate, "size": self.size, "of": self.of}
        if largest is not None and len(self.true) + len(self.known) > largest:
            return told
        true, known = (base64.b64encode(one).decode() for one in (self.true, self.known))
        return told | {"true": true, "known": known}

    @cached_property
    def name(self) -> str:
        """What it is called in texts: the same booleans of the same rows have the same name."""
        said = f"{self.rate} {self.size} {self.of}".encode() + self.true + self.known
        return START + hashlib.blake2b(said, digest_size=6).hexdigest()

    def column(self, rows: Rows) -> Column:
        """Return its booleans for the rows of a table.

        Raises
        ------
        ValueError
            If they are of other rows.
        """
        if not self.true:
            raise ValueError(
                f"a mask of {self.size} booleans is too large to be kept with a product: give it again"
            )
        if self.of != rows.digests[self.rate]:
            raise ValueError(
                f"{self.name}: {self.size} booleans for each {self.rate} of another table; give this one's own, or an "
                "array with train_id and pulse_id"
            )
        return Column(*(self._bits(one) for one in (self.true, self.known)))

    def _bits(self, packed: bytes) -> NDArray:
        bits = np.frombuffer(zlib.decompress(packed), np.uint8)
        return np.unpackbits(bits, count=self.size).astype(bool)


def given(what: Any, rows: Rows) -> Mask:
    """Return the mask of an array of booleans: as long as the rows, or trains, or with ids that it is joined by.

    Raises
    ------
    TypeError
        If they are no booleans.
    ValueError
        If they are not as many, or nothing of them belongs to a row.
    """
    dtype = np.asarray(what).dtype
    if dtype.kind != "b":
        raise TypeError(f"an array of {dtype} selects nothing; expected booleans, such as array > 0")
    column, rate = aligned("what selects", what, rows)
    if column.values.ndim != 1:
        shape = column.values.shape
        raise TypeError(f"booleans of shape {shape} select nothing; expected one for each row, or each train")
    return Mask.made(column, rate, rows)
