"""Picked images as CXI and NeXus: with the positions of the sample, as programs for ptychography read them."""

from __future__ import annotations

import json
import os
import time
import uuid
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..disk.fragments import persist
from ..disk.replace import appear
from ..exdf.units import PREFIXES, UNITS
from ..geometry import HC
from ..hdf5.process import Writer
from ..planning.fingerprint import versions
from ..stores.hdf5.file import WORK, Fact
from . import cxifile, saved
from .columns import VALID
from .cxifile import BEAM, DETECTOR, ENTRY, GEOMETRY, LABELS, MOTORS
from .rows import PULSE
from .variables import Variable

if TYPE_CHECKING:
    import xarray as xr

PICK = "pick"
INVALID, MISSING = 0x1, 0x200
"""Bits of masks of CXI: values that count for nothing; pixels that are nowhere on the detector."""
KEV = 1.602176634e-16
"""Joule (exact in SI 2019)."""
MOST_KEV = 200
"""That photons can have: a number in eV is told apart."""
POWERS = dict(zip("fpnumckMG", (-15, -12, -9, -6, -3, -2, 3, 6, 9), strict=True)) | {"": 0}
OTHER_LENGTHS = {"micron": 1e-6, "microns": 1e-6, "angstrom": 1e-10, "Angstrom": 1e-10, "Å": 1e-10}
AXES = ("x", "y", "z")
ALIKE = 1e-3
"""Relative difference of lengths of pixels that are the same."""


def write(
    picks: Any,
    path: Path,
    *,
    positions: Sequence[Any] | None = None,
    energy: Any = None,
    distance: float | None = None,
    images: str | None = None,
    pixel: float | None = None,
    coordinate_first: bool = False,
    overwrite: bool = False,
) -> Path:
    """Write images of picks, and where the sample was, in the layout of CXI 1.6 and of NXcxi_ptycho.

    Images are seen along the beam, x to the left and y upwards as everywhere in CXI: the first row is the top one, the
    first column the left one. Pixels without a value are 0, and the mask says so.

    Parameters
    ----------
    picks : Picks
        With images.
    path : path
    positions : sequence of str, Value or (str, unit), optional
        Variables with x and y, and maybe z, of the sample: lengths by their unit; ``("x", "mm")`` where the table does
        not say it. Signs are those of the variables.
    energy : float, str or Value, optional
        Of photons, keV; or a variable with a unit, of which it is the mean.
    distance : float, optional
        From the sample to the detector, m.
    images : str, optional
        Which images: ``"assembled"`` by default.
    pixel : float, optional
        Side of a pixel, m; that of assembled images by default.
    coordinate_first : bool
        Write positions as (3, frame), as PyNX and CDTools read them; (frame, 3) otherwise, as CXI says and PtyPy,
        SHARP and Ptychodus read.
    overwrite : bool
        Whether it may replace another result of dxflow.

    Raises
    ------
    ValueError
        If there are no such images, a unit is unknown, or a picked frame has no position; or if positions are given
        without energy and distance, which programs need with them.
    """
    if picks.images is None:
        raise ValueError(f"{path}: there are no images yet: picks.read(...).save({str(path)!r})")
    saved.check(path, picks.images, overwrite)
    scan = _Scan(picks, *_image(picks.images, images))
    if positions is not None:
        lacking = [name for name, one in (("energy", energy), ("distance", distance)) if one is None]
        if lacking:
            raise ValueError(
                f"{path}: positions= are for ptychography, which needs {'=, '.join(lacking)}= as well"
            )
        scan.add_positions(positions, coordinate_first)
    scan.add_labels()
    scan.add_detector(distance, pixel)
    if energy is not None:
        scan.add_energy(energy)
    _written(path.absolute(), scan, overwrite)
    return path


