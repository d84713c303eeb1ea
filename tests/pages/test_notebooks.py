"""What shows itself in notebooks fits them, light and dark: letters are seen, and nothing is wider than its cell."""

import chromium
import pytest

import dxflow
from dxflow import FrameSelection, reduce
from dxflow.algorithms.average import Average
from dxflow.algorithms.litframes import LitFrames
from dxflow.run.selection import First
from dxflow.simulate import Plant, make_run

# What JupyterLab says of tables in the output of cells, with the colours of its two themes.
LAB = """
body {{ margin: 0; background: {0}; color: {1}; font: 13px/1.6 system-ui, sans-serif }}
.out {{ color: {1}; padding: 8px; overflow: auto; color-scheme: {2} }}
.out table {{ border-collapse: collapse; border: none; color: {1}; font-size: 12px; table-layout: fixed }}
.out table {{ margin: 0 auto 1em }}
.out thead {{ border-bottom: 1px solid #888; vertical-align: bottom }}
.out td, .out th, .out tr {{ vertical-align: middle; padding: .5em; line-height: normal; border: none }}
.out td, .out th, .out tr {{ white-space: normal; text-align: right }}
.out tbody tr:nth-child(odd) {{ background: {0} }}
.out tbody tr:nth-child(even) {{ background: {3} }}
"""
THEMES = {
    "lab light": LAB.format("white", "rgba(0,0,0,.87)", "light", "#f5f5f5"),
    "lab dark": LAB.format("#111111", "rgba(255,255,255,.87)", "dark", "#212121"),
    # VS Code: lines between cells, and letters of the theme of the editor.
    "code dark": LAB.format("#1f1f1f", "#cccccc", "dark", "#2a2a2a")
    + ".out th, .out td { border: 1px solid #444 } .out summary { color: inherit }",
}
# Contrast, by WCAG, of each text with what is behind it.
CONTRAST = """(() => {
  const rgb = c => (c.match(/[\\d.]+/g) || [0, 0, 0, 0]).map(Number);
  const over = (top, below) => top.slice(0, 3).map((v, n) => v * (top[3] ?? 1) + below[n] * (1 - (top[3] ?? 1)));
  const light = c => c.map(v => v / 255).map(v => v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [.2126, .7152, .0722][n], 0);
  const behind = e => e ? over(rgb(getComputedStyle(e).backgroundColor), behind(e.parentElement)) : [255, 255, 255];
  const clear = e => e && e.tagName != 'BODY' ? +getComputedStyle(e).opacity * clear(e.parentElement) : 1;
  const walker = document.createTreeWalker(document.querySelector('.mine'), NodeFilter.SHOW_TEXT);
  const out = [];
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || e.closest('svg, style, script') || !e.checkVisibility()) continue;
    const back = behind(e), ink = rgb(getComputedStyle(e).color);
    const seen = over([...ink.slice(0, 3), (ink[3] ?? 1) * clear(e)], back);
    const [a, b] = [light(seen), light(back)].sort((x, y) => y - x);
    out.push([(a + .05) / (b + .05), walker.currentNode.data.trim().slice(0, 40)]);
  }
  return out.sort((x, y) => x[0] - y[0]);
})()"""


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """What notebooks have of a plan, a result, a table and a selection, of a run in which something is missing."""
    folder = tmp_path_factory.mktemp("notebooks")
    plant = Plant(missing_trains=(2,), lost_trains={1: (0,)})
    make_run(folder / "r0001", detector="AGIPD500K", trains=4, pulses=2, module_shape=(16, 16), plant=plant)
    algorithms = [Average(), LitFrames()]
    frames = FrameSelection(
        pulses=slice(0, 2), trains=First(3), mask=None, also=(FrameSelection(cells=[0, 1]),)
    )
    result = reduce(folder / "r0001", algorithms, folder / "x.zarr", cluster="here", quiet=True)
    return {
        "Plan": dxflow.plan(folder / "r0001", algorithms, folder / "y.zarr", quiet=True)._repr_html_(),
        "Result": result._repr_html_(),
        "Table": result.table._repr_html_(),
        "FrameSelection": frames._repr_html_(),
    }


@pytest.fixture(scope="module")
def browser():
    with chromium.running() as found:
        yield found


@pytest.mark.parametrize("theme", THEMES)
def test_letters_are_seen_and_nothing_is_wider_than_its_cell(browser, shown, theme, tmp_path):
    own = {name: html.partition("<summary>data")[0] for name, html in shown.items()}
    for name, html in own.items():
        path = tmp_path / "notebook.html"
        # What xarray shows of a dataset is its own.
        html = html.partition('<details style="margin-top:6px"><summary>data')[0]
        path.write_text(
            f'<meta charset="utf-8"><style>{THEMES[theme]}</style><div class="out"><div class="mine">{html}</div></div>'
        )
        cell = browser.open(path.as_uri(), width=800, dark="dark" in theme)
        contrast = cell.evaluate(CONTRAST)
        assert len(contrast) > 3
        assert contrast[0][0] > 4.5, (name, contrast[:3])
        assert cell.evaluate("document.documentElement.scrollWidth") == 800, name
        assert cell.evaluate("getComputedStyle(document.querySelector('.mine td')).textAlign") in (
            "left",
            "start",
        )
        stripes = "[...document.querySelectorAll('.mine tr')].map(e => getComputedStyle(e).backgroundColor)"
        assert len(set(cell.evaluate(stripes))) == 1, name
        assert cell.errors == []
        cell.close()


def test_they_say_what_they_are(shown):
    assert "pulses" in shown["FrameSelection"]
    assert "0 to 1" in shown["FrameSelection"]
    assert "the first 3" in shown["FrameSelection"]
    assert "also 1: cells" in shown["FrameSelection"]
    assert "memory of a worker" in shown["Plan"]
    assert "missing frames" in shown["Result"]
    assert "computing" in shown["Result"]
    assert "litframes.lit" in shown["Table"]
    assert all(html.count("<svg") for name, html in shown.items() if name in ("Plan", "Result"))


def test_a_selection_by_mask_draws_how_much_it_is():
    html = FrameSelection(mask=[True, False, False, False], frames=([1, 1, 7], [0, 2, 4]))._repr_html_()
    assert "1 of 4 frames" in html
    assert 'width="25.000%"' in html
    assert "3, named by trains and pulses, of 2 trains: 1, 7" in html
    assert "all frames" in FrameSelection()._repr_html_()
