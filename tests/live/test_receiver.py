"""What the receiver does with trains: how many make a chunk, and a disk that is full for a while."""

import errno
import os
from types import SimpleNamespace

import numpy as np
import pytest
from bridges import DET, train

from dxflow.live import receiver as receivers
from dxflow.live.account import FAST, FULL
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
