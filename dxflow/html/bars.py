"""Bars of what a whole is made of, with their parts in words: for notebooks and pages, light, dark and on paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from .escaped import escaped

BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, GREY = (
    *("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    "#8a8a8a",
)
"""Colours that people with every kind of colour vision tell apart, on white and on black."""
CAUSES = (ORANGE, YELLOW, PURPLE, SKY)
TIME = {
    "wait": ("waiting for data", YELLOW),
    "compute": ("computing", BLUE),
    "write": ("writing partial results", PURPLE),
}
"""What workers are busy with: in words, and in which colour."""
HIGH = 14
"""Pixels."""
SEEN = 0.004
"""Share below which nobody would see a part that there is."""


@dataclass(frozen=True)
class Part:
    """A part of a bar: its name, how much it is, as what this is written, and its colour."""

    name: str
    value: float
    text: str
    colour: str


def bar(parts: Sequence[Part], total: float | None = None, height: int = HIGH) -> str:
    """Return parts beside each other, as wide as they are large.

    Parameters
    ----------
    total : float, optional
        What the whole width is; the sum of the parts by default.
    """
    whole = max(total or 0.0, sum(p.value for p in parts))
    said = ", ".join(f"{p.name} {p.text}" for p in parts)
    drawn, at = [], 0.0
    for part in parts:
        if whole > 0 and part.value > 0:
            wide = max(part.value / whole, SEEN)
            drawn.append(
                f'<rect x="{100 * min(at, 1 - wide):.3f}%" width="{100 * wide:.3f}%" height="{height}" '
                f'fill="{part.colour}"><title>{escaped(f"{part.name} {part.text}")}</title></rect>'
            )
            at += part.value / whole
    return (
        f'<svg role="img" aria-label="{escaped(said)}" width="100%" height="{height}" '
        'style="display:block;border-radius:3px;min-width:60px">'
        f'<rect width="100%" height="{height}" fill="currentColor" fill-opacity="0.12"/>{"".join(drawn)}</svg>'
    )


def legend(parts: Sequence[Part]) -> str:
    """Return what the colours of a bar are."""
    return (
        '<div style="display:flex;flex-wrap:wrap;gap:2px 14px;margin:4px 0;font-size:13px">'
        + "".join(f"<span>{_square(p.colour)}{escaped(p.name)} {escaped(p.text)}</span>" for p in parts)
        + "</div>"
    )


def percent(part: float, whole: float) -> str:
    """Return a share; what is almost all is not said to be all."""
    if not whole or part == whole:
        return "100 %" if whole else "0 %"
    return f"{min(100 * part / whole, 99.9):.3g} %"


def seconds(many: float) -> str:
    """Return a time as text."""
    if many < 120:
        return f"{many:.3g} s"
    return f"{many / 60:.0f} min" if many < 7200 else f"{many / 3600:.1f} h"


def frames(expected: int, used: int, masked: Mapping[str, int], causes: Sequence[str] = ()) -> list[Part]:
    """Return what became of some frames: used, and masked by cause.

    Parameters
    ----------
    causes : sequence of str
        All that there are, in an order that gives them their colours.
    """
    order = [*causes, *(c for c in masked if c not in causes)]
    named = [
        ("used", used, GREEN),
        *((c, masked.get(c, 0), CAUSES[n % len(CAUSES)]) for n, c in enumerate(order)),
    ]
    return [
        Part(name, n, f"{n} ({percent(n, expected)})", colour)
        for name, n, colour in named
        if n or name == "used"
    ]


def working(busy: Mapping[str, float], there: float) -> list[Part]:
    """Return what workers did in the seconds that they had, and how long they had nothing to do."""
    parts = [
        Part(what, n, seconds(n), colour) for k, (what, colour) in TIME.items() for n in [busy.get(k, 0.0)]
    ]
    idle = max(there - sum(p.value for p in parts), 0.0)
    return [*parts, Part("idle", idle, seconds(idle), GREY)]


def _square(colour: str) -> str:
    return (
        '<svg aria-hidden="true" width="10" height="10" style="margin-right:5px">'
        f'<rect width="10" height="10" rx="2" fill="{colour}"/></svg>'
    )


def told(parts: Sequence[Part], total: float | None = None, title: str = "") -> str:
    """Return a bar with its legend, below a title."""
    heading = f'<div style="font-size:13px;margin:6px 0 3px">{escaped(title)}</div>' if title else ""
    return f'<div style="max-width:760px">{heading}{bar(parts, total)}{legend(parts)}</div>'
