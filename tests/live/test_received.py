"""Pieces of a stream: their files are read by EXtra-data, and hold all but what is large."""

import errno
import os
from pathlib import Path

import extra_data
import h5py
import numpy as np
import pytest
from bridges import DET, MOTOR, train

from dxflow.live import received
from dxflow.live.mapping import Group, Mapper
from dxflow.live.received import Form, Held, Open, dataset

CAMERA = "SPB/CAM/1:daqOutput"


def kept(form, piece, tid, **options):
    """Add a train to a piece, as a receiver does."""
    groups = Mapper().train(train(tid, **options)[0])
    fitting = {place: g for place, group in groups.items() if (g := form.accept(place, group)[0])}
    piece.add(tid, 1000 * tid, fitting)
    form.hold(tid, fitting, kept=True)


@pytest.fixture
def made(tmp_path):
    """Trains that came out of order, some without module 1 or the motor, and one with fewer frames."""
    form = Form()
    piece = Open(3, tmp_path, form)
    pixels = {CAMERA: {"data.image.pixels": np.arange(10_000, dtype=np.uint16).reshape(100, 100)}}
    kept(form, piece, 10002, motor=2.0, **pixels)
    kept(form, piece, 10000, modules=1, **pixels)
    kept(form, piece, 10003, frames=1)
    kept(form, piece, 10001, motor=1.0, frames=2, **pixels)
    return form, piece.close(tmp_path)


def test_the_file_is_a_run_with_the_trains_in_order(made):
    _, piece = made
    run = extra_data.H5File(piece.file)
    assert run.train_ids == piece.train_ids.tolist() == [10000, 10001, 10002, 10003]
    assert run[DET.format(0), "image.pulseId"].data_counts().tolist() == [3, 2, 3, 1]
    assert run[DET.format(1), "image.pulseId"].data_counts(labelled=False).tolist() == [0, 2, 3, 1]
    for module in (0, 1):
        for tid, data in run[DET.format(module), "image.data"].trains(keep_dims=True):
            wanted = train(tid, frames=len(data))[0][DET.format(module)]["image.data"]
            assert np.array_equal(data, wanted)
        for _, got in run[DET.format(module), "image.pulseId"].trains(keep_dims=True):
            assert np.array_equal(got.reshape(-1), np.arange(len(got)) * 4)
    assert run[DET.format(1), "image.data"].drop_empty_trains().train_ids == [10001, 10002, 10003]
    # Before the first there is none, the last one holds.
    motor = run[MOTOR, "actualPosition.value"]
    assert motor.data_counts(labelled=False).tolist() == [0, 1, 1, 1]
    assert motor.ndarray().tolist() == [1.0, 2.0, 2.0]
    assert run.train_timestamps().astype(np.int64).tolist() == [1000 * t for t in run.train_ids]


def test_what_is_large_is_in_the_parcel_only(made):
    form, piece = made
    name = dataset(f"{CAMERA}/data", "data.image.pixels")
    assert set(form.large) == set(piece.at) == {name}
    with h5py.File(piece.file) as file:
        assert file[name].shape == (3, 100, 100)
        assert file[name].id.get_offset() is None
    ids, at, row = piece.at[name]
    assert ids.tolist() == [10000, 10001, 10002]
    assert row == 20_000
    content = Path(piece.parcel).read_bytes()
    assert piece.nbytes == len(content) == 3 * row
    for position in at:
        assert content[position : position + row] == np.arange(10_000, dtype=np.uint16).tobytes()


def test_control_values_hold_from_one_file_to_the_next(tmp_path):
    form, found = Form(), {}
    for number, motor in ((0, 5.0), (1, None), (2, 7.0)):
        piece = Open(number, tmp_path, form)
        kept(form, piece, 10000 + 2 * number, motor=None)
        kept(form, piece, 10001 + 2 * number, motor=motor)
        run = extra_data.H5File(piece.close(tmp_path).file)
        values = run[MOTOR, "actualPosition.value"].xarray()
        found |= dict(zip(values["trainId"].values.tolist(), values.values.tolist(), strict=True))
    assert found == {10001: 5.0, 10002: 5.0, 10003: 5.0, 10004: 5.0, 10005: 7.0}


