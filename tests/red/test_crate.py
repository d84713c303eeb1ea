"""What a volume says of itself to programs: read by rocrate, held against RO-Crate's context and DataCite's schema."""

import hashlib
import json
from datetime import date
from importlib.resources import files

import pytest
from rocrate.rocrate import ROCrate

from dxflow.red import checking
from dxflow.red.asked import asked
from dxflow.red.citing import datacite
from dxflow.red.crate import crate

RICH = """\
title: "Water | \\"quoted\\" </script>"
description: "Line 1\\nLine 2: ü"
creators:
  - {name: "Doe, Jane", orcid: 0000-0002-1825-0097, affiliation: DESY, ror: https://ror.org/01js2sh04}
  - John Roe
publisher: {name: European XFEL, ror: 05etxs293}
license: CC0-1.0
instrument: {name: SPB/SFX, facility: European XFEL, pid: 10.1000/instrument}
samples: [{name: water, identifier: "IGSN:1", description: clean}, ice]
techniques: [SAXS, WAXS, TR-SFX]
open: 2026-11-01
doi: 10.22003/XFEL.EU-DATA-900123-00
raw_doi: 10.22003/XFEL.EU-DATA-900123-01
publications: [10.1000/paper]
keywords: [water, ice]
collected: 2026-10-01/2026-10-05
proposal: 900123
version: 2
"""
FILE = {"size": 7, "sha256": "0" * 64, "how": "cut", "reductions": ["FRAME_REDUCTION/x"], "inputs": []}
RUN = {
    "name": "r 1",
    "run": "raw/r 1",
    "keep": "frames",
    "why": "",
    "options": {"frames": "lit", "modules": [0, 1]},
    "source": [{"path": "/raw/r 1/a.h5", "size": 10, "changed": 0}],
    "began": "2026-11-22T10:00:00+0000",
    "ended": "2026-11-22T10:00:01+0000",
    "files": {"runs/r 1/a#ü.h5": FILE, "results/r 1/x.zarr/c/0": FILE, "results/r 1/x.zarr/z": FILE},
}
GONE = {**RUN, "name": "r2", "keep": "nothing", "why": "dark", "files": {}, "options": {}}
OWN = {n: {"size": 1, "sha256": "1" * 64} for n in ("README.md", "datacite.json", "red.json", "red.yaml")}


@pytest.fixture
def facts(proposal):
    return asked(proposal(0, ["{run: a, keep: raw}"], facts=RICH).file, date(2026, 11, 22)).facts


@pytest.fixture
def made(facts):
    return crate(facts, date(2026, 11, 22), [RUN, GONE], OWN, {"dxflow": "0.1"})


def test_the_context_is_that_of_ro_crate_byte_by_byte():
    raw = files("dxflow.red").joinpath(checking.SHIPPED).read_bytes()
    # As of the file in the wheel of rocrate 0.13.0.
    assert (
        hashlib.sha256(raw).hexdigest() == "bb5dd0a79ebd5a3b074e2faf96f437503234f8a4b8e84c7149de91eae0d2222a"
    )
    assert json.loads(raw)["@id"] == "https://w3id.org/ro/crate/1.1/context"


