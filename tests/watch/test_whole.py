"""When a run is complete."""

from dxflow.watch.whole import Watched

QUIET, PATIENCE = 60.0, 900.0


def seen(*files, unclosed=(), gaps=()):
    return {"files": [list(f) for f in files], "unclosed": list(unclosed), "gaps": list(gaps)}


def judged(watched, found, now):
    return watched.judge(found, now, QUIET, PATIENCE)


def test_a_run_is_complete_when_nothing_has_changed_for_a_while():
    one, more = seen(("a.h5", 10, 1)), seen(("a.h5", 20, 2))
    watched = Watched(0.0)
    assert not judged(watched, one, 0.0)
    assert not judged(watched, one, 59.0)
    # It grows: the time begins again.
    assert not judged(watched, more, 61.0)
    assert not judged(watched, more, 120.0)
    assert judged(watched, more, 121.0)
    assert watched.why == ""


def test_what_came_late_is_as_old_as_the_question():
    one, watched = seen(("a.h5", 10, 1)), Watched(0.0)
    # Asked at 5, answered at 100: nobody knows whether it was the same before.
    assert not watched.judge(one, 100.0, QUIET, PATIENCE, 5.0)
    assert watched.since == 100.0
    # Nor whether it still is.
    assert not watched.judge(one, 200.0, QUIET, PATIENCE, 150.0)
    assert watched.judge(one, 201.0, QUIET, PATIENCE, 160.0)


def test_an_empty_folder_is_never_complete():
    watched = Watched(0.0)
    assert not judged(watched, seen(), 10_000.0)
    assert watched.why == "it has no files yet"


def test_files_that_are_open_or_missing_are_waited_for_with_patience():
    for found in (
        seen(("a.h5", 1, 1), unclosed=["a.h5 is open"]),
        seen(("a.h5", 1, 1), gaps=["a is missing"]),
    ):
        watched = Watched(0.0)
        assert not judged(watched, found, 0.0)
        assert not judged(watched, found, 899.0)
        assert watched.why.startswith("a")
        assert judged(watched, found, 900.0)


def test_writers_that_end_apart_are_waited_for_with_patience():
    found, watched = seen(("a.h5", 1, 1), ("b.h5", 1, 1)), Watched(0.0)
    assert not judged(watched, found, 0.0)
    assert watched.still(60.0, QUIET)
    watched.ends = {"AGIPD00": 10_500, "AGIPD01": 11_000, "DA01": 10_995}
    assert not watched.still(60.0, QUIET)
    assert not judged(watched, found, 61.0)
    assert watched.why == "AGIPD00 ends with train 10500, others with 11000"
    assert judged(watched, found, 900.0)
    # They are asked again when something has changed.
    assert not judged(watched, seen(("a.h5", 2, 2), ("b.h5", 1, 1)), 901.0)
    assert watched.ends is None
