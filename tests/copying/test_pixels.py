"""Steps change pixels and nothing else, whatever the layout of a dataset."""

from dataclasses import dataclass

import h5py
import numpy as np
import pytest

from dxflow.copying import pixels

RNG = np.random.default_rng(5)
VALUES = RNG.integers(0, 1000, (60, 6, 4)).astype("u2")

LAYOUTS = {
    "chunks of a frame": {"chunks": (1, 6, 4), "maxshape": (None, 6, 4)},
    "compressed chunks of a frame": {"chunks": (1, 6, 4), "compression": "gzip", "shuffle": True},
    "deflated only, several frames": {"chunks": (7, 6, 4), "compression": "gzip"},
    "chunks of parts of several frames": {"chunks": (7, 4, 4), "compression": "gzip", "shuffle": True},
    "contiguous": {},
    "lzf": {"chunks": (4, 6, 4), "compression": "lzf"},
}
ROWS = {
    "random": np.sort(RNG.choice(60, 17, replace=False)),
    "all": np.arange(60),
    "none": np.zeros(0, np.int64),
    "a stretch of whole chunks": np.arange(14, 35),
}


@dataclass
class Doubled:
    token = b"doubled"
    facts = {"doubled": 1}

    def __call__(self, block):
        assert block.shape[1:] == (6, 4)
        return block * np.uint16(2)


@pytest.mark.parametrize("rows", ROWS.values(), ids=ROWS)
@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_rows_of_any_layout_are_changed_and_compressed(tmp_path, layout, rows):
    with h5py.File(tmp_path / "in.h5", "w") as f, h5py.File(tmp_path / "out.h5", "w") as out:
        source = f.create_dataset("x", data=VALUES, **layout)
        source.attrs["unit"] = "ADU"
        into = pixels.move(source, out, "x", rows, [Doubled(), Doubled()])
        assert dict(into.attrs) == {"unit": "ADU", "doubled": 1}
    with h5py.File(tmp_path / "out.h5") as out:
        np.testing.assert_array_equal(out["x"][:], VALUES[rows] * 4)
        assert out["x"].id.get_create_plist().get_nfilters()
