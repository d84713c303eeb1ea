"""Data of a file that lie in other files: a copy must not write there, read what is not of the run, or lack them."""

from __future__ import annotations

import os
from collections.abc import Collection

import h5py
from h5py import h5d

from .objects import Damaged

LISTED = ("INDEX", "METADATA")
"""What says what is where; read of every file that is cut."""


def refuse(file: h5py.File, kept: Collection[str], *, whole: bool) -> None:
    """Raise if a file has external storage, or virtual datasets of what is no file of the run.

    Parameters
    ----------
    file : h5py.File
    kept : collection of str
        Names of the files of the run that are in the copy as they are; only these are looked for where the file
        itself is copied as it is.
    whole : bool
        Whether the file is copied as it is: then only detector and other fast data are looked at.
    """
    if not whole:
        _refuse_links(file)
    section = file.get("INSTRUMENT") if whole else file["/"]

    def look(_: str, item: h5py.HLObject) -> None:
        if isinstance(item, h5py.Dataset):
            _dataset(item, file, kept if whole else None)

    if isinstance(section, h5py.Group):
        section.visititems(look)


def _dataset(item: h5py.Dataset, file: h5py.File, kept: Collection[str] | None) -> None:
    creation = item.id.get_create_plist()
    if creation.get_external_count():
        raise Damaged(f"{item.name}: its data lie in another file, by external storage, which is refused")
    if creation.get_layout() == h5d.VIRTUAL:
        for name in sorted({source.file_name for source in item.virtual_sources()}):
            _virtual(item.name, name, file.filename, kept)


def _virtual(name: str, source: str, path: str, kept: Collection[str] | None) -> None:
    """Raise if a virtual dataset is of a file that is missing, elsewhere, or not copied as it is."""
    if source == ".":
        return
    folder = os.path.dirname(os.path.realpath(path))
    real = os.path.realpath(os.path.join(folder, source))
    if not os.path.isfile(real):
        raise Damaged(f"{name}: is a virtual dataset of {source}, which is missing")
    if os.path.dirname(real) != folder:
        raise Damaged(f"{name}: is a virtual dataset of {source}, which is no file of the run")
    if kept is not None and (os.path.isabs(source) or os.path.basename(source) not in kept):
        raise Damaged(f"{name}: is a virtual dataset of {source}, which is not in the copy as it is")


def _refuse_links(file: h5py.File) -> None:
    """Raise if the index or the lists of sources are read from another file."""
    for section in LISTED:
        found: list[str] = []
        file[section].visititems_links(
            lambda name, link, found=found: (
                found.append(name) if isinstance(link, h5py.ExternalLink) else None
            )
        )
        if found or isinstance(file.get(section, getlink=True), h5py.ExternalLink):
            raise Damaged(f"{section}: {', '.join(found) or 'all of it'} lies in another file, by a link")
