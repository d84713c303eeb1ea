"""Address: which Redis server feedback is on, under which name, and how much of it is kept there."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from ..errors.near import did_you_mean, listed
from ..sizes import parse

if TYPE_CHECKING:
    import redis

SCHEMES = ("redis", "rediss", "unix")
OPTIONS = ("name", "trains", "memory", "keep", "password_file", "db")
SECONDS = 5.0
"""A server that does not answer for so long is taken as gone."""
LONGEST = 200
"""Characters of a name."""


@dataclass(frozen=True)
class Address:
    """Where feedback is; what is shown of it has no password."""

    server: str = field(repr=False)
    """As the client of Redis takes it, with password."""
    shown: str
    """The same for people."""
    name: str = ""
    """Of the run: what is in the keys; "" if none was given."""
    trains: int = 10_000
    """Of so many trains, the newest, rows are kept."""
    memory: int = 256 * 10**6
    """Bytes that are kept at most."""
    keep: int = 86_400
    """Seconds for which it stays after the end; 0 if it is removed then."""
    password: str = field(default="", repr=False)
    db: int | None = None

    @classmethod
    def of(cls, text: str, name: str = "") -> Address:
        """Return what an address says: ``redis://[[user]:password@]host[:port][/db][?name=...&...]``.

        Parameters
        ----------
        text : str
            Begins with ``redis://``, ``rediss://`` (encrypted) or ``unix://`` (a path of a socket). Behind the ``?``:
            ``name``, ``trains``, ``memory``, ``keep`` (seconds), ``password_file``, ``db``.
        name : str
            If it gives none.

        Raises
        ------
        ValueError
            If it is none. No message repeats a password.
        """
        server, shown, query = _parted(text)
        given = dict(parse_qsl(query, keep_blank_values=True))
        if wrong := sorted(set(given) - set(OPTIONS)):
            raise ValueError(
                f"{shown}: {wrong[0]!r} is no option of feedback.{did_you_mean(wrong[0], OPTIONS)} "
                f"There are: {listed(OPTIONS)}"
            )
        options = _options(shown, given)
        return cls(server, shown, **{"name": checked(name) if name else "", **options})

    def __str__(self) -> str:
        return f"{self.shown}?name={quote(self.name, safe='')}" if self.name else self.shown

    def client(self) -> redis.Redis:
        """Return a client, which connects when it is first used.

        Raises
        ------
        ModuleNotFoundError
            If there is no library for it.
        """
        try:
            import redis
            from redis.backoff import NoBackoff
            from redis.retry import Retry
        except ImportError as e:
            raise ModuleNotFoundError(
                f"feedback by {self.shown} needs the package redis: pip install 'dxflow[live]'"
            ) from e
        more: dict[str, Any] = {"password": self.password} if self.password else {}
        if self.db is not None:
            more["db"] = self.db
        # Who uses it tries again itself, and says so.
        return redis.Redis.from_url(
            self.server,
            socket_timeout=SECONDS,
            socket_connect_timeout=SECONDS,
            socket_keepalive=True,
            retry=Retry(NoBackoff(), 0),
            **more,
        )


def is_address(text: str) -> bool:
    """Return whether a text is meant as the address of a Redis server."""
    return text.split("://")[0] in SCHEMES and "://" in text


def checked(name: str) -> str:
    """Return a name that feedback may have.

    Raises
    ------
    ValueError
        If it is none.
    """
    if not name.strip() or len(name) > LONGEST or any(not c.isprintable() for c in name):
        raise ValueError(
            f"name={name[:LONGEST]!r}: expected a text of 1 to {LONGEST} characters that can be printed"
        )
    return name


def _parted(text: str) -> tuple[str, str, str]:
    """Return the address of the server, the same without password, and what is behind the ``?``."""
    scheme = text.partition("://")[0]
    example = "redis://host:6379/0?name=r0034"
    if not is_address(text):
        raise ValueError(f"not the address of a Redis server; expected one like {example}")
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        # What is wrong with it may be a piece of the password.
        raise ValueError(
            f"{scheme}://...: host and port cannot be told; expected an address like {example}, with / : @ ? # of a "
            "password as %2F %3A %40 %3F %23"
        ) from None
    if parts.fragment or (scheme == "unix") != bool(parts.path.strip("/") and not host):
        raise ValueError(f"{scheme}://...: expected an address like {example}, or unix:///path/of/socket")
    if scheme != "unix" and not (database := parts.path.strip("/")).isdigit() and database:
        raise ValueError(f"{scheme}://{host}/...: expected the number of a database, as in {example}")
    where = f"[{host}]" if ":" in host else host
    shown = f"{scheme}://{where}{f':{port}' if port else ''}{parts.path}"
    return f"{scheme}://{parts.netloc}{parts.path}", shown, parts.query


def _options(shown: str, given: dict[str, str]) -> dict[str, Any]:
    """Return options of an address as values."""
    out: dict[str, Any] = {}
    for one in ("trains", "keep", "db"):
        if one in given:
            least = 1 if one == "trains" else 0
            if not given[one].isascii() or not given[one].isdigit() or int(given[one]) < least:
                raise ValueError(f"{shown}: {one}={given[one]!r}; expected a whole number from {least}")
            out[one] = int(given[one])
    if "memory" in given:
        out["memory"] = parse(given["memory"])
    if "name" in given:
        out["name"] = checked(given["name"])
    if "password_file" in given:
        out["password"] = Path(unquote(given["password_file"])).read_text().strip()
    return out
