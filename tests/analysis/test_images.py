"""Images of cubes against numpy in float64, from the rows of a table to the frames that are read."""

import os

import h5py
import numpy as np
import oracle
import pytest
import xarray as xr
from campaign import imagecubes as campaign
from runs import make_run

from dxflow import Frames, Key, PlanError, analysis
from dxflow.algorithms.subtract import Subtract
from dxflow.analysis.images import Asked, _Pass
from dxflow.analysis.tables import Table
from dxflow.simulate import Plant, PowderRings, Scan

SEED = int(os.environ.get("DXFLOW_SEED", "20261122"))
EXAMPLES = 5
"""`python -m campaign.imagecubes` tries 300."""
EDGES = np.array([-2.0, -1.0, 0.5, 4.0])


def table_of(truth, **more):
    """Return a table with values of the frames of a simulated run, and a delay that has nothing to do with it."""
    random = np.random.default_rng(2)
    n = len(truth.pulse_ids)
    data = {
        "xgm": ("pulse", random.gamma(9, 100, n), {"units": "uJ"}),
        "w": ("pulse", random.random(n)),
        "delay": ("pulse", random.normal(0, 2, n), {"units": "ps"}),
        "on": ("pulse", random.random(n) < 0.5),
        "side": ("train", np.arange(len(truth.train_ids)) % 2.0),
    }
    data["xgm"][1][::7] = np.nan
    coords = {
        "train_id": ("pulse", truth.frame_train_ids),
        "pulse_id": ("pulse", truth.pulse_ids),
        "train": truth.train_ids,
    }
    return Table(xr.Dataset(data | more, coords, {"run": str(truth.path), "rows": "frames"}))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "r0001"
    return make_run(folder, detector="AGIPD500K", trains=9, pulses=6, module_shape=(4, 16))


@pytest.fixture(scope="module")
def frames(run):
    """All frames in float64, NaN where pixels are bad."""
    return oracle.frames(run.path, run.sources, run.key)[1]


def column(table, name):
    return table.column(name, at="pulse").values


def bins_of(table):
    """Return the bin of each row, by delay and side."""
    delay, side = column(table, "delay"), column(table, "side").astype(int)
    at = np.searchsorted(EDGES, delay, side="right") - 1
    at[delay == EDGES[-1]] = 2
    return np.where((at >= 0) & (at < 3), 2 * at + side, -1)


def expected(frames, bins, count, i0=None, w=None):
    """Return count, mean and standard error of each bin, and sums, by their definitions."""
    i0, w = (np.ones(len(frames)) if x is None else x for x in (i0, w))
    out = np.full((3, count, *frames.shape[1:]), np.nan)
    for k in range(count):
        own = (bins == k) & (i0 > 0) & (w > 0)
        x = frames[own]
        z, v = (np.where(np.isfinite(x), a[own, None, None, None], 0) for a in (i0, w))
        x, n = np.where(v > 0, x, 0), (v > 0).sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean, total = (v * x).sum(axis=0) / (v * z).sum(axis=0), v.sum(axis=0)
            spread = (v * (x - mean * z) ** 2).sum(axis=0) * (v**2).sum(axis=0)
            sem = np.sqrt(spread / (total * (total**2 - (v**2).sum(axis=0)))) / ((v * z).sum(axis=0) / total)
        out[:, k] = n, np.where(n > 0, mean, np.nan), np.where(n > 1, sem, np.nan)
    return out


def close(data, reference, name="image"):
    for part, one in zip(("count", "mean", "sem"), reference, strict=True):
        found = data[f"{name}_{part}"]
        assert found.dtype == (np.int32 if part == "count" else np.float32)
        np.testing.assert_allclose(found.values.reshape(one.shape), one, rtol=1e-6, atol=1e-7)


AXES = {"delay": EDGES, "side": "unique"}


