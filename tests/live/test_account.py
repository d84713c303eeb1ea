"""What became of trains: ids that are counted once, gaps between them, and sums that are exact."""

import random

from dxflow.live.account import FAST, LATE, Account, Ids


def test_ids_are_a_set_in_whichever_order_they_come():
    draw = random.Random(1)
    for _ in range(200):
        ids, known = Ids(), set()
        for _ in range(draw.randrange(1, 60)):
            n = draw.randrange(40)
            assert ids.add(n) == (n not in known)
            known.add(n)
            assert len(ids) == len(known)
            assert (ids.first, ids.last) == (min(known), max(known))
            assert [m for m in range(-1, 42) if m in ids] == sorted(known)


def test_sent_is_kept_and_dropped_and_not_received():
    account, draw = Account(), random.Random(2)
    for n in draw.sample(range(500), 300):
        train = 10000 + n
        assert account.ids.add(train)
        if n % 3 == 0:
            account.drop(train, FAST if n % 2 else LATE)
        else:
            account.kept += 1
        assert account.kept + account.trains_dropped + account.not_received == account.sent
    assert account.came == 300
    assert account.not_received == account.sent - 300
    losses = {loss.cause: loss for loss in account.losses("tcp://host:1")}
    assert losses[FAST].trains + losses[LATE].trains == account.trains_dropped
    assert losses["not received"].trains == account.not_received
    assert (losses["not received"].first_train, losses["not received"].last_train) == (
        account.ids.first,
        account.ids.last,
    )
    assert all(10000 <= loss.first_train <= loss.last_train < 10500 for loss in losses.values())


def test_nothing_is_lost_of_nothing():
    assert Account().losses("tcp://host:1") == ()
    assert str(Account()) == "0 trains sent, 0 used"


def test_messages_that_are_no_trains_are_told():
    account = Account(broken=2, why="no source has a timestamp.tid", repeated=3)
    assert {loss.cause for loss in account.losses("tcp://host:1")} == {"broken messages", "came twice"}
