"""Figures that two processes draw."""

import os
import subprocess
import sys
import threading

from dxflow.pages.shared import can_share

# In programs of their own: those of tests have threads.
TWO = """
import os, sys, time
from dxflow.pages.shared import shared
names = [f"n{i}" for i in range(300)]
parent = os.getpid()

def draw(left):
    made = {}
    for name in left:
        time.sleep(0.001)
        made[name] = f"{name} {os.getpid() == parent}"
        if sys.argv[1] == "killed" and len(made) == 20 and os.getpid() != parent:
            os.kill(os.getpid(), 9)
        if sys.argv[1] == "raises" and len(made) == 20 and os.getpid() == parent:
            raise ValueError("no")
    return made

try:
    made = shared(names, draw)
    print(sum("True" in v for v in made.values()), sum("False" in v for v in made.values()))
    print(all(v.split()[0] == k for k, v in made.items()), set(made) <= set(names))
except ValueError as e:
    print(e)
try:
    os.waitpid(-1, 0)
except ChildProcessError:
    print("no child left")
"""

PAGE = """
import sys
import numpy as np, xarray as xr
from dxflow.pages import figures
rng = np.random.default_rng(1)
data = xr.Dataset({f"v{n}": ("train", rng.normal(size=50 + 0 * n)) for n in range(9)})
data = data.assign({f"i{n}": (("ss", "fs"), rng.normal(size=(8, 8))) for n in range(9)})
made = {}
for both in (False, True):
    figures.can_share = lambda: both
    made[both] = "".join(map(str, figures.Figures(data, sys.argv[1]).sections()))
assert made[False] == made[True] and made[True].count("<figure") == 18
"""


def said(code, *words):
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")


def test_each_is_drawn_once_by_one_of_two():
    counts, good, left, _ = said(TWO, "well")
    own, others = map(int, counts.split())
    assert own + others == 300
    assert min(own, others) > 20
    assert good == "True True"
    assert left == "no child left"


def test_what_the_other_had_is_left_out_if_it_is_killed():
    counts, good, left, _ = said(TWO, "killed")
    own, others = map(int, counts.split())
    assert (own, others) == (280, 0)
    assert (good, left) == ("True True", "no child left")


def test_none_is_left_if_one_cannot_go_on():
    assert said(TWO, "raises") == ["no", "no child left", ""]


def test_a_page_does_not_depend_on_who_draws(tmp_path):
    said(PAGE, str(tmp_path))


def test_a_process_with_threads_of_others_is_not_doubled():
    code = "from dxflow.pages.shared import can_share; print(can_share())"
    assert said(code)[0] == str(len(os.sched_getaffinity(0)) > 1)
    wait = threading.Event()
    other = threading.Thread(target=wait.wait)
    other.start()
    try:
        assert not can_share()
    finally:
        wait.set()
        other.join()
