"""The account of a run: where time went in one sentence, what is read in bytes, and progress only where one looks."""

from collections import Counter

from samples import RoiSum

import dxflow
from dxflow.chunk import Summary
from dxflow.report import account, times


def summary(chunk, worker, read=0.0, wait=0.0, compute=0.0, write=0.0, reused=False, **more):
    seconds = {"read": read, "wait": wait, "compute": compute, "write": write}
    return Summary(chunk, worker, 10**9, seconds, more.pop("used", []), reused=reused, **more)


def test_times_are_summed_by_worker_and_reused_chunks_count_for_nothing():
    chunks = [summary(0, "a:1", compute=2), summary(1, "b:2", compute=3), summary(2, "a:1", compute=4)]
    out = times([*chunks, summary(3, "c:3", compute=99, reused=True)], 10)
    assert {w: t["compute"] for w, t in out["workers"].items()} == {"a:1": 6, "b:2": 3}
    assert out["sum"]["compute"] == 9
    assert out["bytes"] == 3 * 10**9
    assert out["rate"] == 3 * 10**8


def test_what_no_loss_explains_was_lost_to_a_hook(run):
    plan = dxflow.plan(run.path, RoiSum())
    used = [[0, m, 72 - 6 * (m == 3)] for m in range(16)]
    rows = account(plan, [summary(0, "a:1", used=used)], [])
    assert [r["used"] for r in rows] == [72, 72, 72, 66] + [72] * 12
    assert [r["masked"] for r in rows if r["masked"]] == [{"exception in hook": 6}]


def test_the_manifest_keeps_what_is_needed_to_do_it_again(run):
    manifest = dxflow.reduce(run.path, RoiSum(ss=(1, 2)), cluster="here").manifest
    made = manifest["plan"]
    assert made["algorithms"][0]["options"] == {"ss": [1, 2]}
    assert all(size > 0 for size, *_ in made["files"].values())
    assert Counter(manifest["chunks"]) == {"computed": len(made["chunks"]), "reused": 0}
    assert "dxflow" in made["versions"]


def test_a_chunk_found_after_its_worker_died_was_computed_by_this_run(run, tmp_path):
    from dataclasses import replace

    from dxflow import journal
    from dxflow.chunk import Workspace, run_chunk
    from dxflow.report import Report

    plan = dxflow.plan(run.path, RoiSum(), tmp_path / "x.zarr", chunk=5_000)
    work = Workspace(plan, journal.begin(plan))
    first = run_chunk(work, 0)
    again = run_chunk(work, 0)
    assert again.reused
    for found, reused in ((set(), False), (journal.found(work.folder, plan), True)):
        report = Report(plan, found)
        report.add(again)
        assert report.in_order()[0] == replace(again, reused=reused)
    assert first.chunk in journal.found(work.folder, plan)
