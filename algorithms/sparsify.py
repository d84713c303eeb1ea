"""Sparsify: lists of the pixels above a threshold, and the images that they come from made again."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, InputInfo, Output, Partial, RunInfo, Train

from . import _rois as rois
from .litframes import comparable, refuse_others
from .photons import Scratch
from .spectrum import images_of


class Sparsify(Algorithm):
    """List the pixels of each frame that are above a threshold: where they are, and their values.

    Parameters
    ----------
    threshold : float
        In the unit of the data, 0 by default.
    pad : int, optional
        As many places for each frame, instead of lists as long as they are: pixels beyond these are left out.
    ss, fs : (int, int), optional
        First row (slow scan) and column (fast scan) of the region and the ones after its last; all by default.
    modules : int or sequence of int, optional
        Module numbers; all by default.
    mask : path or array, (module, ss, fs) or (ss, fs), optional
        Pixels that are not listed are True, beside those that are masked in the data.
    img : Frames, Key or From
        ``Frames("image.data")`` by default; ``From("photons.img")`` for pixels with photons.

    Outputs
    -------
    pixels : int32, (event, 3) or, with `pad`, (frame, place, 3)
        Module number, ss and fs in the module, in the order of pixels; -1 in places that are not used.
    values : float32 or float64, (event,) or (frame, place)
        Of these pixels, unit of the data; NaN in places that are not used.
    n : int32, (frame,)
        Pixels above the threshold, also those that `pad` leaves out.
    module_numbers : int32, (module,), and limits : int32, (2, 2)
        Modules that were read, and first and last but one pixel of them along ss and fs: what `dense` needs.

    Notes
    -----
    A pixel of a list takes 16 bytes, one of an image 4: lists are smaller below a quarter of the pixels; NaN and masked
    pixels are in none.
    """

    threshold: float
    pad: int | None
    mask: Any
    ALG_ID = "sparsify"
    HELP = "lists of the pixels above a threshold, per frame, as long as they are or padded"
    WHOLE_FRAMES = True
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add = parser.add_argument
        add("--threshold", type=float, default=0.0, help="pixels above this are listed; default 0")
        add("--pad", type=int, help="so many places for each frame")
        rois.add_one(parser)

    def configure(self, args: argparse.Namespace) -> None:
        super().configure(args)
        self._asked = rois.asked("sparsify", args)
        if not np.isfinite(self.threshold):
            raise ValueError(
                f"sparsify: threshold={self.threshold}; expected a number, in the unit of the data"
            )
        if self.pad is not None and self.pad < 1:
            raise ValueError(
                f"sparsify: pad={self.pad}; expected how many pixels are kept of a frame, from 1"
            )

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        img = info["img"]
        refuse_others("sparsify", img)
        rois.placed("sparsify", self._asked, img)
        rois.left_out("sparsify", self.mask, img)
        per: dict[str, Any] = {"per": "img" if self.pad else "event"}
        places = (self.pad,) if self.pad else ()
        dims = ("place",) if self.pad else ()
        column: dict[str, Any] = {"shape": (*places, 3), "dims": (*dims, "pixel_column")}
        return {
            "pixels": Output(dtype="i4", doc="module, ss, fs", **per, **column),
            "values": Output(dtype=_kind(img), unit=img.unit, doc="value", shape=places, dims=dims, **per),
            "n": Output(per="img", dtype="i4", doc="pixels above the threshold"),
            "module_numbers": Output(shape=(len(img.modules),), dtype="i4", merge="max", doc="modules read"),
            "limits": Output(shape=(2, 2), dtype="i4", merge="max", doc="pixels that were read"),
        }

    def memory(self, info: RunInfo) -> int:
        return 21 * int(np.prod(info["img"].shape))

    def initialize(self, info: RunInfo) -> None:
        img = info["img"]
        (self._roi,) = rois.placed("sparsify", self._asked, img)
        self._bad = rois.left_out("sparsify", self.mask, img)
        self._numbers, self._limits = np.array(img.modules), _limits(img)
        self._where = np.array([img.modules.index(m) for m in self._roi.modules])
        most = len(self._where) * int(np.prod(self._roi.shape))
        self._scratch = Scratch(np.empty((most, 3), np.int32), np.empty(most, _kind(img)))

    def process_train_data(self, train: Train, out: Partial) -> None:
        out.module_numbers, out.limits = self._numbers, self._limits
        lists = [self._listed(image) for image in comparable(images_of(train))]
        out.n = [n for n, *_ in lists]
        if self.pad:
            out.pixels, out.values = -1, np.nan
            for frame, (_, pixels, values) in enumerate(lists):
                out.pixels[frame, : len(pixels)], out.values[frame, : len(values)] = pixels, values
            return
        frames = np.repeat(np.arange(len(lists)), [n for n, *_ in lists])
        for name, k in (("pixels", 1), ("values", 2)):
            out[name].append(np.concatenate([one[k] for one in lists]), frames=frames)

    def _listed(self, image: NDArray) -> tuple[int, NDArray, NDArray]:
        """Return how many pixels are above the threshold, and those of them that are kept."""
        from ._sparsify_kernels import listed

        pixels, values = self._scratch.arrays
        first, numbers = tuple(self._limits[:, 0].tolist()), self._numbers[self._where]
        ss, fs = self._roi.first
        n = listed(image, self._where, numbers, self._bad, ss, fs, first, self.threshold, pixels, values)
        kept = min(n, self.pad) if self.pad else n
        return n, pixels[:kept].copy(), values[:kept].copy()


def dense(result: Any, name: str = "sparsify") -> NDArray:
    """Return the images that lists of pixels come from, (frame, module, ss, fs): 0 of pixels that are in no list.

    Parameters
    ----------
    result : Result or xarray.Dataset
        What `Sparsify` made, of all frames.
    name : str
        Of the algorithm; of one of its variants, such as ``"sparsify_2"``.

    Returns
    -------
    ndarray of float32 or float64, (frame, module, ss, fs)
        Modules that were read, in their order, and pixels that were read of them; NaN of frames of which nothing was
        read.

    Raises
    ------
    ValueError
        If it has not all pixels: frames were selected, or there were more than `pad`.
    """
    data = getattr(result, "dataset", result)
    made = _of_variant(data, name)
    n, pixels, values = made["n"], made["pixels"], made["values"]
    if values.ndim == 2:
        pad = values.shape[1]
        if (n > pad).any():
            raise ValueError(
                f"{name}: {(n > pad).sum()} frames have more than the {pad} pixels that were kept, up to {n.max()}; "
                f"make it with pad={n.max()}, or without pad="
            )
        used = np.arange(pad) < n[:, None]
        pixels, values = pixels[used], values[used]
    if n.sum() != len(values):
        raise ValueError(
            f"{name}: {len(n)} frames have {n.sum()} pixels, and {len(values)} are listed; expected the whole result"
        )
    numbers, limits = made["module_numbers"], made["limits"]
    images = np.zeros((len(n), len(numbers), *(limits[:, 1] - limits[:, 0])), values.dtype)
    images[~made["n_valid"]] = np.nan
    order = np.argsort(numbers)
    module = order[np.searchsorted(numbers, pixels[:, 0], sorter=order)]
    images[np.repeat(np.arange(len(n)), n), module, *(pixels[:, 1:] - limits[:, 0]).T] = values
    return images


KEYS = ("n", "n_valid", "pixels", "values", "module_numbers", "limits")
"""Outputs that images are made of."""


def _of_variant(data: Any, name: str) -> dict[str, NDArray]:
    """Return the outputs of an algorithm, or of one of its variants."""
    if f"{name}.n" in data and data[f"{name}.n"].ndim == 1:
        return {key: np.asarray(data[f"{name}.{key}"]) for key in KEYS}
    several = [str(key)[:-2] for key in data.data_vars if str(key).endswith(".n") and data[key].ndim == 2]
    for base in several:
        names = data[data[f"{base}.n"].dims[0]].values.tolist()
        if name == base:
            raise ValueError(
                f"{name} has variants: say which, dense(result, {names[0]!r}); there are {names}"
            )
        if name in names:
            at = names.index(name)
            n, values = np.asarray(data[f"{base}.n"]), data[f"{base}.values"]
            # Lists of variants are behind each other.
            one: Any = at if values.ndim == 3 else slice(int(n[:at].sum()), int(n[: at + 1].sum()))
            return {
                key: np.asarray(data[f"{base}.{key}"][one if key in ("pixels", "values") else at])
                for key in KEYS
            }
    raise ValueError(f"{name}: there is no such output of Sparsify in this result")


def _kind(img: InputInfo) -> str:
    return "f4" if img.dtype == np.float32 or img.dtype.itemsize <= 2 else "f8"


def _limits(img: InputInfo) -> NDArray:
    """Return the first and the last but one pixel that is read along both axes."""
    ss, fs = img.roi or (slice(0, img.shape[1]), slice(0, img.shape[2]))
    return np.array([(ss.start, ss.stop), (fs.start, fs.stop)])
