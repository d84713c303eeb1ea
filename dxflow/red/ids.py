"""What identifies people, organisations, works, licences and days: its form, and its check digits where it has some."""

from __future__ import annotations

import re
from datetime import date

LICENCES = {
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "CC-BY-4.0": "https://creativecommons.org/licenses/by/4.0/",
    "CC-BY-SA-4.0": "https://creativecommons.org/licenses/by-sa/4.0/",
    "CC-BY-NC-4.0": "https://creativecommons.org/licenses/by-nc/4.0/",
    "CC-BY-NC-SA-4.0": "https://creativecommons.org/licenses/by-nc-sa/4.0/",
    "CC-BY-ND-4.0": "https://creativecommons.org/licenses/by-nd/4.0/",
    "CC-BY-NC-ND-4.0": "https://creativecommons.org/licenses/by-nc-nd/4.0/",
    "ODbL-1.0": "https://opendatacommons.org/licenses/odbl/1-0/",
    "ODC-By-1.0": "https://opendatacommons.org/licenses/by/1-0/",
    "PDDL-1.0": "https://opendatacommons.org/licenses/pddl/1-0/",
}
"""By their names in the list of SPDX."""
CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_ORCID = re.compile(r"(?:https?://orcid\.org/)?(\d{4})-?(\d{4})-?(\d{4})-?(\d{3}[\dXx])")
_ROR = re.compile(rf"(?:https?://)?(?:ror\.org/)?(0[{CROCKFORD}]{{6}}\d{{2}})", re.IGNORECASE)
_DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:)?(10\.\d{4,9}/[^\s\x00-\x1f]+)", re.IGNORECASE)
_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
_URL = re.compile(r"https?://[^\s<>\"{}|\\^`\x00-\x20]+")


def orcid(text: str) -> str:
    """Return an ORCID iD as an address, https://orcid.org/0000-0002-1825-0097.

    Raises
    ------
    ValueError
        If it has another form, or its last character does not follow from the others (ISO 7064, 11-2).
    """
    match = _ORCID.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no ORCID iD: expected one such as 0000-0002-1825-0097")
    digits = "".join(match.groups()).upper()
    total = 0
    for digit in digits[:-1]:
        total = (total + int(digit)) * 2
    check = "0123456789X"[(12 - total % 11) % 11]
    if digits[-1] != check:
        raise ValueError(
            f"{text!r} is no ORCID iD: the last character would be {check}; a digit is wrong, or two are exchanged"
        )
    return f"https://orcid.org/{'-'.join(digits[n : n + 4] for n in range(0, 16, 4))}"


def ror(text: str) -> str:
    """Return the ROR of an organisation as an address, https://ror.org/01js2sh04.

    Raises
    ------
    ValueError
        If it has another form, or its last two digits do not follow from the others (ISO 7064, 97-10).
    """
    match = _ROR.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no ROR: expected one such as https://ror.org/01js2sh04")
    name = match[1].lower()
    number = 0
    for letter in name[:-2]:
        number = number * 32 + CROCKFORD.index(letter)
    check = 98 - (number * 100) % 97
    if int(name[-2:]) != check:
        raise ValueError(f"{text!r} is no ROR: the last two digits would be {check:02}")
    return f"https://ror.org/{name}"


def doi(text: str) -> str:
    """Return a DOI without address: 10.22003/XFEL.EU-DATA-900123-00.

    Raises
    ------
    ValueError
    """
    match = _DOI.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no DOI: expected one such as 10.22003/XFEL.EU-DATA-900123-00")
    return match[1]


def day(text: str) -> date:
    """Return the day that is meant by 2029-11-22.

    Raises
    ------
    ValueError
    """
    if not _DAY.fullmatch(text.strip()):
        raise ValueError(f"{text!r} is no date: expected year-month-day such as 2029-11-22")
    try:
        return date.fromisoformat(text.strip())
    except ValueError as e:
        raise ValueError(f"{text!r} is no date: {e}; expected year-month-day such as 2029-11-22") from None


def days(text: str) -> str:
    """Return a day, or the first and the last one: 2026-11-20/2026-11-24.

    Raises
    ------
    ValueError
    """
    first, slash, last = text.partition("/")
    if not slash:
        return day(first).isoformat()
    begin, end = day(first), day(last)
    if end < begin:
        raise ValueError(f"{text!r}: expected the earlier day first, {end}/{begin}")
    return f"{begin}/{end}"


def licence(text: str) -> tuple[str, str]:
    """Return name and address of a licence.

    Raises
    ------
    ValueError
    """
    by_lower = {name.lower(): name for name in LICENCES}
    if (name := by_lower.get(text.strip().lower())) is not None:
        return name, LICENCES[name]
    if _URL.fullmatch(text.strip()):
        return text.strip(), text.strip()
    raise ValueError(
        f"{text!r} is no licence: expected an address, https://..., or one of {', '.join(LICENCES)}"
    )


def address(text: str) -> str:
    """Return an address of the web, or a DOI as one.

    Raises
    ------
    ValueError
    """
    if _URL.fullmatch(text.strip()):
        return text.strip()
    try:
        return f"https://doi.org/{doi(text)}"
    except ValueError:
        raise ValueError(f"{text!r} is neither an address, https://..., nor a DOI, 10.22003/...") from None
