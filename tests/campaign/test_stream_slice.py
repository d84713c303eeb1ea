"""A slice of the campaign of streams: some seconds of one that is faster than the work."""

from campaign import stream


def test_the_account_of_a_stream_that_is_too_fast_is_exact_and_memory_is_bounded():
    words = "--seconds 4 --work 8 --times 4 --frames 2 --modules 2 --buffer 8 --cluster here"
    found = stream.run(stream.arguments(words.split()))
    assert stream.exact(found) == []
    assert found["account"].kept > 0
