"""Metadata and single chunks are those that zarr itself writes, and reads."""

import json
import warnings

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec, Crc32cCodec

from dxflow.stores.shards import metadata
from dxflow.stores.shards.shard import blosc_options

DTYPES = ("f4", "f8", "f2", "c8", "c16", "i1", "u1", "i4", "u4", "i8", "u8", "b1", "<U3")


@pytest.fixture(autouse=True)
def _quiet():
    with warnings.catch_warnings():
        # Texts and consolidated metadata are not in the specification yet.
        warnings.simplefilter("ignore")
        yield


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    ("shape", "chunk", "shard"),
    [((), (), ()), ((5,), (5,), ()), ((5, 3), (2, 3), (4, 3)), ((0, 3), (1, 3), ())],
)
def test_an_array_is_described_as_zarr_does_it(tmp_path, dtype, shape, chunk, shard):
    dtype, dims = np.dtype(dtype), tuple("xyz"[: len(shape)])
    fill = np.nan if dtype.kind in "fc" else "" if dtype.kind == "U" else 0
    group = zarr.create_group(tmp_path, zarr_format=3)
    group.create_array(
        "a",
        shape=shape,
        dtype=dtype,
        chunks=chunk,
        shards=shard or None,
        compressors=[BloscCodec(**blosc_options(dtype)), Crc32cCodec()],
        dimension_names=dims,
        attributes={"units": "adu"},
        fill_value=fill,
        chunk_key_encoding={"name": "default", "separator": "."},
    )
    own = metadata.array(shape, dtype, chunk, shard=shard, fill=fill, dims=dims, attributes={"units": "adu"})
    assert json.loads((tmp_path / "a" / "zarr.json").read_text()) == json.loads(json.dumps(own))


@pytest.mark.parametrize("dtype", [*DTYPES, ">i4", ">f8"])
@pytest.mark.parametrize("shape", [(), (3,), (2, 3), (0, 3)])
def test_zarr_reads_the_one_chunk_of_an_array(tmp_path, dtype, shape):
    values = (np.arange(1, 1 + np.prod(shape, dtype=int)) * 3).reshape(shape).astype(dtype)
    made = metadata.array(shape, values.dtype, [max(1, n) for n in shape])
    metadata.write_group(tmp_path, {}, {"a": made})
    metadata.write_chunk(tmp_path, "a", values)
    found = zarr.open_group(tmp_path, mode="r")["a"]
    assert found.dtype == values.dtype.newbyteorder("=")
    np.testing.assert_array_equal(found[...], values)


def test_a_group_has_the_metadata_of_its_arrays_as_zarr_would_put_them_together(tmp_path):
    arrays = {n: metadata.array((2,), np.dtype("i4"), (2,), dims=("x",)) for n in ("b", "a")}
    metadata.write_group(tmp_path, {"title": "t"}, arrays)
    own = json.loads((tmp_path / "zarr.json").read_text())
    zarr.consolidate_metadata(tmp_path)
    assert own == json.loads((tmp_path / "zarr.json").read_text())
