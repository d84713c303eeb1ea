from dxflow.reader.tuning import TRIAL_STEPS, Tuner, candidates


def run(tuner, speeds):
    """Work with the tuner until it has chosen; return what was tried."""
    tried = []
    while tuner.chosen is None:
        threads, steps = tuner.next(2**20)
        tried.append(threads)
        tuner.note(threads, steps * 2**20, steps / speeds[threads], steps)
    return tried


def test_the_fastest_number_of_threads_is_chosen():
    tuner = Tuner((0, 1, 2))
    tried = run(tuner, {0: 10.0, 1: 30.0, 2: 20.0})
    assert tuner.chosen == 1
    assert set(tried) == {0, 1, 2}


def test_the_first_steps_do_not_count():
    tuner = Tuner((0, 1))
    threads, steps = tuner.next(2**20)
    tuner.note(threads, 1, 1e9, steps)
    assert tuner.rates == {}


def test_too_few_steps_do_not_decide():
    tuner = Tuner((0, 1))
    tuner.note(0, 1, 1.0, 4)
    tuner.note(0, 10**9, 1.0, TRIAL_STEPS - 1)
    assert tuner.rates == {}


def test_few_large_steps_decide_though_each_is_in_a_chunk_of_its_own():
    tuner = Tuner((0, 1))
    for _ in range(10):
        threads, _ = tuner.next(2**30)
        tuner.note(threads, 2**30, 1.0 if threads else 3.0, 1)
    assert tuner.chosen == 1


def test_a_number_fixed_by_the_user_is_taken_for_all_steps():
    tuner = Tuner(candidates(buffers=3, fixed=2))
    assert tuner.chosen == 2
    assert tuner.next(1) == (2, None)


def test_candidates_leave_a_buffer_for_the_consumer():
    assert max(candidates(buffers=2, fixed=None)) == 1
    assert candidates(buffers=6, fixed=9) == (5,)


def test_more_threads_are_not_tried_when_the_last_step_up_was_slower():
    tuner = Tuner(candidates(buffers=6, fixed=None))
    tried = run(tuner, {0: 10.0, 1: 30.0, 2: 20.0, 4: 99.0})
    assert tuner.chosen == 1
    assert 4 not in tried


def test_more_threads_are_tried_while_they_help():
    tuner = Tuner(candidates(buffers=6, fixed=None))
    tried = run(tuner, {0: 10.0, 1: 20.0, 2: 30.0, 4: 40.0})
    assert tuner.chosen == 4
    assert 4 in tried


def test_more_threads_that_are_hardly_faster_are_not_taken():
    tuner = Tuner(candidates(buffers=6, fixed=None))
    tried = run(tuner, {0: 10.0, 1: 10.9, 2: 99.0, 4: 99.0})
    assert tuner.chosen == 0
    assert 2 not in tried
