"""Everything but detector modules: gas monitor, motor, time server, decoder, camera, control devices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bunches import LASER, bunch_table, other_slots, sase
from .exdf import FileFacts, SimulatedFile
from .geometry import HC
from .schedule import Beam, Schedule, beam
from .seeds import Stream, generator
from .settings import SLOT_US, Settings

XGM_ROWS = 1000
XGM_EMPTY = 1.0
"""What the gas monitor stores where there was no pulse."""
OTHER_ENERGY = 500.0
"""Of the neighbouring beamline's pulses, microjoule."""
LIT_CELLS = 352
XGM_NAME = {1: "SA1_XTD2_XGM/XGM/DOOCS", 2: "SA2_XTD1_XGM/XGM/DOOCS", 3: "SA3_XTD10_XGM/XGM/DOOCS"}


@dataclass(frozen=True)
class Machine:
    """State of the machine during some trains of the run: what devices measure."""

    settings: Settings
    beam: Beam
    motor: NDArray[np.float64]
    train_ids: NDArray[np.uint64]
    energies: NDArray[np.float32]
    """Of all pulses that pass the gas monitor, (train, row), microjoule."""
    xgm_rows: NDArray[np.int64]
    """Row of our pulses in ``energies``, (train, pulse)."""


def names(settings: Settings) -> dict[str, str]:
    """Return the source (or device) name of each kind of device at this instrument."""
    instrument = settings.instrument
    control = "SPB_IRU_AGIPD1M1" if instrument == "SPB" else f"{instrument}_EXP_AGIPD1M1"
    return {
        "xgm": XGM_NAME[sase(instrument)],
        "motor": f"{instrument}_EXP_SCAN/MOTOR/STAGE",
        "timeserver": f"{instrument}_RR_UTC/TSYS/TIMESERVER",
        "ppd": f"{instrument}_RR_SYS/MDL/PULSE_PATTERN_DECODER",
        "camera": f"{instrument}_EXP_CAM/CAM/SIDE",
        "shutter": f"{instrument}_EXP_SHUTTER/VALVE/FAST",
        "agipd": f"{control}/MDL/FPGA_COMP",
        "litframes": f"{control}/REDU/LITFRM",
        "digitizer": f"{instrument}_UTC1_ADQ/ADC/1",
        "timetool": f"{instrument}_LAS_PAM/CAM/LINE",
    }


def write_devices(directory: Path, settings: Settings, schedule: Schedule) -> None:
    """Write the sequence files of the devices: DA02 for the camera, DA01 for all others."""
    for sequence in range(settings.sequences):
        trains = np.flatnonzero(schedule.sequence == sequence)
        state = machine(settings, schedule, trains)
        chosen = [kind for kind in WRITERS if kind in settings.devices]
        for aggregator, kinds in (
            ("DA01", [kind for kind in chosen if kind != "camera"]),
            ("DA02", [kind for kind in chosen if kind == "camera"]),
        ):
            if kinds:
                _write_file(directory, state, aggregator, sequence, kinds)


def _write_file(directory: Path, state: Machine, aggregator: str, sequence: int, kinds: list[str]) -> None:
    settings = state.settings
    facts = FileFacts(
        "RAW", settings.proposal, settings.run, aggregator, sequence, settings.version, state.train_ids
    )
    with SimulatedFile(directory, facts) as file:
        for kind in kinds:
            WRITERS[kind](file, names(settings)[kind], state)


def machine(settings: Settings, schedule: Schedule, trains: NDArray[np.int64]) -> Machine:
    """Return the state of the machine during some trains (by index)."""
    whole = beam(settings, schedule)
    part = Beam(whole.lit[trains], whole.pump[trains], whole.energy[trains], whole.slots, whole.shut[trains])
    own = np.where(part.lit, part.energy, 0)
    others = len(other_slots(part, settings.other_pulses)) if sase(settings.instrument) != 2 else 0
    energies = np.full((len(trains), XGM_ROWS), XGM_EMPTY, np.float32)
    rows = np.cumsum(part.lit, axis=1) - 1
    for train, lit in enumerate(part.lit):
        seen = np.concatenate([own[train, lit], np.full(others, OTHER_ENERGY, np.float32)])
        energies[train, : len(seen)] = seen
    return Machine(settings, part, schedule.motor[trains], schedule.train_ids[trains], energies, rows)


