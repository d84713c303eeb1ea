"""The volume as an RO-Crate 1.1: what each file is, of whom, by which instrument, and how it was made of which run."""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from urllib.parse import quote

from ..driver.copied import CopyReport
from ..sizes import count, show
from .asked import KEEP, NOTHING
from .facts import Facts, Person
from .folder import CRATE, OWN, RESULTS, RUNS, SUMS
from .panet import ONTOLOGY, Technique
from .words import read_by

VERSION = "https://w3id.org/ro/crate/1.1"
CONTEXT = f"{VERSION}/context"
MORE = {"sha256": "http://schema.org/sha256"}
"""Terms of schema.org that the context of RO-Crate 1.1 is too old for."""
SOFTWARE = "#dxflow"
READ = "files of EuXFEL's format, which EXtra-data opens"
TYPES = {".h5": "application/x-hdf5", ".nxs": "application/x-hdf5", ".cxi": "application/x-hdf5"}
TYPES |= {".md": "text/markdown", ".yaml": "application/yaml", ".json": "application/json"}
TYPES |= {".nc": "application/x-netcdf"}
Entity = dict[str, Any]


def crate(
    facts: Facts,
    created: date,
    runs: Sequence[Mapping[str, Any]],
    own: Mapping[str, Mapping[str, Any]],
    versions: Mapping[str, str],
) -> dict[str, Any]:
    """Return the crate of a volume.

    Parameters
    ----------
    created : date
        When the volume was made.
    runs : sequence of mapping
        What was noted of each run.
    own : mapping
        Size and SHA-256 of the files that are about all, by name.
    versions : mapping
        Of the software.
    """
    graph: dict[str, Entity] = {}

    def add(one: Entity) -> Entity:
        graph.setdefault(one["@id"], one)
        return _ref(one["@id"])

    software = add(_software(SOFTWARE, versions))
    parts = [add(_own(name, own.get(name, {}))) for name in OWN if name != CRATE]
    mentioned: list[Entity] = []
    for one in runs:
        made, actions = _run(one, software, add)
        parts += made
        mentioned += actions
    # What is known of all runs, also of those of which nothing remains.
    mentioned += [add(_source(one)) for one in runs]
    root = _root(facts, created, add)
    root["hasPart"] = parts
    root["mentions"] = [*root["mentions"], *mentioned]
    descriptor = {
        "@id": CRATE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": VERSION},
        "about": {"@id": "./"},
    }
    return {"@context": [CONTEXT, MORE], "@graph": [descriptor, root, *graph.values()]}


def _run(one: Mapping[str, Any], software: Entity, add: Any) -> tuple[list[Entity], list[Entity]]:
    """Add what remains of a run; return its parts and the actions that made them."""
    if one["keep"] == NOTHING:
        return [], []
    made, files = _parts(one)
    for entity in [*files, *made]:
        add(entity)
    copies = [entity for entity in made if entity["@id"].startswith(f"{RUNS}/")]
    actions = [add(_action(one, copies, software, add))] if copies else []
    actions += [add(_making(one, path, origin, add)) for path, origin in one.get("origins", {}).items()]
    return [_ref(entity["@id"]) for entity in made], actions


