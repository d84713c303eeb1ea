"""Checks of what a volume says of itself: the crate by its context and required terms, DataCite by its schema."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from .crate import CONTEXT, VERSION
from .folder import CRATE, SUMS
from .panet import BASE, known

SHIPPED = "ro-crate-1.1.jsonld"
"""The context of RO-Crate 1.1 (CC0), byte by byte as in the package rocrate 0.13.0: rocrate/data/ro-crate.jsonld."""
SCHEMA = "schemas/datacite-v4.5.json"
"""In the package `datacite`."""
REQUIRED: Mapping[str, tuple[str, ...]] = {
    "root": (
        *("name", "description", "datePublished", "dateCreated", "conditionsOfAccess", "license", "creator"),
        *("publisher", "about", "mentions", "hasPart"),
    ),
    "File": ("name", "encodingFormat", "contentSize", "sha256"),
    "Dataset": ("name", "description"),
    "Person": ("name",),
    "Organization": ("name",),
    "DefinedTerm": ("name", "termCode", "inDefinedTermSet"),
    "SoftwareApplication": ("name", "softwareVersion"),
    "CreateAction": ("name", "instrument", "object", "result"),
    "CreativeWork": ("name",),
    "PropertyValue": ("name", "value"),
}
"""What each kind of entity must say."""
_KEYWORDS = ("@id", "@type")


@cache
def terms() -> Mapping[str, str]:
    """Return the terms of RO-Crate 1.1, with what they stand for."""
    return json.loads(files(__package__).joinpath(SHIPPED).read_text(encoding="utf-8"))["@context"]


def of_crate(crate: Any, folder: Path | None = None) -> list[str]:
    """Return what is wrong with a crate, one line each.

    Parameters
    ----------
    folder : path, optional
        Where the files must be that it lists.
    """
    try:
        graph = {one["@id"]: one for one in crate["@graph"]}
        if len(graph) < len(crate["@graph"]):
            return [f"{CRATE}: an @id is there twice"]
        extra = crate["@context"][1] if isinstance(crate["@context"], list) else {}
        return [f"{CRATE}: {line}" for line in _problems(crate, graph, extra, folder)]
    except (KeyError, TypeError, IndexError, AttributeError, ValueError) as e:
        return [f"{CRATE}: is no RO-Crate: {type(e).__name__}: {e}"]


def _problems(
    crate: Any, graph: Mapping[str, Any], extra: Mapping[str, str], folder: Path | None
) -> Iterator[str]:
    contexts = crate["@context"] if isinstance(crate["@context"], list) else [crate["@context"]]
    if contexts[0] != CONTEXT:
        yield f"@context: expected {CONTEXT} first, found {contexts[0]!r}"
    descriptor, root = graph.get(CRATE, {}), graph.get("./", {})
    if descriptor.get("conformsTo") != {"@id": VERSION} or descriptor.get("about") != {"@id": "./"}:
        yield f"{CRATE}: does not say that it is about ./ and conforms to {VERSION}"
    if "Dataset" not in _list(root.get("@type")):
        yield "./: there is no root of type Dataset"
    yield from (f"./: {key} is missing" for key in REQUIRED["root"] if not root.get(key))
    words = {*terms(), *extra, *_KEYWORDS}
    for name, one in graph.items():
        yield from _of_entity(name, one, graph, words)
    reached = _reached("./", graph)
    for name, one in graph.items():
        data = _local_data(name, one)
        if data and name not in reached:
            yield f"{name}: no hasPart leads to it"
        if data and folder is not None and not (folder / unquote(name)).exists():
            yield f"{name}: is not there"


def _of_entity(name: str, one: Mapping[str, Any], graph: Mapping[str, Any], words: set[str]) -> Iterator[str]:
    """Yield what is wrong with an entity."""
    kinds = _list(one.get("@type"))
    if not kinds:
        yield f"{name}: has no @type"
    yield from (f"{name}: {key!r} is no term of its context" for key in [*one, *kinds] if key not in words)
    if name in (CRATE, "./"):
        kinds = []
    for kind in kinds:
        needs = [] if name == SUMS else REQUIRED.get(kind, ())
        yield from (f"{name}: {key} is missing" for key in needs if one.get(key) in (None, "", []))
    if "DefinedTerm" in kinds and known().get(name.removeprefix(BASE)) is None:
        yield f"{name}: is no technique of our table of PaNET"
    for key, value in one.items():
        for other in _list(value):
            if isinstance(other, Mapping):
                target = other.get("@id", "")
                if set(other) != {"@id"}:
                    yield f"{name}: {key} is not flat: expected {{'@id': ...}} alone"
                elif target not in graph and not urlsplit(target).scheme:
                    yield f"{name}: {key} names {target}, which is not there"


def _local_data(name: str, one: Mapping[str, Any]) -> bool:
    """Return whether an entity is a file or folder of the volume."""
    local = not urlsplit(name).scheme and not name.startswith("#") and name not in ("./", CRATE)
    return local and bool({"File", "Dataset"} & set(_list(one.get("@type"))))


def _reached(name: str, graph: Mapping[str, Any]) -> set[str]:
    """Return what hasPart leads to."""
    found: set[str] = set()
    new = [name]
    while new:
        for part in _list(graph.get(new.pop(), {}).get("hasPart")):
            if part["@id"] not in found:
                found.add(part["@id"])
                new.append(part["@id"])
    return found


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]


def of_datacite(made: Any) -> list[str]:
    """Return what is wrong with the metadata for DataCite, by its schema; what is not installed is not asked.

    Raises
    ------
    ModuleNotFoundError
        If the packages `datacite` and `jsonschema` are not there.
    """
    from jsonschema.validators import validator_for

    schema = json.loads(files("datacite").joinpath(SCHEMA).read_text(encoding="utf-8"))
    found = validator_for(schema)(schema).iter_errors(made)
    return [f"datacite.json: {'.'.join(map(str, e.absolute_path)) or 'it'}: {e.message}" for e in found]


def reread(folder: Path) -> list[str]:
    """Return what the package `rocrate` finds wrong with the crate of a folder.

    Raises
    ------
    ModuleNotFoundError
        If it is not there.
    """
    from rocrate.rocrate import ROCrate

    try:
        read = ROCrate(str(folder))
        listed = {one.id for one in read.data_entities}
        there = json.loads((folder / CRATE).read_bytes())["@graph"]
    except (OSError, ValueError, KeyError, TypeError) as e:
        return [f"{CRATE}: rocrate cannot read it: {e}"]
    expected = {one["@id"] for one in there if _local_data(one["@id"], one)}
    lacking = sorted(expected - listed)
    return [f"{CRATE}: rocrate does not find {os.fsdecode(name)}" for name in lacking]