def test_control_values_are_those_of_the_last_train_that_had_some_kept_or_not():
    held = Held()
    value = lambda x: {"x.value": np.array([x])}  # noqa: E731
    for tid, x, keep in ((10, 1, True), (12, 1, True), (13, 2, False), (14, 3, False), (15, 4, False)):
        held.add(tid, value(x), kept=keep)
    held.kept()
    held.add(17, value(5), kept=False)
    held.add(11, value(9), kept=True)
    which = held.of(np.array([9, 10, 11, 12, 15, 16, 17, 99], np.uint64))
    assert which[0] == -1
    # Train 12 said the same as 10 and is not kept apart: 9 came late, and holds until others come.
    assert held.rows("x.value", which[1:]).tolist() == [1, 9, 9, 4, 4, 5, 5]
    assert len(held._trains) == 4
    held.forget(16)
    assert held.rows("x.value", held.of(np.array([16, 17], np.uint64))).tolist() == [4, 5]


def test_groups_of_another_form_are_left_out_and_counted():
    form = Form()
    first = Group(1, {"data.x": np.zeros((1, 5)), "data.y": np.zeros(1)})
    assert form.accept("A/B:c/data", first) != (None, "")
    for values, said in (
        ({"data.x": np.zeros((1, 6)), "data.y": np.zeros(1)}, "data.x is float64 (6,), was float64 (5,)"),
        (
            {"data.x": np.zeros((1, 5), "f4"), "data.y": np.zeros(1)},
            "data.x is float32 (5,), was float64 (5,)",
        ),
        ({"data.x": np.zeros((1, 5))}, "there is no data.y"),
    ):
        assert form.accept("A/B:c/data", Group(1, values)) == (None, said)
    more, _ = form.accept("A/B:c/data", Group(1, first.values | {"data.z": np.zeros(1)}))
    assert set(more.values) == {"data.x", "data.y"}


@pytest.mark.parametrize(
    "hostile",
    [
        {"A/B": {"x.value": 1.0, "x.value.y.value": 2.0}},
        {"A/B": {"C.value": 1.0}, "A/B/C": {"value": 1.0}},
        {"A/B:c": {"data.x": 1.0, "data.x.y": 2.0, "data.trainId.z": 1.0}},
        {"A/B:c": {"first.x": 1.0}, "A/B:c/first": {"count.x": 1.0}, "A/B:c/first/first": {"x.y": 2}},
        {"A/B": {"timestamp": 1.0, "x.value": 1, "x.timestamp.value": 2}},
    ],
)
def test_names_of_which_one_is_a_group_of_another_are_not_written(tmp_path, hostile):
    form = Form()
    piece = Open(0, tmp_path, form)
    kept(form, piece, 10000, **hostile)
    run = extra_data.H5File(piece.close(tmp_path).file)
    assert run.train_ids == [10000]
    assert set(hostile) & run.all_sources
    for source in run.all_sources:
        for key in sorted(run[source].keys()):
            assert len(run[source, key].ndarray()) >= 1


def test_sources_that_are_others_in_each_train_do_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr(received, "MOST", 20)
    form = Form()
    taken = [form.accept(f"A/B/{n}", Group(1, {"x.value": np.zeros(1)}))[0] for n in range(100)]
    assert [one is not None for one in taken] == [True] * 20 + [False] * 80
    assert len(form.keys) == 20


def test_a_train_that_finds_no_room_leaves_nothing(tmp_path, monkeypatch):
    form = Form()
    piece = Open(0, tmp_path, form)
    pixels = {CAMERA: {"data.image.pixels": np.ones((100, 100), np.uint16)}}
    kept(form, piece, 10000, **pixels)
    real, calls = os.pwrite, []

    def full(descriptor, data, at):
        calls.append(at)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:100], at)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError, match="No space"):
        kept(form, piece, 10001, **pixels)
    monkeypatch.undo()
    assert Path(piece.path).stat().st_size == piece.nbytes == 20_000
    done = piece.close(tmp_path)
    assert done.train_ids.tolist() == [10000]
