"""Copies of a run: how fast against ``cp`` of as many bytes, and against EXtra-data's ``write_frames``.

    python benchmarks/bench_copy.py            # 6 GB on the disk of --folder
    python benchmarks/bench_copy.py --small    # seconds

Each way runs in turn, `--repeat` times; the originals are in the page cache for all of them. The ratio of a turn is
that of its own ``cp``, so that what else the machine does counts for both; the table has the median of the ratios.
Times are those of a whole call, planning and the start of processes included; ``one frame`` is nothing but these, and
where ``start not counted`` is said, its time is taken off. ``synced`` waits for the disk: ``cp``
and ``sync`` of its files against ``sync=True``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

import dxflow
from dxflow.simulate import make_run


def main(argv=None):
    args = parsed(argv)
    with tempfile.TemporaryDirectory(prefix="bench-copy-", dir=args.folder) as folder:
        facts = measure(Path(folder), args)
    show(facts)
    if args.json:
        Path(args.json).write_text(json.dumps(facts, indent=1))
    return facts


def parsed(argv):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", default=".", help="on the disk to measure")
    parser.add_argument("--trains", type=int, default=192)
    parser.add_argument("--pulses", type=int, default=64)
    parser.add_argument("--modules", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", help="write the results there")
    parser.add_argument("--small", action="store_true", help="a run of a few MB, once")
    args = parser.parse_args(argv)
    if args.small:
        args.trains, args.pulses, args.modules, args.repeat = 4, 4, 2, 1
    args.shape = (32, 16) if args.small else None
    return args


def measure(folder, args):
    run = make_run(
        folder / "run",
        data="raw",
        trains=args.trains,
        pulses=args.pulses,
        modules=args.modules,
        module_shape=args.shape,
        pool=16,
        sequences=1,
        devices=("xgm",),
    )
    random = np.random.default_rng(0).random(len(run.pulse_ids))
    turns = [turn(folder, run, random < 0.1, random < 0.5) for _ in range(args.repeat)]
    ways = {name: [t[name] for t in turns] for name in turns[0]}
    return {
        "machine": machine(),
        "run": {
            "bytes": size(folder / "run"),
            "trains": args.trains,
            "pulses": args.pulses,
            "modules": args.modules,
        },
        "ratios": ratios(ways),
        "ways": ways,
    }


def turn(folder, run, mask, half):
    """Return {way: (seconds, bytes, seconds of all cores)} of all ways, one after the other."""
    files = sorted(Path(run.path).glob("*.h5"))
    to = folder / "copy"
    out = {
        "whole, cp": timed(to, lambda: cp(files, to)),
        "whole, dxflow": timed(to, lambda: dxflow.copy_run(run.path, to)),
        "whole synced, cp": timed(to, lambda: cp(files, to, sync=True)),
        "whole synced, dxflow": timed(to, lambda: dxflow.copy_run(run.path, to, sync=True)),
        "one frame, dxflow": timed(
            to, lambda: dxflow.copy_run(run.path, to, frames=np.arange(len(mask)) == 0)
        ),
        "10 %, dxflow": timed(to, lambda: dxflow.copy_run(run.path, to, frames=mask)),
        "10 % synced, dxflow": timed(to, lambda: dxflow.copy_run(run.path, to, frames=mask, sync=True)),
    }
    parts = cut_to(folder, files, out["10 %, dxflow"][1])
    out["10 %, cp"] = timed(to, lambda: cp(parts, to))
    out["10 % synced, cp"] = timed(to, lambda: cp(parts, to, sync=True))
    out["10 %, write_frames"] = timed(to, lambda: write_frames(run, mask, to))
    shutil.rmtree(folder / "parts")
    out["half, dxflow"] = timed(to, lambda: dxflow.copy_run(run.path, to, frames=half))
    parts = cut_to(folder, files, out["half, dxflow"][1])
    out["half, cp"] = timed(to, lambda: cp(parts, to))
    shutil.rmtree(folder / "parts")
    return out


def timed(to, work):
    """Return seconds, bytes and seconds of all cores.

    What is waiting for the disk is written before, and the copy removed after.
    """
    os.sync()
    begun, used = time.perf_counter(), cores_used()
    work()
    seconds, used, made = time.perf_counter() - begun, cores_used() - used, size(to)
    shutil.rmtree(to)
    return seconds, made, used


def cores_used():
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def size(folder):
    return sum(f.stat().st_size for f in folder.glob("*.h5"))


def cp(files, to, *, sync=False):
    to.mkdir()
    subprocess.run(["cp", *files, to], check=True)
    if sync:
        subprocess.run(["sync", *to.iterdir()], check=True)


def cut_to(folder, files, total):
    """Return files of `total` bytes in all, the first bytes of the originals."""
    (folder / "parts").mkdir()
    share = total / sum(f.stat().st_size for f in files)
    parts = []
    for file in files:
        part = folder / "parts" / file.name
        with open(file, "rb") as f:
            part.write_bytes(f.read(int(file.stat().st_size * share)))
        parts.append(part)
    return parts


def write_frames(run, mask, to):
    """Write the selected frames with EXtra-data: one file for all modules, frames only."""
    import extra_data
    from extra_data.components import AGIPD1M

    to.mkdir()
    opened = extra_data.RunDirectory(run.path)
    modules = [int(m) for m in run.module_numbers]
    detector = AGIPD1M(opened.select("*DET/*CH0:xtdf", "image.*"), modules=modules)
    detector.write_frames(str(to / "frames.h5"), run.frame_train_ids[mask], run.pulse_ids[mask])


def ratios(ways):
    """Return the median, lowest and highest ratio of rates over the turns."""
    out = {}
    for name, (ours, theirs) in {
        "whole copy / cp": ("whole, dxflow", "whole, cp"),
        "whole copy / cp, synced": ("whole synced, dxflow", "whole synced, cp"),
        "10 % of frames / cp": ("10 %, dxflow", "10 %, cp"),
        "10 % of frames / cp, synced": ("10 % synced, dxflow", "10 % synced, cp"),
        "half of the frames / cp": ("half, dxflow", "half, cp"),
        "10 % of frames / write_frames": ("10 %, dxflow", "10 %, write_frames"),
    }.items():
        each = [(a[1] / a[0]) / (b[1] / b[0]) for a, b in zip(ways[ours], ways[theirs], strict=True)]
        out[name] = spread(each)
    start = statistics.median(t for t, *_ in ways["one frame, dxflow"])
    for other in ("10 %, cp", "10 %, write_frames"):
        # Of medians, not by turn: the difference of two times of one turn may be anything.
        (ours, made), (theirs, written) = (
            [statistics.median(t[k] for t in ways[name]) for k in (0, 1)] for name in ("10 %, dxflow", other)
        )
        ratio = made / max(ours - start, 1e-3) / (written / theirs)
        out[f"10 % of frames / {other.split(', ')[1]}, start not counted"] = spread([ratio])
    return out


def spread(each):
    return {"median": statistics.median(each), "lowest": min(each), "highest": max(each)}


def machine():
    return {
        "host": platform.node(),
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg(),
        "python": platform.python_version(),
        "versions": {n: version(n) for n in ("dxflow", "h5py", "numpy", "extra-data")},
        "system": f"{platform.system()} {platform.release()}",
    }


def show(facts):
    print(f"{'ratio of rates':<50} {'median':>8} {'lowest':>8} {'highest':>8}")
    for name, r in facts["ratios"].items():
        print(f"{name:<50} {r['median']:>8.2f} {r['lowest']:>8.2f} {r['highest']:>8.2f}")
    print(f"\n{'way':<34} {'s':>8} {'MB':>8} {'MB/s':>8} {'core s':>8}   (medians)")
    for name, turns in facts["ways"].items():
        seconds, made, used = (statistics.median(t[k] for t in turns) for k in range(3))
        print(f"{name:<34} {seconds:>8.2f} {made / 1e6:>8.0f} {made / 1e6 / seconds:>8.0f} {used:>8.2f}")
    m = facts["machine"]
    print(
        f"\n{m['cores']} cores, load {m['load'][0]:.1f}, {m['system']}, {m['versions']}, "
        f"run of {facts['run']['bytes'] / 1e9:.2f} GB"
    )


if __name__ == "__main__":
    main()
