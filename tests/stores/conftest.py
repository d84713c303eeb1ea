"""Disks that are full or read-only."""

import subprocess

import pytest


def _mounted(folder, *options):
    done = subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], capture_output=True)
    if done.returncode:
        pytest.skip("mounting needs root")


@pytest.fixture
def small_disk(tmp_path):
    """A folder with room for 16 MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    _mounted(folder, "-o", "size=16m")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.fixture
def read_only_disk(tmp_path):
    """A folder in which nothing can be written."""
    folder = tmp_path / "fixed"
    folder.mkdir()
    _mounted(folder, "-o", "ro,size=1m")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