def _xgm(file: SimulatedFile, name: str, state: Machine) -> None:
    own = np.full_like(state.energies, XGM_EMPTY)
    for train, lit in enumerate(state.beam.lit):
        own[train, : lit.sum()] = state.beam.energy[train, lit]
    number = sase(state.settings.instrument)
    lit = state.beam.lit.sum(axis=1)
    mean = state.beam.energy.sum(axis=1) / np.maximum(lit, 1)
    fast = {"intensityTD": state.energies, "intensitySigmaTD": np.float32(0.02) * state.energies}
    if number != 2:
        fast |= {f"intensitySa{number}TD": own, f"intensitySa{number}SigmaTD": np.float32(0.02) * own}
    file.fast(f"{name}:output", "data", fast, units=dict.fromkeys(fast, "uJ"))
    wavelength = np.full(len(lit), HC / state.settings.photon_energy / 10, np.float32)
    file.control(
        name,
        {
            "pulseEnergy.photonFlux": mean.astype("f4"),
            "pulseEnergy.numberOfBunchesActual": lit.astype("i4"),
            "pulseEnergy.wavelengthUsed": wavelength,
        },
        constants={"classId": "DoocsXGM"},
        units={"pulseEnergy.photonFlux": "uJ", "pulseEnergy.wavelengthUsed": "nm"},
    )


def _motor(file: SimulatedFile, name: str, state: Machine) -> None:
    values = {
        "actualPosition": state.motor,
        "encoderPosition": state.motor,
        "targetPosition": state.motor,
        "isOnTarget": np.ones(len(state.motor), "u1"),
    }
    units = {key: "mm" for key in values if key.endswith("Position")}
    file.control(name, values, constants={"classId": "BeckhoffMotor"}, units=units)


def _shutter(file: SimulatedFile, name: str, state: Machine) -> None:
    file.control(name, {"isOpened": (~state.beam.shut).astype("u1")}, constants={"classId": "Shutter"})


def _timeserver(file: SimulatedFile, name: str, state: Machine) -> None:
    table = bunch_table(state.beam, state.settings.instrument, state.settings.other_pulses)
    file.fast(f"{name}:outputBunchPattern", "data", {"bunchPatternTable": table})
    file.control(name, {"bunchPatternTable": table}, constants={"classId": "TimeServer"})


def _ppd(file: SimulatedFile, name: str, state: Machine) -> None:
    """Write pulse ids of each beamline and of the laser, padded with zeros to 1000."""
    slots, number = state.beam.slots, sase(state.settings.instrument)
    others = other_slots(state.beam, state.settings.other_pulses)
    pulses = {f"sase{n}": np.zeros((len(state.train_ids), XGM_ROWS), "i4") for n in (1, 2, 3)}
    pulses["laser"] = np.zeros((len(state.train_ids), XGM_ROWS), "i4")
    counts = {key: np.zeros(len(state.train_ids), "i4") for key in pulses}
    neighbour = {1: "sase3", 2: "sase1", 3: "sase1"}[number]
    for train, (lit, pump) in enumerate(zip(state.beam.lit, state.beam.pump, strict=True)):
        for key, ids in ((f"sase{number}", slots[lit]), ("laser", slots[pump]), (neighbour, others)):
            pulses[key][train, : len(ids)] = ids
            counts[key][train] = len(ids)
    values: dict[str, NDArray[Any]] = {f"{key}.pulseIds": ids for key, ids in pulses.items()}
    values |= {f"{key}.nPulses": n for key, n in counts.items()}
    laser = LASER.get(state.settings.instrument, 0)
    file.control(name, values, constants={"classId": "BunchPatternDecoder", "laserSource": laser})


