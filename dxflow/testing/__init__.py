"""Checks for users' own tests: whether an algorithm, an input or a store keeps what the framework relies on."""

from ..simulate import make_run
from .algorithm import check_algorithm
from .case import CheckFailed
from .input import check_input
from .store import check_store

__all__ = ["CheckFailed", "check_algorithm", "check_input", "check_store", "make_run"]
