"""Pulls: by how many standard errors results of many runs are off, as a table, judged by how wide they are."""

import argparse
import sys

import numpy as np


def main(document, gathered):
    """Print a line for each kind of pulls, (what, pulls) of some seeds; return 1 if one is too narrow or too wide."""
    parser = argparse.ArgumentParser(description=document)
    parser.add_argument("--runs", type=int, default=200)
    args = parser.parse_args()
    right = [told(what, off) for what, off in gathered(range(args.runs))]
    return 0 if all(right) else 1


def told(what, off):
    """Print a line, and return whether errors are neither too large nor too small."""
    width, mean = off.std(), off.mean()
    sys.stdout.write(
        f"{what:32} {off.size:6} pulls: width {width:.3f}, mean {mean:+.3f}, {np.mean(np.abs(off) > 3):.2%} beyond 3\n"
    )
    return 0.9 <= width <= 1.1
