"""Losses: as text, as a table, and through JSON."""

import json
from dataclasses import asdict, replace

from dxflow.run.losses import Loss, from_json, lines
from dxflow.run.tables import table

LOSS = Loss("missing frames", 12, 2, 100, 103, "DET/3CH0", 3, "/run/CORR-3.h5", detail="the others have them")
BARE = replace(LOSS, file="")


def test_a_loss_says_module_file_trains_and_how_much():
    assert str(LOSS) == (
        "module 3 (CORR-3.h5), 2 trains in 100-103: missing frames, 12 frames: the others have them"
    )
    assert str(replace(BARE, last_train=101, frames=1, detail="")) == (
        "module 3 (DET/3CH0), trains 100-101: missing frames, 1 frame"
    )


def test_a_loss_of_a_hook_names_the_algorithm_and_its_one_train():
    loss = Loss(
        "exception in hook", trains=1, first_train=7, last_train=7, algorithm="azint", detail="Error:\n here"
    )
    assert str(loss) == "azint, train 7: exception in hook: Error: here"


def test_a_loss_of_a_source_or_a_file_names_it():
    assert str(Loss("not readable", source="XGM", file="/r/a.h5")) == "XGM (a.h5): not readable"
    assert str(Loss("unreadable file", file="/r/a.h5", detail="no HDF5")) == "a.h5: unreadable file: no HDF5"


def test_the_same_of_several_modules_is_one_line():
    several = [replace(BARE, module=m, source=f"DET/{m}CH0") for m in (1, 0, 2, 5)]
    assert lines(several) == [
        "modules 0-2, 5 (DET), 2 trains in 100-103: missing frames, 12 frames each: the others have them"
    ]


def test_neighbouring_chunks_are_one_line_whatever_their_order():
    chunks = [
        replace(LOSS, trains=10, first_train=n, last_train=n + 9, detail=f"row {n}") for n in (20, 0, 10)
    ]
    assert lines(chunks) == ["module 3 (CORR-3.h5), trains 0-29: missing frames, 36 frames: row 0"]
    assert lines(chunks) == lines(chunks[::-1]) == lines([*chunks, chunks[0]])


def test_a_module_that_is_counted_in_frames_is_not_said_twice():
    absent = Loss("missing module", source="DET", module=4, detail="not in this run")
    counted = Loss("missing module", 9, 3, 1, 3, "", 4, detail="the others have them")
    assert lines([absent, replace(counted, source="DET")]) == [
        "module 4 (DET), trains 1-3: missing module, 9 frames: the others have them"
    ]
    assert lines([absent]) == ["module 4 (DET): missing module: not in this run"]


def test_a_long_list_ends_with_how_many_more():
    many = [replace(LOSS, file=f"{n}.h5") for n in range(50)]
    assert len(lines(many)) == 31
    assert lines(many)[-1] == "and 20 more, all of them in Result.losses"


def test_losses_survive_json():
    assert from_json(json.loads(json.dumps([asdict(LOSS)]))) == (LOSS,)


def test_the_table_has_a_row_each_and_its_columns_even_when_empty():
    assert table([LOSS, LOSS])["frames"].tolist() == [12, 12]
    assert {"cause", "frames", "module", "file", "detail"} <= set(table([]).columns)
