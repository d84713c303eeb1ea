"""Codecs by name: what each needs, and how HDF5 knows it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from ..errors import PlanError
from ..errors.near import did_you_mean, listed
from ..hdf5.deflate import LEVEL
from .bounds import Bound

SHUFFLE, DEFLATE = 2, 1
"""HDF5's own filters."""
Filter = tuple[int, tuple[int, ...]]
"""Number and options of a filter of HDF5."""
PLUGIN = "hdf5plugin"
EVERYWHERE: tuple[Filter, ...] = ((SHUFFLE, ()), (DEFLATE, (LEVEL,)))


@dataclass(frozen=True)
class Codec:
    """A way to store values.

    Parameters
    ----------
    name : str
    doc : str
        What it is, in some words.
    plugin : callable, optional
        Returns the class of hdf5plugin with its options, given the module and an absolute bound; None: HDF5 knows it.
    lossy : bool
        Whether it changes values itself, by at most an absolute bound.
    grid : bool
        Whether values become multiples of twice the absolute bound before.
    """

    name: str
    doc: str
    plugin: Callable[[Any, float], Any] | None = None
    lossy: bool = False
    grid: bool = False

    @property
    def installed(self) -> bool:
        """Whether it can be used here."""
        return self.plugin is None or find_spec(PLUGIN) is not None

    @property
    def bounded(self) -> bool:
        """Whether it needs an absolute bound, and takes no other."""
        return self.lossy or self.grid

    def check(self, bound: Bound | None) -> None:
        """Refuse a codec that is not installed, or a bound that it cannot keep.

        Raises
        ------
        PlanError
        """
        if not self.installed:
            have = [name for name, codec in CODECS.items() if codec.installed]
            raise PlanError(
                f"codec={self.name!r} needs {PLUGIN}, which is not installed: pip install 'dxflow[compression]'; "
                f"installed are {listed(have)}"
            )
        if self.bounded and (bound is None or bound.absolute is None or bound.relative is not None):
            given = "no bound is given" if bound is None else f"round={str(bound)!r}"
            raise PlanError(
                f"codec={self.name!r} keeps an absolute bound, and none but that; {given}: expected round='abs=0.5', "
                "the largest change in the unit of the data"
            )

    def filters(self, bound: Bound | None = None) -> tuple[Filter, ...]:
        """Return the filters that HDF5 applies, in this order.

        What changes values is followed by those for frames that it cannot store within the bound.
        """
        if self.plugin is None:
            return EVERYWHERE
        made = dict(self.plugin(importlib.import_module(PLUGIN), bound.absolute or 0.0 if bound else 0.0))
        own = ((int(made["compression"]), tuple(int(n) for n in made["compression_opts"])),)
        return own + (EVERYWHERE if self.lossy else ())

    @property
    def note(self) -> str:
        """What who reads it must have; "" if nothing."""
        if self.plugin is None:
            return ""
        return f"{self.name}: programs that read it need {PLUGIN} (pip install {PLUGIN}; import {PLUGIN})"


def _blosc2(module: Any, _: float) -> Any:
    return module.Blosc2(cname="zstd", clevel=1, filters=module.Blosc2.BITSHUFFLE)


CODECS = {
    codec.name: codec
    for codec in (
        Codec("deflate", "shuffle and deflate: opens everywhere"),
        Codec("quantised", "multiples of twice the bound, shuffle and deflate: opens everywhere", grid=True),
        Codec("bitshuffle+lz4", "fastest", lambda m, _: m.Bitshuffle(cname="lz4")),
        Codec("bitshuffle+zstd", "smaller", lambda m, _: m.Bitshuffle(cname="zstd", clevel=1)),
        Codec("blosc2", "Blosc2: bitshuffle and zstd", _blosc2),
        Codec("sz3", "SZ3 with an absolute bound", lambda m, e: m.SZ3(absolute=e), lossy=True),
        Codec("zfp", "ZFP with an absolute bound", lambda m, e: m.Zfp(accuracy=e), lossy=True),
    )
}
DEFAULT = "deflate"


def codec_of(name: Any) -> Codec:
    """Return a codec by name.

    Raises
    ------
    PlanError
        If there is none of this name.
    """
    if not isinstance(name, str) or name not in CODECS:
        near = did_you_mean(str(name), CODECS)
        raise PlanError(f"codec={name!r}: there is no such codec.{near} Expected one of {listed(CODECS)}")
    return CODECS[name]


def make_known(dataset: Any) -> None:
    """Make the filters of a dataset known to HDF5: importing hdf5plugin does that for those that it has.

    Raises
    ------
    OSError
        If a filter is not known and hdf5plugin is not installed.
    """
    from h5py import h5z

    creation = dataset.id.get_create_plist()
    codes = [creation.get_filter(n)[0] for n in range(creation.get_nfilters())]
    if all(map(h5z.filter_avail, codes)):
        return
    if find_spec(PLUGIN) is None:
        raise OSError(
            f"{dataset.file.filename}: {dataset.name} is compressed with HDF5 filter {codes[0]}, which is not "
            f"installed: pip install {PLUGIN}"
        )
    importlib.import_module(PLUGIN)
