"""What a plan answers: of itself, not of the one that it was made from, and the same on a worker."""

import pickle
from dataclasses import fields, replace

from samples import RoiSum, Stats

import dxflow


def test_a_plan_made_of_another_answers_for_itself(run):
    made = dxflow.plan(run.path, [RoiSum(), Stats()], chunk=1)
    digest, memory, sights, said = made.digest, made.memory, made.sights, str(made)
    other = replace(made, algorithms=made.algorithms[:1], chunks=made.chunks[:1])
    assert type(other) is dxflow.Plan
    assert other.digest != digest
    assert other.memory.total < memory.total
    assert list(other.sights) == list(sights)[:1]
    assert "stats" in said
    assert "stats" not in str(other)


def test_a_plan_answers_the_same_on_a_worker(run, tmp_path):
    made = dxflow.plan(run.path, [RoiSum(), Stats()], tmp_path / "x.zarr")
    there = pickle.loads(pickle.dumps(made))
    for one in ("digest", "memory", "handed_on", "bytes_to_read"):
        assert getattr(there, one) == getattr(made, one), one
    assert str(there) == str(made)
    assert there.explain() == made.explain()


def test_what_is_asked_of_a_plan_becomes_no_value_of_it(run):
    made = dxflow.plan(run.path, RoiSum())
    names = {field.name for field in fields(made)}
    assert names.isdisjoint({"digest", "fingerprint", "memory", "sights"})
    assert repr(made).startswith("<dxflow.Plan of ")
    assert "<table" in made._repr_html_()
