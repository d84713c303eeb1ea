"""A slice of the campaign of faults, with the other tests: some rows of the catalogue and some new damages."""

import os

import pytest

from campaign import damage, rows, trial, work
from campaign.catalogue import CASES

CONFIGS = ("agipd-deflated", "agipd-contiguous", "lpd", "jungfrau-deflated")
SEED = int(os.environ.get("DXFLOW_SEED", "20261121"))
EVERY = 5
"""Of the cases of the catalogue; `make faults` does all."""


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("campaign")
    trial.warm(folder)
    damage.make_bases(folder, CONFIGS)
    return work.prepare(folder)


@pytest.mark.parametrize("case", CASES[::EVERY], ids=lambda c: f"{c.row} {c.text}")
def test_a_fault_of_the_catalogue_is_answered_as_it_must_be(case, bases, tmp_path):
    rows = list(work.faulty(case, bases, tmp_path))
    assert rows
    assert [(r.mode, r.verdict, r.said) for r in rows if not r.right] == []


@pytest.mark.parametrize("seed", range(SEED, SEED + 12))
def test_random_damage_is_refused_by_name_or_counted_and_never_wrong(seed, bases, tmp_path):
    rows = list(work.damaged(seed, bases, tmp_path, CONFIGS))
    assert rows
    assert [(r.text, r.mode, r.verdict, r.said) for r in rows if not r.right] == []


def test_every_row_of_the_catalogue_is_tried_or_said_to_be_impossible():
    known = [*{case.row for case in CASES}, *rows.SHOWN, *rows.IMPOSSIBLE]
    assert sorted(known) == sorted(rows.ALL)
    for _, nodes in rows.SHOWN.values():
        for file, _, name in (node.partition("::") for node in nodes):
            assert f"def {name.partition('[')[0]}" in (rows.ROOT / file).read_text()


def test_a_result_that_is_wrong_is_seen(bases, tmp_path):
    """The campaign itself: frames of another run are not those of this one."""
    done = trial.reduce(
        bases.folder / "plain",
        bases.truth("deflated") | {(0, 1, 1): None},
        tmp_path,
        algorithms=trial.algorithms(),
    )
    assert done.found["missing"] == 1
    assert done.verdict.startswith("UNNAMED")
    other = {key: frame + 1 for key, frame in bases.truth("plain").items()}
    done = trial.reduce(bases.folder / "plain", other, tmp_path, algorithms=trial.algorithms())
    assert done.verdict.startswith("WRONG")
