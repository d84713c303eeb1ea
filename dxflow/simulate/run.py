"""Simulated runs: composes trains, detector modules, devices and truth into one run directory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .detect import Sensor, sensor
from .detectors import Kind, kind
from .devices import camera_centres, names, planted_edges, planted_waves, write_devices
from .geometry import HC, Geometry, layout, write_geometry
from .modules import write_module
from .paint import Painter, Scene
from .schedule import Schedule, schedule
from .settings import SLOT_US, Settings, settings
from .truth import Truth


def make_run(path: str | Path, **options: Any) -> Truth:
    """Write a simulated EuXFEL run and return what it contains.

    Parameters
    ----------
    path : path
        Run directory, made if need be; it must be empty.
    **options
        The fields of `Settings`: ``detector="AGIPD1M"``, ``data="corr"``, ``trains=16``, ``pulses=8``,
        ``module_shape=None``, ``signal=PowderRings()``, ``lit="all"``, ``version="1.3"``, ``sequences=2``,
        ``seed=0``, ``pool=None``, ``plant=Plant()``, ...

    Returns
    -------
    Truth
        Also stored in the run directory, see `Truth.load`.

    Raises
    ------
    FileExistsError
        If there is something in the directory.
    TypeError, ValueError
        If an option is unknown or makes no sense.

    Notes
    -----
    The same options give the same data, byte by byte. One module is held in memory at a time: with a pool,
    the frames of the pool; without, one frame.

    Examples
    --------
    >>> truth = make_run("r0001", module_shape=(16, 16), trains=4)  # doctest: +SKIP
    >>> truth.sources[0]  # doctest: +SKIP
    'SPB_DET_AGIPD1M-1/CORR/0CH0:output'
    """
    chosen = settings(options)
    directory = Path(path)
    directory.mkdir(parents=True, exist_ok=True)
    if there := sorted(p.name for p in directory.iterdir()):
        what = "HDF5 files" if any(name.endswith(".h5") for name in there) else ", ".join(there[:3])
        raise FileExistsError(f"{directory} already holds {what}: choose an empty directory")
    plan = schedule(chosen)
    write_devices(directory, chosen, plan)
    pieces = _write_detector(directory, chosen, plan) if chosen.kind else _no_detector()
    truth = Truth(**_story(directory, chosen, plan), **pieces)
    truth.save()
    return truth


def _write_detector(directory: Path, chosen: Settings, plan: Schedule) -> dict[str, Any]:
    """Write geometry and modules; return what the truth says about them."""
    facts = kind(str(chosen.detector))
    whole, source = layout(facts, chosen.shape, facts.module_numbers(chosen.modules))
    rows = [number - facts.first for number in chosen.numbers]
    geometry = Geometry(whole[rows], chosen.distance, chosen.photon_energy)
    files = write_geometry(directory, whole, geometry, source)
    scene = _scene(chosen, facts, plan, geometry)
    sensors = [sensor(chosen, facts, number) for number in chosen.numbers]
    for module, part in enumerate(sensors):
        write_module(directory, scene, Painter(scene, module, part))
    return _pieces(scene, sensors) | {"geometry": files, "positions": geometry.positions}


def _scene(chosen: Settings, facts: Kind, plan: Schedule, geometry: Geometry) -> Scene:
    hit = chosen.signal.expected(geometry)
    pumped = hit if chosen.pump_signal is None else chosen.pump_signal.expected(geometry)
    return Scene(chosen, facts, plan, geometry, hit, chosen.signal.missed(geometry), pumped)


def _pieces(scene: Scene, sensors: list[Sensor]) -> dict[str, Any]:
    """Return what the truth says about the detector."""
    chosen, facts = scene.settings, scene.kind
    detector = facts.detector(chosen.instrument)
    source = facts.corrected_source if chosen.data == "corr" else facts.raw_source
    mask = np.stack([part.mask for part in sensors])
    return {
        "detector": detector,
        "kind": facts.name,
        "key": facts.key,
        "sources": tuple(source(detector, number) for number in chosen.numbers),
        "adu_per_photon": facts.adu_per_photon,
        "module_numbers": np.array(chosen.numbers),
        "present": np.stack([_present(scene, number) for number in chosen.numbers], axis=1),
        "bad_pixels": mask != 0,
        "mask": mask,
        "expected": scene.hit,
        "expected_miss": scene.miss,
        "expected_pump": scene.pumped,
        "peaks": scene.peaks(),
        "pedestal": np.stack([part.pedestal for part in sensors]),
        "cell_offset": np.stack([part.cell_offset for part in sensors]),
        "cause": np.stack([part.cause for part in sensors]),
        **_electronics(sensors),
    }


def _electronics(sensors: list[Sensor]) -> dict[str, Any]:
    """Return what the truth says about electronics."""
    boards = [part.board for part in sensors if part.board is not None]
    if not boards:
        return dict.fromkeys(("offset", "noise_adu", "gain_adu", "gain_level"), np.zeros(0, np.float32))
    return {
        "offset": np.stack([board.offset for board in boards], axis=2),
        "noise_adu": np.stack([board.noise for board in boards]),
        "gain_adu": np.stack([board.gain for board in boards], axis=1),
        "gain_level": np.stack([board.level for board in boards], axis=2),
    }


def _present(scene: Scene, number: int) -> NDArray[np.bool_]:
    """Return whether a module has frames of each train, (train,)."""
    plant = scene.settings.plant
    gone = [*plant.lost_trains.get(number, ()), *plant.silent_trains.get(number, ())]
    return (scene.schedule.counts > 0) & ~np.isin(scene.schedule.positions, gone)


def _no_detector() -> dict[str, Any]:
    """Return what the truth says where there is no detector."""
    image = np.zeros((0, 0, 0))
    return {
        **dict.fromkeys(("detector", "kind", "key"), ""),
        **dict.fromkeys(("expected", "expected_miss", "expected_pump"), image),
        "sources": (),
        "adu_per_photon": (),
        "geometry": {},
        "module_numbers": np.zeros(0, np.int64),
        "present": np.zeros((0, 0), bool),
        "bad_pixels": image.astype(bool),
        "mask": image.astype(np.uint32),
        "peaks": np.zeros((0, 5)),
        "cause": image.astype(np.uint8),
        **_electronics([]),
        "pedestal": image.astype(np.float32),
        "cell_offset": np.zeros((0, 0), np.float32),
        "positions": np.zeros((0, 0, 0, 3)),
    }


def _story(directory: Path, chosen: Settings, plan: Schedule) -> dict[str, Any]:
    """Return what the truth says about trains, frames and devices."""
    return {
        "path": str(directory),
        "data": chosen.data,
        "devices": {name: source for name, source in names(chosen).items() if name in chosen.devices},
        "distance": chosen.distance,
        "photon_energy": chosen.photon_energy,
        "wavelength": HC / chosen.photon_energy,
        "pulse_energy": chosen.pulse_energy,
        "noise": chosen.noise,
        "signal": chosen.signal.describe(),
        "pump_signal": chosen.pump_signal and chosen.pump_signal.describe(),
        "planted": chosen.plant.as_json(),
        "pulse_stride": chosen.stride,
        "frame_period": chosen.stride * SLOT_US,
        "train_ids": plan.train_ids,
        "frame_counts": plan.counts,
        "motor": plan.motor,
        "camera_centres": camera_centres(chosen, plan.train_ids),
        "frame_train_ids": plan.train_ids[plan.train],
        "pulse_ids": (chosen.first_slot + plan.pulse * chosen.stride).astype(np.uint64),
        "cell_ids": (chosen.kind.cell(plan.pulse) if chosen.kind else plan.pulse).astype(np.uint16),
        "lit": plan.lit,
        "pump": plan.pump,
        "hits": plan.hit,
        "energy": plan.energy,
        "intensity": plan.intensity,
        "effect": plan.effect,
        "waves": planted_waves(chosen, plan),
        "edges": planted_edges(chosen, plan),
        "donor": plan.donor,
    }
