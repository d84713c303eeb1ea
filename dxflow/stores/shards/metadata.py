"""Metadata of Zarr arrays and groups as JSON, and arrays of one chunk: a few small files, written at once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .shard import blosc_options, encoded

FILE = "zarr.json"
BETWEEN = "."
"""Numbers in the name of a chunk: folders for them would take longer to make than small files do to write."""
LITTLE = {"name": "bytes", "configuration": {"endian": "little"}}


def array(
    shape: Sequence[int],
    dtype: np.dtype,
    chunk: Sequence[int],
    *,
    shard: Sequence[int] = (),
    fill: Any = 0,
    dims: Sequence[str] = (),
    attributes: Mapping[str, Any] | None = None,
    codec: str = "",
) -> dict[str, Any]:
    """Return the metadata of an array, as zarr writes them; without a shard each chunk is a file."""
    codecs = _codecs(dtype, codec)
    if shard:
        index = [LITTLE, {"name": "crc32c"}]
        inside = {
            "chunk_shape": list(chunk),
            "codecs": codecs,
            "index_codecs": index,
            "index_location": "end",
        }
        codecs = [{"name": "sharding_indexed", "configuration": inside}]
    made = {
        "shape": list(shape),
        "data_type": _data_type(dtype),
        "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": list(shard or chunk)}},
        "chunk_key_encoding": {"name": "default", "configuration": {"separator": BETWEEN}},
        "fill_value": _fill(dtype, fill),
        "codecs": codecs,
        "attributes": dict(attributes or {}),
        "zarr_format": 3,
        "node_type": "array",
        "storage_transformers": [],
    }
    return made | ({"dimension_names": list(dims)} if dims else {})


def _codecs(dtype: np.dtype, codec: str) -> list[dict[str, Any]]:
    """Return what is done to a chunk: compression, and a checksum of what it wrote."""
    blosc = {"typesize": dtype.itemsize, **blosc_options(dtype, codec), "blocksize": 0}
    values = LITTLE if dtype.itemsize > 1 else {"name": "bytes"}
    return [values, {"name": "blosc", "configuration": blosc}, {"name": "crc32c"}]


def _data_type(dtype: np.dtype) -> Any:
    if dtype.kind == "U":
        return {"name": "fixed_length_utf32", "configuration": {"length_bytes": dtype.itemsize}}
    return dtype.name


def _fill(dtype: np.dtype, fill: Any) -> Any:
    """Return a fill value, NaN or 0, as JSON has it."""
    if dtype.kind in "fc":
        real = "NaN" if np.isnan(fill) else 0.0
        return real if dtype.kind == "f" else [real, 0.0]
    return {"b": False, "U": ""}.get(dtype.kind, 0)


def write_group(folder: Path, attributes: Mapping[str, Any], arrays: Mapping[str, Mapping[str, Any]]) -> None:
    """Make a group with arrays that hold nothing yet, and with their metadata in its own (consolidated)."""
    inline = {"kind": "inline", "must_understand": False, "metadata": {k: arrays[k] for k in sorted(arrays)}}
    group = {
        "attributes": attributes,
        "zarr_format": 3,
        "consolidated_metadata": inline,
        "node_type": "group",
    }
    for name, made in {"": group, **arrays}.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / FILE).write_text(json.dumps(made))


def write_chunk(folder: Path, name: str, values: NDArray) -> None:
    """Write the values of an array that has one chunk."""
    if values.size:
        (folder / place(name, [0] * values.ndim)).write_bytes(encoded(values, values.dtype))


def place(name: str, numbers: Sequence[int]) -> str:
    """Return the path of a chunk, or shard, of an array."""
    return f"{name}/{BETWEEN.join(['c', *map(str, numbers)])}"
