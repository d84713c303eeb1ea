"""What can be wrong with data for a file, or with writing it."""

from __future__ import annotations


class ExdfError(ValueError):
    """Data that a file cannot hold; the message says source, key and train, and what to do.

    Parameters
    ----------
    problem : str
    source, key : str
        Which data; "" where it is about none in particular.
    train : int, optional
        The first train it is about.
    """

    def __init__(self, problem: str, source: str = "", key: str = "", train: int | None = None) -> None:
        self.problem, self.source, self.key, self.train = problem, source, key, train
        super().__init__(problem)

    def __str__(self) -> str:
        where = [self.source, f"key {self.key}" if self.key else ""]
        where.append(f"train {self.train}" if self.train is not None else "")
        place = ", ".join(w for w in where if w)
        return f"{place}: {self.problem}" if place else self.problem

    def __reduce__(self) -> tuple:
        return type(self), (self.problem, self.source, self.key, self.train)


class WriteError(OSError):
    """A file that could not be written: the disk is full or read-only, or the process that wrote it died."""