def _software(identifier: str, versions: Mapping[str, str], unknown: str = "") -> Entity:
    return {
        "@id": identifier,
        "@type": "SoftwareApplication",
        "name": "dxflow",
        "softwareVersion": versions.get("dxflow", "") or unknown,
        "description": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def _ref(identifier: str) -> Entity:
    return {"@id": identifier}


def _path(path: str) -> str:
    """Return a path as it is written in addresses."""
    return quote(os.fsencode(path))


def _own(name: str, known: Mapping[str, Any]) -> Entity:
    made: Entity = {"@id": _path(name), "@type": "File", "name": name, "encodingFormat": _type(name)}
    made["description"] = {
        "README.md": "what this is, for people",
        "datacite.json": "what is needed for a DOI, schema 4.5 of DataCite",
        "red.json": "size, SHA-256 and origin of every file",
        "red.yaml": "what was asked for",
        SUMS: "SHA-256 of every file, for sha256sum -c",
    }[name]
    return made | _sized(known)


def _sized(known: Mapping[str, Any]) -> Entity:
    return {"contentSize": str(known["size"]), "sha256": known["sha256"]} if known else {}


def _type(name: str) -> str:
    ending = os.path.splitext(name)[1].lower()
    return TYPES.get(ending) or mimetypes.guess_type(name)[0] or "application/octet-stream"


# Runs ---------------------------------------------------------------------------------------------


def _parts(one: Mapping[str, Any]) -> tuple[list[Entity], list[Entity]]:
    """Return the folder of a run's copy and its results, and the files that are listed one by one."""
    name, made, files = one["name"], [], []
    copied = {path: known for path, known in one["files"].items() if path.startswith(f"{RUNS}/")}
    if copied:
        notes = read_by(CopyReport.from_json(one["report"])) if one.get("report") else []
        files = [_file(path, known, one) for path, known in copied.items()]
        made.append(
            {
                "@id": _path(f"{RUNS}/{name}/"),
                "@type": "Dataset",
                "name": f"run {one['run']}",
                "description": "; ".join([f"{KEEP[one['keep']]}; {READ}", *notes]),
                "hasPart": [_ref(file["@id"]) for file in files],
                "isBasedOn": _ref(_local("source", name)),
            }
        )
    of_results: dict[str, list[str]] = {}
    for path in one["files"]:
        if path.startswith(f"{RESULTS}/"):
            of_results.setdefault("/".join(path.split("/")[:3]), []).append(path)
    for result, paths in of_results.items():
        if paths == [result]:
            made.append(_file(result, one["files"][result], one))
            continue
        size = sum(one["files"][path]["size"] for path in paths)
        words = (
            f"a result of dxflow, {show(size)} in {count(len(paths), 'file')}, which {SUMS} and red.json list"
        )
        folder = {
            "@id": _path(f"{result}/"),
            "@type": "Dataset",
            "name": result.split("/")[2],
            "description": words,
        }
        made.append(folder | {"isBasedOn": _ref(_local("source", name))})
    return made, files


def _file(path: str, known: Mapping[str, Any], one: Mapping[str, Any]) -> Entity:
    made: Entity = {
        "@id": _path(path),
        "@type": "File",
        "name": path.split("/")[-1],
        "encodingFormat": _type(path),
    }
    done = known.get("reductions")
    how = f"{known['how']}{'; REDUCTION: ' + ', '.join(done) if done else ''}"
    return made | _sized(known) | {"description": f"of run {one['run']}: {how}"}


def _local(kind: str, name: str) -> str:
    return f"#{kind}-{_path(name)}"


def _source(one: Mapping[str, Any]) -> Entity:
    size, files = sum(file["size"] for file in one["source"]), len(one["source"])
    words = f"{show(size)} in {count(files, 'file')}, before the reduction"
    if one["keep"] == NOTHING:
        words = f"{words}; nothing of it remains: {one['why']}"
    return {
        "@id": _local("source", one["name"]),
        "@type": "Dataset",
        "name": f"run {one['run']}",
        "description": words,
    }


def _action(one: Mapping[str, Any], made: Sequence[Entity], software: Entity, add: Any) -> Entity:
    """Return how what remains of a run was made."""
    options = [
        add(
            {
                "@id": _local("option", f"{one['name']}-{key}"),
                "@type": "PropertyValue",
                "name": key,
                "value": value if isinstance(value, (str, int, float)) else repr(value),
            }
        )
        for key, value in {"keep": one["keep"], **one["options"]}.items()
    ]
    return {
        "@id": _local("reduction", one["name"]),
        "@type": "CreateAction",
        "name": f"Reduction of run {one['run']}",
        "description": KEEP[one["keep"]],
        "instrument": software,
        "object": [add(_source(one)), *options],
        "result": [_ref(entity["@id"]) for entity in made],
        "startTime": one["began"],
        "endTime": one["ended"],
    }


def _making(one: Mapping[str, Any], path: str, origin: Mapping[str, Any], add: Any) -> Entity:
    """Return how a result that is kept was made, as it says itself."""
    folder = path not in one["files"]
    version = origin["versions"].get("dxflow", "")
    software = _software(f"{SOFTWARE}-{_path(version)}", origin["versions"], "unknown")
    made = {
        "@id": _local("making", path),
        "@type": "CreateAction",
        "name": f"Making of {path.split('/')[-1]} of run {one['run']}",
        "instrument": add(software),
        "object": _ref(_local("source", one["name"])),
        "result": _ref(_path(f"{path}/" if folder else path)),
    }
    return made | ({"endTime": origin["created"]} if origin["created"] else {})


# What the volume says of itself ---------------------------------------------------------------------


def _root(facts: Facts, created: date, add: Any) -> Entity:
    name, address = facts.licence
    made: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "name": facts.title,
        "description": facts.description,
        # As for an embargo at DataCite: when the data are, or will be, there for all.
        "datePublished": facts.available.isoformat(),
        "dateCreated": created.isoformat(),
        "conditionsOfAccess": facts.access,
        "license": add({"@id": address, "@type": "CreativeWork", "name": name}),
        "creator": [_person(one, n, add) for n, one in enumerate(facts.creators, 1)],
        "publisher": add(_organisation(facts.publisher, facts.publisher_ror)),
        "about": [add(_technique(one, add)) for one in facts.techniques],
        "mentions": [add(_measured(facts, add))],
    }
    said = {
        "identifier": f"https://doi.org/{facts.doi}" if facts.doi else "",
        "keywords": list(facts.keywords),
        "temporalCoverage": facts.collected,
        "version": facts.version,
    }
    made |= {key: value for key, value in said.items() if value}
    if facts.raw_doi:
        # A Dataset would be taken for a part of the volume.
        raw = _work("CreativeWork", facts.raw_doi) | {"description": "the data before the reduction"}
        made["isBasedOn"] = add(raw)
    if facts.publications:
        made["citation"] = [add(_work("ScholarlyArticle", doi)) for doi in facts.publications]
    return made


