import numpy as np
import pytest
import xarray as xr
from samples import RoiSum

import dxflow
from dxflow import Algorithm, Frames, Output
from dxflow.fingerprint import differences, plain


def test_equal_plans_have_equal_fingerprints(run):
    first, second = (dxflow.plan(run.path, RoiSum()).fingerprint for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    ("options", "changed"),
    [
        ({"chunk": 5_000}, "chunks"),
        ({"block": 5_000}, "block"),
        ({"on_fault": "mask"}, "on_fault"),
        ({"frames": dxflow.FrameSelection(pulses=[0])}, "selection"),
    ],
)
def test_what_decides_the_bits_is_in_the_fingerprint(run, options, changed):
    plain_one = dxflow.plan(run.path, RoiSum(), chunk="1 GiB", block="1 MiB").fingerprint
    other = dxflow.plan(run.path, RoiSum(), **({"chunk": "1 GiB", "block": "1 MiB"} | options)).fingerprint
    assert changed in differences(plain_one, other)


def test_the_number_of_reader_threads_is_not(run):
    assert (
        dxflow.plan(run.path, RoiSum(), readers=3).fingerprint == dxflow.plan(run.path, RoiSum()).fingerprint
    )


class WithOption(Algorithm):
    """Takes anything as an option."""

    ALG_ID = "with"
    inputs = {"img": Frames()}

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--what", default=None)

    def outputs(self, info):
        return {"n": Output()}

    def process_module_data(self, block, out):
        out.n += len(block)


class Plain:
    """An object whose repr is its address."""

    def __init__(self, number):
        self.number = number


@pytest.mark.parametrize(
    ("one", "same", "other"),
    [
        (np.arange(3), np.arange(3), np.arange(4)),
        (
            xr.Dataset({"a": ("x", [1, 2])}),
            xr.Dataset({"a": ("x", [1, 2])}),
            xr.Dataset({"a": ("x", [1, 3])}),
        ),
        (Plain(1), Plain(1), Plain(2)),
        ([1, (2.5, "a")], [1, (2.5, "a")], [1, (2.5, "b")]),
        (slice(1, 4), slice(1, 4), slice(1, 5)),
    ],
)
def test_options_count_by_their_content(run, one, same, other):
    prints = [dxflow.plan(run.path, WithOption(what=w)).fingerprint["algorithms"] for w in (one, same, other)]
    assert prints[0] == prints[1] != prints[2]


def test_a_file_given_as_an_option_counts_with_its_date(tmp_path):
    path = tmp_path / "geometry.npy"
    path.write_bytes(b"1")
    first = plain(str(path))
    path.write_bytes(b"22")
    assert plain(str(path)) != first
    assert plain("no such file") == "no such file"


def test_a_change_in_the_file_of_an_algorithm_changes_its_fingerprint(run, tmp_path, monkeypatch):
    import importlib

    monkeypatch.syspath_prepend(tmp_path)
    text = "from samples import RoiSum\nclass Mine(RoiSum):\n    ALG_ID = 'mine'\n"
    (tmp_path / "mine_of_user.py").write_text(text)
    (tmp_path / "_kernels_of_user.py").write_text("x = 1\n")
    module = importlib.import_module("mine_of_user")
    first = dxflow.plan(run.path, module.Mine()).fingerprint["algorithms"]
    (tmp_path / "_kernels_of_user.py").write_text("x = 2\n")
    assert dxflow.plan(run.path, module.Mine()).fingerprint["algorithms"] != first
