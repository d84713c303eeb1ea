"""The options of a pass on the command line: those that every command which reads a run shares."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..declare.exposures import FrameClock
from ..declare.inputs import Frames
from ..errors.usage import UsageError, text_of
from ..run.selection import First, FrameSelection
from . import labels

if TYPE_CHECKING:
    from ..declare.algorithm import Algorithm

SELECTORS = ("trains", "pulses", "cells")
RANGE, LIST = r"\d*:\d*(:\d+)?", r"\d+(,\d+)*"
RUN = "a run directory, one file, or PROPOSAL:RUN such as 900123:34"


def ids(text: str) -> slice | list[int]:
    """Return ``10001:10050`` as a slice and ``10001,10004`` as numbers."""
    if re.fullmatch(RANGE, text):
        return slice(*(int(part) if part else None for part in text.split(":")))
    if re.fullmatch(LIST, text):
        return [int(part) for part in text.split(",")]
    raise argparse.ArgumentTypeError(
        f"{text!r}: write 10001:10050 (end excluded), 10001:10050:2 or 10001,10004"
    )


def trains(text: str) -> slice | list[int] | First:
    """Return ``200`` as the first 200 trains, and ids as `ids` does: one id is ``=10001`` or ``10001,``."""
    if re.fullmatch(r"\d+", text) and int(text):
        return First(int(text))
    if one := re.fullmatch(r"=(\d+)|(\d+),", text):
        return [int(one[1] or one[2])]
    if re.fullmatch(rf"{RANGE}|\d+,[\d,]+", text):
        return ids(text)
    raise argparse.ArgumentTypeError(
        f"{text!r}: write 10001:10050 (end excluded), 10001:10050:2 or 10001,10004; 200 is the first 200 trains, "
        "=10001 the one with this id"
    )


def numbers(text: str) -> Any:
    """Return ``0,1,4-6`` as numbers, and the path of a result as that result."""
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        return _result(text, "0,1,2 or 0-7")
    spans = [part.split("-") for part in text.split(",")]
    return tuple(n for span in spans for n in range(int(span[0]), int(span[-1]) + 1))


def region(text: str) -> Any:
    """Return ``100:200,:`` as slices, and the path of a result as that result."""
    if not re.fullmatch(r"\d*:\d*,\d*:\d*", text):
        return _result(text, "100:200,: for slow and fast scan")
    ends = [[int(n) if n else None for n in part.split(":")] for part in text.split(",")]
    return slice(*ends[0]), slice(*ends[1])


def _result(path: str, words: str) -> Any:
    """Return the result that is there, or say what can be written."""
    if (found := of_result(path)) is None:
        raise argparse.ArgumentTypeError(f"{path!r}: write {words}, or the path of a result of dxflow")
    return found


def of_result(path: str) -> Any:
    """Return the result that is at a path, None if there is none."""
    from pathlib import Path

    from ..driver.result import Result

    there = (Path(path) / "dxflow.json").is_file() or Path(path).is_file()
    return Result(path) if there else None


def positive(text: str) -> int:
    """Return a number of at least 1."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive number")
    return int(text)


