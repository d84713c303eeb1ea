"""Hashes the files of a copy while others are still copied: what was just written need not come from the disk again."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from ..copying import notes
from .hashed import Hashed, hashed

TICK = 0.1
"""Seconds between looks."""


class Following:
    """A thread that follows a copy by what it notes of finished files; use it as a context.

    What it finds in `found` is as good as hashing the files later, if size and CRC-32 are those of the manifest.
    """

    def __init__(self, partial: Path) -> None:
        self.partial, self.found = partial, dict[str, Hashed]()
        self._seen: set[str] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dxflow-sha256", daemon=True)

    def __enter__(self) -> Following:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(TICK):
            for note in self.partial.glob(f"{notes.PREFIX}*"):
                if self._ended.is_set():
                    return
                if note.name not in self._seen:
                    self._one(note)

    def _one(self, note: Path) -> None:
        try:
            name = json.loads(note.read_bytes())[0]
            self.found[name] = hashed(self.partial / name)
        except (OSError, ValueError, IndexError, TypeError):
            # It is hashed later, and what is wrong with it is said then.
            return
        finally:
            self._seen.add(note.name)
