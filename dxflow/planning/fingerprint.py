"""What a result depends on, as one object: printed, compared when a run is resumed, kept with the result."""

from __future__ import annotations

import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors.redact import hidden_in
from ..reader.files import Stat
from ..run.locate import Location
from .digests import Digests
from .diskdigests import NoDigest, digest
from .sourcecode import code_of, libraries_of, version_of

if TYPE_CHECKING:
    from ..run.bound import BoundInput
    from .bound import BoundAlgorithm
    from .plan import Plan

UNKNOWN = "no digest"
"""Stands for the content of what has none, with what it is and a text that nothing else has."""
SOME = 3
"""Inputs, algorithms, and things that an algorithm depends on, that `print` shows."""
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
        return digest(json.dumps(_led({k: v for k, v in self.facts.items() if k != "run"}), sort_keys=True))

    @property
    def unknown(self) -> list[str]:
        """What has no digest, so that nobody can say whether it is the same."""
        return [text for one in self.facts["algorithms"] for text in _unknown(one)]

    def differences(self, old: Mapping[str, Any]) -> list[str]:
        """Return in words what another reduction had that this one does not have, or the other way round."""
        return list(dict.fromkeys(_differences(old, self.facts)))

    def text(self) -> str:
        """Return all of it in words; `print` shows what fits a screen."""
        return "\n".join(_lines(self.facts))

    def __str__(self) -> str:
        return "\n".join(fitted(_brief(self.facts)))


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
            "units": {a.name: a.unit for a in plan.algorithms},
            "parts": [[p.start, p.stop] for p in plan.parts],
            "block": plan.block_bytes,
            "on_fault": plan.on_fault,
            "versions": versions()
            | {k: v for a in plan.algorithms for k, v in libraries_of(type(a.algorithm)).items()},
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
        for at in _locations(bound)
        for file, stat in zip(at.files, at.stats, strict=True)
    }
    return {file: found[file] for file in sorted(found)}


def _locations(value: Any) -> Iterator[Location]:
    """Yield where an input is, its mask, and the inputs that it is made of."""
    if isinstance(value, Location):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _locations(one)
    elif is_dataclass(value):
        for field in fields(value):
            yield from _locations(getattr(value, field.name))


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
            return {UNKNOWN: str(e), "unlike": uuid.uuid4().hex}

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


# In words ---------------------------------------------------------------------------------------


def _unknown(algorithm: Mapping[str, Any]) -> Iterator[str]:
    """Yield what of an algorithm has no digest, and why."""
    name = algorithm["name"]
    for kind, word in KINDS.items():
        for key, value in algorithm[kind].items():
            yield from (f"{word} {key} of {name} ({why})".strip() for why in _why(value))
    yield from (f"code of {name} ({why})" for why in _why(algorithm["code"]))


def _why(value: Any) -> Iterator[str]:
    if isinstance(value, dict) and UNKNOWN in value:
        yield value[UNKNOWN]
    elif isinstance(value, (dict, list)):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _why(inner)


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    yield from _of_files(old.get("files", {}), new["files"])
    yield from _of_algorithms(old.get("algorithms", []), new["algorithms"])
    yield from _of_inputs(old.get("inputs", []), new["inputs"])
    for name, what in WORDS.items():
        if not _same(old.get(name), new[name]):
            yield what
    for name in ("block", "on_fault"):
        if not _same(old.get(name), new[name]):
            yield f"{name}: {_shown(old.get(name))} -> {_shown(new[name])}"
    for name, was, now in _changed(old.get("versions", {}), new["versions"]):
        yield f"version of {name}: {_shown(was)} -> {_shown(now)}"


WORDS = {
    "trains": "the trains of the run",
    "frames": "the frames that are read (selection, pulse or cell ids)",
    "chunks": "how the run is cut into chunks (chunk=)",
    "units": "the trains that are added up at once (chunk=)",
    "parts": "how modules are cut into parts",
}


