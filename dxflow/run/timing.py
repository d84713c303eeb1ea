"""What a run says of when frames were taken and how they are aligned with X-rays: values of devices, read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors.kinds import NUMBER, TEXT, TEXTS, WHOLE, Kind, expect_all, maybe
from ..errors.near import written
from .detectors import Found
from .instruments import Instrument
from .runvalues import RunValues

if TYPE_CHECKING:
    from extra_data import DataCollection

    from .index import EntryIndex

STRIDES = {4.5: 1, 2.2: 2, 1.1: 4, 0.5: 8}
"""Repetition rate in MHz -> slots from one frame to the next."""
SLOTS = 2700
"""Slots of the bunch pattern table."""
TICKS = 24
"""Ticks of the timing system (9.23 ns) in a slot."""
METRES_PER_TICK = 2.76708438734
EVENTS = {16: "static", 180: "dynamic", 181: "dynamic", 182: "dynamic"}
"""Event of a trigger -> whether it comes with the train or with the first pulse of SASE1, 2 or 3."""
BY_PULSE, BY_DELAY = "by first pulse", "by reference delay"
XRAY = "XRay"


@dataclass(frozen=True)
class Reference:
    """A delay of the trigger at which a pulse, counted from the event, was seen in a frame."""

    delay: float
    pulse: int = 0
    frame: int = 1
    rate: float = 4.5
    position: float = 0.0
    """Of the detector, mm."""


_KINDS = {
    **dict.fromkeys(
        ("n_frames", "stride", "exposure", "first_pulse", "reference_frame", "event"), maybe(WHOLE)
    ),
    **dict.fromkeys(("mode", "align", "control", "device"), maybe(TEXT)),
    **dict.fromkeys(("delay", "distance"), maybe(NUMBER)),
    "trigger": maybe(
        Kind(
            "a device and a name",
            lambda pair: isinstance(pair, tuple) and len(pair) == 2 and TEXTS.fits(pair),
        )
    ),
}


@dataclass(frozen=True, repr=False)
class Timing:
    """What a user says of the timing; None: as the run has it.

    Parameters
    ----------
    n_frames, stride, exposure, first_pulse : int, optional
        Frames of a train, slots from one to the next, slots that a frame sees, pulse id of the first.
    mode : str, optional
        "XRay", or what else was recorded.
    align : {"by first pulse", "by reference delay"}, optional
    reference_frame : int, optional
        Frame that the first pulse of a train falls into.
    control, device : str, optional
        Control device of the detector, and the online lit-frame finder whose settings are taken.
    trigger : (str, str), optional
        Device, and the name of its output.
    event : int, optional
    delay : float, optional
        Of the trigger, in ticks.
    reference : (delay, pulse, frame, rate, position), optional
        See `Reference`.
    distance : float, optional
        Of the detector in mm: the delay changes with it. Nothing of a motor is read then.
    """

    n_frames: int | None = None
    stride: int | None = None
    exposure: int | None = None
    first_pulse: int | None = None
    mode: str | None = None
    align: str | None = None
    reference_frame: int | None = None
    control: str | None = None
    device: str | None = None
    trigger: tuple[str, str] | None = None
    event: int | None = None
    delay: float | None = None
    reference: Reference | tuple[float, ...] | None = None
    distance: float | None = None

    def __post_init__(self) -> None:
        expect_all(_KINDS, vars(self), "timing: ")
        if isinstance(self.reference, (tuple, list)):
            delay, pulse, frame, *rest = self.reference
            object.__setattr__(self, "reference", Reference(delay, int(pulse), int(frame), *rest))

    def __repr__(self) -> str:
        return written(self)


@dataclass(frozen=True)
class Clock:
    """When the frames of a train were taken, and which of them its pulses fell into; slots are those of the pattern.

    Frame number f sees the slots ``begin + f * stride`` to ``... + exposure``, where ``begin`` is ``pulse - shift``,
    ``pulse`` counted from the first pulse of the train if `dynamic`.
    """

    frames: int
    stride: int
    exposure: int
    first: int = 0
    """Pulse id of the first frame."""
    shift: int = 0
    pulse: int = 0
    dynamic: bool = True
    exposed: bool = True
    """Whether X-rays were recorded; False for runs of darks and pulse capacitors."""
    cells: int = 0
    """Memory cells of the detector: how wide arrays over frames are."""
    said: Mapping[str, Any] = field(default_factory=dict)
    """What the online device would say of its settings, by key."""
    device: str = ""
    """What the device is called in files."""

    def begins(self, own: NDArray) -> NDArray:
        """Return the slot at which the first frame begins, (train,), which may be outside the table.

        Parameters
        ----------
        own : ndarray of bool, (train, slot)
            Our pulses.
        """
        first = np.argmax(own, axis=1) if self.dynamic else np.zeros(len(own), np.int64)
        return first + (self.pulse - self.shift)

    @property
    def pulse_ids(self) -> NDArray:
        """Pulse id of each frame by the detector's clock, (frame,)."""
        return np.arange(self.frames) * self.stride + self.first

    def plain(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True)
