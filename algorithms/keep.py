"""Keep: values of motors, gas monitors and any other key, by their own rate, as named variables beside results."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np

from dxflow import Algorithm, Frames, Key, Output, Partial, PlanError, PulseKey, RunInfo, Train
from dxflow.declare.beside import Beside, EachTrain

FORM = "NAME=SOURCE:KEY, such as xgm=SA1_XTD2_XGM/XGM/DOOCS:output:data.intensityTD"


class Keep(Algorithm):
    """Values of the run as they are, by their own rate, under names of one's own.

    Parameters
    ----------
    keys : mapping of str to Key, PulseKey or text
        What is kept under which name: ``{"x": Key("SPB_SAMPLE/MOTOR/X", "actualPosition")}``, or as on the command
        line ``"SPB_SAMPLE/MOTOR/X:actualPosition"``. Lists with a value for each X-ray pulse (``...TD`` of a gas
        monitor) have one per frame, as `PulseKey` joins them, where the run has a detector.
    frames : Frames
        Whose frames get values of pulses, where there are several detectors; nothing else is read of it.

    Outputs
    -------
    <name> : dtype of the key, per train
        Of a device with a value per train (control source): ``(train,)``, with the shape of the value behind it.
    <name> : dtype of the key, per entry
        Of an instrument source: its entries, with train ids; of values per pulse, float64 per frame: the sum over the
        pulses in the exposure of the frame, 0 of a frame without pulses.

    Notes
    -----
    Values are copied, with their unit: :math:`y_t = x_t`. What is missing is NaN; of integers and booleans
    ``<name>_valid`` says where there is a value. Values per frame are of the frames that the pass reads (``frames=``,
    ``where=``), others of all trains, or of those of a selection by train ids.
    """

    keys: Any
    ALG_ID = "keep"
    HELP = "motors, gas monitors and any keys, by their own rate, as variables beside results"
    WHOLE_FRAMES = True
    inputs = {"frames": Frames()}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        words = "what is kept: SOURCE:KEY or an alias of the run, under a name"
        parser.add_argument("--keys", nargs="+", type=_named, required=True, metavar="NAME=WHAT", help=words)

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        frames = self.inputs["frames"]
        if not isinstance(frames, Frames):
            raise ValueError(
                f"keep: frames={frames!r}: expected Frames, of the detector whose frames get values of pulses"
            )
        given = dict(self.keys) if isinstance(self.keys, Mapping) or _pairs(self.keys) else None
        if not given:
            raise ValueError(f"keep: keys={self.keys!r}: expected names with what they are of, {FORM}")
        if not isinstance(self.keys, Mapping) and len(given) < len(self.keys):
            raise ValueError(f"keep: keys={[name for name, _ in self.keys]}: expected different names")
        kept = {name: _input(name, what, frames) for name, what in given.items()}
        self.options = {**self.options, "keys": kept}
        self.keys = tuple(kept)
        # A train in which one of them has nothing may have the others.
        self.inputs = {"trains": EachTrain(), **kept}

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        return {name: _output(name, info) for name in self.keys}

    def process_train_data(self, train: Train, out: Partial) -> None:
        for name in self.keys:
            there = np.asarray(train.valid(name))
            if not there.any():
                continue
            if there.ndim:
                values = np.asarray(train[name])
                out[name][there] = values[there]
                if values.dtype.kind == "f":
                    out[name][~there] = np.nan
            else:
                out[name][...] = train[name]


def _named(text: str) -> tuple[str, str]:
    """Return ``xgm=SOURCE:KEY`` as name and key."""
    name, equals, what = text.partition("=")
    if not equals or not what:
        raise argparse.ArgumentTypeError(f"{text!r}: write {FORM}")
    return name, what


def _pairs(given: Any) -> bool:
    return isinstance(given, (list, tuple)) and all(isinstance(one, tuple) and len(one) == 2 for one in given)


def _input(name: str, what: Any, frames: Frames) -> Any:
    """Return what is read under a name."""
    if not isinstance(name, str) or not name.isidentifier() or name == "trains":
        raise ValueError(f"keep: {name!r} is no name; expected letters, digits and _: {FORM}")
    if isinstance(what, str):
        source, colon, key = what.rpartition(":")
        what = Key(source, key) if colon else Key(what)
    if isinstance(what, (PulseKey, Beside)):
        return what
    if not isinstance(what, Key):
        raise ValueError(
            f"keep: {name}={what!r}: expected a Key, a PulseKey or SOURCE:KEY; what algorithms make is there anyway"
        )
    return Beside(what.source, what.key, what.offset, frames)


def _output(name: str, info: RunInfo) -> Output:
    """Return what is made of a key."""
    one = info[name]
    if one.dtype.kind not in "fiub":
        raise PlanError(
            f"keep: {name}, {one.name} {one.key}, is {one.dtype}; expected numbers. Texts, such as states, are for "
            "labels: --by, --where"
        )
    # Each has axes of its own, keep.<name>_0 and so on: what they are is not known.
    whole: dict[str, Any] = {
        "shape": one.shape[1:],
        "dtype": one.dtype,
        "unit": one.unit,
        "doc": f"{one.name} {one.key}",
    }
    return Output(per="train" if one.kind == "control" else name, **whole)
