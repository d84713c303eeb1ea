"""Wrong usage as an error rather than the end of the process, and messages in the words of the command line."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn


class UsageError(TypeError, ValueError):
    """An option or argument that cannot work."""


class OptionParser(argparse.ArgumentParser):
    """An argument parser that raises UsageError, a TypeError, rather than ending the process."""

    def error(self, message: str) -> NoReturn:
        """Raise the message."""
        raise UsageError(f"{self.prog}: {message}")


def text_of(error: BaseException) -> str:
    """Return the message of an error; that of a KeyError without the quotes around it."""
    if isinstance(error, KeyError) and error.args:
        return str(error.args[0])
    return str(error)


SPOKEN = (
    *(
        "to",
        "name",
        "frames",
        "where",
        "trains",
        "detector",
        "modules",
        "mask",
        "cluster",
        "workers",
        "on_fault",
    ),
    *("chunk", "block", "hook_timeout", "resume", "overwrite"),
)
"""Keyword arguments that are options of the same name on the command line."""
KEYWORD = re.compile(
    rf"(?<!\w\()\b({'|'.join(SPOKEN)})=(\"[^\"]*\"|'[^']*'|True|None|\.\.\.|\[\.\.\.\]|-?[\d.]+|(?=\W|$))"
)


def spoken(text: str) -> str:
    """Return a message with keyword arguments as options of the command line: ``--resume`` for resume=True."""
    text = re.sub(r"Frames\((modules|detector)=(\[?\.\.\.\]?)?\)", r"\1=", text)
    text = KEYWORD.sub(lambda m: _flag(m[1], m[2].strip("\"'")), text)
    return re.sub(r"(--[\w-]+) \(\1\)", r"\1", text)


def _flag(name: str, value: str) -> str:
    flag = f"--{name.replace('_', '-')}"
    return (
        flag
        if value in ("", "True", "...", "[...]")
        else f"{flag} {value.lower() if value == 'None' else value}"
    )
