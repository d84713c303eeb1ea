"""Configurations: what words mean, and messages that name file, line and key."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dxflow.errors import yamls
from dxflow.errors.usage import UsageError

TEXT = """\
# what is measured
run: 900123:34
cuts:
  on: [1, 2.5, 1e-3, -0x1f]
  day: 2026-11-22
algorithms:
  - azint:
      nbins: 500
      flag: yes
"""


def test_words_mean_what_they_mean_to_people():
    made = yamls.load(TEXT, "exp.yaml")
    assert made["run"] == "900123:34"
    assert made["cuts"] == {"on": [1, 2.5, 1e-3, "-0x1f"], "day": "2026-11-22"}
    assert made["algorithms"][0]["azint"] == {"nbins": 500, "flag": "yes"}
    words = yamls.load("a: true\nb: False\nc: null\nd:\ne: .inf\nf: '1'\ng: 010\nh: 0x1f\ni: .NaN\nj: -.5e3")
    assert [*words.values()][:8] == [True, False, None, None, math.inf, "1", 10, 31]
    assert math.isnan(words["i"])
    assert words["j"] == -500
    assert yamls.load("# nothing\n") == {}


def test_what_is_wrong_is_said_with_file_line_and_key():
    made = yamls.load(TEXT, "exp.yaml")
    azint = made["algorithms"][0]["azint"]
    assert str(azint.wrong("no", "nbins")) == "exp.yaml, line 8, algorithms.0.azint.nbins: no"
    assert str(made["cuts"]["on"].wrong("no", 1)) == "exp.yaml, line 4, cuts.on.1: no"
    assert str(made.wrong("no")) == "exp.yaml, line 2: no"
    with pytest.raises(
        UsageError, match=r"line 8, algorithms.0.azint.nbins: .*Did you mean 'nbin'.*mask, nbin"
    ):
        azint.only(("nbin", "mask"))
    azint.only(("nbins", "flag", "mask"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: 1\nb: 2\na: 3", r"x.yaml, line 3, a: is there twice, first in line 1"),
        ("a:\n  b: 1\n  b: 1", r"line 3, a.b: is there twice"),
        ("a: [1, 2", r"x.yaml, line 1, column 9: .*expected ',' or '\]'"),
        ("a:\n\tb: 1", r"line 2, column 1: .*'\\t'"),
        ("- 1\n- 2", "line 1: expected keys with values"),
        ("word", "line 1: expected keys"),
        ("a: !!python/object/apply:os.system [ls]", "line 1, a: .*os.system.*expected plain"),
        ("a: !!python/name:os.system x", "line 1, a: .*expected plain"),
        ("a: !!int x", "line 1, a: .*int.*expected a number"),
        ("a: &x [*x]", "line 1, a.0: is part of itself"),
        ("? [1, 2]\n: 3", "line 1: a key is a word"),
        ("true: 1", "line 1: a key is a word"),
        ("a: 1\n---\nb: 2", "line 2.*another document"),
        ("a: \x00", "x.yaml: "),
        ("[" * 1500, "x.yaml"),
    ],
)
def test_what_is_no_configuration_is_refused_with_its_line(text, words):
    with pytest.raises(UsageError, match=words):
        yamls.load(text, "x.yaml")


def test_files_that_are_no_configuration_are_refused(tmp_path):
    with pytest.raises(UsageError, match="no such file"):
        yamls.read(tmp_path / "none.yaml")
    (tmp_path / "a").write_bytes(b"a: \xff")
    with pytest.raises(UsageError, match="UTF-8"):
        yamls.read(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"#" * (yamls.MOST + 1))
    with pytest.raises(UsageError, match="larger than"):
        yamls.read(tmp_path / "b")


plain = (
    st.none()
    | st.booleans()
    | st.integers(-(2**62), 2**62)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
    | st.sampled_from(
        ["on", "1e5", "0x1f", "1_000", "1:30", "2026-11-22", "~", "<<", "", "null", "a: b", "#"]
    )
)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text("abc_.", min_size=1, max_size=4),
        st.recursive(
            plain,
            lambda v: st.lists(v, max_size=3) | st.dictionaries(st.sampled_from("abc"), v),
            max_leaves=5,
        ),
        max_size=4,
    )
)
def test_what_is_written_is_read_as_the_same(tree):
    assert yamls.load(yamls.dump(tree)) == tree
