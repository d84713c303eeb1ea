"""Threads read ahead, also of the chunk that comes next; a wrong guess costs what was read, and nothing else."""

import threading
import time
from unittest import mock

import numpy as np
import pytest
from distributed import Client, LocalCluster
from samples import Stats, TrainSums

import dxflow
from dxflow import Algorithm, Frames, Key, Output
from dxflow.clusters.runner import Here
from dxflow.testing.case import cut
from dxflow.worker.source import Source

PATIENCE = 20


def reader_threads():
    return [t for t in threading.enumerate() if t.name.startswith("dxflow-reader")]


class Patient(TrainSums):
    """Works on a train only when reading of the next one has begun, or after a long time."""

    ALG_ID = "tsum"

    def process_train_data(self, train, out):
        deadline = time.monotonic() + PATIENCE
        while train.index + 1 not in self.begun and train.index < self.last and time.monotonic() < deadline:
            time.sleep(0.005)
        assert train.index == self.last or train.index + 1 in self.begun
        super().process_train_data(train, out)


@pytest.fixture
def begun():
    """The trains of which reading has begun in this process."""
    found, real = set(), Source.fill

    def fill(self, window, buffer):
        found.add(window.first)
        return real(self, window, buffer)

    with mock.patch.object(Source, "fill", fill):
        yield found


def test_the_next_chunk_is_read_while_a_train_is_worked_on(run, begun):
    expected = dxflow.reduce(run.path, TrainSums(), cluster="here").dataset
    begun.clear()
    with mock.patch.multiple(Patient, begun=begun, last=len(run.train_ids) - 1, create=True):
        made = cut(dxflow.plan(run.path, Patient(), readers=1), 1)
        result = dxflow.execute(made, "here")
    np.testing.assert_array_equal(result.dataset["tsum.row"], expected["tsum.row"])
    assert reader_threads() == []


class WithKey(Algorithm):
    ALG_ID = "key"
    inputs = {"img": Frames("image.data"), "x": None}

    def outputs(self, info):
        return {"x": Output(per="img"), "sum": Output(per="img"), "n": Output(per="run", dtype="i8")}

    def process_train_data(self, train, out):
        out.x = train["x"]
        out.sum = np.nansum(train["img"], axis=(1, 2, 3))
        out.n += len(train["img"])


@pytest.mark.parametrize("guess", ["right", "none", "wrong", "one too far", "itself"])
@pytest.mark.parametrize("readers", [1, 3])
def test_whatever_is_thought_to_come_next_the_bits_are_the_same(gappy, guess, readers):
    motor = Key(gappy.devices["motor"], "actualPosition.value")

    def plan(**options):
        algorithms = [WithKey(x=motor), Stats()]
        return cut(dxflow.plan(gappy.path, algorithms, **options), 2)

    expected = dxflow.execute(plan(readers=0), "here").dataset
    real = Here._upcoming

    def upcoming(self):
        number = real(self)
        if number is None or guess == "right":
            return number
        last = number >= 3
        return {"none": None, "wrong": 0, "one too far": number + (not last), "itself": number - 1}[guess]

    with mock.patch.object(Here, "_upcoming", upcoming):
        result = dxflow.execute(plan(readers=readers), "here")
    for name, variable in expected.variables.items():
        assert result.dataset.variables[name].values.tobytes() == variable.values.tobytes(), name
    assert reader_threads() == []


class Raises(TrainSums):
    ALG_ID = "tsum"

    def process_train_data(self, train, out):
        if train.index == 2:
            raise ZeroDivisionError("planted")
        super().process_train_data(train, out)


def test_a_hook_that_raises_ends_the_threads_or_costs_its_train(run):
    with pytest.raises(ZeroDivisionError):
        dxflow.execute(cut(dxflow.plan(run.path, Raises(), readers=1), 1), "here")
    assert reader_threads() == []
    made = cut(dxflow.plan(run.path, Raises(), readers=1, on_fault="mask"), 1)
    result = dxflow.execute(made, "here")
    assert result.losses.trains.tolist() == [1]
    assert np.isnan(result.dataset["tsum.row"]).sum() == np.sum(result.dataset.train_id == run.train_ids[2])
    assert reader_threads() == []


def test_workers_know_what_they_do_next(run, begun):
    """Of a Dask worker, as its scheduler has told it; this fails where a new version of Dask keeps that elsewhere."""
    expected = dxflow.reduce(run.path, TrainSums(), cluster="here").dataset
    begun.clear()
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None) as cluster,
        Client(cluster, set_as_default=False) as client,
        mock.patch.multiple(Patient, begun=begun, last=len(run.train_ids) - 1, create=True),
    ):
        # With eight chunks or more a merge may be what comes next.
        made = cut(dxflow.plan(run.path, Patient(), readers=1), 2)
        result = dxflow.execute(made, client)
    np.testing.assert_array_equal(result.dataset["tsum.row"], expected["tsum.row"])
