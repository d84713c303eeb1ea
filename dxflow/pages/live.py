"""The live page: what a run that is taken gives, in a browser, with the pictures of its report, renewed as it goes on.

::

    page = LivePage()               # an observer of a live run: follow(..., observers=[page])
    page.address                    # http://127.0.0.1:40123/TOKEN/
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from ..errors.redact import hidden, hidden_in
from ..html import page
from ..html.escaped import escaped, plain
from .asking import Asking
from .doors import Answer, Door
from .now import Past
from .painter import Failed, Painter

if TYPE_CHECKING:
    from ..live.observers import Snapshot, Status

SCRIPT = "live.js"
LOOKING = 15.0
"""Seconds since a page has asked for which somebody looks at it; without, nothing is drawn."""
SHARE = 4
"""Of the time, so many times as long as drawing took, nothing is drawn, but for `LONGEST` seconds at most."""
LONGEST = 10.0
END = 5.0
"""Seconds for which the end waits until a page that is looked at has the result."""
STYLE = (
    ".curves{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,300px),1fr));gap:8px 22px;"
    "margin:.8em 0}"
    ".curves svg{display:block;width:100%;height:70px}.curves span{font-size:.85em;opacity:.8}"
    ".curves .base{stroke:var(--line);stroke-width:1;vector-effect:non-scaling-stroke}"
    ".state{font-size:1.1em;font-weight:600}#news{background:var(--soft);border:1px solid var(--warn);"
    "border-radius:6px;padding:7px 11px}#ask label{display:inline-block;margin:2px 10px 2px 0;max-width:100%}"
    "#ask input[name=options]{max-width:100%}"
)


class LivePage:
    """Shows a live run to browsers of this machine: an observer of it.

    Pictures are made by a process of its own, and only while somebody looks.

    Parameters
    ----------
    port : int
        Of the loopback interface; 0 for one that is free.

    Raises
    ------
    OSError
        If the port is taken.
    """

    def __init__(self, port: int = 0) -> None:
        self._past, self._painter = Past(), Painter()
        self._about: Mapping[str, Any] = {}
        self._asking = Asking(Path("x.zarr"), {})
        self._parts: dict[str, tuple[str, str]] = {}
        """Title and HTML, by id."""
        self._drawn: Snapshot | None = None
        self._trouble, self._asked, self._over = "", float("-inf"), False
        self._news, self._seen, self._ended = threading.Condition(), threading.Event(), False
        self._door = Door(self, port)
        self._thread = threading.Thread(target=self._work, name="dxflow-paint", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """Where it is, with its token: whoever knows it sees the page."""
        return self._door.address

    # Of an observer ---------------------------------------------------------------------------------

    def begin(self, about: Mapping[str, Any]) -> None:
        """Say what runs."""
        self._about = hidden_in({str(k): v for k, v in about.items()})
        names = [str(one["name"]) for one in about.get("algorithms", ())]
        own = about.get("options", {}).get("own", ())
        # What has no options of its own that are known cannot be changed.
        given = dict(zip(names, own, strict=True)) if len(own) == len(names) else {}
        self._asking = Asking(Path(str(about.get("to") or "x.zarr")), given)

    def snapshot(self, snapshot: Snapshot) -> None:
        """Show a snapshot, if somebody looks."""
        with self._news:
            self._past.snapshot = snapshot
            self._news.notify()

    def status(self, status: Status) -> None:
        """Show how it goes."""
        with self._news:
            self._past.take(status)

    def close(self) -> None:
        """End; a page that is looked at gets the result first."""
        if self._ended:
            return
        with self._news:
            self._over = True
            self._news.notify()
        if self._is_looked_at():
            self._seen.wait(END)
        self._ended = True
        with self._news:
            self._news.notify()
        self._door.close()
        self._painter.close()
        self._thread.join(END)

    # Of a house -------------------------------------------------------------------------------------

    def get(self, path: str) -> Answer | None:
        """Return what a browser asks for."""
        if path == "":
            return Answer.of(self._shell())
        if path == SCRIPT:
            return Answer.of(files(__package__).joinpath(SCRIPT).read_text("utf-8"), "text/javascript")
        if path == "now":
            return Answer.json(self._now())
        if path == "seen":
            # It is on the way now; there is nothing left to ask for.
            self._seen.set()
            return Answer()
        kind, _, one = path.partition("/")
        with self._news:
            found = self._parts.get(unquote(one)) if kind == "part" else None
        if found is None:
            return None
        made = Answer.of(found[1])
        return Answer(made.body, made.kind, headers={"X-Digest": _digest(found[1])})

    def post(self, path: str, what: Mapping[str, Any]) -> Answer | None:
        """Take what a browser asks for: other options."""
        return self._asking.take(what) if path == "ask" else None

    def _now(self) -> dict[str, Any]:
        """Return what is so now, and which parts of the page there are."""
        with self._news:
            self._asked = time.monotonic()
            self._news.notify()
            return {
                "html": self._past.html(self._drawn) + self._asking.versions(),
                "options": self._asking.options(),
                "trouble": self._trouble,
                "parts": [
                    {"id": one, "title": plain(title), "digest": _digest(html)}
                    for one, (title, html) in self._parts.items()
                ],
                "over": self._over and self._is_drawn(),
            }

    def _shell(self) -> str:
        """Return the page into which all else is put."""
        about = self._about
        name = Path(str(about.get("to", ""))).name or "live run"
        names = [one.get("name", "") for one in about.get("algorithms", ()) if isinstance(one, Mapping)]
        said = f"{', '.join(map(str, names))} of {about.get('source', '')}"
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            # Browsers ask for a picture of it where none is given.
            '<link rel="icon" href="data:,">'
            f"<title>{escaped(name)}: live</title><style>{page.STYLE}{STYLE}</style>"
            f'<script src="{SCRIPT}" defer></script></head><body>'
            f'<h1>{escaped(name)}</h1><p class="muted">{escaped(said)}</p>'
            '<p id="news" hidden></p><section id="now"><p>Loading.</p></section><nav id="links"></nav>'
            f'<div id="parts"></div>{self._asking.form()}'
            '<noscript><p class="warn">This page needs JavaScript, its own alone.</p></noscript></body></html>\n'
        )

    # Of the thread that has parts made ---------------------------------------------------------------

    def _is_looked_at(self) -> bool:
        return time.monotonic() - self._asked < LOOKING

    def _is_drawn(self) -> bool:
        return self._past.snapshot is None or self._drawn is self._past.snapshot

    def _work(self) -> None:
        while not self._ended:
            with self._news:
                looked_at, snapshot = self._is_looked_at(), self._past.snapshot
                if not looked_at or snapshot is not None and self._is_drawn():
                    self._news.wait(1.0)
                    continue
            if snapshot is None:
                self._painter.start()
                self._rest(1.0)
                continue
            begun = time.monotonic()
            self._draw(snapshot)
            self._rest(SHARE * (time.monotonic() - begun))

    def _draw(self, snapshot: Snapshot) -> None:
        try:
            parts = self._painter.parts(snapshot.path)
        except Failed as e:
            trouble = "" if not snapshot.path.exists() else f"not drawn: {hidden(str(e))}"
            with self._news:
                self._trouble = trouble
                if trouble:
                    # As it is, it would be tried again and again.
                    self._drawn = snapshot
            return
        with self._news:
            self._parts = {one: (title, html) for one, title, html in parts}
            self._drawn, self._trouble = snapshot, ""

    def _rest(self, seconds: float) -> None:
        """Leave the processor to the run; not when it has ended."""
        with self._news:
            over = self._over
            self._news.wait_for(
                lambda: self._over and not over, 0.2 if over else min(max(seconds, 0.2), LONGEST)
            )


def _digest(html: str) -> str:
    return sha256(html.encode("utf-8", "surrogatepass")).hexdigest()[:16]
