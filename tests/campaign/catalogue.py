"""What a case of the catalogue is: a fault that is put into a copy of a run, and what must come of it."""

from collections.abc import Callable
from dataclasses import dataclass

MODULE_FILE = "CORR-R0001-AGIPD02-S00000.h5"
SOURCE = "SPB_DET_AGIPD500K2G/CORR/2CH0:output"
IMAGE = f"INSTRUMENT/{SOURCE}/image"
INDEX = f"INDEX/{SOURCE}/image"

REFUSED, LOST, OK = "refused", "lost", "ok"
STOPPED = "stopped"
"""A run that ends with an error, as it must where the files change while they are read."""


@dataclass(frozen=True)
class Case:
    """A fault, and the verdicts that are right for it, by default and with ``--on-fault mask``.

    `words`: each of these regular expressions must be said by an error, the report or the losses where the verdict
    is "refused" or "lost"; `says` where it is "ok" too. With `meanwhile`, the fault happens
    while the first train is worked on.
    """

    row: str
    text: str
    build: Callable
    base: str = "plain"
    default: tuple = (REFUSED,)
    mask: tuple | None = (LOST,)
    words: tuple = (MODULE_FILE,)
    says: tuple = ()
    raw: bool = False
    own_truth: bool = False
    options: tuple = ()
    held: bool = False
    meanwhile: bool = False

    def modes(self):
        """Yield options of the command line and the verdicts that are right with them."""
        yield self.options, self.default
        if self.mask is not None:
            yield (*self.options, "--on-fault", "mask"), self.mask


CASES: list[Case] = []


def case(row, text, **options):
    """Register the decorated function, which spoils a copy of a run, as a case."""

    def register(build):
        CASES.append(Case(row, text, build, **options))
        return build

    return register
