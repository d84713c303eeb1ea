"""Parts of a page are made by a process of its own, which may die."""

import os
import signal
import threading
import time

import pytest

from dxflow.pages.figures import Figures
from dxflow.pages.painter import Failed, Painter

pytest_plugins = ["feedback"]


@pytest.fixture(scope="module")
def painter():
    made = Painter()
    yield made
    made.close()


def test_parts_are_those_of_the_report(painter, results):
    parts = painter.parts(results[0].path)
    wanted = [(s.id, s.title, s.html) for s in Figures(results[0].dataset, results[0].path).sections()]
    assert parts[: len(wanted)] == wanted
    assert [one[0] for one in parts[len(wanted) :]] == ["account", "losses", "time", "run"]


def test_what_cannot_be_drawn_is_said_and_the_next_one_is_drawn(painter, results, tmp_path):
    with pytest.raises(Failed, match="FileNotFoundError.*gone.zarr"):
        painter.parts(tmp_path / "gone.zarr")
    first = painter._process.pid
    os.kill(first, signal.SIGKILL)
    painter._process.wait()
    assert painter.parts(results[0].path)
    assert painter._process.pid != first


def test_it_ends_while_it_draws_and_does_not_begin_again(results):
    painter, caught = Painter(), []

    def draw():
        try:
            while True:
                painter.parts(results[2].path)
        except Failed as e:
            caught.append(e)

    thread = threading.Thread(target=draw)
    thread.start()
    while painter._process is None:
        time.sleep(0.01)
    painter.close()
    thread.join(60)
    assert caught
    assert painter._process is None
