"""What is said of a plan and a result: how many frames of how many, and nothing twice."""

import pytest
from samples import RoiSum

import dxflow
from dxflow.algorithms.average import Average
from dxflow.driver.words import lost_lines, time_rows, used
from dxflow.planning.words import text
from dxflow.run.losses import Loss
from dxflow.simulate import Plant, make_run


def row(module, used=80, expected=80, there=80, masked=None, **more):
    given = {"input": "DET image.data", "algorithms": ["average", "azint"], **more}
    return {
        "module": module,
        "used": used,
        "expected": expected,
        "there": there,
        "masked": masked or {},
        **given,
    }


def test_all_frames_are_one_line_with_their_algorithms():
    assert used([row(m) for m in range(16)]) == [
        "DET image.data: all 80 frames of 16 modules by average, azint"
    ]


def test_a_selection_says_of_how_many():
    assert used([row(0, used=20, expected=20)]) == [
        "DET image.data: all 20 frames selected of 80 of one module by average, azint"
    ]


def test_what_lacks_is_said_by_module_and_cause():
    rows = [
        row(0),
        row(3, used=0, masked={"missing module": 80}),
        row(4, used=0, masked={"missing module": 80}),
    ]
    assert used([*rows, row(5, used=75, masked={"unreadable": 5})]) == [
        "DET image.data: 48.4% of 80 frames of 4 modules, 155 of 320 by average, azint",
        "  modules 3-4: 0 of 80 (80 missing module)",
        "  module 5: 75 of 80 (5 unreadable)",
    ]


def test_almost_all_is_not_said_to_be_all():
    line, *_ = used([row(0, used=10**6 - 1, expected=10**6, there=10**6, masked={"unreadable": 1})])
    assert "99.9% of" in line


def test_what_the_plan_said_is_not_said_again():
    known, new = Loss("missing module", module=3), Loss("unreadable", 2, 1, 7, 7, "X", file="a.h5")
    assert lost_lines([known, new], frozenset([known])) == [
        "X (a.h5), train 7: unreadable, 2 frames",
        "what the plan says above",
    ]
    assert lost_lines([known], frozenset([known])) == ["what the plan says above"]
    assert lost_lines([], frozenset()) == ["nothing"]


def test_a_label_stands_once():
    assert text([("a", "1"), ("a", "2"), ("b", "3")], 3) == "a  1\n   2\nb  3"


def test_the_report_of_a_selection_with_a_missing_module(tmp_path):
    run = make_run(
        tmp_path / "r1", trains=4, pulses=4, module_shape=(4, 4), plant=Plant(missing_modules=(3,))
    )
    frames = dxflow.FrameSelection(trains=[10001, 10002])
    lines = (
        dxflow.reduce(run.path, Average(), cluster="here", frames=frames, on_fault="mask")
        .report()
        .splitlines()
    )
    at = next(n for n, line in enumerate(lines) if line.startswith("used"))
    assert lines[at : at + 2] == [
        "used     SPB_DET_AGIPD1M-1 image.data: 93.8% of 8 frames selected of 16 of 16 modules, 120 of 128 by average",
        "           module 3: 0 of 8 (8 missing module)",
    ]
    lost = "module 3 (SPB_DET_AGIPD1M-1), trains 10001-10002: missing module, 8 frames: the other modules have them"
    assert lines[-1] == f"lost     {lost}"


def test_a_size_of_chunks_that_cannot_be_is_said(tmp_path):
    run = make_run(tmp_path / "r1", trains=4, pulses=4, module_shape=(4, 4))

    def chunks(algorithm, **options):
        return next(
            x for x in str(dxflow.plan(run.path, algorithm, **options)).splitlines() if x.startswith("chunks")
        )

    single = "chunks      4 of up to 4.1 kB (not 100 B: one train is the least), read as module blocks"
    assert chunks(RoiSum(), chunk=100) == single
    assert "(not 100 B: smaller ones would leave more partial results than they read)" in chunks(
        Average(), chunk=100
    )
    shared = "chunks      4 of up to 4.1 kB (not 8 kB, so that workers share the run), read as module blocks"
    assert chunks(RoiSum(), chunk="8 kB", block=512) == shared
    two = "chunks      2 of up to 8.19 kB, read as module blocks"
    assert chunks(RoiSum(), chunk="8 kB", block=1024) == two
    assert "(" not in chunks(RoiSum())


def test_plans_and_reports_of_many_algorithms_fit_a_screen(tmp_path):
    run = make_run(tmp_path / "run", trains=2, pulses=2, module_shape=(4, 4), devices=())
    many = [RoiSum(name=f"a{n:02d}") for n in range(20)]
    plan = dxflow.plan(run.path, many)
    assert len(str(plan).splitlines()) <= 24
    assert "... and 14 more" in str(plan)
    result = dxflow.reduce(run.path, many, cluster="here")
    said = result.report()
    assert len(said.splitlines()) <= 24
    assert "by a00, a01, a02, a03, a04, a05, ... (20 in all)" in said
    assert "removed when nobody uses it any more" in said
    assert (
        dxflow.reduce(run.path, many[:7], tmp_path / "r.zarr", cluster="here").report().count("reads ") == 7
    )


@pytest.mark.parametrize(
    ("seconds", "size", "said"), [(9, 10**8, False), (11, 10**8, True), (4, 8 * 10**9, True)]
)
def test_what_bounded_a_run_is_said_of_runs_that_are_long_or_large(seconds, size, said):
    times = {"pass": seconds, "wall": 12.0, "bytes": size, "bound": "bounded by reading"}
    assert dict(time_rows(times, "read less")) == (
        {"time": "bounded by reading", "advice": "read less"}
        if said
        else {"time": f"the pass over the data took {seconds} of 12 s"}
    )
