"""Tables of several runs as one: as pandas and numpy put them together; refused if they do not fit."""

import lclsfiles
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from smalltables import dataset

import dxflow
from dxflow.analysis import Table, saved
from dxflow.analysis.runs import join
from dxflow.analysis.seen import clock_of


def shifted(run, trains=20, **options):
    """A dataset of another run: later trains."""
    data = dataset(trains=trains, seed=run, **options)
    later = np.uint64(1000 * run)
    return data.assign_coords(train=data.train + later, train_id=data.train_id + later).assign_attrs(run=run)


@pytest.fixture
def paths(tmp_path):
    out = []
    for run in (36, 34, 35):
        data = shifted(run)
        if run == 35:
            data = data.drop_vars(["photons", "xgm", "lit", "lit_valid", "state", "image"])
        out.append(saved.write(data.assign(energy=((), run / 10)), tmp_path / f"r{run}.zarr", "table", {}))
    return out


def test_rows_follow_each_other_in_order_of_time_with_their_run(paths, tmp_path):
    ev = dxflow.open(str(tmp_path / "r*.zarr"))
    assert not ev.data.signal.variable._in_memory
    one = [saved.read(tmp_path / f"r{run}.zarr") for run in (34, 35, 36)]
    frame = pd.concat(
        [
            d[["xgm", "signal"] if "xgm" in d else ["signal"]].to_dataframe().assign(run=r)
            for r, d in zip((34, 35, 36), one, strict=True)
        ]
    )
    for name in ("xgm", "signal", "train_id", "pulse_id", "run"):
        np.testing.assert_array_equal(ev.data[name].values, frame[name].values)
    np.testing.assert_array_equal(ev.data.train_run, np.repeat([34, 35, 36], 20))
    np.testing.assert_array_equal(ev.data.delay, np.concatenate([d.delay for d in one]))
    np.testing.assert_array_equal(ev.data.roi[5:300:7, 1], np.concatenate([d.roi for d in one])[5:300:7, 1])
    assert ev.data.xgm.attrs["units"] == "uJ"
    xr.testing.assert_identical(dxflow.open(paths).data.load(), ev.data.load())


def test_what_a_run_does_not_have_is_missing_there(paths):
    ev = dxflow.open(paths)
    without = ev.data.run.values == 35
    assert not ev.column("photons").there[without].any()
    assert ev.column("photons").there[~without].all()
    assert (ev.column("photons").values[without] == 0).all()
    lit = ev.column("lit").there
    assert not lit[without].any()
    np.testing.assert_array_equal(
        lit[~without], np.concatenate([saved.read(p).lit_valid for p in (paths[1], paths[0])])
    )
    assert np.isnan(ev.data.xgm.values[without]).all()
    assert (ev.data.state.values[ev.data.train_run.values == 35] == "").all()


def test_numbers_of_runs_are_values_of_their_trains_and_arrays_get_an_axis(paths):
    ev = dxflow.open(paths)
    assert ev.rate("energy") == "train"
    np.testing.assert_array_equal(ev.data.energy, np.repeat([3.4, 3.5, 3.6], 20))
    assert ev.data.image.dims == ("of_run", "ss", "fs")
    assert np.isnan(ev.data.image.sel(of_run=35)).all()
    np.testing.assert_array_equal(ev.data.image.sel(of_run=36), saved.read(paths[0]).image)


def test_motors_that_move_in_some_runs_only_are_values_of_trains_in_all():
    rest, moves, later = (shifted(run, 5) for run in (34, 35, 36))
    steps, good = np.arange(5), np.arange(5) > 1
    rest = rest.assign(stage=((), 3.5, {"rate": "run"}), n=((), 7), roi3=("axis", [1.0, 2.0]))
    moves = moves.assign(stage=("train", steps / 4), n=("train", steps), n_valid=("train", good))
    moves = moves.assign(roi3=(("train", "axis"), np.ones((5, 2))))
    ev = join([Table(one) for one in (rest, moves, later)])
    assert [ev.rate(name) for name in ("stage", "n", "roi3")] == ["train"] * 3
    np.testing.assert_array_equal(ev.data.stage, [*[3.5] * 5, *steps / 4, *[np.nan] * 5])
    np.testing.assert_array_equal(ev.column("n").values, [*[7] * 5, *steps, *[0] * 5])
    np.testing.assert_array_equal(ev.column("n").there, [*[True] * 5, *good, *[False] * 5])
    np.testing.assert_array_equal(ev.data.roi3[[0, 5, 10]], [[1, 2], [1, 1], [np.nan, np.nan]])


