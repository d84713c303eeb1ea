"""How a command ends: what went wrong as one message, and the exit code that says what kind it was."""

from __future__ import annotations

import os
import select
import sys
import traceback
from collections.abc import Callable

from ..disk import terminated
from ..errors import PlanError
from ..errors.redact import hidden
from ..errors.usage import UsageError, spoken, text_of

OK, FAILED, WRONG_USAGE, INTERRUPTED, CUT_SHORT, TERMINATED = 0, 1, 2, 130, 141, 143


def code_of(command: Callable[[], int], *, lost: str = "", trace: bool = False) -> int:
    """Run a command and return its exit code; what went wrong is said in one message.

    Parameters
    ----------
    lost : str
        What to say of an interruption that says nothing itself.
    trace : bool
        Show the whole traceback of an error as well.
    """
    try:
        with terminated.told():
            code = command()
            sys.stdout.flush()
        return code
    except KeyboardInterrupt as e:
        return _interrupted(e, lost)
    except BrokenPipeError as e:
        return CUT_SHORT if _nobody_reads() else _failed(e, trace=trace)
    # Everything that a hook or a file may raise ends here, as a message and an exit code.
    except Exception as e:  # noqa: BLE001
        return _failed(e, trace=trace)


def _failed(error: Exception, *, trace: bool) -> int:
    """Say what went wrong and return the exit code."""
    from ..find import NotFoundError
    from ..slurm.commands import OptionError, SlurmError

    if trace:
        sys.stderr.write(hidden("".join(traceback.format_exception(error))))
    if isinstance(error, (UsageError, PlanError, NotFoundError, OptionError)) or _of_options(error):
        return complain(text_of(error))
    if isinstance(error, SlurmError):
        complain("\n  ".join([text_of(error), *getattr(error, "__notes__", ())]))
        return FAILED
    lines = [f"{type(error).__name__}: {text_of(error)}", *_where(error), *getattr(error, "__notes__", ())]
    complain("\n  ".join(lines))
    return FAILED


def _of_options(error: Exception) -> bool:
    """Return whether an algorithm does not take its options: what a recipe hands on is what its user has given."""
    from ..declare import algorithm

    frames = traceback.extract_tb(error.__traceback__)
    made = any(f.filename == algorithm.__file__ and f.name == "__init__" for f in frames)
    return made and isinstance(error, (TypeError, ValueError))


def _where(error: Exception) -> list[str]:
    """Return the line of the user's code in which an error arose, or the last line there is.

    The user's code is what lies outside dxflow itself and outside installed packages and Python.
    """
    from ..driver.tracebacks import is_users

    frames = traceback.extract_tb(error.__traceback__)
    if not frames:
        return []
    last = next((f for f in reversed(frames) if is_users(f.filename)), frames[-1])
    return [f"{last.filename}, line {last.lineno}, in {last.name}", f"  {last.line}"]


def _nobody_reads() -> bool:
    """Return whether what reads the output has ended, as ``head`` does; what is left goes nowhere then."""
    out = select.poll()
    try:
        out.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):
        return False
    ended = any(event & select.POLLERR for _, event in out.poll(0))
    if ended:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return ended


def _interrupted(error: KeyboardInterrupt, lost: str) -> int:
    asked = isinstance(error, terminated.Terminated)
    kept = getattr(error, "__notes__", ()) or ([lost] if lost else [])
    complain("; ".join(["terminated" if asked else "interrupted", *kept]))
    return TERMINATED if asked else INTERRUPTED


def complain(message: str) -> int:
    """Say what is wrong, in the words of the command line, and return the exit code of wrong usage."""
    said = hidden(spoken(message))
    print(said if said.startswith("dxflow") else f"dxflow: {said}", file=sys.stderr)
    return WRONG_USAGE
