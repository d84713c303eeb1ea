"""Each output has a place of its own in the files."""

from samples import RoiSum

import dxflow
from dxflow.stores.exdf.places import Places
from dxflow.stores.variables import Variables


def places(run, *names):
    plan = dxflow.plan(run.path, [RoiSum(name=n) for n in names], cluster="here")
    return Places(Variables(plan))


def test_sources_are_named_by_detector_and_algorithm(run):
    made = places(run, "roisum")
    assert made.algorithms == {"roisum": "SPB_DET_AGIPD1M-1/DXFLOW/ROISUM"}
    paths = {i.variable.name: i.place.path for i in made.items}
    assert paths["roisum.intensity"] == "INSTRUMENT/SPB_DET_AGIPD1M-1/DXFLOW/ROISUM:output/frame/intensity"
    assert paths["modules_used"] == "INSTRUMENT/SPB_DET_AGIPD1M-1/DXFLOW/REDUCTION:output/frame/modulesUsed"


def test_names_that_would_be_equal_are_kept_apart(run):
    made = places(run, "a", "A", "a.b", "a_b", "reduction")
    assert len({*made.algorithms.values(), made.shared}) == 6


def test_no_two_variables_share_a_place(run):
    made = places(run, "a", "A")
    taken = [i.place.path for i in made.items]
    assert len(set(taken)) == len(taken)
    assert all(place.path for _, place in made.coordinates())


def test_the_source_of_losses_ends_with_a_real_one(run):
    made = places(run, "a")
    assert made.reduction.endswith(made.shared)
