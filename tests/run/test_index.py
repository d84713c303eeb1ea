"""The index against plain sets and dictionaries of (train, pulse, cell)."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dxflow.run.index import align, doubts, plain

TRAINS = np.array([10, 11, 13, 20], np.uint64)
frame_sets = st.sets(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 2)), max_size=12)
detectors = st.lists(frame_sets, min_size=1, max_size=4)


def aligned(modules, with_cells=True):
    """Align modules given as lists of (train position, pulse, cell), sorted as they lie in files."""
    frames = [sorted(m) for m in modules]
    counts = np.array([[sum(f[0] == t for f in m) for t in range(len(TRAINS))] for m in frames])
    pulses = [np.array([f[1] for f in m], int) for m in frames]
    cells = [np.array([f[2] for f in m], int) if with_cells else None for m in frames]
    return align(TRAINS, counts, pulses, cells)


def entry_numbers(module):
    """Return {(train, pulse, cell): number within its train}."""
    out, seen = {}, dict.fromkeys(range(len(TRAINS)), 0)
    for frame in sorted(module):
        out[frame] = seen[frame[0]]
        seen[frame[0]] += 1
    return out


@given(detectors)
def test_rows_are_the_union_and_entries_lead_back_to_each_module(modules):
    index = aligned(modules)
    union = sorted(set().union(*modules))
    everything = slice(0, len(index))
    labels = index.labels(everything)
    found = zip(index.train_positions(everything), labels["pulse_id"], labels["cell_id"], strict=True)
    assert [tuple(map(int, f)) for f in found] == union
    assert labels["train_id"].tolist() == [TRAINS[t] for t, _, _ in union]
    assert index.counts.tolist() == [sum(f[0] == t for f in union) for t in range(len(TRAINS))]
    for number, module in enumerate(modules):
        where = entry_numbers(module)
        assert index.entries(number, everything).tolist() == [where.get(f, -1) for f in union]


@given(detectors, st.data())
def test_selecting_rows_keeps_their_labels_and_entries(modules, data):
    index = aligned(modules)
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(index), max_size=len(index))), bool)
    chosen = index.select(keep)
    old, new = (i.labels(slice(0, len(i))) for i in (index, chosen))
    assert {k: v.tolist() for k, v in new.items()} == {k: v[keep].tolist() for k, v in old.items()}
    for module in range(len(modules)):
        entries = index.entries(module, slice(0, len(index)))[keep]
        assert chosen.entries(module, slice(0, len(chosen))).tolist() == entries.tolist()


@given(detectors)
def test_missing_frames_of_a_module_are_counted_against_the_union(modules):
    union = set().union(*modules)
    losses = {x.module: x for x in aligned(modules).missing(range(len(modules)), ["m"] * len(modules))}
    for number, module in enumerate(modules):
        lacking = union - module
        assert (number in losses) == bool(lacking)
        if lacking:
            trains = sorted({t for t, _, _ in lacking})
            loss = losses[number]
            assert (loss.frames, loss.trains) == (len(lacking), len(trains))
            assert (loss.first_train, loss.last_train) == (TRAINS[trains[0]], TRAINS[trains[-1]])
            assert loss.cause == ("missing module" if not module else "missing frames")


def test_modules_that_agree_share_one_row_of_entries():
    frames = {(0, 0, 0), (0, 1, 1), (2, 0, 0)}
    assert aligned([frames, frames]).entry.shape == (1, 3)
    assert aligned([frames, frames - {(0, 1, 1)}]).entry.shape == (2, 3)


def test_detectors_without_cells_have_no_cell_labels():
    assert aligned([{(0, 0, 0), (1, 2, 0)}], with_cells=False).cell_ids is None


def test_a_source_without_pulses_has_its_entries_as_they_come():
    index = plain(TRAINS, np.array([2, 0, 1, 3]))
    assert index.entries(0, slice(0, 6)).tolist() == [0, 1, 0, 0, 1, 2]
    assert index.train_positions(slice(1, 4)).tolist() == [0, 2, 3]
    assert index.rows(1, 3) == slice(2, 3)
    assert index.labels(slice(0, 6))["entry_id"].tolist() == [0, 1, 0, 0, 1, 2]
    assert list(plain(TRAINS, np.array([1, 0, 1, 1])).labels(slice(0, 3))) == ["train_id"]


def test_entries_whose_ids_cannot_be_told_apart_are_no_rows_and_doubtful():
    counts = np.array([[4, 2, 0, 0]])
    pulses = np.array([5, 5, -1, 2**24, 3, 9])
    cells = np.array([0, 0, 1, 2, 2**16, 7])
    index = align(TRAINS, counts, [pulses], [cells])
    assert index.labels(slice(0, 1)) == {"train_id": TRAINS[1:2], "pulse_id": [9], "cell_id": [7]}
    assert index.entries(0, slice(0, len(index))).tolist() == [1]
    found = {why: np.flatnonzero(which).tolist() for why, which in doubts(counts[0], pulses, cells).items()}
    assert list(found.values()) == [[2], [3, 4], [0, 1]]


@given(detectors)
def test_no_entry_is_doubtful_where_all_ids_differ(modules):
    for module in map(sorted, modules):
        counts = np.bincount([f[0] for f in module], minlength=len(TRAINS))
        pulses, cells = (np.array([f[i] for f in module], int) for i in (1, 2))
        assert not any(which.any() for which in doubts(counts, pulses, cells).values())


@given(detectors)
def test_what_not_all_modules_have_is_counted_where_it_is(modules):
    index = aligned(modules)
    keep = (index.entry >= 0).all(axis=0) if len(index.entry) > 1 else np.ones(len(index), bool)
    losses = index.left_out(keep, range(len(modules)), [f"s{n}" for n in range(len(modules))])
    common = set.intersection(*modules)
    expected = {n: len(m - common) for n, m in enumerate(modules) if m - common}
    assert {loss.module: loss.frames for loss in losses} == expected
