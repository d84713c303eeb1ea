"""Random damage to a run: seeded changes of bytes, datasets and names in one of its files."""

import os
import random
import re
import shutil
from pathlib import Path

import h5py
import numpy as np

CONFIGS = {
    "agipd": {"detector": "AGIPD500K"},
    "agipd-deflated": {"detector": "AGIPD500K", "compress_data": True},
    "agipd-contiguous": {"detector": "AGIPD500K", "layout": "contiguous"},
    "agipd-0.5": {"detector": "AGIPD500K", "version": "0.5"},
    "agipd-1.0-deflated": {"detector": "AGIPD500K", "version": "1.0", "compress_data": True},
    "agipd-1.1": {"detector": "AGIPD500K", "version": "1.1"},
    "agipd-1.2-deflated": {"detector": "AGIPD500K", "version": "1.2", "compress_data": True},
    "agipd-raw": {"detector": "AGIPD500K", "data": "raw"},
    "agipd-raw-deflated": {"detector": "AGIPD500K", "data": "raw", "compress_data": True},
    "agipd1m-deflated": {"detector": "AGIPD1M", "compress_data": True},
    "lpd": {"detector": "LPD1M"},
    "lpd-raw-deflated": {"detector": "LPD1M", "data": "raw", "compress_data": True},
    "dssc-deflated": {"detector": "DSSC1M", "compress_data": True},
    "dssc-raw": {"detector": "DSSC1M", "data": "raw"},
    "jungfrau-deflated": {"detector": "JUNGFRAU", "compress_data": True},
    "jungfrau-raw": {"detector": "JUNGFRAU", "data": "raw"},
    "jungfrau1-contiguous": {"detector": "JUNGFRAU1", "layout": "contiguous"},
}
PIXELS = ("image/data", "data/adc")
DETECTORS = ("AGIPD", "LPD", "DSSC", "JNGFR")


def make_bases(folder, names=tuple(CONFIGS)):
    """Simulate the runs that are damaged."""
    from dxflow.simulate import make_run

    for name in names:
        make_run(Path(folder) / name, trains=4, pulses=2, module_shape=(16, 16), **CONFIGS[name])


def chosen(seed, names=tuple(CONFIGS)):
    """Return the random generator of a seed, and the run that it damages."""
    generator = random.Random(seed)
    return generator, generator.choice(sorted(names))


def mutate(run, rng):
    """Damage one file of a run; return what was done as plain values."""
    files = sorted(Path(run).glob("*.h5"))
    modules = [f for f in files if any(d in f.name for d in DETECTORS)]
    path = rng.choice(modules if rng.random() < 0.92 else files)
    kind = rng.choice(KINDS)
    # The other runs' files are links to the same bytes.
    shutil.copy(path, f"{path}.own")
    os.replace(f"{path}.own", path)
    return {"file": path.name, "kind": kind.__name__, **kind(path, rng, modules)}


# Bytes -----------------------------------------------------------------------------------------------


def regions(path):
    """Return [(offset, size, what)] of stored data."""
    found = []

    def visit(name, item):
        if not isinstance(item, h5py.Dataset):
            return
        if item.chunks:
            for number in range(item.id.get_num_chunks()):
                chunk = item.id.get_chunk_info(number)
                found.append((chunk.byte_offset, chunk.size, name, bool(item.compression)))
        elif item.id.get_offset() is not None:
            found.append((item.id.get_offset(), item.id.get_storage_size(), name, False))

    with h5py.File(path) as file:
        file.visititems(visit)
    return sorted(found)


def region(found, start, stop):
    """Return what the bytes of a stretch are: pixels without a checksum, compressed, ids, or HDF5's own."""
    kinds = set()
    for offset, size, name, compressed in found:
        if offset < stop and start < offset + size:
            last = name.rsplit("/", 1)[-1]
            pixels = name.endswith(PIXELS)
            kinds.add(f"compressed {last}" if compressed else "pixels" if pixels else f"ids {last}")
    return "+".join(sorted(kinds)) or "structure"


def _with_bytes(path, change):
    """Change the bytes of a file by a function that returns (new bytes, start, stop)."""
    found = regions(path)
    data, start, stop = change(bytearray(path.read_bytes()), found)
    path.write_bytes(data)
    return {"region": region(found, start, stop), "at": [start, stop]}


def flip(path, rng, _):
    """A bit anywhere."""

    def change(data, _):
        at = rng.randrange(len(data))
        data[at] ^= 1 << rng.randrange(8)
        return data, at, at + 1

    return _with_bytes(path, change)


def flip_structure(path, rng, _):
    """A bit of HDF5's own structures."""

    def change(data, found):
        for _ in range(1000):
            at = rng.randrange(len(data))
            if region(found, at, at + 1) == "structure" and any(data[max(0, at - 8) : at + 8]):
                break
        data[at] ^= 1 << rng.randrange(8)
        return data, at, at + 1

    return _with_bytes(path, change)


def scribble(path, rng, _):
    """Some random bytes."""

    def change(data, _):
        at, n = rng.randrange(len(data)), rng.choice([1, 4, 16, 64])
        data[at : at + n] = rng.randbytes(min(n, len(data) - at))
        return data, at, at + n

    return _with_bytes(path, change)


