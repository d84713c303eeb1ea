"""Checks for users' own tests: whether an algorithm, an input or a store keeps what the framework relies on."""

from ._check_algorithm import check_algorithm
from ._check_input import check_input
from ._check_store import check_store
from ._checks import CheckFailed
from .simulate import make_run

__all__ = ["CheckFailed", "check_algorithm", "check_input", "check_store", "make_run"]