OPTIONS: dict[str, dict[str, Any]] = {
    "frames": {
        "action": "append",
        "metavar": "WHICH",
        "help": "only these frames: a result that selects (lit.zarr, of several lit.zarr:NAME), or pulses=, cells=, "
        "trains= with a half-open range of ids 0:100 or a list 0,4,8; may be repeated, all must agree",
    },
    "where": {
        "metavar": "CONDITION",
        "help": "only frames for which this holds, 'xgm > 800 & lit': comparisons joined by &, |, ~, of names that "
        "--label gives or that are known by themselves (lit, xgm, pumped, aliases, motors, litframes.lit_pixels); what "
        "has no value never passes",
    },
    "label": {
        "action": "append",
        "metavar": "NAME=WHAT",
        "help": "what a name stands for: SOURCE:KEY of the run (with a value per train or pulse), a result (lit.zarr, "
        "lit.zarr:litframes.lit) or pattern:on,off; may be repeated",
    },
    "by": {
        "metavar": "LABEL",
        "help": "a result for each value of a label, for algorithms that can be grouped: a name of --label, what that "
        "takes, or a name that is known by itself, such as that of a motor",
    },
    "by-steps": {
        "type": labels.steps,
        "metavar": "TOL,SETTLE,LEAST",
        "help": "group by where a motor rests: within a tolerance, trains left out after each move, and least trains",
    },
    "by-bins": {
        "type": labels.bins,
        "metavar": "N",
        "help": "group by ranges of the label: 5 equally wide ones, q5 that hold equally many, or edges 0,1,2.5",
    },
    "trains": {
        "type": trains,
        "metavar": "N|IDS",
        "help": "200: the first 200 trains; or only these train ids: 10001:10050 (end excluded), 10001,10004, =10001",
    },
    "detector": {"metavar": "NAME", "help": "which detector, where the run has several"},
    "modules": {
        "type": numbers,
        "metavar": "0,1,...",
        "help": "only these modules (0,1,2 or 0-7), or those of a result, signal.zarr",
    },
    "roi": {
        "type": region,
        "metavar": "SS,FS",
        "help": "only these pixels of each module: 100:200,: (end excluded), or the regions of a result, signal.zarr",
    },
    "mask": {
        "action": "append",
        "metavar": "WHICH",
        "help": "which pixels of images are bad: auto (default: the run's own mask for corrected data), none, a key, "
        "or a file: bad.npy, bad.h5:/path, result.zarr:name; may be repeated: bad in any of them",
    },
    "mask-bits": {
        "metavar": "BITS",
        "help": "bits of masks that make a pixel bad: 0x1f, or names such as NOISE_OUT_OF_THRESHOLD (default: all)",
    },
    "cluster": {
        "metavar": "KIND",
        "help": "where it runs: here, local, or another kind with options, local:workers=4 (default: local)",
    },
    "workers": {"type": positive, "metavar": "N", "help": "worker processes (default: one per core)"},
    "on-fault": {"choices": ("mask", "raise"), "help": "go on without what is broken, or stop at it"},
    "suspect": {
        "choices": ("use", "skip"),
        "help": "trains that files flag as suspect (INDEX/flag): use and count them, or leave them out (default: use)",
    },
    "chunk": {"metavar": "SIZE", "help": "input of one task (default: 1 GiB), or '64 trains'"},
    "block": {"metavar": "SIZE", "help": "bytes read at once (default: 4 MiB)"},
    "hook-timeout": {
        "type": float,
        "metavar": "SECONDS",
        "help": "end a call of a hook that takes longer, as an error or a loss (default: wait, and say so)",
    },
    "quiet": {"action": "store_true", "help": "show no progress"},
    "name": {"metavar": "NAME", "help": "what this pass is called: in its report, and kept with the result"},
    "resume": {"action": "store_true", "help": "go on with an interrupted run"},
    "overwrite": {"action": "store_true", "help": "replace an existing result"},
    "codec": {
        "metavar": "NAME",
        "help": "how arrays are compressed: deflate, bitshuffle+lz4, bitshuffle+zstd",
    },
}
"""Name -> arguments of `argparse.ArgumentParser.add_argument`. Those of `PLAN` go to `dxflow.plan` as they are."""
ALIASES = {"by-bins": ("--bins",), "by-steps": ("--steps",)}
"""Shorter names, where a command or recipe has no option of its own under them."""
OF_FRAMES = ("detector", "modules", "roi")
"""Those that say which data of a detector are read: fields of `dxflow.Frames`."""
PLAN = (
    *("mask_bits", "on_fault", "suspect", "chunk", "block"),
    *("hook_timeout", "quiet", "name", "resume", "overwrite", "codec"),
)


def add_pass_options(parser: argparse.ArgumentParser, only: Sequence[str] = tuple(OPTIONS)) -> None:
    """Add the options of a pass to a parser.

    Parameters
    ----------
    only : sequence of str
        Those that mean something to this command; all by default.
    """
    for name, given in OPTIONS.items():
        if name in only:
            others = [flag for flag in ALIASES.get(name, ()) if flag not in parser._option_string_actions]
            parser.add_argument(f"--{name}", *others, **given)


