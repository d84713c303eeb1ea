"""Sections: what a result says of how it was made: what ran, what became of each frame, what was lost, where time went.

Each is a `dxflow.html.page.Section` with an id that never changes, so that a page can replace it alone::

    heading(result, title)   # id "top": title, where it is, numbers that are seen first
    made(result)             # id "run": what was run, with which options and versions
    account(result)          # id "account": expected = used + masked by cause, for each module
    losses(result)           # id "losses"
    times(result)            # id "time": a bar of the workers' time, what bounds the run, each worker
    of_result(result)        # all of them, in this order

They take anything with `manifest` and `path`, and leave out what a manifest of an earlier version does not say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from itertools import groupby
from typing import Any

from .. import html, sizes
from ..driver import words
from ..html import bars, page
from ..html.escaped import escaped, plain
from ..run import losses as lost
from ..run.losses import Loss

Manifest = Mapping[str, Any]
WORKERS, MODULES = 32, 64
"""That have a bar of their own, and that are shown at once."""
OPTION = 160
"""Signs of the value of an option."""


def of_result(result: words.Finished) -> list[page.Section]:
    """Return all that a result says of how it was made."""
    return [heading(result), *(part(result) for part in (made, account, losses, times))]


def heading(result: words.Finished, title: str = "") -> page.Section:
    """Return what is seen first."""
    m = result.manifest
    run = str(_facts(m).get("run") or m.get("config", {}).get("run", ""))
    name = title or str(m.get("name") or "") or f"Reduction of {_short(run) or result.path.name}"
    when = str(m.get("created", "")).replace("T", " ").replace("Z", " UTC")
    said = "".join(
        f'<p class="muted">{escaped(line)}</p>'
        for line in (str(result.path), f"{run}, {when}".strip(", "))
        if line
    )
    live = words.of_live(result)
    so_far = live and live[0].startswith("snapshot")
    said += "".join(
        f'<p class="{"warn" if so_far else "muted"}">{escaped(_sentence(one))}</p>' for one in live[:1]
    )
    said += "".join(f'<p class="muted">{escaped(_sentence(one))}</p>' for one in live[1:])
    return page.Section("top", "", f"<h1>{escaped(name)}</h1>{said}{page.tiles(_tiles(m))}")


def _sentence(line: str) -> str:
    return f"{line[:1].upper()}{line[1:]}."


def _short(run: str) -> str:
    return run.rstrip("/").rpartition("/")[2]


def _tiles(m: Manifest) -> list[tuple[str, str]]:
    """Return the numbers that are seen first."""
    rows, t = m.get("account", ()), m.get("times", {})
    expected, used = (sum(r.get(k, 0) for r in rows) for k in ("expected", "used"))
    trains = _facts(m).get("trains")
    shown = []
    if expected:
        what = "of frames of all modules used" if rows[0].get("module", -1) >= 0 else "of entries used"
        shown.append((bars.percent(used, expected), what))
    if isinstance(trains, (list, tuple)) and trains:
        shown.append((f"{trains[0]}", "train" if trains[0] == 1 else "trains"))
    if "losses" in m:
        causes = {row.get("cause") for row in m["losses"]}
        shown.append(
            (str(len(causes)) if causes else "nothing", "causes of losses" if causes else "was lost")
        )
    if "bytes" in t:
        shown.append((sizes.show(t["bytes"]), "read"))
    if "wall" in t:
        shown.append((bars.seconds(t["wall"]), f"in all, {sizes.show(t.get('rate', 0))}/s"))
    return shown


def _facts(m: Manifest) -> Mapping[str, Any]:
    """Return what the plan depended on, as far as it is said."""
    found = m.get("plan")
    return found if isinstance(found, Mapping) else {}


# What was run ---------------------------------------------------------------------------------------


def made(result: words.Finished) -> page.Section:
    """Return what was run, with which options and versions."""
    m = result.manifest
    facts, chunks = _facts(m), m.get("chunks", {})
    rows = [("run", str(facts.get("run", "")))]
    rows += [
        (str(one.get("name", "?")), _options(one, m.get("reads", {}))) for one in facts.get("algorithms", ())
    ]
    rows += [("live", line) for line in words.of_live(result)]
    rows += [("found", line) for line in words.found(m)]
    rows += [("where", line) for line in m.get("where", ())]
    rows += [("check", line) for line in m.get("unasked", ())]
    rows += [("restart", line) for line in m.get("restarts", ())]
    if chunks:
        again = f", {chunks['reused']} of an interrupted run" if chunks.get("reused") else ""
        rows.append(("chunks", f"{chunks.get('computed', 0)} computed{again}"))
    if spared := m.get("spared"):
        rows.append(("spared", f"{sizes.show(spared)} that were not selected"))
    versions = facts.get("versions", {})
    rows.append(("versions", ", ".join(f"{k} {v}" for k, v in versions.items()) or "not said"))
    folds = [
        html.folded(title, f"<pre>{escaped(text, 100_000)}</pre>")
        for title, text in (
            ("configuration, as of dxflow reduce --config", _yaml(m.get("config"))),
            ("the plan", str(m.get("table", ""))),
        )
        if text
    ]
    return page.Section("run", "What was run", html.table("", [r for r in rows if r[1]]) + "".join(folds))


def _options(one: Mapping[str, Any], reads: Mapping[str, str]) -> str:
    """Return an algorithm with its options and what it reads."""
    options = ", ".join(f"{k}={_value(v)}" for k, v in one.get("options", {}).items())
    cls = str(one.get("class", "")).rpartition(".")[2]
    read = f"; reads {reads[one['name']]}" if one.get("name") in reads else ""
    return f"{cls}({options}){read}"


def _value(value: Any) -> str:
    text = plain(value if not isinstance(value, str) else repr(value))
    return text if len(text) <= OPTION else f"{text[: OPTION - 3]}..."


def _yaml(config: Any) -> str:
    """Return a configuration as it may be given again."""
    import yaml

    return str(yaml.safe_dump(config, sort_keys=False, allow_unicode=True)) if config else ""


# What became of the frames --------------------------------------------------------------------------


def account(result: words.Finished) -> page.Section:
    """Return what became of each frame: expected = used + masked by cause, for each module."""
    rows = result.manifest.get("account", ())
    groups = [
        (name, [row for _, row in same]) for name, same in groupby(words.by_reader(rows), key=lambda r: r[0])
    ]
    shown = "".join(_group(name, own) for name, own in groups)
    wrong = [f"{name}, module {r['module']}" for name, own in groups for r in own if _rest(r)]
    if wrong:
        said = f'<p class="warn">It does not add up: {escaped(", ".join(wrong))}.</p>'
    elif shown:
        said = "<p>Expected = used + masked, by cause: it adds up for every module.</p>"
    else:
        said = "<p>Nothing in this result is counted by module.</p>"
    return page.Section("account", "What became of the frames", said + shown)


def _rest(row: Mapping[str, Any]) -> int:
    """Return the frames of which nobody said what became of them."""
    return int(row["expected"] - row["used"] - sum(row["masked"].values()))


def _group(name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the account of an input: a bar of all modules, and a row for each."""
    causes = list(dict.fromkeys(cause for r in rows for cause in r["masked"]))
    masked: Counter[str] = Counter()
    for r in rows:
        masked.update(r["masked"])
    expected = sum(r["expected"] for r in rows)

    by = ", ".join(rows[0].get("algorithms", ()))
    out = f"<h3>{escaped(name)}</h3>" + (
        f'<p class="muted">used by {escaped(by)}</p>' if by and by not in name else ""
    )
    out += bars.told(bars.frames(expected, sum(r["used"] for r in rows), masked, causes), expected)
    head = ["module", "expected", "used", *causes, ""]
    body = [
        [
            str(r["module"]) if r["module"] >= 0 else "entries",
            *(str(n) for n in (r["expected"], r["used"], *(r["masked"].get(c, 0) for c in causes))),
            bars.bar(bars.frames(r["expected"], r["used"], r["masked"], causes), r["expected"], 10),
        ]
        for r in rows
    ]
    table = page.grid(head, body, bars=True)
    return out + (table if len(rows) <= MODULES else html.folded(f"each of {len(rows)} modules", table))


