"""Techniques by identifiers of PaNET, the ontology of photon and neutron techniques: those of X-ray lasers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from ..errors.near import did_you_mean

BASE = "http://purl.org/pan-science/PaNET/"
ONTOLOGY = f"{BASE}PaNET.owl"
TABLE = "panet.tsv"


@dataclass(frozen=True)
class Technique:
    """A technique: "PaNET01188", "small angle x-ray scattering", and what else it is called ("SAXS")."""

    code: str
    label: str
    others: tuple[str, ...] = ()

    @property
    def iri(self) -> str:
        """Its identifier."""
        return f"{BASE}{self.code}"


@cache
def known() -> dict[str, Technique]:
    """Return the techniques of the table, which says where it is from, by code."""
    text = files(__package__).joinpath(TABLE).read_text(encoding="utf-8")
    found = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            code, label, others = line.split("\t")
            found[code] = Technique(code, label, tuple(o.strip() for o in others.split(";") if o.strip()))
    return found


def technique(text: str) -> Technique:
    """Return the technique of a code, an identifier, a label or a short name, whatever capitals.

    Raises
    ------
    ValueError
        If it is none of the table; the message has near names.
    """
    wanted = text.strip().removeprefix(BASE).lower()
    names: dict[str, Technique] = {}
    for one in known().values():
        names |= dict.fromkeys((one.code, one.label, *one.others), one)
    by_lower = {name.lower(): one for name, one in names.items()}
    if wanted in by_lower:
        return by_lower[wanted]
    raise ValueError(
        f"{text!r} is no technique of the table of dxflow.{did_you_mean(text, names)} Expected an identifier of PaNET "
        "such as PaNET01188, its label, or a short name such as SAXS; 'dxflow red techniques' lists them"
    )
