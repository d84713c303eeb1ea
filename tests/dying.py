"""A process that dies at a call of the system: work that is cut off there, as by kill -9."""

import itertools
import os

CODE = 9


def dies(call, functions, start, work):
    """Do work in a fork of this process, which ends before a call of some functions; return whether it did.

    `start` is the function from whose call on calls are counted, from 1. Functions are given as (owner, name).
    """
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == CODE
    try:
        counts, real = itertools.count(1), getattr(*start)

        def begin(*args, **options):
            for function in functions:
                setattr(*function, _counted(getattr(*function), counts, call))
            return real(*args, **options)

        setattr(*start, begin)
        work()
    finally:
        os._exit(0)


def _counted(real, counts, call):
    def counted(*args, **options):
        if next(counts) == call:
            os._exit(CODE)
        return real(*args, **options)

    return counted
