"""Forms and check digits of identifiers, by some that are in use."""

import pytest

from dxflow.red import ids

# Those of the authors of PaNET and their institutes, as its metadata have them.
PEOPLE = [
    "0000-0003-3499-8262",
    "0000-0001-9121-8643",
    "0000-0001-5120-0764",
    "0000-0002-3957-1279",
    "0000-0002-1266-3819",
]
INSTITUTES = ["01js2sh04", "02aj13c28", "052gg0110", "05etxs293"]


@pytest.mark.parametrize("name", [*PEOPLE, "0000-0002-9079-593X"])
def test_people_are_known_by_their_check_digit(name):
    expected = f"https://orcid.org/{name}"
    assert ids.orcid(name) == ids.orcid(expected) == ids.orcid(name.replace("-", "")) == expected
    for place in (0, 6, 18):
        other = name[:place] + str((int(name[place].replace("X", "0")) + 1) % 10) + name[place + 1 :]
        with pytest.raises(ValueError, match="the last character would be"):
            ids.orcid(other)


@pytest.mark.parametrize("name", INSTITUTES)
def test_institutes_are_known_by_their_check_digits(name):
    assert ids.ror(name) == ids.ror(f"https://ror.org/{name.upper()}") == f"https://ror.org/{name}"
    exchanged = name[0] + name[2] + name[1] + name[3:]
    with pytest.raises(ValueError, match="would be"):
        ids.ror(exchanged)


@pytest.mark.parametrize(
    ("check", "text"),
    [
        *(
            (ids.orcid, t)
            for t in (
                "",
                "Jane Doe",
                "0000-0002-1825",
                "0000-0002-1825-0097-1",
                "https://x.org/0000-0002-1825-0097",
            )
        ),
        *((ids.ror, t) for t in ("", "1js2sh04", "https://ror.org/", "0uuuuuu04")),
        *((ids.doi, t) for t in ("", "10.1/x", "11.1000/x", "10.1000/", "10.1000/a b")),
        *((ids.day, t) for t in ("", "2029", "2029-13-01", "2029-02-30", "22.11.2029", "2029-11-22T00:00")),
        *((ids.days, t) for t in ("2029-11-22/2029-11-21", "2029-11-22/", "/2029-11-22")),
        *((ids.licence, t) for t in ("", "free", "cc by", "ftp://x.org/y", "https://")),
        *((ids.address, t) for t in ("", "x.org", "10.1/x", "https://x.org/a b")),
    ],
)
def test_other_forms_are_refused(check, text):
    with pytest.raises(ValueError, match="is no|is neither|expected"):
        check(text)


def test_addresses_of_works_and_licences_are_taken_apart():
    assert ids.doi("https://doi.org/10.22003/XFEL.EU-DATA-900123-00") == "10.22003/XFEL.EU-DATA-900123-00"
    assert ids.days("2026-11-20/2026-11-24") == "2026-11-20/2026-11-24"
    assert ids.licence("cc-by-4.0") == ("CC-BY-4.0", "https://creativecommons.org/licenses/by/4.0/")
    assert ids.licence("https://x.org/own")[1] == ids.address("https://x.org/own") == "https://x.org/own"
    assert ids.address("10.1000/x") == "https://doi.org/10.1000/x"
