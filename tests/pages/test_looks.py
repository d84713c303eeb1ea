"""Pages as a real Chromium shows them: nothing complains or loads, nothing sticks out, hostile names are text."""

import chromium
import numpy as np
import pytest
import xarray as xr
from pagesamples import ACCOUNT, HOSTILE, MANIFEST, result

from dxflow.html.escaped import plain
from dxflow.html.page import page
from dxflow.pages import sections
from dxflow.pages.figures import Figures

BACKGROUND = {False: "rgb(255, 255, 255)", True: "rgb(20, 23, 26)"}
# What sticks out of the page, but for what is in a box that is moved sideways.
OUTSIDE = """[...document.body.querySelectorAll('*')].filter(e => !e.closest('.wide, pre, svg')
  && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML.slice(0, 80))"""
# Letters of pictures that are cut off at its border.
CUT = """[...document.querySelectorAll('svg.plot')].flatMap(s => [...s.querySelectorAll('text')].filter(t => {
  const [a, b] = [s, t].map(e => e.getBoundingClientRect());
  return b.right > a.right + 1 || b.left < a.left - 1 || b.top < a.top - 1 || b.bottom > a.bottom + 1;
}).map(t => t.textContent))"""
TEXTS = """[...document.querySelectorAll('h1, h3, p, td, th, li, pre, svg text, title')]
  .map(e => e.textContent).join('\\n')"""


@pytest.fixture(scope="module")
def browser():
    with chromium.running() as found:
        yield found


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    """A page in which every name is hostile."""
    data = xr.Dataset(
        {
            name: (("name", f"{name} axis"), np.arange(9.0).reshape(3, 3), {"units": name, "long_name": name})
            for name in HOSTILE
        },
        {"name": HOSTILE[:3]},
        {"run": HOSTILE[0]},
    )
    data["one"] = (), 1.0, {"units": HOSTILE[1], "long_name": HOSTILE[2]}
    causes = dict.fromkeys(HOSTILE, 5)
    rows = [
        row | {"input": HOSTILE[1], "used": 0, "expected": 5 * len(causes), "masked": causes}
        for row in ACCOUNT
    ]
    lost = [{"cause": name, "file": name, "source": name, "detail": name} for name in HOSTILE]
    plan = {
        "run": HOSTILE[0],
        "algorithms": [{"name": name, "class": name, "options": {name: name}} for name in HOSTILE],
        "versions": dict.fromkeys(HOSTILE, "1"),
    }
    times = MANIFEST["times"] | {"bound": HOSTILE[0], "workers": dict.fromkeys(HOSTILE, {"wait": 1.0})}
    made = result(
        account=rows,
        losses=lost,
        plan=plan,
        times=times,
        name=HOSTILE[3],
        where=HOSTILE,
        table=HOSTILE[1],
        config=dict(zip(HOSTILE, HOSTILE, strict=True)),
    )
    path = tmp_path_factory.mktemp("looks") / "hostile.html"
    path.write_text(
        page(HOSTILE[1], [*sections.of_result(made), *Figures(data, HOSTILE[2]).sections()], HOSTILE[0])
    )
    return path


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [400, 1400])
def test_a_page_of_hostile_names_shows_them_as_text_at_every_width(browser, hostile, width, dark):
    shown = browser.open(hostile.as_uri(), width=width, dark=dark)
    assert shown.errors == []
    assert shown.requests == [hostile.as_uri()]
    assert (
        shown.evaluate("document.querySelectorAll('script, iframe, img, form, [onload], [onerror]').length")
        == 0
    )
    texts = shown.evaluate(TEXTS)
    for name in HOSTILE:
        assert plain(name, 60).removesuffix("...") in texts
    assert shown.evaluate("document.documentElement.scrollWidth") == width
    assert shown.evaluate(OUTSIDE) == []
    assert shown.evaluate(CUT) == []
    assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == BACKGROUND[dark]
    # Lines and letters of pictures are as the text around: they are seen on both.
    inks = shown.evaluate(
        "[...new Set([...document.querySelectorAll('svg.plot text')].map(e => getComputedStyle(e).fill))]"
    )
    assert inks == [shown.evaluate("getComputedStyle(document.body).color")]
    shown.close()


def test_the_columns_of_figures_follow_the_width(browser, hostile):
    shown = browser.open(hostile.as_uri(), width=1400)
    columns = "new Set([...document.querySelectorAll('figure')].map(e => e.offsetLeft)).size"
    found = {}
    for width in (400, 800, 1400):
        shown.resize(width)
        found[width] = shown.evaluate(columns)
    assert found == {400: 1, 800: 2, 1400: 3}
    shown.close()


def test_it_is_printed_with_what_is_folded_and_without_what_nobody_can_click(browser, hostile):
    shown = browser.open(hostile.as_uri(), dark=True)
    shown.ask(
        "Emulation.setEmulatedMedia",
        media="print",
        features=[{"name": "prefers-color-scheme", "value": "dark"}],
    )
    assert shown.evaluate("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert shown.evaluate("getComputedStyle(document.body).color") == "rgb(28, 31, 35)"
    assert shown.evaluate(
        "document.querySelector('details pre').checkVisibility({contentVisibilityAuto: true})"
    )
    assert shown.pdf().startswith(b"%PDF")
    shown.close()


def test_numbers_are_what_a_click_saves(browser, tmp_path):
    path = tmp_path / "numbers.html"
    data = xr.Dataset({"mean": ("q", np.arange(5.0) / 3)}, {"q": np.arange(5)})
    path.write_text(page("numbers", list(Figures(data).sections()), "dxflow"))
    shown = browser.open(path.as_uri())
    browser.ask("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    shown.evaluate("document.querySelector('a[download]').click()")
    shown.wait("true")
    name = shown.evaluate("document.querySelector('a[download]').download")
    for _ in range(200):
        # It is there as soon as its name is taken.
        if (tmp_path / name).exists() and (tmp_path / name).stat().st_size:
            break
        shown.evaluate("new Promise(done => setTimeout(done, 50))")
    lines = [line for line in (tmp_path / name).read_text().splitlines() if not line.startswith("#")]
    assert np.array_equal(
        np.loadtxt(lines, delimiter=",", skiprows=1)[:, lines[0].split(",").index("value")],
        np.arange(5.0) / 3,
    )
    assert shown.errors == []
    shown.close()
