"""Small file systems that are full, read-only, or without room for another file."""

import subprocess
from contextlib import contextmanager

import pytest


@contextmanager
def mounted(folder, **options):
    """Mount a file system in memory: `size`, `nr_inodes`, `ro`."""
    folder.mkdir()
    words = ",".join(key if value is None else f"{key}={value}" for key, value in options.items())
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", words, "none", folder], capture_output=True, check=False
    )
    if done.returncode:
        pytest.skip("needs the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
