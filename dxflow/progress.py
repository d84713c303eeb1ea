"""A progress bar in bytes for terminals and notebooks; nothing elsewhere."""

from __future__ import annotations

import logging
import sys
from types import TracebackType
from typing import Any

log = logging.getLogger(__name__)


class Progress:
    """Bytes read, GB/s and time left; shows nothing where nobody looks (a log file, a pipe)."""

    def __init__(self, total: int) -> None:
        from tqdm.auto import tqdm

        self._noted = ""
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

    def note(self, text: str) -> None:
        """Show what workers are waiting for; in a log file, whenever that changes."""
        if text != self._noted:
            log.info("%s", text)
        self._noted = text
        self._bar.set_postfix_str(text)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._bar.close()


def _notebook() -> bool:
    """Return whether this is a Jupyter kernel."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config
