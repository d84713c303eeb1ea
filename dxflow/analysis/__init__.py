"""Small data: a table for each run, and what is made of it."""

from __future__ import annotations

from .making import table
from .opening import open  # noqa: A004 - as in xarray and zarr
from .tables import Table

__all__ = ["Table", "open", "table"]
