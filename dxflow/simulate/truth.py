"""What a simulated run really contains."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..disk.marks import REST
from .detectors import kind

ARRAYS = "truth.npz"


@dataclass(frozen=True)
class Truth:
    """What a simulated run really contains; kept beside the files as ``truth.npz`` and ``truth.json``.

    Frames of all trains lie behind one another; trains that the run does not have are left out. Arrays over
    modules follow ``module_numbers``, without modules planted as missing. Without a detector its arrays are
    empty.
    """

    path: str
    """The run directory."""
    detector: str
    """Name of the detector in the run: "SPB_DET_AGIPD1M-1"; "" without one."""
    kind: str
    """"AGIPD1M", ...; "" without one."""
    data: str
    """"corr" or "raw"."""
    key: str
    """Key of the frames: "image.data" or "data.adc"."""
    sources: tuple[str, ...]
    """Source of each module that has files."""
    devices: dict[str, str]
    """Device name by kind ("xgm", "motor", ...); fast data are at ``name:output`` (xgm, litframes),
    ``name:outputBunchPattern`` (timeserver), ``name:daqOutput`` (camera, timetool) and ``name:network`` (digitizer)."""
    distance: float
    """Sample to detector, m."""
    photon_energy: float
    """keV."""
    wavelength: float
    """Angstrom."""
    pulse_energy: float
    """Microjoule: the energy that ``expected`` is for."""
    noise: float
    """Standard deviation of the noise, photons."""
    signal: dict[str, Any]
    """Name and parameters of the signal: ring positions, radius, planted contrast, ..."""
    pump_signal: dict[str, Any] | None
    """The same for pumped frames, None where they are as the others."""
    planted: dict[str, Any]
    """What is wrong on purpose, see `Plant`."""
    geometry: dict[str, str]
    """Files of the geometry in the run directory, all modules of the detector, missing ones included:
    "npy", an array as ``positions``, and "geom" (CrystFEL) for a real layout."""
    adu_per_photon: tuple[float, ...]
    """Raw data: ADU per photon in each gain stage."""
    pulse_stride: int
    """Slots of the bunch pattern from one frame to the next."""
    frame_period: float
    """Microseconds from one frame to the next."""
    module_numbers: NDArray[np.int64]
    train_ids: NDArray[np.uint64]
    """All trains of the run, (train,)."""
    frame_counts: NDArray[np.int64]
    """Detector frames of each train, (train,)."""
    present: NDArray[np.bool_]
    """Whether a module has the frames of a train, (train, module)."""
    motor: NDArray[np.float64]
    """Position at each train, mm, (train,)."""
    camera_centres: NDArray[np.float64]
    """Row and column of the spot on the camera, pixels, (train, 2)."""
    frame_train_ids: NDArray[np.uint64]
    """(frame,)"""
    pulse_ids: NDArray[np.uint64]
    """Slot in the bunch pattern, (frame,)."""
    cell_ids: NDArray[np.uint16]
    """Memory cell, (frame,)."""
    lit: NDArray[np.bool_]
    """(frame,)"""
    pump: NDArray[np.bool_]
    """(frame,)"""
    hits: NDArray[np.bool_]
    """Lit frames that hit the sample, (frame,)."""
    energy: NDArray[np.float32]
    """Microjoule, (frame,); 0 where dark."""
    intensity: NDArray[np.float64]
    """Factor on ``expected``: energy / pulse_energy times the response to the motor, (frame,)."""
    effect: NDArray[np.float64]
    """How far the pump changes the signal, (frame,): from ``expected``, 0, as in frames without a pump, to
    ``expected_pump``, 1."""
    waves: NDArray[np.float64]
    """Peaks in the traces of the digitizer, (peak, 4): train (index), top (sample), height (ADU), area (ADU times
    samples)."""
    edges: NDArray[np.float64]
    """Edge of the time tool at each train, pixels, (train,); NaN without X-rays."""
    donor: NDArray[np.int64]
    """Frame of which each frame is an exact copy, (frame,): itself, unless there was a pool."""
    bad_pixels: NDArray[np.bool_]
    """Dead or hot, (module, ss, fs)."""
    mask: NDArray[np.uint32]
    """Mask of corrected data, (module, ss, fs)."""
    expected: NDArray[np.float64]
    """Mean photons of a hit with ``pulse_energy``, (module, ss, fs); the mean over patterns for speckle,
    without the spots for Bragg."""
    expected_miss: NDArray[np.float64]
    """The same for a lit frame that missed."""
    expected_pump: NDArray[np.float64]
    """The same for a pumped hit."""
    peaks: NDArray[np.float64]
    """Bragg peaks, (peak, 5): frame, module (position in ``module_numbers``), ss, fs, photons above the
    background with ``pulse_energy``: those of its brightest pixel for Bragg, of the whole peak for Spots."""
    pedestal: NDArray[np.float32]
    """Raw data: value without light, ADU, (module, ss, fs)."""
    cell_offset: NDArray[np.float32]
    """Raw data: added to the pedestal in each memory cell, ADU, (module, cell)."""
    offset: NDArray[np.float32]
    """With `Electronics`: ADU without light, (stage, cell, module, ss, fs); empty without, as what follows."""
    noise_adu: NDArray[np.float32]
    """Standard deviation of each pixel's noise, ADU, (module, ss, fs)."""
    gain_adu: NDArray[np.float32]
    """ADU per photon, (stage, module, ss, fs)."""
    gain_level: NDArray[np.float32]
    """ADU of the gain plane, (stage, cell, module, ss, fs)."""
    cause: NDArray[np.uint8]
    """What is wrong with a pixel, `dxflow.simulate.detect.Cause`, (module, ss, fs); dead and hot ones always."""
    positions: NDArray[np.float64]
    """Pixel centres x, y, z in m, (module, ss, fs, 3)."""

    def mean(self) -> NDArray[np.float64]:
        """Return the mean photons per frame over all frames of the run, (module, ss, fs).

        Every module is taken to have all frames: planted gaps of single modules are not considered.
        """
        plain = (self.intensity * (1 - self.effect))[self.hits].sum()
        pumped = (self.intensity * self.effect)[self.hits].sum()
        missed = self.intensity[self.lit & ~self.hits].sum()
        total = plain * self.expected + pumped * self.expected_pump + missed * self.expected_miss
        return total / max(len(self.intensity), 1)

    def q(self) -> NDArray[np.float64]:
        """Return the momentum transfer of each pixel, (module, ss, fs), 1/angstrom."""
        x, y, z = np.moveaxis(self.positions, -1, 0)
        angle = np.arctan2(np.hypot(x, y), self.distance + z)
        return 4 * np.pi / self.wavelength * np.sin(angle / 2)

    def save(self) -> None:
        """Write the truth into the run directory; the positions are there already, as the geometry file."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
        arrays.pop("positions")
        rest = {name: value for name, value in values.items() if not isinstance(value, np.ndarray)}
        rest.pop("path")
        folder = Path(self.path)
        with (folder / ARRAYS).open("xb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        # So that it is known which files are a simulation's, and may be removed as such.
        rest["files"] = {f.name: f.stat().st_size for f in sorted(folder.iterdir()) if f.is_file()}
        with (folder / REST).open("x", encoding="utf-8") as text:
            text.write(json.dumps(rest, indent=1))

    @classmethod
    def load(cls, path: str | Path) -> Truth:
        """Return the truth of a simulated run.

        Raises
        ------
        FileNotFoundError
            If the directory holds no simulated run.
        """
        path = Path(path)
        if not (path / REST).is_file():
            raise FileNotFoundError(f"no {REST} in {path}: not a simulated run, or make_run did not finish")
        rest = json.loads((path / REST).read_text(encoding="utf-8"))
        rest.pop("files", None)
        for name in ("sources", "adu_per_photon"):
            rest[name] = tuple(rest[name])
        with np.load(path / ARRAYS, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        return cls(path=str(path), positions=_positions(path, rest["kind"], arrays), **rest, **arrays)


def _positions(path: Path, name: str, arrays: dict[str, NDArray[Any]]) -> NDArray[np.float64]:
    """Return the pixel positions of the modules that have files."""
    if not name:
        return np.zeros((0, 0, 0, 3))
    whole = np.load(path / "geometry.npy", allow_pickle=False)
    return whole[arrays["module_numbers"] - kind(name).first]
