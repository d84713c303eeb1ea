"""Declarations say what a dataset is, once names and sizes are known."""

import numpy as np
import pytest

from dxflow.exdf import DS, ExdfError
from dxflow.exdf.declare import declared

ALIASES = {"res": "{det}/x/y:output", "prm": "DOM/x/y"}


def made(*args, parameters=None, **options):
    return declared({"v": DS(*args, **options)}, ALIASES, parameters or {})["v"]


def test_aliases_and_parameters_are_put_in():
    one = made("@res", "data.v", ("n", 3), float, parameters={"det": "D", "n": 2})
    assert (one.source, one.key, one.shape, one.dtype) == ("D/x/y:output", "data.v", (2, 3), np.dtype(float))
    assert (one.instrument, one.group) == (True, "data")
    assert not made("@prm", "a.b").instrument


@pytest.mark.parametrize(
    ("args", "options", "error", "words"),
    [
        (("@none", "a.b"), {}, ExdfError, r"no alias '@none'; there are \['@prm', '@res'\]"),
        (("@res", "a.b"), {}, TypeError, "dataset 'v' needs the parameter 'det'"),
        (("@prm", "a.b", ("n",)), {}, TypeError, "dataset 'v' needs the parameter 'n'"),
        (("@prm", "a.b"), {"parameters": {"m": 1}}, TypeError, r"no dataset uses the parameters \['m'\]"),
        (("D/E/F:o", "a"), {}, ExdfError, "needs an index group before it"),
        (("D/E/F:o", "a.trainId"), {}, ExdfError, "train IDs are written by themselves"),
        (("D/E/F:o", "a.b"), {"run": True}, ExdfError, "belong to control sources"),
        (("@prm", "a..b"), {}, ExdfError, "words with dots between them"),
        (("@prm", "a/b"), {}, ExdfError, "words with dots between them"),
        (("@prm", "a.b", (-1,)), {}, ExdfError, "lengths cannot be negative"),
        (("@prm", "a.b", (), complex), {}, ExdfError, "values of complex128 have no place in an EXDF file"),
        (("@prm", "a.b", (), str), {}, ExdfError, "have no place in an EXDF file"),
        (("@prm", "a.b", (), object), {}, ExdfError, "values of object have no place in an EXDF file"),
    ],
)
def test_what_cannot_be_is_refused_with_a_reason(args, options, error, words):
    with pytest.raises(error, match=words):
        made(*args, **options)


def test_a_key_that_is_declared_twice_is_refused():
    with pytest.raises(ExdfError, match="'a' is the same key of the same source"):
        declared({"a": DS("D/E/F", "x"), "b": DS("@al", "x")}, {"al": "D/E/F"}, {})


def test_text_is_possible_for_the_whole_run():
    assert made("@prm", "a.b", (), str, run=True).dtype.kind == "U"


def test_attributes_are_unit_description_and_what_else_is_given():
    one = made("@prm", "a", unit="mm", doc="how far", attributes={"alias": "z"})
    assert one.attributes["unitSymbol"] == "m"
    assert one.attributes["metricPrefixName"] == "milli"
    assert (one.attributes["description"], one.attributes["alias"]) == ("how far", "z")
