"""Works for the process in which HDF5 writes: what goes wrong there, and what it is like there."""

import os
import signal
import sys
import time


def echo(sent, *arguments):
    """Give back what came."""
    return list(arguments), [(m, a if a is None else (a.dtype, a.shape, a.tobytes())) for m, a in sent]


def inside(sent):
    """Say what there is in the process: numbers of threads and of open files, what an interrupt does, its parent."""
    interrupt = signal.getsignal(signal.SIGINT)
    return len(os.listdir("/proc/self/task")), len(os.listdir("/proc/self/fd")), interrupt, os.getppid()


def chatter(sent, size):
    """Print, as libraries do, more than a pipe holds."""
    os.write(1, b"x" * size)
    sys.stderr.write("x" * size)
    return size


def dies(sent, path, number):
    """Begin a file, and die by a signal, or end without a word."""
    path.write_text("half of")
    os.write(2, b"last words")
    os.kill(os.getpid(), number) if number else os._exit(3)


def waits(sent, path):
    """Begin a file, and go on for ever."""
    path.write_text("half of")
    time.sleep(3600)


def ignores(sent):
    """Do not look at what is sent."""
    return "done"


def lingers(sent, path):
    """Make a file; something of the process stays a little longer than its answer."""
    path.write_text("all of it")
    if not os.fork():
        time.sleep(0.5)
        os._exit(0)
    return "done"
