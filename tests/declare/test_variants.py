"""Variants as they are made and planned: what varies, what is shared, what is refused, in Python and in a line."""

import numpy as np
import pytest
from samples import TrainSums

import dxflow
from dxflow import From, PlanError
from dxflow.algorithms.average import Average
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.peaks import PeakFinder8
from dxflow.algorithms.subtract import Subtract
from dxflow.commands.arguments import parse, shared_parser
from dxflow.errors.usage import UsageError


def options(several, *names):
    return [tuple(one.options[n] for n in names) for one in several]


def test_lists_are_zipped_and_all_else_is_shared():
    made = PeakFinder8.variants(min_snr=[5, 6, 7], threshold=(0, 10, 10), panel=(8, 8), min_peaks=3)
    assert [one.name for one in made] == ["peaks_1", "peaks_2", "peaks_3"]
    assert options(made, "min_snr", "threshold", "panel", "min_peaks") == [
        (5, 0, (8, 8), 3),
        (6, 10, (8, 8), 3),
        (7, 10, (8, 8), 3),
    ]
    assert options(PeakFinder8.variants(panel=[(8, 8), (8, 16)]), "panel") == [((8, 8),), ((8, 16),)]
    assert len(LitFrames.variants(threshold=np.arange(1.0, 5.0))) == 4
    assert len(LitFrames.variants(pixels=range(1, 3), name="lit")) == 2
    assert [one.name for one in LitFrames.variants(pixels=[1, None], name=["a", "b"])] == ["a", "b"]
    assert len(Average.variants(per=["run"])) == 1


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"min_snr": [5, 6], "threshold": [1, 2, 3]}, ValueError, "2 min_snr, 3 threshold; expected as many"),
        ({"min_snrs": [5, 6]}, TypeError, "unknown option 'min_snrs'. Did you mean 'min_snr'"),
        ({"img": [From("a.img"), From("b.img")]}, TypeError, "img= is an input, which all variants share"),
        ({"min_snr": []}, ValueError, "an empty list"),
        ({}, TypeError, "no option is a list"),
        ({"min_snr": 5}, TypeError, r"no option is a list \(given: min_snr=5\)"),
        ({"geometry": "567"}, TypeError, r"no option is a list \(given: geometry='567'\)"),
        ({"panel": (8, 8)}, TypeError, "no option is a list"),
        ({"min_snr": [5, 6, 5]}, ValueError, "variants 1 and 3 are the same, min_snr=5"),
        ({"min_snr": [5, 5.0]}, ValueError, "variants 1 and 2 are the same"),
        ({"min_snr": [5, 6], "name": ["a"]}, ValueError, "for 2 variants"),
        ({"min_snr": [5, 6], "name": ["a", "a"]}, ValueError, "a name of its own for each"),
        ({"min_snr": [5, 6], "name": 3}, TypeError, "expected a text, or a list of texts"),
        ({"min_snr": [5, "x"]}, ValueError, "min_snr='x'; expected a number"),
    ],
)
def test_what_cannot_vary_is_refused(given, error, says):
    with pytest.raises(error, match=says):
        PeakFinder8.variants(**given)


def test_a_list_without_a_name_is_refused():
    with pytest.raises(TypeError, match="options are given by name"):
        LitFrames.variants([1, 2])


def test_names_that_would_mean_two_things_are_refused(half):
    three = LitFrames.variants(threshold=[1, 2, 3])
    for other in (
        LitFrames(),
        LitFrames(name="litframes_2"),
        LitFrames.variants(threshold=[1, 2], name=["a", "b"]),
    ):
        for several in ([three, other], [other, three]):
            with pytest.raises(PlanError, match="name"):
                dxflow.plan(half.path, several)
    plan = dxflow.plan(
        half.path, [three, LitFrames(name="one"), LitFrames.variants(threshold=[1, 2], name="two")]
    )
    assert len(plan.algorithms) == 6


class Reader(TrainSums):
    ALG_ID = "reader"


