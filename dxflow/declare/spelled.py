"""Options and inputs of algorithms spelled as plain values, for configurations, and read back."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors.kinds import shown
from ..errors.near import did_you_mean, listed
from ..run.regions import Regions
from ..run.timing import Reference, Timing
from .beside import Beside
from .bunches import Bunches, Monitored
from .exposures import FrameClock
from .inputs import Frames, From, Key
from .labelled import Pattern
from .labels import Labels
from .pulses import PulseKey
from .pumped import Pumped
from .steps import Bins, Steps

if TYPE_CHECKING:
    from .algorithm import Algorithm

CLASSES: dict[str, type[Any]] = {
    one.__name__: one
    for one in (
        Frames,
        Key,
        PulseKey,
        Beside,
        FrameClock,
        Timing,
        Reference,
        Bunches,
        Monitored,
        Pumped,
        Pattern,
    )
} | {one.__name__: one for one in (Steps, Bins, Regions, From)}
"""Those that are spelled by their fields, ``{Key: {source: ..., key: ...}}``."""
UNSPELLED = "not in any file"
"""Stands for what cannot be spelled, with what it is."""
FEW, LONG = 256, 10_000
"""Values of an array, and of a list, that is spelled."""
SPECIAL = ("Labels", "Result", "array", "slice", "pairs", UNSPELLED)


def spelled(value: Any) -> Any:
    """Return a value as plain data; what has none becomes ``{UNSPELLED: what it is}``."""
    try:
        return _spelled(value)
    # Whatever objects of users raise when they are compared or taken apart: nobody may need a configuration.
    except (TypeError, ValueError, AttributeError, RecursionError) as e:
        return {UNSPELLED: f"{type(value).__name__} ({e})"}


def _spelled(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple, range)):
        if len(value) > LONG:
            return {UNSPELLED: f"{len(value)} values"}
        return [spelled(one) for one in value]
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value):
            return {key: spelled(one) for key, one in value.items()}
        # Keys of JSON are texts.
        return {"pairs": [[spelled(key), spelled(one)] for key, one in value.items()]}
    return _of_object(value)


def _of_object(value: Any) -> Any:
    """Return what is no plain value as data, under the name of what it is."""
    name = type(value).__name__
    if isinstance(value, slice):
        return {"slice": [spelled(value.start), spelled(value.stop), spelled(value.step)]}
    if isinstance(value, np.ndarray) and value.size <= FEW and value.dtype.kind in "biufU":
        return {"array": value.tolist(), "dtype": value.dtype.str}
    if isinstance(value, From):
        return value.output
    alone = type(value) is Key or (type(value) is Beside and value.frames == Frames())
    if alone and value.key and not value.offset:
        return f"{value.source}:{value.key}"
    if isinstance(value, Labels):
        return _of_labels(value)
    if hasattr(value, "manifest") and hasattr(value, "path"):
        kept = getattr(value, "kept", True)
        return (
            {"Result": str(value.path)}
            if kept
            else {UNSPELLED: "a result without a name: give it a place, to="}
        )
    if type(value) is CLASSES.get(name):
        own = {f.name: getattr(value, f.name) for f in fields(value)}
        usual = {f.name: f.default for f in fields(value)}
        return {
            name: {k: spelled(v) for k, v in own.items() if v is not usual[k] and not _equal(v, usual[k])}
        }
    return {UNSPELLED: shown(value)}


def _equal(a: Any, b: Any) -> bool:
    """Return whether two values are the same; those that cannot be compared are not."""
    try:
        return a is b or (type(a) is type(b) and not isinstance(a, np.ndarray) and bool(a == b))
    except (TypeError, ValueError, AttributeError):
        return False


def _of_labels(labels: Labels) -> Any:
    """Return labels as text where they are a key alone, else with what is made of them."""
    values = labels.values
    if hasattr(values, "coords") or hasattr(values, "data_vars"):
        return {UNSPELLED: "labels of an array: write it as a result or a table, and give its path"}
    own: dict[str, Any] = {"of": spelled(values)}
    if labels.name:
        own["name"] = labels.name
    if labels.cut is not None:
        own["cut"] = spelled(labels.cut)
    return {"Labels": own}


def lacking(tree: Any, at: str = "") -> list[str]:
    """Return what of plain data could not be spelled, each with where it stands."""
    if isinstance(tree, Mapping):
        if UNSPELLED in tree:
            return [f"{at.lstrip('.')} is {tree[UNSPELLED]}"]
        return [line for key, one in tree.items() for line in lacking(one, f"{at}.{key}")]
    if isinstance(tree, list):
        return [line for n, one in enumerate(tree) for line in lacking(one, f"{at}.{n}")]
    return []


def read(value: Any, opened: Callable[[str], Any]) -> Any:
    """Return the value that plain data spell.

    Parameters
    ----------
    opened : callable
        Opens a result at a path.

    Raises
    ------
    ValueError, TypeError
        If there is no such thing, or its fields do not fit.
    """
    if isinstance(value, (list, tuple)):
        return [read(one, opened) for one in value]
    if not isinstance(value, Mapping):
        return value
    name = next(iter(value), None)
    if name == "array" and set(value) == {"array", "dtype"}:
        return np.asarray(value["array"], value["dtype"])
    if len(value) == 1 and name in (*SPECIAL, *CLASSES):
        return _read(str(name), value[name], opened)
    return {key: read(one, opened) for key, one in value.items()}


def _read(name: str, given: Any, opened: Callable[[str], Any]) -> Any:
    """Return the object that is spelled under its name."""
    if name == "slice":
        return slice(*given)
    if name == "pairs":
        return {key: read(one, opened) for key, one in given}
    if name == "Result":
        return opened(given)
    if name == UNSPELLED:
        raise ValueError(f"{UNSPELLED}: {given}")
    if not isinstance(given, Mapping):
        raise ValueError(f"{name}: {given!r}: expected its fields with values")
    own = {key: read(one, opened) for key, one in given.items()}
    if name == "Labels":
        if "of" not in own or set(own) - {"of", "name", "cut"}:
            raise ValueError(f"Labels: {listed(own)}: expected of, and perhaps name and cut")
        return _read_labels(own)
    cls = CLASSES[name]
    known = [f.name for f in fields(cls)]
    if unknown := [key for key in own if key not in known]:
        near = did_you_mean(str(unknown[0]), known)
        raise ValueError(f"{name} has no {unknown[0]!r}.{near} Expected: {listed(known)}")
    # Fields that are tuples have become lists.
    return cls(**{key: _tuples(one) if isinstance(one, list) else one for key, one in own.items()})


def _read_labels(own: dict[str, Any]) -> Labels:
    values = own["of"]
    if isinstance(values, str):
        values = _key(values) or values
    labels, cut = Labels(values, own.get("name")), own.get("cut")
    return labels if cut is None else labels._cut(cut)


def _key(text: str) -> Key | None:
    """Return the key that a text is, None where it is a path."""
    source, colon, key = text.rpartition(":")
    return Key(source, key) if colon and not Path(text).exists() and not Path(source).exists() else None


def _tuples(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(_tuples(one) if isinstance(one, list) else one for one in values)


# Algorithms -------------------------------------------------------------------------------------


def algorithms(several: Sequence[Algorithm]) -> list[Any]:
    """Return algorithms as a list of names with what is not as by default: variants together."""
    out: list[Any] = []
    taken: set[Any] = set()
    for one in several:
        if one.variant is None:
            out.append(_algorithm(one, {}))
        elif one.variant not in taken:
            taken.add(one.variant)
            same = [other for other in several if other.variant == one.variant]
            varied = {k: [spelled(other.options[k]) for other in same] for k in one.variant.options}
            out.append(_algorithm(one, varied))
    return out


def _algorithm(one: Algorithm, varied: Mapping[str, list[Any]]) -> Any:
    """Return an algorithm as a name, or a name with options, inputs, and lists of those that vary."""
    cls = type(one)
    own: dict[str, Any] = {}
    usual = cls.ALG_ID or cls.__name__.lower()
    name = one.name if one.variant is None else one.variant.of
    if name != usual:
        own["name"] = name
    if one.variant and one.variant.names != tuple(f"{name}_{n + 1}" for n in range(len(one.variant.names))):
        own["name"] = list(one.variant.names)
    defaults = _defaults(cls)
    for key, value in one.options.items():
        if key not in varied and (key not in defaults or not _same(value, defaults[key])):
            own[key] = spelled(value)
    for alias, what in one.inputs.items():
        if alias in cls.inputs and not _equal(what, cls.inputs[alias]):
            own[alias] = spelled(what)
    if varied:
        own["variants"] = dict(varied)
    return {_class(cls): own} if own else _class(cls)


def _defaults(cls: type[Algorithm]) -> dict[str, Any]:
    from .signatures import actions

    return {name: action.default for name, action in actions(cls).items()}


def _same(a: Any, b: Any) -> bool:
    return a is b or (isinstance(a, (str, int, float, bool, tuple)) and type(a) is type(b) and bool(a == b))


def _class(cls: type[Algorithm]) -> Any:
    """Return the name under which an algorithm is found, or that it has none."""
    module = cls.__module__
    if module.startswith("dxflow.algorithms."):
        return module.rpartition(".")[2]
    # A file that is named on the command line is no module that others could import.
    codes = [one.__code__ for one in vars(cls).values() if inspect.isfunction(one)]
    file = codes[0].co_filename if codes else ""
    return (
        f"{file}:{cls.__qualname__}"
        if Path(file).is_file() and "<" not in cls.__qualname__
        else f"{cls.__qualname__} ({UNSPELLED})"
    )
