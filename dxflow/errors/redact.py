"""Secrets in what is written down: tokens, passwords and keys are not in logs, messages, losses and results."""

from __future__ import annotations

import json
import logging
import re
from hashlib import sha256
from typing import Any

HIDDEN = "(hidden)"
_WORD = r"(?:token|passw(?:or)?d|passphrase|secret|credential|authorization|(?:api|access|private|secret)[-_]?key)s?"
_NAMED = re.compile(rf"{_WORD}$", re.IGNORECASE)
# A line may end in it as in the repr of a text, however often that is taken.
_CHARACTER = r"(?:[^\s,;&\"')\]}\\]|\\(?![nrt\\\"']))"
_VALUE = rf"(?:\\*\"[^\"]*\"|\\*'[^']*'|\\*[\"']?(?:(?:bearer|basic)\s+)?{_CHARACTER}+)"
_SPOKEN = re.compile(
    "|".join(
        [
            # Whole blocks of PEM files, also those that are cut short or written as one line with \n.
            r"(?P<pem>-----BEGIN [A-Z0-9 ]+-----(?:.*?-----END [A-Z0-9 ]+-----|.*))",
            rf"(?P<named>{_WORD}\\*[\"']?\s*[=:]\s*|--[\w-]{{0,40}}?{_WORD}\s+|[?&]key=|\bbearer\s+){_VALUE}",
            # Of an address: user and password before the host.
            r"(?P<address>://)[^\s/@:\"']*:[^\s/@\"']+(?=@)",
            # Tokens that are known by how they look: of GitHub, GitLab and Amazon, and JSON Web Tokens.
            r"(?<![\w-])(?:gh[pousr]_\w{20,}|glpat-[\w-]{16,}|AKIA[0-9A-Z]{16}|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*)",
        ]
    ),
    re.IGNORECASE | re.DOTALL,
)


def hidden(text: str) -> str:
    """Return a text without the secrets in it."""
    return _SPOKEN.sub(lambda m: f"{m['named'] or m['address'] or ''}{HIDDEN}", text)


def hidden_in(value: Any, name: str = "") -> Any:
    """Return JSON values without secrets: those in texts, and all of what is named as one is.

    These keep some digits of a digest, so that another secret is seen to be another.
    """
    if isinstance(value, dict):
        return {k: hidden_in(v, k) for k, v in value.items()}
    if isinstance(value, list):
        return [hidden_in(v, name) for v in value]
    if str(value).startswith("(hidden"):
        return value
    if _NAMED.search(name) and not isinstance(value, (bool, type(None))):
        return f"(hidden, digest {sha256(json.dumps(value).encode()).hexdigest()[:8]})"
    return hidden(value) if isinstance(value, str) else value


class Redaction(logging.Filter):
    """Takes secrets out of what is logged, tracebacks with it."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; log it in any case."""
        record.msg, record.args = hidden(record.getMessage()), ()
        if record.exc_info:
            record.exc_text = hidden(record.exc_text or logging.Formatter().formatException(record.exc_info))
        return True


def logger(name: str) -> logging.Logger:
    """Return a logger of a module of dxflow."""
    found = logging.getLogger(name)
    found.addFilter(Redaction())
    return found


def guard_handlers() -> None:
    """Take secrets out of what Dask logs in this process: it logs errors of hooks with their messages."""
    for one in ("", "distributed", "bokeh"):
        for handler in logging.getLogger(one).handlers:
            if not any(isinstance(f, Redaction) for f in handler.filters):
                handler.addFilter(Redaction())
