"""Kernels are compiled once in a run of the tests: processes that need the same one wait, and find it in the cache."""

import fcntl
import functools
import os
from pathlib import Path

import runs


def one_at_a_time():
    """Have this process, and those that are forked from it, wait while another one compiles the same function."""
    from numba.core.compiler_lock import global_compiler_lock
    from numba.core.dispatcher import Dispatcher

    if hasattr(Dispatcher.compile, "__wrapped__"):
        return
    real = Dispatcher.compile

    @functools.wraps(real)
    def compiled(self, signature):
        name = f"{self.py_func.__module__}.{self.py_func.__qualname__}".replace("/", "-")
        # Threads of one process wait for each other first: whoever has the lock of a file needs no other thread.
        with global_compiler_lock, open(Path(os.environ[runs.VARIABLE], f"{name}.lock"), "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            return real(self, signature)

    Dispatcher.compile = compiled
