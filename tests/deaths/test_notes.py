"""Notes of attempts: they tell what died, of what, and forget what is no fault of the data."""

import os

import pytest

from dxflow.deaths import notes as attempts
from dxflow.deaths.notes import Attempt, Note, Now

WHOLE = Attempt("whole", 4, 8)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(attempts, "PATIENCE", 0.2)


def die(folder, attempt=WHOLE, session="now", hook=""):
    """Leave what a worker leaves that dies in an attempt."""
    note = Note(Now(folder, session), 3)
    note.open(WHOLE)
    note.begin(attempt)
    if hook:
        path = note.path.with_suffix(".hook")
        path.write_text(hook.ljust(200))


def learned(folder, session="now"):
    note = Note(Now(folder, session), 3)
    note.open(WHOLE)
    return note.history


def test_a_worker_has_one_file_for_all_its_chunks_which_says_what_it_tries_now(tmp_path):
    now, seen = Now(tmp_path, "now"), []
    for number in range(20):
        with Note(now, number) as note:
            note.open(WHOLE)
            assert note.trying
            ((found, running),) = attempts.running(tmp_path)
            assert (found, running["pid"], running["attempt"]["first"]) == (number, os.getpid(), 4)
            seen.append([p.stat().st_ino for p in (tmp_path / attempts.FOLDER).iterdir()])
        assert not note.trying
        assert attempts.running(tmp_path) == []
    assert len(seen[0]) == 1
    assert seen == [seen[0]] * 20


def test_threads_of_a_worker_say_each_what_they_try(tmp_path):
    with Note(Now(tmp_path, "now"), 3) as one, Note(Now(tmp_path, "now"), 4) as other:
        one.open(WHOLE)
        other.open(WHOLE)
        assert [number for number, _ in attempts.running(tmp_path)] == [3, 4]
        assert one.history == other.history == attempts.History()
    assert attempts.running(tmp_path) == []


def test_what_another_died_of_is_learned_only_by_who_takes_its_chunk(tmp_path):
    die(tmp_path)
    attempts.note_end(tmp_path, os.getpid(), "x")
    now = Now(tmp_path, "now")
    with Note(now, 4) as note:
        note.open(WHOLE)
        assert note.history.deaths == ()
    with Note(now, 3) as note:
        note.open(WHOLE)
        assert [d.cause for d in note.history.deaths] == ["x"]
    # It has ended: who comes to it once more knows nothing of that.
    assert learned(tmp_path).deaths == ()


def test_a_worker_that_was_taken_for_dead_goes_on(tmp_path, monkeypatch):
    alive = Now(tmp_path, "now")
    with Note(alive, 3) as note:
        note.open(WHOLE)
        assert learned(tmp_path).deaths[0].cause.startswith("cause not known")
    with Note(alive, 5) as note:
        note.open(WHOLE)
        assert 5 in [number for number, _ in attempts.running(tmp_path)]


def test_a_death_is_told_with_the_cause_that_was_noted_and_the_hook(tmp_path):
    die(tmp_path, hook="azint.process_train_data")
    attempts.note_end(tmp_path, os.getpid(), "killed by signal 11 (SIGSEGV)")
    (death,) = learned(tmp_path).deaths
    assert (death.attempt, death.cause) == (WHOLE, "killed by signal 11 (SIGSEGV)")
    assert death.hook == "azint.process_train_data"


def test_deaths_add_up(tmp_path):
    for attempt in (WHOLE, WHOLE, Attempt("probe", 4, 6), Attempt("whole", 4, 8, (5,))):
        die(tmp_path, attempt)
        attempts.note_end(tmp_path, os.getpid(), "x")
    assert [d.attempt for d in learned(tmp_path).deaths] == [
        WHOLE,
        WHOLE,
        Attempt("probe", 4, 6),
        Attempt("whole", 4, 8, (5,)),
    ]


def test_an_end_that_is_no_fault_of_the_data_does_not_count(tmp_path):
    die(tmp_path)
    attempts.note_end(tmp_path, os.getpid(), None)
    assert learned(tmp_path).deaths == ()


def test_an_end_that_nobody_saw_counts_and_says_so(tmp_path):
    die(tmp_path)
    (death,) = learned(tmp_path).deaths
    assert death.cause.startswith("cause not known: its process on ")


def test_the_end_of_an_earlier_process_of_the_same_number_is_not_taken_for_this_one(tmp_path):
    attempts.note_end(tmp_path, os.getpid(), "long ago")
    die(tmp_path)
    assert learned(tmp_path).deaths[0].cause.startswith("cause not known")


def test_what_an_earlier_start_of_the_cluster_left_was_ended_with_it_but_its_deaths_are_known(tmp_path):
    die(tmp_path, session="before")
    attempts.note_end(tmp_path, os.getpid(), "x")
    die(tmp_path, session="before")
    (death,) = learned(tmp_path).deaths
    assert death.cause == "x"


def test_what_survived_is_known_to_the_next_worker(tmp_path):
    die(tmp_path)
    attempts.note_end(tmp_path, os.getpid(), "x")
    note = Note(Now(tmp_path, "now"), 3)
    note.open(WHOLE)
    note.survived(Attempt("probe", 4, 6))
    note.begin(Attempt("probe", 6, 8))
    attempts.note_end(tmp_path, os.getpid(), "y")
    history = learned(tmp_path)
    assert [d.cause for d in history.deaths] == ["x", "y"]
    assert history.survived == (Attempt("probe", 4, 6),)


def test_an_error_in_a_hook_leaves_no_note(tmp_path):
    note = Note(Now(tmp_path, "now"), 3)
    note.open(WHOLE)
    note.__exit__(KeyError, KeyError(), None)
    assert attempts.running(tmp_path) == []
    assert learned(tmp_path).deaths == ()


@pytest.mark.parametrize("text", ["", "{", '{"running": null}'])
def test_a_note_that_was_cut_off_is_none(tmp_path, text):
    die(tmp_path)
    (said,) = (tmp_path / attempts.FOLDER).iterdir()
    said.write_text(text)
    (tmp_path / attempts.FOLDER / "chunk-000003.json").write_text(text)
    assert learned(tmp_path).deaths == ()


def test_the_end_of_a_run_whose_journal_is_gone_is_not_noted(tmp_path):
    attempts.note_end(tmp_path / "gone", os.getpid(), "x")
    assert list(tmp_path.iterdir()) == []
