"""Tables that programs use as any DataFrame, and that print whole: pandas leaves out columns and ends of texts."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from typing import Any

import pandas as pd

from .. import html
from .losses import Loss, from_json, lines


class Account(pd.DataFrame):
    """Frames per module; columns that do not fit beside the others are printed below them."""

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return Account

    def __repr__(self) -> str:
        rows = pd.get_option("display.max_rows")
        return self.to_string(index=False, line_width=_width(), max_rows=rows)


class Losses(pd.DataFrame):
    """What was lost, printed in words: module, file, trains, cause; of a part of its columns as any table."""

    @property
    def _constructor(self) -> Callable[..., pd.DataFrame]:
        return Losses

    def in_words(self) -> list[str]:
        """Return the losses, those of neighbouring chunks and of several modules in one line."""
        rows: Any = self.to_dict("records")
        return lines(from_json(rows)) or ["nothing was lost"]

    @property
    def _whole(self) -> bool:
        return [*self.columns] == [f.name for f in fields(Loss)]

    def __repr__(self) -> str:
        if not self._whole:
            return super().__repr__()
        return "\n".join(_wrapped(line) for line in self.in_words())

    def _repr_html_(self) -> str | None:
        if not self._whole:
            return super()._repr_html_()  # type: ignore[misc]  # pandas' stubs do not know it
        return html.table("Losses", [("", line) for line in self.in_words()], f"{len(self)} rows")


def _wrapped(line: str) -> str:
    return textwrap.fill(line, _width(), subsequent_indent="    ", break_on_hyphens=False)


def _width() -> int:
    return shutil.get_terminal_size((100, 24)).columns


def table(losses: Iterable[Loss]) -> pd.DataFrame:
    """Return the losses as a table, one row each, columns as the fields of `Loss`; it prints in words."""
    from .tables import Losses

    rows = [asdict(loss) for loss in losses]
    return Losses(rows, columns=[f.name for f in fields(Loss)])
