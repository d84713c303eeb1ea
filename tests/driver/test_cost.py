"""What a run cost: sums over workers, nodes and starts of the cluster."""

from samples import RoiSum

import dxflow
from dxflow.driver.cost import cost, rows
from dxflow.worker.summary import Summary


def chunk(number, worker="a:1", wait=0.0, compute=1.0, write=0.0, reused=False):
    seconds = {"read": 50.0, "wait": wait, "compute": compute, "write": write}
    return Summary(number, worker, 10**9, seconds, [], reused=reused)


QUEUE = {
    "kind": "3 SLURM jobs, partition upex; logs in /x",
    "jobs": [{"id": "1"}, {"id": "2"}],
    "node_seconds": 3600.0,
    "asked": 7200.0,
    "waited": 30.0,
    "deaths": [{"job": "1", "node": "n1", "cause": "preempted"}],
    "requeues": 1,
}


def test_busy_time_counts_waiting_computing_and_writing_but_not_reading_ahead():
    found = cost([chunk(0, "a:1", 1, 2, 1), chunk(1, "a:2", 0, 4, 0), chunk(2, reused=True)], 5, [])
    assert found["busy"] == 8
    assert found["workers"] == 2
    assert found["efficiency"] == 0.8


def test_rates_are_those_of_nodes():
    found = cost([chunk(0, "a:1"), chunk(1, "a:2"), chunk(2, "b:1")], 2, [])
    assert found["nodes"] == {
        "a": {"workers": 2, "bytes": 2 * 10**9, "rate": 10**9},
        "b": {"workers": 1, "bytes": 10**9, "rate": 5 * 10**8},
    }
    assert "500 MB/s to 1 GB/s per node on 2 nodes" in rows(found)[0][1]


def test_jobs_of_all_starts_of_the_cluster_are_summed():
    found = cost([chunk(0)], 1, [QUEUE, {**QUEUE, "jobs": [{"id": "3"}], "waited": None}])
    assert [job["id"] for job in found["jobs"]] == ["1", "2", "3"]
    assert (found["asked"], found["used"], found["waited"], found["requeues"]) == (14400, 7200, 30, 2)
    assert rows(found) == [
        ("cluster", "3 SLURM jobs, partition upex: 100% busy in the pass, 1 GB/s on a"),
        ("jobs", "3, 2 died, 2 requeued; waited 30 s; 2 of 4 node-hours asked were used"),
    ]


def test_a_report_shows_it_and_the_result_keeps_it(run):
    result = dxflow.reduce(run.path, RoiSum(), cluster="here")
    assert result.cluster["kind"] == "this process"
    assert result.cluster["workers"] == 1
    assert 0 < result.cluster["efficiency"] <= 1
    assert "\ncluster  this process: " in result.report()
    assert result.times["bound"]
    assert "\ntime     the pass over the data took " in result.report()
    assert not {"bounded", "advice"} & set(result.report().split())