def _agipd(file: SimulatedFile, name: str, state: Machine) -> None:
    settings, n = state.settings, len(state.train_ids)
    values: dict[str, Any] = {
        "bunchStructure.nPulses": np.full(n, settings.pulses, "i4"),
        "bunchStructure.repetitionRate": np.full(n, settings.repetition_rate),
        "bunchStructure.firstPulse": np.full(n, settings.first_slot, "i4"),
        "integrationTime": np.full(n, 20, "i4"),
        "gainModeIndex": np.zeros(n, "i4"),
        "gain": np.zeros(n, "i4"),
        "patternTypeIndex": np.zeros(n, "i4"),
    }
    exposed = "XRay" if state.beam.lit.any() else "Dark"
    file.control(
        name,
        values,
        constants={"classId": "AgipdComposite", "patternType": exposed, "expType": exposed, "deviceId": name},
    )


def _litframes(file: SimulatedFile, name: str, state: Machine) -> None:
    lit, n = state.beam.lit, len(state.train_ids)
    width = max(LIT_CELLS, state.settings.pulses)
    reference = int(lit.any(axis=0).argmax())
    slots = np.broadcast_to(state.beam.slots, lit.shape)
    data = {
        "dataFramePattern": _padded(lit, width, "u1"),
        "detectorPulseId": _padded(slots, width, "u2"),
        "energyPerFrame": _padded(state.beam.energy, width, "f4"),
        "energySigma": _padded(state.beam.energy * 0.02, width, "f4"),
        "nPulsePerFrame": _padded(lit, width, "u2"),
        "masterPulseId": _packed(slots, lit, 2700),
        "xgmPulseId": _packed(state.xgm_rows, lit, 2700),
        "nFrame": np.full(n, lit.shape[1], "u2"),
    }
    file.fast(f"{name}:output", "data", data)
    frames = _packed(np.broadcast_to(np.arange(lit.shape[1]), lit.shape), lit, width)
    counts = lit.sum(axis=1).astype("u2")
    values = {"litFrames": frames, "dataFrames": frames, "nFrame": data["nFrame"]}
    values |= dict.fromkeys(("nLitFrame", "nDataFrame", "nPulse"), counts)
    values["referenceFrame"] = np.full(n, reference, "i2")
    constants = {"classId": "AgipdLitFrameFinder", "alignMethod": "by first pulse"}
    file.control(name, values, constants=constants | {"detectorId": names(state.settings)["agipd"]})


def _padded(values: NDArray[Any], width: int, dtype: str) -> NDArray[Any]:
    out = np.zeros((len(values), width), dtype)
    out[:, : values.shape[1]] = values
    return out


def _packed(values: NDArray[Any], keep: NDArray[np.bool_], width: int) -> NDArray[np.uint16]:
    """Return the kept values of each row, from the left, then zeros."""
    out = np.zeros((len(values), width), "u2")
    for row, (value, kept) in enumerate(zip(values, keep, strict=True)):
        out[row, : kept.sum()] = value[kept]
    return out


