"""TIFF: an image per averaged frame for quick looks, beside the Zarr arrays that hold the exact values."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..shards.sharding import module_axis
from .zarr import Zarr

if TYPE_CHECKING:
    from ...planning.public import Plan
    from ..contents import Contents
    from ..variables import Variable

SUFFIXES = (".tiff", ".tif")
FOLDER = "images"
MOST_BYTES = 2**32 - 2**20
"""Of a TIFF file, whose offsets have 32 bits."""


class Tiff(Zarr):
    """A directory ``name.tiff`` that is a Zarr store, with ``images/<output>.tif`` for each output per pixel.

    An image has the modules one above the other, in float32, or as it is where integers have at most 32 bits. Outputs
    with further axes (memory cells, for example) are files of several pages, in the order of these axes.
    """

    def commit(self, contents: Contents, manifest: dict[str, Any]) -> None:
        """Write the images, then complete the store."""
        import zarr

        group: Any = zarr.open_group(self._root, mode="r", use_consolidated=False)
        (self._root / FOLDER).mkdir(exist_ok=True)
        for variable in _shown(contents.variables.values()):
            with open(self._root / FOLDER / f"{variable.name}.tif", "wb") as file:
                pages = list(np.ndindex(variable.shape[: module_axis(variable)]))
                write(file, (_page(group[variable.name][at]) for at in pages))
        super().commit(contents, manifest)

    def file_count(self, plan: Plan) -> int:
        """Those of the store and the images."""
        from ..store import variables

        return super().file_count(plan) + len(list(_shown(variables(plan))))


STORE = Tiff


def _shown(variables: Any) -> Iterator[Variable]:
    """Yield what is an image, or a stack of images that fits a file."""
    for v in variables:
        pixels = v.axis == "part" and module_axis(v) >= 0 and len(v.shape) - module_axis(v) == 3
        if pixels and v.dtype.kind in "biuf" and v.nbytes <= MOST_BYTES:
            yield v


def _page(values: NDArray) -> NDArray:
    """Return modules (module, ss, fs) one above the other, in a type that viewers know."""
    image = values.reshape(-1, values.shape[-1])
    if image.dtype.kind == "f" or image.dtype.itemsize > 4:
        return image.astype("<f4")
    return image.astype("u1") if image.dtype.kind == "b" else image.astype(image.dtype.newbyteorder("<"))


def write(file: BinaryIO, pages: Iterator[NDArray]) -> None:
    """Write a TIFF file of one grey page after the other, uncompressed.

    Parameters
    ----------
    file : binary file
    pages : iterable of ndarray, (row, column)
        Of little-endian numbers.

    References
    ----------
    .. TIFF 6.0, Adobe 1992.
    """
    file.write(struct.pack("<2sHI", b"II", 42, 0))
    link = 4
    for page in pages:
        data = file.tell()
        file.write(np.ascontiguousarray(page).data)
        here = file.tell() + file.tell() % 2
        entries = _entries(page, data)
        file.seek(here)
        file.write(struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *e) for e in entries))
        file.write(struct.pack("<I", 0))
        end = file.tell()
        # The directory before this one, or the header, says where this one is.
        file.seek(link)
        file.write(struct.pack("<I", here))
        file.seek(end)
        link = end - 4


def _entries(page: NDArray, data: int) -> list[tuple[int, int, int, int]]:
    """Return the directory of a page: tag, type (3: 16 bits, 4: 32 bits), count, value."""
    rows, columns = page.shape
    kind = {"u": 1, "i": 2, "f": 3}[page.dtype.kind]
    return [
        (256, 4, 1, columns),
        (257, 4, 1, rows),
        (258, 3, 1, 8 * page.dtype.itemsize),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, data),
        (277, 3, 1, 1),
        (278, 4, 1, rows),
        (279, 4, 1, page.nbytes),
        (339, 3, 1, kind),
    ]