def _image(found: xr.Dataset, name: str | None) -> tuple[xr.DataArray, xr.DataArray | None]:
    """Return the images that are meant, as they are seen along the beam, and where they have values, if it is said."""
    like = [str(n) for n, v in found.data_vars.items() if v.ndim in (3, 4) and v.dims[0] == PICK]
    known = [n for n in like if not n.endswith(VALID)]
    if name is None:
        name = "assembled" if "assembled" in known else known[0] if len(known) == 1 else None
    if name not in known:
        raise ValueError(f"images={name!r}: expected one of {known}")
    valid = f"{name}{VALID}"
    found = found[[name, valid] if valid in found else [name]]
    if found[name].ndim == 4 and found.sizes["module"] == 1:
        found = found.isel(module=0)
    if {"y", "x"} <= set(found[name].coords):
        found = found.isel(y=slice(None, None, -1), x=slice(None, None, -1))
    return found[name], found.get(valid)


@dataclass
class _Scan:
    """What is in a file: `arrays` by name, each with its path, and texts by path."""

    picks: Any
    image: xr.DataArray
    valid: xr.DataArray | None = None
    arrays: dict[str, tuple[str, xr.Variable]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, path: str, dims: Any, values: Any, **attrs: Any) -> None:
        """Add an array."""
        import xarray as xr

        self.arrays[name] = path, xr.Variable(dims, np.asarray(values), attrs)

    @property
    def axes(self) -> list[str]:
        """What is along the axes of images."""
        first = "translation" if "translation" in self.arrays else "experiment_identifier"
        return [first, *("module_identifier" for _ in self.image.dims[1:-2]), "y", "x"]

    def add_labels(self) -> None:
        """Add the ids of frames, what they were picked by, and the bins."""
        known = self.picks.folded.drop_vars(self.picks.images.data_vars, errors="ignore")
        for name, one in known.variables.items():
            if one.dtype.kind in "biufM" and set(one.dims).isdisjoint(self.image.dims[1:]):
                self.arrays[str(name)] = f"{LABELS}/{name}", one
        labels = [
            self.picks.images[n].values for n in ("run", "train_id", "pulse_id") if n in self.picks.images
        ]
        names = [":".join(map(str, one)) for one in zip(*labels, strict=True)]
        self.add("experiment_identifier", f"{ENTRY}/experiment_identifier", PICK, np.array(names, "S"))

    def add_positions(self, positions: Sequence[Any], coordinate_first: bool) -> None:
        """Add where the sample was, m: all coordinates together, and each of them."""
        if isinstance(positions, str) or len(positions) not in (2, 3):
            raise ValueError(f"positions={positions!r}: expected variables with x and y, and maybe z")
        columns = [self._position(axis, one) for axis, one in zip(AXES, positions, strict=False)]
        columns += [np.zeros_like(columns[0])] * (3 - len(columns))
        dims = ["coordinate", PICK] if coordinate_first else [PICK, "coordinate"]
        values = np.stack(columns, axis=dims.index("coordinate"))
        self.add("translation", f"{GEOMETRY}/translation", dims, values, units="m")
        for axis, column, vector in zip(AXES, columns, np.eye(3).tolist(), strict=True):
            more = {"transformation_type": "translation", "vector": vector, "depends_on": "."}
            self.add(f"sample_{axis}", f"{MOTORS}/{axis}", PICK, column, units="m", **more)

    def _position(self, axis: str, given: Any) -> NDArray:
        """Return where the sample was along an axis, m."""
        what, unit = given if isinstance(given, tuple) else (given, None)
        values, said = self._values(what)
        unit = said if unit is None else unit
        if (scale := _scale(unit, "m")) is None:
            raise ValueError(
                f"positions: {axis}, {str(what)!r}, is in {unit!r}; expected a length: give the unit, "
                f"({str(what)!r}, 'um')"
            )
        if (lost := np.isnan(values).sum()) or not len(values):
            raise ValueError(
                f"positions: {axis}, {str(what)!r}, has no value for {lost} of {len(values)} frames: pick those that "
                f"have one, where=~ev[{str(what)!r}].missing()"
            )
        return values * scale

    def _values(self, what: Any) -> tuple[NDArray, str]:
        """Return the values of a variable for each image, and its unit."""
        if self.picks.table is None:
            raise ValueError(
                f"{str(what)!r}: these picks were opened without their table; pick again to have others"
            )
        found = Variable.of(self.picks.table, what)
        column, row = found.column(PULSE), self.picks.images["row"].values
        if column.values.ndim != 1 or column.values.dtype.kind not in "biuf":
            raise ValueError(f"{str(what)!r}: expected a number for each frame")
        return np.where(column.there, column.values, np.nan).astype(float)[row], found.attrs.get("units", "")

    def add_detector(self, distance: float | None, pixel: float | None) -> None:
        """Add where the detector and its pixels are."""
        self._add_number("distance", distance)
        if {"y", "x"} <= set(self.image.coords):
            self._add_plane(distance, pixel)
            return
        for axis in ("x", "y"):
            self._add_number(f"{axis}_pixel_size", pixel)
        if self.image.ndim == 4:
            numbers = self.image["module"].values
            self.add("module", f"{LABELS}/module", "module", numbers)
            self.add("module_identifier", f"{DETECTOR}/module_identifier", "module", numbers.astype("S"))

    def _add_number(self, name: str, value: float | None) -> None:
        if value is not None:
            self.add(name, f"{DETECTOR}/{name}", (), _above(name, value), units="m")

    def _add_plane(self, distance: float | None, pixel: float | None) -> None:
        """Add where the pixels of assembled images are: rows go down from the corner, columns against x."""
        wide, high = (abs(float(np.diff(self.image[axis])[0])) for axis in ("x", "y"))
        if pixel is not None and not np.allclose([wide, high], pixel, rtol=ALIKE, atol=0):
            raise ValueError(f"pixel={pixel}: the images have pixels of {wide:g} m")
        self._add_number("x_pixel_size", wide)
        self._add_number("y_pixel_size", high)
        basis = [[0, -high, 0], [-wide, 0, 0]]
        if distance is not None:
            corner = [float(self.image.x[0]) + wide / 2, float(self.image.y[0]) + high / 2, distance]
            self.add("corner_position", f"{DETECTOR}/corner_position", "coordinate", corner, units="m")
        self.add("basis_vectors", f"{DETECTOR}/basis_vectors", ("dimension", "coordinate"), basis, units="m")
        for axis in ("y", "x"):
            self.add(axis, f"{LABELS}/{axis}", axis, self.image[axis].values, units="m")

    def add_energy(self, energy: Any) -> None:
        """Add the energy of photons, J."""
        keV = energy
        if not isinstance(energy, (int, float, np.number)):
            values, unit = self._values(energy)
            scale = _scale(unit, "eV")
            if scale is None or np.isnan(values).all():
                raise ValueError(
                    f"energy={str(energy)!r} is in {unit!r}; expected an energy, such as keV, with values"
                )
            keV = float(np.nanmean(values)) * scale / 1e3
        if (value := _above("energy", keV)) > MOST_KEV:
            raise ValueError(f"energy={value:g} keV; expected the energy of photons in keV, up to {MOST_KEV}")
        self.add("energy", f"{BEAM}/energy", (), value * KEV, units="J", note="of photons")
        self.add("incident_wavelength", f"{BEAM}/incident_wavelength", (), HC / value * 1e-10, units="m")


