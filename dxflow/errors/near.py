"""Names that do not exist: what was perhaps meant, and which there are, for error messages."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields, is_dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from extra_data import DataCollection

T = TypeVar("T")
SHOWN = 20
"""Names that a message lists."""
IMAGES = ("data.image.pixels", "data.image", "data.adc", "data.pixels")
"""Keys under which cameras and detectors of other kinds (ePix, Gotthard-II) keep what they see."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the known name that is most like this one, or has all its words, whatever capitals; "" if none is."""
    by_lower = {k.lower(): k for k in sorted(known, reverse=True)}
    import difflib

    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    words = [w for w in re.split(r"[^a-z0-9]+", name.lower()) if len(w) > 1]
    close += sorted((k for k in by_lower if words and all(w in k for w in words)), key=len)
    return by_lower[close[0]] if close else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?``, or "" where no known name is like this one."""
    close = nearest(name, known)
    return f" Did you mean {close!r}?" if close else ""


def listed(names: Iterable[str], shown: int = SHOWN) -> str:
    """Return names in order as text: ``a, b, c``; "none" without any, and ``a, b, ... (40 in all)`` of many."""
    names = sorted(names)
    if len(names) > shown:
        return f"{', '.join(names[:shown])}, ... ({len(names)} in all)"
    return ", ".join(names) or "none"


def by_alias(inputs: Mapping[str, T], alias: str) -> T:
    """Return what an algorithm knows under an alias; raise a KeyError that names its inputs if there is none."""
    try:
        return inputs[alias]
    except KeyError:
        raise KeyError(f"no input {alias!r}.{did_you_mean(alias, inputs)} Inputs: {listed(inputs)}") from None


def written(declared: Any) -> str:
    """Return an input as it is written, without what it has by default."""
    if not is_dataclass(declared):
        return repr(declared)
    given = ((f.name, repr(getattr(declared, f.name)), repr(f.default)) for f in fields(declared))
    return f"{type(declared).__name__}({', '.join(f'{n}={v}' for n, v, default in given if v != default)})"


def no_source(run: DataCollection, source: str) -> str:
    """Return that a run has no such source, and which are like it."""
    names = run.all_sources - set(run.legacy_sources) | run.auxiliary.all_sources
    device = source.split("/")[0]
    near = [s for s in names if s.split("/")[0] == device]
    what = f"Sources of {device}" if near else "There are"
    # Private, but there is no other list of them.
    meant = did_you_mean(source, names | set(getattr(run, "_aliases", ())))
    return f"no source {source!r} in this run.{meant} {what}: {listed(near or names)}"


def other_images(run: DataCollection, modules: Collection[str]) -> str:
    """Return the sources with images that are no module of a known detector, as inputs to give instead."""
    sources = sorted(run.instrument_sources - set(modules) - set(run.legacy_sources))
    keys = (f"Key({s!r}, {key!r})" for s in sources for key in IMAGES if key in run[s])
    shown = " or ".join(islice(keys, 3))
    return f"; cameras and detectors of other kinds are read as one module each: {shown}" if shown else ""