def _of_files(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for file, was, now in _changed(old, new):
        if was is None:
            yield f"file {file}: was not read"
        elif now is None:
            yield f"file {file}: is not read now"
        else:
            yield f"file {file} has changed since (size {was[0]} -> {now[0]}, or its date)"


def _of_algorithms(old: list[Any], new: list[Any]) -> Iterator[str]:
    """Yield how algorithms differ: which there are, else what of each."""
    names = [[a["name"] for a in which] for which in (old, new)]
    if names[0] != names[1]:
        yield f"algorithms: {', '.join(names[0]) or 'none'} -> {', '.join(names[1])}"
        return
    for was, now in zip(old, new, strict=True):
        name = now["name"]
        if was["class"] != now["class"]:
            yield f"class of {name}: {was['class']} -> {now['class']}"
        for kind, word in KINDS.items():
            for key, a, b in _changed(was.get(kind, {}), now[kind]):
                yield _of_content(f"{word} {key} of {name}", a, b)
        for key, a, b in _changed(was.get("code", {}), now["code"]):
            yield f"code of {key} " + (
                "was not used" if a is None else "is not used now" if b is None else "changed"
            )


KINDS = {"options": "option", "inputs": "input", "depends": "", "attributes": "attribute"}


def _of_content(what: str, was: Any, now: Any) -> str:
    """Say how a value differs, or that a file of the same name has other content."""
    what = what.strip()
    if isinstance(was, dict) and isinstance(now, dict) and was.get("path") == now.get("path") is not None:
        return f"{what}: {now['path']} has other content"
    return f"{what}: {_shown(was)} -> {_shown(now)}"


def _of_inputs(old: list[Any], new: list[Any]) -> Iterator[str]:
    """Yield how what is read differs, unless a difference of files or options says it already."""
    names = [
        [f"{i['name']} {i['key']}" if isinstance(i, dict) else str(i) for i in which] for which in (old, new)
    ]
    if names[0] != names[1]:
        yield f"inputs: {', '.join(names[0]) or 'none'} -> {', '.join(names[1])}"
        return
    for was, now, name in zip(old, new, names[1], strict=True):
        for key, a, b in _changed(was, now):
            yield (
                f"{key} of {name}: {_shown(a)} -> {_shown(b)}"
                if key in ("modules", "sources")
                else f"{INPUT[key]} of {name}"
            )


INPUT = {
    "place": "where or what in the files is read",
    "mask": "the mask",
    "parts": "what is joined to the frames",
    "values": "the values",
    "name": "the name",
    "key": "the key",
}


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield (name, old, new) of what differs; None where there is none."""
    for key in dict.fromkeys([*old, *new]):
        if not _same(old.get(key), new.get(key)):
            yield key, old.get(key), new.get(key)


def _same(a: Any, b: Any) -> bool:
    """Return whether two JSON values are equal: NaN is NaN, and a path is what it leads to."""
    return json.dumps(_led(a), sort_keys=True) == json.dumps(_led(b), sort_keys=True)


def _led(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _led(v) for k, v in value.items() if k != "path" or "content" not in value}
    return [_led(v) for v in value] if isinstance(value, list) else value


def _shown(value: Any) -> str:
    """Return a value for a message."""
    if isinstance(value, dict) and "path" in value:
        return str(value["path"])
    text = "none" if value is None else json.dumps(value) if not isinstance(value, str) else value
    return text if len(text) <= 200 else f"{text[:200]}..."


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a result depends on, for people."""
    yield _run(facts)
    yield from (_read(one) for one in facts["inputs"])
    for one in facts["algorithms"]:
        yield f"algorithm   {one['name']}: {one['class']}"
        yield from _details(one)
        yield from (f"  code {key} {value}" for key, value in one["code"].items())
    yield from _rest(facts)


def _brief(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield as much of it as fits a screen."""
    yield _run(facts)
    yield from few([_read(one) for one in facts["inputs"]], SOME)
    yield from few(["\n".join(_algorithm_in_brief(one)) for one in facts["algorithms"]], SOME)
    yield from _rest(facts)
    yield "all of it   plan.fingerprint.text(), or of a result: dxflow info RESULT --all"


def _algorithm_in_brief(one: Mapping[str, Any]) -> Iterator[str]:
    yield f"algorithm   {one['name']}: {one['class']}, code of {len(one['code'])} classes and files"
    yield from few([*_details(one)], SOME)


def _run(facts: Mapping[str, Any]) -> str:
    return f"run         {facts['run']}: {len(facts['files'])} files, {facts['trains'][0]} trains"


def _read(one: Mapping[str, Any]) -> str:
    return f"input       {one['name']} {one['key']}" + (f", mask {one['mask']}" if one["mask"] else "")


def _details(one: Mapping[str, Any]) -> Iterator[str]:
    """Yield options, inputs, attributes and what else an algorithm depends on."""
    for kind, word in KINDS.items():
        for key, value in one[kind].items():
            yield f"  {f'{word} {key}'.strip()} = {_shown(value)}{_content(value)}"


def _rest(facts: Mapping[str, Any]) -> Iterator[str]:
    yield f"chunks      {len(facts['chunks'])}, blocks of {facts['block']} bytes, on_fault={facts['on_fault']}"
    yield "versions    " + ", ".join(f"{k} {v}" for k, v in facts["versions"].items())


def _content(value: Any) -> str:
    return f" ({value['content']})" if isinstance(value, dict) and "content" in value else ""


def few(lines: Sequence[str], most: int) -> list[str]:
    """Return the first of some lines, and how many more there are."""
    more = len(lines) - most
    # One more line, or that there is one more: the same length.
    return [*lines] if more <= 1 else [*lines[:most], f"  ... and {more} more"]


def fitted(texts: Iterable[str]) -> Iterator[str]:
    """Yield lines, the ends of those that are longer than the terminal left out."""
    width = shutil.get_terminal_size((100, 24)).columns
    for line in (line for text in texts for line in text.splitlines()):
        yield line if len(line) <= width else f"{line[: width - 3]}..."