def _above(name: str, value: Any) -> float:
    if not 0 < float(value) < np.inf:
        raise ValueError(f"{name}={value!r}; expected a number above 0")
    return float(value)


def _scale(unit: str, base: str) -> float | None:
    """Return what makes of numbers in a unit such in another, such as m; None if it is none of this kind."""
    plain = unit.strip().replace("µ", "u").replace("μ", "u")  # noqa: RUF001 - the micro sign and the Greek letter
    if base == "m" and plain in OTHER_LENGTHS:
        return OTHER_LENGTHS[plain]
    for prefix, power in POWERS.items():
        whole = f"{PREFIXES[prefix]}{UNITS[base]}"
        if plain in (f"{prefix}{base}", whole, f"{whole}s"):
            return float(f"1e{power}")
    return None


# Written ------------------------------------------------------------------------------------------


def _written(path: Path, scan: _Scan, overwrite: bool) -> None:
    """Write the file under another name, and give it its own when it is complete."""
    import xarray as xr

    image = scan.image
    mask = xr.Variable(image.dims[1:], np.zeros(image.shape[1:], np.uint32), {})
    scan.arrays["data"] = f"{DETECTOR}/data", image.variable
    scan.arrays["mask"] = f"{DETECTOR}/mask", mask
    texts = {
        f"{ENTRY}/title": scan.picks.data.attrs.get("run", "") or "dxflow",
        f"{ENTRY}/program_name": "dxflow",
    }
    texts[f"{ENTRY}/start_time"] = time.strftime("%Y-%m-%dT%H:%M:%S+0000", time.gmtime())
    if "translation" in scan.arrays:
        texts[f"{ENTRY}/definition"] = "NXcxi_ptycho"
    facts = {name: _fact(scan, name, place, one) for name, (place, one) in scan.arrays.items()}
    about = {k: v for k, v in scan.picks.data.attrs.items() if isinstance(v, (str, int, float))}
    told = {"kind": "picks", "created": texts[f"{ENTRY}/start_time"], "versions": versions(), "about": about}
    told["hdf5"] = {"attributes": about, "variables": facts}
    made = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.part")
    task = {"arrays": facts, "texts": {k: str(v) for k, v in texts.items()}, "axes": _dots(scan.axes)}
    with Writer(WORK) as writer:
        writer.begin("write", cxifile.__name__, made, task, made=made, path=path)
        for name, region, values in _values(scan, image):
            writer.send((name, region), values)
        writer.end()
        writer.do("seal", made, json.dumps(told), made=made, path=path)
    _appear(made, path, overwrite)


