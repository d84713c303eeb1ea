"""Small data: a table for each run, and what is made of it."""

from __future__ import annotations

from .bins import Bins
from .cubes import Cube
from .making import table
from .opening import open  # noqa: A004 - as in xarray and zarr
from .picked import Picks
from .picking import nearest, random
from .plots.regions import Regions
from .show import show
from .tables import Table

__all__ = ["Bins", "Cube", "Picks", "Regions", "Table", "nearest", "open", "random", "show", "table"]
