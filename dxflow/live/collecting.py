"""Collecting: what a live run has written to Redis, read in one transaction and put together as a dataset."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..analysis.columns import VALID
from ..errors.near import listed
from ..errors.redact import hidden
from ..run.joined import nothing
from .address import Address
from .layout import FORMAT, OFFSETS, PREFIX, PROVISIONAL, VALUE, Keys, unpacked

if TYPE_CHECKING:
    import xarray as xr

TRIES = 5
"""To read what does not change meanwhile."""


class Collected:
    """The feedback of a run, as it was when it was last read.

    Rows are collected: what the server has let go of since stays here.

    Parameters
    ----------
    address : Address
        Without a name, that of the only run there.
    """

    def __init__(self, address: Address) -> None:
        self.address, self._client = address, address.client()
        self._keys = Keys(address.name)
        self.about: dict[str, Any] = {}
        """What runs."""
        self.status: dict[str, Any] = {}
        """How it goes, with "at", in seconds since the epoch."""
        self.snapshot: dict[str, Any] = {}
        """What there is: numbers of trains, variables, what is left out."""
        self.held = False
        """Whether its process is there."""
        self._totals: Mapping[bytes, bytes] = {}
        self._provisional: Mapping[bytes, bytes] = {}
        self._rows: dict[str, list[dict[str, NDArray]]] = {}
        self._last: dict[str, str] = {}

    def read(self) -> bool:
        """Read what is new, and return whether there is a new snapshot.

        Raises
        ------
        ConnectionError
            If the server is not there.
        FileNotFoundError
            If it has no feedback of this name.
        PermissionError
            If it lets nobody in with this password.
        ValueError
            If what is there is not of dxflow.
        """
        from redis import exceptions as errors

        try:
            with self._understood():
                self._find()
                for _ in range(TRIES):
                    if (found := self._read()) is not None:
                        return found
        except (errors.AuthenticationError, errors.NoPermissionError) as e:
            raise PermissionError(f"{self.address}: {hidden(str(e))}") from None
        except (errors.ConnectionError, errors.TimeoutError) as e:
            raise ConnectionError(
                f"{self.address}: no Redis server answers there: {hidden(str(e))}"
            ) from None
        except errors.OutOfMemoryError as e:
            # Then it does no transaction, also none that only reads.
            raise ConnectionError(f"{self.address}: the Redis server is full: {hidden(str(e))}") from None
        except errors.ResponseError as e:
            raise ValueError(f"{self.address}: it is no feedback of dxflow: {hidden(str(e))}") from None
        raise ConnectionError(f"{self.address}: it changes faster than it can be read; try again")

    @contextmanager
    def _understood(self) -> Iterator[None]:
        """Have what is not as dxflow writes it said so."""
        try:
            yield
        except (KeyError, TypeError, IndexError, AttributeError) as e:
            raise ValueError(f"{self.address}: it is no feedback of dxflow: {type(e).__name__}: {e}") from e

    def _find(self) -> None:
        """Find out whose feedback is meant."""
        if self.address.name:
            return
        there = sorted(self._names())
        if len(there) != 1:
            what = f"there are {listed(there)}: choose one, with ?name=..." if there else "there is none"
            raise FileNotFoundError(f"{self.address}: which live run? Of these {what}")
        self._keys = Keys(there[0])

    def _names(self) -> Iterator[str]:
        from urllib.parse import unquote

        for key in self._client.scan_iter(match=f"{PREFIX}:*:about", count=1000):
            yield unquote(key.decode(errors="replace").split(":")[1])

    def _read(self) -> bool | None:
        """Read once; return None if it was begun anew meanwhile."""
        keys = self._keys
        with self._client.pipeline(transaction=True) as pipe:
            for key in (keys.owner, keys.about, keys.status, keys.snapshot):
                pipe.get(key)
            owner, about, status, snapshot = pipe.execute()
        told, news = _json(about), _json(snapshot)
        if not told:
            raise FileNotFoundError(
                f"{self.address}: no live run has published under this name; there are "
                f"{listed(sorted(self._names())) or 'none'}"
            )
        if told.get("format") != FORMAT:
            raise ValueError(
                f"{self.address}: expected {FORMAT!r}, found {str(told.get('format'))!r}: read it with the dxflow "
                "that wrote it"
            )
        self.status, self.held = _json(status), owner is not None
        if told["session"] != self.about.get("session"):
            self._forget(told)
        if not news or _stamp(news) == _stamp(self.snapshot):
            return False
        return self._values(news)

    def _values(self, news: dict[str, Any]) -> bool | None:
        """Read the values of a snapshot; return None if there is another one meanwhile."""
        keys = self._keys
        if news["version"] != self.snapshot.get("version", news["version"]):
            self._rows, self._last = {}, {}
        streams = {axis: key for axis, key in news["streams"].items() if keys.of_rows(key)}
        with self._client.pipeline(transaction=True) as pipe:
            pipe.get(keys.snapshot)
            pipe.hgetall(keys.totals)
            pipe.hgetall(keys.provisional)
            for axis, key in streams.items():
                pipe.xrange(key, min=f"({self._last[axis]}" if axis in self._last else "-")
            again, totals, provisional, *rows = pipe.execute()
        if _stamp(_json(again)) != _stamp(news):
            return None
        for axis, entries in zip(streams, rows, strict=True):
            self._take(axis, entries)
        self._totals, self._provisional, self.snapshot = totals, provisional, news
        return True

    def _forget(self, told: dict[str, Any]) -> None:
        self.about, self.snapshot = told, {}
        self._rows, self._last, self._totals, self._provisional = {}, {}, {}, {}

    def _take(self, axis: str, entries: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        """Add rows; those of the same trains that were there before are replaced."""
        kept = self._rows.setdefault(axis, [])
        for name, fields in entries:
            values = {
                key.decode()[len(VALUE) :]: unpacked(data)
                for key, data in fields.items()
                if key.startswith(VALUE.encode())
            }
            trains = unpacked(fields[b"rows"])
            kept[:] = [one for old in kept if (one := _without(old, trains)) is not None]
            kept.append({**values, "": trains})
            self._last[axis] = name.decode()

    # As a dataset ------------------------------------------------------------------------------------

    def dataset(self) -> xr.Dataset:
        """Return all of it as the dataset of a result.

        Raises
        ------
        ValueError
            If it is not as dxflow writes it.
        """
        with self._understood():
            return self._dataset()

    def _dataset(self) -> xr.Dataset:
        import xarray as xr

        found: dict[str, xr.Variable] = {}
        for axis in self._rows:
            found |= self._along(axis)
        described = self.snapshot.get("variables", {})
        found |= self._offsets()
        for name, one in described.items():
            if one["kind"] == "total" and (data := self._totals.get(f"{VALUE}{name}".encode())):
                found[name] = xr.Variable(one["dims"], unpacked(data), one["attrs"])
        labels = {name for name in found if described[name]["label"]}
        return xr.Dataset(
            {n: v for n, v in found.items() if n not in labels},
            {n: v for n, v in found.items() if n in labels},
            self.snapshot.get("attrs", {}),
        )

    def _along(self, axis: str) -> dict[str, Any]:
        """Return the variables with rows along an axis, in order of trains."""
        import xarray as xr

        parts = self._rows[axis]
        trains = np.concatenate([part[""] for part in parts])
        order = np.argsort(trains, kind="stable")
        found: dict[str, xr.Variable] = {}
        for name, one in self.snapshot["variables"].items():
            if one["axis"] != axis:
                continue
            if one["kind"] == PROVISIONAL:
                found |= self._later(name, one, trains[order])
            elif one["kind"] == "rows" and all(name in part for part in parts):
                values = np.concatenate([part[name] for part in parts])[order]
                found[name] = xr.Variable(one["dims"], values, one["attrs"])
        return found

    def _offsets(self) -> dict[str, Any]:
        """Return where the events of each train begin."""
        import xarray as xr

        found = {}
        for name, one in self.snapshot.get("variables", {}).items():
            if one["kind"] == OFFSETS and one["axis"] in self._rows and one["dims"][0] in self._rows:
                trains, rows = (
                    np.sort(np.concatenate([part[""] for part in self._rows[axis]]))
                    for axis in (one["dims"][0], one["axis"])
                )
                found[name] = xr.Variable(one["dims"], np.searchsorted(rows, trains), one["attrs"])
        return found

    def _later(self, name: str, one: Mapping[str, Any], trains: NDArray) -> dict[str, Any]:
        """Return rows that later trains may change: missing where the server has none."""
        import xarray as xr

        data = self._provisional.get(f"{VALUE}{name}".encode())
        if data is None:
            return {}
        given = unpacked(data)
        mine = np.isin(trains, unpacked(self._provisional[f"rows:{one['axis']}".encode()]))
        values = np.full((len(trains), *given.shape[1:]), nothing(given.dtype)).astype(given.dtype)
        values[mine] = given
        made = {name: xr.Variable(one["dims"], values, one["attrs"])}
        if given.dtype.kind in "iub" and not mine.all() and not name.endswith(VALID):
            valid = name + VALID
            if valid not in self.snapshot["variables"]:
                made[valid] = xr.Variable(one["dims"][:1], mine)
        return made


def _stamp(snapshot: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what tells a snapshot from others."""
    return tuple(snapshot.get(one) for one in ("session", "sent"))


def _without(old: dict[str, NDArray], trains: NDArray) -> dict[str, NDArray] | None:
    """Return rows without those of some trains, None if there is none then."""
    if not len(trains) or trains.min() > old[""].max() or trains.max() < old[""].min():
        return old
    keep = ~np.isin(old[""], trains)
    if keep.all():
        return old
    return {name: values[keep] for name, values in old.items()} if keep.any() else None


def _json(data: bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(data or b"null")
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