def test_axes_in_another_order_are_put_in_that_of_the_first_run():
    values = np.arange(9.0).reshape(3, 3)
    first, second = (
        shifted(run, 3).assign(p=(("train", *dims), [one] * 3))
        for run, dims, one in ((34, ("x", "y"), values), (35, ("y", "x"), values.T))
    )
    np.testing.assert_array_equal(join([Table(first), Table(second)]).data.p, [values] * 6)


def test_added_variables_say_of_what_they_were_made_in_each_run():
    first, second, third = (Table(shifted(run, 3)) for run in (34, 35, 36))
    for ev, made in ((first, "xgm * 2"), (second, "xgm * 3")):
        ev.add("y", made)
        ev.add("z", "xgm + 1")
    ev = join([first, second, third])
    assert ev.data.y.attrs["expression"] == "xgm * 2 (run 34); xgm * 3 (run 35)"
    assert ev.data.z.attrs["expression"] == "xgm + 1"


def test_arrays_of_two_parts_of_a_run_are_both_there():
    first, second = (
        shifted(run, 3).assign(edges=("edge", np.arange(n))).assign_attrs(run=7)
        for run, n in ((34, 4), (35, 5))
    )
    ev = join([Table(first), Table(second)])
    assert [len(ev.data[name]) for name in ("edges@7", "edges@7_")] == [4, 5]


def test_arrays_of_runs_with_other_labels_are_kept_apart():
    """Runs of one configuration with other fillings: averages of their cells."""
    fills = {34: [0, 4, 8], 35: [0, 8, 16], 36: [0, 4]}
    parts = [
        shifted(run, 3).assign(
            mean=("cell", np.arange(len(cells)) + 1.0 * run), cell=cells, side=("cell", cells), v=((), run)
        )
        for run, cells in fills.items()
    ]
    ev = join([Table(one.set_coords("side")) for one in parts])
    for run, cells in fills.items():
        mean = ev.data[f"mean@{run}"]
        assert mean[f"cell@{run}"].values.tolist() == mean[f"side@{run}"].values.tolist() == cells
        np.testing.assert_array_equal(mean, np.arange(len(cells)) + run)
    np.testing.assert_array_equal(ev.data.xgm, np.concatenate([one.xgm for one in parts]))
    np.testing.assert_array_equal(ev.data.v, np.repeat([34, 35, 36], 3))


def test_tables_that_overlap_are_put_in_order():
    whole = dataset()
    parts = [
        Table(whole.isel(pulse=slice(n, None, 2), train=slice(n, None, 2)).assign_attrs(run=n))
        for n in (0, 1)
    ]
    ev = join(parts)
    np.testing.assert_array_equal(ev.data.xgm, whole.xgm)
    np.testing.assert_array_equal(ev.data.roi[3:20], whole.roi[3:20])
    np.testing.assert_array_equal(ev.data.run, np.arange(len(ev.rows)) % 2)
    np.testing.assert_array_equal(ev.data.delay, whole.delay)


def test_files_of_lcls_are_joined_with_all_values_of_their_events(tmp_path):
    known = [
        lclsfiles.write(
            tmp_path / f"x_Run{run:04}.h5", seed=run, seconds=100 * run, order=np.arange(60)[::-1]
        )
        for run in (5, 6)
    ]
    ev = dxflow.open(str(tmp_path / "x_Run*.h5"))
    np.testing.assert_array_equal(ev.column("ipm2.sum").values, np.concatenate([k["sum"] for k in known]))
    np.testing.assert_array_equal(ev.data.run, np.repeat([5, 6], 60))
    for row in (1, 59, 61, 62, 119):
        first, count = (int(ev.data[f"epix.var_drop_{w}"][row]) for w in ("offset", "len"))
        assert ev.data["epix.var_drop.adu"][first : first + count].values.tolist() == [10.0 * (row % 60)] * (
            row % 3
        )
    assert ev.data["Sums.epix_calib"].shape == (2, 3, 4)
    assert ev.rate("epicsOnce.photon_energy") == "pulse"


