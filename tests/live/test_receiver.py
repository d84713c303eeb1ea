"""What the receiver does with trains: how many make a chunk, and a disk that is full for a while."""

import errno
import os
from types import SimpleNamespace

import numpy as np
import pytest
from bridges import DET, train

from dxflow.live import receiver as receivers
from dxflow.live.account import FAST, FULL, LATE
from dxflow.live.bridge import Message, NoBridge
from dxflow.live.receiver import Asked, Receiver

BYTES = 2 * 3 * 64 * 64 * 4


def receiver(folder, said=None, **options):
    parcels = folder / "parcels"
    parcels.mkdir()
    usual = {"limit": 64 * BYTES, "chunk": 4}
    asked = Asked("tcp://host:1", "SUB", str(folder), "", **{**usual, **options})
    return Receiver(asked, folder, parcels, (said if said is not None else []).append)


def message(tid, **options):
    return Message(*train(tid, **{"shape": (64, 64), **options}), nbytes=1)


def taken(made, pieces, ids, **options):
    """Take trains, while the work is as fast as can be: pieces are freed at once; return the ids of each piece."""
    for tid in ids:
        made.take(message(tid, **options))
        for piece in pieces:
            made.told("free", piece.number)
    return [piece.train_ids.tolist() for piece in pieces]


def is_cut(pieces):
    """Return whether no chunk has trains of two pieces, as it is cut from some piece on."""
    return all(
        before.train_ids[-1] // piece.chunk < piece.train_ids[0] // piece.chunk
        for before, piece in zip(pieces, pieces[1:], strict=False)
    )


@pytest.mark.parametrize("slow", [range(10001, 10007), range(10001, 10060)])
def test_chunks_are_as_long_as_the_first_train_with_large_arrays_says(tmp_path, slow):
    """Also where trains come before that have none: nothing is dropped if the work is fast."""
    pieces = []
    made = receiver(tmp_path, pieces, limit=16 * BYTES, chunk=0)
    taken(made, pieces, slow, modules=0, motor=1.0)
    assert made.chunk == 64
    taken(made, pieces, range(slow.stop, 10076), motor=1.0)
    assert (made.chunk, made.account.trains_dropped) == (4, 0)
    made.finish()
    assert is_cut(pieces)
    assert [int(t) for p in pieces for t in p.train_ids] == [*range(10001, 10076)]
    assert [len(p.train_ids) for p in pieces[-3:]] == [4, 4, 4]
    assert {p.chunk for p in pieces} == ({4} if slow.stop < 10048 else {64, 4})


def test_chunks_that_are_asked_for_are_refused_by_the_first_train_with_large_arrays(tmp_path):
    made = receiver(tmp_path, limit=7 * BYTES)
    made.take(message(10000, modules=0, motor=1.0))
    with pytest.raises(NoBridge, match="two of them do not fit"):
        made.take(message(10001))


