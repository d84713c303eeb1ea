"""Clients whose workers have several threads, in processes or in this one, one reduction or two at a time."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from distributed import Client
from samples import RoiSum, Stats

import dxflow
from dxflow.simulate import make_run


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A run of many small chunks, and what one thread makes of it."""
    path = tmp_path_factory.mktemp("many") / "r0001"
    make_run(path, detector="AGIPD500K", trains=48, pulses=8, modules=4, module_shape=(64, 128))
    return path, values(path, "here")


def values(path, cluster):
    images = dxflow.Frames(modules=(0, 1, 2, 3))
    algorithms = [RoiSum(img=images), Stats(img=images)]
    result = dxflow.reduce(path, algorithms, cluster=cluster, chunk="1 MiB", block="256 KiB")
    assert result.losses.empty
    return {name: v.values.tobytes() for name, v in result.dataset.variables.items()}


@pytest.mark.parametrize(("workers", "threads", "processes"), [(1, 4, True), (2, 2, True), (1, 4, False)])
def test_threads_of_a_worker_do_not_share_what_they_read_into(many, workers, threads, processes):
    path, expected = many
    options = {"n_workers": workers, "threads_per_worker": threads, "processes": processes}
    with Client(**options, dashboard_address=None) as client, ThreadPoolExecutor(2) as at_once:
        for got in at_once.map(lambda _: values(path, client), range(2)):
            assert [name for name in expected if got[name] != expected[name]] == []
