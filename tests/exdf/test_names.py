"""File names say what is in the file."""

from pathlib import Path

import pytest

from dxflow.exdf import names


def test_a_name_of_the_facility_is_taken_apart():
    assert names.parsed(Path("a/CORR-R0034-DXFL00-S00002.h5")) == names.Name("CORR", 34, "DXFL00", 2)
    assert names.parsed(Path("mine.h5")) is None


@pytest.mark.parametrize("odd", [("corr", 1, "DXFL00"), ("CORR", 1, "DXFL"), ("CORR", -1, "DXFL00")])
def test_a_name_that_readers_would_not_know_is_refused(odd):
    with pytest.raises(ValueError, match=r"expected such as CORR-R0034-DXFL00-S00000\.h5"):
        names.Name(*odd)


def test_seq_is_the_number_of_the_file():
    assert names.numbered("d/x-S{seq:05d}.h5", 7) == Path("d/x-S00007.h5")
    assert names.numbered("x-{seq}.h5", 12) == Path("x-12.h5")
    assert names.numbered("x.h5", 3) == Path("x.h5")


def test_all_sequence_files_of_a_pattern_are_found_and_no_others(tmp_path):
    for name in ("a+-S00000.h5", "a+-S00012.h5", "aa-S00000.h5", "a+-Sx.h5", "a+-S00000.h5.old"):
        (tmp_path / name).touch()
    found = names.existing(str(tmp_path / "a+-S{seq:05d}.h5"))
    assert [p.name for p in found] == ["a+-S00000.h5", "a+-S00012.h5"]
    assert names.existing(str(tmp_path / "b.h5")) == []
    assert names.existing(str(tmp_path / "aa-S00000.h5")) == [tmp_path / "aa-S00000.h5"]
