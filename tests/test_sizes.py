"""Sizes as people write and read them."""

import pytest

from dxflow import sizes


@pytest.mark.parametrize(
    ("text", "n"),
    [("2 MiB", 2**21), ("1.5 GB", 1_500_000_000), (4096, 4096), ("7", 7), ("3kb", 3000), (" 1 TiB ", 2**40)],
)
def test_sizes_are_read_in_decimal_and_binary_units(text, n):
    assert sizes.parse(text) == n


@pytest.mark.parametrize("text", ["", "MiB", "-1 MB", "0", 0, "2 MiBs", "1..5 GB", None])
def test_what_is_no_size_is_refused_with_an_example(text):
    with pytest.raises(ValueError, match="write it like"):
        sizes.parse(text)


def test_sizes_are_shown_in_decimal_units():
    assert [sizes.show(n) for n in (0, 999, 1000, 2_350_000, 7e9, 3.2e12)] == [
        "0 B",
        "999 B",
        "1 kB",
        "2.35 MB",
        "7 GB",
        "3.2 TB",
    ]
