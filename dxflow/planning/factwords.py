"""What a result depends on, in words: all of it, in brief, and how two differ."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

UNKNOWN = "no digest"
"""Stands for the content of what has none, with what it is and a text that nothing else has."""
SOME = 3
"""Inputs, algorithms, and things that an algorithm depends on, that `print` shows."""


def unknown(algorithm: Mapping[str, Any]) -> Iterator[str]:
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


GROWING = ("run", "files", "trains", "frames", "chunks")
IN_FILES = ("place", "mask", "parts", "values")
"""Facts, and those of inputs, that differ when a run has got more trains."""


def lasting(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the facts that do not."""
    inputs = [{k: v for k, v in one.items() if k not in IN_FILES} for one in facts.get("inputs", [])]
    return {k: v for k, v in facts.items() if k not in GROWING} | {"inputs": inputs}


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Yield in words how facts differ."""
    yield from _of_files(old.get("files", {}), new.get("files", {}))
    yield from _of_algorithms(old.get("algorithms", []), new["algorithms"])
    yield from _of_inputs(old.get("inputs", []), new["inputs"])
    for name, what in WORDS.items():
        if not _same(old.get(name), new.get(name)):
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
    "chunk_trains": "how many trains a chunk has (chunk=)",
    "units": "the trains that are added up at once (chunk=)",
    "parts": "how modules are cut into parts",
    "where": "the condition on frames (where=)",
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
                else f"{INPUT.get(key, key)} of {name}"
            )


INPUT = {
    "place": "where or what in the files is read",
    "mask": "the mask",
    "parts": "what is joined to the frames",
    "values": "the values",
    "name": "the name",
    "key": "the key",
    "facts": "the clock or other facts",
}


def _changed(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Yield (name, old, new) of what differs; None where there is none."""
    for key in dict.fromkeys([*old, *new]):
        if not _same(old.get(key), new.get(key)):
            yield key, old.get(key), new.get(key)


def _same(a: Any, b: Any) -> bool:
    """Return whether two JSON values are equal: NaN is NaN, and a path is what it leads to."""
    return json.dumps(led(a), sort_keys=True) == json.dumps(led(b), sort_keys=True)


def led(value: Any) -> Any:
    """Return a value in which a path is what it leads to."""
    if isinstance(value, dict):
        return {k: led(v) for k, v in value.items() if k != "path" or "content" not in value}
    return [led(v) for v in value] if isinstance(value, list) else value


def _shown(value: Any) -> str:
    """Return a value for a message."""
    if isinstance(value, dict) and "path" in value:
        return str(value["path"])
    text = "none" if value is None else json.dumps(value) if not isinstance(value, str) else value
    return text if len(text) <= 200 else f"{text[:200]}..."


def lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield what a result depends on, for people."""
    yield _run(facts)
    yield from (_read(one) for one in facts["inputs"])
    for one in facts["algorithms"]:
        yield f"algorithm   {one['name']}: {one['class']}"
        yield from _details(one)
        yield from (f"  code {key} {value}" for key, value in one["code"].items())
    yield from _rest(facts)


def brief(facts: Mapping[str, Any]) -> Iterator[str]:
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
    if "where" in facts:
        yield f"where       {facts['where']}"
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
