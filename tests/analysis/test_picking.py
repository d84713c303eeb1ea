"""Rows that are picked against numpy's sorting, and what cannot be picked."""

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from smalltables import dataset, table

from dxflow.analysis import Table, nearest, random
from dxflow.analysis.runs import join

BINS = 3


def expected(values, bins, ids, k):
    """Return the rows with the smallest values of each bin, those of equal values by their ids."""
    order = np.lexsort((ids[1], ids[0], values, bins))
    found = [order[bins[order] == b][:k] for b in range(BINS)]
    return [[*one.tolist(), *[-1] * (k - len(one))] for one in found]


def away(values, bins, to=None, quantile=None):
    """Return the distance to a value, or to the quantile of each bin."""
    if quantile is None:
        return np.abs(values - to)
    out = np.full(len(values), np.nan)
    for b in range(BINS):
        mine = (bins == b) & ~np.isnan(values)
        out[mine] = np.abs(values[mine] - np.quantile(values[mine], quantile)) if mine.any() else 0
    return out


RULES = {
    "largest": lambda v, b: ("largest", -v),
    "smallest": lambda v, b: ("smallest", v),
    "nearest": lambda v, b: (nearest(2.2), away(v, b, 2.2)),
    "quantile": lambda v, b: (nearest(quantile=0.4), away(v, b, quantile=0.4)),
    "first": lambda v, b: ("first", np.zeros(len(v))),
}


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from(sorted(RULES)), st.integers(1, 6), st.booleans())
def test_the_best_rows_are_those_that_sorting_finds(seed, name, k, cut):
    data = dataset(trains=8, pulses=6, seed=seed % 5)
    source, n = np.random.default_rng(seed), data.sizes["pulse"]
    values = source.integers(0, 6, n) / source.choice([1, 3])
    values[source.random(n) < 0.1] = np.nan
    bins = source.integers(-1, BINS, n)
    bins[0] = BINS - 1
    where = source.random(n) < 0.7 if cut else np.ones(n, bool)
    ev = Table(data.assign(v=("pulse", values)))
    used = np.where(where & ~np.isnan(values), bins, -1)
    rule, keys = RULES[name](values, used)
    picks = ev.pick(k, by=bins, of="v", rule=rule, where=where)
    ids = data.train_id.values, data.pulse_id.values
    rows = expected(keys, used, ids, k)
    np.testing.assert_array_equal(picks.data["row"], rows)
    np.testing.assert_array_equal(picks.data["picked"], np.array(rows) >= 0)
    np.testing.assert_array_equal(picks.data["count"], [(used == b).sum() for b in range(BINS)])
    there = picks.data["picked"].values
    at = picks.data["row"].values[there]
    for label, of in (("train_id", ids[0]), ("pulse_id", ids[1]), ("value", values)):
        np.testing.assert_array_equal(picks.data[label].values[there], of[at])
    assert np.isnan(picks.data["value"].values[~there]).all()
    assert not picks.data["train_id"].values[~there].any()


def test_chance_follows_from_seed_and_ids_whatever_else_there_is():
    data = dataset(40)
    whole = Table(data).pick(10**4, rule=random(5)).flat
    few = Table(data.isel(pulse=slice(100, 200))).pick(7, rule=random(5)).flat
    inside = np.isin(
        whole["train_id"] * 1000 + whole["pulse_id"], data.train_id[100:200] * 1000 + data.pulse_id[100:200]
    )
    for label in ("train_id", "pulse_id"):
        np.testing.assert_array_equal(whole[label][inside][:7], few[label])
    other = Table(data).pick(10**4, rule=random(6)).flat
    assert (whole["row"].values != other["row"].values).mean() > 0.9


def test_chance_picks_the_same_rows_of_a_run_alone_and_beside_others():
    one, other = dataset(10).assign_attrs(run=21), dataset(10, seed=1).assign_attrs(run=22)
    later = np.uint64(1000)
    other = other.assign_coords(train=other.train + later, train_id=other.train_id + later)
    alone = Table(one).pick(5, rule=random(3)).data
    joined = join([Table(one), Table(other)]).pick(5, rule=random(3), where="run == 21").data
    for label in ("train_id", "pulse_id"):
        np.testing.assert_array_equal(joined[label], alone[label])


