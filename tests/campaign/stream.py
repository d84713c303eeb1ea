"""A stream that is faster than the work: python -m campaign.stream [--seconds N] [--times N] [--work N] [--frames N].

A process sends trains to all who listen (PUB) at so many times the speed of the work, for so long; two workers reduce
them as they come. Memory of all processes and of parcels is looked at all the time, and in the end the account must
be exact: used + dropped + not received = sent, as the sender counts them.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

import dxflow
from dxflow import Algorithm, Frames, Output
from dxflow.clusters import Local
from dxflow.live.arriving import GrowingStream
from dxflow.live.following import follow
from dxflow.live.receiver import Asked
from dxflow.live.stream import Stream, memory_for

FIRST = 10_000_000
SHAPE = (512, 128)
LOOK = 0.2
"""Seconds between two looks at the memory."""
ENOUGH = 20
"""How often the last train is sent, so that it is known to have been sent."""


def arguments(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--times", type=float, default=3, help="speed of the stream, in speeds of the work")
    parser.add_argument("--work", type=float, default=5, help="trains a second that the work does")
    parser.add_argument("--frames", type=int, default=16, help="of each module and train")
    parser.add_argument("--modules", type=int, default=8)
    parser.add_argument("--buffer", type=float, default=1024, help="MiB that trains may take")
    parser.add_argument("--cluster", default="local")
    parser.add_argument("--send", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


class Slow(Algorithm):
    """As many trains a second as are asked for, on two workers; and the mean of each, so that bits can be looked at."""

    ALG_ID = "slow"
    HELP = "does so many trains a second"
    inputs = {"img": Frames("image.data", mask=None)}

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--seconds", type=float, default=0.1)

    def outputs(self, info):
        return {"mean": Output(per="train", dtype="f8"), "trains": Output(per="run", dtype="i8")}

    def process_train_data(self, train, out):
        until = time.monotonic() + self.seconds
        out.mean = np.mean([module[0, :1] for module in train["img"] if len(module)])
        out.trains += 1
        time.sleep(max(0, until - time.monotonic()))


def said(text):
    """Tell the process that started this one."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def send(args):
    """Send trains, until the given number of seconds is over; print how many."""
    from bridges import DET, Server

    count = round(args.seconds * args.work * args.times)
    image = np.ones((args.frames, *SHAPE), np.float32)
    ids = {"image.pulseId": np.arange(args.frames), "image.cellId": np.arange(args.frames, dtype=np.uint16)}
    with Server("PUB", hwm=2) as server:
        said(server.endpoint)

        def train(n):
            image[:, 0] = n % 1000
            data = {DET.format(m): {"image.data": image, **ids} for m in range(args.modules)}
            server.send(data, {source: {"timestamp.tid": FIRST + n} for source in data})

        # Those who listen are there when they have got the first one.
        heard = threading.Thread(target=sys.stdin.readline)
        heard.start()
        while heard.is_alive():
            train(0)
            time.sleep(0.1)
        began = time.monotonic()
        for n in range(1, count):
            time.sleep(max(0, began + n / (args.work * args.times) - time.monotonic()))
            train(n)
        seconds = time.monotonic() - began
        for _ in range(ENOUGH):
            time.sleep(0.1)
            train(count - 1)
        time.sleep(1)
    said(f"{count} {seconds}")


class Memory:
    """Looks at the memory of a process and its children, and at that of parcels; values are bytes."""

    def __init__(self, stream):
        self.samples, self._stream, self._ended = [], stream, threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._ended.set()
        self._thread.join()

    def _look(self):
        me = psutil.Process()
        while not self._ended.wait(LOOK):
            total = 0
            for process in [me, *me.children(recursive=True)]:
                try:
                    # What only this process has: parcels are counted once, as files.
                    total += process.memory_full_info().uss
                except psutil.Error:
                    continue
            self.samples.append((total, self._stream.report.in_use, self._stream.report.account.kept))


