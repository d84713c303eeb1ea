"""Painter: the sections of a report, made in a process of its own, so that a live run does not wait for pictures.

It is told a path in a line, and answers with a line of JSON: what is to be seen of the result there, part by part.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

NICE = 5
"""What it does comes after what the run does."""
Parts = list[tuple[str, str, str]]
"""Id, title and HTML of each part."""


class Failed(Exception):  # noqa: N818 - it says what was done
    """Nothing could be drawn; the text says why."""


class Painter:
    """A process that makes the parts of pages; it is started when it is first needed, and again when it has died."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock, self._closed = threading.Lock(), False

    def start(self) -> None:
        """Begin: it takes seconds until it is there."""
        with self._lock, suppress(OSError):
            self._started()

    def parts(self, path: Path) -> Parts:
        """Return what is to be seen of a result.

        Raises
        ------
        Failed
            If it is not there any more, or cannot be drawn.
        """
        with self._lock:
            try:
                answer = self._ask(path)
            except (OSError, ValueError) as e:
                self._end()
                raise Failed(f"what draws has ended: {e}") from e
        if "error" in answer:
            raise Failed(str(answer["error"]))
        return [(str(one), str(title), str(html)) for one, title, html in answer["parts"]]

    def close(self) -> None:
        """End the process."""
        # Not under the lock: it may be drawing.
        self._closed = True
        self._end()

    def _ask(self, path: Path) -> dict[str, Any]:
        process = self._started()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(str(path)) + "\n")
        process.stdin.flush()
        if not (line := process.stdout.readline()):
            raise OSError(f"exit code {process.wait()}")
        found = json.loads(line)
        if not isinstance(found, dict):
            raise ValueError("no answer")
        return found

    def _started(self) -> subprocess.Popen[str]:
        if self._closed:
            raise OSError("it was closed")
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        return self._process

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                # What was not sent yet is for nobody.
                with suppress(OSError):
                    if pipe is not None:
                        pipe.close()


def _needed() -> tuple[Any, Any, Any]:
    """Return what draws, which takes a second to load."""
    from ..driver.result import open_result
    from . import figures, sections

    return sections, figures, open_result


def painted(path: Path) -> Parts:
    """Return all parts of a report but its heading."""
    sections, figures, open_result = _needed()
    result = open_result(path)
    about = [part(result) for part in (sections.account, sections.losses, sections.times, sections.made)]
    pictures = [*figures.Figures(result.dataset, result.path).sections()]
    return [(one.id, one.title, one.html) for one in [*pictures, *about]]


def main() -> None:
    """Answer until nobody asks any more."""
    with suppress(OSError):
        os.nice(NICE)
    # What libraries print is no answer.
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    _needed()
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = {"parts": painted(Path(json.loads(line)))}
        # Whatever is wrong with a snapshot, the next one may be drawn.
        except Exception as e:  # noqa: BLE001
            answer = {"error": f"{type(e).__name__}: {e}"}
        out.write(json.dumps(answer) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
