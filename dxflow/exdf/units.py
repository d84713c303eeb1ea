"""Units as Karabo writes them: prefix and unit apart, by name and by symbol."""

from __future__ import annotations

PREFIXES = {
    "": "",
    "f": "femto",
    "p": "pico",
    "n": "nano",
    "u": "micro",
    "m": "milli",
    "c": "centi",
    "k": "kilo",
    "M": "mega",
    "G": "giga",
}
UNITS = {
    "A": "ampere",
    "C": "coulomb",
    "Hz": "hertz",
    "J": "joule",
    "K": "kelvin",
    "N": "newton",
    "Pa": "pascal",
    "V": "volt",
    "W": "watt",
    "bar": "bar",
    "deg": "degree",
    "eV": "electronvolt",
    "g": "gram",
    "m": "meter",
    "mol": "mole",
    "rad": "radian",
    "s": "second",
    "%": "percent",
}


def attributes(unit: str) -> dict[str, str]:
    """Return the attributes for a unit such as "uJ"; one that is not known is its own symbol and name.

    >>> attributes("keV")["metricPrefixName"], attributes("keV")["unitName"]
    ('kilo', 'electronvolt')
    >>> attributes("1/nm")["unitSymbol"]
    '1/nm'
    """
    if not unit:
        return {}
    plain = unit.replace("µ", "u").replace("μ", "u")  # noqa: RUF001 - the micro sign and the Greek letter
    # "m" and "cd" are units before they are prefixes of nothing.
    for symbol in sorted(UNITS, key=len, reverse=True):
        prefix = plain.removesuffix(symbol)
        if plain.endswith(symbol) and prefix in PREFIXES:
            return _attributes(prefix, PREFIXES[prefix], symbol, UNITS[symbol])
    return _attributes("", "", unit, unit)


def _attributes(prefix: str, prefix_name: str, symbol: str, name: str) -> dict[str, str]:
    return {
        "metricPrefixSymbol": prefix,
        "metricPrefixName": prefix_name,
        "unitSymbol": symbol,
        "unitName": name,
    }


def described(unit: str = "", doc: str = "", **others: str) -> dict[str, str]:
    """Return the attributes of a key: unit, description, and what else is given."""
    return {**attributes(unit), **({"description": doc} if doc else {}), **others}
