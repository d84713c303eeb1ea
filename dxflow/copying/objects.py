"""Groups, links, attributes and empty datasets made like those of another HDF5 file."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np
from h5py import h5a, h5d, h5f, h5g, h5p, h5s

LOWEST = {0: h5f.LIBVER_EARLIEST, 1: h5f.LIBVER_EARLIEST, 2: h5f.LIBVER_V18}
"""Oldest version of the format by that of the superblock; V110 for later ones."""


def file_like(path: str | Path, original: h5py.File) -> h5py.File:
    """Make an empty file of the same version and with the same properties; it must not exist."""
    creation = original.id.get_create_plist()
    lowest = LOWEST.get(creation.get_version()[0], h5f.LIBVER_V110)
    # A user block belongs to the program that made it; nothing of EXDF is in there.
    creation.set_userblock(0)
    access = h5p.create(h5p.FILE_ACCESS)
    access.set_libver_bounds(lowest, h5f.LIBVER_LATEST)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    # Nobody else knows of it, and some file systems have no locks.
    access.set_file_locking(False, True)
    file = h5py.File(h5f.create(os.fsencode(path), h5f.ACC_EXCL, fcpl=creation, fapl=access))
    attributes_like(file["/"].id, original["/"].id)
    return file


def group_like(parent: h5py.Group, name: str, original: h5py.Group) -> h5py.Group:
    """Make a group with the same properties and attributes."""
    theirs, creation = original.id.get_create_plist(), h5p.create(h5p.GROUP_CREATE)
    # With all of their properties, HDF5 2.0 makes groups that it cannot open any more.
    creation.set_link_creation_order(theirs.get_link_creation_order())
    creation.set_attr_creation_order(theirs.get_attr_creation_order())
    made = h5g.create(parent.id, name.encode(), gcpl=creation)
    attributes_like(made, original.id)
    return h5py.Group(made)


def dataset_like(
    parent: h5py.Group, name: str, original: h5py.Dataset, rows: int, creation: h5p.PropDCID | None = None
) -> h5py.Dataset:
    """Make an empty dataset of another length with the same type, attributes and, unless given, properties."""
    shape = (rows, *original.shape[1:])
    creation = creation or original.id.get_create_plist()
    if creation.get_external_count():
        raise Damaged(f"{original.name}: what is written here would go into the other file its data lie in")
    if creation.get_layout() == h5d.VIRTUAL:
        creation = _stored(original)
    longest = (
        shape if creation.get_layout() != h5d.CHUNKED else _limits(original, rows, creation.get_chunk()[0])
    )
    space = h5s.create_simple(shape, longest)
    made = h5d.create(parent.id, name.encode(), original.id.get_type(), space, dcpl=creation)
    attributes_like(made, original.id)
    return h5py.Dataset(made)


def again(original: h5py.Dataset, parent: h5py.Group, name: str) -> None:
    """Make a dataset of strings or lists like another by reading and writing its values.

    Raises
    ------
    Damaged
        If it holds references into its file, which would be wrong in another one.
    """
    refuse_references(original)
    creation = original.id.get_create_plist()
    made = h5d.create(
        parent.id, name.encode(), original.id.get_type(), original.id.get_space(), dcpl=creation
    )
    attributes_like(made, original.id)
    if original.shape is not None and creation.get_layout() != h5d.VIRTUAL:
        h5py.Dataset(made)[()] = original[()]


def refuse_references(dataset: h5py.Dataset) -> None:
    """Raise if values refer to places in their file, which would be wrong in another one."""
    if h5py.check_ref_dtype(dataset.dtype) is not None:
        raise Damaged(
            f"{dataset.name}: holds references into its file, which cannot be kept when the file is cut"
        )


class Damaged(OSError):
    """Something that cannot be copied; the message names the dataset."""


def _limits(original: h5py.Dataset, rows: int, chunk: int) -> tuple[int, ...]:
    """Return the shape up to which a dataset may grow, as the original or where that has no room left, not at all."""
    first, *others = (h5s.UNLIMITED if n is None else n for n in original.maxshape)
    first = rows if first == len(original) else first
    # HDF5 refuses chunks that are longer than the dataset can ever be.
    return (h5s.UNLIMITED if 0 <= first < chunk else first, *others)


def _stored(virtual: h5py.Dataset) -> h5p.PropDCID:
    """Return the properties for the values of a virtual dataset: chunks of one row."""
    creation = h5p.create(h5p.DATASET_CREATE)
    creation.set_chunk((1, *(max(1, n) for n in virtual.shape[1:])))
    return creation


def attributes_like(made: h5py.h5.ObjectID, original: h5py.h5.ObjectID) -> None:
    """Copy all attributes with their types."""
    for number in range(h5a.get_num_attrs(original)):
        there = h5a.open(original, index=number)
        space = there.get_space()
        here = h5a.create(made, there.name, there.get_type(), space)
        if space.get_simple_extent_type() != h5s.NULL:
            values = np.empty(there.shape, there.dtype)
            there.read(values)
            here.write(values)


def link_like(parent: h5py.Group, name: str, link: object) -> None:
    """Make a soft or external link as it was, whatever it points to."""
    if isinstance(link, h5py.SoftLink):
        parent.id.links.create_soft(name.encode(), link.path.encode())
    elif isinstance(link, h5py.ExternalLink):
        parent.id.links.create_external(name.encode(), os.fsencode(link.filename), link.path.encode())
