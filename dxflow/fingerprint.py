"""What a result depends on, as plain values: so that a resumed run continues the same one."""

from __future__ import annotations

import hashlib
import importlib.metadata
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .reader.files import stat_of

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
    """Return a digest of the code of a class: its file, and the private files beside it that hold its kernels.

    "" where there is none (an interactive session).
    """
    try:
        own = Path(inspect.getfile(cls))
        files = sorted({own, *own.parent.glob("_[!_]*.py")})
        return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()[:16]
    except (OSError, TypeError):
        return ""


def plain(value: Any) -> Any:
    """Return an option as a JSON value: arrays and other objects as a digest of their content, files as they are."""
    if isinstance(value, (str, Path)):
        return _file(value)
    if value is None or isinstance(value, (int, float, bool)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, slice):
        return repr(value)
    if hasattr(value, "fingerprint_value"):
        return plain(value.fingerprint_value())
    if isinstance(value, (np.ndarray, np.generic)):
        return f"array {_digest(np.asarray(value))}"
    import cloudpickle

    # The repr of many objects is their address, which is another one in the next run.
    return f"{type(value).__qualname__} {hashlib.sha256(cloudpickle.dumps(value)).hexdigest()[:16]}"


def _file(value: str | Path) -> Any:
    """Return a text; if it names a file, with the size and date of that."""
    path = Path(value)
    try:
        return [str(value), *stat_of(str(path))[:2]] if path.is_file() else str(value)
    except OSError:
        return str(value)


def _digest(*arrays: Any) -> str:
    h = hashlib.sha256()
    for a in arrays:
        if a is not None:
            h.update(str((a.dtype, a.shape)).encode() + np.ascontiguousarray(a).tobytes())
    return h.hexdigest()[:16]
