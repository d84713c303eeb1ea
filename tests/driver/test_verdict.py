"""What bounded a run and what would help: never against the numbers beside it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dxflow.driver.verdict import Facts, verdict


def facts(wait=0.0, compute=0.0, write=0.0, *, seconds=10.0, workers=2, chunks=20, **more):
    busy = {"wait": wait, "compute": compute, "write": write}
    given = {"wall": seconds + 1, "bytes": 10**10, "nodes": 1} | more
    return Facts(seconds=seconds, workers=workers, chunks=chunks, busy=busy, **given)


RATE = "1 GB/s with 2 workers"
CASES = {
    "nothing": (facts(workers=0), "nothing was computed", ""),
    "starting": (
        facts(compute=2, seconds=1, wall=10),
        "bounded by starting and finishing: 9 of 10 s, the pass took 1 s",
        "",
    ),
    "nodes": (
        facts(compute=2, seconds=1, wall=10, queued=True),
        "bounded by starting and finishing: 9 of 10 s, the pass took 1 s",
        "fewer nodes would do",
    ),
    "idle": (
        facts(compute=10, chunks=3),
        f"bounded by handing out work: workers were busy 50% of the time, {RATE}",
        "3 chunks for 2 workers leave some idle: smaller chunks (chunk=) or fewer workers",
    ),
    "idle for good": (
        facts(compute=10, chunks=3, divisible=False),
        f"bounded by handing out work: workers were busy 50% of the time, {RATE}",
        "3 chunks for 2 workers leave some idle: fewer workers would do as well",
    ),
    "tiny chunks": (
        facts(compute=10, chunks=1000),
        f"bounded by handing out work: workers were busy 50% of the time, {RATE}",
        "a chunk takes 10 ms: larger chunks (chunk=), or fewer workers",
    ),
    "reading": (
        facts(wait=15, compute=5),
        f"bounded by reading: 75% of the workers' time went by waiting for data, {RATE}",
        "reading less helps: frames=, modules=, roi=; then more nodes",
    ),
    "computing": (
        facts(wait=4, compute=16),
        f"bounded by computing: 80% of the workers' time, reading hid behind it, {RATE}",
        "more workers would help, on cores that are free",
    ),
    "one chunk": (
        facts(compute=10, workers=1, chunks=1),
        "bounded by computing: 100% of the workers' time, reading hid behind it, 1 GB/s with 1 worker",
        "a chunk takes 10 s: smaller ones (chunk=) would let more workers help",
    ),
    "one train": (
        facts(compute=10, workers=1, chunks=1, divisible=False),
        "bounded by computing: 100% of the workers' time, reading hid behind it, 1 GB/s with 1 worker",
        "",
    ),
    "writing": (
        facts(compute=5, write=15),
        f"bounded by writing partial results: 75% of the workers' time, {RATE}",
        "larger chunks (chunk=) write fewer",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_bounded_a_run_and_what_would_help(case):
    run, bound, advice = CASES[case]
    said = verdict(run)
    assert (said.bound, said.advice) == (bound, advice)


seconds = st.floats(0.01, 1e4)


@settings(max_examples=200, deadline=None)
@given(seconds, seconds, seconds, st.floats(1, 10), st.integers(1, 64), st.integers(1, 500), st.booleans())
def test_advice_never_contradicts_the_numbers(wait, compute, write, around, workers, chunks, divisible):
    needed = (wait + compute + write) / workers
    run = facts(
        wait,
        compute,
        write,
        seconds=needed,
        wall=around * needed,
        workers=workers,
        chunks=chunks,
        divisible=divisible,
    )
    advice = verdict(run).advice
    assert "more workers" not in advice or chunks > workers or "smaller ones" in advice
    assert "smaller" not in advice or divisible
    assert "larger chunks" not in advice or chunks > 1 or write > max(wait, compute)
