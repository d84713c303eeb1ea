"""Labels on the command line: what is grouped by, and what the names of a condition stand for."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..declare.inputs import From, Key
from ..declare.labels import Labels
from ..declare.signatures import actions
from ..errors.near import listed
from ..errors.usage import UsageError

if TYPE_CHECKING:
    from ..declare.algorithm import Algorithm

FORMS = "SOURCE:KEY, the path of a result (lit.zarr or lit.zarr:litframes.lit) or pattern:on,off"
NUMBER = r"-?\d+\.?\d*(?:[eE][-+]?\d+)?"
PATTERN = "pattern:"
PLAIN = (str, int, float, bool, tuple)
FLAGS = {"true": True, "false": False}


def steps(text: str) -> tuple[float, int, int]:
    """Return ``0.01,5,10`` as tolerance, settle and least; the last two may be left out."""
    if not re.fullmatch(rf"{NUMBER}(,\d+){{0,2}}", text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: write TOLERANCE[,SETTLE[,LEAST]], such as 0.01,5,10: in the unit of the label, and trains"
        )
    tolerance, *rest = text.split(",")
    settle, least = (*(int(n) for n in rest), *(0, 2)[len(rest) :])
    return float(tolerance), settle, least


def bins(text: str) -> tuple[Any, bool]:
    """Return ``5``, ``q5`` (quantiles) or ``0,1,2.5`` (edges) as arguments of `Labels.bins`."""
    if match := re.fullmatch(r"(q?)(\d+)", text):
        return int(match[2]), bool(match[1])
    if not re.fullmatch(rf"{NUMBER}(,{NUMBER})+", text):
        raise argparse.ArgumentTypeError(
            f"{text!r}: write a number of bins, 5, of bins that hold equally many, q5, or their edges, 0,1,2.5"
        )
    return [float(edge) for edge in text.split(",")], False


def of_where(args: argparse.Namespace) -> dict[str, Any]:
    """Return ``--where`` and ``--label`` as keyword arguments of `dxflow.plan`."""
    if not isinstance(args.where, (str, type(None))):
        return {"where": args.where}
    if args.where is None:
        if args.label and not args.by and not getattr(args, "labelled", False):
            raise UsageError(f"--label {args.label[0]}: labels are for --where or --by, which are not given")
        return {}
    labels = named(args)
    alone = labels.pop("", None)
    if labels and alone:
        raise UsageError(
            f"--label {alone.source}: give it a name, NAME={alone.source}, beside others with one"
        )
    return {"where": args.where, "labels": alone or labels or None}


def by_of(args: argparse.Namespace) -> Labels:
    """Return the labels that ``--by`` means, with its steps or bins."""
    if args.by_steps is not None and args.by_bins is not None:
        raise UsageError("--by-steps and --by-bins: expected one of them")
    there = named(args)
    if "" in there and re.fullmatch(r"[A-Za-z_]\w*\.\w+", args.by) and not Path(args.by).exists():
        # An output of the result that was given without a name.
        there[args.by] = Labels(there[""].values, args.by)
    made = there[args.by] if args.by in there else of_text(args.by, args, f"--by {args.by}", there)
    try:
        if args.by_steps is not None:
            return made.steps(*args.by_steps)
        return made if args.by_bins is None else made.bins(*args.by_bins)
    except ValueError as e:
        raise UsageError(str(e)) from e


def grouped(algorithms: Sequence[Algorithm], args: argparse.Namespace) -> list[Algorithm]:
    """Return algorithms with ``--by``, labels or an output of one before, for those that have none of their own."""
    if args.by is None:
        if cut := [f"--by-{name}" for name in ("steps", "bins") if getattr(args, f"by_{name}") is not None]:
            raise UsageError(f"{cut[0]}: of what? give --by as well")
        return list(algorithms)
    names, found, made = [one.name for one in algorithms], None, []
    for n, one in enumerate(algorithms):
        if takes(one) and one.inputs.get("by") is None:
            if args.by.partition(".")[0] in names[:n]:
                one = _with(one, From(args.by))
            else:
                found = found or by_of(args)
                one = _with(one, found)
        made.append(one)
    return made


def takes(algorithm: Algorithm) -> bool:
    """Return whether an algorithm can be grouped."""
    return "by" in type(algorithm).inputs


def refuse_unused(algorithms: Sequence[Algorithm], args: argparse.Namespace) -> None:
    """Raise if ``--by`` is given and no algorithm takes it."""
    if args.by is not None and not any(takes(one) for one in algorithms):
        from .. import find

        able = [name for name in find.algorithm_names() if "by" in find.algorithm(name).inputs]
        raise UsageError(
            f"--by {args.by}: {listed(a.name for a in algorithms)} cannot be grouped; {listed(able)} can"
        )


def _with(algorithm: Algorithm, by: Any) -> Algorithm:
    """Return an algorithm with labels to group by."""
    cls = type(algorithm)
    own = {alias: what for alias, what in algorithm.inputs.items() if alias in cls.inputs}
    try:
        made = cls(name=algorithm.name, **{**given(algorithm), **own, "by": by})
    except (TypeError, ValueError) as e:
        raise UsageError(f"--by: {e}") from e
    made.variant = algorithm.variant
    return made


def given(algorithm: Algorithm) -> dict[str, Any]:
    """Return the options of an algorithm that are not as they are by default."""
    usual = {name: action.default for name, action in actions(type(algorithm)).items()}
    return {
        name: value
        for name, value in algorithm.options.items()
        if value is not usual.get(name) and not (isinstance(value, PLAIN) and value == usual.get(name))
    }


def known(text: str, args: argparse.Namespace) -> Labels | None:
    """Return the labels that ``--input ALIAS=`` means: a name of ``--label``, a result, a pattern; else None."""
    if text in (there := named(args)):
        args.labelled = True
        return there[text]
    path = text.rpartition(":")[0]
    is_label = text.startswith(PATTERN) or Path(text).exists() or (path and Path(path).exists())
    return of_text(text, args, f"--input {text}", ()) if is_label else None


def named(args: argparse.Namespace) -> dict[str, Labels]:
    """Return the labels of ``--label``, by name, that of a result without one under "", and those of other names."""
    found: dict[str, Labels] = {}
    for text in args.label or ():
        match = re.fullmatch(r"([A-Za-z_][\w.]*)=(.+)", text)
        if match is None and re.match(r"[\w. -]*=", text):
            raise UsageError(
                f"--label {text}: {text.partition('=')[0]!r} is no name; expected letters, digits and _"
            )
        name, what = (match[1], match[2]) if match else ("", text)
        if name in found:
            raise UsageError(f"--label {text}: {name or 'a result without a name'} is given twice")
        found[name] = of_text(what, args, f"--label {text}", ())
        if not name and not found[""].of_result:
            raise UsageError(f"--label {text}: expected NAME={text}")
    return {**(getattr(args, "configured", None) or {}), **(getattr(args, "taken", None) or {}), **found}


def of_text(text: str, args: argparse.Namespace, said: str, names: Any) -> Labels:
    """Return the labels that a text means."""
    path, colon, rest = text.rpartition(":")
    if Path(text).exists():
        return Labels(text)
    if colon and Path(path).exists():
        return Labels(path, rest)
    if text.startswith(PATTERN):
        return Labels.pattern([_word(word) for word in text.removeprefix(PATTERN).split(",")])
    if not colon or not rest:
        there = f" Names given by --label: {listed(names)}" if names else ""
        raise UsageError(f"{said}: there is no result of this name; expected {FORMS}.{there}")
    return Labels(Key(path, rest))


def _word(word: str) -> Any:
    """Return a boolean, a number or the text itself."""
    if word.lower() in FLAGS:
        return FLAGS[word.lower()]
    return float(word) if re.fullmatch(NUMBER, word) else word
