"""Faults of data, rows D1 to D54 of the catalogue: each is put into a fresh copy of a simulated run."""

import glob
import json
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np

from campaign.catalogue import IMAGE, INDEX, LOST, MODULE_FILE, OK, REFUSED, SOURCE, STOPPED, case

SIMULATED = {"detector": "AGIPD500K", "trains": 8, "pulses": 4, "module_shape": (16, 16)}


def make_bases(folder):
    """Simulate the runs that cases spoil copies of."""
    from dxflow.simulate import Plant, make_run

    runs = {
        "plain": {},
        "deflated": {"compress_data": True},
        "version 0.5": {"version": "0.5"},
        "other run": {"run": 2, "first_train": 20001, "seed": 5},
        "raw": {"data": "raw"},
        "varying": {"plant": Plant(pulse_counts=[4, 3, 0, 1, 4, 2, 4, 1])},
        "gap": {"plant": Plant(missing_trains=[2, 3])},
        "sequence gap": {"plant": Plant(sequence_gap=5)},
        "lost trains": {"plant": Plant(lost_trains={2: [1]}, silent_trains={3: [5]})},
    }
    for name, options in runs.items():
        make_run(Path(folder) / name, **SIMULATED, **options)


# Means to spoil a run -------------------------------------------------------------------------------


def opened(run, name=MODULE_FILE):
    return h5py.File(Path(run) / name, "r+")


def put(group, name, value, **options):
    """Replace a dataset."""
    if name in group:
        del group[name]
    return group.create_dataset(name, data=value, **options)


def change(run, path, function, name=MODULE_FILE):
    """Replace a dataset by a function of its values."""
    with opened(run, name) as file:
        values = function(file[path][()])
        del file[path]
        file[path] = values


def assign(run, path, where, value):
    """Assign to a part of a dataset."""
    with opened(run) as file:
        values = file[path][()]
        values[where] = value
        file[path][...] = values


def exchange(run, *paths):
    """Exchange rows 1 and 2 of datasets."""
    with opened(run) as file:
        for path in paths:
            values = file[path][()]
            values[[1, 2]] = values[[2, 1]]
            file[path][...] = values


def stored(run, number, key="data"):
    """Return offset and size of a stored chunk."""
    with h5py.File(Path(run) / MODULE_FILE) as file:
        chunk = file[f"{IMAGE}/{key}"].id.get_chunk_info(number)
        return chunk.byte_offset, chunk.size


def overwrite(run, offset, data):
    with open(Path(run) / MODULE_FILE, "r+b") as file:
        file.seek(offset)
        file.write(data)