@pytest.mark.parametrize("given", [{}, {"normalise": "xgm"}, {"normalise": "xgm", "weights": "w"}])
def test_images_are_those_of_numpy_beside_the_values_of_the_same_bins(run, frames, given):
    table = table_of(run)
    cube = table.cube(AXES, of=["w"], images=Frames(), cluster="here", **given)
    numbers = {"i0": "normalise", "w": "weights"}
    own = {key: column(table, given[name]) for key, name in numbers.items() if name in given}
    close(cube.data, expected(frames, bins_of(table), 6, **own))
    assert cube.of == ["w", "image"]
    assert cube.data["image_mean"].dims == ("delay", "side", "module", "ss", "fs")
    assert cube.data["image_mean"].attrs.get("units", "") == ("1/uJ" if given else "")
    each = np.nanmax(cube.data["image_count"].values, axis=(-1, -2, -3))
    np.testing.assert_array_equal(each, cube.data["n"] if not given else cube.data["w_count"])


def test_cubes_of_images_of_random_tables_are_what_loops_over_rows_have(tmp_path):
    campaign.tried(EXAMPLES, SEED, campaign.Runs(tmp_path))()


def test_each_frame_over_its_own(run, frames):
    table = table_of(run)
    close(table.cube(AXES, images=True, how="each", cluster="here").data, expected(frames, bins_of(table), 6))
    cube = table.cube(AXES, images=True, normalise="xgm", how="each", cluster="here")
    i0 = column(table, "xgm")
    bins = np.where(i0 > 0, bins_of(table), -1)
    close(cube.data, expected(frames / i0[:, None, None, None], bins, 6))
    assert "image_weight" not in cube.data


def test_axes_may_have_any_names(run, frames):
    table = table_of(
        run, module=("pulse", np.arange(len(run.pulse_ids)) % 3), **{"a b/c": ("train", np.arange(9) % 2)}
    )
    data = table.cube({"module": "unique", "a b/c": "unique"}, images=True, cluster="here").data
    assert data["image_mean"].dims == ("module", "a b/c", "image_module", "ss", "fs")
    close(data, expected(frames, 2 * column(table, "module") + column(table, "a b/c"), 6))


