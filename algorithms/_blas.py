"""BLAS on one thread: float sums have other bits on several, and workers have one core each."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np

PREFIXES = ("scipy_openblas_{}64_", "scipy_openblas_{}", "openblas_{}64_", "openblas_{}", "MKL_{}")
"""How OpenBLAS, as it comes with numpy or a distribution, and MKL name their functions."""


class Blas:
    """The BLAS of numpy."""

    def __init__(self) -> None:
        # A library answers for those that it is linked to.
        linked = ctypes.CDLL(np._core._multiarray_umath.__file__)  # type: ignore[attr-defined]
        names = {"set": ("set_num_threads", "Set_Num_Threads"), "get": ("get_num_threads", "Get_Max_Threads")}
        self._set, self._get = (
            next((f for p in PREFIXES for w in words if (f := getattr(linked, p.format(w), None))), None)
            for words in names.values()
        )
        self._lock, self._users, self._before = threading.Lock(), 0, 1

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """Compute on one thread meanwhile; the number is of the whole process."""
        with self._lock:
            self._users += 1
            if self._users == 1 and self._set and self._get:
                self._before = self._get()
                self._set(1)
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users and self._set and self._get:
                    self._set(self._before)


@lru_cache(maxsize=1)
def blas() -> Blas:
    """Return the BLAS of this process."""
    return Blas()


def facts() -> dict[str, str]:
    """Return what decides the last bits of a product of matrices: BLAS and processor."""
    from llvmlite.binding import get_host_cpu_name

    built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {"blas": f"{built['name']} {built['version']}", "processor": get_host_cpu_name()}
