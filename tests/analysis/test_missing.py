"""What a run lacks: values of trains that a device did not send, sent late or sent as NaN, against pandas."""

import shutil

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dxflow.analysis as analysis
from dxflow.errors import PlanError
from dxflow.simulate.exdf import FileFacts, SimulatedFile

XGM, SERVER = "SA1_XTD2_XGM/XGM/DOOCS:output", "SPB_RR_UTC/TSYS/TIMESERVER:outputBunchPattern"
SPECTRUM, LATE, MOTOR = "SPB_SPEC/CAM/HIREX:output", "SPB_LATE/MOTOR/X2", "SPB_EXP/MOTOR/STAGE"
TRAINS = 12


def write(folder, seed):
    """Write a run of two files whose devices miss trains; return what there is, by train, as pandas has it."""
    rng = np.random.default_rng(seed)
    ids = 10001 + np.flatnonzero(rng.random(TRAINS) < 0.9).astype("u8")
    ids = ids if len(ids) > 3 else 10001 + np.arange(4, dtype="u8")
    table = rng.choice([4 << 18, (4 << 18) | (1 << 27), 0], (len(ids), 2700), p=[0.002, 0.001, 0.997]).astype(
        "u4"
    )
    lists, counts = rng.random((len(ids), 9)).astype("f4"), rng.integers(0, 9, (len(ids), 9))
    lists[rng.random(lists.shape) < 0.1] = np.nan
    there = {name: rng.random(len(ids)) < 0.8 for name in (XGM, SERVER, SPECTRUM)}
    vector, motor, state = (
        rng.random((len(ids), 3)),
        rng.integers(1, 9, len(ids)),
        rng.choice(["ON", "MOVING"], len(ids)),
    )
    half = len(ids) // 2
    for number, part in enumerate((slice(0, half), slice(half, None))):
        here = ids[part]
        with SimulatedFile(folder, FileFacts("RAW", 900000, 1, "DA01", number, "1.3", here)) as file:
            for source, keys in (
                (XGM, {"intensityTD": lists, "countTD": counts}),
                (SERVER, {"bunchPatternTable": table}),
                (SPECTRUM, {"spectrum": vector}),
            ):
                keep = there[source][part]
                group = file.instrument(source, "data", keep.astype(int))
                group["trainId"] = here[keep]
                for key, values in keys.items():
                    group[key] = values[part][keep]
            file.control(
                MOTOR,
                {"position": motor[part], "state": state[part].astype("S6"), "fixed": np.full(len(here), 7)},
            )
            if number:
                file.control(LATE, {"position": motor[part] * 0.5})
    series = {
        "stage.position": pd.Series(motor, ids),
        "x2": pd.Series(motor[half:] * 0.5, ids[half:]),
        "hirex.spectrum": pd.DataFrame(vector[there[SPECTRUM]], ids[there[SPECTRUM]]),
        "state": pd.Series(state, ids),
    }
    return ids, series, (table, lists, counts, there[XGM], there[SERVER])


def pulses(ids, table, lists, counts, has_lists, has_table):
    """Return train, slot, value and count of each of our pulses, None where there is none."""
    rows = []
    for n, train in enumerate(ids):
        seen = np.flatnonzero((table[n] >> 18) & 0xF == 4)
        for k, slot in enumerate(seen):
            if has_table[n] and not table[n, slot] & (1 << 27):
                some = has_lists[n] and k < lists.shape[1]
                rows.append((train, slot, lists[n, k] if some else np.nan, counts[n, k] if some else None))
    return rows


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32))
def test_everything_is_joined_as_pandas_joins_it(tmp_path_factory, seed):
    folder = tmp_path_factory.mktemp("missing")
    (folder / "r").mkdir()
    try:
        ids, series, arrays = write(folder / "r", seed)
        ev = analysis.table(folder / "r", folder / "t.zarr", quiet=True)
        data = ev.data.load()
    finally:
        shutil.rmtree(folder)
    np.testing.assert_array_equal(data.train, ids)
    rows = pulses(ids, *arrays)
    assert list(zip(data.train_id.values, data.pulse_id.values, strict=True)) == [
        (t, s) for t, s, _, _ in rows
    ]
    np.testing.assert_array_equal(data["xgm.intensityTD"], np.array([v for _, _, v, _ in rows], "f4"))
    known = np.array([n is not None for *_, n in rows], bool)
    np.testing.assert_array_equal(data["xgm.countTD"], [n or 0 for *_, n in rows])
    np.testing.assert_array_equal(ev.column("xgm.countTD").there, known)
    np.testing.assert_array_equal(data["x2.position"], series["x2"].reindex(ids))
    np.testing.assert_array_equal(data["hirex.spectrum"], series["hirex.spectrum"].reindex(ids))
    np.testing.assert_array_equal(data["stage.position"], series["stage.position"])
    np.testing.assert_array_equal(data["stage.state"], series["state"])
    assert data["stage.fixed"].dims == ()


@pytest.fixture
def run(tmp_path):
    (tmp_path / "r").mkdir()
    write(tmp_path / "r", 3)
    return tmp_path / "r"


def test_a_file_that_is_cut_short_is_a_loss(run, tmp_path):
    whole = analysis.table(run, tmp_path / "whole.zarr", quiet=True)
    file = sorted(run.glob("*.h5"))[1]
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    made = analysis.table(run, tmp_path / "t.zarr", quiet=True)
    assert [loss["file"] for loss in made.about["losses"] if loss["cause"] == "unreadable file"] == [
        str(file)
    ]
    n = made.data.sizes["train"]
    assert 0 < n < whole.data.sizes["train"]
    np.testing.assert_array_equal(made.data["hirex.spectrum"], whole.data["hirex.spectrum"][:n])


def test_values_that_cannot_be_read_are_missing_and_counted(run, tmp_path):
    with h5py.File(sorted(run.glob("*.h5"))[0], "r+") as file:
        values = file[f"INSTRUMENT/{SPECTRUM}/data/spectrum"][()]
        del file[f"INSTRUMENT/{SPECTRUM}/data/spectrum"]
        data = file.create_dataset(
            f"INSTRUMENT/{SPECTRUM}/data/spectrum", data=values, chunks=(1, 3), compression="gzip"
        )
        at = data.id.get_chunk_info(0)
    with open(sorted(run.glob("*.h5"))[0], "r+b") as raw:
        raw.seek(at.byte_offset)
        raw.write(b"\xff" * at.size)
    made = analysis.table(run, tmp_path / "t.zarr", quiet=True)
    assert any("spectrum" in loss["detail"] and loss["trains"] == 1 for loss in made.about["losses"])
    assert np.isfinite(made.data["hirex.spectrum"]).any()


def test_a_run_without_trains_is_refused(run, tmp_path):
    for file in run.glob("*.h5"):
        file.unlink()
    with SimulatedFile(run, FileFacts("RAW", 900000, 1, "DA01", 0, "1.3", np.zeros(0, "u8"))) as file:
        file.control(MOTOR, {"position": np.zeros(0)})
    with pytest.raises(PlanError, match="no trains"):
        analysis.table(run, tmp_path / "t.zarr", quiet=True)
    with pytest.raises(PlanError, match="no such run"):
        analysis.table(tmp_path / "none", tmp_path / "t.zarr", quiet=True)
    assert not (tmp_path / "t.zarr").exists()


def test_a_disk_that_fills_leaves_nothing(run, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dxflow.stores.shards.shard.Shard._write", full)
    with pytest.raises(OSError, match="No space left on device"):
        analysis.table(run, tmp_path / "t.zarr", quiet=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["r"]
