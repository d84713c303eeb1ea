"""How a live run goes, as HTML."""

import re
from pathlib import Path

import pytest

from dxflow.live.observers import Snapshot, Status
from dxflow.pages.now import Past, _duration


def text(html):
    return " ".join(re.sub("<[^>]*>", " ", html).split())


def past(*statuses):
    made = Past()
    for one in statuses:
        made.take(one)
    return made


def test_all_numbers_of_a_status_are_shown():
    status = Status(
        *(
            "running",
            "",
            3720.0,
            1200,
            9.87,
            2.65e9,
            13,
            1.4,
            17,
            19,
            23,
            {"file missing": 352, "no dark": 4},
            2,
        )
    )
    said = text(past(status).html())
    for one in (
        *("1200 trains in the result", "9.87 trains a second", "2.65 GB/s data", "13 trains behind, 1.4 s"),
        *("17 trains dropped", "19 trains not received", "23 came late", "356 frames lost"),
        *(
            "1 h 02 min since it began",
            "2 version of parameters now",
            "Lost: file missing (352 frames); no dark (4 frames).",
        ),
    ):
        assert one in said, said


def test_the_past_is_drawn_from_0_to_its_highest():
    html = past(*(Status(elapsed_s=t, trains_per_s=v) for t, v in ((0, 0), (5, 8), (10, 4)))).html()
    assert 'points="0.0,70.0 160.0,0.0 320.0,35.0"' in html
    assert "trains a second: 4 now, at most 8 in the last 10 s" in text(html)


def test_what_it_waits_for_and_what_is_drawn_is_said():
    one = past(Status("paused", "room on the disk: <b>full</b>"))
    assert "The run pauses: room on the disk: &lt;b&gt;full&lt;/b&gt;." in one.html()
    assert "There is no result yet" in one.html()
    older, newer = (
        Snapshot(n, Path("x"), 1, 64 * n, 1, 64 * n, "64 trains", False, Status()) for n in (2, 3)
    )
    one.snapshot = newer
    assert "Result 3: 192 trains, 1 to 192" in text(one.html())
    assert "it is being drawn" in one.html()
    assert "the pictures are of result 2, 128 trains" in one.html(older)
    assert "pictures" not in one.html(newer)


def test_of_which_version_a_result_is_is_said():
    """After a change the newest result is of the version before, until there is one of the new."""
    one = past(Status(version=2))
    first, second = (
        Snapshot(n, Path("x"), n, 40 - 33 * (n - 1), 1, 40, "8 trains", False, Status()) for n in (1, 2)
    )
    one.snapshot = first
    said = text(one.html(first))
    assert "Result 1 of version 1: 40 trains" in said
    assert "of these with the options of this version; of version 2 there is no result yet." in said
    one.snapshot = second
    assert "Result 2 of version 2: 7 trains" in text(one.html(second))
    assert "the pictures are of result 1, 40 trains of version 1" in text(one.html(first))
    assert "no result yet" not in text(one.html(second))


def test_nothing_is_known_at_first():
    assert "Nothing is known yet" in Past().html()


def test_no_more_is_kept_than_is_drawn():
    one = past(*(Status(elapsed_s=t) for t in range(2000)))
    assert "in the last 9 min 59 s" in one.html()


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (1.234, "1.23 s"), (61, "61 s"), (150, "2 min 30 s"), (7260, "2 h 01 min")],
)
def test_times_are_said_for_people(seconds, said):
    assert _duration(seconds) == said
