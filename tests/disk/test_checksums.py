"""Checksums are those of zlib, whatever computes them."""

import zlib

import pytest

from dxflow.disk import checksums


@pytest.mark.parametrize("size", [0, 1, checksums.BLOCK, checksums.BLOCK + 17])
@pytest.mark.parametrize("of_file", [checksums.digest, checksums.secured])
def test_a_file_has_the_checksum_of_its_bytes(tmp_path, size, of_file):
    data = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "x").write_bytes(data[:size])
    assert of_file(tmp_path / "x") == (size, zlib.crc32(data[:size]))


def test_bytes_may_come_in_pieces():
    assert checksums.crc32(b"def", checksums.crc32(b"abc")) == zlib.crc32(b"abcdef")


def test_a_file_that_is_not_there_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        checksums.secured(tmp_path / "none")