@pytest.mark.filterwarnings("error")
def test_rocrate_reads_all_that_was_said(made, tmp_path):
    for name in ("runs/r 1/a#ü.h5", "results/r 1/x.zarr/c/0", *OWN, "manifest-sha256.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "ro-crate-metadata.json").write_text(json.dumps(made))
    assert checking.of_crate(made, tmp_path) == []
    assert checking.reread(tmp_path) == []
    read = ROCrate(str(tmp_path))
    root = read.root_dataset
    assert root["name"] == 'Water | "quoted" </script>'
    assert [one["termCode"] for one in root["about"]] == ["PaNET01188", "PaNET01191", "PaNET01309"]
    assert root["license"].id == "https://creativecommons.org/publicdomain/zero/1.0/"
    assert root["datePublished"] == "2026-11-01"
    jane, john = root["creator"]
    assert (jane.id, jane["affiliation"].id) == (
        "https://orcid.org/0000-0002-1825-0097",
        "https://ror.org/01js2sh04",
    )
    assert "affiliation" not in john.properties()
    action = read.get("#reduction-r%201")
    assert action["instrument"]["softwareVersion"] == "0.1"
    assert action["result"][0].id == "runs/r%201/"
    assert action["object"][0]["description"].startswith("10 B in 1 file,")
    (file,) = read.get("runs/r%201/")["hasPart"]
    assert (file["sha256"], file["contentSize"]) == ("0" * 64, "7")
    assert "FRAME_REDUCTION/x" in file["description"]
    measured = read.get("#measurement")
    assert [one["name"] for one in measured["object"]] == ["water", "ice"]
    assert measured["instrument"].id == "https://doi.org/10.1000/instrument"
    assert "dark" in read.get("#source-r2")["description"]


def entity(made, name):
    return next(one for one in made["@graph"] if one["@id"] == name)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: entity(m, "./").update(colour="red"), "'colour' is no term of its context"),
        (lambda m: entity(m, "#dxflow").update({"@type": "Programme"}), "'Programme' is no term"),
        (lambda m: m.update({"@context": "https://w3id.org/ro/crate/1.1/context"}), "'sha256' is no term"),
        (
            lambda m: m.update({"@context": ["https://schema.org", {}]}),
            "expected https://w3id.org/ro/crate/1.1",
        ),
        (lambda m: entity(m, "./").pop("conditionsOfAccess"), "./: conditionsOfAccess is missing"),
        (lambda m: entity(m, "runs/r%201/a%23%C3%BC.h5").pop("sha256"), "sha256 is missing"),
        (lambda m: entity(m, "./")["hasPart"].clear(), "no hasPart leads to it"),
        (
            lambda m: entity(m, "#measurement").update(instrument={"@id": "#none"}),
            "names #none, which is not there",
        ),
        (lambda m: entity(m, "#measurement").update(instrument={"name": "x"}), "is not flat"),
        (lambda m: m["@graph"].append(m["@graph"][2]), "is there twice"),
        (lambda m: entity(m, "#dxflow").pop("@type"), "has no @type"),
        (
            lambda m: entity(m, "http://purl.org/pan-science/PaNET/PaNET01188").update(
                {"@id": "http://x.org/1"}
            ),
            "is no technique",
        ),
        (lambda m: m.pop("@graph"), "is no RO-Crate"),
        (lambda m: m["@graph"].append("x"), "is no RO-Crate"),
    ],
)
def test_what_is_missing_or_unknown_in_a_crate_is_named(made, change, said):
    assert checking.of_crate(made) == []
    change(made)
    assert any(said in problem for problem in checking.of_crate(made)), checking.of_crate(made)


def test_datacite_takes_all_of_it_and_the_year_is_that_of_access(facts):
    made = datacite(facts, date(2026, 11, 22), [RUN, GONE], 14, 2)
    assert checking.of_datacite(made) == []
    assert made["publicationYear"] == "2026"
    assert made["subjects"][0]["valueUri"] == "http://purl.org/pan-science/PaNET/PaNET01188"
    assert {one["relationType"] for one in made["relatedIdentifiers"]} == {
        "IsSupplementTo",
        "IsDerivedFrom",
        "IsCollectedBy",
    }
    assert {"date": "2026-10-01/2026-10-05", "dateType": "Collected"} in made["dates"]
    assert (made["creators"][0]["familyName"], made["creators"][0]["givenName"]) == ("Doe", "Jane")
    assert "familyName" not in made["creators"][1]
    made["creators"][0]["nameType"] = "Robot"
    assert any("creators.0" in problem for problem in checking.of_datacite(made))


def test_under_embargo_the_year_is_that_of_its_end(proposal):
    facts = asked(proposal(0, ["{run: a, keep: raw}"]).file, date(2026, 11, 22)).facts
    made = datacite(facts, date(2026, 11, 22), [], 0, 0)
    assert (made["publicationYear"], checking.of_datacite(made)) == ("2999", [])
    said = crate(facts, date(2026, 11, 22), [], {}, {})["@graph"][1]
    assert (said["datePublished"], said["dateCreated"]) == ("2999-11-22", "2026-11-22")
