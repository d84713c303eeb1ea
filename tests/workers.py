"""Worker processes of this machine, forked from one that has loaded what they need: each starts at once.

They have environment, umask and blocked signals of whoever starts them, as those have that Dask starts by itself.
"""

import gc
import os
import signal

import programs
from forking import umask


class Forking:
    """Stands for the context by which Dask starts processes."""

    def __getattr__(self, name):
        return getattr(programs.FORKING, name)

    def Process(self, *, target, args, **options):  # noqa: N802
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
        programs.begin()
        now = dict(os.environ), umask(), blocked
        return programs.FORKING.Process(target=_work, args=(now, target, *args), **options)


def _work(now, target, *args):
    environment, mask, blocked = now
    # Looking for garbage in what was loaded before would copy all of its memory.
    gc.freeze()
    os.environ.clear()
    os.environ.update(environment)
    os.umask(mask)
    signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    target(*args)
