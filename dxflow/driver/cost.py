"""What a run cost: workers, nodes, jobs, and how much of them was used."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..sizes import show

if TYPE_CHECKING:
    from ..worker.summary import Summary


def cost(
    summaries: Sequence[Summary], seconds: float, accounts: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what a run cost, as JSON values.

    Parameters
    ----------
    seconds : float
        Of the pass over the data.
    accounts : sequence of dict
        What clusters say of themselves, one for each start; see `dxflow.clusters.Cluster`.

    Returns
    -------
    dict
        "kind"; "workers" that did something; "busy" seconds of theirs; "efficiency": busy / (workers x pass);
        "nodes": name -> workers, bytes, bytes per second; "jobs", "asked" and "used" (node-seconds), "waited"
        (seconds), "deaths", "requeues" where there is a queue.
    """
    done = [s for s in summaries if not s.reused]
    busy = sum(_busy(s) for s in done)
    workers = len({s.worker for s in done})
    return {
        "kind": accounts[-1].get("kind", "") if accounts else "",
        "starts": len(accounts),
        "workers": workers,
        "busy": busy,
        "efficiency": busy / (workers * seconds) if workers and seconds else 0.0,
        "nodes": _nodes(done, seconds),
        **_jobs(accounts),
    }


def _busy(summary: Summary) -> float:
    return sum(summary.times.get(name, 0.0) for name in ("wait", "compute", "write"))


def _nodes(done: Sequence[Summary], seconds: float) -> dict[str, Any]:
    """Return workers, bytes and rate by node."""
    workers: dict[str, set[str]] = defaultdict(set)
    read: Counter[str] = Counter()
    for summary in done:
        node = summary.worker.rpartition(":")[0]
        workers[node].add(summary.worker)
        read[node] += summary.bytes
    return {
        node: {"workers": len(own), "bytes": read[node], "rate": read[node] / seconds if seconds else 0.0}
        for node, own in sorted(workers.items())
    }


def _jobs(accounts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what clusters with a queue say, all starts together."""
    queued = [a for a in accounts if "jobs" in a]
    if not queued:
        return {}
    waited = [a["waited"] for a in queued if a.get("waited") is not None]
    return {
        "jobs": [job for a in queued for job in a["jobs"]],
        "asked": sum(a.get("asked") or 0 for a in queued),
        "used": sum(a.get("node_seconds") or 0 for a in queued),
        "waited": sum(waited),
        "deaths": [death for a in queued for death in a.get("deaths", ())],
        "requeues": sum(a.get("requeues") or 0 for a in queued),
    }


def rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what a run cost as (label, text)."""
    if not found.get("workers"):
        return []
    kind = found["kind"].partition(";")[0]
    out = [("cluster", f"{kind}: {found['efficiency']:.0%} busy in the pass, {_rate(found)}")]
    if "jobs" in found:
        used, asked = found["used"] / 3600, found["asked"] / 3600
        lost = f", {len(found['deaths'])} died" if found["deaths"] else ""
        back = f", {found['requeues']} requeued" if found["requeues"] else ""
        waited = f"waited {found['waited']:.0f} s; {used:.3g} of {asked:.3g} node-hours asked were used"
        out.append(("jobs", f"{len(found['jobs'])}{lost}{back}; {waited}"))
    return out


def _rate(found: Mapping[str, Any]) -> str:
    """Return the rates of nodes as text."""
    rates = sorted(node["rate"] for node in found["nodes"].values())
    if len(rates) == 1 or not rates:
        return f"{show(rates[0] if rates else 0)}/s on {next(iter(found['nodes']), 'no node')}"
    return f"{show(rates[0])}/s to {show(rates[-1])}/s per node on {len(rates)} nodes"
