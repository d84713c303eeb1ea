"""SHA-256 by our threads and lists against coreutils' own."""

import hashlib
import os
import subprocess

import pytest

from dxflow.red.hashed import each, hashed, listed, read_list

NAMES = ["a", "b c", "new\nline", "back\\slash", "cr\r", "dollar$(x)`", os.fsdecode(b"\xff latin"), "d/e"]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "d").mkdir()
    for number, name in enumerate(NAMES):
        (tmp_path / name).write_bytes(os.urandom(number * 400_000))
    return tmp_path


def test_a_list_of_odd_names_is_checked_by_coreutils_and_read_again(folder):
    found = dict(each((name, folder / name) for name in NAMES))
    sums = {name: one.sha256 for name, one in found.items()}
    assert sums == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in NAMES}
    (folder / "list").write_bytes(listed(sums))
    done = subprocess.run(
        ["sha256sum", "--quiet", "--strict", "-c", "list"], cwd=folder, capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert read_list((folder / "list").read_bytes()) == sums
    (folder / "b c").write_bytes(b"x")
    assert subprocess.run(
        ["sha256sum", "-c", "list"], cwd=folder, capture_output=True, check=False
    ).returncode


def test_a_file_is_hashed_while_it_is_copied_and_nothing_is_replaced(folder):
    made = hashed(folder / "d/e", folder / "copy")
    assert made == hashed(folder / "copy")
    assert made.size == os.path.getsize(folder / "d/e")
    with pytest.raises(FileExistsError):
        hashed(folder / "a", folder / "copy")


def test_what_cannot_be_read_is_told_in_its_place(folder):
    found = dict(each([("a", folder / "a"), ("none", folder / "none"), ("b", folder / "b c")]))
    assert isinstance(found["none"], FileNotFoundError)
    assert found["b"].size


@pytest.mark.parametrize(
    "raw",
    [
        b"0" * 64 + b"  ../out\n",
        b"0" * 64 + b"  /etc/passwd\n",
        b"0" * 64 + b"  a/./b\n",
        b"0" * 63 + b"g  a\n",
        b"0" * 64 + b" a\n",
        b"0" * 64 + b"  a",
        (b"0" * 64 + b"  a\n") * 2,
        b"\\" + b"0" * 64 + b"  ..\n",
    ],
)
def test_lists_that_lead_elsewhere_or_are_cut_short_are_refused(raw):
    with pytest.raises(ValueError, match="line"):
        read_list(raw)
