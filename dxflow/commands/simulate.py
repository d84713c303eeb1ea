"""The command ``dxflow simulate``: options of a simulated run, and what to print when it is done."""

from __future__ import annotations

import argparse
import ast
from dataclasses import MISSING, fields
from typing import Any

from ..driver.progress import during
from ..simulate.bragg import Bragg
from ..simulate.detectors import KINDS
from ..simulate.exdf import VERSIONS
from ..simulate.plant import Plant
from ..simulate.run import make_run
from ..simulate.settings import DEVICES, STRIDES, Settings
from ..simulate.signals import Flat, PowderRings, Signal, Speckle, SphereFormFactor
from ..simulate.spots import Spots
from ..simulate.truth import Truth

SIGNALS: dict[str, type[Signal]] = {
    "rings": PowderRings,
    "sphere": SphereFormFactor,
    "bragg": Bragg,
    "spots": Spots,
    "speckle": Speckle,
    "flat": Flat,
}

DEFAULTS: dict[str, Any] = {
    field.name: field.default for field in fields(Settings) if field.default is not MISSING
}

NUMBERS = {
    "trains": "trains of the run",
    "pulses": "detector frames per train",
    "sequences": "sequence files of each aggregator",
    "first_train": "id of the first train",
    "seed": "seed: the same one gives the same run",
    "noise": "noise in photons",
    "bad_pixels": "share of bad pixels",
    "pulse_energy": "mean pulse energy in microjoule",
    "energy_spread": "relative standard deviation of the pulse energy",
    "distance": "sample to detector in m",
    "photon_energy": "in keV",
    "proposal": "proposal number",
    "run": "run number",
}
"""Options that are a number, by their name in Settings."""

CHOICES: dict[str, tuple[Any, ...]] = {
    "data": ("corr", "raw"),
    "layout": ("chunked", "contiguous"),
    "version": VERSIONS,
    "repetition_rate": tuple(STRIDES),
}

PLANTED = ("missing_trains", "missing_modules", "empty_trains")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``dxflow simulate`` to a parser; defaults are those of `make_run`."""
    parser.add_argument("path", help="run directory to write; it must not hold HDF5 files yet")
    parser.add_argument("--detector", choices=(*KINDS, "none"), default=DEFAULTS["detector"])
    parser.add_argument(
        "--modules",
        type=int,
        help="how many modules (default: all); of fewer a reduction says that the others are missing, and does "
        "nothing unless told which to use (--modules 0-3) or to go on without (--on-fault mask)",
    )
    parser.add_argument(
        "--module-shape", type=int, nargs=2, metavar=("SS", "FS"), help="(default: the real one)"
    )
    parser.add_argument("--instrument", default=DEFAULTS["instrument"])
    for name, values in CHOICES.items():
        kind = type(DEFAULTS[name])
        parser.add_argument(_flag(name), type=kind, choices=values, default=DEFAULTS[name])
    for name, text in NUMBERS.items():
        kind = type(DEFAULTS[name])
        parser.add_argument(
            _flag(name), type=kind, default=DEFAULTS[name], help=f"{text} (default: %(default)s)"
        )
    _add_physics(parser)


def _add_physics(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--signal", choices=SIGNALS, default="rings", help="what scatters (default: %(default)s)"
    )
    parser.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        help="parameters of the signal: contrast=0.3 tau=5",
    )
    share = "all, none, trains, pulses (every second) or a share of the frames"
    parser.add_argument("--lit", type=_share, default="all", help=f"frames with X-rays: {share}")
    parser.add_argument("--pump", type=_share, default="none", help=f"frames with the optical laser: {share}")
    parser.add_argument(
        "--pool", type=int, help="draw only so many frames of each kind and repeat them: fast"
    )
    parser.add_argument("--compress-data", action="store_true", help="deflate the frames")
    parser.add_argument("--devices", nargs="*", choices=DEVICES, default=list(DEFAULTS["devices"]))
    for name in PLANTED:
        what = "module numbers" if "modules" in name else "positions of trains, from 0"
        parser.add_argument(_flag(name), type=int, nargs="+", default=[], help=f"plant: {what}")
    parser.add_argument(
        "--sequence-gap", type=int, default=0, help="plant: train ids left out between sequences"
    )


def run(args: argparse.Namespace) -> str:
    """Write the run that parsed options describe and return a summary of it.

    Raises
    ------
    ValueError, FileExistsError
        As `make_run`.
    """
    names = (
        *NUMBERS,
        *CHOICES,
        "modules",
        "module_shape",
        "instrument",
        "lit",
        "pump",
        "pool",
        "compress_data",
    )
    options = {name: getattr(args, name) for name in (*names, "devices")}
    options["detector"] = None if args.detector == "none" else args.detector
    options["signal"] = signal(args.signal, args.set)
    options["plant"] = Plant(**{name: getattr(args, name) for name in (*PLANTED, "sequence_gap")})
    return summary(during(f"writing {args.path}", make_run, args.path, **options))


def signal(name: str, parameters: list[str]) -> Signal:
    """Return a signal from its short name and ``NAME=VALUE`` texts.

    Raises
    ------
    ValueError
        If a parameter is not one of that signal, or has no value.
    """
    kind = SIGNALS[name]
    known = sorted(field.name for field in fields(kind))
    chosen = dict(text.partition("=")[::2] for text in parameters)
    if unknown := sorted(set(chosen) - set(known)):
        raise ValueError(f"signal {name!r} has no {', '.join(unknown)}; it has: {', '.join(known)}")
    return kind(**{key: _value(key, text) for key, text in chosen.items()})


def _value(name: str, text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        raise ValueError(f"{name} needs a number or a list of numbers after '=', not {text!r}") from None


def summary(truth: Truth) -> str:
    """Return a run's contents in a few lines."""
    lines = [
        f"{truth.path}: trains {truth.train_ids[0]} to {truth.train_ids[-1]} ({len(truth.train_ids)})",
        f"  {truth.signal['signal']}, {int(truth.lit.sum())} of {len(truth.lit)} frames lit, "
        f"{int(truth.hits.sum())} hits, {int(truth.pump.sum())} pumped",
        *(f"  {kind}: {name}" for kind, name in truth.devices.items()),
    ]
    if truth.detector:
        pixels = " x ".join(map(str, truth.expected.shape[1:]))
        lines.insert(1, f"  {truth.detector} ({truth.data}), {len(truth.sources)} modules of {pixels} pixels")
    return "\n".join([*lines, "  truth: truth.npz, truth.json (dxflow.simulate.Truth.load)"])


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _share(text: str) -> str | float:
    """Return a share of the frames as a number, names as they are."""
    try:
        return float(text)
    except ValueError:
        return text