def test_another_algorithm_reads_one_variant(half):
    dark = Subtract.variants(dark=[np.zeros((8, 16, 16), "f4"), np.ones((8, 16, 16), "f4")])
    for name in ("subtract", "subtract.img"):
        with pytest.raises(
            PlanError, match=r"subtract has variants: subtract_1 \(dark=.*Say which, such as 'subtract_1"
        ):
            dxflow.plan(half.path, [dark, Reader(img=From(name))])


def test_tables_of_variants_that_are_alike_are_counted_once(half):
    def tables(several):
        return dxflow.plan(half.path, several, mask=None).memory.tables

    one, size = tables(PeakFinder8()), 8 * 16 * 16
    assert tables(PeakFinder8.variants(min_snr=[5, 6, 7])) < 1.1 * one
    assert tables(PeakFinder8.variants(min_res=[0, 1, 2])) > one + 2 * 35 * size
    assert tables([PeakFinder8(name=n) for n in "abc"]) > one + 2 * 35 * size
    assert PeakFinder8.alike(PeakFinder8.variants(panel=[(8, 8), (8, 8), (4, 8)], min_snr=[5, 6, 5])) == [
        [0, 1],
        [2],
    ]


def test_a_finished_result_of_instances_is_none_of_variants(half, tmp_path):
    to, img = tmp_path / "r.zarr", {}
    made = dxflow.plan(half.path, LitFrames.variants(threshold=[1, 2]), to)
    plain = dxflow.plan(half.path, [LitFrames(threshold=n, name=f"litframes_{n}") for n in (1, 2)], to, **img)
    assert made.digest != plain.digest
    assert made.digest == dxflow.plan(half.path, LitFrames.variants(threshold=[1, 2]), to).digest


# On the command line ------------------------------------------------------------------------------


def typed(*words):
    return parse(shared_parser("plan", ""), ["r0001", *words])[1]


def test_a_line_has_values_of_numbers_pairs_flags_and_choices():
    made = typed(
        "peaks",
        "--variants",
        "min-snr=5,6.5",
        "panel=8:8,8:16",
        "--variants",
        "touching=yes,no",
        "--min-peaks",
        "3",
    )
    want = [(5.0, [8, 8], True, 3), (6.5, [8, 16], False, 3)]
    assert options(made, "min_snr", "panel", "touching", "min_peaks") == want
    made = typed(
        "azint",
        "--energy",
        "9.3",
        "--variants",
        "qrange=0:1,0.5:2",
        "--name",
        "ai",
        "average",
        "--variants",
        "per=cell,run",
    )
    assert options(made[:2], "qrange") == [([0, 1],), ([0.5, 2],)]
    assert [one.name for one in made] == ["ai_1", "ai_2", "average_1", "average_2"]
    assert options(typed("azint", "--variants", "polarization=-1,1"), "polarization") == [(-1,), (1,)]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("peaks --variants min_snrs=5,6", "there is no option 'min_snrs'. Did you mean 'min_snr'"),
        ("peaks --variants min_snr", "expected min_snr=A,B"),
        ("peaks --variants min_snr=", "expected min_snr=A,B"),
        ("peaks --variants min_snr=5,x", "invalid float value: 'x'"),
        ("peaks --variants min_snr=5,6 min_snr=7", "given twice"),
        ("peaks --variants min_snr=5,6 threshold=1", "2 min_snr"),
        ("peaks --variants min_snr=5,5.0", "are the same"),
        ("peaks --min-snr 5 --variants min_snr=5,6", "min_snr is given, and its --variants"),
        ("peaks --variants touching=maybe", "expected yes or no"),
        ("peaks --variants panel=8,16", "expected 2 arguments"),
        ("peaks --variants name=a,b", "there is no option 'name'"),
        ("subtract --variants variable=a,b", "required: --dark"),
        ("average --variants per=cell,nothing", "invalid choice: 'nothing'"),
    ],
)
def test_a_line_that_cannot_be_is_refused(words, says):
    with pytest.raises(UsageError, match=says):
        typed(*words.split())


def test_a_plus_after_variants_reads_what_all_are_called_which_the_plan_refuses():
    made = typed("subtract", "--variants", "dark=a,b", "+", "average")
    assert made[2].inputs["img"] == From("subtract")
