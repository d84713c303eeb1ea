"""Lit frames by timing: which frames had X-rays, from the bunch pattern alone."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import (
    Algorithm,
    Bunches,
    Clock,
    FrameClock,
    Frames,
    Key,
    Monitored,
    Output,
    Partial,
    PlanError,
    RunInfo,
    Timing,
    Train,
)

NO_ENERGY = 10000.0
"""Energy of a pulse that the gas monitor has not seen, in the layout of the online device only."""
SLOTS = 2700
ALIGN = {"pulse": "by first pulse", "delay": "by reference delay"}


class LitFrameFinder(Algorithm):
    """Find lit frames by the bunch pattern and the clock of the detector. Reads no pixels.

    Frame number f of a train sees the slots of the bunch pattern from ``first + f * stride`` on, as many as its
    exposure has; it is lit if the undulator of the beamline had a pulse in one of them. ``first`` follows from the
    alignment: the first pulse of a train falls into `reference_frame`, or the delay of the detector's trigger says it.

    What is not given is taken from the run: from the control device of the detector and the online lit-frame finder,
    which the file of the instrument names (``dxflow/run/instruments``), else from pulse ids and memory cells of the
    frames.

    Parameters
    ----------
    instrument : str, optional
        "SPB"; by default that of the run.
    sase : {1, 2, 3}, optional
        Undulator; that of the instrument by default.
    bunches : str, optional
        Time server (``...:outputBunchPattern``) or decoder of pulse patterns.
    xgm : str, optional
        Gas monitor (``...:output``).
    shutter : (source, key), optional
        True or 1 in trains where X-rays came through.
    control, device : str, optional
        Control device of the detector; the online lit-frame finder.
    n_frames, stride, exposure, first_pulse : int, optional
        Frames per train, slots (222 ns) from one to the next, slots that a frame sees, pulse id of the first.
    mode : str, optional
        "XRay", or what else was recorded: of darks and pulse capacitors every frame has data and none is lit.
    align : {"pulse", "delay"}, optional
        By the first pulse of the train, or by the delay of the trigger.
    reference_frame : int, optional
        Frame of the first pulse, 1 by default.
    trigger : (device, name), optional
        ``("SPB_EXP_SYS/TSYS/UTC_1_S3", "backTrg3")``
    trigger_event, trigger_delay : int, float, optional
        What the trigger would say, in ticks of 9.23 ns.
    reference_delay : (delay, pulse, frame, rate, position), optional
        A delay at which a pulse, counted from the event, was seen in a frame; rate in MHz, position in mm.
    distance : float, optional
        Of the detector in mm: light takes longer to it than to `position`.
    inherit : bool
        Whether trains without bunch pattern take that of a train nearby. By default they have no values.
    img : Frames or FrameClock
        Of which detector.

    Outputs
    -------
    lit : bool, (frame,)
        What ``frames=`` of the next reduction takes.
    has_data : bool, (frame,)
        Lit, or any frame of a dark run.
    n_pulses : uint16, (frame,)
        Pulses in the exposure, which lit a frame if X-rays were recorded.
    energy, energy_sigma : float32, (frame,)
        Sum over these pulses by the gas monitor, and its error; 0 without pulses, NaN where it has no entry.
    master_pulse_id : int32, (frame,)
        Slot of the bunch pattern at which the frame begins, counted from the first pulse that was seen.
    frames, lit_frames, data_frames, pulses : uint16, (train,)
        How many frames there are, are lit, have data; pulses of the train, in frames or not.
    inherited : bool, (train,)
        Whether the bunch pattern is that of another train.
    pattern : uint16, (train, clock_frame)
        Pulses in each frame of the detector's clock, recorded or not.

    Notes
    -----
    In EXDF files there is the layout of the online device beside these, ``{INST}_EXP_{DET}/REDU/LITFRM``, with energy
    10000 of pulses that the gas monitor has not seen; trains without bunch pattern have no entry in its ``:output``.
    """

    ALG_ID = "litfrm"
    HELP = "lit frames by timing: bunch pattern and detector clock, no pixels are read"
    SELECTS = "lit"
    inputs = {"img": FrameClock()}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--instrument", help="SPB, MID, ...; by default that of the run")
        add("--sase", type=int, help="undulator; by default that of the instrument")
        add("--bunches", metavar="SOURCE", help="time server or decoder of pulse patterns")
        add("--xgm", metavar="SOURCE", help="gas monitor, ...:output")
        add("--shutter", nargs=2, metavar=("SOURCE", "KEY"), help="1 in trains where X-rays came through")
        add("--control", metavar="DEVICE", help="control device of the detector")
        add("--device", metavar="DEVICE", help="online lit-frame finder whose settings are taken")
        add("--n-frames", type=int, help="frames per train")
        add("--stride", type=int, help="slots of 222 ns from one frame to the next")
        add("--exposure", type=int, help="slots that a frame sees")
        add("--first-pulse", type=int, help="pulse id of the first frame")
        add("--mode", help="XRay, or what else was recorded: then no frame is lit, and all have data")
        add("--align", choices=tuple(ALIGN), help="by the first pulse, or by the delay of the trigger")
        add("--reference-frame", type=int, help="frame that the first pulse falls into")
        add("--trigger", nargs=2, metavar=("DEVICE", "NAME"), help="trigger of the detector")
        add("--trigger-event", type=int, help="16, or 180, 181, 182 for the first pulse of SASE 1, 2, 3")
        add("--trigger-delay", type=float, help="of the trigger, ticks of 9.23 ns")
        words = ("DELAY", "PULSE", "FRAME", "RATE", "POSITION")
        add(
            "--reference-delay",
            nargs=5,
            type=float,
            metavar=words,
            help="a delay at which a pulse was in a frame",
        )
        add("--distance", type=float, help="of the detector, mm: light takes longer to it")
        add("--inherit", action="store_true", help="trains without bunch pattern take that of a train nearby")

    def configure(self, args: argparse.Namespace) -> None:
        given = vars(args)
        names = ("control", "device", "n_frames", "stride", "exposure", "first_pulse", "mode", "distance")
        timing = {name: given[name] for name in (*names, "reference_frame")}
        timed = Timing(
            **timing,
            align=ALIGN.get(args.align),
            trigger=args.trigger and tuple(args.trigger),
            event=args.trigger_event,
            delay=args.trigger_delay,
            reference=args.reference_delay and tuple(args.reference_delay),
        )
        img = self.inputs["img"]
        frames = img if isinstance(img, Frames) else img.frames if isinstance(img, FrameClock) else None
        if frames is None:
            raise TypeError(f"litfrm: img={img!r}; expected Frames or a FrameClock")
        one = args.instrument
        self.inputs = {
            "img": img
            if isinstance(img, FrameClock) and img.timing != Timing()
            else FrameClock(frames, timed, one, args.sase),
            "bunches": Bunches(args.bunches, one, needed=False, inherit=bool(args.inherit)),
            "energy": Monitored("data.intensityTD", args.xgm, one),
            "sigma": Monitored("data.intensitySigmaTD", args.xgm, one),
            **({"shutter": Key(*args.shutter)} if args.shutter else {}),
        }

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        clock = Clock(**info["img"].facts["clock"])
        if clock.exposed and not info["bunches"].frames:
            raise PlanError(
                f"litfrm: {info.path} has no time server and no decoder of pulse patterns that is known: give "
                "bunches=, its source, or mode='Dark' for a run without X-rays; litframes finds lit frames by intensity"
            )
        unit = info["energy"].unit or "uJ"
        return {
            "lit": Output(per="img", dtype="?", doc="X-rays were there"),
            "has_data": Output(per="img", dtype="?", doc="lit, or any frame of a dark run"),
            "n_pulses": Output(per="img", dtype="u2", doc="X-ray pulses in the exposure"),
            "energy": Output(per="img", dtype="f4", unit=unit, doc="energy of the pulses in the exposure"),
            "energy_sigma": Output(per="img", dtype="f4", unit=unit, doc="error of the energy"),
            "master_pulse_id": Output(per="img", dtype="i4", doc="slot of the bunch pattern"),
            "frames": Output(per="train", dtype="u2", doc="frames of the detector's clock"),
            "lit_frames": Output(per="train", dtype="u2", doc="frames with X-rays"),
            "data_frames": Output(per="train", dtype="u2", doc="frames with data"),
            "pulses": Output(per="train", dtype="u2", doc="X-ray pulses of the train, in frames or not"),
            "inherited": Output(per="train", dtype="?", doc="the bunch pattern is that of another train"),
            "pattern": Output(
                per="train",
                shape=(clock.frames,),
                dims=("clock_frame",),
                dtype="u2",
                doc="pulses of each frame",
            ),
            **_layout(clock, unit),
        }

    def run_values(self, info: RunInfo) -> Mapping[str, Mapping[str, Any]]:
        facts = info["img"].facts
        clock = Clock(**facts["clock"])
        none = {"delay": -1, "pulse": 0, "frame": 1, "repetitionRate": 4.5, "position": 0.0}
        usual = {
            "classId": "AgipdLitFrameFinder",
            "deviceId": clock.device,
            "instrumentName": facts["instrument"] or clock.device.partition("_")[0],
            "trigger.deviceId": "",
            "trigger.name": "",
            "motor.deviceId": "",
            "motor.positionProperty": "",
            "motor.unitConversionCoef": 1.0,
            "useDistanceDelay": False,
            "detectorDistance": 0.0,
            **{
                f"referenceDelay.{kind}.{key}": v for kind in ("dynamic", "static") for key, v in none.items()
            },
        }
        return {clock.device: {**usual, **clock.said}}

    def depends(self, info: RunInfo) -> Mapping[str, Any]:
        return {"timing": dict(info["img"].facts)}

    def initialize(self, info: RunInfo) -> None:
        facts = info["img"].facts
        self._clock, self._sase = Clock(**facts["clock"]), facts["sase"]
        self._inherited = frozenset(info["bunches"].facts.get("inherited", ()))

    def process_train_data(self, train: Train, out: Partial) -> None:
        table = train["bunches"][:1]
        if not len(table) or not train.valid("bunches")[0]:
            if self._clock.exposed:
                return
            table = np.zeros((1, SLOTS), np.uint32)
        energy, sigma = self._entries(train, "energy"), self._entries(train, "sigma")
        shutter = None
        if "shutter" in self.inputs:
            shutter = np.array([np.all(np.asarray(train["shutter"]) == 1)])
        made = FrameClock.annotate(self._clock, table, self._sase, energy, sigma, shutter=shutter)
        self._of_frames(train, made, out)
        self._as_device(made, energy is None, out)
        lit = (made.n_pulses[0] > 0) & self._clock.exposed
        out.frames, out.lit_frames, out.data_frames = self._clock.frames, lit.sum(), made.has_data[0].sum()
        out.pattern = made.n_pulses[0]
        out.pulses, out.inherited = made.in_train[0], train.id in self._inherited

    @staticmethod
    def _entries(train: Train, alias: str) -> NDArray | None:
        """Return the entries of the gas monitor in a train, (1, entry), None where there are none."""
        there = train.valid(alias)
        return train[alias][:1] if len(there) and there[0] and train[alias].shape[1] else None

    def _of_frames(self, train: Train, made: Any, out: Partial) -> None:
        """Fill what there is for each frame that was recorded: its number in the train says which it is."""
        known = train.valid("img")
        number = np.where(known, train["img"], 0).astype(int)

        def of(values: NDArray) -> NDArray:
            return np.where(known, values[0][number], 0)

        out.n_pulses, out.has_data = of(made.n_pulses), of(made.has_data)
        out.lit = of(made.n_pulses > 0) & self._clock.exposed
        out.energy = np.where(known, made.energy[0][number], np.nan)
        out.energy_sigma = np.where(known, made.sigma[0][number], np.nan)
        if len(made.slots[0]):
            ids = self._clock.pulse_ids
            first = int(np.argmax(made.n_pulses[0] > 0))
            out.master_pulse_id = ids[number] + (made.slots[0][0] - ids[first])

    def _as_device(self, made: Any, no_energy: bool, out: Partial) -> None:
        """Fill the layout of the online device, if it is kept."""
        if "data_nFrame" not in out:
            return
        n, n_pulses = self._clock.frames, made.n_pulses[0]
        energy = n_pulses * NO_ENERGY if no_energy else np.nan_to_num(made.energy[0], nan=NO_ENERGY)
        frames = {
            "dataFramePattern": made.has_data[0],
            "detectorPulseId": self._clock.pulse_ids,
            "energyPerFrame": energy,
            "energySigma": np.nan_to_num(made.sigma[0]),
            "nPulsePerFrame": n_pulses,
        }
        for key, values in frames.items():
            out[f"data_{key}"][:n] = values
        for key, values in (("masterPulseId", made.slots[0]), ("xgmPulseId", made.rows[0])):
            out[f"data_{key}"][: len(values)] = values
        lists = {"litFrames": np.flatnonzero(n_pulses), "dataFrames": np.flatnonzero(made.has_data[0])}
        for key, values in lists.items():
            out[f"device_{key}"][: len(values)] = values
        numbers = {"nLitFrame": len(lists["litFrames"]), "nDataFrame": len(lists["dataFrames"]), "nFrame": n}
        for key, value in {**numbers, "nPulse": made.in_train[0]}.items():
            out[f"device_{key}"] = value
        out.device_referenceFrame = self._clock.said["referenceFrame"]
        out.data_nFrame = n


def _layout(clock: Clock, unit: str) -> dict[str, Output]:
    """Return the outputs that are the layout of the online device."""
    wide, long = (clock.cells,), (SLOTS,)
    control = {
        "dataFrames": (wide, "u2", "", "numbers of frames with data, then 0"),
        "litFrames": (wide, "u2", "", "numbers of lit frames, then 0"),
        "nDataFrame": ((), "u2", "", "frames with data"),
        "nFrame": ((), "u2", "", "frames"),
        "nLitFrame": ((), "u2", "", "lit frames"),
        "nPulse": ((), "u2", "", "X-ray pulses of the train, in frames or not"),
        "referenceFrame": ((), "i2", "", "frame of the first pulse"),
    }
    data = {
        "dataFramePattern": (wide, "u1", "", "1 of frames with data"),
        "detectorPulseId": (wide, "u2", "", "pulse id of each frame by the detector's clock"),
        "energyPerFrame": (wide, "f4", unit, "energy of the pulses of a frame; 10000 of a pulse: not known"),
        "energySigma": (wide, "f4", unit, "error of the energy"),
        "masterPulseId": (long, "u2", "", "slot of each pulse that a frame saw, then 0"),
        "nFrame": ((), "u2", "", "frames"),
        "nPulsePerFrame": (wide, "u2", "", "pulses in the exposure of each frame"),
        "xgmPulseId": (long, "u2", "", "entry of the gas monitor of each of these pulses, then 0"),
    }
    return {
        f"{group}_{key}": Output(
            per="train",
            shape=shape,
            dtype=dtype,
            unit=unit,
            doc=doc,
            store="exdf",
            exdf=(f"{clock.device}:output", f"data.{key}") if group == "data" else (clock.device, key),
        )
        for group, keys in (("device", control), ("data", data))
        for key, (shape, dtype, unit, doc) in keys.items()
    }
