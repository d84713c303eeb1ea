"""What is needed to give a volume a DOI: its metadata in the form of DataCite, schema 4.5."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from ..sizes import count, show
from .facts import Facts, Person
from .ids import LICENCES
from .panet import ONTOLOGY

SCHEMA = "http://datacite.org/schema/kernel-4"
ROR = {"affiliationIdentifierScheme": "ROR", "schemeUri": "https://ror.org"}


def datacite(
    facts: Facts, created: date, runs: Sequence[Mapping[str, Any]], size: int, files: int
) -> dict[str, Any]:
    """Return the metadata of a volume as DataCite takes them.

    The year of publication is that in which the embargo ends, as DataCite asks for.
    """
    made: dict[str, Any] = {
        "schemaVersion": SCHEMA,
        "types": {"resourceType": "Reduced experimental data", "resourceTypeGeneral": "Dataset"},
        "creators": [_person(one) for one in facts.creators],
        "titles": [{"title": facts.title}],
        "publisher": _publisher(facts),
        "publicationYear": f"{facts.available.year:04}",
        "subjects": _subjects(facts),
        "dates": _dates(facts, created),
        "language": "en",
        "sizes": [show(size), count(files, "file")],
        "formats": ["application/x-hdf5"],
        "rightsList": [_rights(facts)],
        "descriptions": [
            {"description": facts.description, "descriptionType": "Abstract"},
            {"description": _methods(facts, runs), "descriptionType": "Methods"},
        ],
    }
    if facts.doi:
        made["doi"] = facts.doi
    if facts.version:
        made["version"] = facts.version
    if related := _related(facts):
        made["relatedIdentifiers"] = related
    return made


def _person(one: Person) -> dict[str, Any]:
    made: dict[str, Any] = {"name": one.name, "nameType": "Personal"}
    family, comma, given = one.name.partition(",")
    if comma and given.strip():
        made |= {"familyName": family.strip(), "givenName": given.strip()}
    if one.orcid:
        scheme = {"nameIdentifierScheme": "ORCID", "schemeUri": "https://orcid.org"}
        made["nameIdentifiers"] = [{"nameIdentifier": one.orcid, **scheme}]
    if one.affiliation or one.ror:
        identified = {"affiliationIdentifier": one.ror, **ROR} if one.ror else {}
        made["affiliation"] = [{"name": one.affiliation or one.ror, **identified}]
    return made


def _publisher(facts: Facts) -> dict[str, Any]:
    if not facts.publisher_ror:
        return {"name": facts.publisher}
    identified = {"publisherIdentifier": facts.publisher_ror, "publisherIdentifierScheme": "ROR"}
    return {"name": facts.publisher, **identified, "schemeUri": "https://ror.org"}


def _subjects(facts: Facts) -> list[dict[str, Any]]:
    techniques = [
        {
            "subject": one.label,
            "subjectScheme": "PaNET",
            "schemeUri": ONTOLOGY,
            "valueUri": one.iri,
            "classificationCode": one.code,
        }
        for one in facts.techniques
    ]
    plain = dict.fromkeys((*facts.keywords, *(one.name for one in facts.samples), facts.instrument))
    return [*techniques, *({"subject": word} for word in plain)]


def _dates(facts: Facts, created: date) -> list[dict[str, Any]]:
    made = [
        {"date": created.isoformat(), "dateType": "Created"},
        {"date": facts.available.isoformat(), "dateType": "Available", "dateInformation": facts.access},
    ]
    collected = [{"date": facts.collected, "dateType": "Collected"}] if facts.collected else []
    return [*made, *collected]


def _rights(facts: Facts) -> dict[str, Any]:
    name, address = facts.licence
    if name not in LICENCES:
        return {"rights": name, "rightsUri": address}
    scheme = {"rightsIdentifierScheme": "SPDX", "schemeUri": "https://spdx.org/licenses/"}
    return {"rights": name, "rightsUri": address, "rightsIdentifier": name, **scheme}


def _methods(facts: Facts, runs: Sequence[Mapping[str, Any]]) -> str:
    kinds: dict[str, int] = {}
    for one in runs:
        kinds[one["keep"]] = kinds.get(one["keep"], 0) + 1
    kept = ", ".join(f"{n} {keep}" for keep, n in sorted(kinds.items()))
    samples = ", ".join(one.name for one in facts.samples)
    return (
        f"Measured at {facts.instrument}, {facts.facility}; samples: {samples}. Reduced with dxflow: of {len(runs)} "
        f"runs remain: {kept}. What was done to each file is in red.json."
    )


def _related(facts: Facts) -> list[dict[str, Any]]:
    def of(identifier: str, kind: str, relation: str, general: str) -> dict[str, Any]:
        named = {"relatedIdentifier": identifier, "relatedIdentifierType": kind}
        return {**named, "relationType": relation, "resourceTypeGeneral": general}

    made = [of(doi, "DOI", "IsSupplementTo", "JournalArticle") for doi in facts.publications]
    if facts.raw_doi:
        made.append(of(facts.raw_doi, "DOI", "IsDerivedFrom", "Dataset"))
    if pid := facts.instrument_pid:
        doi = pid.removeprefix("https://doi.org/")
        made.append(of(doi, "URL" if doi == pid else "DOI", "IsCollectedBy", "Instrument"))
    return made
