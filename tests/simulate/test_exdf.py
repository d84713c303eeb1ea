"""Details of the file format, read with h5py."""

import h5py
import numpy as np
import pytest
from extra_data import H5File

from dxflow.simulate.exdf import VERSIONS, FileFacts, SimulatedFile


def head(version="1.3", category="RAW", trains=(10, 11, 13)):
    return FileFacts(category, 900000, 7, "DA01", 2, version, np.array(trains, dtype="u8"))


def write(directory, version="1.3", **options):
    with SimulatedFile(directory, head(version, **options)) as file:
        file.control("A/B/C", {"x.y": np.array([1.0, 2, 3])}, constants={"name": "text"}, units={"x.y": "mm"})
        group = file.instrument("D/E/F:output", "data", [2, 0, 1])
        group["v"] = np.arange(3)
        file.legacy("OLD/E/F:output", "D/E/F:output", ["data"])
        return file.path


@pytest.mark.parametrize("version", VERSIONS)
def test_index_has_what_each_version_asks_for(tmp_path, version):
    with h5py.File(write(tmp_path, version)) as file:
        kinds = {key for key, item in file["INDEX"].items() if isinstance(item, h5py.Dataset)}
        flag = file["INDEX/flag"][:].tolist() if "flag" in kinds else None
        origin = file["INDEX/origin"][:].tolist() if "origin" in kinds else None
    assert ("timestamp" in kinds) == (version != "0.5")
    assert flag == {"0.5": None, "1.1": [0, 0, 0]}.get(version, [1, 1, 1])
    assert origin == ([-1, -1, -1] if version in ("1.2", "1.3") else None)


@pytest.mark.parametrize("version", VERSIONS)
def test_sources_are_listed_where_each_version_has_them(tmp_path, version):
    with h5py.File(write(tmp_path, version)) as file:
        where = "METADATA" if version == "0.5" else "METADATA/dataSources"
        listed = [name.decode() for name in file[f"{where}/dataSourceId"][:]]
        roots = [name.decode() for name in file[f"{where}/root"][:]]
        assert ("dataFormatVersion" in file["METADATA"]) == (version != "0.5")
    virtual = ["Karabo_TimerServer"] if version == "1.1" else []
    assert listed == [
        *virtual,
        "CONTROL/A/B/C",
        "INSTRUMENT/D/E/F:output/data",
        "INSTRUMENT/OLD/E/F:output/data",
    ]
    assert roots == [""] * len(virtual) + ["CONTROL", "INSTRUMENT", "INSTRUMENT"]


@pytest.mark.filterwarnings("ignore:Train validation")
@pytest.mark.parametrize("version", VERSIONS)
def test_all_trains_are_good_to_the_reader(tmp_path, version):
    file = H5File(write(tmp_path, version), inc_suspect_trains=False)
    assert file.train_ids == [10, 11, 13]
    assert file["D/E/F:output", "data.v"].data_counts(labelled=False).tolist() == [2, 0, 1]
    assert file["A/B/C", "x.y"].ndarray().tolist() == [1, 2, 3]
    assert file.get_run_value("A/B/C", "name") == "text"
    assert file.get_run_value("A/B/C", "x.y") == 1


def test_older_names_are_soft_links_that_the_reader_knows_as_legacy(tmp_path):
    path = write(tmp_path)
    with h5py.File(path) as file:
        link = file.get("INSTRUMENT/OLD/E/F:output", getlink=True)
        assert isinstance(link, h5py.SoftLink)
    assert H5File(path).legacy_sources == {"OLD/E/F:output": "D/E/F:output"}


@pytest.mark.parametrize("version", VERSIONS)
def test_only_the_newest_version_has_units(tmp_path, version):
    with h5py.File(write(tmp_path, version)) as file:
        attributes = dict(file["CONTROL/A/B/C/x/y"].attrs)
    expected = {
        "unitSymbol": "m",
        "unitName": "meter",
        "metricPrefixSymbol": "m",
        "metricPrefixName": "milli",
    }
    assert attributes == (expected if version == "1.3" else {})


def test_metadata_say_which_run_it_is(tmp_path):
    path = write(tmp_path)
    assert path.name == "RAW-R0007-DA01-S00002.h5"
    metadata = H5File(path).run_metadata()
    assert metadata["proposalNumber"] == 900000
    assert metadata["runNumber"] == 7
    assert metadata["sequenceNumber"] == 2
    assert metadata["dataFormatVersion"] == "1.3"


def test_timestamps_are_a_tenth_of_a_second_apart(tmp_path):
    with h5py.File(write(tmp_path)) as file:
        assert np.diff(file["INDEX/timestamp"][:]).tolist() == [10**8, 2 * 10**8]


def test_the_file_appears_only_when_it_is_complete(tmp_path):
    with SimulatedFile(tmp_path, head()) as file:
        assert not file.path.exists()
    assert file.path.exists()


def test_a_file_that_failed_leaves_nothing(tmp_path):
    with pytest.raises(KeyError, match="on purpose"), SimulatedFile(tmp_path, head()):
        raise KeyError("on purpose")
    assert list(tmp_path.iterdir()) == []


def test_unknown_version_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'9.9'; known: 0.5, 1.0"):
        head("9.9")
