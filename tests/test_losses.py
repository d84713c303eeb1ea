"""Losses: as text, as a table, and through JSON."""

import json
from dataclasses import asdict

from dxflow.losses import Loss, from_json, table

LOSS = Loss("missing frames", 12, 2, 100, 103, "DET/3CH0", 3, detail="the others have them")


def test_a_loss_says_what_where_and_how_much():
    assert str(LOSS) == "missing frames: DET/3CH0, 2 trains 100-103, 12 frames: the others have them"


def test_a_loss_of_a_hook_names_the_algorithm_and_its_one_train():
    loss = Loss("exception in hook", trains=1, first_train=7, last_train=7, algorithm="azint")
    assert str(loss) == "exception in hook: azint, train 7, 0 frames"


def test_losses_survive_json():
    assert from_json(json.loads(json.dumps([asdict(LOSS)]))) == (LOSS,)


def test_the_table_has_a_row_each_and_its_columns_even_when_empty():
    assert table([LOSS, LOSS])["frames"].tolist() == [12, 12]
    assert {"cause", "frames", "module", "file", "detail"} <= set(table([]).columns)