def test_chance_prefers_no_pulse_and_no_train():
    data = dataset(500)
    ev = Table(data)
    picked = np.concatenate([ev.pick(20, rule=random(seed)).flat["row"].values for seed in range(200)])
    times = np.bincount(picked, minlength=len(ev.rows))
    # Each row is picked 200 * 20 / rows times: Poisson.
    assert times.var() / times.mean() == pytest.approx(1, abs=0.1)
    of_pulse = np.bincount(data.pulse_id.values[picked] // 4) / np.bincount(data.pulse_id.values // 4)
    assert of_pulse.std() / of_pulse.mean() < 5 / np.sqrt(len(picked) / 8)


def test_without_bins_there_is_one_and_values_of_trains_are_those_of_their_pulses():
    ev = table()
    picks = ev.pick(3, of="delay", where="lit")
    delay, lit = ev.column("delay", at="pulse"), ev.mask("lit")
    values = np.where(delay.there & lit, delay.values, -np.inf)
    assert picks.data["row"].dims == ("rank",)
    assert picks.data["row"].values.tolist() == np.argsort(-values, kind="stable")[:3].tolist()
    assert picks.data["value"].attrs["units"] == "ps"
    assert picks["xgm"].dims == ("rank",)
    np.testing.assert_array_equal(picks["xgm"], ev.data["xgm"].values[picks.data["row"].values])


def test_bins_are_those_of_cubes():
    ev = table()
    delay, xgm = (ev.column(name, at="pulse") for name in ("delay", "xgm"))
    scan = ev.pick(1, by="delay", of="xgm")
    positions = np.unique(delay.values[delay.there])
    np.testing.assert_allclose(scan.data["delay"], positions)
    best = [np.nanmax(xgm.values[delay.values == position]) for position in positions]
    np.testing.assert_array_equal(scan.data["value"][:, 0], best)
    np.testing.assert_array_equal(scan["delay"][:, 0], positions)
    edges = [0.0, 1.0, 4.7]
    for by in ({"delay": edges, "photons": 2}, {"delay": "0,1,4.7", "photons": "2"}):
        picks = ev.pick(2, by=by, of="xgm", where="lit")
        assert picks.data["row"].dims == ("delay", "photons", "rank")
        cube = ev.cube(by, of="xgm", where="lit").data
        np.testing.assert_array_equal(picks.data["count"], cube["xgm_count"])
        for name in ("delay", "delay_lo", "delay_hi", "photons"):
            np.testing.assert_array_equal(picks.data[name], cube[name])
        assert picks.data["delay"].attrs["units"] == "ps"
    assert picks.flat["delay"].dims == picks.flat["photons"].dims == ("pick",)
    by_text = ev.pick(2, by="delay=0,1,4.7", of="xgm")
    assert (
        by_text.data["count"].values.tolist()
        == ev.cube({"delay": edges}, of="xgm").data["xgm_count"].values.tolist()
    )
    assert by_text.data.attrs["by"] == "delay=0,1,4.7"


def test_expressions_decide_as_variables_do():
    ev = table()
    with np.errstate(divide="ignore"):
        ratio = ev.column("signal").values / ev.column("photons").values
    values = np.where(np.isfinite(ratio), ratio, -np.inf)
    for of in ("signal / photons", ev.signal / ev.photons, np.where(np.isfinite(ratio), ratio, np.nan)):
        assert ev.pick(1, of=of).data["row"].item() == values.argmax()
    assert ev.pick(1, of=ev.signal).data["value"].attrs["units"] == "photons"
    assert ev.pick(1, of="roi[0]").data["row"].item() == ev.column("roi").values[:, 0].argmax()
    ev.select("good", ev.xgm > 900)
    assert ev.pick(1, of="xgm", rule="smallest", where="good").data["value"].item() > 900


def test_rows_in_another_order_have_the_same_ties():
    data = dataset()
    values = np.random.default_rng(0).integers(0, 3, data.sizes["pulse"])
    data = data.assign(v=("pulse", values))
    mixed = data.isel(pulse=np.random.default_rng(1).permutation(len(values)))
    for rule in ("largest", "first", random(1)):
        one, other = (Table(d).pick(20, of="v", rule=rule).data for d in (data, mixed))
        for name in ("train_id", "pulse_id", "value"):
            np.testing.assert_array_equal(one[name], other[name])


def test_large_whole_numbers_are_told_apart():
    data = dataset(3, 4)
    stamps = 2**60 + np.arange(data.sizes["pulse"])
    ev = Table(data.assign(stamp=("pulse", stamps)))
    assert ev.pick(1, of="stamp").data["row"].item() == len(stamps) - 1
    assert ev.pick(1, of="stamp", rule=nearest(2**60 + 5)).data["row"].item() == 5


@pytest.mark.filterwarnings("ignore:.*holds for none")
def test_where_nothing_holds_nothing_is_picked():
    picks = table().pick(2, of="photons", where="xgm > 1e9")
    assert len(picks) == 0
    assert picks.flat.sizes["pick"] == 0
    assert not picks.data["picked"].any()
    empty = Table(dataset().isel(pulse=slice(0, 0))).pick(2, of="xgm")
    assert len(empty) == 0


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"k": 0, "of": "xgm"}, ValueError, "k=0; expected how many rows of each bin, from 1"),
        ({"k": 1.5, "of": "xgm"}, ValueError, "k=1.5; expected"),
        ({"k": 10**9, "of": "xgm"}, ValueError, "expected up to 1e"),
        ({"of": "xmg"}, KeyError, "no variable 'xmg'. Did you mean 'xgm'"),
        ({}, ValueError, "rule='largest' needs of="),
        ({"of": "roi"}, ValueError, r"'roi' has \(3,\) values per row"),
        ({"of": "state"}, TypeError, "'state' is <U6; expected numbers"),
        ({"of": "xgm", "rule": "best"}, ValueError, "rule='best'; expected one of"),
        ({"of": "xgm", "by": [0, 1]}, TypeError, "or numbers of bins, one for each of 141 rows"),
        ({"of": "xgm", "by": "dely"}, KeyError, "'dely'"),
        ({"of": "xgm", "by": "delay=5:1:3"}, ValueError, "bins"),
        ({"of": np.ones(3)}, ValueError, "of= has 3 values; expected one for each of 141 rows, or of 20 t"),
        ({"of": 2.0}, ValueError, "of=2.0 is one value; expected one for each of 141 rows"),
        ({"of": "xgm", "by": np.zeros((141, 2), int)}, TypeError, "or numbers of bins, one for each"),
    ],
)
def test_what_cannot_be_picked_is_refused(options, error, words):
    with pytest.raises(error, match=words):
        table().pick(**options)