def losses(result: words.Finished) -> page.Section:
    """Return what could not be used, and why."""
    return losses_of(result.manifest.get("losses", ()))


def losses_of(rows: Iterable[Mapping[str, Any]]) -> page.Section:
    """Return losses, as they are noted."""
    found = lost.lines(_losses(rows))
    if not found:
        return page.Section("losses", "Losses", "<p>Nothing was lost.</p>")
    return page.Section(
        "losses", "Losses", f"<ul>{''.join(f'<li>{escaped(line)}</li>' for line in found)}</ul>"
    )


def _losses(rows: Iterable[Mapping[str, Any]]) -> list[Loss]:
    """Return losses, also those of another version, which may say more of each."""
    known = {f.name for f in fields(Loss)}
    return [Loss(**{k: v for k, v in row.items() if k in known}) for row in rows]


# Where the time went --------------------------------------------------------------------------------


def times(result: words.Finished) -> page.Section:
    """Return where the time went, what bounds the run, and what would help."""
    m = result.manifest
    t, cluster = m.get("times", {}), m.get("cluster", {})
    if not t.get("sum"):
        return page.Section(
            "time", "Where the time went", "<p>Nothing was computed, or this result does not say.</p>"
        )
    said = [str(one) for one in (t.get("bound", ""), cluster.get("advice", "")) if one]
    out = "".join(
        f"<p>{escaped(line[0].upper() + line[1:])}{'' if line.endswith('.') else '.'}</p>" for line in said
    )
    workers: Mapping[str, Mapping[str, float]] = t.get("workers", {})
    wall, each = t.get("wall", 0.0), t.get("pass", t.get("wall", 0.0))
    whole = [
        ("the pass over the data", each, bars.GREEN),
        ("before and after", max(wall - each, 0.0), bars.GREY),
    ]
    out += f"<h3>All of it, {bars.seconds(wall)}</h3>" + bars.told([_time(*one) for one in whole])
    count = len(workers) or 1
    noun = "worker" if count == 1 else f"{count} workers"
    out += f"<h3>The pass, time of the {noun}</h3>" + bars.told(bars.working(t["sum"], count * each))
    if len(workers) > 1:
        rows = [
            [name, bars.bar(bars.working(own, each), each, 10)]
            for name, own in list(workers.items())[:WORKERS]
        ]
        more = f"<p>And {len(workers) - WORKERS} more.</p>" if len(workers) > WORKERS else ""
        out += html.folded("each worker", page.grid(["worker", ""], rows, bars=True) + more)
    rows_ = [*words.cost.rows(cluster)] if cluster.get("nodes") else []
    return page.Section("time", "Where the time went", out + (html.table("", rows_) if rows_ else ""))


def _time(name: str, seconds: float, colour: str) -> bars.Part:
    return bars.Part(name, seconds, bars.seconds(seconds), colour)
