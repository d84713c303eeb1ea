"""What a result depends on, as one object: printed, compared when a run is resumed, kept with the result."""

from __future__ import annotations

import json
import os
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors.redact import hidden_in
from ..reader.files import Stat
from ..run.locate import Location
from . import factwords
from .digests import Digests
from .diskdigests import NoDigest, digest
from .sourcecode import code_of, libraries_of, version_of

if TYPE_CHECKING:
    from ..run.bound import BoundInput
    from .bound import BoundAlgorithm
    from .plan import Plan

FRAMEWORK = ("algorithm", "inputs", "name", "options")
"""Attributes of an algorithm that are compared apart, or say nothing of its result."""


class Fingerprint(Mapping[str, Any]):
    """Everything that decides the bits of a result: JSON values by name, and their digest.

    Parameters
    ----------
    facts : mapping
        "files": size, time and inode of each; "inputs": what is read and where in the files; "algorithms": their
        options, code, what they read, and what else they say that they depend on; "frames", "chunks", "units", "parts",
        "block": which entries, and in which order they are added; "on_fault"; "versions".
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        # As it will be read again: tuples become lists.
        self.facts: dict[str, Any] = hidden_in(json.loads(json.dumps(facts)))

    def __getitem__(self, name: str) -> Any:
        return self.facts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.facts)

    def __len__(self) -> int:
        return len(self.facts)

    @cached_property
    def digest(self) -> str:
        """Of all of it: fragments carry it."""
        return digest(
            json.dumps(factwords.led({k: v for k, v in self.facts.items() if k != "run"}), sort_keys=True)
        )

    @property
    def unknown(self) -> list[str]:
        """What has no digest, so that nobody can say whether it is the same."""
        return [text for one in self.facts["algorithms"] for text in factwords.unknown(one)]

    def differences(self, old: Mapping[str, Any], *, grown: bool = False) -> list[str]:
        """Return in words what another reduction had that this one does not have, or the other way round.

        Parameters
        ----------
        grown : bool
            Leave out what differs where a run has got more trains.
        """
        facts = [factwords.lasting(one) if grown else one for one in (old, self.facts)]
        return list(dict.fromkeys(factwords.differences(*facts)))

    def lasting(self) -> str:
        """Return the digest of what stays when a run gets more trains."""
        return digest(json.dumps(factwords.led(factwords.lasting(self.facts)), sort_keys=True))

    def text(self) -> str:
        """Return all of it in words; `print` shows what fits a screen."""
        return "\n".join(factwords.lines(self.facts))

    def __str__(self) -> str:
        return "\n".join(factwords.fitted(factwords.brief(self.facts)))


def fingerprint(plan: Plan) -> Fingerprint:
    """Return everything that decides the bits of a plan's result."""
    # The run has an account of its own, of the files that are read: a text that names its folder means no more.
    digests = Digests([plan.store.path, plan.store.partial, Path(plan.run)])
    return Fingerprint(
        {
            "run": plan.run,
            "files": _files(plan),
            "trains": [len(plan.train_ids), digests.of(plan.train_ids)],
            "algorithms": [_algorithm(a, digests) for a in plan.algorithms],
            "inputs": [_input(i, digests) for i in plan.inputs],
            "frames": [digests.of([i.offsets, i.entry, i.pulse_ids, i.cell_ids]) for i in plan.indexes],
            "chunks": [[c.first, c.last, c.part] for c in plan.chunks],
            "chunk_trains": plan.chunk_trains,
            "units": {a.name: a.unit for a in plan.algorithms},
            "parts": [[p.start, p.stop] for p in plan.parts],
            "block": plan.block_bytes,
            "on_fault": plan.on_fault,
            **({"where": plan.where.text} if plan.where else {}),
            "versions": versions()
            | {k: v for a in plan.algorithms for k, v in libraries_of(type(a.algorithm), digests).items()},
        }
    )


def versions() -> dict[str, str]:
    """Return the versions of what computes and reads."""
    names = ("dxflow", "numpy", "numba", "h5py", "extra-data", "zarr")
    found = {name: version_of(name) for name in names}
    # Of Python what decides its bytecode: patches of it do not.
    return found | {"python": f"{sys.version_info[0]}.{sys.version_info[1]}"}


def _files(plan: Plan) -> dict[str, Stat]:
    """Return size, time and inode of each file that is read, by its path without links of the moment."""
    found = {
        os.path.abspath(file): stat
        for bound in plan.inputs
        for at in locations(bound)
        for file, stat in zip(at.files, at.stats, strict=True)
    }
    return {file: found[file] for file in sorted(found)}


def locations(value: Any) -> Iterator[Location]:
    """Yield where an input is, its mask, and the inputs that it is made of."""
    if isinstance(value, Location):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from locations(one)
    elif is_dataclass(value):
        for field in fields(value):
            yield from locations(getattr(value, field.name))


def _algorithm(bound: BoundAlgorithm, digests: Digests) -> dict[str, Any]:
    algorithm, cls = bound.algorithm, type(bound.algorithm)
    options = algorithm.options
    given = list(options.values())
    state = {
        k: v for k, v in vars(algorithm).items() if k not in FRAMEWORK and not any(v is one for one in given)
    }
    plain = _known(digests.plain)
    return {
        "name": bound.name,
        "class": f"{cls.__module__}.{cls.__qualname__}",
        "options": {k: plain(v) for k, v in options.items()},
        "inputs": {k: plain(v) for k, v in algorithm.inputs.items()},
        "depends": {k: plain(v) for k, v in algorithm.depends(bound.info).items()},
        # Last: it also counts the modules of functions that were met above.
        "attributes": {k: plain(v) for k, v in sorted(state.items())},
        "code": _known(lambda c: code_of(c, digests))(cls),
    }


def _known(of: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return a function that says so where there is no digest."""

    def known(value: Any) -> Any:
        try:
            return of(value)
        except NoDigest as e:
            return {factwords.UNKNOWN: str(e), "unlike": uuid.uuid4().hex}

    return known


def _input(bound: BoundInput, digests: Digests) -> dict[str, Any]:
    """Return what an input is, and digests of where it is in the files and of its mask."""
    return {
        "name": bound.name,
        "key": bound.key,
        "modules": list(bound.modules),
        "sources": list(bound.location.sources),
        "place": _known(digests.of)(_place(bound.location)),
        "mask": None if bound.mask is None else _known(digests.of)(_place(bound.mask)),
        "parts": [_input(part, digests) for part in bound.parts],
        "facts": dict(bound.facts),
        "values": bound.joined and digests.of([bound.joined.values, bound.joined.there]),
    }


def _place(value: Any) -> Any:
    """Return an input's place without the files themselves, whose paths may be written in several ways."""
    if isinstance(value, (list, tuple)):
        return [_place(v) for v in value]
    if isinstance(value, str):
        # It names a source or a dataset, not a file that would have to be looked for.
        return value.encode()
    if not is_dataclass(value):
        return value
    skipped = ("files", "stats") if isinstance(value, Location) else ("said",)
    return [[f.name.encode(), _place(getattr(value, f.name))] for f in fields(value) if f.name not in skipped]
