"""One table of ratios, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from .rounds import Measured, Ratio

HEAD = ("work", "of / to", "ratio", "min-max", "wanted", "reached", "GB/s", "to GB/s", "s", "pass s")


@dataclass(frozen=True)
class Row:
    """A line of the table: a ratio over all rounds, both rates (GB/s), and seconds (medians)."""

    group: str
    work: str
    what: str
    ratio: float | None
    low: float | None
    high: float | None
    target: str
    reached: bool | None
    rate: float | None
    rate_to: float | None
    seconds: float | None
    inside: float | None
    note: str

    def cells(self) -> tuple[str, ...]:
        """Return its texts, in the order of `HEAD`."""
        reached = {None: "", True: "yes", False: "NO"}[self.reached]
        if self.ratio is None:
            ratio, spread, reached = "-", f"cannot: {self.note}", ""
        else:
            ratio, spread = f"{self.ratio:.2f}", f"{self.low:.2f}-{self.high:.2f}"
        numbers = (self.rate, self.rate_to, self.seconds, self.inside)
        return self.work, self.what, ratio, spread, self.target, reached, *(_number(n) for n in numbers)


def rows(measured: Iterable[Measured]) -> list[Row]:
    """Return the lines of all groups."""
    return [_row(m, ratio) for m in measured for ratio in m.group.ratios]


def _row(measured: Measured, ratio: Ratio) -> Row:
    values = [v for r in measured.rounds if (v := ratio.of_round(r)) is not None]
    middle = median(values) if values else None
    why = [f"{n}: {measured.cannot[n]}" for n in (ratio.of, *ratio.to) if n in measured.cannot]
    return Row(
        group=measured.group.title,
        work=ratio.work,
        what=_what(ratio),
        ratio=middle,
        low=min(values, default=None),
        high=max(values, default=None),
        target=_target(ratio),
        reached=None if middle is None else ratio.reached(middle),
        rate=_median(measured, ratio.of, "steady" if ratio.by == "pass" else "rate", 1e-9),
        rate_to=_median(measured, ratio.to[0], "rate", 1e-9) if len(ratio.to) == 1 else None,
        seconds=_median(measured, ratio.of, "seconds"),
        inside=_median(measured, ratio.of, "inside"),
        note="; ".join(why),
    )


def _what(ratio: Ratio) -> str:
    """Say what is compared, or of what the seconds are."""
    if ratio.by == "fixed" or not ratio.to:
        return f"seconds of {ratio.of}{' at 0 bytes' if ratio.to else ''}"
    to = ratio.to[0] if len(ratio.to) == 1 else f"({' + '.join(ratio.to)})"
    return f"{ratio.of} / {to}"


def _target(ratio: Ratio) -> str:
    if ratio.target is None:
        return ""
    return f"{'>=' if ratio.at_least else '<='} {ratio.target:g}"


def _median(measured: Measured, case: str, what: str, factor: float = 1.0) -> float | None:
    """Return the median of a property of a case's samples, None where there is none."""
    values = [v for s in measured.samples(case) if (v := getattr(s, what))]
    return median(values) * factor if values else None


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def text(lines: Sequence[Row]) -> str:
    """Return the table, one block of lines per group."""
    cells = [HEAD, *(row.cells() for row in lines)]
    widths = [
        max(len(c[n]) for c in cells if not c[3].startswith("cannot") or n != 3) for n in range(len(HEAD))
    ]
    out, group = [_line(HEAD, widths)], ""
    for row in lines:
        if row.group != group:
            out.append(f"-- {row.group}")
            group = row.group
        out.append(_line(row.cells(), widths))
    return "\n".join(out)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    if cells[3].startswith("cannot"):
        return "  ".join((cells[0].ljust(widths[0]), cells[1].ljust(widths[1]), cells[3]))
    return "  ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)).rstrip()


def write(path: str | Path, facts: dict[str, Any], measured: Sequence[Measured]) -> None:
    """Write facts of the machine, all lines and all samples as JSON."""
    content = facts | {
        "rows": [asdict(row) for row in rows(measured)],
        "groups": [
            {
                "title": m.group.title,
                "loads": m.loads,
                "cannot": m.cannot,
                "rounds": [{name: asdict(s) for name, s in r.items()} for r in m.rounds],
            }
            for m in measured
        ],
    }
    Path(path).write_text(json.dumps(content, indent=1))
