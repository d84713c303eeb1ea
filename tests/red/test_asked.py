"""The file that says what remains: what it means, and mistakes that are named with their line."""

from datetime import date

import pytest

from dxflow.errors.usage import UsageError
from dxflow.red import template
from dxflow.red.asked import KEEP, asked
from dxflow.red.facts import PLACEHOLDERS

TODAY = date(2026, 11, 22)


@pytest.fixture
def file(proposal):
    """The file of a proposal whose runs nobody reads."""
    return proposal(0, ["{run: '900123:34', keep: raw}", "{run: r0035, keep: nothing, why: dark}"]).file


def test_a_file_says_people_access_and_what_remains(file):
    made = asked(file, TODAY)
    (jane,) = made.facts.creators
    assert (jane.name, jane.orcid) == ("Doe, Jane", "https://orcid.org/0000-0002-1825-0097")
    assert (made.facts.publisher, made.facts.facility) == ("European XFEL", "European XFEL")
    assert [one.code for one in made.facts.techniques] == ["PaNET01188"]
    assert [(one.run, one.keep, one.why) for one in made.entries] == [
        ("900123:34", "raw", ""),
        ("r0035", "nothing", "dark"),
    ]
    assert made.facts.available == date(2999, 11, 22)
    assert "until 2999-11-22" in made.facts.access


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("title:", "titel:", r"line 2, titel: there is no such key\. Did you mean 'title'"),
        ('title: "Water"', "title:", "'title' is missing"),
        ("orcid: 0000-0002-1825-0097", "orcid: 0000-0002-1825-0079", "line 5, creators.0.orcid: .*would be"),
        ("orcid:", "orchid:", r"line 5, creators.0.orchid: there is no such key\. Did you mean 'orcid'"),
        ("01js2sh04", "01js2sh05", "creators.0.ror: .*would be 04"),
        ("CC-BY-4.0", "mine", "line 7, license: 'mine' is no licence"),
        ("[SAXS]", "[SAXS, saks]", "techniques.1: 'saks' is no technique"),
        ("[SAXS]", "[]", "techniques: expected at least one"),
        ("[water]", "[{nme: x}]", "samples.0.nme"),
        ("embargo: 2999-11-22", "embargo: 2020-01-01", r"line 11, embargo: .* not in the future .*'open: 2020-01-01'"),
        ("embargo: 2999-11-22", "embargo: 2026-11-22", "is not in the future"),
        ("embargo: 2999-11-22", "open: 2999-11-22", "'embargo: 2999-11-22' instead"),
        ("embargo: 2999-11-22", "embargo: soon", "line 11, embargo: 'soon' is no date"),
        ("embargo: 2999-11-22", "embargo: 2999-02-30", "is no date"),
        ("embargo: 2999-11-22", "version: 1", "expected one of 'embargo'"),
        ("embargo: 2999-11-22", "embargo: 2999-11-22\nopen: 2020-01-01", "expected one of 'embargo'"),
        ("keep: raw", "kep: raw", "'keep' is missing"),
        ("keep: raw", "keep: row", "line 13, runs.0.keep: 'row': Did you mean 'raw'"),
        ("keep: raw", "keep: raw, frames: lit", "runs.0.frames: 'keep: raw' copies the run as it is"),
        ("keep: raw", "keep: frames", "'keep: frames' needs frames or trains"),
        ("keep: raw", "keep: regions, codec: deflate", "needs region or modules"),
        ("keep: raw", "keep: processed", "needs results"),
        ("keep: raw", "keep: processed, results: [a], codec: deflate", "copies nothing of it"),
        ("keep: raw", "keep: nothing", "needs why"),
        ("keep: raw", "keep: nothing, why: x, results: [a]", "has no results"),
        ("keep: raw", "keep: raw, results: [1]", "expected paths"),
        ("publisher: European XFEL", "publisher: true", "expected a text, not True"),
        ('"Water"', '"Water\\0"', "has characters that no text has"),
    ],
)  # fmt: skip
def test_mistakes_are_named_with_line_and_near_names(file, old, new, said):
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    with pytest.raises(UsageError, match=said):
        asked(file, TODAY)


def test_open_data_say_since_when(file):
    file.write_text(file.read_text().replace("embargo: 2999-11-22", "open: 2026-11-22"))
    made = asked(file, TODAY).facts
    assert (made.embargo, made.available, made.access) == (None, TODAY, "Open since 2026-11-22.")


def filled(text):
    """Fill in a template, but for its runs."""
    for word in PLACEHOLDERS:
        text = (
            text.replace(f'"{word}"', "x")
            .replace("TECHNIQUE", "SAXS")
            .replace("YEAR-MONTH-DAY", "2029-01-01")
        )
    return text


def test_a_template_is_never_taken_as_it_is_and_right_once_it_is_filled(tmp_path):
    made = template.write(tmp_path / "new.yaml", ["raw/r0001", 'r"2'])
    with pytest.raises(UsageError, match="embargo: 'YEAR-MONTH-DAY' is what 'dxflow red new' wrote"):
        asked(made, TODAY)
    made.write_text(filled(made.read_text()))
    assert [one.run for one in asked(made, TODAY).entries] == ["raw/r0001", 'r"2']
    assert all(f"#   {name}:" in made.read_text() for name in KEEP)
    with pytest.raises(UsageError, match="exists"):
        template.write(made)
    with pytest.raises(UsageError, match="such as red.yaml"):
        template.write(tmp_path / "new.txt")
    example = template.write(tmp_path / "example.yaml")
    example.write_text(filled(example.read_text()).replace("  # - {run", "  - {run"))
    assert {one.keep for one in asked(example, TODAY).entries} == {
        "raw",
        "frames",
        "regions",
        "processed",
        "nothing",
    }
