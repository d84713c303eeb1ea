"""Reductions on a real Slurm: same bits as here, jobs replaced, nothing left behind, refusals in Slurm's words."""

import time

import numpy as np
import pytest
from samples import RoiSum, Stats

import dxflow
from dxflow.clusters import Slurm

SMALL = {"chunk": "200 kB", "block": "20 kB"}
"""A few dozen chunks."""


def options(**more):
    return {"jobs": 2, "cores": 1, "poll": 0.5, **more}


@pytest.fixture(scope="module")
def expected(run, tmp_path_factory):
    """What a run in this process gives."""
    to = tmp_path_factory.mktemp("here") / "here.zarr"
    return dxflow.reduce(run.path, [Stats(), RoiSum()], to, cluster="here", **SMALL).dataset.load()


def assert_same_bits(found, expected):
    assert set(found) == set(expected)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_a_run_on_slurm_gives_the_bits_of_a_run_here_and_leaves_no_job(run, slurm, tmp_path, expected):
    cluster = Slurm(**options(jobs=3))
    began = time.monotonic()
    found = dxflow.reduce(run.path, [Stats(), RoiSum()], tmp_path / "there.zarr", cluster=cluster, **SMALL)
    assert time.monotonic() - began < 30
    assert_same_bits(found.dataset, expected)
    slurm.wait(lambda: not slurm.jobs())
    account = cluster.accounting()
    assert [job["cause"] for job in account["jobs"]] == ["ended with the run"] * 3
    assert 0 < account["node_seconds"] < account["asked"]
    assert not (cluster.folder / "tls").exists()
    assert len(list((cluster.folder / "logs").glob("*.log"))) == 3
