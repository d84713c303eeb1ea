"""Cutflow: how many rows each condition of a selection leaves, alone, after those before it, and without it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..declare.condition import Column

if TYPE_CHECKING:
    from pandas import DataFrame

COLUMNS = ("alone", "in_order", "all_but_one", "missing")
"""Rows that pass a cut; that pass it and all before; that pass all others; of which is not known whether they pass."""


def cutflow(cuts: Sequence[tuple[str, Column]], rows: int, title: str = "") -> DataFrame:
    """Return how many rows pass each of some cuts, one line each.

    Parameters
    ----------
    cuts : sequence of (str, Column)
        The text of each, where it is true, and where that is known, (row,).
    """
    import pandas as pd

    fails: NDArray = np.zeros(rows, np.uint8 if len(cuts) < 256 else np.uint32)
    for _, cut in cuts:
        fails += np.logical_not(cut.values)
    last = fails == 1
    passed, kept, lines = int(np.count_nonzero(fails == 0)), np.ones(rows, bool), []
    for _, cut in cuts:
        kept &= cut.values
        others = passed + int(np.count_nonzero(last & ~cut.values))
        missing = rows - int(np.count_nonzero(cut.there))
        lines.append((int(np.count_nonzero(cut.values)), int(np.count_nonzero(kept)), others, missing))
    texts = pd.Index([text for text, _ in cuts], name="cut")
    made = pd.DataFrame(
        np.reshape(lines, (-1, 4)).astype(np.int64), texts, pd.Index(COLUMNS, name=f"{title}{rows} rows")
    )
    made.attrs = {"rows": rows, "passed": passed}
    return made
