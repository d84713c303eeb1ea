"""Where data come from: what is given in place of files is read as files are, and what it lacks is counted."""

from dataclasses import dataclass, replace
from typing import Any

import extra_data
import numpy as np
import pytest
from samples import RoiSum, Stats, TrainSums

import dxflow
from dxflow import Key, Output, PulseKey
from dxflow.driver.execute import execute
from dxflow.driver.growing import growing
from dxflow.reader.extents import Extents
from dxflow.reader.faults import ReadFault
from dxflow.run.locate import nowhere
from dxflow.run.losses import Loss

MOTOR = "actualPosition.value"


@dataclass
class Held:
    """Some rows that are in memory, or are not to be had."""

    values: Any
    why: ReadFault | None = None

    @property
    def count(self):
        return len(self.values)

    def read(self, start, stop, out):
        if self.why is not None:
            raise self.why
        out[:] = self.values[start:stop]


@dataclass
class Stream:
    """What came of a stream: by source, key, train and pulse (0 of what has none); `dropped` trains came too fast."""

    came: dict
    dropped: tuple = ()

    def extents(self, bound, module, rows, *, mask):
        assert not bound.location.files
        source, key = bound.location.sources[module], "image.mask" if mask else bound.key
        trains, pulses = (bound.index.labels(rows).get(name) for name in ("train_id", "pulse_id"))
        pulses = np.zeros(len(trains), int) if pulses is None else pulses
        found = []
        for n, (train, pulse) in enumerate(zip(trains.tolist(), pulses.tolist(), strict=True)):
            value = self.came.get((source, key, train, pulse))
            if value is not None:
                why = ReadFault("tcp://host:1", source, n, 1, "the work was slower", "dropped")
                found.append((n, Held(value[None], why if train in self.dropped else None)))
        return Extents(found)


def received(run, keys):
    """Return all entries of some sources of a run, as EXtra-data reads them: by source, key, train, and pulse or 0."""
    came, opened = {}, extra_data.RunDirectory(run.path)
    for source, key in keys:
        data = opened[source, key]
        trains = data.train_id_coordinates().tolist()
        image = key.startswith("image.")
        pulses = opened[source, "image.pulseId"].ndarray().ravel().tolist() if image else [0] * len(trains)
        for train, pulse, value in zip(trains, pulses, data.ndarray(), strict=True):
            came[source, key, train, pulse] = value
    return came


def streamed(made, given):
    """Return a plan whose inputs are in no file."""
    return replace(made, inputs=tuple(_unfiled(bound) for bound in made.inputs), given=given)


def _unfiled(bound):
    mask = bound.mask and replace(
        bound.mask, location=bound.mask.location and _nowhere(bound, bound.mask.location)
    )
    parts = tuple(_unfiled(part) for part in bound.parts)
    return replace(bound, location=_nowhere(bound, bound.location), mask=mask, parts=parts)


def _nowhere(bound, at):
    return nowhere(bound.index, at.shape, at.dtype, at.unit, at.sources)


class Moved(Stats):
    """Reads a number of each train beside its frames."""

    ALG_ID = "moved"

    def outputs(self, info):
        made = {"sum": Output(per="run"), "each": Output(per="train")}
        return made | ({"energy": Output(per="img")} if "energy" in self.inputs else {})

    def process_train_data(self, train, out):
        if "energy" in self.inputs:
            out.energy = train["energy"]
        out.each = train["x"]
        out.sum += train["x"] * len(train["img"])

    process_module_data = dxflow.Algorithm.process_module_data
    finalize = dxflow.Algorithm.finalize


def with_keys(**keys):
    algorithm = Moved()
    algorithm.inputs = {**algorithm.inputs, **keys}
    return algorithm


CASES = {"blocks": [Stats, RoiSum], "trains": [Stats, TrainSums, Moved]}


def plan(run, makers, motor=None, **options):
    """Return a plan of a few algorithms of a run."""
    x = Key(motor or run.devices["motor"], MOTOR)
    made = [with_keys(x=x) if make is Moved else make() for make in makers]
    return dxflow.plan(run if motor else run.path, made, chunk="5 trains", on_fault="mask", **options)


@pytest.fixture(scope="module")
def came(gappy):
    frames = [(s, key) for s in gappy.sources for key in ("image.data", "image.mask")]
    return received(gappy, [*frames, (gappy.devices["motor"], MOTOR)])


def same(stream, files):
    """Check that two results have the same bits; times of trains are known of files."""
    assert set(files.dataset.variables) - {"time"} == set(stream.dataset.variables)
    for name, variable in stream.dataset.variables.items():
        assert variable.values.tobytes() == files.dataset.variables[name].values.tobytes(), name


