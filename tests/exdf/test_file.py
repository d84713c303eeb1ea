"""One file of format 1.3 has the sections that the format asks for."""

import h5py
import numpy as np
import pytest
from extra_data import H5File

from dxflow.exdf.file import ExdfFile, Head, holds, storable
from dxflow.exdf.names import Name
from dxflow.hdf5.sink import Sink


@pytest.fixture
def written(tmp_path):
    """A file of three trains with all sections; the second train did not come from the time server."""
    name = Name("CORR", 3, "TEST00", 1)
    sink = Sink(tmp_path / str(name))
    ids = np.array([10, 11, 13], np.uint64)
    file = ExdfFile(sink, Head(ids, ids * 100, np.array([1, 0, 1], np.int32), name, 900001))
    file.control("D/E/F")
    file.control_key("D/E/F", "a.b", np.array([True, False, True]), attributes={"alias": "x"})
    file.run_key("D/E/F", "words", "text", timestamp=7)
    file.run_key("D/E/F", "numbers", np.arange(3.0))
    file.run_link("D/E/F", "elsewhere", "CORR-R0003-TEST00-S00000.h5")
    counts = np.array([2, 0, 1])
    file.instrument("D/E/F:out", "data", counts)
    file.append_key("INSTRUMENT/D/E/F:out/data/x", np.arange(3, dtype="f4"))
    file.reduction("X_REDUCTION/D/E/F:out", "data", counts)
    file.append_key("REDUCTION/X_REDUCTION/D/E/F:out/data/indices", np.arange(3))
    file.finish()
    sink.close()
    sink.publish()
    return sink.path


def test_extra_data_reads_all_sections(written):
    run = H5File(written, inc_suspect_trains=True)
    assert run.train_ids == [10, 11, 13]
    assert run["D/E/F", "a.b"].ndarray().tolist() == [1, 0, 1]
    assert run["D/E/F", "a.b"].attributes()["alias"] == "x"
    assert run["D/E/F"].run_value("words") == "text"
    assert run["D/E/F"].run_value("numbers").tolist() == [0, 1, 2]
    assert run["D/E/F:out", "data.x"].data_counts(labelled=False).tolist() == [2, 0, 1]
    source = run.auxiliary["X_REDUCTION/D/E/F:out"]
    assert source["data.indices"].ndarray().tolist() == [0, 1, 2]
    assert run.run_metadata()["sequenceNumber"] == 1


def test_suspect_trains_stay_suspect(written):
    assert H5File(written, inc_suspect_trains=False).train_ids == [10, 13]
    with h5py.File(written) as file:
        assert file["INDEX/flag"][:].tolist() == [1, 0, 1]
        assert file["INDEX/origin"][:].tolist() == [-1, 0, -1]


def test_a_run_value_without_a_time_has_that_of_the_first_train(written):
    with h5py.File(written) as file:
        assert file["RUN/D/E/F/words/timestamp"][:].tolist() == [7]
        assert file["RUN/D/E/F/numbers/timestamp"][:].tolist() == [1000]


@pytest.mark.parametrize(
    ("dtype", "held"), [("?", 1), ("i1", 1), ("f2", 1), ("u8", 1), ("S4", 1), ("c8", 0), ("g", 0)]
)
def test_what_the_format_holds(dtype, held):
    assert holds(np.dtype(dtype)) == bool(held)


def test_values_are_stored_as_the_format_has_them():
    assert storable(np.array([True])).dtype == np.uint8
    assert storable(np.array(["µ"])).tolist() == ["µ".encode()]
    with pytest.raises(TypeError, match="store real and imaginary part along an axis"):
        storable(np.array([1j]))
