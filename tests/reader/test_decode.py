import subprocess
import sys
import zlib

import numpy as np
import pytest

from dxflow.reader import decode


@pytest.fixture(params=["libdeflate", "zlib"])
def engine(request, monkeypatch):
    """Either inflate; zlib is what remains where libdeflate is not installed."""
    if request.param == "zlib":
        monkeypatch.setitem(sys.modules, "deflate", None)
    decode._inflater.cache_clear()
    yield request.param
    decode._inflater.cache_clear()


def test_inflates_what_zlib_deflates(engine):
    data = np.random.default_rng(0).integers(0, 5, 10_000).astype("u1").tobytes()
    assert decode.inflate(zlib.compress(data, 1), len(data)) == data


@pytest.mark.parametrize("wrong", [9_999, 10_001])
def test_refuses_another_size_than_expected(engine, wrong):
    data = zlib.compress(bytes(10_000))
    try:
        found = len(decode.inflate(data, wrong))
    except decode.DecodeError:
        found = 0
    # A shorter one may come out, and is refused by the check that follows for every chunk.
    assert found < wrong


def test_a_small_chunk_that_inflates_to_much_is_refused_without_the_memory(engine):
    bomb = zlib.compress(bytes(2**28), 9)
    with pytest.raises(decode.DecodeError):
        decode.inflate(bomb, 1000)


@pytest.mark.parametrize("cut", [1, 10])
def test_refuses_truncated_data(engine, cut):
    with pytest.raises(decode.DecodeError):
        decode.inflate(zlib.compress(bytes(range(250)))[:-cut], 250)


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4", "f8"])
@pytest.mark.parametrize("count", [77, 7777])
def test_unshuffles_every_size_of_value(dtype, count):
    values = np.random.default_rng(1).integers(0, 200, count).astype(dtype)
    planes = values.view("u1").reshape(count, -1).T.copy()
    out = np.zeros(values.nbytes, np.uint8)
    decode.unshuffle(planes, out)
    np.testing.assert_array_equal(out.view(dtype), values)


def test_small_frames_do_not_load_the_compiler():
    """It takes each worker a second, which runs of small frames do not earn back."""
    code = """if True:
        import sys
        import numpy as np
        from dxflow.reader import decode
        out = np.zeros(decode.SMALL, np.uint8)
        decode.unshuffle(np.arange(decode.SMALL).astype("u1").reshape(4, -1), out)
        assert "numba" not in sys.modules
        decode.unshuffle(np.zeros((4, decode.SMALL), "u1"), np.zeros(4 * decode.SMALL, np.uint8))
        assert "numba" in sys.modules
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
