"""What a result depends on, as plain values: so that a resumed run continues the same one."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .binding import BoundAlgorithm
    from .plan import Plan


def fingerprint(plan: Plan) -> dict[str, Any]:
    """Return everything that decides the bits of a plan's result, as JSON values."""
    files = {f: stat for i in plan.inputs for f, stat in zip(i.location.files, i.location.stats, strict=True)}
    return {
        "run": plan.run,
        "files": {f: list(files[f][:2]) for f in sorted(files)},
        "algorithms": [_algorithm(a) for a in plan.algorithms],
        "inputs": [_input(i) for i in plan.inputs],
        "selection": [_digest(i.offsets, i.entry, i.pulse_ids, i.cell_ids) for i in plan.indexes],
        "chunks": [[c.first, c.last, c.part] for c in plan.chunks],
        "parts": [[p.start, p.stop] for p in plan.parts],
        "block": plan.block_bytes,
        "on_fault": plan.on_fault,
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Return the versions of what computes and reads."""
    names = ("dxflow", "numpy", "numba", "h5py", "extra-data", "zarr")
    return {name: importlib.metadata.version(name) for name in names}


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return the names of the entries that differ."""
    return [key for key in new if old.get(key) != new[key]]


def _algorithm(bound: BoundAlgorithm) -> dict[str, Any]:
    cls = type(bound.algorithm)
    return {
        "name": bound.name,
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "source": _source_digest(cls),
        "options": {k: plain(v) for k, v in bound.algorithm.options.items()},
        "inputs": {k: repr(v) for k, v in bound.algorithm.inputs.items()},
    }


def _input(bound: Any) -> list[Any]:
    return [bound.name, bound.key, list(bound.modules), list(bound.location.sources)]


def _source_digest(cls: type) -> str:
    """Return a digest of the code of a class, or "" where there is none (an interactive session)."""
    try:
        return hashlib.sha256(inspect.getsource(cls).encode()).hexdigest()[:16]
    except (OSError, TypeError):
        return ""


def plain(value: Any) -> Any:
    """Return an option as a JSON value; arrays, datasets and results as a digest of their content."""
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "fingerprint_value"):
        return plain(value.fingerprint_value())
    if hasattr(value, "__array__"):
        return f"array {_digest(np.asarray(value))}"
    return repr(value)


def _digest(*arrays: Any) -> str:
    h = hashlib.sha256()
    for a in arrays:
        if a is not None:
            h.update(str((a.dtype, a.shape)).encode() + np.ascontiguousarray(a).tobytes())
    return h.hexdigest()[:16]
