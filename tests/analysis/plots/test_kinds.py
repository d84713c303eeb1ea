"""Which picture each kind of variable has, and that what is drawn are its values."""

import numpy as np
import pytest
import smalltables
import xarray as xr
from matplotlib.figure import Figure

from dxflow.analysis.plots import images, kinds
from dxflow.analysis.plots.bars import Bars
from dxflow.analysis.plots.histogram import Histogram
from dxflow.analysis.plots.images import Image
from dxflow.analysis.plots.lines import Line
from dxflow.analysis.plots.maps import Map
from dxflow.analysis.plots.plotted import plotted
from dxflow.analysis.plots.points import Points
from dxflow.analysis.plots.screen import Screen

SCREENS = (Screen(50, 14), Screen(50, 14, unicode=False), Screen(50, 14, True, True))
RNG = np.random.default_rng(3)
FRAMES, TRAINS = 40, 10
TRAIN_ID = np.repeat(10001 + np.arange(TRAINS, dtype=np.uint64), FRAMES // TRAINS)


def dataset():
    """Something of each kind that results have."""
    q = ("q", np.linspace(0.1, 2, 20), {"units": "1/angstrom"})
    delay = ("delay", np.linspace(-1, 1, 5), {"units": "ps"})
    frames, scan = RNG.normal(5, 1, FRAMES), RNG.normal(2, 1, 5)
    frames[3] = np.nan
    return xr.Dataset(
        {
            "average.mean": (("module", "ss", "fs"), RNG.random((4, 6, 8)), {"units": "adu"}),
            "assemble.image": (("y", "x"), RNG.random((5, 7))),
            "images": (("delay", "module", "ss", "fs"), RNG.random((5, 4, 6, 8))),
            "azint.intensity": (("frame", "q"), RNG.random((FRAMES, 20)), {"units": "adu"}),
            "azint.mean": ("q", RNG.random(20), {"units": "adu", "long_name": "mean of frames"}),
            "azint.error": ("q", RNG.random(20)),
            "difference.difference": (("delay", "q"), RNG.normal(size=(5, 20))),
            "litframes.intensity": ("frame", frames, {"units": "adu"}),
            "litframes.lit": ("frame", RNG.random(FRAMES) > 0.5),
            "litframes.lit_valid": ("frame", RNG.random(FRAMES) > 0.2),
            "xgm": ("train", RNG.random(TRAINS), {"units": "uJ"}),
            "state": ("frame", np.where(TRAIN_ID % 2, "ON", "OFF")),
            "roi.sum": (("frame", "roi"), RNG.random((FRAMES, 2))),
            "signal_mean": ("delay", scan, {"units": "adu"}),
            "signal_sem": ("delay", np.abs(scan) / 10),
            "signal_count": ("delay", np.arange(5)),
            "sums": ("roi", [1.0, 2.0]),
            "one": ((), 3.0),
        },
        {
            "train_id": ("frame", TRAIN_ID),
            "train": 10001 + np.arange(TRAINS, dtype=np.uint64),
            "q": q,
            "delay": delay,
            "roi": ["a", "b"],
        },
    )


DATA = dataset()
USUAL = {
    "average.mean": Image,
    "assemble.image": Image,
    "images": Image,
    "azint.intensity": Line,
    "azint.mean": Line,
    "difference.difference": Map,
    "litframes.intensity": Histogram,
    "litframes.lit": Line,
    "xgm": Line,
    "state": Bars,
    "roi.sum": Histogram,
    "signal_mean": Points,
    "sums": Bars,
}


@pytest.mark.parametrize("name", USUAL)
def test_each_variable_has_its_picture_and_can_be_drawn_on_any_terminal(name):
    made = kinds.picture(DATA, name)
    assert type(made) is USUAL[name]
    for screen in SCREENS:
        lines = made.text(screen)
        assert len(lines) <= screen.height + 1
        assert screen.unicode or "".join(lines[2:-1]).replace("Å⁻¹", "").isascii()
        assert screen.colour or "\x1b" not in "".join(lines)


@pytest.mark.parametrize("name", USUAL)
def test_axes_of_matplotlib_have_labels_with_units(name):
    axes, _ = plotted(kinds.picture(DATA, name))
    labels = axes.get_xlabel() + axes.get_ylabel() + "".join(a.get_ylabel() for a in axes.figure.axes[1:])
    assert axes.get_xlabel() or name == "state"
    unit = {"adu": "(adu)", "uJ": "(µJ)"}.get(DATA[name].attrs.get("units", ""), "")
    assert unit in labels
    assert ("q (Å⁻¹)" in labels) == ("q" in DATA[name].dims)
    assert "delay (ps)" in labels or name in ("images",) or "delay" not in DATA[name].dims


def test_lines_are_the_values_with_their_standard_error():
    data = kinds.picture(DATA, "azint.mean").data
    mean, error = DATA["azint.mean"].values, DATA["azint.error"].values
    np.testing.assert_array_equal(data["value"], mean)
    np.testing.assert_allclose(data["high"], mean + error)
    np.testing.assert_array_equal(data["x"], DATA["q"])


def test_lines_of_rows_are_means_and_percentiles():
    data = kinds.picture(DATA, "azint.intensity").data
    values = DATA["azint.intensity"].values
    np.testing.assert_allclose(data["value"], values.mean(axis=0))
    np.testing.assert_allclose([data["low"], data["high"]], np.percentile(values, (5, 95), axis=0))


def test_points_are_means_of_bins_with_their_errors():
    data = kinds.picture(DATA, "signal_mean").data
    for part in ("mean", "sem", "count"):
        np.testing.assert_array_equal(data[part][0], DATA[f"signal_{part}"])


def test_on_and_off_are_two_series_of_points():
    pumped = np.stack([DATA["signal_mean"], DATA["signal_mean"] - 1])
    data = xr.Dataset(
        {
            "signal_mean": (("pump", "delay"), pumped),
            "signal_sem": (("pump", "delay"), np.abs(pumped) / 10),
            "signal_count": (("pump", "delay"), np.full((2, 5), 7)),
            "image_mean": (("pump", "delay", "ss", "fs"), RNG.random((2, 5, 4, 6))),
        },
        {"pump": ["on", "off"], "delay": DATA["delay"]},
    )
    made = kinds.picture(data, "signal_mean")
    assert type(made) is Points
    np.testing.assert_array_equal(made.data["mean"], pumped)
    np.testing.assert_array_equal(made.data["sem"], np.abs(pumped) / 10)
    axes, _ = plotted(made)
    assert [one.get_text() for one in axes.get_legend().get_texts()] == ["on", "off"]
    assert made.text(SCREENS[1])[-1] == "o on, x off"
    assert type(kinds.picture(data, "signal_mean", at={"pump": "off"})) is Points
    image = kinds.picture(data, "image_mean", at={"delay": 1})
    np.testing.assert_array_equal(image.data["image"], data["image_mean"][0, 4])


def test_series_are_means_of_trains():
    data = kinds.picture(DATA, "litframes.intensity", kind="series").data
    values = DATA["litframes.intensity"].values.reshape(TRAINS, -1)
    np.testing.assert_allclose(data["value"], np.nanmean(values, axis=1))
    np.testing.assert_allclose(data["high"], np.nanpercentile(values, 95, axis=1))
    np.testing.assert_array_equal(data["x"], DATA["train"])
    alone = kinds.picture(DATA, "xgm").data
    np.testing.assert_array_equal(alone["value"], DATA["xgm"])
    assert "low" not in alone


def test_shares_are_those_of_the_frames_that_are_known_within_wilsons_interval():
    data = kinds.picture(DATA, "litframes.lit").data
    lit, known = (DATA[n].values.reshape(TRAINS, -1) for n in ("litframes.lit", "litframes.lit_valid"))
    for n in range(TRAINS):
        some = lit[n][known[n]]
        assert len(some) > 0
        share = float(data["value"][n])
        assert share == some.mean()
        for end in ("low", "high"):
            # The ends are where the share is 1.96 of its standard deviations away.
            p = float(data[end][n])
            assert abs(share - p) == pytest.approx(1.96 * np.sqrt(p * (1 - p) / len(some)))


def test_long_runs_are_drawn_in_stretches_of_whole_trains():
    n = 7000
    trains = np.repeat(np.arange(n), 3)
    data = xr.Dataset({"x": ("frame", np.repeat(np.arange(n) % 7.0, 3))}, {"train_id": ("frame", trains)})
    made = kinds.picture(data, "x", kind="series").data
    assert made.sizes["x"] <= 300
    np.testing.assert_allclose(made["value"].values.mean(), 3, atol=0.05)


def test_the_place_along_other_axes_is_the_nearest_or_the_middle_and_is_said():
    made = kinds.picture(DATA, "images", at={"delay": 0.4})
    assert "delay 0.5 ps" in made.title
    image = DATA["images"].values[3]
    np.testing.assert_array_equal(made.data["image"].values[:6, :8], image[0])
    assert "delay 0 ps (3 of 5)" in kinds.picture(DATA, "images").title
    # Of named things it is the first one.
    assert "roi a (1 of 2)" in kinds.picture(DATA, "roi.sum").title
    made = kinds.picture(DATA, "roi.sum", at={"roi": "b"})
    assert made.data["count"].sum() == FRAMES
    assert "roi b" in made.title
    line = kinds.picture(DATA, "azint.intensity", at={"frame": "7"}).data
    np.testing.assert_array_equal(line["value"], DATA["azint.intensity"][7].values)


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ({"rio": 1}, "Did you mean 'roi'"),
        ({"roi": "c"}, "no roi 'c'"),
        ({"frame": 40}, "from 0 to 39"),
        ({"frame": "x"}, "expected a number"),
    ],
)
def test_places_that_are_not_there_are_refused(at, said):
    with pytest.raises((KeyError, ValueError), match=said):
        kinds.picture(DATA, "roi.sum", at=at)