def test_rules_without_sense_are_refused():
    for wrong in (
        lambda: nearest(),
        lambda: nearest(1, quantile=0.5),
        lambda: nearest(quantile=2),
        lambda: nearest(np.nan),
    ):
        with pytest.raises(ValueError, match="nearest: "):
            wrong()
    for seed in (-1, 1.5, True, None):
        with pytest.raises(ValueError, match="random: seed="):
            random(seed)


def test_a_table_of_trains_alone_has_no_rows_to_pick():
    data = dataset().drop_dims("pulse").drop_vars(["train_id", "pulse_id"], errors="ignore")
    with pytest.raises(ValueError, match="values per train only"):
        Table(data).pick(1, of="delay")


def labelled(values, data, order):
    """Return values of some rows with their ids, in another order."""
    ids = {name: ("row", data[name].values[order]) for name in ("train_id", "pulse_id")}
    return xr.DataArray(np.asarray(values)[order], dims="row", coords=ids)


def test_data_decide_by_their_ids_and_not_where_they_are_masked():
    ev, data = table(), dataset()
    values = np.random.default_rng(3).permutation(len(ev.rows))
    order = np.random.default_rng(4).permutation(len(ev.rows))
    best = ev.pick(3, of=values).data["row"].values
    assert sorted(values[best]) == [138, 139, 140]
    assert ev.pick(3, of=labelled(values, data, order)).data["row"].values.tolist() == best.tolist()
    masked = np.ma.array(values, mask=values > 100)
    assert sorted(values[ev.pick(3, of=masked).data["row"].values]) == [98, 99, 100]
    some = labelled(values, data, order[values[order] <= 100])
    assert sorted(values[ev.pick(3, of=some).data["row"].values]) == [98, 99, 100]
    of_trains = np.arange(20.0)
    (row,) = ev.pick(1, of=of_trains).data["row"].values
    assert data.train_id.values[row] == data.train.values[-1]


def test_numbers_of_bins_are_joined_in_the_same_way():
    ev, data = table(), dataset()
    order = np.random.default_rng(5).permutation(len(ev.rows))
    bins = np.arange(len(ev.rows)) % 3
    wanted = ev.pick(2, by=bins, of="xgm").data
    found = ev.pick(2, by=labelled(bins, data, order), of="xgm").data
    xr.testing.assert_identical(found["row"], wanted["row"])
    masked = ev.pick(2, by=np.ma.array(bins, mask=bins == 2), of="xgm").data
    np.testing.assert_array_equal(masked["row"], wanted["row"][:2])
    of_trains = ev.pick(1, by=np.arange(20) % 2, of="xgm").data
    np.testing.assert_array_equal(
        of_trains["count"],
        [(~np.isnan(data.xgm.values[np.isin(data.train_id, data.train[k::2])])).sum() for k in (0, 1)],
    )
