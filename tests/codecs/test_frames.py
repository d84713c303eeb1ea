"""Frames are within the bound when HDF5 reads them, or as they were."""

import tempfile

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dxflow.codecs.bounds import Bound
from dxflow.codecs.frames import Encoder, Encoding, add_filters, compared, on_grid
from dxflow.codecs.table import CODECS

RNG = np.random.default_rng(7)
PHOTONS = (7 * RNG.poisson(0.3, (1, 64, 32)) + RNG.normal(0, 1.2, (1, 64, 32))).astype("f4")
BOUNDED = [name for name in CODECS if CODECS[name].bounded]


def read(encoding, made, shape, dtype):
    """Return what HDF5 alone reads of a stored frame."""
    with tempfile.NamedTemporaryFile() as there:
        with h5py.File(there.name, "w") as file:
            _write(file, encoding, made, shape, dtype)
        with h5py.File(there.name) as file:
            return file["x"][...]


def _write(file, encoding, made, shape, dtype):
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_chunk(shape)
    add_filters(creation, encoding.filters())
    space = h5py.h5s.create_simple(shape)
    one = h5py.h5d.create(file.id, b"x", h5py.h5t.py_create(np.dtype(dtype)), space, dcpl=creation)
    one.write_direct_chunk(tuple(0 for _ in shape), made.data, made.skipped)


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("bound", [Bound(0.5), Bound(0.3), Bound(1e-3)])
@pytest.mark.parametrize("name", CODECS)
def test_every_codec_keeps_an_absolute_bound_and_says_the_largest_change(name, bound, dtype):
    frame, encoding = PHOTONS.astype(dtype), Encoding(name, bound)
    made = Encoder(encoding, frame.shape, frame.dtype)(frame)
    got = read(encoding, made, frame.shape, dtype)
    assert not made.fallen
    assert np.abs(got.astype("f8") - frame).max() == made.error
    assert 0 < made.error <= bound.absolute
    assert bound.absolute < 0.1 or len(made.data) < frame.nbytes / 3


@pytest.mark.parametrize("name", [name for name in CODECS if name not in BOUNDED])
@pytest.mark.parametrize("values", [PHOTONS, PHOTONS.astype("u2"), PHOTONS > 0], ids=["f4", "u2", "bool"])
def test_without_a_bound_every_bit_stays(name, values):
    encoding = Encoding(name)
    made = Encoder(encoding, values.shape, values.dtype)(values)
    assert read(encoding, made, values.shape, values.dtype).tobytes() == values.tobytes()
    assert (made.error, made.fallen) == (0.0, False)


@pytest.mark.parametrize("name", CODECS)
def test_what_is_no_number_stays_so_and_counts_where_a_codec_cannot_hold_it(name):
    frame = PHOTONS.copy()
    frame[0, :2, 0], frame[0, 2, 0] = np.nan, -np.inf
    encoding = Encoding(name, Bound(0.5))
    made = Encoder(encoding, frame.shape, frame.dtype)(frame)
    got = read(encoding, made, frame.shape, "f4")
    finite = np.isfinite(frame)
    np.testing.assert_array_equal(got[~finite], frame[~finite])
    assert np.abs(got[finite] - frame[finite]).max() <= 0.5
    assert made.fallen == CODECS[name].lossy
    assert not made.fallen or got.tobytes() == frame.tobytes()


@pytest.mark.parametrize("name", CODECS)
def test_a_frame_that_breaks_the_bound_is_stored_without_loss(name, monkeypatch):
    encode = Encoder(Encoding(name, Bound(0.5)), PHOTONS.shape, PHOTONS.dtype)
    plain = encode.encode

    def broken(values):
        worse = values.copy()
        if not np.array_equal(values, PHOTONS) or CODECS[name].lossy:
            worse[0, 3, 3] += 1.5
        return plain(worse)

    monkeypatch.setattr(encode, "encode", broken)
    made = encode(PHOTONS)
    assert made.fallen
    assert read(encode.encoding, made, PHOTONS.shape, "f4").tobytes() == PHOTONS.tobytes()


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@settings(deadline=None, max_examples=30)
@given(data=st.data(), absolute=st.floats(1e-6, 1e6))
def test_a_grid_is_never_further_than_the_bound(dtype, data, absolute):
    width = 8 * np.dtype(dtype).itemsize
    frame = data.draw(hnp.arrays(dtype, 20, elements=st.floats(width=width)))
    made = on_grid(frame, Bound(absolute).grid)
    finite = np.isfinite(frame)
    np.testing.assert_array_equal(made[~finite], frame[~finite])
    assert (np.abs(made[finite].astype("f8") - frame[finite]) <= absolute).all()
    assert compared(frame, made, Bound(absolute))[1] == 0


def test_what_becomes_nothing_has_no_sign():
    assert not np.signbit(on_grid(np.array([-0.2, 0.2, -0.0], "f4"), 1.0)).any()


@pytest.mark.parametrize(
    ("values", "made", "wrong"),
    [
        ([1, np.nan, np.inf], [1.5, np.nan, np.inf], 0),
        ([1, 2], [1.6, 2], 1),
        ([1, np.nan], [1, 0], 1),
        ([1, 2], [np.nan, 2], 1),
        ([np.inf, 1], [-np.inf, np.inf], 2),
        ([100, 1], [101, 1], 0),
    ],
)
def test_a_comparison_counts_what_is_further_and_what_is_no_number_any_more(values, made, wrong):
    found = compared(np.array(values, "f4"), np.array(made, "f4"), Bound(0.5, 0.01))
    assert found[1] == wrong
