"""Options of a simulated run."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .detectors import Kind, kind
from .electronics import STAGES, Electronics
from .exdf import VERSIONS
from .plant import Plant
from .signals import PowderRings, Signal
from .timetool import TimeTool
from .waveforms import Waveforms

DEVICES = (
    "xgm",
    "motor",
    "timeserver",
    "ppd",
    "camera",
    "agipd",
    "litframes",
    "shutter",
    "digitizer",
    "timetool",
)

STRIDES = {4.5: 1, 2.2: 2, 1.1: 4, 0.5: 8}
"""Repetition rate in MHz -> pulse slots from one detector frame to the next."""

SLOT_US = 288 / 1300
"""Time between two slots of the bunch pattern, microseconds: 288 periods of the 1.3 GHz clock."""

SLOTS = 2700
"""Entries of the bunch pattern table."""


@dataclass(frozen=True)
class Scan:
    """A motor that steps from one position to another during the run."""

    start: float = 0.0
    """mm."""
    stop: float = 1.0
    """mm."""
    steps: int = 4
    centre: float | None = None
    """The signal is multiplied by a Gaussian of the position around this one, mm; None: it does not care."""
    width: float = 0.3
    """Standard deviation of that Gaussian, mm; of an edge, its half width at half of the arctangent's rise."""
    edge: float | None = None
    """The signal is multiplied by what an absorption edge at this position makes, mm; None: there is none."""
    jump: float = 1.0
    """What the edge adds to 1."""
    onset: float | None = None
    """The motor is a delay, and the pump does something from this position on, mm; None: everywhere."""
    rise: float = 0.02
    """The effect of the pump sets in as an error function of this standard deviation, mm."""
    lifetime: float = np.inf
    """And decays as exp(-(position - onset) / lifetime), mm."""

    def positions(self, trains: int) -> NDArray[np.float64]:
        """Return the position at each train, mm: the steps are equally long."""
        steps = np.linspace(self.start, self.stop, self.steps)
        return steps[np.arange(trains) * self.steps // max(trains, 1)]

    def response(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the factor on the signal at each position."""
        out = np.ones_like(positions)
        if self.centre is not None:
            out *= np.exp(-0.5 * ((positions - self.centre) / self.width) ** 2)
        if self.edge is not None:
            out *= 1 + self.jump * (0.5 + np.arctan((positions - self.edge) / self.width) / np.pi)
        return out

    def effect(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far the pump changes the signal at each position: 0 not at all, 1 into `pump_signal`."""
        if self.onset is None:
            return np.ones_like(positions)
        late = positions - self.onset
        rising = [0.5 * (1 + math.erf(x / (self.rise * math.sqrt(2)))) for x in late]
        return np.array(rising).reshape(late.shape) * np.exp(-np.maximum(late, 0) / self.lifetime)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All options of `make_run`, checked."""

    detector: str | None = "AGIPD1M"
    """"AGIPD1M", "AGIPD500K", "LPD1M", "DSSC1M", "JUNGFRAU", "JUNGFRAU1" (one module) or None."""
    data: Literal["corr", "raw"] = "corr"
    """Corrected (float32 photons, mask, gain) or raw (uint16 ADU)."""
    trains: int = 16
    pulses: int = 8
    """Detector frames (memory cells) per train."""
    modules: int | None = None
    """How many modules; None: all that the detector has."""
    module_shape: tuple[int, int] | None = None
    """Pixels (ss, fs) of a module; None: the real ones. Small ones, (16, 16), make quick tests."""
    signal: Signal = field(default_factory=PowderRings)
    """What scatters; ``Flat(0)`` is a dark run."""
    pump_signal: Signal | None = None
    """What scatters in pumped frames; None: the same."""
    lit: str | float | ArrayLike = "all"
    """Frames with X-rays: "all", "none", a share of the frames (every second: 0.5) or booleans
    (pulse,) or (train, pulse)."""
    pump: str | float | ArrayLike = "none"
    """Frames with the optical laser: as ``lit``, or "trains" or "pulses" for every second of them."""
    scan: Scan = field(default_factory=Scan)
    pulse_energy: float = 1000.0
    """Mean pulse energy, microjoule: `Truth.expected` is for a pulse of this energy."""
    energy_spread: float = 0.1
    """Standard deviation of the pulse energy over its mean (gamma distributed); 0: all the same."""
    noise: float = 0.3
    """Standard deviation of the noise of a pixel, photons."""
    charge: float = 0.0
    """Side of the square over which the charge of a photon spreads, pixels, up to 1; 0: it stays in its pixel. Not with
    `electronics`."""
    electronics: Electronics | None = None
    """Raw data: what differs between cells and gain stages, and moves together; None: an offset of each cell alone."""
    bad_pixels: float = 0.002
    """Share of pixels that are dead (always 0) or hot (always far too much), half each."""
    distance: float = 0.2
    """Sample to detector, m."""
    photon_energy: float = 9.3
    """keV."""
    repetition_rate: float = 1.1
    """Detector frames per microsecond: 4.5, 2.2, 1.1 or 0.5 MHz."""
    first_slot: int = 0
    """Pulse id, and slot in the bunch pattern, of the first detector frame."""
    other_pulses: int = 0
    """X-ray pulses of the neighbouring beamline in the bunch pattern, after ours."""
    version: str = "1.3"
    """EXDF version: 0.5, 1.0, 1.1, 1.2 or 1.3."""
    sequences: int = 2
    """Sequence files of each aggregator; a run of one train has one."""
    first_train: int = 10001
    seed: int = 0
    pool: int | None = None
    """None: each frame is drawn anew. A number: of frames that differ in nothing but chance, only so many
    are drawn and then repeated (whole trains, for a signal that is correlated): fast, and the truth says so."""
    layout: Literal["chunked", "contiguous"] = "chunked"
    """Of the frames: HDF5 chunks of one frame, or one contiguous dataset."""
    compress_masks: bool = True
    """Mask and gain: shuffle and deflate."""
    compress_data: bool = False
    """Frames: shuffle and deflate."""
    legacy_names: bool = True
    """Whether corrected modules are also found under their raw names (soft links)."""
    devices: Collection[str] = ("xgm", "motor", "timeserver", "ppd", "litframes")
    """Beside the detector: "xgm", "motor", "timeserver", "ppd", "camera", "shutter", "agipd" (the detector's control
    device), "litframes" (the online lit-frame finder), "digitizer" (a trace per train), "timetool" (a line camera)."""
    camera_shape: tuple[int, int] = (48, 64)
    waveforms: Waveforms = field(default_factory=Waveforms)
    """What the digitizer records."""
    timetool: TimeTool = field(default_factory=TimeTool)
    """What the time tool sees."""
    plant: Plant = field(default_factory=Plant)
    """What is wrong on purpose."""
    proposal: int = 900000
    run: int = 1
    instrument: str = "SPB"

    def __post_init__(self) -> None:
        if self.trains == 1:
            object.__setattr__(self, "sequences", 1)
        problems = [text for wrong, text in self._checks() if wrong]
        if problems:
            raise ValueError("; ".join(problems))

    def _checks(self) -> list[tuple[bool, str]]:
        """Return (wrong?, what is wrong) of options that concern every run."""
        unknown = sorted(set(self.devices) - set(DEVICES))
        last = self.first_slot + self.pulses * STRIDES.get(self.repetition_rate, 1)
        rates = ", ".join(map(str, sorted(STRIDES)))
        return [
            _one_of("data", self.data, ("corr", "raw")),
            _one_of("version", self.version, VERSIONS),
            _one_of("layout", self.layout, ("chunked", "contiguous")),
            (bool(unknown), f"no devices {unknown}; known: {', '.join(DEVICES)}"),
            (
                min(self.trains, self.pulses) < 1,
                f"trains and pulses must be positive: {self.trains}, {self.pulses}",
            ),
            (
                not 1 <= self.sequences <= self.trains,
                f"sequences must be 1 to {self.trains}, not {self.sequences}",
            ),
            (self.repetition_rate not in STRIDES, f"repetition_rate must be one of {rates} MHz"),
            (
                last > SLOTS,
                f"{self.pulses} frames at {self.repetition_rate} MHz end at slot {last} of {SLOTS}",
            ),
            (not 0 <= self.charge <= 1, f"charge spreads over 0 to 1 pixel, not {self.charge}"),
            (bool(self.charge) and self.electronics is not None, "charge= is not for runs with electronics="),
            (self.pool is not None and self.pool < 1, f"pool must be positive or None, not {self.pool}"),
            (
                self.compress_data and self.layout == "contiguous",
                "contiguous datasets cannot be compressed: use layout='chunked'",
            ),
            *([] if self.kind is None else self._detector_checks(self.kind)),
        ]

    def _detector_checks(self, kind: Kind) -> list[tuple[bool, str]]:
        """Return (wrong?, what is wrong) of options that concern the detector."""
        modules = kind.modules if self.modules is None else self.modules
        stage = "auto" if self.electronics is None else self.electronics.stage
        return [
            (self.electronics is not None and self.data != "raw", "electronics are of raw data: data='raw'"),
            (
                self.plant.bursts is not None and self.data != "corr",
                "bursts are of corrected data: data='corr'",
            ),
            (
                stage in STAGES[len(kind.adu_per_photon) :],
                f"{kind.name} has no {stage} gain, only {', '.join(STAGES[: len(kind.adu_per_photon)])}",
            ),
            (self.pulses > kind.cells, f"{kind.name} has {kind.cells} memory cells, not {self.pulses}"),
            (not 1 <= modules <= kind.modules, f"{kind.name} has 1 to {kind.modules} modules, not {modules}"),
            (
                kind.strips and self.shape[0] != 1,
                f"{kind.name} is a line of strips: module_shape=(1, ...), not {self.shape}",
            ),
            (not self.numbers, "no modules are left: plant fewer missing_modules"),
            (
                not kind.xtdf and self.plant.pulse_counts is not None,
                f"{kind.name} stores the same number of frames for all trains: no pulse_counts; "
                "empty_trains can be planted",
            ),
        ]

    @property
    def kind(self) -> Kind | None:
        """Facts of the detector, None without one."""
        return None if self.detector is None else kind(self.detector)

    @property
    def shape(self) -> tuple[int, int]:
        """Pixels (ss, fs) of a module."""
        real = self.kind.shape if self.kind else (0, 0)
        return real if self.module_shape is None else (int(self.module_shape[0]), int(self.module_shape[1]))

    @property
    def numbers(self) -> tuple[int, ...]:
        """Numbers of the modules that are written: those planted as missing are left out."""
        if self.kind is None:
            return ()
        missing = set(self.plant.missing_modules)
        return tuple(n for n in self.kind.module_numbers(self.modules) if n not in missing)

    @property
    def stride(self) -> int:
        """Pulse slots from one detector frame to the next."""
        return STRIDES[self.repetition_rate]


def _one_of(name: str, value: str, known: tuple[str, ...]) -> tuple[bool, str]:
    return value not in known, f"no {name} {value!r}; known: {', '.join(known)}"


def pattern(spec: str | float | ArrayLike, trains: int, pulses: int) -> NDArray[np.bool_]:
    """Return which frames a description means, (train, pulse).

    Parameters
    ----------
    spec : str, float or array_like
        "all", "none", "trains", "pulses" (every second, from the second on), a share 0 to 1 spread evenly
        from the first frame on, or booleans (pulse,) or (train, pulse).

    Raises
    ------
    ValueError
        If it means nothing.
    """
    train, pulse = np.ogrid[:trains, :pulses]
    named = {"all": pulse >= 0, "none": pulse < 0, "trains": train % 2 == 1, "pulses": pulse % 2 == 1}
    if isinstance(spec, str):
        if spec not in named:
            raise ValueError(f"no frame pattern {spec!r}; known: {', '.join(named)}, a share, or booleans")
        return np.broadcast_to(named[spec], (trains, pulses)).copy()
    values = np.asarray(spec)
    if values.ndim == 0 and values.dtype != bool:
        return _spread(float(values), trains, pulses)
    if values.shape not in ((pulses,), (trains, pulses)):
        raise ValueError(
            f"a frame pattern must have shape ({pulses},) or ({trains}, {pulses}), not {values.shape}"
        )
    return np.broadcast_to(values.astype(bool), (trains, pulses)).copy()


def _spread(share: float, trains: int, pulses: int) -> NDArray[np.bool_]:
    """Return the frames where ``share * frame`` passes an integer: as even as can be, the first included."""
    if not 0 <= share <= 1:
        raise ValueError(f"a share of frames must be 0 to 1, not {share}")
    steps = np.ceil(np.arange(pulses + 1) * share - 1e-9)
    return np.broadcast_to(np.diff(steps) > 0, (trains, pulses)).copy()


def settings(options: dict[str, Any]) -> Settings:
    """Return checked settings; raise TypeError naming the options there are if one is unknown."""
    known = Settings.__dataclass_fields__
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise TypeError(f"make_run has no option {', '.join(unknown)}; it has: {', '.join(sorted(known))}")
    return Settings(
        **{key: _tuple(value) for key, value in options.items() if value is not None or key in _NONE}
    )


_NONE = ("detector", "modules", "module_shape", "pump_signal", "electronics", "pool")


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str) else value