def run(args):
    """Run it; return what was measured, by name."""
    here = Path(__file__).parents[1]
    environment = {**os.environ, "PYTHONPATH": f"{here}{os.pathsep}{here.parent}"}
    line = [sys.executable, "-m", "campaign.stream", "--send", "yes"]
    for name in ("seconds", "times", "work", "frames", "modules"):
        line += [f"--{name}", str(getattr(args, name))]
    sender = subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, cwd=here
    )
    limit = int(args.buffer * 2**20)
    cluster = "here" if args.cluster == "here" else Local(2)
    workers = 1 if args.cluster == "here" else 2
    try:
        with tempfile.TemporaryDirectory() as folder:
            endpoint = sender.stdout.readline().strip()
            asked = Asked(endpoint, "SUB", folder, memory_for(limit, folder), limit, idle=5, wait=60)
            with Stream(asked) as stream, Memory(stream) as memory:
                threading.Thread(target=_tell, args=(stream, sender), daemon=True).start()

                def planner(part, to, *, chunk, resume=False):
                    made = Slow(seconds=workers / args.work)
                    return stream.planned(
                        dxflow.plan(part, made, to, chunk=chunk, on_fault="mask", quiet=True)
                    )

                source = GrowingStream(stream, planner, {"source": endpoint})
                seen = Snapshots()
                result = follow(source, Path(folder, "x.zarr"), [seen], cluster)
                account = stream.report.account
                trains = int(result.dataset["slow.trains"])
                means = result.dataset["slow.mean"].values
                ids = result.dataset["train"].values.astype(np.int64)
            sent, seconds = sender.stdout.readline().split()
    finally:
        sender.kill()
        sender.wait()
        sender.stdin.close()
        sender.stdout.close()
    third = max(1, len(memory.samples) // 3)
    own = [s[0] for s in memory.samples]
    return {
        "sent": int(sent),
        "seconds": float(seconds),
        "account": account,
        "trains": trains,
        "right": bool(np.array_equal(means, (ids - FIRST) % 1000)),
        "snapshots": len(seen.numbers),
        "limit": limit,
        "buffer": max(s[1] for s in memory.samples),
        "middle": statistics.median(own[third : 2 * third] or own),
        "late": statistics.median(own[2 * third :] or own),
        "most": max(own),
    }


class Snapshots:
    """Keeps the numbers of snapshots."""

    def __init__(self):
        self.numbers = []

    def begin(self, about):
        pass

    def snapshot(self, snapshot):
        self.numbers.append(snapshot.number)

    def status(self, status):
        pass

    def close(self):
        pass


def _tell(stream, sender):
    """Tell the sender when its first train came."""
    while not stream.report.account.came:
        time.sleep(0.02)
    sender.stdin.write("go\n")
    sender.stdin.flush()


def exact(found):
    """Return what is not exact, in words."""
    account = found["account"]
    total = account.kept + account.trains_dropped + account.not_received
    checks = {
        f"{found['sent']} sent, {account.sent} by ids": found["sent"] == account.sent,
        f"used + dropped + not received = {total}, sent {account.sent}": total == account.sent,
        f"{account.kept} kept, {found['trains']} in the result": account.kept == found["trains"],
        "values are not those that were sent": found["right"],
        f"{found['buffer']} bytes of parcels, {found['limit']} allowed": found["buffer"] <= found["limit"],
        "nothing was dropped or lost: the stream was not faster": total > account.kept,
    }
    return [words for words, right in checks.items() if not right]


def main(argv=None):
    args = arguments(argv)
    if args.send:
        send(args)
        return 0
    found = run(args)
    account, wrong = found["account"], exact(found)
    mib = {name: found[name] / 2**20 for name in ("buffer", "limit", "middle", "late", "most")}
    lines = [
        f"stream   {found['sent'] / found['seconds']:.1f} trains/s for {found['seconds']:.0f} s",
        f"work     {account.kept / found['seconds']:.1f} trains/s, {found['snapshots']} snapshots",
        f"account  {account}",
        f"parcels  {mib['buffer']:.0f} MiB at most, of {mib['limit']:.0f}",
        f"others   {mib['middle']:.0f} MiB in the middle, {mib['late']:.0f} in the end, at most {mib['most']:.0f}",
        *(f"WRONG    {words}" for words in wrong),
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    return int(bool(wrong))


if __name__ == "__main__":
    # Workers find the algorithm by its module.
    from campaign import stream

    sys.exit(stream.main())
