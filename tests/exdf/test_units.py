"""Units are taken apart as Karabo writes them."""

import pytest

from dxflow.exdf.units import attributes, described


@pytest.mark.parametrize(
    ("unit", "prefix", "symbol", "name"),
    [
        ("uJ", "u", "J", "joule"),
        ("μJ", "u", "J", "joule"),
        ("keV", "k", "eV", "electronvolt"),
        ("mm", "m", "m", "meter"),
        ("m", "", "m", "meter"),
        ("photon", "", "photon", "photon"),
        ("1/nm", "", "1/nm", "1/nm"),
        ("adu", "", "adu", "adu"),
    ],
)
def test_a_unit_is_prefix_and_symbol_if_both_are_known(unit, prefix, symbol, name):
    made = attributes(unit)
    assert (made["metricPrefixSymbol"], made["unitSymbol"], made["unitName"]) == (prefix, symbol, name)


def test_without_a_unit_there_are_no_attributes():
    assert described() == {}
    assert described(doc="what it is", alias="x") == {"description": "what it is", "alias": "x"}