def test_one_table_is_as_it_was_but_for_its_run():
    data = shifted(34)
    ev = join([Table(data)])
    for name in ("xgm", "delay", "lit", "lit_valid", "roi", "state"):
        xr.testing.assert_equal(ev.data[name].variable, data[name].variable)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda d: d.assign(xgm=d.xgm.assign_attrs(units="mJ")), "units of xgm: uJ in run 34, mJ in run 35"),
        (lambda d: d.assign(roi=("pulse", d.xgm.values)), r"roi has values of shapes \(\), \(3,\)"),
        (
            lambda d: d.assign(xgm=("train", d.delay.values, d.xgm.attrs)),
            "xgm has a value per pulse and per train",
        ),
        (
            lambda d: d.assign(xgm=("pulse", d.xgm.values.astype("U"), d.xgm.attrs)),
            "xgm has numbers and texts",
        ),
        (lambda d: d.assign_attrs(rows="frames"), "rows: pulses in run 34, frames in run 35"),
        (
            lambda d: d.assign_coords(region=("region", [1, 2, 4])),
            "roi has other labels 'region' in run 35 than in run 34: .* one by one",
        ),
        (lambda d: shifted(34).assign_attrs(run=35), r"rows along pulse are there twice.*\(run 34, 35\)"),
        (lambda d: d.assign_coords(run=("pulse", d.photons.values)), "are of several runs already"),
    ],
)
def test_tables_that_do_not_fit_together_are_refused(change, why):
    first = shifted(34).assign_coords(region=("region", [1, 2, 3]))
    with pytest.raises(ValueError, match=why):
        join([Table(first), Table(change(shifted(35)))])


def test_no_tables_and_other_things_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such files"):
        dxflow.open(str(tmp_path / "x*.zarr"))
    with pytest.raises(FileNotFoundError, match="no paths"):
        dxflow.open([])
    saved.write(dataset(), tmp_path / "t.zarr", "table", {})
    with pytest.raises(ValueError, match="twice"):
        dxflow.open([tmp_path / "t.zarr", tmp_path / "t.zarr"])


@pytest.mark.parametrize(
    ("name", "run"),
    [
        ("r0034", 34),
        ("p900123_r0034_v2", 34),
        ("water2_r34", 34),
        ("xpp_Run0012", 12),
        ("scan7", 7),
        ("a", 0),
    ],
)
def test_the_number_of_a_run_is_that_of_its_name(name, run, tmp_path):
    data = dataset()
    del data.attrs["run"]
    path = saved.write(data, tmp_path / f"{name}.zarr", "table", {})
    assert set(dxflow.open([path]).data.run.values) == {run}


def test_selections_that_all_have_are_those_of_the_joined(paths):
    for path in paths:
        ev = dxflow.open(path)
        ev.select("late", "delay > 2")
        ev.select("bright", "signal > 3", "late")
        ev.select("own", f"signal > {path.stem[1:]}")
        ev.select("more", "own", "late")
        ev.select("given", np.ones(len(ev.rows), bool))
        ev.save()
    ev = dxflow.open(paths)
    assert set(ev.selections) == {"late", "bright"}
    signal, delay = ev.data.signal.values, ev.column("delay", at="pulse").values
    np.testing.assert_array_equal(ev.mask("bright"), (signal > 3) & (delay > 2))


def test_runs_whose_pulses_are_found_differently_say_so_when_images_are_read():
    one, other = (Table(shifted(run).assign_attrs(pulses=f'{{"offset": {run}}}')) for run in (1, 2))
    both = join([one, other])
    with pytest.raises(ValueError, match="find pulses in frames differently"):
        clock_of(both.data.attrs)
    assert clock_of(both.data.attrs, {"offset": 3}) == {"offset": 3}
    alike = Table(other.data.assign_attrs(pulses=one.data.attrs["pulses"]))
    assert clock_of(join([one, alike]).data.attrs) == {"offset": 1}
    with pytest.raises(ValueError, match="find pulses in frames differently"):
        clock_of(join([one, Table(shifted(2))]).data.attrs)