@pytest.mark.parametrize("makers", CASES.values(), ids=CASES)
@pytest.mark.parametrize("mask", ["auto", None])
def test_what_came_of_a_stream_gives_the_bits_of_the_same_data_in_files(gappy, came, makers, mask):
    made = plan(gappy, makers, mask=mask)
    files, stream = execute(made, "here"), execute(streamed(made, Stream(came)), "here")
    same(stream, files)
    assert stream.manifest["losses"] == files.manifest["losses"]
    assert stream.manifest["account"] == files.manifest["account"]


def test_workers_are_given_it_with_the_plan(gappy, came, client):
    made = plan(gappy, CASES["trains"])
    same(execute(streamed(made, Stream(came)), client), execute(made, "here"))


def test_what_is_made_of_several_sources_is_made_of_a_stream_as_well(run):
    """The energy of the pulse of each frame: of a gas monitor and the bunch pattern."""
    x, energy = Key(run.devices["motor"], MOTOR), PulseKey(f"{run.devices['xgm']}:output", "data.intensityTD")
    made = dxflow.plan(run.path, with_keys(x=x, energy=energy), chunk="5 trains", mask=None)
    keys = [
        (b.location.sources[0], b.key) for i in made.inputs for b in (i.parts or (i,)) if b.kind != "frames"
    ]
    stream = Stream(received(run, [*keys, *((source, "image.data") for source in run.sources)]))
    files = execute(made, "here")
    same(execute(streamed(made, stream), "here"), files)
    assert len(np.unique(files.dataset["moved.energy"])) > 10


def without(run, *trains):
    """Return a run without some trains."""
    opened = extra_data.RunDirectory(run.path)
    return opened.select_trains(extra_data.by_id[[t for t in opened.train_ids if t not in trains]])


@pytest.mark.parametrize("makers", CASES.values(), ids=CASES)
def test_trains_that_were_dropped_or_did_not_come_are_counted(gappy, came, makers):
    """Of one that was dropped the frames are known, of one that did not come nothing but that it is not there."""
    dropped, absent = int(gappy.train_ids[5]), int(gappy.train_ids[10])
    known = plan(without(gappy, absent), makers, motor=gappy.devices["motor"])
    lost = Loss("not received", 0, 1, absent, absent, "tcp://host:1", detail="a gap between train ids")
    known = replace(known, losses=(*known.losses, lost))
    stream = execute(streamed(known, Stream(came, (dropped,))), "here")
    files = execute(plan(without(gappy, absent, dropped), makers, motor=gappy.devices["motor"]), "here")
    totals = [
        name for name, v in files.dataset.variables.items() if "train" not in v.dims[:1] and "." in name
    ]
    assert len(totals) > 3
    for name in (n for n in totals if not {"frame", "tsum.ev_event"} & set(files.dataset[n].dims)):
        got = stream.dataset.variables[name].values
        assert got.tobytes() == files.dataset.variables[name].values.tobytes(), name
    there = {s: sum((s, "image.data", dropped, p) in came for p in range(100)) for s in gappy.sources}
    for row, source in zip(stream.manifest["account"], gappy.sources, strict=True):
        assert row["masked"].get("dropped", 0) == there[source]
        assert row["expected"] == row["used"] + sum(row["masked"].values())
        assert "unexplained" not in row["masked"]
    causes = stream.losses.groupby("cause")
    assert causes.get_group("not received")[["trains", "first_train"]].values.tolist() == [[1, absent]]
    frames = causes.get_group("dropped").groupby("source")["frames"].sum().to_dict()
    assert {s: frames.get(s, 0) for s in there} == there
    assert max(there.values()) > 0
    assert set(causes.get_group("dropped")["first_train"]) == {dropped}


def test_on_request_the_first_train_that_was_dropped_ends_it(gappy, came):
    dropped = int(gappy.train_ids[5])
    made = replace(plan(gappy, [Stats]), on_fault="raise")
    with pytest.raises(ReadFault, match="tcp://host:1: .*: the work was slower"):
        execute(streamed(made, Stream(came, (dropped,))), "here")


@pytest.mark.parametrize("makers", CASES.values(), ids=CASES)
def test_of_a_stream_only_the_trains_of_chunks_to_come_are_needed(gappy, came, makers, tmp_path):
    """Each result is that of all trains that came so far; what was worked on is forgotten."""
    ids, options = np.array(gappy.train_ids), {"motor": gappy.devices["motor"]}

    def until(train, **to):
        return plan(without(gappy, *ids[ids >= train].tolist()), makers, **options, **to)

    with growing(until(10005, to=tmp_path / "x.zarr")) as known:
        for first, last in ((0, 10005), (10005, 10010), (10010, 10013)):
            new = {k: value for k, value in came.items() if first <= k[2] < last}
            made = streamed(until(last, to=tmp_path / f"{last}.zarr"), Stream(new))
            same(execute(made, "here", within=known), execute(until(last), "here"))
    assert 10013 > ids[-1] > 10005
