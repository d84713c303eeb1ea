"""A progress bar in bytes for terminals and notebooks; nothing elsewhere."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class Progress:
    """Bytes read, GB/s and time left; shows nothing where nobody looks (a log file, a pipe)."""

    def __init__(self, total: int) -> None:
        from tqdm.auto import tqdm

        self._noted, self._over = "", False
        self._bar: Any = tqdm(
            total=int(total),
            unit="B",
            unit_scale=True,
            desc="reduce",
            disable=not (sys.stderr.isatty() or _notebook()),
        )

    def add(self, n: int) -> None:
        """Count bytes."""
        self._bar.update(n)

    def note(self, text: str, *, lasting: bool = False) -> None:
        """Show what workers are waiting for: beside the bar; where there is none, a line whenever it changes."""
        if text == self._noted or self._over:
            return
        self._noted = text
        if lasting or self._bar.disable:
            self._bar.write(text, file=sys.stderr)
        else:
            self._bar.set_postfix_str(text)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over = True
        self._bar.close()


def _notebook() -> bool:
    """Return whether this is a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config
