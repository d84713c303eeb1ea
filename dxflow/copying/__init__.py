"""Copies of runs with only the selected frames, trains, modules and sources; all else as it was."""

from .copy import copy_run, execute
from .errors import CopyError
from .plan import CopyPlan, plan_copy
from .report import CopyReport

__all__ = ["CopyError", "CopyPlan", "CopyReport", "copy_run", "execute", "plan_copy"]