def camera_centres(settings: Settings, train_ids: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return where the spot is on the camera at each train, (train, 2): row and column in pixels."""
    middle = (np.array(settings.camera_shape) - 1) / 2
    steps = [generator(settings.seed, Stream.CAMERA, int(tid)).standard_normal(2) for tid in train_ids]
    return middle + np.array(steps).reshape(-1, 2) * np.array(settings.camera_shape) / 20


def _camera(file: SimulatedFile, name: str, state: Machine) -> None:
    """Write images of a Gaussian spot on a pedestal of 50."""
    shape = state.settings.camera_shape
    row, column = np.indices(shape)
    sigma = min(shape) / 8
    images = np.zeros((len(state.train_ids), *shape), "u2")
    for train, (y, x) in enumerate(camera_centres(state.settings, state.train_ids)):
        images[train] = np.rint(50 + 2000 * np.exp(-0.5 * ((row - y) ** 2 + (column - x) ** 2) / sigma**2))
    n = len(images)
    keys = {
        "image.pixels": images,
        "image.dims": np.tile(np.array(shape[::-1], "u8"), (n, 1)),
        "image.bitsPerPixel": np.full(n, 12, "i4"),
    }
    file.fast(f"{name}:daqOutput", "data", keys)
    file.control(name, {"exposureTime": np.full(n, 1.0)}, constants={"classId": "BaslerCamera"})


def waves(settings: Settings, train_id: int, lit: NDArray[np.bool_], energy: NDArray) -> NDArray[np.float64]:
    """Return top, height and area of each peak that the digitizer sees of a train, (peak, 3)."""
    times = np.flatnonzero(lit) * (settings.stride * SLOT_US)
    return settings.waveforms.peaks(settings.seed, train_id, times, energy[lit] / settings.pulse_energy)


def planted_waves(settings: Settings, schedule: Schedule) -> NDArray[np.float64]:
    """Return all peaks of the run, (peak, 4): train (index), top, height, area; none without a digitizer."""
    found = [np.zeros((0, 4))]
    if "digitizer" in settings.devices:
        came = beam(settings, schedule)
        for train, train_id in enumerate(schedule.train_ids):
            peaks = waves(settings, int(train_id), came.behind[train], came.energy[train])
            found.append(np.column_stack([np.full(len(peaks), train), peaks]))
    return np.concatenate(found)


def _digitizer(file: SimulatedFile, name: str, state: Machine) -> None:
    settings, beams = state.settings, zip(state.train_ids, state.beam.behind, state.beam.energy, strict=True)
    traces = [
        settings.waveforms.trace(settings.seed, int(tid), waves(settings, int(tid), lit, energy))
        for tid, lit, energy in beams
    ]
    shape = (len(state.train_ids), settings.waveforms.samples)
    file.fast(
        f"{name}:network", "digitizers", {"channel_1_A.raw.samples": np.array(traces, "i2").reshape(shape)}
    )
    file.control(name, {"board1.samplingRate": np.full(shape[0], settings.waveforms.rate * 1e6)})


def planted_edges(settings: Settings, schedule: Schedule) -> NDArray[np.float64]:
    """Return where the edge of the time tool is at each train, pixels, (train,); NaN without X-rays, or without it."""
    if "timetool" not in settings.devices:
        return np.full(len(schedule.train_ids), np.nan)
    return _edges(settings, schedule.train_ids, beam(settings, schedule).behind)


def _edges(settings: Settings, train_ids: NDArray[np.uint64], lit: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.where(lit.any(axis=1), settings.timetool.edges(settings.seed, train_ids), np.nan)


def _timetool(file: SimulatedFile, name: str, state: Machine) -> None:
    tool, seed, ids = state.settings.timetool, state.settings.seed, state.train_ids
    edges = _edges(state.settings, ids, state.beam.behind)
    lines = [tool.line(seed, int(tid), edge) for tid, edge in zip(ids, edges, strict=True)]
    file.fast(
        f"{name}:daqOutput", "data", {"image.pixels": np.array(lines, "u2").reshape(len(ids), tool.pixels)}
    )
    file.control(name, {"exposureTime": np.full(len(ids), 0.1)}, constants={"classId": "LineCamera"})


WRITERS: dict[str, Callable[[SimulatedFile, str, Machine], None]] = {
    "xgm": _xgm,
    "motor": _motor,
    "timeserver": _timeserver,
    "ppd": _ppd,
    "shutter": _shutter,
    "agipd": _agipd,
    "litframes": _litframes,
    "camera": _camera,
    "digitizer": _digitizer,
    "timetool": _timetool,
}