def truncate(path, rng, _):
    """The end is missing."""
    size = path.stat().st_size
    lost = rng.choice([1, rng.randrange(size), size // 10, rng.randrange(1, min(size, 5000))])
    os.truncate(path, size - lost)
    return {"region": "end", "lost": lost}


def zero(path, rng, _):
    """A sector or a page of zeros."""

    def change(data, _):
        n = rng.choice([512, 4096])
        at = rng.randrange(max(1, len(data) // n)) * n
        stop = min(at + n, len(data))
        data[at:stop] = bytes(stop - at)
        return data, at, stop

    return _with_bytes(path, change)


def repeat_page(path, rng, _):
    """A page of the file in the place of another."""

    def change(data, _):
        pages = max(1, len(data) // 4096)
        source, to = rng.randrange(pages) * 4096, rng.randrange(pages) * 4096
        page = data[source : source + 4096]
        data[to : to + len(page)] = page
        return data, to, to + 4096

    return _with_bytes(path, change)


def append(path, rng, _):
    """Bytes behind the end."""
    with path.open("ab") as file:
        file.write(rng.randbytes(1000))
    return {"region": "end"}


# Names and datasets ----------------------------------------------------------------------------------


def exchange_files(path, rng, modules):
    """Two files with each other's names."""
    other = rng.choice([f for f in modules if f != path])
    os.rename(path, f"{path}.own")
    os.rename(other, path)
    os.rename(f"{path}.own", other)
    return {"region": "names", "with": other.name}


def _dataset(file, rng, suits=lambda _: True):
    """Return the name of a dataset by chance."""
    names = []
    file.visititems(lambda n, o: names.append(n) if isinstance(o, h5py.Dataset) else None)
    names = [n for n in names if not n.startswith("RUN") and "legacy" not in n]
    return rng.choice([n for n in names if suits(file[n])] or names)


def exchange_datasets(path, rng, _):
    with h5py.File(path, "r+") as file:
        one = _dataset(file, rng)
        other = _dataset(file, rng, lambda d: d.name != f"/{one}")
        file.move(one, "between")
        file.move(other, one)
        file.move("between", other)
    return {"region": "datasets", "dataset": one, "with": other}


def remove(path, rng, _):
    with h5py.File(path, "r+") as file:
        name = _dataset(file, rng)
        del file[name]
    return {"region": "datasets", "dataset": name}


def value(path, rng, _):
    """One number of a dataset of ids, indexes or the like."""
    with h5py.File(path, "r+") as file:
        name = _dataset(file, rng, lambda d: d.dtype.kind in "iuf" and d.size and d.ndim <= 2)
        values = np.array(file[name][()])
        if values.dtype.kind not in "iuf" or not values.size:
            return {"region": "datasets", "dataset": name, "to": "as it was"}
        flat = values.reshape(-1)
        at = rng.randrange(flat.size)
        own = int(flat[rng.randrange(flat.size)]) if values.dtype.kind in "iu" else 1
        new = rng.choice([0, 1, 3, 255, 2**31 - 1, 2**16, own, 10002, 2**63])
        try:
            flat[at] = new
        except OverflowError:
            flat[at] = np.iinfo(values.dtype).max
        file[name][...] = values
    return {"region": "datasets", "dataset": name, "at": at, "to": str(flat[at])}


def dtype(path, rng, _):
    with h5py.File(path, "r+") as file:
        name, new = _dataset(file, rng), rng.choice(["f8", "i4", "u2", "S8", "f2", ">f4", "i8"])
        values = file[name][()]
        try:
            with np.errstate(all="ignore"):
                values = values.astype(new)
        except (ValueError, TypeError):
            values, new = np.zeros(values.shape, "S8"), "S8"
        del file[name]
        file[name] = values
    return {"region": "datasets", "dataset": name, "to": new}


def shape(path, rng, _):
    with h5py.File(path, "r+") as file:
        name = _dataset(file, rng, lambda d: d.ndim > 0)
        values = file[name][()]
        if np.ndim(values):
            flat = values.reshape(-1)
            values = rng.choice(
                [values[..., None], values[:1], values[:-1], flat[:1], np.concatenate([values] * 2), flat]
            )
        del file[name]
        file[name] = values
    return {"region": "datasets", "dataset": name, "to": list(np.shape(values))}


def group(path, rng, _):
    """A group in the place of a dataset."""
    with h5py.File(path, "r+") as file:
        name = _dataset(file, rng)
        del file[name]
        file.create_group(name)
    return {"region": "datasets", "dataset": name}


KINDS = (
    *[flip] * 5,
    *[flip_structure] * 6,
    *[scribble, zero, exchange_datasets] * 2,
    *[value] * 3,
    *[truncate, repeat_page, exchange_files, remove, dtype, shape, group, append],
)

# Verdicts --------------------------------------------------------------------------------------------


def judged(done, info):
    """Return the verdict on a damaged run, and whether it is right."""
    if done.right:
        if done.verdict != "refused" or done.names(
            *(re.escape(info[k]) for k in ("file", "with") if k in info)
        ):
            return done.verdict, True
        return "refused, FILE NOT NAMED", False
    if done.verdict.startswith("WRONG") and undetectable(done, info):
        return "wrong, and nothing could tell", True
    return done.verdict, False


def undetectable(done, info):
    """Return whether the damage left a run that nothing tells from a sound one.

    Pixels without a checksum; ids of a frame that became other plausible ids, where frames are reported missing; a
    mask or gain that is not looked at; pixels exchanged with something of the same shape and type.
    """
    if "pixels" in info["region"]:
        return True
    ids = info.get("dataset", "").endswith(("cellId", "pulseId", "memoryCell")) or "Id" in info["region"]
    return ids and bool(done.found.get("losses"))