def of_plan(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options of a pass that were given as keyword arguments of `dxflow.plan`."""
    given = {k: v for k in PLAN if (v := getattr(args, k, None)) is not None}
    if getattr(args, "mask", None):
        given["mask"] = mask_of(args.mask)
    return {"frames": frames_of(args.frames or (), args.trains), **labels.of_where(args), **given}


def of_frames(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options that say which data of a detector are read, as keyword arguments of `dxflow.Frames`."""
    return {k: v for k in OF_FRAMES if (v := getattr(args, k, None)) is not None}


def mask_of(texts: Sequence[str]) -> Any:
    """Return what ``--mask`` means to `dxflow.plan`."""
    if "none" not in texts:
        return tuple(texts) if len(texts) > 1 else texts[0]
    if len(texts) > 1:
        raise ValueError(
            f"--mask none together with {[t for t in texts if t != 'none']}: expected none alone"
        )
    return None


def narrowed(cls: type[Algorithm], args: argparse.Namespace) -> dict[str, Any]:
    """Return the frames inputs of an algorithm with the detector and modules that were asked for."""
    asked = of_frames(args)
    frames = {alias: what for alias, what in cls.inputs.items() if isinstance(what, (Frames, FrameClock))}
    try:
        return {alias: what.narrowed(**asked) for alias, what in frames.items()} if asked else {}
    except (TypeError, ValueError, OSError) as e:
        raise UsageError(f"{cls.__name__}: {e}") from e


def cluster_of_pass(args: argparse.Namespace) -> Any:
    """Return what ``--cluster`` and ``--workers`` mean to `dxflow.execute`; a cluster or client as it is."""
    from ..clusters.named import cluster_of

    given = args.cluster or "local"
    return cluster_of(given, args.workers) if isinstance(given, str) else given


def run_of(run: Any) -> Any:
    """Return ``900123:34`` or ``p900123/r0034`` as (proposal, run); a path, or an opened run, as it is."""
    from pathlib import Path

    match = re.fullmatch(r"p?(\d+)[:/]r?(\d+)", run) if isinstance(run, str) else None
    return (int(match[1]), int(match[2])) if match and not Path(run).exists() else run


@dataclass(frozen=True, eq=False)
class Selected(FrameSelection):
    """A selection that knows the result it was made of, so that it is not replaced, and how it was written."""

    path: str = ""
    text: str = ""


def frames_of(
    texts: Sequence[str], trains: slice | Sequence[int] | First | None = None
) -> FrameSelection | None:
    """Return what ``--frames`` and ``--trains`` select together; None where neither is given."""
    chosen: dict[str, Any] = {} if trains is None else {"trains": trains}
    if results := tuple(_selected_by(text) for text in texts if "=" not in text):
        chosen["also"] = results
    for text in texts:
        if "=" not in text:
            continue
        name, which = _selector(text)
        if name in chosen:
            raise UsageError(f"--frames {text}: {name} are selected twice; give one range or list of them")
        chosen[name] = which
    return FrameSelection(**chosen) if chosen else None


def _selected_by(path: str) -> FrameSelection:
    """Return what a result selects, or one algorithm of it: ``lit.zarr:litframes_2``."""
    text = path
    result, of = of_result(path), None
    if result is None and ":" in path:
        before, _, of = path.rpartition(":")
        result = of_result(before)
    if result is None:
        raise UsageError(
            f"--frames {path}: no result of dxflow is there; expected one, or trains=, pulses= or cells= "
            "with 0:100 or 0,4,8"
        )
    try:
        selection = FrameSelection.of(result.selection(of) if of else result)
    except (TypeError, KeyError, ValueError, OSError) as e:
        raise UsageError(f"--frames {path}: {text_of(e)}") from e
    assert selection is not None
    return Selected(**vars(selection), path=str(result.path), text=text)


def _selector(text: str) -> tuple[str, Any]:
    """Return the field of `FrameSelection` and its value of ``pulses=0:100``."""
    name, _, which = text.partition("=")
    if name == "trains" and which.isdigit():
        raise UsageError(
            f"--frames {text}: the first {which} trains are --trains {which}, the one with this id is "
            f"--trains ={which}"
        )
    if name not in SELECTORS or not re.fullmatch(f"{RANGE}|{LIST}", which):
        raise UsageError(f"--frames {text}: expected one of {', '.join(SELECTORS)} = 0:100, 0:100:2 or 0,4,8")
    return name, ids(which)