class _Asked:
    """A question to a run: what is said of one detector's timing."""

    found: Found
    index: EntryIndex
    asked: Timing
    values: RunValues
    control: str
    device: str
    about: Mapping[str, Any]


def clock(
    run: DataCollection, found: Found, index: EntryIndex, instrument: Instrument | None, asked: Timing
) -> Clock:
    """Return when a detector took its frames, by what was asked for, by its devices, else by ids of its frames.

    Raises
    ------
    ValueError, KeyError
        If that is not known, or cannot be.
    """
    about = dict(instrument.detectors.get(found.name, {})) if instrument else {}
    values = RunValues(run, about.get("selector", ""))
    device = asked.device or _finder(run, values, found, about)
    control = asked.control or values.get(device, "detectorId") or values.get(device, "DetectorCtrl")
    question = _Asked(found, index, asked, values, control or about.get("control", ""), device, about)
    if asked.control and not values.has(asked.control):
        raise KeyError(f"control={asked.control!r}: the run has no such device")
    made = _frames(question)
    shift, pulse, dynamic, said = _alignment(question, made["stride"])
    said = {"detectorId": question.control or found.name, **said}
    name = f"{found.name.partition('_')[0]}_EXP_{found.name.rpartition('_')[2].replace('-', '')}/REDU/LITFRM"
    return Clock(**made, shift=shift, pulse=pulse, dynamic=dynamic, said=said, device=name)


def _finder(run: DataCollection, values: RunValues, found: Found, about: Mapping[str, Any]) -> str:
    """Return the online lit-frame finder of a run; what it would be called if there is none."""
    usual = str(about.get("litfrm", ""))
    if usual in run.control_sources:
        return usual
    first = found.name.partition("_")[0]
    others = [s for s in sorted(run.control_sources) if s.endswith("/REDU/LITFRM") and s.startswith(first)]
    return others[0] if len(others) == 1 else usual


# Frames -------------------------------------------------------------------------------------------


def _frames(q: _Asked) -> dict[str, Any]:
    """Return number, stride, exposure, first pulse id of frames, and whether they were exposed."""
    rule, asked = q.found.detector.timing, q.asked
    if rule is None:
        raise ValueError(f"{q.found.name}: when a {q.found.detector.kind} takes its frames is not known")
    keys = {name: q.values.get(q.control, key) for name, key in rule.keys.items()}
    kind = q.values.get(q.control, "classId", "")
    frames = _first(
        asked.n_frames, None if keys.get("frames") is None else min(int(keys["frames"]), rule.cells)
    )
    stride = _first(asked.stride, None if keys.get("rate") is None else _stride(float(keys["rate"])))
    first = _first(asked.first_pulse, 0 if kind in rule.counts_from_0 else keys.get("first"))
    said = _of_ids(q.index)
    frames, stride, first = (
        _first(one, other) for one, other in zip((frames, stride, first), said, strict=True)
    )
    if stride is None:
        raise ValueError(
            f"{q.found.name}: its frames have no pulse ids, and no device says how far they are apart: give stride=, "
            "the slots (of 222 ns) from one frame to the next"
        )
    _refuse(q.found, int(frames or 0), int(stride), rule.cells, asked.exposure)
    clocks = keys.get("exposure")
    exposure = rule.exposure or stride if clocks is None else int(np.ceil(clocks / rule.clocks))
    mode = _first(asked.mode, q.values.get(q.control, rule.modes.get(kind, "")), XRAY)
    return {
        "frames": int(frames or 0),
        "stride": int(stride),
        "exposure": int(min(_first(asked.exposure, exposure), stride)),
        "first": int(first or 0),
        "exposed": mode == XRAY,
        "cells": rule.cells,
    }


def _refuse(found: Found, frames: int, stride: int, cells: int, exposure: int | None) -> None:
    """Refuse what no detector does."""
    if not 1 <= frames <= cells:
        raise ValueError(
            f"{found.name}: {frames} frames per train; a {found.detector.kind} has {cells} memory cells: give "
            "n_frames= from 1 to that"
        )
    if exposure is not None and exposure < 1:
        raise ValueError(f"{found.name}: exposure={exposure}; expected at least 1 slot")
    if stride < 1:
        raise ValueError(f"{found.name}: {stride} slots from one frame to the next; expected at least 1")


def _first(*values: Any) -> Any:
    """Return the first value that is not None."""
    return next((v for v in values if v is not None), None)


def _stride(rate: float) -> int:
    """Return the slots between frames at a repetition rate in MHz."""
    for known, stride in STRIDES.items():
        if round(rate, 1) == known:
            return stride
    raise ValueError(f"a repetition rate of {rate} MHz; expected one of {sorted(STRIDES)}, or give stride=")


