"""Large arrays travel to workers by file."""

import os
import pickle
import textwrap
from pathlib import Path

import numpy as np
import programs
import pytest
from samples import WithValues

import dxflow
from dxflow.disk import parcels
from dxflow.driver import journal
from dxflow.worker.workspace import Workspace


def test_what_arrives_is_what_was_sent_and_may_be_changed(tmp_path):
    large, small = np.arange(300_000.0).reshape(300, 1000), np.arange(3)
    value = {"a": large, "same": large, "b": small, "t": large.T, "strided": large[::2], "x": "text"}
    parcel = pickle.loads(pickle.dumps(parcels.packed(value, tmp_path / "arrays.bin")))
    assert len(parcel.data) < 2_000_000 + large[::2].nbytes
    one, other = parcel.unpack(), parcel.unpack()
    for name in value:
        np.testing.assert_array_equal(one[name], value[name])
    assert one["a"] is one["same"]
    one["a"][0, 0] = 7
    assert other["a"][0, 0] == 0
    assert parcel.unpack()["a"][0, 0] == 0


def test_small_things_leave_no_file(tmp_path):
    assert parcels.packed({"a": np.arange(10)}, tmp_path / "arrays.bin").unpack()["a"].sum() == 45
    assert os.listdir(tmp_path) == []


def test_an_option_is_read_from_the_file_by_all_workers(run, tmp_path, client):
    values = np.arange(400_000.0)
    plan = dxflow.plan(run.path, WithValues(values=values), tmp_path / "x.zarr", chunk=20_000)
    work = Workspace(plan, journal.begin(plan))
    assert len(pickle.dumps(work)) < 100_000 < values.nbytes
    assert [p.stat().st_size for p in plan.store.partial.glob("arrays-*.bin")] == [values.nbytes]
    result = dxflow.execute(plan, client)
    np.testing.assert_array_equal(result.dataset["values.sum"], values.sum())
    assert not plan.store.partial.exists()


def test_the_plan_counts_options_that_are_arrays(run):
    small, large = (dxflow.plan(run.path, WithValues(values=np.zeros(n))).memory for n in (1, 10**6))
    assert large.tables - small.tables == 8 * (10**6 - 1)


@pytest.mark.parametrize("megabytes", [64])
def test_the_driver_has_an_option_once(run, tmp_path, megabytes):
    code = f"""
        import sys; sys.path.insert(0, {str(Path(__file__).parents[1])!r})
        import numpy as np, resource, dxflow
        from samples import WithValues
        def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        def go(n): dxflow.reduce({run.path!r}, WithValues(values=np.ones(n)), cluster=dxflow.clusters.Local(workers=1))
        if __name__ == "__main__":
            import dxflow.clusters
            go(1)
            before = peak()
            go({megabytes} * 2**17)
            print(peak() - before)
    """
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(code))
    out = programs.run(script)
    assert out.returncode == 0, out.stderr
    assert 0.9 * megabytes < float(out.stdout.split()[-1]) < 1.5 * megabytes