@pytest.mark.parametrize("asked", [{"limit": 7 * BYTES}, {"chunk": 0, "limit": BYTES // 2}])
def test_what_does_not_fit_late_is_dropped_and_counted_and_the_stream_goes_on(tmp_path, asked):
    pieces = []
    made = receiver(tmp_path, pieces, **asked)
    small = 400 if "chunk" in asked else 40
    taken(made, pieces, range(10000, 10000 + small), modules=0, motor=1.0)
    assert pieces
    if "chunk" in asked:
        made.take(message(10000 + small))
        assert (made.account.kept, made.account.trains_dropped) == (small, 1)
    else:
        taken(made, pieces, range(10000 + small, 10000 + small + 8))
        assert made.account.kept + made.account.trains_dropped == small + 8
        assert made.account.kept > small
    taken(made, pieces, [11000], modules=0, motor=1.0)
    made.finish()
    assert pieces[-1].train_ids.tolist() == [11000]
    assert is_cut(pieces)


def test_chunks_become_shorter_where_trains_become_so_large_that_not_one_fits(tmp_path):
    pieces = []
    made = receiver(tmp_path, pieces, limit=32 * BYTES, chunk=0)
    taken(made, pieces, range(10000, 10020))
    assert made.chunk == 8
    taken(made, pieces, range(10020, 10034), modules=12)
    assert made.chunk == 1
    # Those alone that were in the way when it turned out.
    assert made.account.trains_dropped < 8
    assert is_cut(pieces)
    assert [len(p.train_ids) for p in pieces[-4:]] == [1] * 4


def test_of_chunks_that_were_asked_for_and_became_too_large_only_the_rest_is_dropped(tmp_path):
    """The memory of a piece is given back when its chunk has ended, also if there is no room for the train after."""
    pieces = []
    made = receiver(tmp_path, pieces, limit=8 * BYTES)
    taken(made, pieces, range(10000, 10004))
    taken(made, pieces, range(10004, 10020), modules=8)
    made.finish()
    assert {p.train_ids[0] // 4: len(p.train_ids) for p in pieces} == {
        2500 + n: 4 if not n else 2 for n in range(5)
    }
    assert is_cut(pieces)
    assert set(made.account.dropped) == {FULL, FAST}


def test_one_train_of_many_entries_changes_no_chunk(tmp_path):
    pieces = []
    made = receiver(tmp_path, pieces, limit=32 * BYTES, chunk=0)
    taken(made, pieces, range(10000, 10010))
    taken(made, pieces, [10010], frames=30)
    taken(made, pieces, [10011], frames=300)
    taken(made, pieces, range(10012, 10020))
    assert made.chunk == 8
    assert {why: one.first for why, one in made.account.dropped.items()} == {FULL: 10011}
    assert made.has_room


@pytest.mark.parametrize(("fit", "chunk"), [(1, 1), (7, 1), (8, 2), (100, 16), (2000, 64)])
def test_chunks_are_so_long_that_several_fit(tmp_path, fit, chunk):
    made = receiver(tmp_path, limit=fit * BYTES, chunk=0)
    made.take(message(10000))
    assert made.chunk == chunk
    assert made.account.kept == 1


def test_a_train_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(NoBridge, match=f"a train has {BYTES} bytes, more than"):
        receiver(tmp_path, limit=BYTES - 1).take(message(10000))


def test_trains_are_asked_for_as_long_as_there_is_room(tmp_path):
    pieces = []
    made = receiver(tmp_path, pieces, limit=8 * BYTES)
    for tid in range(10000, 10008):
        assert made.has_room
        made.take(message(tid))
    assert not made.has_room
    made.take(message(10008))
    assert made.account.dropped[FAST].trains == 1
    made.told("free", pieces[0].number)
    assert made.has_room
    made.take(message(10009))
    assert [p.train_ids.tolist() for p in pieces] == [[*range(10000, 10004)], [*range(10004, 10008)]]
    assert made.account.kept == 9


WRONG = {
    "one in between": ([*range(1000, 1010), 1010 + 5 * 10**7, *range(1011, 1100)], 99, 1, 1),
    "the first, and larger": ([10**12, *range(1000, 1100)], 98, 0, 3),
    "the first": ([1, *range(10**9, 10**9 + 100)], 98, 0, 3),
    "the same again and again": ([*range(1000, 1010), *[10**9] * 5, *range(1010, 1020)], 20, 0, 5),
    "a pause": ([*range(1000, 1010), *range(10**6, 10**6 + 10)], 18, 998_992, 2),
}


@pytest.mark.parametrize(("ids", "kept", "gaps", "broken"), WRONG.values(), ids=WRONG)
def test_wrong_ids_are_not_believed_until_several_agree(tmp_path, ids, kept, gaps, broken):
    made = receiver(tmp_path, limit=2**30)
    for tid in ids:
        made.take(Message(*train(tid, shape=(4, 4)), nbytes=1))
    account = made.account
    assert (account.kept, account.not_received, account.broken) == (kept, gaps, broken)
    assert account.sent == kept + gaps
    assert account.trains_dropped == 0


def test_values_that_come_with_dropped_trains_hold(tmp_path):
    pieces = []
    made = receiver(tmp_path, pieces, limit=8 * BYTES)
    made.take(message(10000, motor=1.0))
    for tid in range(10001, 10008):
        made.take(message(tid))
    made.take(message(10008, motor=2.0))
    assert made.account.trains_dropped == 1
    made.told("free", pieces[0].number)
    made.take(message(10010))
    made.take(message(10011, motor=3.0))
    made.finish()
    import extra_data

    values = [
        extra_data.H5File(p.file)["SPB/MOTOR/X", "actualPosition.value"].ndarray().tolist() for p in pieces
    ]
    assert values == [[1.0] * 4, [1.0] * 4, [2.0, 3.0]]


def test_only_what_is_read_takes_room(tmp_path):
    pieces = []
    made = receiver(tmp_path, pieces)
    made.take(message(10000))
    made.told("unread", [f"INSTRUMENT/{DET.format(0)}/image/data"])
    made.take(message(10001))
    made.take(message(10004))
    assert made.in_use == BYTES + 2 * BYTES // 2
    assert {name: len(at[0]) for name, at in pieces[0].at.items()} == {
        f"INSTRUMENT/{DET.format(m)}/image/data": n for m, n in ((0, 1), (1, 2))
    }


def test_a_disk_that_is_full_is_waited_for_and_trains_meanwhile_are_counted(tmp_path, monkeypatch):
    pieces, real = [], os.replace
    made = receiver(tmp_path, pieces)
    for tid in range(10000, 10004):
        made.take(message(tid))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    made.take(message(10004))
    made.take(message(10005))
    assert "No space left" in made.stuck
    assert "No space left" in made.report(True).waiting
    assert not made.has_room
    assert made.account.dropped[FULL].trains == 2
    assert not list(tmp_path.glob("*.h5*"))
    monkeypatch.setattr(os, "replace", real)
    made.again()
    assert pieces == []
    monkeypatch.setattr(receivers, "time", SimpleNamespace(monotonic=lambda: made._tried + 2))
    made.again()
    assert [p.train_ids.tolist() for p in pieces] == [[*range(10000, 10004)]]
    made.take(message(10006))
    made.finish()
    account = made.account
    assert account.kept + account.trains_dropped + account.not_received == account.sent == 7
    assert np.concatenate([p.train_ids for p in pieces]).tolist() == [10000, 10001, 10002, 10003, 10006]


def test_a_train_of_a_chunk_that_was_closed_while_the_disk_was_full_is_late(tmp_path, monkeypatch):
    pieces, real = [], os.replace
    made = receiver(tmp_path, pieces)
    made.take(message(10000))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    made.take(message(10004))
    monkeypatch.setattr(os, "replace", real)
    made.close()
    made.take(message(10001))
    made.take(message(10005))
    made.finish()
    assert [p.train_ids.tolist() for p in pieces] == [[10000], [10005]]
    assert {why: one.trains for why, one in made.account.dropped.items()} == {FULL: 1, LATE: 1}


def test_a_chunk_of_which_no_train_finds_room_is_no_piece(tmp_path, monkeypatch):
    pieces, real = [], os.pwrite
    made = receiver(tmp_path, pieces)
    made.take(message(10000, motor=1.0))

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    for tid in range(10004, 10010):
        monkeypatch.setattr(os, "pwrite", full if tid < 10008 else real)
        made.take(message(tid, motor=2.0))
    made.finish()
    assert [p.train_ids.tolist() for p in pieces] == [[10000], [10008, 10009]]
    assert made.account.dropped[FULL].trains == 4


def test_what_cannot_be_kept_in_the_end_is_not_counted_as_kept(tmp_path, monkeypatch):
    made = receiver(tmp_path)
    made.take(message(10000))
    monkeypatch.setattr(receivers, "PATIENCE", 1)
    monkeypatch.setattr(receivers.time, "sleep", lambda s: None)
    monkeypatch.setattr(
        made._open, "close", lambda folder: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full"))
    )
    made.finish()
    assert (made.account.kept, made.account.dropped[FULL].trains) == (0, 1)
    assert not list((tmp_path / "parcels").iterdir())


def test_sources_of_another_train_are_left_out_but_for_slow_ones(tmp_path):
    pieces = []
    made = receiver(tmp_path, pieces, chunk=1)
    sent = message(10000, motor=1.0, **{"A/B:c": {"data.x": 1.0}})
    sent.meta["A/B:c"]["timestamp.tid"] = sent.meta["SPB/MOTOR/X"]["timestamp.tid"] = 9999
    made.take(sent)
    made.finish()
    import extra_data

    run = extra_data.H5File(pieces[0].file)
    assert run.train_ids == [10000]
    assert run.all_sources == {DET.format(0), DET.format(1), "SPB/MOTOR/X"}
