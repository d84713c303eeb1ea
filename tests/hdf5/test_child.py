"""The writing process does what it is told, answers once, and leaves nothing unfinished."""

import json
import subprocess

import h5py
import numpy as np
import pytest

from dxflow.disk.process import command


def told(tmp_path, *commands, array=None):
    """Give commands to a process; return its exit code, its answer and what is in the folder."""
    lines = [json.dumps(["open", [str(tmp_path / "x.part")], None])]
    lines += [json.dumps(c) for c in commands]
    text = "\n".join(lines).encode() + b"\n" + (b"" if array is None else array)
    done = subprocess.run(command("dxflow.hdf5.child"), input=text, capture_output=True)
    return done.returncode, json.loads(done.stdout), [p.name for p in tmp_path.iterdir()]


def test_a_file_that_is_closed_stays_and_its_size_is_the_answer(tmp_path):
    code, answer, names = told(tmp_path, ["text", ["a", ["b"]], None], ["close", [], None])
    assert (code, names) == (0, ["x.part"])
    assert answer["bytes"] == (tmp_path / "x.part").stat().st_size
    with h5py.File(tmp_path / "x.part") as file:
        assert file["a"].asstr()[:].tolist() == ["b"]


def test_at_the_end_of_the_input_the_unfinished_file_goes(tmp_path):
    assert told(tmp_path, ["text", ["a", ["b"]], None]) == (0, {}, [])


def test_half_an_array_is_not_taken(tmp_path):
    code, answer, names = told(tmp_path, ["plain", ["a"], ["<f8", [4]]], array=bytes(20))
    assert (code, names) == (1, [])
    assert "the input ended after 20 of 32 bytes" in answer["error"]


@pytest.mark.parametrize("command", [["append", ["unknown"], ["<f8", [0]]], ["no such thing", [], None]])
def test_what_cannot_be_done_is_the_answer(tmp_path, command):
    code, answer, names = told(tmp_path, command)
    assert (code, names) == (1, [])
    assert "Error" in answer["error"]
    assert answer["free"] > 0


def test_a_file_that_is_there_is_not_touched(tmp_path):
    (tmp_path / "x.part").write_bytes(b"mine")
    code, answer, _ = told(tmp_path, ["close", [], None])
    assert code == 1
    assert "error" in answer
    assert (tmp_path / "x.part").read_bytes() == b"mine"


def test_the_checksum_is_that_of_the_file(tmp_path):
    import zlib

    _, answer, _ = told(
        tmp_path,
        ["rows", ["a", "<f8", [], None, True], None],
        ["append", ["a"], ["<f8", [3]]],
        array=np.arange(3.0).tobytes() + b'["close", [], null]\n',
    )
    assert answer["crc32"] == zlib.crc32((tmp_path / "x.part").read_bytes())