def flip(run, offset, bit):
    with open(Path(run) / MODULE_FILE, "r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ bit]))


def cut(run, share):
    path = Path(run) / MODULE_FILE
    os.truncate(path, share(path.stat().st_size))


def modules_files(run, pattern="*AGIPD*"):
    return sorted(glob.glob(f"{run}/{pattern}.h5"))


# D1-D6: bytes ----------------------------------------------------------------------------------------


@case("D1", "truncated by 1 byte")
def _(run):
    cut(run, lambda size: size - 1)


@case("D1", "truncated by 10 %")
def _(run):
    cut(run, lambda size: int(size * 0.9))


@case("D1", "truncated by 90 %")
def _(run):
    cut(run, lambda size: int(size * 0.1))


@case("D2", "zero length")
def _(run):
    cut(run, lambda _: 0)


@case("D2", "not HDF5")
def _(run):
    (Path(run) / MODULE_FILE).write_text("hello " * 1000)


@case("D2", "superblock zeroed")
def _(run):
    overwrite(run, 0, b"\0" * 96)


@case("D3", "64 bytes of a deflated chunk", base="deflated", default=(LOST,))
def _(run):
    offset, size = stored(run, 5)
    overwrite(run, offset + size // 2, bytes(range(64)))


@case("D3", "1 bit of the checksum of a deflated chunk", base="deflated", default=(LOST,))
def _(run):
    offset, size = stored(run, 5)
    flip(run, offset + size - 1, 1)


@case("D4", "chunk decodes to fewer bytes", base="deflated", default=(LOST,))
def _(run):
    with opened(run) as file:
        file[f"{IMAGE}/data"].id.write_direct_chunk((5, 0, 0), zlib.compress(b"\1" * 500))


@case("D4", "chunk decodes to more bytes", base="deflated", default=(LOST,))
def _(run):
    with opened(run) as file:
        file[f"{IMAGE}/data"].id.write_direct_chunk((5, 0, 0), zlib.compress(b"\1" * 5000))


@case("D6", "filter that nobody has", default=(REFUSED, LOST), words=(MODULE_FILE, "32100"))
def _(run):
    with opened(run) as file:
        group = file[IMAGE]
        data = group["data"][()]
        del group["data"]
        creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        creation.set_chunk((1, 16, 16))
        creation.set_filter(32100, h5py.h5z.FLAG_OPTIONAL, (1, 2))
        space = h5py.h5s.create_simple(data.shape)
        dataset = h5py.h5d.create(group.id, b"data", h5py.h5t.NATIVE_FLOAT, space, creation)
        for row, frame in enumerate(data):
            dataset.write_direct_chunk((row, 0, 0), frame.tobytes()[:700])


@case("D6", "bitshuffle, with its plugin installed", default=(OK,), mask=(OK,))
def _(run):
    import hdf5plugin

    with opened(run) as file:
        put(file[IMAGE], "data", file[f"{IMAGE}/data"][()], chunks=(1, 16, 16), **hdf5plugin.Bitshuffle())


# D7-D11: the index -----------------------------------------------------------------------------------


@case("D7", "first is beyond the data")
def _(run):
    assign(run, f"{INDEX}/first", 1, 1000)


@case("D7", "first is 2**64 - 1")
def _(run):
    assign(run, f"{INDEX}/first", 1, 2**64 - 1)


@case("D7", "count is 2**64 - 1")
def _(run):
    assign(run, f"{INDEX}/count", 1, 2**64 - 1)


@case("D7", "count is 2**33")
def _(run):
    assign(run, f"{INDEX}/count", 1, 2**33)


@case("D8", "count is past the end")
def _(run):
    assign(run, f"{INDEX}/count", 3, 40)


@case("D9", "trains overlap")
def _(run):
    assign(run, f"{INDEX}/first", 2, 4)


@case("D9", "rows of no train")
def _(run):
    assign(run, f"{INDEX}/count", 1, 2)


@case("D9", "trains overlap by a row, and rows do not say their train")
def _(run):
    with opened(run) as file:
        del file[f"{IMAGE}/trainId"]
        file[f"{INDEX}/first"][2] = 7


@case("D10", "index shorter than the list of trains")
def _(run):
    with opened(run) as file:
        for name in ("first", "count"):
            put(file[INDEX], name, file[f"{INDEX}/{name}"][:2])


@case("D10", "list of trains shorter than the index")
def _(run):
    with opened(run) as file:
        put(file["INDEX"], "trainId", file["INDEX/trainId"][:2])


@case("D11", "no index of the source")
def _(run):
    with opened(run) as file:
        del file[f"INDEX/{SOURCE}"]


# D12-D21: trains and pulses --------------------------------------------------------------------------


@case("D12", "a 0 among the train ids")
def _(run):
    assign(run, "INDEX/trainId", 1, 0)


@case("D12", "train ids are all 0")
def _(run):
    assign(run, "INDEX/trainId", slice(None), 0)


@case("D13", "train id 2**64 - 1")
def _(run):
    assign(run, "INDEX/trainId", 1, 2**64 - 1)


@case("D13", "train id much too high, also in the rows")
def _(run):
    assign(run, "INDEX/trainId", 1, 2**40)
    assign(run, f"{IMAGE}/trainId", slice(4, 8), 2**40)


@case("D13", "train id much too low, also in the rows")
def _(run):
    assign(run, "INDEX/trainId", 1, 5)
    assign(run, f"{IMAGE}/trainId", slice(4, 8), 5)


@case("D14", "a train id twice")
def _(run):
    with opened(run) as file:
        file["INDEX/trainId"][2] = file["INDEX/trainId"][1]


@case("D14", "a train id twice, also in the rows")
def _(run):
    with opened(run) as file:
        train = file["INDEX/trainId"][1]
        file["INDEX/trainId"][2] = train
        file[f"{IMAGE}/trainId"][8:12] = train


@case("D15", "trains out of order", default=(OK,), mask=(OK,))
def _(run):
    exchange(run, "INDEX/trainId", f"{INDEX}/first", f"{INDEX}/count")


@case("D15", "train ids exchanged, index not")
def _(run):
    exchange(run, "INDEX/trainId")


@case("D16", "trains flagged as doubtful", default=(OK,), mask=(OK,), says=("flag",))
def _(run):
    assign(run, "INDEX/flag", 1, 0)


@case("D17", "rows of another train than the index says")
def _(run):
    assign(run, f"{IMAGE}/trainId", slice(4, 8), 77)


@case("D17", "one row of another train than the index says")
def _(run):
    assign(run, f"{IMAGE}/trainId", 5, 10099)


@case("D18", "pulse ids of a module differ", default=(LOST, REFUSED), mask=(LOST,), words=())
def _(run):
    change(run, f"{IMAGE}/pulseId", lambda ids: np.where(np.arange(len(ids)) // 4 == 1, ids + 100, ids))


@case("D18", "a pulse id twice in a train")
def _(run):
    for key in ("pulseId", "cellId"):
        with opened(run) as file:
            file[f"{IMAGE}/{key}"][5] = file[f"{IMAGE}/{key}"][4]


@case("D18", "pulse id 2**40")
def _(run):
    def wide(ids):
        ids = ids.astype("u8")
        ids[5] = 2**40
        return ids

    change(run, f"{IMAGE}/pulseId", wide)


@case("D18", "no pulse ids in a sequence")
def _(run):
    with opened(run) as file:
        del file[f"{IMAGE}/pulseId"]


@case("D18", "fewer pulse ids than frames")
def _(run):
    change(run, f"{IMAGE}/pulseId", lambda ids: ids[:10])


@case("D18", "pulse ids are floats, one is NaN")
def _(run):
    def spoilt(ids):
        ids = ids.astype("f8")
        ids[5] = np.nan
        return ids

    change(run, f"{IMAGE}/pulseId", spoilt)


@case("D19", "a frame fewer in one module", default=(LOST,), mask=(LOST,), words=("module 2", "AGIPD02"))
def _(run):
    keep = [row for row in range(16) if row != 7]
    with opened(run) as file:
        for name, item in list(file[IMAGE].items()):
            if isinstance(item, h5py.Dataset) and item.shape[:1] == (16,):
                put(file[IMAGE], name, item[()][keep])
        file[f"{INDEX}/first"][:] = [0, 4, 7, 11]
        file[f"{INDEX}/count"][:] = [4, 3, 4, 4]


@case("D20", "pulses vary from train to train", base="varying", default=(OK,), mask=(OK,))
def _(run):
    pass


@case("D21", "a train without frames in one module", default=(LOST,), words=("module 2", "AGIPD02"))
def _(run):
    assign(run, f"{INDEX}/count", 1, 0)


@case("D21", "a train without frames in all modules", default=(LOST,), words=("10002",))
def _(run):
    for path in modules_files(run, "CORR-*-AGIPD*-S00000"):
        _zero_counts(path)


@case(
    "D21",
    "a train without frames in one module, integers",
    base="raw",
    raw=True,
    default=(LOST,),
    words=("AGIPD02",),
)
def _(run):
    _zero_counts(modules_files(run, "RAW-*-AGIPD02-S00000")[0])


def _zero_counts(path):
    with h5py.File(path, "r+") as file:
        found = []
        file["INDEX"].visititems(lambda name, _: found.append(name) if name.endswith("image/count") else None)
        for name in found:
            file["INDEX"][name][1] = 0


# D22-D29: files and what they say of themselves ------------------------------------------------------


@case("D22", "a module lacks a sequence", default=(LOST, REFUSED), words=("AGIPD02|module 2|/2CH0",))
def _(run):
    (Path(run) / MODULE_FILE).unlink()


@case(
    "D22",
    "a module lacks trains",
    base="lost trains",
    # Nothing of the files is missing; which trains the module lacks is said.
    default=(OK, LOST, REFUSED),
    mask=(OK, LOST),
    words=(),
    says=("1000",),
)
def _(run):
    pass


@case("D23", "a module is missing", default=(REFUSED,), words=("module.* 2|2CH0",))
def _(run):
    _without_module(run)


@case(
    "D23",
    "a module is missing, modules given",
    options=("--modules", "0,1,3-7"),
    default=(OK, LOST),
    mask=None,
    words=(),
    own_truth=True,
)
def _(run):
    _without_module(run)


def _without_module(run):
    for path in modules_files(run, "*AGIPD02*"):
        os.unlink(path)


@case("D24", "no module has sequence 0", default=(LOST,), words=("1000[1-4]",))
def _(run):
    for path in modules_files(run, "*AGIPD*-S00000"):
        os.unlink(path)


@case("D24", "nothing has sequence 0", default=(LOST,), words=("[Ss]equence|S00000",))
def _(run):
    for path in modules_files(run, "*-S00000"):
        os.unlink(path)


@case("D24", "trains in no file", base="gap", default=(OK, LOST), mask=(OK, LOST), says=("10003",), words=())
def _(run):
    pass


@case(
    "D24",
    "trains between sequences in no file",
    base="sequence gap",
    default=(OK, LOST),
    mask=(OK, LOST),
    says=("1000[4-9]",),
    words=(),
)
def _(run):
    pass


@case("D25", "a sequence without trains", default=(LOST,), words=("AGIPD02|2CH0",))
def _(run):
    with opened(run) as file:
        put(file["INDEX"], "trainId", np.zeros(0, "u8"))
        for name in ("timestamp", "flag", "origin"):
            put(file["INDEX"], name, file[f"INDEX/{name}"][:0])
        for name in ("first", "count"):
            put(file[INDEX], name, np.zeros(0, "u8"))


@case("D26", "no METADATA")
def _(run):
    with opened(run) as file:
        del file["METADATA"]


@case("D26", "no INDEX")
def _(run):
    with opened(run) as file:
        del file["INDEX"]


@case("D26", "no INSTRUMENT")
def _(run):
    with opened(run) as file:
        del file["INSTRUMENT"]


@case("D27", "format 0.5 beside 1.x", default=(OK,), mask=(OK,))
def _(run):
    shutil.copy(Path(run).parent / "version 0.5" / MODULE_FILE, run)


@case("D28", "unknown format version", default=(OK,), mask=(OK,), says=("9\\.9",))
def _(run):
    with opened(run) as file:
        put(file["METADATA"], "dataFormatVersion", [b"9.9"])


@case("D29", "unknown category of a source")
def _(run):
    with opened(run) as file:
        sources = file["METADATA/dataSources/dataSourceId"]
        sources[0] = b"FOO/" + sources[0]
        file["METADATA/dataSources/root"][0] = b"FOO"


@case("D29", "name of a source is not UTF-8")
def _(run):
    with opened(run) as file:
        sources = file["METADATA/dataSources/dataSourceId"]
        sources[0] = b"INSTRUMENT/\xff\xfe" + sources[0]


# D30-D36: data and files that do not belong ----------------------------------------------------------


@case("D30", "dtype differs in a sequence")
def _(run):
    change(run, f"{IMAGE}/data", lambda data: data.astype("f8"))


@case("D31", "shape of frames differs")
def _(run):
    change(run, f"{IMAGE}/data", lambda data: data[:, :8])


@case("D32", "no data in a sequence")
def _(run):
    with opened(run) as file:
        del file[f"{IMAGE}/data"]


def _rewritten(run, written, **options):
    """Make the dataset anew, and let `written` fill what is to be filled of it."""
    with opened(run) as file:
        data = file[f"{IMAGE}/data"][()]
        del file[f"{IMAGE}/data"]
        written(file[IMAGE].create_dataset("data", data.shape, "f4", **options), data)


def _nine(dataset, data):
    dataset[:9] = data[:9]


@case("D33", "chunks never written", default=(LOST, REFUSED))
def _(run):
    _rewritten(run, lambda *_: None, chunks=(1, 16, 16))


@case("D33", "contiguous, never written", default=(LOST, REFUSED))
def _(run):
    _rewritten(run, lambda *_: None, fillvalue=7)


@case("D33", "some deflated chunks not written", default=(LOST,))
def _(run):
    _rewritten(run, _nine, chunks=(1, 16, 16), fillvalue=3, compression="gzip")


@case("D33", "parts of frames not written", default=(LOST,))
def _(run):
    def written(dataset, data):
        _nine(dataset, data)
        dataset[9:, :8] = data[9:, :8]

    _rewritten(run, written, chunks=(1, 8, 8), fillvalue=3)


@case("D33", "some LZF chunks not written", default=(LOST,))
def _(run):
    _rewritten(run, _nine, chunks=(1, 16, 16), fillvalue=3, compression="lzf")


@case("D33", "some bitshuffled chunks not written", default=(LOST,))
def _(run):
    import hdf5plugin

    _rewritten(run, _nine, chunks=(1, 16, 16), **hdf5plugin.Bitshuffle())


@case("D34", "NaN and infinite pixels", own_truth=True, default=(OK,), mask=(OK,))
def _(run):
    with opened(run) as file:
        frame = file[f"{IMAGE}/data"][5]
        frame[0, 0], frame[1, 1], frame[2, 2] = np.inf, np.nan, -np.inf
        file[f"{IMAGE}/data"][5] = frame


@case("D34", "a frame of NaN", own_truth=True, default=(OK,), mask=(OK,))
def _(run):
    with opened(run) as file:
        file[f"{IMAGE}/data"][5] = np.full((16, 16), np.nan, "f4")


TWICE = "CORR-R0001-AGIPD02-S00002.h5"


@case("D35", "the same trains in two files", words=(MODULE_FILE, TWICE), mask=(LOST, REFUSED))
def _(run):
    shutil.copy(Path(run) / MODULE_FILE, Path(run) / TWICE)


@case("D35", "the same trains in two files, other data", words=(MODULE_FILE, TWICE), mask=(LOST, REFUSED))
def _(run):
    shutil.copy(Path(run) / MODULE_FILE, Path(run) / TWICE)
    with opened(run, TWICE) as file:
        file[f"{IMAGE}/data"][:] = 99


FOREIGN = "CORR-R0002-AGIPD02-S00000.h5"


@case("D36", "a file of another run", words=(FOREIGN,), mask=(OK, LOST))
def _(run):
    shutil.copy(Path(run).parent / "other run" / FOREIGN, run)


@case("D36", "a file of another run by its name only", words=(FOREIGN,), mask=(OK, LOST))
def _(run):
    shutil.copy(Path(run).parent / "other run" / FOREIGN, run)
    with opened(run, FOREIGN) as file:
        del file["METADATA/runNumber"]


@case(
    "D37",
    "raw data, since there are no corrected ones",
    base="raw",
    raw=True,
    default=(OK,),
    mask=(OK,),
    says=("raw data",),
)
def _(run):
    pass


# D38-D47: the file system and maps -------------------------------------------------------------------


@case("D38", "a file that must not be read")
def _(run):
    (Path(run) / MODULE_FILE).chmod(0)


@case("D38", "a folder that must not be read", words=("Permission denied",), mask=(REFUSED,))
def _(run):
    Path(run).chmod(0)


@case("D39", "a pipe named like a file")
def _(run):
    (Path(run) / MODULE_FILE).unlink()
    os.mkfifo(Path(run) / MODULE_FILE)


@case("D40", "a link to nothing")
def _(run):
    (Path(run) / MODULE_FILE).unlink()
    (Path(run) / MODULE_FILE).symlink_to("/nonexistent/x.h5")


@case("D40", "a directory named like a file", words=("AGIPD09",), mask=(OK,))
def _(run):
    (Path(run) / "CORR-R0001-AGIPD09-S00000.h5").mkdir()


@case("D40", "a link to itself")
def _(run):
    (Path(run) / MODULE_FILE).unlink()
    (Path(run) / MODULE_FILE).symlink_to(MODULE_FILE)


@case("D41", "open for writing in another process", held=True)
def _(run):
    pass


def _replaced(run):
    other = Path(run) / "other"
    shutil.copy(Path(run) / MODULE_FILE, other)
    with h5py.File(other, "r+") as file:
        file[f"{IMAGE}/data"][...] += 1
    os.replace(other, Path(run) / MODULE_FILE)


def _overwritten(run):
    overwrite(run, stored(run, 5)[0], b"\1" * 64)


def _half(run):
    cut(run, lambda size: size // 2)


def _gone(run):
    (Path(run) / MODULE_FILE).unlink()


MEANWHILE = (
    ("D42", "a file is replaced while the run is read", _replaced),
    ("D42", "a file is written to while the run is read", _overwritten),
    ("D43", "a file is truncated while the run is read", _half),
    ("D44", "a file is deleted while the run is read", _gone),
)
for _row, _text, _build in MEANWHILE:
    for _more in ((), ("--on-fault", "mask")):
        _options = {"options": _more, "default": (STOPPED, LOST), "mask": None}
        case(_row, _text + ", masked" * bool(_more), meanwhile=True, **_options)(_build)


def _mapped(run, change):
    """Write EXtra-data's map of a run, as it is and then changed."""
    from extra_data import RunDirectory
    from extra_data.run_files_map import RunFilesMap

    opened_run = RunDirectory(run, parallelize=False)
    files = RunFilesMap(str(run))
    files.save(opened_run.files)
    path = Path(run) / "karabo_data_map.json"
    assert path.exists()
    change(path)


def _trains_of_map(run, function, name=MODULE_FILE):
    def changed(path):
        entries = json.loads(path.read_text())
        for entry in entries:
            if entry["filename"] == name:
                entry["train_ids"] = function(entry["train_ids"])
        path.write_text(json.dumps(entries))

    _mapped(run, changed)


@case("D45", "map with other trains", default=(OK,), mask=(OK,))
def _(run):
    _trains_of_map(run, lambda ids: [i + 1000 for i in ids])


@case("D45", "map without the last train", default=(OK,), mask=(OK,))
def _(run):
    _trains_of_map(run, lambda ids: ids[:-1])


@case("D45", "map with trains exchanged", default=(OK,), mask=(OK,))
def _(run):
    _trains_of_map(run, lambda ids: [ids[0], ids[2], ids[1], *ids[3:]])


@case("D46", "map cut short", default=(OK,), mask=(OK,))
def _(run):
    _mapped(run, lambda path: os.truncate(path, path.stat().st_size // 2))


@case("D46", "map of another shape", default=(OK,), mask=(OK,))
def _(run):
    _mapped(run, lambda path: path.write_text('{"a": 3}'))


@case("D46", "map of numbers", default=(OK,), mask=(OK,))
def _(run):
    _mapped(run, lambda path: path.write_text("[1, 2]"))


@case("D46", "map that is not UTF-8", default=(OK,), mask=(OK,))
def _(run):
    _mapped(run, lambda path: path.write_bytes(b"\xff\xfe[[["))


@case("D47", "EXtra-data's overview in the folder", default=(OK,), mask=(OK,))
def _(run):
    subprocess.run([sys.executable, "-m", "extra_data.voview", str(run)], check=True, capture_output=True)
    assert (Path(run) / "overview.h5").exists()


@case(
    "D47", "EXtra-data's overview in the folder, older than a file", own_truth=True, default=(OK,), mask=(OK,)
)
def _(run):
    subprocess.run([sys.executable, "-m", "extra_data.voview", str(run)], check=True, capture_output=True)
    with opened(run) as file:
        file[f"{IMAGE}/data"][5] = 77


# D48-D53: types, writers, names ----------------------------------------------------------------------


@case("D48", "train ids of 32 bits", default=(OK,), mask=(OK,))
def _(run):
    change(run, "INDEX/trainId", lambda ids: ids.astype("i4"))


@case("D48", "counts are floats", default=(OK, REFUSED), mask=(OK, LOST))
def _(run):
    change(run, f"{INDEX}/count", lambda counts: counts.astype("f8"))


@case("D48", "first is negative")
def _(run):
    change(run, f"{INDEX}/first", lambda first: np.array([first[0], -4, *first[2:]], "i8"))


@case("D48", "counts are text")
def _(run):
    change(run, f"{INDEX}/count", lambda _: np.array([b"4"] * 4))


@case("D48", "train ids are floats, one is NaN")
def _(run):
    change(run, "INDEX/trainId", lambda ids: np.array([ids[0], np.nan, *ids[2:]], "f8"))


@case("D48", "train ids in a table")
def _(run):
    change(run, "INDEX/trainId", lambda ids: ids.reshape(2, 2))


@case("D48", "counts are a group")
def _(run):
    with opened(run) as file:
        del file[f"{INDEX}/count"]
        file.create_group(f"{INDEX}/count")


@case("D48", "data are a group")
def _(run):
    with opened(run) as file:
        del file[f"{IMAGE}/data"]
        file.create_group(f"{IMAGE}/data")


@case("D48", "data are one number")
def _(run):
    change(run, f"{IMAGE}/data", lambda _: 3.0)


@case("D48", "data are text")
def _(run):
    change(run, f"{IMAGE}/data", lambda _: np.array([b"abc"] * 16))


@case(
    "D48",
    "data with the other byte order in a sequence",
    default=(OK, REFUSED),
    mask=(OK, LOST),
    own_truth=True,
)
def _(run):
    change(run, f"{IMAGE}/data", lambda data: data.astype(">f4"))


KILLED = """
import h5py, os
f = h5py.File({path!r}, 'r+', **{options})
f['x'] = [1] * 1000
{then}
os.kill(os.getpid(), 9)
"""


def _killed(run, options, then=""):
    code = KILLED.format(path=str(Path(run) / MODULE_FILE), options=options, then=then)
    subprocess.run([sys.executable, "-c", code], check=False, capture_output=True)


@case("D51", "writer killed", default=(OK, REFUSED), mask=(OK, LOST))
def _(run):
    _killed(run, {})


@case("D51", "writer of the latest format killed", default=(OK, REFUSED), mask=(OK, LOST))
def _(run):
    _killed(run, {"libver": "latest"}, "f.flush()")


@case(
    "D52",
    "half of the modules a train earlier",
    # Nothing of the files is missing; that some modules have no such train is said.
    default=(OK, LOST, REFUSED),
    mask=(OK, LOST),
    own_truth=True,
    says=("10000|10008",),
)
def _(run):
    for module in range(4):
        for sequence in (0, 1):
            with opened(run, f"CORR-R0001-AGIPD{module:02d}-S{sequence:05d}.h5") as file:
                file["INDEX/trainId"][:] -= 1
                rows = []
                file["INSTRUMENT"].visititems(lambda name, _, rows=rows: rows.append(name))
                for name in {n for n in rows if n.endswith("CH0:output/image/trainId")}:
                    item = file["INSTRUMENT"][name]
                    item[...] = item[()] - 1


def _renamed(run, new):
    for sequence in (0, 1):
        with opened(run, f"CORR-R0001-AGIPD02-S{sequence:05d}.h5") as file:
            for section in ("INSTRUMENT", "INDEX"):
                file.move(f"{section}/{SOURCE}", f"{section}/{new}")
            sources = file["METADATA/dataSources/dataSourceId"]
            for row, name in enumerate(sources[:]):
                sources[row] = name.replace(SOURCE.encode(), new.encode())


@case("D53", "a module under another name", words=("2CH0",), mask=(LOST, OK))
def _(run):
    _renamed(run, SOURCE.replace("/2CH0", "/X2CH0"))


@case("D53", "a module under a name of 5,000 characters", words=("2CH0|module.* 2",), mask=(LOST, OK))
def _(run):
    _renamed(run, SOURCE.replace("/2CH0", "/" + "A" * 5000 + "2CH0"))
