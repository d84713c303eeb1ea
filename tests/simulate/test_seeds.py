"""Random streams."""

import numpy as np

from dxflow.simulate.seeds import Stream, generator


def draw(*what):
    return generator(*what).random(4)


def test_a_stream_is_the_same_each_time_and_others_differ():
    first = draw(1, Stream.PHOTONS, 2, 3)
    assert np.array_equal(first, draw(1, Stream.PHOTONS, 2, 3))
    for other in (
        (2, Stream.PHOTONS, 2, 3),
        (1, Stream.ENERGY, 2, 3),
        (1, Stream.PHOTONS, 3, 2),
        (1, Stream.PHOTONS, 2),
    ):
        assert not np.array_equal(first, draw(*other))


def test_every_stream_has_a_number_of_its_own():
    assert len({int(stream) for stream in Stream}) == len(Stream.__members__)
