"""The table of techniques, and how one is found in it."""

import re
from importlib.resources import files

import pytest

from dxflow.red import panet


def test_the_table_says_where_it_is_from_and_has_each_once():
    text = files("dxflow.red").joinpath(panet.TABLE).read_text()
    head = "".join(line for line in text.splitlines() if line.startswith("#"))
    assert "https://github.com/ExPaNDS-eu/ExPaNDS-experimental-techniques-ontology" in head
    assert re.search(r"\b[0-9a-f]{40}\b", head)
    rows = [line for line in text.splitlines() if not line.startswith("#")]
    assert len(rows) == len(panet.known()) > 40
    assert all(re.fullmatch(r"PaNET\d{5}", code) for code in panet.known())
    names = [name.lower() for one in panet.known().values() for name in (one.label, *one.others)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "text", ["SAXS", "saxs", "PaNET01188", "Small angle X-ray scattering", panet.BASE + "PaNET01188"]
)
def test_a_technique_is_found_by_each_of_its_names(text):
    assert panet.technique(text).iri == "http://purl.org/pan-science/PaNET/PaNET01188"


def test_one_that_is_not_there_is_refused_with_near_names():
    with pytest.raises(ValueError, match="Did you mean 'small angle x-ray scattering'"):
        panet.technique("small angle xray scatering")
    with pytest.raises(ValueError, match="is no technique"):
        panet.technique("PaNET99999")
