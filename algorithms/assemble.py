"""Assemble: images in the laboratory plane, from where each pixel is: of frames, trains or the run."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, ModuleBlock, Output, Partial, PlanError, RunInfo, geometry

from . import _groups as groups
from ._azint_tables import fitting
from ._regions import beside
from .litframes import refuse_others, usable

PER = ("frame", "train", "run")
MOST = 2**27
"""Pixels of an image."""
FEW = 16
"""Pixels that may share one of an image of float32."""


class Assemble(Algorithm):
    """Put the pixels of all modules into one image, seen along x and y: each into the pixel of the image it is in.

    Parameters
    ----------
    per : {"run", "train", "frame"}
        One image, the mean of all frames (the default) or of those of each train; or one of each frame.
    geometry : path, list of paths, array or extra_geom object, optional
        As of `dxflow.geometry.positions`; that beside the run by default.
    pixel : float, optional
        Side of a pixel of the image, m; that of the detector by default.
    extent : (float, float, float, float), optional
        First and last x, first and last y of the image, m; just what holds the pixels that are read by default.
    store : bool
        False for images of frames that only algorithms after it read: ``From("assemble.image")``.
    by : Labels, From or what `Labels` takes, optional
        With ``per="run"``: an image of each group of frames with the same label.
    groups : sequence, optional
        Values of the label, one group each; all by default.
    img : Frames, Key or From
        ``Frames("image.data")`` by default.

    Outputs
    -------
    image : float64 or, of frames, float32, ([frame, train or group,] y, x)
        Mean of the valid pixels that are in each pixel of the image, unit of the data; NaN in gaps and where none is
        valid. Of frames, too, float64 where many pixels share one.
    count : int64, ([group,] y, x)
        Of the run: how many values that is.
    ungrouped : bool, (frame,)
        With `by`: frames of no group.

    Coordinates ``y`` and ``x``, middles of the pixels in m from the beam; y rises with the row.

    Notes
    -----
    A pixel with its centre at (x, y) is in column floor(x / pixel) and row floor(y / pixel), counted from the beam. Of
    tiles along the axes that is the snapped geometry of extra_geom to the pixel; where tiles are turned a pixel of the
    image may have two pixels, of which it is the mean, or none. Nothing is interpolated, and a mean is not a count: add
    up intensities of pixels with `RoiSum`.

    An image of AGIPD-1M has about 1.6 million pixels: those of frames take 5 bytes each while a train is worked on,
    3 GB for 352 frames. Select frames first.
    """

    per: str
    geometry: Any
    pixel: float | None
    extent: Sequence[float] | None
    store: bool
    groups: Any
    ALG_ID = "assemble"
    HELP = "images in the laboratory plane, from the geometry: of frames, trains, the run or groups"
    inputs = {"img": Frames("image.data"), "by": None}  # type: ignore[dict-item]

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--per", choices=PER, default="run", help="mean of the run or of each train, or each frame")
        add("--geometry", help=".geom, .h5, .poni or .npy file with the pixel positions; default: the run's")
        add("--pixel", type=float, help="side of a pixel of the image in m; default: as the detector has")
        add("--extent", type=float, nargs=4, metavar=("X0", "X1", "Y0", "Y1"), help="of the image, m")
        add("--no-store", dest="store", action="store_false", help="images of frames are read, not stored")
        groups.add_arguments(parser)

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        self.inputs = groups.joined(self.inputs, args.groups)
        if self.pixel is not None and not 0 < self.pixel < np.inf:
            raise ValueError(f"assemble: pixel={self.pixel}; expected the side of a pixel in m, above 0")
        if self.extent is not None:
            x0, x1, y0, y1 = self.extent if len(self.extent) == 4 else (0, 0, 0, 0)
            if not (x0 < x1 and y0 < y1 and np.isfinite(self.extent).all()):
                raise ValueError(f"assemble: extent={tuple(self.extent)}; expected x0 < x1, y0 < y1 in m")
        if not self.store and self.per != "frame":
            raise ValueError(
                f"assemble: store=False is for images of frames, per='frame'; this is per={self.per!r}"
            )
        if self.per != "run" and "by" in self.inputs:
            raise ValueError("assemble: by= makes an image of each group: leave out per=")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        refuse_others("assemble", img)
        index, y, x = self._table(info)
        coords: dict[str, Any] = {"y": (y, "m"), "x": (x, "m")}
        axes: dict[str, Any] = {"shape": (len(y), len(x)), "dims": ("y", "x"), "coords": coords}
        doc = "mean of the pixels in each pixel of the image"
        if self.per != "run":
            axes["per"] = "img" if self.per == "frame" else "train"
            # Images of frames are many: few bytes each, unless many pixels share one.
            many = np.bincount(index[index >= 0]).max() > FEW
            kinds = ("f8", "i4") if many or self.per == "train" else ("f4", "u1")
            return {
                "image": Output(dtype=kinds[0], unit=img.unit, doc=doc, store=self.store, **axes),
                "count": Output(dtype=kinds[1], store=False, **axes),
            }
        found = self._of(info, len(y) * len(x))
        axes = found.axes(axes["shape"], axes["dims"], coords) if found else axes
        return {
            "image": Output(unit=img.unit, doc=doc, **axes),
            "count": Output(dtype="i8", doc="values in each pixel of the image", **axes),
            **({"ungrouped": groups.ungrouped()} if found else {}),
        }

    def _of(self, info: RunInfo, pixels: int) -> groups.Groups | None:
        return groups.of(self, info, 16 * pixels)

    def memory(self, info: RunInfo) -> int:
        return 8 * int(np.prod(info["img"].shape))

    def depends(self, info: RunInfo) -> Mapping[str, Any]:
        # What lies beside the run counts as if it had been given.
        return {} if self.geometry is not None else {"geometry": geometry.beside(info.path)}

    def initialize(self, info: RunInfo) -> None:
        self._index, y, x = self._table(info)
        self._groups = self._of(info, len(y) * len(x))

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        from ._assemble_kernels import place

        n, frames = len(block), usable(block)
        images, count = (
            a if self.per == "frame" or self._groups else a[None] for a in (out.image, out.count)
        )
        at = np.arange(n) if self.per == "frame" else np.zeros(n, np.int64)
        if self._groups:
            at = self._groups.slots(block)
            out.ungrouped |= at < 0
        flat = [np.reshape(a, (len(a), -1), copy=False) for a in (images, count)]
        place(frames.reshape(n, -1), self._index[block.module], at, *flat)

    def finalize_chunk_processing(self, out: Partial) -> None:
        if self.per != "run":
            _divide(out.image, out.count)

    def finalize(self, totals: Partial) -> None:
        if self.per == "run":
            _divide(totals.image, totals.count)

    def table(self, info: RunInfo) -> tuple[Any, NDArray, NDArray]:
        """Return what puts images of these modules together, and the middles of rows and columns.

        The former takes (image, module, ss, fs), and returns the sum of the pixels in each pixel of an image, float64,
        and how many there are, both (image, y, x); NaN is left out.
        """
        from ._assemble_kernels import place

        index, y, x = self._table(info)

        def put(images: NDArray) -> tuple[NDArray, NDArray]:
            total, count = (
                np.zeros((len(images), len(y) * len(x))),
                np.zeros((len(images), len(y) * len(x)), int),
            )
            for module, where in enumerate(index):
                own = np.ascontiguousarray(images[:, module]).reshape(len(images), -1)
                place(own, where, np.arange(len(images)), total, count)
            shape = (len(images), len(y), len(x))
            return total.reshape(shape), count.reshape(shape)

        return put, y, x

    def _table(self, info: RunInfo) -> tuple[NDArray, NDArray, NDArray]:
        """Return where pixels are in an image, (module, pixel), and the middles of its rows and columns."""
        img = info["img"]
        try:
            given = geometry.across(beside(self, info))
            side = geometry.pitch(given) if self.pixel is None else float(self.pixel)
            points = fitting("geometry", given, img)[..., :2]
        except (ValueError, OSError) as e:
            raise PlanError(f"assemble: {e}") from e
        cells = np.floor(points / side + ROUNDING)
        if self.extent is None:
            low, high = np.nanmin(cells, axis=(0, 1, 2)), np.nanmax(cells, axis=(0, 1, 2))
        else:
            limits = np.reshape(self.extent, (2, 2))
            low, high = np.floor(limits[:, 0] / side + ROUNDING), np.ceil(limits[:, 1] / side - ROUNDING) - 1
        shape = high - low + 1
        if np.prod(shape) > MOST:
            raise PlanError(
                f"assemble: an image of {shape[1]:.0f} x {shape[0]:.0f} pixels (y, x) of {side:g} m; expected up to "
                f"{MOST:.2g} pixels: give a larger pixel=, or a smaller extent= in m"
            )
        inside = ((cells >= low) & (cells <= high)).all(axis=-1)
        if not inside.any():
            raise PlanError(f"assemble: extent={self.extent} m holds no pixel of {img.name}")
        column, row = np.moveaxis(np.where(inside[..., None], cells - low, 0).astype(np.int64), -1, 0)
        index = np.where(inside, row * int(shape[0]) + column, -1).reshape(len(img.modules), -1)
        x, y = ((np.arange(int(n)) + first + 0.5) * side for n, first in zip(shape, low, strict=True))
        return index, y, x


ROUNDING = 1e-6
"""Part of a pixel by which positions at the edge of one may be off."""


def _divide(images: NDArray, count: NDArray) -> None:
    """Turn sums into means, in place, row by row: images of frames are large. NaN where there is nothing."""
    for image, n in zip(images, count, strict=True):
        image /= np.maximum(n, 1)
        image[n == 0] = np.nan
