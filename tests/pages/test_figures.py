"""Pictures of each variable as parts of a page: every kind, hostile names, nothing there, too much there."""

import io
import re
from base64 import b64decode
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
import xarray as xr
from pagesamples import HOSTILE

from dxflow.analysis.plots import kinds
from dxflow.html.escaped import plain
from dxflow.pages import drawn, figures
from dxflow.pages.drawn import Easel, drawing
from dxflow.pages.figures import Figures

SVG = {"svg", "defs", "style", "g", "path", "text", "use", "rect", "image", "clippath"}


class Tags(HTMLParser):
    """Collects the names of elements and of their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found, self.attributes = set(), []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.found.add(tag)
        self.attributes += [name for name, _ in attrs]


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    frames, trains, q = 60, 10, 40
    row = ("frame", rng.gamma(2, 1, frames))
    return xr.Dataset(
        {
            "a.intensity": row,
            "a.lit": ("frame", rng.random(frames) > 0.3),
            "a.lit_valid": ("frame", np.ones(frames, bool)),
            "a.profile": (("frame", "q"), rng.gamma(2, 1, (frames, q))),
            "a.image": (("module", "ss", "fs"), rng.gamma(2, 1, (3, 64, 32))),
            "a.total": ((), 3.25, {"units": "mJ", "long_name": "in all"}),
            "a.mean": ("q", rng.gamma(2, 1, q)),
            "a.error": ("q", np.full(q, 0.1)),
            "a.map": (("train", "q"), rng.normal(size=(trains, q))),
            "b.peaks_count": ("frame", rng.poisson(3, frames)),
            "b.peaks_offset": ("frame", np.arange(frames)),
            "b.names": ("frame", np.array(["on", "off"] * 30)),
            "b.nothing": ("frame", np.full(frames, np.nan)),
            "b.no_rows": ("event", np.zeros(0)),
            "b.dark": (("y", "x"), np.full((8, 8), np.nan)),
            "b.complex": (("y", "x"), np.ones((8, 8), complex)),
            "xgm": ("train", rng.normal(900, 10, trains)),
        },
        {
            "train_id": ("frame", np.repeat(np.arange(trains) + 10001, 6)),
            "train": np.arange(trains) + 10001,
            "q": ("q", np.linspace(0.1, 3, q), {"units": "1/angstrom"}),
        },
    )


def svg_of(html):
    found = re.search(r"<svg.*</svg>", html, re.DOTALL)
    return ElementTree.fromstring(
        found[0].replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1)
    )


def test_each_variable_has_one_figure_in_the_section_of_its_algorithm(data):
    made = Figures(data, "x.zarr")
    assert list(made.groups) == ["a", "b", ""]
    assert "a.lit_valid" not in made.names
    assert "b.peaks_offset" not in made.names
    text = "".join(map(str, made.sections()))
    for name in made.names:
        assert text.count(f'id="{made.id(name)}"') == (data[name].ndim > 0)
    assert "3.25 mJ" in text
    ids = re.findall(r'\bid="([^"]+)"', re.sub(r"<defs>.*?</defs>", "", text, flags=re.DOTALL))
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.intensity", "60 values"),
        ("a.lit", "share of a.lit"),
        ("a.profile", "90 % of 60 frames"),
        ("a.mean", "standard error"),
        ("a.image", "fs (pixels"),
        ("a.map", "q (Å⁻¹)"),
        ("b.names", "off"),
        ("b.peaks_count", ">train<"),
        ("xgm", ">train<"),
        ("b.nothing", "no values"),
        ("b.dark", "no values"),
    ],
)
def test_each_kind_has_its_picture_and_numbers(data, name, said):
    html = Figures(data, "x.zarr").figure(name)
    assert said in html
    assert "not drawn" not in html
    svg_of(html)
    assert "currentColor" in html
    assert re.search(
        r'download="[\w.-]+" href="data:(text/csv|application/octet-stream);base64,[\w+/=]+"', html
    )


def test_what_cannot_be_drawn_says_why_and_others_are(data):
    html = Figures(data).section("b").html
    assert "b.complex" in html
    assert html.count("<figure") == 6
    assert "not drawn" in Figures(data).figure("b.no_rows") or "no values" in Figures(data).figure(
        "b.no_rows"
    )


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_texts(name):
    data = xr.Dataset(
        {name: ((name + "q"), np.arange(50.0), {"units": name, "long_name": name})},
        {name + "q": np.arange(50.0)},
    )
    names = xr.Dataset({name: ("kind", np.arange(3.0))}, {"kind": [name, "b", "c"]})
    for one in (data, names):
        html = Figures(one, name).figure(name)
        assert "not drawn" not in html
        tags = Tags(html)
        assert tags.found <= SVG | {"figure", "div", "h3", "p", "figcaption", "span", "a"}
        assert not [name for name in tags.attributes if name.startswith("on")]
        texts = "".join(svg_of(html).itertext())
        assert plain(name)[:20] in texts
        assert "\x00" not in html
        assert "\u202e" not in html


def test_numbers_of_an_image_are_those_that_are_drawn(data):
    html = Figures(data).figure("a.image")
    content = b64decode(re.search(r"octet-stream;base64,([\w+/=]+)", html)[1])
    image = np.load(io.BytesIO(content))["image"]
    assert np.isclose(np.nanmean(image), data["a.image"].mean(), rtol=1e-5)


def kept_of(html):
    content = b64decode(re.search(r"octet-stream;base64,([\w+/=]+)", html)[1])
    return np.load(io.BytesIO(content))


@pytest.fixture
def tilted():
    """Counts and means of a detector whose modules are turned a little and lie between points of any grid."""
    y, x = np.mgrid[0:32, 0:32] * 0.2e-3
    a = np.radians(0.8)
    module = np.stack(
        [x * np.cos(a) - y * np.sin(a), x * np.sin(a) + y * np.cos(a), np.ones_like(x)], axis=-1
    )
    positions = np.stack([module + [n * 6.73e-3, n * 0.11e-3, 0] for n in range(4)])
    rng = np.random.default_rng(5)
    dims = ("module", "ss", "fs")
    data = xr.Dataset(
        {
            "a.count": (dims, np.where(rng.random((4, 32, 32)) > 0.1, 320, 0).astype("i4")),
            "a.mean": (dims, rng.normal(1, 0.1, (4, 32, 32))),
        },
        {"module": [0, 1, 4, 7]},
    )
    return data, positions


def test_numbers_of_an_assembled_image_are_values_of_pixels(tilted):
    data, positions = tilted
    made = Figures(data, geometry=positions, distance=1.0)
    for name, array in data.items():
        html = made.figure(name)
        kept = kept_of(html)
        own = np.unique(array.values.astype("f4"))
        shown = kept["image"][np.isfinite(kept["image"])]
        assert np.isin(shown, own).all()
        # Hardly one is missing, hence sums and means are those of the result as well.
        assert np.isclose(shown.mean(), array.values.mean(), rtol=2e-3)
        assert "means of" not in html
        assert any("each is the value of the pixel" in one for one in kept["about"])
        assert np.array_equal(kept["pixels"], array.values.astype(kept["pixels"].dtype))
        assert kept["modules"].tolist() == [0, 1, 4, 7]


def test_where_there_is_no_room_for_pixels_the_link_and_the_file_say_so(tilted, monkeypatch):
    data, positions = tilted
    monkeypatch.setattr(figures, "MOST", 10_000)
    html = Figures(data, geometry=positions, distance=1.0).figure("a.mean")
    kept = kept_of(html)
    assert "B</a>, means of 3 x 3 pixels</span>" in html
    assert any("means of 3 x 3 pixels" in one for one in kept["about"])
    assert "pixels" not in kept
    # Counts of a whole detector are few bytes.
    kept = kept_of(Figures(data, geometry=positions, distance=1.0).figure("a.count"))
    assert np.array_equal(kept["pixels"], data["a.count"])


def test_a_page_of_very_many_variables_draws_the_first_and_names_the_others(data, monkeypatch):
    monkeypatch.setattr(figures, "FIGURES", 3)
    html = Figures(data).section("a").html
    assert html.count("<figure") == 3
    assert "Without a picture: " in html
    assert "a.map" in html


def test_the_same_picture_has_the_same_bits(data):
    assert Figures(data).figure("a.mean") == Figures(data).figure("a.mean")


def test_a_picture_does_not_depend_on_those_before_it(data):
    names = ["a.intensity", "a.mean", "a.profile", "xgm", "a.lit", "b.nothing", "b.peaks_count"]
    # A long name is moved along its axis.
    data = data.assign(
        {"wide": ("q", np.logspace(0, 8, 40), {"units": "counts of the whole detector and run"})}
    )
    alone = {n: Figures(data).figure(n) for n in [*names[::2], "a.mean", "wide", "b.nothing"]}
    together = Figures(data)
    for name in ["a.mean", "wide", *names[::2], "wide", "b.nothing"]:
        assert together.figure(name) == alone[name], name


def test_booleans_of_trains_and_modules_are_all_there():
    there = np.ones((10, 4), bool)
    there[3, 2] = False
    data = xr.Dataset(
        {"valid": (("train", "module"), there)}, {"train": np.arange(10), "module": [0, 1, 4, 5]}
    )
    html = Figures(data).figure("valid")
    assert ">module<" in html
    assert ">train<" in html
    content = b64decode(re.search(r"octet-stream;base64,([\w+/=]+)", html)[1])
    assert np.array_equal(np.load(io.BytesIO(content))["valid"], there)


def test_each_variant_has_a_picture_with_its_options():
    axis = "peaks.variant"
    data = xr.Dataset(
        {
            "peaks.n": ((axis, "frame"), np.arange(120).reshape(2, 60)),
            "peaks.hit": ((axis, "frame"), np.ones((2, 60), bool)),
        },
        {
            axis: ["peaks_1", "peaks_2"],
            "peaks.min_snr": (axis, [3, 8]),
            "train_id": ("frame", np.arange(60) // 6),
        },
    )
    made = Figures(data)
    for name in data:
        html = made.figure(name)
        assert html.count("<svg") == 2
        assert html.count("<figure") == 1
        assert "min_snr = 3" in html
        assert "min_snr = 8" in html
        assert "not drawn" not in html
    many = xr.Dataset(
        {"a.b": (("variant", "q"), np.ones((20, 30)))}, {"variant": [f"a_{n}" for n in range(20)]}
    )
    assert Figures(many).figure("a.b").count("<svg") == figures.VARIANTS
    assert "and 12 more variants" in Figures(many).figure("a.b")


def test_a_geometry_that_is_none_is_refused_and_that_of_another_detector_is_not_used(data, tmp_path):
    with pytest.raises(ValueError, match="nowhere.geom"):
        Figures(data, geometry=tmp_path / "nowhere.geom")
    other = np.zeros((3, 8, 8, 3))
    other[..., 0], other[..., 1] = np.arange(8) * 1e-3, np.arange(8)[:, None] * 1e-3
    assert "side by side" in Figures(data, geometry=other, distance=1.0).figure("a.image")


def test_forty_images_of_noise_fit_a_page(monkeypatch):
    noise = np.random.default_rng(0).random((1, 900, 900))
    made = Figures(xr.Dataset({"a.image": (("module", "ss", "fs"), noise)}))
    monkeypatch.setattr(Figures, "_areas", 40)
    html = made.figure("a.image")
    assert "NPZ" in html
    assert 40 * len(html) < 4_500_000


WORDS = {
    "counts": (np.full((2, 24, 24), 320, "i4"), "", ["319", "320", "321"]),
    "flags": (np.arange(1152).reshape(2, 24, 24) % 2, "", ["0", "1"]),
    "far": (np.linspace(-1234.51, -1234.56, 1152).reshape(2, 24, 24), "keV per photon", None),
    "many": (np.linspace(1e5, 9e7, 1152).astype(int).reshape(2, 24, 24), "", None),
}


@pytest.mark.parametrize("name", WORDS)
def test_what_colours_mean_is_within_the_picture_and_whole_where_values_are(name):
    values, unit, ticks = WORDS[name]
    data = xr.Dataset({f"average.{name}": (("module", "ss", "fs"), values, {"units": unit})})
    figure = Easel()
    picture = kinds.picture(data, f"average.{name}")
    seen = []
    fit = drawn._fit

    def fitted(made):
        fit(made)
        made.canvas.draw()
        box = made.axes[1].get_tightbbox()
        texts = [t.get_text() for t in made.axes[1].get_yticklabels()]
        power = made.axes[1].yaxis.offsetText.get_window_extent()
        seen.append((box.x1 / made.bbox.width, power.y1 / made.bbox.height, texts))

    with pytest.MonkeyPatch.context() as patched, drawing():
        patched.setattr(drawn, "_fit", fitted)
        figure.svg(picture, name)
    ((right, top, texts),) = seen
    assert 0.9 < right <= 1
    assert top <= 1
    assert ticks is None or texts == ticks


def test_there_may_be_nothing_at_all():
    assert list(Figures(xr.Dataset()).sections()) == []
    empty = xr.Dataset(
        {"a.rows": ("frame", np.zeros(0)), "a.image": (("module", "ss", "fs"), np.zeros((0, 4, 4)))}
    )
    html = Figures(empty).section("a").html
    assert html.count("<figure") == 2


def test_columns_of_events_have_a_picture_each_with_its_name():
    values = np.random.default_rng(0).random((50, 3))
    data = xr.Dataset(
        {"peaks.peaks": (("peaks.peaks_event", "peak"), values, {"long_name": "module, intensity, snr"})},
        {"peaks.peaks_train_id": ("peaks.peaks_event", np.arange(50) // 5)},
    )
    html = Figures(data).figure("peaks.peaks")
    assert html.count("<svg") == 3
    assert all(
        f"{name}, peak {n}: 50 values" in html for n, name in enumerate(("module", "intensity", "snr"))
    )
    assert "not drawn" not in html
