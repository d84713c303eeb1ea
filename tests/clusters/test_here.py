"""cluster="here": one task after the other, in order, each when its result is asked for."""

import pytest

from dxflow.clusters import Here


def test_tasks_run_in_order_and_only_when_a_result_is_asked_for():
    log = []
    here = Here(log)
    futures = here.map(lambda log, n: log.append(n) or n, range(4))
    assert log == []
    seen = here.results(futures)
    assert next(seen) == 0
    assert log == [0]
    assert list(seen) == [1, 2, 3]


def test_an_exception_stops_what_comes_after_it():
    log = []
    here = Here(log)
    futures = [here.submit(lambda log: 1 / 0), here.submit(lambda log: log.append("next"))]
    with pytest.raises(ZeroDivisionError):
        list(here.results(futures))
    assert log == []


def test_what_depends_on_a_task_that_failed_fails_with_its_exception():
    log = []
    here = Here(log)
    bad = here.submit(lambda log: 1 / 0)
    then = here.map(lambda log, n: log.append(n), range(2), after=[bad])
    with pytest.raises(ZeroDivisionError):
        list(here.results(then))
    assert log == []