def _fact(scan: _Scan, name: str, place: str, one: xr.Variable) -> dict[str, Any]:
    attrs = {k: v for k, v in one.attrs.items() if isinstance(v, (str, int, float, list))}
    if name == "data":
        attrs |= {"axes": ":".join(scan.axes), "interpretation": "image"}
    label = name in scan.picks.folded.coords
    return {**vars(Fact(one, one.shape, one.dtype, label=label)), "path": place, "attrs": attrs}


def _dots(axes: list[str]) -> list[str]:
    """Return the axes of NXdata: those of images have no values of their own."""
    return ["x" if axes[0] == "translation" else ".", *("." for _ in axes[1:])]


def _values(scan: _Scan, image: xr.DataArray) -> Iterator[tuple[str, list[int], NDArray]]:
    """Yield arrays with their names and where they begin: images one by one, and the mask that follows from them."""
    for name, (_, one) in scan.arrays.items():
        if name not in ("data", "mask"):
            values = one.values
            yield (
                name,
                [0] * one.ndim,
                values.astype("M8[ns]").view("i8") if values.dtype.kind == "M" else values,
            )
    nowhere, any_lost = np.ones(image.shape[1:], bool), np.zeros(image.shape[1:], bool)
    for n in range(image.sizes[PICK]):
        frame = image[n].values
        lost = np.isnan(frame) if frame.dtype.kind == "f" else np.zeros(frame.shape, bool)
        if scan.valid is not None:
            lost |= ~scan.valid[n].broadcast_like(image[n]).transpose(*image.dims[1:]).values
        nowhere &= lost
        any_lost |= lost
        yield "data", [n, *[0] * frame.ndim], np.where(lost, frame.dtype.type(0), frame)[None]
    if some := int((any_lost & ~nowhere).sum()):
        warnings.warn(
            f"{some} pixels have no value in some of the images; the mask is one for all and leaves them out of all",
            stacklevel=2,
        )
    mask = np.where(any_lost, INVALID, 0) | np.where(nowhere, MISSING, 0)
    yield "mask", [0] * mask.ndim, mask.astype(np.uint32)


def _appear(made: Path, path: Path, overwrite: bool) -> None:
    """Give a file its name, in place of another one if that is asked for."""
    try:
        saved.refuse_appeared(path)
        (os.replace if overwrite else appear)(made, path)
    finally:
        made.unlink(missing_ok=True)
    persist(path.parent)