def test_sum_and_spread_follow_from_what_is_stored(run, frames):
    table = table_of(run)
    data = table.cube({"delay": EDGES}, images=True, cluster="here").data
    own = frames[(bins_of(table) >= 0) & (column(table, "delay") < -1)]
    np.testing.assert_allclose(data["image_sum"][0], own.sum(axis=0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(data["image_std"][0], own.std(axis=0, ddof=1), rtol=1e-5)
    assert data["image_std"].dtype == np.float32


def test_on_off_and_their_difference(run, frames):
    table = table_of(run)
    data = table.cube({"delay": EDGES}, images=True, on="on", where="xgm > 0", cluster="here").data
    delay, on, lit = (column(table, name) for name in ("delay", "on", "xgm"))
    bins = np.where(lit > 0, bins_of(table) // 2, -1)
    kinds = [expected(frames, np.where(own, bins, -1), 3) for own in (on, ~on)]
    close(data.sel(pump="on"), kinds[0])
    close(data.sel(pump="off"), kinds[1])
    (_, a, x), (_, b, y) = kinds
    np.testing.assert_allclose(data["image_difference"], a - b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(data["image_difference_sem"], np.hypot(x, y), rtol=1e-5)


def test_frames_that_are_in_no_bin_are_not_read(run):
    table = table_of(run)
    cube = table.cube({"delay": EDGES}, where="xgm > 1000", images=True, cluster="here")
    account = cube.result.account
    assert (account["used"] == int(cube.data["n"].sum())).all()
    both = 4 * run.expected.size
    assert cube.result.times["bytes"] == int(cube.data["n"].sum()) * both < len(run.pulse_ids) * both / 3


def test_trains_without_a_selected_row_are_not_lost(run):
    table = table_of(run)
    last = int(np.sort(np.unique(table.rows.train_ids))[1])
    cube = table.cube(
        {"side": "unique"}, where=f"train_id <= {last}", images=True, cluster="here", quiet=True
    )
    assert cube.about["losses"] == []
    assert "lost     nothing" in cube.result.report()


def test_algorithms_come_before(run, frames):
    table, dark = table_of(run), frames.mean(axis=0).astype("f4")
    chain = [Subtract(dark=np.nan_to_num(dark, nan=1.0))]
    data = table.cube({"delay": EDGES}, images=chain, cluster="here").data
    made = frames.astype("f4") - np.nan_to_num(dark, nan=1.0)
    close(data, expected(made.astype("f8"), np.where(bins_of(table) >= 0, bins_of(table) // 2, -1), 3))


def test_curves_of_frames_and_of_the_mean_image(run, frames):
    from dxflow.algorithms.azint import AzimuthalIntegration

    table = table_of(run)
    made = table.cube({"delay": EDGES}, images=True, azint={"nbins": 8}, normalise="xgm", cluster="here")
    alone = Table(table.data.assign(azint=(("pulse", "q"), curves_of(run, AzimuthalIntegration(nbins=8)))))
    same = alone.cube({"delay": EDGES}, of=["azint"], normalise="xgm").data
    for part in ("count", "mean", "sem", "weight"):
        np.testing.assert_allclose(made.data[f"azint_{part}"], same[f"azint_{part}"], rtol=1e-6)
    assert made.data["azint_mean"].dims == ("delay", "q")
    assert made.data["azint_mean"].attrs["units"] == made.data["azint_of_image"].attrs["units"] == "1/uJ"
    assert made.data["q"].attrs["units"] == "1/angstrom"
    # No pixel is bad in some frames only: then the mean of curves is the curve of the mean.
    np.testing.assert_allclose(made.data["azint_of_image"], made.data["azint_mean"], rtol=2e-2)


def curves_of(run, azint):
    import dxflow

    return dxflow.reduce(run.path, azint, cluster="here").dataset["azint.intensity"].values


def test_images_are_put_together(run):
    import dxflow
    from dxflow.algorithms.assemble import Assemble

    table = table_of(run)
    cube = table.cube({"side": "unique"}, images=True, geometry=True, cluster="here")
    first = table.column("side", at="pulse").values == 0
    one = dxflow.reduce(run.path, Assemble(), frames=first, cluster="here").dataset
    data = cube.data.isel(side=0)
    np.testing.assert_allclose(data["assembled_mean"], one["assemble.image"], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(data["assembled_count"], one["assemble.count"])
    np.testing.assert_array_equal(data["y"], one["y"])
    assert np.nansum(data["assembled_sem"] ** 2) == pytest.approx(
        float((data["image_sem"] ** 2).sum()), rel=1e-3
    )


def saved_again(cube, folder):
    import dxflow

    return dxflow.open(cube.save(folder / "cube.zarr"))


def test_a_cube_with_images_is_kept_and_opened(run, tmp_path):
    cube = table_of(run).cube(AXES, of=["w"], images=True, on="on", cluster="here")
    again = saved_again(cube, tmp_path)
    xr.testing.assert_identical(again.data.load(), cube.data.load())


def test_a_train_whose_rows_are_alike_is_one_image_of_a_camera(tmp_path):
    truth = make_run(
        tmp_path / "r0002", detector="AGIPD500K", trains=6, pulses=3, module_shape=(2, 2), devices=("camera",)
    )
    table, key = table_of(truth), Key(truth.devices["camera"] + ":daqOutput", "data.image.pixels")
    data = table.cube({"side": "unique"}, images=key, cluster="here").data
    images = oracle_camera(truth)
    np.testing.assert_allclose(
        data["image_mean"][:, 0], [images[0::2].mean(axis=0), images[1::2].mean(axis=0)], rtol=1e-6
    )
    assert data["n"].values.tolist() == [9, 9]
    assert (data["image_count"] == 3).all()
    with pytest.raises(PlanError, match="6 trains for 14 rows, and rows of one are in different bins"):
        table.cube({"delay": EDGES}, images=key, cluster="here")


def oracle_camera(truth):
    from extra_data import RunDirectory

    return (
        RunDirectory(truth.path)[truth.devices["camera"] + ":daqOutput", "data.image.pixels"]
        .ndarray()
        .astype("f8")
    )


def test_a_table_of_trains_has_all_frames_of_a_train(run, frames):
    table = table_of(run)
    trains = Table(
        table.data[["side"]].drop_vars(["train_id", "pulse_id"], errors="ignore").assign_attrs(rows="trains")
    )
    data = trains.cube({"side": [0, 0.5, 1]}, images=True, cluster="here").data
    close(data, expected(frames, column(table, "side").astype(int), 2))


def test_modules_that_lack_frames_have_fewer(tmp_path):
    plant = Plant(missing_modules=(2,), lost_trains={5: (0, 3)}, missing_trains=(4,))
    truth = make_run(
        tmp_path / "r0003", detector="AGIPD500K", trains=6, pulses=4, module_shape=(2, 4), plant=plant
    )
    table, frames = table_of(truth), oracle.frames(truth.path, truth.sources, truth.key)[1]
    with pytest.raises(PlanError, match="missing module"):
        table.cube({"delay": EDGES}, images=True, cluster="here")
    cube = table.cube({"delay": EDGES}, images=True, cluster="here", on_fault="mask")
    bins = bins_of(table)
    close(cube.data.sel(module=truth.module_numbers), expected(frames, np.where(bins >= 0, bins // 2, -1), 3))
    assert cube.about["losses"]


def test_rows_without_a_frame_are_told(run):
    table = table_of(run)
    ids = table.data["pulse_id"].values.copy()
    ids[5] = 999
    cube = Table(table.data.assign_coords(pulse_id=("pulse", ids))).cube(
        {"side": "unique"}, images=True, cluster="here"
    )
    assert "images: 1 of 54 rows in bins have no frame in the run" in cube.data.attrs["notes"]


def test_pulses_are_the_frames_that_see_them(tmp_path):
    """Numbers of frames are not slots of the bunch pattern: some slots are numbers of other frames."""
    truth = make_run(
        tmp_path / "r0005",
        detector="AGIPD500K",
        trains=4,
        pulses=40,
        module_shape=(2, 4),
        lit=0.5,
        first_slot=96,
    )
    for file in tmp_path.glob("r0005/*AGIPD*.h5"):
        with h5py.File(file, "r+") as f:
            (source,) = f["INSTRUMENT/SPB_DET_AGIPD500K2G/DET"].values()
            source["image/pulseId"][...] -= 96
    ev = analysis.table(truth.path, tmp_path / "t.zarr", quiet=True)
    assert ev.data.attrs["rows"] == "pulses"
    frames = oracle.frames(truth.path, truth.sources, truth.key)[1]
    bins = np.where(truth.lit, np.searchsorted(truth.train_ids, truth.frame_train_ids), -1)
    close(ev.cube({"train_id": "unique"}, images=True, cluster="here").data, expected(frames, bins, 4))
    shifted = ev.cube({"train_id": "unique"}, images=True, pulses={"offset": 100}, cluster="here")
    assert "rows in bins have no frame in the run" in shifted.data.attrs["notes"]
    events = Table(ev.data.assign_attrs(rows="events"))
    with pytest.raises(PlanError, match="events of LCLS"):
        events.cube({"train_id": "unique"}, images=True)


def test_several_runs_are_one(tmp_path):
    truths = [
        make_run(
            tmp_path / f"r000{n}",
            detector="AGIPD500K",
            trains=3,
            pulses=3,
            module_shape=(2, 4),
            seed=n,
            first_train=100 * n,
        )
        for n in (1, 2)
    ]
    tables = [table_of(truth).data for truth in truths]
    data = xr.concat([one.drop_dims("train") for one in tables], "pulse").assign_coords(
        run=("pulse", np.repeat([1, 2], 9))
    )
    runs = {n: truth.path for n, truth in zip((1, 2), truths, strict=True)}
    for given in (None, "r0001", {}):
        with pytest.raises(
            PlanError, match=r"rows are of several runs: expected a mapping with each of \[1, 2\]"
        ):
            Table(data).cube({"delay": EDGES}, images=True, run=given, cluster="here")
    cube = Table(data.assign_attrs(run=[1, 2])).cube({"delay": EDGES}, images=True, run=runs, cluster="here")
    frames = np.concatenate([oracle.frames(t.path, t.sources, t.key)[1] for t in truths])
    bins = np.searchsorted(EDGES, data["delay"].values, side="right") - 1
    close(cube.data, expected(frames, bins, 3))


@pytest.mark.filterwarnings("ignore:.*holds for none")
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"images": True, "where": "xgm > 1e9"}, "none of the 54 rows"),
        ({"images": []}, "expected Frames"),
        ({"images": 3}, "expected Frames"),
        ({"images": True, "to": "x.zarr"}, "to=: frames are those of the table's rows"),
        ({"images": True, "azint": "q"}, "expected a number of bins, or options"),
        ({"images": True, "geometry": "/nowhere.geom"}, "there is no file"),
        ({"run": "r"}, "run=: of images, which are not asked for"),
        ({"images": True, "run": "/nowhere/r0009"}, "r0009"),
        ({"images": True, "of": {"image": "w"}}, "image_count, image_mean, image_sem are of images="),
    ],
)
def test_what_cannot_be_is_refused(run, options, said):
    options = {"cluster": "here"} | options if "images" in options else options
    with pytest.raises((PlanError, TypeError, ValueError), match=said):
        table_of(run).cube({"delay": EDGES}, **options)


def test_a_geometry_of_curves_is_theirs_alone(run):
    """Images may be assembled by one geometry, and curves made by another."""

    def read(**options):
        return _Pass.of(Asked(True, **options)).azint.geometry

    own, other = "own.geom", "other.geom"
    assert read(azint={"geometry": own, "nbins": 5}, geometry=other) == own
    assert read(azint={"nbins": 5}, geometry=other) == other
    assert read(azint={"geometry": own}, geometry=True) == own


def test_the_run_of_another_table_is_refused(run, tmp_path):
    other = make_run(
        tmp_path / "r0004", detector="AGIPD500K", trains=2, pulses=2, module_shape=(2, 4), first_train=5
    )
    with pytest.raises(
        PlanError, match="is not the run of the table: its trains are from 5 to 6, those of the table"
    ):
        table_of(run).cube({"delay": EDGES}, images=True, run=other.path, cluster="here")
    gone = Table(table_of(run).data.assign_attrs(run="/nowhere"))
    with pytest.raises(PlanError, match="its run, /nowhere, is not there; give run="):
        gone.cube({"delay": EDGES}, images=True, cluster="here")


def test_what_does_not_fit_into_memory_is_refused_with_advice(run, monkeypatch):
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**13}.get)
    with pytest.raises(PlanError, match="of this machine.*or fewer bins than 3, modules= or roi= of Frames"):
        table_of(run).cube({"delay": EDGES}, images=True, cluster="here")


def test_an_effect_of_one_per_cent_is_found_with_its_error(tmp_path):
    rings = {"q": (0.8, 1.3), "width": 0.05, "background": 0.5}
    truth = make_run(
        tmp_path / "r0006",
        detector="AGIPD500K",
        module_shape=(32, 32),
        trains=54,
        pulses=8,
        signal=PowderRings(photons=(40, 30), **rings),
        pump_signal=PowderRings(photons=(40, 30.3), **rings),
        pump="pulses",
        scan=Scan(-1.0, 3.0, steps=9, onset=0.0, rise=0.05, lifetime=1e3),
        energy_spread=0.1,
        bad_pixels=0,
    )
    config = {
        "variables": {
            "delay": "SPB_EXP_SCAN/MOTOR/STAGE actualPosition",
            "xgm": "SA1_XTD2_XGM/XGM/DOOCS:output data.intensityTD",
            "pumped": "pumped",
        }
    }
    ev = analysis.table(truth.path, tmp_path / "t.zarr", config, quiet=True)
    ring = {"nbins": 2, "qrange": (0.75, 1.35)}
    options = {"normalise": "xgm", "images": True, "azint": ring, "cluster": "here", "quiet": True}
    found = ev.cube({"delay": "unique"}, on="pumped", **options).relative
    before, after = found.sel(delay=slice(None, -0.3)), found.sel(delay=slice(0.3, None))
    weight = after["azint_sem"].isel(q=1) ** -2
    effect = float((after["azint"].isel(q=1) * weight).sum() / weight.sum())
    error = float(weight.sum() ** -0.5)
    wavelength = 12.398 / truth.photon_energy
    angle = np.arctan2(np.hypot(*np.moveaxis(truth.positions[..., :2], -1, 0)), truth.distance)
    q = 4 * np.pi * np.sin(angle / 2) / wavelength
    inside = (q >= 1.05) & (q < 1.35)
    planted = truth.expected_pump[inside].sum() / truth.expected[inside].sum() - 1
    assert 0.005 < planted < 0.0101
    assert abs(effect - planted) < 4 * error < planted
    assert abs(before["azint"] / before["azint_sem"]).max() < 4