def test_other_kinds_may_be_asked_for_where_they_can_be_drawn():
    assert type(kinds.picture(DATA, "difference.difference", kind="line")) is Line
    assert type(kinds.picture(DATA, "azint.mean", kind="points")) is Points
    assert type(kinds.picture(DATA, "azint.mean", kind="histogram")) is Histogram
    assert type(kinds.picture(DATA, "average.mean", kind="map")) is Map
    for name, kind in (("azint.mean", "image"), ("sums", "points"), ("one", "line"), ("xgm", "map")):
        with pytest.raises(ValueError, match=r"cannot be drawn as|nothing to draw"):
            kinds.picture(DATA, name, kind=kind)
    with pytest.raises(ValueError, match="Did you mean 'histogram'"):
        kinds.picture(DATA, "xgm", kind="histgram")


def test_empty_and_missing_values_are_no_errors():
    for name in USUAL:
        nothing = DATA.isel(frame=slice(0), train=slice(0))
        nothing = nothing.map(lambda a: a * np.nan if a.dtype.kind == "f" else a)
        made = kinds.picture(nothing, name)
        for screen in SCREENS:
            assert made.text(screen)
        plotted(made)


def test_of_many_rows_some_stretches_are_read():
    made = kinds.picture(DATA, "azint.intensity", how=kinds.How(most=20 * 20))
    assert "16 of 40 frames" in made.title
    values = DATA["azint.intensity"].values[(np.arange(16) * 39 // 15)]
    np.testing.assert_allclose(made.data["value"], values.mean(axis=0))


def test_of_a_cube_the_bin_with_most_rows_is_shown():
    dims = ("pump", "delay", "energy")
    rows = np.array([[[0, 0], [5, 0], [0, 9], [0, 0], [2, 0]], [[90, 0], [0, 0], [0, 0], [0, 0], [0, 0]]])
    data = xr.Dataset(
        {"n": (dims, rows), "image_mean": ((*dims, "ss", "fs"), RNG.random((2, 5, 2, 4, 6)))},
        {"pump": ["on", "off"], "delay": DATA["delay"]},
    )
    made = kinds.picture(data, "image_mean")
    np.testing.assert_array_equal(made.data["image"], data["image_mean"][0, 2, 1])
    made = kinds.picture(data, "image_mean", at={"pump": "off", "energy": 0})
    np.testing.assert_array_equal(made.data["image"], data["image_mean"][1, 0, 0])
    empty = data.assign(n=data["n"] * 0)
    made = kinds.picture(empty, "image_mean")
    np.testing.assert_array_equal(made.data["image"], data["image_mean"][0, 2, 1])


def test_what_says_most_is_shown_first():
    assert kinds.first(DATA) == "average.mean"
    assert kinds.first(DATA[["xgm", "azint.intensity", "azint.mean"]]) == "azint.mean"
    assert kinds.first(DATA[["litframes.lit", "litframes.intensity"]]) == "litframes.intensity"
    assert kinds.first(DATA[["one"]]) == ""
    sigma = DATA[["litframes.intensity"]].rename({"litframes.intensity": "xgm.intensitySigmaTD"})
    sigma["xgm.intensityTD"] = sigma["xgm.intensitySigmaTD"]
    assert kinds.first(sigma) == "xgm.intensityTD"


def test_every_variable_of_a_table_can_be_drawn():
    table = smalltables.table()
    for name in (*table.names, "train_id", "time"):
        if name != "energy":
            made = kinds.picture(table.data, name)
            assert made.text(SCREENS[0])
            plotted(made)


def test_spreads_of_rows_are_percentiles_with_and_without_gaps():
    values = np.random.default_rng(3).normal(size=(37, 11)).astype("f4")
    for missing in (False, True):
        rows = values.astype(float) if missing else values
        if missing:
            rows[::5, 3], rows[:, 7] = np.nan, np.nan
        data = xr.Dataset({"a": (("frame", "q"), rows)}, {"q": np.arange(11)})
        drawn = kinds.picture(data, "a", kind="line").data
        there = [k for k in range(11) if not (missing and k == 7)]
        for name, wanted in (("value", np.nanmean), ("low", _low), ("high", _high)):
            found = [wanted(rows[:, k]) for k in there]
            np.testing.assert_allclose(drawn[name].values[there], found, rtol=1e-5, atol=1e-6)
    one = kinds.picture(
        xr.Dataset({"a": (("frame", "q"), values[:1])}, {"q": np.arange(11)}), "a", kind="line"
    ).data
    np.testing.assert_allclose(one["low"], values[0])


def _low(values):
    return np.nanpercentile(values, 5)


def _high(values):
    return np.nanpercentile(values, 95)


def with_gaps(dims, values, there, **coords):
    """Whole numbers of which some are missing: 0, as stores have them."""
    there = np.asarray(there, bool)
    values = np.where(there.reshape(there.shape + (1,) * (np.ndim(values) - there.ndim)), values, 0)
    return xr.Dataset({"v": (dims, values), "v_valid": (dims[: there.ndim], there)}, coords)


@pytest.mark.parametrize("dtype", ["i4", "u2", "bool"])
def test_missing_whole_numbers_are_no_zeros_in_lines_of_rows(dtype):
    rows = np.ones((4, 20), dtype)
    data = kinds.picture(with_gaps(("train", "x"), rows, [True, False, True, True]), "v", kind="line").data
    for name in ("value", "low", "high"):
        assert data[name].values.tolist() == [1.0] * 20
    assert data.attrs["band"] == "90 % of 3 trains"
    nothing = kinds.picture(with_gaps(("train", "x"), rows, [False] * 4), "v", kind="line")
    assert not np.isfinite(nothing.data["value"]).any()
    assert nothing.text(SCREENS[0])[-1] == "no values"


def test_rows_that_are_missing_are_not_counted():
    rows = np.ones((4, 20))
    rows[1:3] = np.nan
    data = kinds.picture(xr.Dataset({"v": (("train", "x"), rows)}), "v").data
    assert data.attrs["band"] == "90 % of 2 trains"


def test_missing_whole_numbers_are_empty_in_maps_images_lines_and_points():
    there = np.array([True, True, False, True])
    rows = 5 + np.arange(4 * 6 * 8).reshape(4, 6, 8)
    made = kinds.picture(with_gaps(("train", "ss", "fs"), rows, there), "v", at={"train": 2})
    assert not np.isfinite(made.data["image"]).any()
    data = with_gaps(("module", "ss", "fs"), rows, there)
    for kind in (None, "modules"):
        made = kinds.picture(data, "v", kind=kind)
        assert made.whole
        image = made.data["image"].values
        assert sorted(image[np.isfinite(image)]) == sorted(rows[there].ravel())
    made = kinds.picture(with_gaps(("y", "q"), rows[0, :4], there), "v", kind="map")
    np.testing.assert_array_equal(made.values, np.where(there[:, None], rows[0, :4], np.nan))
    assert made.whole
    wanted = np.where(there, [5, 6, 7, 8], np.nan)
    line = with_gaps(("q",), [5, 6, 7, 8], there)
    np.testing.assert_array_equal(kinds.picture(line, "v", kind="line").data["value"], wanted)
    line["v_error"] = ("q", np.ones(4))
    made = kinds.picture(line, "v", kind="points")
    np.testing.assert_array_equal(made.data["mean"][0], wanted)
    assert made.text(SCREENS[0])
    bars = kinds.picture(with_gaps(("roi",), [5, 6, 7, 8], there, roi=list("abcd")), "v")
    np.testing.assert_array_equal(bars.data["v"], wanted)
    assert "-" in bars.text(SCREENS[0])[3]
    plotted(bars)


def test_whole_numbers_of_which_none_is_missing_stay_whole_numbers():
    made = kinds.picture(with_gaps(("module", "q"), np.ones((4, 20), "i4"), [True] * 4), "v", kind="map")
    assert made.data["v"].dtype == "i4"


def beside_each_other(modules=4):
    """Pixels of 1 mm of modules of (6, 8): each 100 mm to the right of the one before."""
    module, ss, fs = np.indices((modules, 6, 8))
    return np.stack([100.0 * module + fs, ss, np.full(ss.shape, 1000.0)], -1) / 1e3


@pytest.mark.parametrize(
    ("modules", "chosen", "place"),
    # Without numbers, from 0, from 1 (JUNGFRAU), some of them, as many as there are but others.
    [(None, 2, 2), (range(4), 3, 3), (range(1, 5), 3, 2), (range(1, 5), 4, 3), ([1, 3], 3, 3), ([3], 3, 3)],
)
@pytest.mark.parametrize("kept", [False, True])
def test_one_module_is_where_the_geometry_has_it(modules, chosen, place, kept):
    values = RNG.random((4 if modules is None else len(modules), 3, 6, 8))
    data = xr.Dataset({"v": (("module", "delay", "ss", "fs"), values)})
    data = data.transpose("delay", "module", "ss", "fs")
    if modules is not None:
        data = data.assign_coords(module=list(modules))
    where = beside_each_other()
    how = kinds.How(images.Places(where) if kept else where)
    for _ in range(2):
        made = kinds.picture(data, "v", at={"module": str(chosen), "delay": 1}, how=how)
        left, right, _, _ = made.data.attrs["extent"]
        assert (left, right) == pytest.approx((100 * place - 0.5, 100 * place + 7.5))
        number = chosen if modules is None else list(modules).index(chosen)
        np.testing.assert_array_equal(made.data["image"], values[number, 1])
        assert made.text(SCREENS[0])


def test_arrays_of_one_module_have_its_place_by_its_number():
    values = xr.DataArray(RNG.random((4, 6, 8)), {"module": range(4)}, ("module", "ss", "fs"), name="v")
    places = images.Places(beside_each_other())
    for n in (1, 3):
        made = images.of_array(values.isel(module=n), places, "")
        assert made.data.attrs["extent"][0] == pytest.approx(100 * n - 0.5)
        np.testing.assert_array_equal(made.data["image"], values[n])
    # A geometry of one module is that of this one.
    assert images.of_array(values.isel(module=3), beside_each_other(1), "").data.attrs["extent"][0] == -0.5
    for wrong in (values.isel(module=3).drop_vars("module"), values.isel(module=3).assign_coords(module=9)):
        with pytest.raises(ValueError, match="give the geometry of this detector"):
            images.of_array(wrong, places, "")


@pytest.mark.parametrize(
    ("detector", "first"), [("SPB_IRDA_JF4M", 1), ("MID_DET_AGIPD1M-1", 0), ("MINE", 0), ("", 0)]
)
def test_some_modules_are_those_of_their_numbers_which_begin_at_1_for_some_detectors(detector, first):
    about = {"detector": detector} if detector else {}
    for numbers in ([2, 3], [3]):
        data = xr.Dataset({"v": (("module", "ss", "fs"), RNG.random((len(numbers), 6, 8)), about)})
        data = data.assign_coords(module=numbers)
        made = kinds.picture(data, "v", how=kinds.How(beside_each_other()))
        assert made.data.attrs["extent"][0] == pytest.approx(100 * (numbers[0] - first) - 0.5)
        one = images.of_array(data["v"].isel(module=-1), beside_each_other(), "")
        assert one.data.attrs["extent"][0] == pytest.approx(100 * (3 - first) - 0.5)


def test_other_axes_of_the_users_figure_keep_their_formulas():
    figure = Figure()
    mine, given = figure.subplots(1, 2)
    texts = [
        mine.set_xlabel(r"$q^2$"),
        mine.set_title(r"$\chi$"),
        mine.text(0, 0, "$x$"),
        given.text(0, 0, "$y$"),
        given.set_title("$z$", loc="right"),
    ]
    names = DATA.assign(price=(("y", "x"), RNG.random((5, 7)), {"long_name": "in $ and $", "units": "$a$"}))
    plotted(kinds.picture(names, "price"), given)
    assert all(text.get_parse_math() for text in texts)
    # What is drawn stands as it is: also the colours.
    bar = figure.axes[2]
    assert bar.get_ylabel() == "price ($a$)"
    assert not bar.yaxis.label.get_parse_math()
    assert given.get_title(loc="left") == "in $ and $"
    assert not given._left_title.get_parse_math()


def test_bars_of_names_have_units():
    data = xr.Dataset({"e": ("roi", [1.0, 2.0], {"units": "mJ"})}, {"roi": ["a", "b"]})
    axes, _ = plotted(kinds.picture(data, "e"))
    assert axes.get_xlabel() == "e (mJ)"
