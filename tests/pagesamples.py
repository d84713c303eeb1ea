"""What pages are tried with: names that nobody should trust, and a manifest with every kind of trouble."""

from pathlib import Path
from types import SimpleNamespace

HOSTILE = [
    "<script>alert(1)</script>",
    "</style><img src=x onerror=alert(1)>",
    "\"'><svg onload=alert(1)>",
    "$\\frac{1}{0}$ and $x",
    "&lt;b&gt;",
    "👩‍🔬 \u202egnp.exe \x00\x1b[31m",
    "]]> --> <!-- {{7*7}} %s",
    "=HYPERLINK(1)",
    "x" * 500,
]

ACCOUNT = [
    {
        "input": "DET image.data",
        "module": m,
        "expected": 100,
        "used": 100 - lost,
        "masked": {"no dark": lost} if lost else {},
    }
    for m, lost in enumerate((0, 25, 0, 100))
]
MANIFEST = {
    "plan": {
        "run": "/data/r0034",
        "trains": [12, "abc"],
        "algorithms": [
            {"name": "average", "class": "dxflow.algorithms.average.Average", "options": {"per": "cell"}}
        ],
        "versions": {"dxflow": "0.1.0"},
    },
    "account": ACCOUNT,
    "losses": [
        {
            "cause": "no dark",
            "frames": 25,
            "trains": 2,
            "first_train": 7,
            "last_train": 9,
            "module": 1,
            "novel": 1,
        }
    ],
    "times": {
        "wall": 10.0,
        "pass": 8.0,
        "bytes": 8_590_000_000,
        "rate": 859e6,
        "sum": {"wait": 4.0, "compute": 2.0, "write": 1.0, "read": 3.0},
        "workers": {"n:1": {"wait": 3.0, "compute": 2.0}, "n:2": {"wait": 1.0, "write": 1.0}},
        "bound": "bounded by reading: 57% of the workers' time",
    },
    "cluster": {"advice": "reading less helps", "nodes": {}, "kind": "local"},
}


def result(**changes):
    return SimpleNamespace(manifest=MANIFEST | changes, path=Path("/r/x.zarr"), kept=True)
