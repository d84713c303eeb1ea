"""Options: patterns and refusals."""

import pytest

from dxflow.simulate import Settings, make_run
from dxflow.simulate.settings import pattern


@pytest.mark.parametrize(
    ("spec", "frames"),
    [
        ("all", "1111 1111"),
        ("none", "0000 0000"),
        ("trains", "0000 1111"),
        ("pulses", "0101 0101"),
        (0.5, "1010 1010"),
        (0.25, "1000 1000"),
        (1, "1111 1111"),
        (0, "0000 0000"),
        ([True, False, False, True], "1001 1001"),
        ([[1, 0, 0, 0], [0, 0, 0, 1]], "1000 0001"),
    ],
)
def test_frame_patterns_mean_what_they_say(spec, frames):
    assert pattern(spec, 2, 4).tolist() == [[c == "1" for c in train] for train in frames.split()]


def test_a_share_is_spread_evenly():
    frames = pattern(0.3, 1, 100)[0]
    assert frames.sum() == 30
    assert frames.reshape(10, 10).sum(axis=1).tolist() == [3] * 10


@pytest.mark.parametrize("spec", ["sometimes", 1.5, [True, False]])
def test_patterns_that_mean_nothing_are_refused(spec):
    with pytest.raises(ValueError, match=r"pattern|share"):
        pattern(spec, 2, 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detector": "PILATUS"}, "no detector 'PILATUS' to simulate; known: AGIPD1M"),
        ({"data": "proc"}, "no data 'proc'; known: corr, raw"),
        ({"version": "2.0"}, r"known: 0.5, 1.0"),
        ({"layout": "virtual"}, "known: chunked, contiguous"),
        ({"devices": ("xgm", "magnet")}, r"no devices \['magnet'\]; known: xgm"),
        ({"sequences": 17}, "1 to 16"),
        ({"pulses": 353}, "352 memory cells"),
        ({"repetition_rate": 0.5, "pulses": 340}, "end at slot 2720"),
        ({"repetition_rate": 3.0}, "must be one of"),
        ({"modules": 17}, "1 to 16 modules"),
        ({"pool": 0}, "pool must be positive"),
        ({"compress_data": True, "layout": "contiguous"}, "use layout='chunked'"),
        ({"trains": 0}, "must be positive"),
    ],
)
def test_options_that_make_no_sense_are_refused_before_anything_is_written(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        make_run(tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_unknown_options_are_named_with_the_known_ones(tmp_path):
    with pytest.raises(TypeError, match=r"no option pulse; it has: .*pulses"):
        make_run(tmp_path, pulse=3)


def test_a_run_of_one_train_has_one_sequence():
    assert Settings(trains=1).sequences == 1


def test_numbers_of_jungfrau_modules_start_at_one():
    assert Settings(detector="JUNGFRAU", modules=3, pulses=4).numbers == (1, 2, 3)