def _technique(one: Technique, add: Any) -> Entity:
    terms = {
        "@id": ONTOLOGY,
        "@type": "DefinedTermSet",
        "name": "PaNET, photon and neutron experimental techniques",
    }
    return {
        "@id": one.iri,
        "@type": "DefinedTerm",
        "name": one.label,
        "termCode": one.code,
        "inDefinedTermSet": add(terms),
    }


def _work(kind: str, doi: str) -> Entity:
    return {"@id": f"https://doi.org/{doi}", "@type": kind, "name": doi}


def _person(one: Person, number: int, add: Any) -> Entity:
    made: Entity = {"@id": one.orcid or f"#creator-{number}", "@type": "Person", "name": one.name}
    if one.affiliation or one.ror:
        made["affiliation"] = add(_organisation(one.affiliation or one.ror, one.ror))
    return add(made)


def _organisation(name: str, ror: str) -> Entity:
    return {"@id": ror or _local("organisation", name), "@type": "Organization", "name": name}


def _measured(facts: Facts, add: Any) -> Entity:
    """Return the measurement, with its instrument and samples."""
    instrument: Entity = {
        "@id": facts.instrument_pid or "#instrument",
        "@type": "IndividualProduct",
        "name": facts.instrument,
        "description": f"instrument at {facts.facility}",
    }
    made: Entity = {
        "@id": "#measurement",
        "@type": "CreateAction",
        "name": f"Measurement{f', proposal {facts.proposal}' if facts.proposal else ''}",
        "instrument": add(instrument),
        "object": [add(_sample(one, n)) for n, one in enumerate(facts.samples, 1)],
        "result": _ref("./"),
    }
    first, _, last = facts.collected.partition("/")
    return made | ({"startTime": first, "endTime": last or first} if first else {})


def _sample(one: Any, number: int) -> Entity:
    made: Entity = {
        "@id": f"#sample-{number}",
        "@type": "Thing",
        "additionalType": "sample",
        "name": one.name,
    }
    made |= {"identifier": one.identifier} if one.identifier else {}
    return made | ({"description": one.description} if one.description else {})
