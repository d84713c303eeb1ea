"""Answers requests line by line: what a process of the watcher does that looks, or reads, for it."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any


def answer(who: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is answered to a request, or the error in words."""
    ask: Callable[..., Any] = getattr(who, request["what"])
    try:
        return {"answer": ask(*request["of"], **request["with"])}
    # A process that ends for whatever a file system or a file may raise sees nothing more.
    except Exception as e:  # noqa: BLE001
        words = (e.strerror and f"{e.filename}: {e.strerror}") if isinstance(e, OSError) else str(e)
        return {"error": words or repr(e)}


def serve(who: Any) -> None:
    """Have the methods of an object answer requests, until there are no more.

    A line of its own before them says that it has begun.
    """
    out = os.fdopen(os.dup(1), "w")
    # What others print is no answer.
    os.dup2(2, 1)
    out.write("{}\n")
    out.flush()
    for line in sys.stdin.buffer:
        out.write(json.dumps(answer(who, json.loads(line))) + "\n")
        out.flush()
