"""Tables of losses and frames: DataFrames that print whole."""

import pickle

import pandas as pd
import pytest

from dxflow.run.losses import Loss
from dxflow.run.tables import Account, table

FILE = "/gpfs/exfel/exp/SPB/202601/p900123/proc/r0034/CORR-R0034-AGIPD03-S00000.h5"
LOST = [
    Loss(
        "unreadable",
        12,
        2,
        10001,
        10003,
        "SPB_DET_AGIPD1M-1/CORR/3CH0:output",
        3,
        FILE,
        detail="of chunk " * 12,
    ),
    Loss("missing module", 32, 8, 10001, 10008, "SPB_DET_AGIPD1M-1", 5, detail="the other modules have them"),
]


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_printed_losses_say_cause_trains_module_and_file_on_any_screen(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    said = repr(table(LOST))
    assert max(len(line) for line in said.splitlines()) <= columns
    words = " ".join(said.split())
    assert "module 3 (CORR-R0034-AGIPD03-S00000.h5), 2 trains in 10001-10003: unreadable, 12 frames" in words
    assert "module 5 (SPB_DET_AGIPD1M-1), trains 10001-10008: missing module, 32 frames" in words
    assert words.count("of chunk") == 12
    assert repr(table([])) == "nothing was lost"


def test_losses_are_a_table_to_programs():
    losses = table(LOST)
    assert isinstance(losses, pd.DataFrame)
    assert losses["frames"].sum() == 44
    assert "unreadable" not in repr(losses[losses["module"] == 5])
    assert "missing module" in repr(losses[losses["module"] == 5])
    assert repr(losses[["cause", "frames"]]) == repr(pd.DataFrame(losses)[["cause", "frames"]])
    assert losses.groupby("module")["frames"].sum().to_dict() == {3: 12, 5: 32}
    assert repr(pickle.loads(pickle.dumps(losses))) == repr(losses)
    assert pd.concat([losses, losses])["frames"].sum() == 88
    assert "CORR-R0034-AGIPD03-S00000.h5" in losses._repr_html_()
    assert "<table" in losses[["cause"]]._repr_html_()


def test_an_account_shows_all_columns_on_a_narrow_screen(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    row = {"input": "SPB_DET_AGIPD1M-1 image.data", "module": 3, "expected": 32, "used": 20, "there": 32}
    said = repr(Account([row | {"missing frames": 8, "unreadable": 4}]))
    assert all(name in said for name in (*row, "missing frames", "unreadable"))
    assert max(len(line) for line in said.splitlines()) <= 62
