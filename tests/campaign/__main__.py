"""Run the campaign: python -m campaign [--damages N] [--seed N] [--only PATTERN] [--processes N] [--table FILE]."""

import argparse
import collections
import re
import sys
import tempfile
import time
from pathlib import Path

from campaign import damage, rows, trial, work
from campaign.catalogue import CASES

EVERY = 60
"""Seconds between words on how far it is."""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--damages", type=int, default=1000, help="how many random damages")
    parser.add_argument("--seed", type=int, default=1, help="seed of the first damage; the others follow")
    parser.add_argument("--only", default="", help="only rows that match this regular expression")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--table", type=Path, help="also write the table to this file")
    parser.add_argument("--all", action="store_true", help="print every line, not only what is not right")
    return parser.parse_args()


def catalogue(args, folder):
    bases = work.prepare(folder)
    cases = [c for c in CASES if work.named(c, args.only)]
    return len(cases), work.in_processes(cases, lambda c: work.faulty(c, bases, folder), args.processes)


def tests(args):
    wanted = [row for row, shown in rows.SHOWN.items() if re.search(args.only, f"{row} {shown[0]}")]
    return len(wanted), rows.outcomes(args.processes, lambda text: re.search(args.only, text) is not None)


def damages(args, folder):
    if not args.damages:
        return 0, []
    damage.make_bases(folder)
    bases = work.Bases(folder)
    for name in damage.CONFIGS:
        bases.truth(name)
    seeds = range(args.seed, args.seed + args.damages)
    return len(seeds), work.in_processes(seeds, lambda s: work.damaged(s, bases, folder), args.processes)


def say(text):
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def line(row):
    mark = "ok   " if row.right else "WRONG"
    said = "" if row.right else f"\n             {row.said}"
    return f"{mark} {row.row:7} {row.text[:150]:60} {row.mode:16} {row.verdict}{said}"


def main():
    args = arguments()
    done = []
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        trial.warm(folder)
        parts = {
            "faults of data": lambda: catalogue(args, folder),
            "faults that tests show": lambda: tests(args),
            "random damages": lambda: damages(args, folder),
        }
        for name, part in parts.items():
            number, found = part()
            for row in followed(name, number, found):
                done.append(row)
                if args.all or not row.right:
                    say(line(row))
    summary = table(done, args)
    say(summary)
    if args.table:
        args.table.write_text("\n".join(line(r) for r in done) + "\n\n" + summary + "\n")
    return 0 if done and all(r.right for r in done) else 1


def followed(name, number, found):
    """Yield rows; say every minute how many of the things to try are done, and what they took in the end."""
    began = said = time.monotonic()
    tried = set()
    say(f"{name}: {number} to try")
    for row in found:
        yield row
        tried.add((row.row, row.text))
        if (now := time.monotonic()) - said > EVERY:
            said = now
            say(f"{name}: {len(tried)} of {number}, {now - began:.0f} s")
    say(f"{name}: {len(tried)} done in {time.monotonic() - began:.0f} s")


def table(done, args):
    """Return the table: rows of the catalogue and kinds of verdicts on random damage."""
    known = collections.defaultdict(list)
    for row in done:
        if row.row != "damage":
            known[row.row].append(row)
    right = sum(all(r.right for r in rows_) for rows_ in known.values())
    lines = [
        f"catalogue: {right} of {len(known)} rows as they must be ({sum(map(len, known.values()))} runs)"
    ]
    lines += [f"  impossible: {name}: {why}" for name, why in rows.IMPOSSIBLE.items()]
    random_ = [r for r in done if r.row == "damage"]
    counts = collections.Counter((r.verdict.split(":")[0], r.mode or "default") for r in random_)
    lines.append(f"random damages from seed {args.seed}: {len({r.text for r in random_})}")
    lines += [f"  {n:5} {verdict} ({mode})" for (verdict, mode), n in counts.most_common()]
    slowest = max((r.seconds for r in done), default=0)
    silent = max(done, key=lambda r: r.silent, default=None)
    if silent is not None:
        lines.append(f"longest time without a word {silent.silent:.1f} s ({silent.row} {silent.text[:60]})")
    return "\n".join([*lines, f"slowest {slowest:.1f} s"])


if __name__ == "__main__":
    sys.exit(main())
