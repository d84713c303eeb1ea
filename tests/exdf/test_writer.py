"""FileWriter makes files that EXtra-data reads as they were meant, or none."""

import logging
import os
import subprocess
import sys
import textwrap
import time

import h5py
import numpy as np
import pytest
from extra_data import H5File, RunDirectory
from extra_data.validation import FileValidator

from dxflow.exdf import DS, ExdfError, FileWriter, WriteError
from dxflow.hdf5.process import Writer

PROGRAM = """
import numpy as np
from dxflow.exdf import DS, FileWriter
class AzFileWriter(FileWriter):
    gv = DS('@prm', 'geom.fragmentVectors', ('nmod', 'nfrag', 3, 3), float)
    gs = DS('@prm', 'geom.fragmentSize', ('nmod', 'nfrag', 2), int)
    nb = DS('@prm', 'param.numberOfBins', (), np.uint64)
    rlim = DS('@prm', 'param.radiusRange', (2,), float)
    n = DS('@res', 'azimuthal.radial', ('nbins',), float)
    v = DS('@res', 'azimuthal.intensity', ('nbins',), float)
    class Meta:
        aliases = {'prm': "{det_name}/x/y", 'res': "{det_name}/x/y:output"}
prm = dict(det_name="MID_DET_AGIPD1M-1", nmod=16, nfrag=8, nbins=1000)
with AzFileWriter('CORR-R0001-AZIM00-S{seq:05d}.h5', **prm) as wr:
    wr.add_trains(range(10001, 10101), [3] * 100)
    wr.add_data([3] * 99, v=np.random.rand(99 * 3, 1000))
"""


class Scan(FileWriter):
    """A small detector: two keys of one source, a control source, a value of the run."""

    total = DS("@out", "data.total", (), float, unit="keV", doc="sum of all pixels")
    profile = DS("@out", "data.profile", ("bins",), np.float32)
    flag = DS("@out", "flag.ok", (), bool)
    gain = DS("@set", "gain.mode", (), int, attributes={"alias": "g"})
    note = DS("@set", "note", (), str, run=True)

    class Meta:
        aliases = {"out": "{det}/CAL/SUM:output", "set": "{det}/CAL/SUM"}


OUT, SET = "DET/CAL/SUM:output", "DET/CAL/SUM"
TRAINS = range(100, 110)
COUNTS = [2, 0, 1, 3, 0, 0, 1, 1, 4, 0]


def writer(path, cls=Scan, **options):
    return cls(path / "CORR-R0007-TEST00-S{seq:05d}.h5", det="DET", bins=4, **options)


def data(counts=COUNTS):
    n = sum(counts)
    return {
        "total": np.arange(n) * 1.5,
        "profile": np.random.default_rng(0).normal(size=(n, 4)).astype("f4"),
    }


def opened(path):
    """Open a directory of files, each of which must be valid."""
    for file in sorted(path.glob("*.h5")):
        run = H5File(file)
        FileValidator(run.files[0]).validate()
    return RunDirectory(path)


