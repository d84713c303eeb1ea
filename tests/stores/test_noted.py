"""What the driver noted is all that writing a result needs beside fragments: the run itself is not read again."""

import numpy as np
import pytest
from samples import Failing, RoiSum, TrainSums

import dxflow
from dxflow.run.losses import Loss
from dxflow.simulate import make_run
from dxflow.stores import noted
from dxflow.stores.named import store_for
from dxflow.stores.noted import Noted
from dxflow.stores.origin import Origin


def test_what_is_noted_is_read_back(tmp_path):
    ids = np.arange(10, dtype="u8")
    loss = Loss(cause="gone", source="A", trains=2, first_train=3, last_train=4, detail="grüße")
    made = Noted({"a.e": [2, 1]}, {"a.e": ids % 2}, (loss,), Origin(ids + 10**18, ids.astype("i4"), 900, 7))
    made.write(tmp_path, "digest")
    found = noted.read(tmp_path, "digest")
    assert (found.events, tuple(found.losses)) == (made.events, made.losses)
    assert (found.origin.proposal, found.origin.run) == (900, 7)
    for a, b in (
        (found.counts["a.e"], ids % 2),
        (found.origin.timestamps, ids + 10**18),
        (found.origin.flags, ids),
    ):
        np.testing.assert_array_equal(a, b)
    with pytest.raises(OSError, match="belongs to another plan"):
        noted.read(tmp_path, "other")


@pytest.mark.parametrize("name", ["x.zarr", "x.nc", "x.nxs", "x/"])
def test_the_run_may_be_gone_once_all_of_it_is_read(tmp_path, monkeypatch, name):
    run = make_run(tmp_path / "run", detector="AGIPD500K", trains=6, pulses=3, module_shape=(8, 8))

    def reduce(to):
        algorithms = [RoiSum(ss=(0, 4)), TrainSums(), Failing(ss=(0, 4), trains=[int(run.train_ids[2])])]
        plan = dxflow.plan(run.path, algorithms, f"{tmp_path}/{to}/{name}", on_fault="mask", chunk="2 KiB")
        return dxflow.execute(plan, "here")

    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
    expected = reduce("one")
    kind = type(store_for(f"{tmp_path}/{name}"))
    create = kind.create

    def created_and_gone(self, contents):
        made = create(self, contents)
        (tmp_path / "run").rename(tmp_path / "elsewhere")
        return made

    monkeypatch.setattr(kind, "create", created_and_gone)
    result = reduce("other")
    assert "time" in expected.dataset.coords
    assert not expected.losses.empty
    assert result.dataset.identical(expected.dataset)
    assert result.losses.equals(expected.losses)
    offsets, counts = (result.dataset[f"tsum.ev_{what}"].values for what in ("offset", "count"))
    np.testing.assert_array_equal(offsets, np.cumsum(counts) - counts)
