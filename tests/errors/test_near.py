import pytest

from dxflow.errors.near import did_you_mean, listed, nearest

KEYS = ["image.data", "image.mask", "data.image.pixels", "SA1_XTD2_XGM/XGM/DOOCS:output"]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("image.dat", "image.data"),
        ("IMAGE.MASK", "image.mask"),
        ("data.image.pixel", "data.image.pixels"),
        ("sa1_xtd2_xgm/xgm/doocs", "SA1_XTD2_XGM/XGM/DOOCS:output"),
        ("sa1_xgm", "SA1_XTD2_XGM/XGM/DOOCS:output"),
        ("temperature", ""),
        ("", ""),
    ],
)
def test_the_name_that_was_perhaps_meant_is_found_whatever_its_capitals(name, meant):
    assert nearest(name, KEYS) == meant
    assert did_you_mean(name, KEYS) == (f" Did you mean {meant!r}?" if meant else "")
    assert did_you_mean(name, []) == ""


def test_lists_are_in_order_and_end_where_nobody_reads_on():
    assert listed(["b", "a"]) == "a, b"
    assert listed([]) == "none"
    assert listed((f"k{n:03}" for n in range(300)), 3) == "k000, k001, k002, ... (300 in all)"
