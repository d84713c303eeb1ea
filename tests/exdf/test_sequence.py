"""A sequence file has the trains from its first one on, and the control values that hold then."""

import h5py
import numpy as np
import pytest

from dxflow.exdf import DS
from dxflow.exdf.declare import declared
from dxflow.exdf.file import Head
from dxflow.exdf.groups import IndexGroup
from dxflow.exdf.sequence import SequenceFile
from dxflow.exdf.series import Series, Steps
from dxflow.hdf5.sink import Sink


@pytest.fixture
def written(tmp_path):
    """The second file of two, with trains 12 and 13 at positions 2 and 3."""
    kinds = declared({"v": DS("D/E/F:o", "g.v", (), bool), "c": DS("D/E/F", "c", (), "i4")}, {}, {})
    series, steps = Series(kinds["v"]), Steps(kinds["c"])
    series.add([1, 1, 2, 0], np.array([True, False, True, True]))
    steps.add(0, np.array([5], "i4"))
    steps.add(3, np.array([6], "i4"))
    list(series.take(2))
    file = SequenceFile(Sink(tmp_path / "x.h5"), 2)
    file.append(kinds["v"], series.take(2))
    ids = np.array([12, 13], np.uint64)
    file.finish(
        Head(ids, ids * 10, np.ones(2, np.int32)), [IndexGroup("D/E/F:o", "g", [series])], [steps], {}
    )
    file.sink.publish()
    with h5py.File(tmp_path / "x.h5") as opened:
        yield opened


def test_entries_are_those_of_its_trains(written):
    assert written["INSTRUMENT/D/E/F:o/g/v"][:].tolist() == [1, 1]
    assert written["INSTRUMENT/D/E/F:o/g/trainId"][:].tolist() == [12, 12]
    assert written["INDEX/D/E/F:o/g/count"][:].tolist() == [2, 0]
    assert written["INDEX/D/E/F:o/g/first"][:].tolist() == [0, 2]


def test_a_value_from_before_the_file_has_the_time_of_its_first_train(written):
    assert written["CONTROL/D/E/F/c/value"][:].tolist() == [5, 6]
    assert written["CONTROL/D/E/F/c/timestamp"][:].tolist() == [120, 130]


def test_run_has_the_value_of_the_first_train_of_the_run(written):
    assert written["RUN/D/E/F/c/value"][:].tolist() == [5]


def test_a_name_without_numbers_has_none_in_the_metadata(written):
    assert written["METADATA/runNumber"][:].tolist() == [0]
