"""Small data: a table for each run, and what is made of it."""

from __future__ import annotations

from .tables import Table

__all__ = ["Table"]
