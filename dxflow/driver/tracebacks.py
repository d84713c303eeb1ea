"""Tracebacks that begin at the user's line: what dxflow and Dask did in between says nothing of an error in a hook."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from pathlib import Path
from sysconfig import get_paths
from types import TracebackType

from ..errors import PlanError


class Short:
    """A context that makes the tracebacks of exceptions `shortened`."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # What is raised on is the exception with the traceback that it has by then.
        if error is not None:
            shortened(error)


def shortened(error: BaseException) -> BaseException:
    """Return an exception, and all it came from, with tracebacks that begin at a line of the user.

    Those in which there is none are left alone: they are about dxflow itself. A `PlanError` says it all in its message,
    so it comes without a traceback, and without what it came from unless that arose in the user's code; so does Ctrl-C.
    """
    for one in list(_chain(error)):
        found = _from_user(one.__traceback__)
        if isinstance(one, (PlanError, KeyboardInterrupt)):
            one.__traceback__ = found
            if (cause := one.__cause__ or one.__context__) and not _from_user(cause.__traceback__):
                one.__cause__, one.__suppress_context__ = None, True
        elif found:
            one.__traceback__ = found
    return error


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and what it came from."""
    seen: set[int] = set()
    todo = [error]
    while todo:
        one = todo.pop()
        if one is not None and id(one) not in seen:
            seen.add(id(one))
            yield one
            todo += [one.__cause__, one.__context__]


def _from_user(trace: TracebackType | None) -> TracebackType | None:
    """Return the part of a traceback that begins at the first line of the user's code below dxflow's."""
    inside = False
    while trace is not None:
        users = is_users(trace.tb_frame.f_code.co_filename)
        if inside and users:
            return trace
        inside = inside or not users
        trace = trace.tb_next
    return None


@functools.cache
def is_users(file: str) -> bool:
    """Return whether a file is neither dxflow's own nor an installed one; algorithms and recipes are like a user's."""
    path, package = Path(file).resolve(), Path(__file__).resolve().parents[1]
    for folder in ("algorithms", "recipes"):
        if path.is_relative_to((package / folder).resolve()) or path.is_relative_to(package.parent / folder):
            return True
    libraries = {Path(get_paths()[name]).resolve() for name in ("purelib", "platlib", "stdlib")}
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return not (
        file.startswith("<frozen") or installed or any(path.is_relative_to(f) for f in (package, *libraries))
    )
