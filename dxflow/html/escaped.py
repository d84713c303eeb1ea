"""Texts of anybody as HTML: marked-up characters are escaped, and those that nobody sees are shown as what they are."""

from __future__ import annotations

import re
from hashlib import sha256
from html import escape
from typing import Any

# Controls (but line ends and tabs), marks that turn the direction of what follows, lone halves of pairs, no characters.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff\ufff9-\ufffb\ud800-\udfff]"
)
_OTHER = re.compile("[^a-z0-9]+")
LONGEST = 2000
"""Characters of one text that are shown."""


def plain(text: Any, most: int = LONGEST) -> str:
    """Return a text in which every character is seen: a control as ``\\x00``, a mark of direction as ``\\u202e``.

    Parameters
    ----------
    most : int
        Characters that are kept.
    """
    said = str(text)
    said = said if len(said) <= most else f"{said[: most - 3]}..."
    return _UNSEEN.sub(lambda m: m[0].encode("unicode_escape").decode(), said)


def escaped(text: Any, most: int = LONGEST) -> str:
    """Return a text as HTML, for elements and for attributes in quotes."""
    return escape(plain(text, most))


def ident(name: Any, prefix: str = "") -> str:
    """Return the id of an element, always the same for a name, another for each: ``variable-average-mean-1f2e3d``."""
    text = str(name)
    slug = _OTHER.sub("-", text.lower()).strip("-")[:40]
    digest = sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:6]
    return "-".join(part for part in (prefix, slug, digest) if part)
