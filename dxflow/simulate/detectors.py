"""Facts about each detector that can be simulated: names, shapes, how gain is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kind:
    """A kind of detector as it appears in EXDF files."""

    name: str
    """As EXtra-data calls it: "AGIPD1M"."""
    domain: str
    """Detector name without the instrument: "DET_AGIPD1M-1"."""
    aggregator: str
    """Start of the aggregator's name in file names: "AGIPD"."""
    modules: int
    first: int
    """Number of the first module."""
    shape: tuple[int, int]
    """Pixels of a module, (ss, fs)."""
    cells: int
    """The most frames of a train: memory cells, but where these take turns."""
    raw_planes: int
    """Length of the axis before the pixels in raw data; 0 where there is none."""
    gain: str
    """Where raw data keep the gain stage: "plane", "bits" (12 and 13), "key" (its own dataset) or "none"."""
    adu_per_photon: tuple[float, ...]
    """Per gain stage, high gain first."""
    ceiling: tuple[float, ...]
    """Photons above which the next stage is used; one fewer than stages."""
    geometry: str
    """Class of `extra_geom` with the real layout; "" where there is none."""
    xtdf: bool = True
    """Frames of a train along the first axis (XTDF) rather than one entry per train."""
    asic: tuple[int, int] = (64, 64)
    """Pixels of an ASIC, (ss, fs)."""
    adc_bits: int = 14
    """Largest raw value is 2**adc_bits - 1."""
    receiver: str = "JNGFR"
    """Start of the last part of a source, where it is not XTDF."""
    strips: bool = False
    """Whether frames are stored as lines, (strip,)."""
    turns: int = 0
    """Memory cells that take turns from frame to frame, and are not recorded; 0: a frame has its own."""

    def cell(self, frame: Any) -> Any:
        """Return the memory cell of frames by their number in the train."""
        return frame % self.turns if self.turns else frame

    @property
    def group(self) -> str:
        """Index group of the frames."""
        return "image" if self.xtdf else "data"

    @property
    def data(self) -> str:
        """Dataset of the frames within the group."""
        return "data" if self.xtdf else "adc"

    @property
    def key(self) -> str:
        """Key of the frames as EXtra-data names it."""
        return f"{self.group}.{self.data}"

    def detector(self, instrument: str) -> str:
        """Return the detector's name at an instrument: "SPB_DET_AGIPD1M-1"."""
        return f"{instrument}_{self.domain}"

    def raw_source(self, detector: str, module: int) -> str:
        """Return the source of a module's raw data, also the legacy name of the corrected data."""
        if self.xtdf:
            return f"{detector}/DET/{module}CH0:xtdf"
        return f"{detector}/DET/{self.receiver}{module:02d}:daqOutput"

    def corrected_source(self, detector: str, module: int) -> str:
        """Return the source of a module's corrected data (the rule since 2026)."""
        if self.xtdf:
            return f"{detector}/CORR/{module}CH0:output"
        return f"{detector}/CORR/{self.receiver}{module:02d}:daqOutput"

    def module_numbers(self, modules: int | None = None) -> tuple[int, ...]:
        """Return the numbers of the first ``modules`` modules; None means all."""
        return tuple(range(self.first, self.first + (self.modules if modules is None else modules)))


def _agipd(name: str, domain: str, modules: int, geometry: str) -> Kind:
    return Kind(
        name=name,
        domain=domain,
        aggregator="AGIPD",
        modules=modules,
        first=0,
        shape=(512, 128),
        cells=352,
        raw_planes=2,
        gain="plane",
        adu_per_photon=(65.0, 2.0, 0.5),
        ceiling=(50.0, 1500.0),
        geometry=geometry,
    )


def _lpd() -> Kind:
    return Kind(
        name="LPD1M",
        domain="DET_LPD1M-1",
        aggregator="LPD",
        modules=16,
        first=0,
        shape=(256, 256),
        cells=512,
        raw_planes=1,
        gain="bits",
        adu_per_photon=(30.0, 3.0, 0.4),
        ceiling=(80.0, 900.0),
        geometry="LPD_1MGeometry",
        asic=(32, 16),
        adc_bits=12,
    )


def _dssc() -> Kind:
    return Kind(
        name="DSSC1M",
        domain="DET_DSSC1M-1",
        aggregator="DSSC",
        modules=16,
        first=0,
        shape=(128, 512),
        cells=800,
        raw_planes=1,
        gain="none",
        adu_per_photon=(1.0,),
        ceiling=(),
        geometry="DSSC_1MGeometry",
        adc_bits=9,
    )


def _jungfrau(name: str, domain: str, modules: int) -> Kind:
    return Kind(
        name=name,
        domain=domain,
        aggregator="JNGFR",
        modules=modules,
        first=1,
        shape=(512, 1024),
        cells=16,
        raw_planes=0,
        gain="key",
        adu_per_photon=(350.0, 12.0, 0.9),
        ceiling=(30.0, 700.0),
        geometry="JUNGFRAUGeometry",
        asic=(256, 256),
        xtdf=False,
    )


def _gotthard2() -> Kind:
    return Kind(
        name="GOTTHARD2",
        domain="XAD_G2XES",
        aggregator="GH2",
        modules=2,
        first=1,
        shape=(1, 1280),
        cells=2720,
        raw_planes=0,
        gain="key",
        adu_per_photon=(30.0, 3.0, 0.4),
        ceiling=(80.0, 900.0),
        geometry="",
        asic=(1, 128),
        adc_bits=12,
        xtdf=False,
        receiver="RECEIVER",
        strips=True,
        turns=2,
    )


_ALL = (
    _agipd("AGIPD1M", "DET_AGIPD1M-1", 16, "AGIPD_1MGeometry"),
    _agipd("AGIPD500K", "DET_AGIPD500K2G", 8, "AGIPD_500K2GGeometry"),
    _lpd(),
    _dssc(),
    _jungfrau("JUNGFRAU", "IRDA_JF4M", 8),
    _jungfrau("JUNGFRAU1", "IRDA_JF500K1", 1),
    _gotthard2(),
)

KINDS = {kind.name: kind for kind in _ALL}


def kind(name: str) -> Kind:
    """Return the facts of a detector.

    Raises
    ------
    ValueError
        If there is no such detector.
    """
    if name not in KINDS:
        raise ValueError(f"no detector {name!r} to simulate; known: {', '.join(sorted(KINDS))}")
    return KINDS[name]
