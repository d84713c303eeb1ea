"""Chunks done in pieces: rows, events and accounts are those of the whole chunk, sums those of smaller chunks."""

import numpy as np
import pytest
from samples import RoiSum, Stats, TrainSums

import dxflow
from dxflow.deaths import notes as attempts
from dxflow.deaths.notes import Attempt, Death, History, Note, Now
from dxflow.disk import fragments
from dxflow.disk.fragments import chunk_path
from dxflow.planning import units
from dxflow.testing.case import cut
from dxflow.worker.chunk import Workspace, run_chunk


@pytest.fixture
def work(gappy, tmp_path, monkeypatch):
    """A plan of chunks of eight trains with outputs of every kind."""
    monkeypatch.setattr(attempts, "PATIENCE", 0.0)
    made = dxflow.plan(gappy.path, [RoiSum(), Stats(), TrainSums()], block=1_000, cluster="here")
    return Workspace(cut(made, 8), tmp_path)


def died(work, chunk, *more):
    """Leave the note of a chunk that has killed whenever it was tried as a whole, and in some pieces."""
    whole = Attempt("whole", chunk.first, chunk.last)
    middle = (chunk.first + chunk.last) // 2
    lived = (Attempt("probe", chunk.first, middle), Attempt("probe", middle, chunk.last))
    note = Note(Now(work.folder, work.session), chunk.number)
    # This worker is the one that dies the fourth time.
    note.open(whole)
    note.history = History(tuple(Death(a, "x") for a in (whole, whole, whole, *more)))
    for attempt in lived:
        note.survived(attempt)


@pytest.mark.parametrize("quarters", [False, True])
@pytest.mark.parametrize("number", [0, 1])
def test_pieces_are_joined_to_what_the_whole_chunk_would_be(work, number, quarters):
    chunk = work.plan.chunks[number]
    whole = run_chunk(work, number)
    with fragments.Fragment(chunk_path(work.folder, number, work.plan.digest)) as f:
        expected = {name: f[name] for name in f.names()}
    chunk_path(work.folder, number, work.plan.digest).unlink()
    middle = units.middle(chunk.first, chunk.last)
    first = Attempt("piece", chunk.first, middle)
    died(work, chunk, *([first] * 2 if quarters else []))
    joined = run_chunk(work, number)
    assert joined.pieces == (3 if quarters else 2)
    assert (joined.used, joined.bytes, joined.events) == (whole.used, whole.bytes, whole.events)
    with fragments.Fragment(chunk_path(work.folder, number, work.plan.digest)) as f:
        assert sorted(f.names()) == sorted(expected)
        for name, array in expected.items():
            if name in ("stats.mean", "tsum.tot", "tsum.pix"):
                np.testing.assert_allclose(f[name], array, 1e-12)
            else:
                assert f[name].dtype == array.dtype
                np.testing.assert_array_equal(f[name], array, name)
    assert attempts.running(work.folder) == []
    assert list((work.folder / attempts.FOLDER).glob("[!n]*")) == []
