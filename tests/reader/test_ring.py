"""The ring: all steps, in order, in buffers nobody else has, and threads that end whatever happens."""

import subprocess
import sys
import threading
import time

import h5py
import numpy as np
import pytest

import dxflow
from dxflow import Frames
from dxflow.algorithms.litframes import LitFrames
from dxflow.reader import ring, ways
from dxflow.reader.ring import NEAR, PAGE, ROOM, Ring, paged, view
from dxflow.simulate import make_run


def reader_threads():
    return [t.name for t in threading.enumerate() if t.name.startswith("dxflow-reader")]


def buffers(n):
    return [np.zeros(8, np.uint8) for _ in range(n)]


@pytest.mark.parametrize("threads", [0, 1, 2, 3])
def test_steps_come_in_order_with_their_own_data_however_long_reading_takes(threads):
    def fill(step, buffer):
        time.sleep(0.001 * (step % 3))
        buffer[:] = step
        return buffer

    with Ring(range(50), fill, buffers(threads + 1), threads) as ring:
        for number, (step, filled) in enumerate(ring):
            time.sleep(0.0005)
            assert (step, filled.tolist()) == (number, [step] * 8)
    assert number == 49
    assert reader_threads() == []


def consume(ring, seen, until=None):
    with ring:
        for step, _ in ring:
            if step == until:
                raise ZeroDivisionError
            seen.append(step)


@pytest.mark.parametrize("threads", [0, 1, 3])
def test_an_exception_while_reading_is_raised_at_its_step(threads):
    def fill(step, buffer):
        if step == 3:
            raise OSError("planted")
        return step

    seen = []
    with pytest.raises(OSError, match="planted"):
        consume(Ring(range(9), fill, buffers(5), threads), seen)
    assert seen == [0, 1, 2]
    assert reader_threads() == []


def test_an_exception_of_the_consumer_ends_the_threads():
    reads, seen = [], []
    with pytest.raises(ZeroDivisionError):
        consume(Ring(range(1000), lambda s, b: reads.append(s), buffers(3), 2), seen, until=2)
    assert seen == [0, 1]
    assert reader_threads() == []
    assert len(reads) <= 6


def test_fewer_buffers_than_would_work_are_refused():
    with pytest.raises(ValueError, match="2 reader threads need 3 buffers, got 2"):
        Ring(range(3), lambda s, b: None, buffers(2), 2)


def test_no_steps_are_no_steps():
    with Ring([], lambda s, b: None, buffers(2), 1) as ring:
        assert list(ring) == []


def test_a_process_that_ends_in_the_middle_of_reading_ends():
    code = """
import time, numpy as np
from dxflow.reader.ring import Ring
with Ring(range(10), lambda s, b: time.sleep(0.2), [np.zeros(1, "u1")] * 3, 2) as ring:
    raise SystemExit(3)
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=20, check=False)
    assert done.returncode == 3


def test_views_of_a_buffer_are_aligned_and_do_not_overlap():
    buffer, offset, views = np.zeros(1024, np.uint8), 0, []
    for shape, dtype in (((3, 5), "f4"), ((7,), "u1"), ((2, 2, 2), "f8"), ((0, 4), "u2")):
        at = offset
        one, offset = view(buffer, shape, np.dtype(dtype), offset)
        assert (one.shape, one.dtype, at % 64) == (shape, dtype, 0)
        assert not any(np.shares_memory(one, other) for other in views)
        assert np.shares_memory(one, buffer) or not one.size
        views.append(one)


@pytest.mark.parametrize("n", [1, 100, 2**20 + 3])
def test_buffers_begin_at_a_page(n):
    buffer = paged(n)
    assert buffer.nbytes == n
    assert buffer.ctypes.data % PAGE == 0
    buffer[:] = 1


@pytest.mark.parametrize("begins", [0, 8, 40, 48, 56, 64, 4079, 4080, 4088, 4095, 123456])
def test_arrays_lie_where_copying_from_their_place_in_a_file_is_fast_and_have_room(begins):
    sizes, offset = ((8, 8), (3, 5), (7, 7)), 0
    buffer = paged(sum(4 * a * b + a * b + ROOM for a, b in sizes))
    for shape in sizes:
        one, offset = view(buffer, shape, np.dtype("f4"), offset, begins)
        assert not 0 < (one.ctypes.data - begins) % PAGE <= NEAR
        assert one.ctypes.data % 64 == 0
        valid, offset = view(buffer, shape, np.dtype(bool), offset)
        one[...], valid[...] = 1, 0
        assert one.all()


def test_frames_and_masks_anywhere_in_a_file_are_read_to_where_that_is_fast(tmp_path, monkeypatch):
    """Each frame of this size begins 8 bytes before where in its page the one before it began."""
    options = {"trains": 2, "pulses": 3, "modules": 1, "sequences": 1, "module_shape": (46, 89)}
    truth = make_run(tmp_path / "r", detector="AGIPD500K", compress_masks=False, **options)
    path = next((tmp_path / "r").glob("CORR-*AGIPD00*"))
    with h5py.File(path, "r+", alignment_threshold=4096, alignment_interval=PAGE) as file:
        for key in ("mask", "data"):
            name = f"/INSTRUMENT/{truth.sources[0]}/image/{key}"
            values = file[name][:]
            del file[name]
            assert file.create_dataset(name, data=values).id.get_offset() % PAGE == 0
    places, real = [], ways.fill

    def fill(out, descriptor, at):
        if out.nbytes > 2**12:
            places.append((at % PAGE, (out.ctypes.data - at) % PAGE))
        real(out, descriptor, at)

    monkeypatch.setattr(ways, "fill", fill)
    dxflow.reduce(truth.path, LitFrames(img=Frames(modules=(0,))), cluster="here", quiet=True, block="20 kB")
    assert {at for at, _ in places} >= {4080, 4088}
    assert not [at for at, away in places if 0 < away <= NEAR]


def test_buffers_are_left_to_the_next_pass_if_they_fit_and_are_not_large(monkeypatch):
    ring.taken(0, 0)
    first = ring.taken(3, 5000)
    ring.left(first)
    again = ring.taken(4, 4000)
    mine = {one.ctypes.data for one in first}
    assert len({one.ctypes.data for one in again} - mine) == 1
    assert all(len(one) >= 4000 and one.ctypes.data % PAGE == 0 for one in again)
    # Nobody else has them meanwhile, and what does not fit is not kept beside others.
    assert not {one.ctypes.data for one in ring.taken(2, 5000)} & {one.ctypes.data for one in again}
    ring.left(again)
    assert all(len(one) == 100_000 for one in ring.taken(1, 100_000))
    assert ring._spare() == []
    monkeypatch.setattr(ring, "MOST_SPARE", 10_000)
    ring.left(ring.taken(3, 4000))
    assert len(ring._spare()) == 2
    ring.taken(0, 0)


def test_passes_that_follow_each_other_read_into_the_same_memory(run, monkeypatch):
    ring.taken(0, 0)
    made = []
    monkeypatch.setattr(ring, "paged", lambda nbytes: made.append(nbytes) or paged(nbytes))
    counts = []
    for _ in range(2):
        dxflow.reduce(run.path, LitFrames(), cluster="here")
        counts.append(len(made))
    assert counts[0] > 0
    assert counts[1] == counts[0]
