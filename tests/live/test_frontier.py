"""Which trains are complete, by what streams of files have."""

import numpy as np
import pytest

from dxflow.live.frontier import NONE, File, Frontier


class Run:
    """A frontier of chunks of 10 trains, and a clock; sequences have 10 trains from 0 on."""

    def __init__(self, wait=60.0):
        self.frontier, self.now = Frontier(10, wait), 0.0

    def get(self, name, *sequences, closed=True):
        for n in sequences:
            file = File(f"{name}-{n}", np.arange(10 * n, 10 * n + 10), self.now) if closed else None
            self.frontier.note(name, n, file)

    def chunks(self, seconds=0.0):
        """Return how many chunks are complete after so many seconds."""
        self.now += seconds
        return (self.frontier.complete(self.now) + 1) // 10


@pytest.fixture
def run():
    return Run()


def test_trains_are_complete_that_all_streams_have(run):
    assert run.chunks() == 0
    run.get("a", 0, 1)
    run.get("b", 0)
    assert run.chunks() == 1
    run.get("b", 1, closed=False)
    assert run.chunks(59) == 1
    assert run.frontier.waiting(run.now) == "b-S00001, which others are ahead of, for 59 s of 60 s"
    run.get("b", 1)
    assert run.chunks() == 2
    assert run.frontier.waiting(run.now) == ""


def test_a_stream_that_stops_is_waited_for_once(run):
    run.get("a", 0, 1)
    run.get("b", 0)
    assert run.chunks() == 1
    assert run.chunks(61) == 2
    for n in range(2, 6):
        run.get("a", n)
        assert run.chunks(0.1) == n + 1, "without waiting again"


def test_a_stream_that_has_caught_up_is_waited_for_again(run):
    run.get("a", 0, 1, 2)
    run.get("b", 0)
    run.chunks()
    assert run.chunks(61) == 3
    run.get("b", 1)
    assert run.chunks() == 3
    run.get("b", 2)
    assert run.chunks() == 3
    run.get("a", 3)
    assert run.chunks(1) == 3
    run.get("b", 3)
    assert run.chunks() == 4


def test_each_step_of_a_slow_stream_is_waited_for_anew(run):
    run.get("a", *range(5))
    for n in range(5):
        run.get("b", n)
        assert run.chunks(50) == n + 1


def test_a_sequence_that_never_comes_is_waited_for_once(run):
    run.get("a", *range(4))
    run.get("b", 0, 2, 3)
    assert run.chunks() == 1
    assert run.chunks(61) in (1, 4)
    assert run.chunks() == 4
    run.get("a", 4)
    run.get("b", 4)
    assert run.chunks() == 5


def test_a_sequence_that_no_stream_has_is_waited_for_once(run):
    run.get("a", 0, 2)
    run.get("b", 0, 2)
    assert run.chunks() == 1
    run.chunks(61)
    assert run.chunks() == 3


def test_streams_that_nobody_reads_do_not_count(run):
    run.get("a", 0, 1)
    run.get("slow", 0)
    run.frontier.unneeded.add("slow")
    assert run.chunks() == 2
    assert run.frontier.waiting(run.now) == ""


def test_trains_behind_and_the_last(run):
    assert run.frontier.last() == NONE
    run.get("a", 0)
    run.now = 7.0
    run.get("b", 0)
    run.get("a", 1)
    assert run.frontier.last() == 19
    assert run.frontier.after(4) == (15, 0.0)
    assert run.frontier.after(9) == (10, 7.0)
    assert run.frontier.after(19)[0] == 0


def test_sequences_of_a_run_may_begin_late(run):
    run.get("a", 3, 4)
    run.get("b", 3)
    assert run.chunks() == 4