def test_the_printed_program_runs_and_its_files_are_read_back(tmp_path, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    exec(compile(PROGRAM, "program", "exec"), {"__name__": "program"})
    run = opened(tmp_path)
    source = "MID_DET_AGIPD1M-1/x/y:output"
    assert [f.name for f in tmp_path.glob("*.h5")] == ["CORR-R0001-AZIM00-S00000.h5"]
    assert run.train_ids == list(range(10001, 10101))
    assert run.train_timestamps().astype(int).tolist() == [3] * 100
    intensity = run[source, "azimuthal.intensity"]
    assert intensity.shape == (297, 1000)
    assert intensity.data_counts(labelled=False).tolist() == [3] * 99 + [0]
    assert np.array_equal(run[source, "azimuthal.trainId"].ndarray(), np.repeat(range(10001, 10100), 3))
    # What was never given is left out, and said.
    assert run.all_sources == {source}
    assert "azimuthal.radial" not in run[source]
    for name in ("gv", "gs", "nb", "rlim", "n"):
        assert f"({name}) is left out: nothing was given" in caplog.text


def test_a_plain_constructor_with_a_mapping_does_the_same_as_a_class(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    declared = {k: v for k, v in vars(Scan).items() if isinstance(v, DS)}
    plain = FileWriter(
        tmp_path / "b" / "CORR-R0007-TEST00-S{seq:05d}.h5",
        declared,
        aliases=Scan.Meta.aliases,
        det="DET",
        bins=4,
    )
    for one in (writer(tmp_path / "a"), plain):
        with one as wr:
            wr.add_trains(TRAINS)
            wr.add_data(COUNTS, **data())
    dumps = []
    for folder in "ab":
        with h5py.File(next((tmp_path / folder).glob("*.h5"))) as file:
            dump = {}
            file.visititems(lambda name, item, dump=dump: dump.update({name: dict(item.attrs)}))
            dump |= {n: file[n][()].tolist() for n in dump if hasattr(file[n], "shape") and "Date" not in n}
            dumps.append(dump)
    assert dumps[0] == dumps[1]


def test_every_section_is_as_the_format_says(tmp_path):
    with writer(tmp_path, proposal=900123) as wr:
        wr.add_trains(TRAINS, range(10, 20))
        wr.add_data([1, 1], gain=[5, 6])
        wr.add_run_data(note="a µ note")
        wr.add_data(COUNTS, **data())
        wr.add_data([1] * 10, flag=[True, False] * 5)
    with h5py.File(tmp_path / "CORR-R0007-TEST00-S00000.h5") as f:
        meta = f["METADATA"]
        assert meta["dataFormatVersion"][0] == b"1.3"
        assert (meta["proposalNumber"][0], meta["runNumber"][0], meta["sequenceNumber"][0]) == (900123, 7, 0)
        assert meta["proposalNumber"].dtype == np.uint32
        assert len(meta["creationDate"][0]) == len("20260101T000000Z")
        sources = meta["dataSources/dataSourceId"][:].tolist()
        assert sources == [
            b"CONTROL/" + SET.encode(),
            *(f"INSTRUMENT/{OUT}/{g}".encode() for g in ("data", "flag")),
        ]
        both = zip(meta["dataSources/root"][:], meta["dataSources/deviceId"][:], strict=True)
        assert [a + b"/" + b for a, b in both] == sources
        index = f["INDEX"]
        assert [index[k].dtype for k in ("trainId", "timestamp", "flag", "origin")] == [
            "u8",
            "u8",
            "i4",
            "i4",
        ]
        assert index["trainId"][:].tolist() == list(TRAINS)
        assert index["timestamp"][:].tolist() == list(range(10, 20))
        assert set(index["flag"][:]) == {1}
        assert set(index["origin"][:]) == {-1}
        assert index[f"{OUT}/data/count"][:].tolist() == COUNTS
        assert index[f"{OUT}/data/first"][:].tolist() == (np.cumsum(COUNTS) - COUNTS).tolist()
        assert index[f"{SET}/first"][:].tolist() == list(range(10))
        assert set(index[f"{SET}/count"][:]) == {1}
        assert f[f"CONTROL/{SET}/gain/mode/value"][:].tolist() == [5] + [6] * 9
        assert f[f"CONTROL/{SET}/gain/mode/timestamp"][:].tolist() == [10] + [11] * 9
        assert f[f"CONTROL/{SET}/gain/mode"].attrs["alias"] == "g"
        assert f[f"RUN/{SET}/gain/mode/value"][:].tolist() == [5]
        assert f[f"RUN/{SET}/note/value"].asstr()[0] == "a µ note"
        assert f[f"RUN/{SET}/note/timestamp"][:].tolist() == [10]
        total = f[f"INSTRUMENT/{OUT}/data/total"]
        assert (total.attrs["unitSymbol"], total.attrs["metricPrefixSymbol"]) == ("eV", "k")
        assert total.attrs["description"] == "sum of all pixels"
        assert (total.compression, total.shuffle) == ("gzip", True)
        assert f[f"INSTRUMENT/{OUT}/data/trainId"][:].tolist() == np.repeat(TRAINS, COUNTS).tolist()
        assert f[f"INSTRUMENT/{OUT}/flag/ok"].dtype == np.uint8


@pytest.mark.parametrize("direct", [False, True])
@pytest.mark.parametrize("per_file", [3, 10])
def test_trains_are_split_into_sequence_files_and_read_as_one(tmp_path, per_file, direct):
    with writer(tmp_path, trains_per_file=per_file, direct=direct) as wr:
        for position, train in enumerate(TRAINS):
            wr.add_train(train)
            if position in (0, 4):
                wr.add_train_data(gain=position)
            n, before = COUNTS[position], sum(COUNTS[:position])
            wr.add_train_data(**{k: v[before : before + n] for k, v in data().items()})
    run = opened(tmp_path)
    assert len(run.files) == -(-10 // per_file)
    assert [f.metadata()["sequenceNumber"] for f in sorted(run.files, key=lambda f: f.filename)] == list(
        range(len(run.files))
    )
    assert run.train_ids == list(TRAINS)
    for key, values in data().items():
        assert np.array_equal(run[OUT, f"data.{key}"].ndarray(), values)
        assert run[OUT, f"data.{key}"].data_counts(labelled=False).tolist() == COUNTS
    assert run[SET, "gain.mode"].ndarray().tolist() == [0] * 4 + [4] * 6
    assert run[SET].run_value("gain.mode") == 0
    assert run[OUT, "data.total"].units == "keV"


def test_keys_of_a_source_may_come_apart_and_in_any_order(tmp_path):
    values = data()
    with writer(tmp_path, trains_per_file=4) as wr:
        wr.add_trains(TRAINS)
        wr.add_data(COUNTS, profile=values["profile"])
        for n in range(10):
            before = sum(COUNTS[:n])
            wr.add_data(COUNTS[n : n + 1], total=values["total"][before : before + COUNTS[n]])
    run = opened(tmp_path)
    for key, expected in values.items():
        assert np.array_equal(run[OUT, f"data.{key}"].ndarray(), expected)


def test_an_array_may_be_reused_as_soon_as_it_was_given(tmp_path):
    buffer = np.zeros((1, 4), "f4")
    with writer(tmp_path) as wr:
        for train in TRAINS:
            wr.add_train(train)
            buffer[:] = train
            wr.add_train_data(profile=buffer)
        wr.add_data([1] * 10, total=np.zeros(10))
    assert opened(tmp_path)[OUT, "data.profile"].ndarray()[:, 0].tolist() == list(TRAINS)


def test_a_full_sequence_file_is_finished_while_others_are_still_filled(tmp_path):
    with writer(tmp_path, trains_per_file=2) as wr:
        wr.add_run_data(note="")
        for train in TRAINS:
            wr.add_train(train)
            wr.add_train_data(gain=1, flag=True, **{k: v[:1] for k, v in data().items()})
        assert len(wr._finished) == 5
        assert not list(tmp_path.glob("*.h5"))
    assert len(opened(tmp_path).files) == 5


def test_trains_that_were_skipped_have_no_entries(tmp_path):
    with writer(tmp_path) as wr:
        for train in TRAINS:
            wr.add_train(train)
            if train == 103:
                wr.add_train_data(total=7.0)
            if train == 105:
                wr.add_train_data(total=[8.0, 9.0])
    counts = opened(tmp_path)[OUT, "data.total"].data_counts()
    assert counts[counts > 0].to_dict() == {103: 1, 105: 2}


def test_the_aliases_of_a_writer_serve_to_read(tmp_path):
    with writer(tmp_path) as wr:
        wr.add_trains(TRAINS)
        wr.add_data(COUNTS, total=data()["total"])
    run = opened(tmp_path).with_aliases(wr.keys)
    assert np.array_equal(run.alias["total"].ndarray(), data()["total"])


def test_chunks_and_compression_are_as_declared(tmp_path):
    datasets = {
        "a": DS("D/E/F:o", "d.a", (8,), "f4", chunk=3),
        "b": DS("D/E/F:o", "d.b", (8,), "f4", chunk=(2, 4), compressed=False),
    }
    with FileWriter(tmp_path / "x.h5", datasets) as wr:
        wr.add_trains(TRAINS)
        wr.add_data([1] * 10, a=np.ones((10, 8)), b=np.ones((10, 8)))
    with h5py.File(tmp_path / "x.h5") as file:
        a, b = file["INSTRUMENT/D/E/F:o/d/a"], file["INSTRUMENT/D/E/F:o/d/b"]
        assert (a.chunks, a.compression) == ((3, 8), "gzip")
        assert (b.chunks, b.compression) == ((2, 4), None)
        assert np.array_equal(b[:], np.ones((10, 8)))


# Errors -----------------------------------------------------------------------------------------


def given(wr):
    wr.add_trains(TRAINS)
    wr.add_data([1] * 10, total=np.zeros(10))


def many(wr, counts, **values):
    wr.add_trains(TRAINS)
    wr.add_data(counts, **values)


def one(wr, **values):
    wr.add_train(100)
    wr.add_train_data(**values)


WRONG = {
    "different counts": (
        lambda wr: (given(wr), wr.add_data([1, 2], profile=np.zeros((3, 4))), wr.close()),
        (OUT, "data.profile (profile)", 101),
        "2 entries, but data.total has 1",
    ),
    "a key that stops early": (
        lambda wr: (given(wr), wr.add_data([1] * 8, profile=np.zeros((8, 4))), wr.close()),
        (OUT, "data.profile (profile)", 108),
        "has no data at the end, but data.total has 1 entries",
    ),
    "a wrong shape": (
        lambda wr: many(wr, [2], profile=np.zeros((2, 5))),
        (OUT, "data.profile (profile)", 100),
        r"expected 2 entries of shape \(4,\), got an array of \(2, 5\)",
    ),
    "a wrong number of entries": (
        lambda wr: many(wr, [2, 1], total=np.zeros(2)),
        (OUT, "data.total (total)", 100),
        "expected 3 entries",
    ),
    "more trains than there are": (
        lambda wr: many(wr, [1] * 11, total=np.zeros(11)),
        (OUT, "data.total (total)", 109),
        "data of 11 trains, but 10 were added",
    ),
    "a train twice": (
        lambda wr: (one(wr, total=1.0), wr.add_train_data(total=2.0)),
        (OUT, "data.total (total)", 100),
        "already has data",
    ),
    "a control value twice": (
        lambda wr: (one(wr, gain=1), wr.add_train_data(gain=2)),
        (SET, "gain.mode (gain)", 100),
        "already has data",
    ),
    "values that do not fit": (
        lambda wr: one(wr, gain=1.5),
        (SET, "gain.mode (gain)", 100),
        "is int64, and some of the float64 values given do not fit",
    ),
    "complex values": (
        lambda wr: one(wr, total=1j),
        (OUT, "data.total (total)", 100),
        "is float64, given were values of complex128",
    ),
    "several values of a control key in a train": (
        lambda wr: many(wr, [2], gain=[1, 2]),
        (SET, "gain.mode (gain)", 100),
        "a control source has one value per train",
    ),
    "a control key that begins late": (
        lambda wr: (wr.add_trains([100, 101]), wr.add_train_data(gain=1), wr.close()),
        (SET, "gain.mode (gain)", 100),
        "has no value before train 101",
    ),
    "trains that go back": (
        lambda wr: (wr.add_train(100), wr.add_train(100)),
        ("", "", 100),
        "comes after train 100; trains are added in increasing order",
    ),
    "data before any train": (
        lambda wr: wr.add_train_data(total=1.0),
        (OUT, "data.total (total)", None),
        "no train was added yet",
    ),
    "a value of the run per train": (
        lambda wr: one(wr, note="x"),
        (SET, "note (note)", None),
        "give it with add_run_data",
    ),
    "a value per train for the run": (
        lambda wr: wr.add_run_data(gain=1),
        (SET, "gain.mode (gain)", None),
        "has a value per train",
    ),
    "a name that is not declared": (
        lambda wr: one(wr, totl=1),
        ("", "", None),
        r"no dataset 'totl' is declared; declared: \['flag', 'gain', 'note', 'profile', 'total'\]",
    ),
    "timestamps of other trains": (
        lambda wr: wr.add_trains([1, 2], [3]),
        ("", "", None),
        "2 trains, but 1 timestamps",
    ),
    "no train at all": (lambda wr: wr.close(), ("", "", None), "no train was added"),
}


@pytest.mark.parametrize("what", WRONG)
def test_an_error_names_source_key_and_train_and_leaves_no_file(tmp_path, what):
    wrong, (source, key, train), words = WRONG[what]

    def use():
        with writer(tmp_path) as wr:
            wrong(wr)

    with pytest.raises(ExdfError, match=words) as caught:
        use()
    assert (caught.value.source, caught.value.key, caught.value.train) == (source, key, train)
    for part in (source, key, train and f"train {train}"):
        assert not part or part in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_data_that_are_refused_change_nothing(tmp_path):
    with writer(tmp_path) as wr:
        wr.add_trains(TRAINS)
        with pytest.raises(ExdfError):
            wr.add_data([1] * 10, total=np.zeros(10), profile=np.zeros((10, 3)))
        wr.add_data(COUNTS, **data())
    assert np.array_equal(opened(tmp_path)[OUT, "data.total"].ndarray(), data()["total"])


def test_in_direct_mode_keys_of_a_group_come_together(tmp_path):
    def apart():
        with writer(tmp_path, direct=True) as wr:
            wr.add_trains(TRAINS)
            wr.add_data([1], total=[1.0], profile=np.zeros((1, 4)))
            wr.add_data([1], total=[1.0])

    with pytest.raises(ExdfError, match=r"began together and are given together, got \['total'\]") as caught:
        apart()
    assert (caught.value.source, caught.value.train) == (OUT, 101)


def test_a_control_value_for_a_finished_file_is_refused(tmp_path):
    datasets = {"g": DS("D/E/F", "g", (), int), "v": DS("D/E/F:o", "d.v", (), float)}
    with FileWriter(tmp_path / "x{seq}.h5", datasets, trains_per_file=2) as wr:
        wr.add_trains([1, 2, 3])
        wr.add_data([1], g=[1])
        wr.add_data([1, 1], v=[1, 2])
        with pytest.raises(ExdfError, match="file of this train is finished") as caught:
            wr.add_data([1], g=[2])
        assert caught.value.train == 2


def test_names_of_the_writer_itself_cannot_be_datasets():
    class Wrong(FileWriter):
        close = DS("D/E/F", "a")

    with pytest.raises(TypeError, match=r"cannot be named \['close'\]"):
        Wrong("x.h5")


@pytest.mark.parametrize("options", [{"trains_per_file": 0}, {"trains_per_file": -1}])
def test_files_without_trains_are_refused(tmp_path, options):
    with pytest.raises(ValueError, match="expected 1 or more"):
        writer(tmp_path, **options)


def test_a_closed_writer_takes_nothing_more(tmp_path):
    with writer(tmp_path) as wr:
        given(wr)
    with pytest.raises(ExdfError, match="are closed"):
        wr.add_train(1000)
    wr.close()


# Places and accidents ---------------------------------------------------------------------------


def test_existing_files_are_kept_unless_asked(tmp_path):
    for per_file in (2, 5):
        with writer(tmp_path, trains_per_file=per_file, overwrite=True) as wr:
            given(wr)
        with pytest.raises(FileExistsError, match="exists: choose another name, or overwrite=True"):
            writer(tmp_path)
    # Five files were replaced by two: the others would have been taken for trains of this run.
    assert len(opened(tmp_path).files) == 2


def test_an_exception_of_the_user_leaves_no_file_and_the_old_ones(tmp_path):
    with writer(tmp_path) as wr:
        given(wr)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def fail():
        with writer(tmp_path, overwrite=True) as wr:
            given(wr)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_full_disk_is_a_named_error_and_leaves_no_file(small_disk):
    noise = np.random.default_rng(0).random((20, 2**18))

    def fill():
        datasets = {"v": DS("D/E/F:o", "d.v", (2**18,), float)}
        with FileWriter(small_disk / "x{seq}.h5", datasets, trains_per_file=3) as wr:
            wr.add_trains(range(1, 21))
            for row in noise:
                wr.add_data([1], v=row[np.newaxis])

    with pytest.raises(WriteError, match="No space left on device"):
        fill()
    assert not list(small_disk.iterdir())


def test_a_read_only_place_is_refused_before_anything_is_computed(read_only_disk):
    with pytest.raises(WriteError, match="is read-only"):
        FileWriter(read_only_disk / "x.h5", {})


@pytest.mark.parametrize("seed", range(3))
def test_a_writer_killed_at_any_moment_leaves_no_file_or_all_of_them(tmp_path, seed):
    program = textwrap.dedent("""
        import sys, numpy as np
        from dxflow.exdf import DS, FileWriter
        datasets = {"v": DS("D/E/F:o", "d.v", (1000,), float)}
        with FileWriter(sys.argv[1] + "/CORR-R0001-TEST00-S{seq:05d}.h5", datasets, trains_per_file=20) as wr:
            print("begun", flush=True)
            for train in range(1, 81):
                wr.add_train(train)
                wr.add_train_data(v=np.full(1000, train))
    """)
    process = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE)
    process.stdout.readline()
    time.sleep(np.random.default_rng(seed).uniform(0, 0.9))
    process.kill()
    process.wait()
    names = sorted(p.name for p in tmp_path.glob("*.h5"))
    # The first sequence gets its name last: where it is, all are.
    if "CORR-R0001-TEST00-S00000.h5" in names:
        assert len(names) == 4
        assert opened(tmp_path)["D/E/F:o", "d.v"].ndarray()[:, 0].tolist() == list(range(1, 81))


def test_waiting_data_are_not_silent(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("dxflow.exdf.writer.NOTABLE_BYTES", 10)
    with caplog.at_level(logging.WARNING), writer(tmp_path) as wr:
        given(wr)
    assert "wait for the other keys of their source" in caplog.text


def test_names_that_only_people_understand_are_possible(tmp_path):
    with FileWriter(tmp_path / "mine.h5", {"v": DS("D/E/F:o", "d.v", (), "i2")}) as wr:
        wr.add_trains(range(1, 1001))
        wr.add_data([1] * 1000, v=np.arange(1000))
    assert os.listdir(tmp_path) == ["mine.h5"]
    assert H5File(tmp_path / "mine.h5")["D/E/F:o", "d.v"].ndarray().tolist() == list(range(1000))


def test_old_files_stay_until_all_new_ones_have_their_names(tmp_path, monkeypatch):
    from dxflow.hdf5 import sink

    def write(trains, value, overwrite):
        pattern = tmp_path / "CORR-R0001-DXFL00-S{seq:05d}.h5"
        made = {"x": DS("A/B/C:output", "data.x")}
        with FileWriter(pattern, made, trains_per_file=2, overwrite=overwrite) as writer:
            for train in range(trains):
                writer.add_train(train + 1)
                writer.add_train_data(x=[value])

    write(6, 1.0, False)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    for call in ("publish", "_aside"):
        with monkeypatch.context() as patch:
            kept, calls = getattr(sink.Sink if call == "publish" else sink, call), []

            def fails(*args, kept=kept, calls=calls, **options):
                calls.append(args)
                if len(calls) == 2:
                    raise OSError(5, "Input/output error")
                return kept(*args, **options)

            patch.setattr(sink.Sink if call == "publish" else sink, call, fails)
            with pytest.raises(OSError, match="Input/output error"):
                write(4, 2.0, True)
        assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before
    write(4, 2.0, True)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(before)[:2]
    (tmp_path / sorted(before)[1]).write_bytes(b"mine")
    with pytest.raises(FileExistsError, match="is a file that dxflow did not make"):
        write(4, 3.0, True)


def test_attributes_may_be_numbers_and_arrays_of_numpy(tmp_path):
    path = tmp_path / "CORR-R0001-SUMS00-S00000.h5"
    given = {"step": np.float32(0.5), "bins": np.array([1, 2, 3])}
    with FileWriter(str(path), {"total": DS("A/B/C:output", "data.total", attributes=given)}) as writer:
        writer.add_train(1)
        writer.add_train_data(total=[1.0])
    with h5py.File(path) as file:
        attributes = dict(file["INSTRUMENT/A/B/C:output/data/total"].attrs)
    assert attributes["step"] == 0.5
    assert list(attributes["bins"]) == [1, 2, 3]


def test_files_that_are_full_one_after_the_other_are_written_by_one_process(tmp_path, monkeypatch):
    started, start = [], Writer.start
    monkeypatch.setattr(Writer, "start", lambda self: (started.append(self), start(self)))
    with FileWriter(tmp_path / "x{seq}.h5", {"v": DS("D/E/F:o", "d.v")}, trains_per_file=2) as wr:
        wr.add_trains(range(1, 9))
        for value in range(8):
            wr.add_data([1], v=[value])
    assert len(started) == 1
    assert started[0].process is None
    assert sorted(os.listdir(tmp_path)) == [f"x{n}.h5" for n in range(4)]
