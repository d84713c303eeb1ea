"""A watcher whose tasks take no time: python cheap.py PLACE what.yaml, or, as such a task, watch --attempt DIR.

A task writes one line to the file `begun` beside its result, one to `ended`, and makes its result by a rename, as
dxflow does; it fails if its result is there.
"""

import os
import signal
import sys
import time
import types
from pathlib import Path

# As `dxflow.disk.process` does: the package without what importing it loads.
sys.modules["dxflow"] = types.ModuleType("dxflow")
sys.modules["dxflow"].__path__ = [str(Path(__file__).parents[2] / "dxflow")]

from dxflow.disk import terminated  # noqa: E402
from dxflow.watch import attempt  # noqa: E402


def line(path, text):
    """Write a line that appears whole."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(handle, f"{text}\n".encode())
    os.close(handle)


def work(words):
    """Stand for a command of dxflow: table RUN [SECONDS] --to RESULT."""
    run, to = Path(words[1]), Path(words[words.index("--to") + 1])
    line(to.parent / "begun", run.name)
    if to.exists() and "--overwrite" not in words:
        sys.stderr.write(f"dxflow: {to} exists\n")
        return 2
    if "fail" in words:
        sys.stderr.write("dxflow: it never works\n  because\n")
        return 1
    try:
        with terminated.told():
            time.sleep(float(words[2]))
    except terminated.Terminated:
        return 143
    made = to.with_name(f".{to.name}.{os.getpid()}")
    made.write_text(run.name)
    made.rename(to)
    line(to.parent / "ended", run.name)
    return 0


def main():
    if sys.argv[1] == "watch":
        return attempt.run(Path(sys.argv[3]), work, lambda words: ("--overwrite",))
    from dxflow.watch import hands, orders
    from dxflow.watch.loop import watched

    hands.PROGRAM = (sys.executable, __file__)
    # What is started in the background ignores Ctrl-C, and so do its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    wanted = orders.of(sys.argv[2])
    say = lambda words: (sys.stdout.write(words + "\n"), sys.stdout.flush())  # noqa: E731
    try:
        with terminated.told():
            watched(sys.argv[1], wanted, None, say, once="--once" in sys.argv)
    except KeyboardInterrupt as e:
        say("; ".join(e.__notes__))
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
