"""What tests of copies share: comparing HDF5 files object by object, and runs."""

import filecmp

import h5py
import numpy as np
import pytest
from h5py import h5a, h5d
from runs import make_run


def attributes(item):
    """Return {name: (type, shape, bytes)} of the attributes of an object."""
    out = {}
    for number in range(h5a.get_num_attrs(item.id)):
        one = h5a.open(item.id, index=number)
        out[one.name] = (one.get_type(), one.shape, item.attrs.get(one.name.decode()))
    return out


def same_attributes(a, b):
    left, right = attributes(a), attributes(b)
    assert left.keys() == right.keys(), a.name
    for name, (kind, shape, value) in left.items():
        assert right[name][0].equal(kind), (a.name, name)
        assert right[name][1] == shape
        np.testing.assert_array_equal(value, right[name][2])


def same_dataset(a, b):
    """Compare type, properties, values and, of chunks, stored bytes."""
    assert (a.shape, a.maxshape, a.chunks, a.compression, a.fillvalue is None) == (
        b.shape, b.maxshape, b.chunks, b.compression, b.fillvalue is None,
    ), a.name  # fmt: skip
    assert a.id.get_type().equal(b.id.get_type()), a.name
    mine, theirs = a.id.get_create_plist(), b.id.get_create_plist()
    assert [mine.get_filter(n) for n in range(mine.get_nfilters())] == [
        theirs.get_filter(n) for n in range(theirs.get_nfilters())
    ]
    assert (mine.get_layout(), mine.get_fill_time()) == (theirs.get_layout(), theirs.get_fill_time()), a.name
    if a.dtype.hasobject and a.shape:
        assert [np.asarray(v).tolist() for v in a[:]] == [np.asarray(v).tolist() for v in b[:]]
    else:
        np.testing.assert_array_equal(a[()], b[()], err_msg=a.name)
    if mine.get_layout() == h5d.CHUNKED:
        same_chunks(a, b)
    same_attributes(a, b)


def chunks(dataset):
    """Return {offset: (filter mask, stored bytes)}."""
    found = []
    dataset.id.chunk_iter(lambda info: found.append(info.chunk_offset))
    return {offset: dataset.id.read_direct_chunk(offset) for offset in found}


def same_chunks(a, b):
    assert chunks(a) == chunks(b), a.name


def same_group(a, b, path="/"):
    """Compare all links, groups and datasets below a group."""
    assert list(a) == list(b), path
    same_attributes(a, b)
    for name in a:
        one, other = a.get(name, getlink=True), b.get(name, getlink=True)
        assert type(one) is type(other), (path, name)
        if not isinstance(one, h5py.HardLink):
            assert vars(one) == vars(other)
            continue
        mine, theirs = a[name], b[name]
        if isinstance(mine, h5py.Group):
            same_group(mine, theirs, f"{path}{name}/")
        elif isinstance(mine, h5py.Dataset):
            same_dataset(mine, theirs)


@pytest.fixture(scope="session")
def same_file():
    """Compare two files object by object, unless all of their bytes are the same."""

    def compare(one, other):
        if filecmp.cmp(one, other, shallow=False):
            return
        with h5py.File(one) as a, h5py.File(other) as b:
            same_group(a, b)

    return compare


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """Return a function that makes a simulated run, once for each set of options, and gives its truth."""
    runs = {}

    def make(**options):
        key = repr(sorted(options.items()))
        if key not in runs:
            small = {
                "trains": 8,
                "pulses": 5,
                "modules": 2,
                "module_shape": (16, 8),
                "devices": ("xgm", "motor"),
            }
            runs[key] = make_run(tmp_path_factory.mktemp("made") / "r0001", **{**small, **options})
        return runs[key]

    return make