def _of_ids(index: EntryIndex) -> tuple[int, int | None, int]:
    """Return frames per train, slots between them and the pulse id of the first, as far as ids of frames say it."""
    number = index.entry_ids if index.cell_ids is None or index.pulse_ids is None else index.cell_ids
    frames = int(number.astype(np.int64).max(initial=-1)) + 1
    if index.pulse_ids is None:
        return frames, None, 0
    cells, pulses = number.astype(np.int64), index.pulse_ids.astype(np.int64)
    if frames < 2 or np.ptp(cells) == 0:
        return frames, 1, int(pulses.min(initial=0))
    low, high = int(np.argmin(cells)), int(np.argmax(cells))
    stride = max(1, round((pulses[high] - pulses[low]) / (cells[high] - cells[low])))
    return frames, stride, int(pulses[low] - cells[low] * stride)


# Alignment ----------------------------------------------------------------------------------------


def _alignment(q: _Asked, stride: int) -> tuple[int, int, bool, dict[str, Any]]:
    """Return shift, pulse, whether that is counted from the first pulse, and what the device would say."""
    get = q.values.get
    how = _first(q.asked.align, get(q.device, "alignMethod"), BY_PULSE)
    frame = int(_first(q.asked.reference_frame, get(q.device, "referenceFrame"), 1))
    said: dict[str, Any] = {"alignMethod": how, "referenceFrame": frame}
    if how == BY_PULSE:
        return frame * stride, 0, True, said
    if how != BY_DELAY:
        raise ValueError(f"align={how!r}; expected {BY_PULSE!r} or {BY_DELAY!r}")
    device, name = q.asked.trigger or _trigger(q)
    event = _first(q.asked.event, get(device, f"{name}.event"))
    delay = _first(q.asked.delay, get(device, f"{name}.delay"))
    if event is None or delay is None:
        raise ValueError(
            f"the run does not say event and delay of the trigger {name or '?'} of {device or 'an unknown device'}: "
            "give trigger_event= and trigger_delay= (ticks), or align='by first pulse'"
        )
    kind = EVENTS.get(int(event))
    reference = _first(q.asked.reference, kind and _reference(q, kind))
    if kind is None or reference is None:
        raise ValueError(
            f"no reference delay is known for event {event} of the trigger: give reference_delay=, delay, pulse, "
            "frame, rate and position at which a pulse was seen in a frame, or align='by first pulse'"
        )
    ticks = reference.delay + reference.frame * _stride(reference.rate) * TICKS - float(delay)
    position, words = _position(q)
    if position is not None:
        ticks -= (reference.position * 0.001 - position) / METRES_PER_TICK
    said |= {"trigger.deviceId": device, "trigger.name": name, **words}
    said |= {f"referenceDelay.{kind}.{key}": value for key, value in _as_said(reference).items()}
    return round(ticks / TICKS), int(reference.pulse), kind == "dynamic", said


def _trigger(q: _Asked) -> tuple[str, str]:
    """Return the device of the trigger, and the name of its output."""
    usual = q.about.get("trigger", {})
    device = q.values.get(q.device, "trigger.deviceId") or q.values.get(q.device, "Timer")
    name = q.values.get(q.device, "trigger.name") or q.values.get(q.device, "trigger")
    return device or usual.get("device", ""), name or usual.get("name", "")


def _as_said(reference: Reference) -> dict[str, Any]:
    said = vars(reference).copy()
    return {**said, "repetitionRate": said.pop("rate")}


def _reference(q: _Asked, kind: str) -> Reference | None:
    """Return the reference of a kind of event that the device has; -1 is none."""
    names = {
        "delay": "delay",
        "pulse": "pulse",
        "frame": "frame",
        "rate": "repetitionRate",
        "position": "position",
    }
    found = {key: q.values.get(q.device, f"referenceDelay.{kind}.{name}") for key, name in names.items()}
    if found["delay"] in (None, -1):
        return None
    return Reference(**{key: value for key, value in found.items() if value is not None})


def _position(q: _Asked) -> tuple[float | None, dict[str, Any]]:
    """Return how far the detector is, m, if that matters, and what the device would say of it."""
    get, usual = q.values.get, q.about.get("motor", {})
    if q.asked.distance is not None:
        return q.asked.distance * 0.001, {"useDistanceDelay": True, "detectorDistance": q.asked.distance}
    known = get(q.device, "referenceDelay.static.delay") is not None
    if not get(q.device, "useDistanceDelay", known):
        return None, {"useDistanceDelay": False}
    offset = float(get(q.device, "detectorDistance", 0.0))
    motor = get(q.device, "motor.deviceId") or usual.get("device", "")
    key = get(q.device, "motor.positionProperty") or usual.get("property", "")
    scale = float(_first(get(q.device, "motor.unitConversionCoef"), usual.get("scale"), 1.0))
    moved = get(motor, key) if motor and key else None
    words = {"motor.deviceId": motor, "motor.positionProperty": key, "motor.unitConversionCoef": scale}
    at = offset * 0.001 + (0.0 if moved is None else scale * float(moved))
    return at, {"useDistanceDelay": True, "detectorDistance": offset, **words}
