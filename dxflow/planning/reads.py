"""What each algorithm of a plan reads, in words: sources, keys and masks, through all algorithms before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..declare.inputs import Frames
from ..errors.near import listed
from .bound import maker

if TYPE_CHECKING:
    from ..declare.algorithm import Algorithm
    from .bound import Alias, BoundAlgorithm
    from .plan import Plan


def reads(plan: Plan) -> dict[str, str]:
    """Return what each algorithm reads, by its name.

    Returns
    -------
    dict
        ``{"average": "subtract.img (subtract <- SPB_DET_AGIPD1M-1 image.data, mask image.mask)"}``.
    """
    return {a.name: _of(plan, a) for a in plan.algorithms}


def _of(plan: Plan, bound: BoundAlgorithm) -> str:
    """Return what one algorithm reads."""
    what = {alias: _what(plan, ref) for alias, ref in bound.aliases.items()}
    return "; ".join(text if len(what) == 1 else f"{alias} = {text}" for alias, text in what.items())


def _what(plan: Plan, ref: Alias) -> str:
    """Return what an alias stands for."""
    if not ref.made:
        one = plan.inputs[ref.number]
        camera = one.kind == "key" and len(one.location.shape) == 2
        masked = "no mask: images of a Key have none" if camera else one.masked
        if one.mask is not None and one.mask.only_told:
            masked += f" told by valid(): {one.dtype} keeps the values of bad pixels"
        return f"{one.name} {one.key}" + (f", {masked}" if masked else "")
    made = maker(plan, ref.made)
    return f"{ref.made.name} ({made.name} <- {_of(plan, made)})"


def frames_of(makers: Sequence[BoundAlgorithm], reader: Algorithm, name: str) -> tuple[str, str]:
    """Return an output's name, that of its frames where just an algorithm is named; and why there is none, or ""."""
    own = next((a for a in makers if a.name == name), None)
    images = [o.name for o in own.outputs if o.output.kind == "image"] if own else [name]
    if own is None or len(images) == 1:
        return images[0], ""
    has = listed(images) if images else "none"
    return name, (
        f"{reader.name} reads the frames that {name} makes, but it makes {has}. Outputs of {name}: "
        f"{listed(o.name for o in own.outputs)}; name what it reads, --input "
        f"{next(iter(reader.inputs))}=ALGORITHM.OUTPUT, in Python From(...)"
    )


def unread(algorithms: Sequence[BoundAlgorithm]) -> str:
    """Return what is wrong with an output that is neither stored nor read by anybody; "" if there is none."""
    read = {o.name for a in algorithms for o in a.read}
    for number, bound in enumerate(algorithms):
        for o in bound.outputs:
            if not o.output.store and o.name not in read and _for_others(bound, o.output.kind):
                says = f"{o.name} is made for later algorithms, but nobody reads it"
                return says + _meant(o.name, algorithms[number + 1 :])
    return ""


def _for_others(bound: BoundAlgorithm, kind: str) -> bool:
    """Return whether an output that is not stored is for other algorithms: no later hook of its own sees it."""
    own = bound.algorithm.overrides("finalize_chunk_processing") or bool(bound.finals)
    return kind == "image" or (kind in ("train", "entry") and not own)


def _meant(output: str, later: Sequence[BoundAlgorithm]) -> str:
    """Return who was perhaps meant to read an output, and how to say so."""
    for bound in later:
        for alias, what in bound.algorithm.inputs.items():
            if isinstance(what, Frames):
                return (
                    f"; {bound.name} reads {what.key}. Did you mean {bound.name} --input {alias}={output} (in Python "
                    f"{type(bound.algorithm).__name__}({alias}=From({output!r})))?"
                )
    return f": put an algorithm behind it that does, with From({output!r}) in place of its frames"
