"""The live page in a real browser: it follows a run, looks right at two widths, and names stay texts."""

import json
import threading
import time
import urllib.request
from dataclasses import replace
from types import SimpleNamespace
from urllib.error import HTTPError

import chromium
import pytest

from dxflow.live.observers import Snapshot, Status
from dxflow.live.parameters import Asked as Change
from dxflow.live.parameters import waiting
from dxflow.live.snapshots import Place
from dxflow.pages import live
from dxflow.pages.live import LivePage
from dxflow.pages.painter import Painter

pytest_plugins = ["feedback"]
BAD = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def browser():
    with chromium.running() as one:
        yield one


@pytest.fixture(scope="module")
def painter():
    """One that all tests use: it takes seconds to start."""
    one = Painter()
    yield one
    one.close()


@pytest.fixture
def page(monkeypatch, painter):
    monkeypatch.setattr(live, "SHARE", 0)
    monkeypatch.setattr(
        live, "Painter", lambda: SimpleNamespace(parts=painter.parts, start=painter.start, close=lambda: None)
    )
    made = LivePage()
    made.begin({"source": f"{BAD}r0001", "to": f"/data/{BAD}.zarr", "algorithms": [{"name": BAD}]})
    yield made
    made._asked = float("-inf")
    made.close()


def snapshot(results, number):
    trains = len(results[number].dataset["train"])
    return Snapshot(
        number + 1, results[number].path, 1, trains, 10001, 10000 + trains, "4 trains", False, Status()
    )


def test_the_page_follows_a_run_to_its_end(browser, page, results):
    shown = browser.open(page.address)
    shown.wait("document.querySelector('#now').innerText.includes('Nothing is known yet')")
    page.status(Status("running", trains=4, losses={f"{BAD} missing": 3}))
    page.snapshot(snapshot(results, 0))
    shown.wait("document.querySelector('[id^=variables-litframes]')?.innerText.includes('24 values')", 120)
    # What was opened stays open.
    shown.wait("document.querySelector('#run details') !== null")
    shown.evaluate("document.querySelector('#run details').open = true")
    page.status(Status("running", trains=12, elapsed_s=2))
    page.snapshot(replace(snapshot(results, 2), final=True))
    shown.wait("document.querySelector('[id^=variables-litframes]').innerText.includes('72 values')", 120)
    assert shown.evaluate("document.querySelector('#run details').open")
    page.status(Status("finished", trains=12, elapsed_s=3))
    ending = threading.Thread(target=page.close)
    ending.start()
    while ending.is_alive():
        shown.evaluate("1")
    assert "The run has ended" in shown.text("#now")
    assert shown.evaluate("document.querySelectorAll('#parts figure').length") > 3
    assert not shown.errors
    assert all(one.startswith(page.address) for one in shown.requests), "nothing else is asked for"


@pytest.mark.parametrize("width", [400, 1400])
def test_it_fits_and_names_are_texts(browser, page, results, width):
    page.status(Status("waiting", f"{BAD} lags", losses={BAD: 1}))
    page.snapshot(snapshot(results, 1))
    shown = browser.open(page.address, width=width)
    shown.wait("document.querySelectorAll('#parts figure').length > 3", 120)
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert shown.text("h1") == f"{BAD}.zarr"
    assert f"{BAD} lags" in shown.text("#now")
    assert not shown.evaluate("document.querySelectorAll('img').length")
    columns = shown.evaluate(
        "new Set([...document.querySelectorAll('#now .tiles>div')].map(e => e.offsetLeft)).size"
    )
    assert columns == (2 if width == 400 else 8)
    assert not shown.errors
    shown.close()


def test_a_page_that_loses_its_run_says_so_and_finds_it_again(browser, page):
    shown = browser.open(page.address)
    shown.wait("document.querySelector('#now').innerText.includes('Nothing is known')")
    real, page._now = page._now, lambda: 1 / 0
    shown.wait("document.querySelector('#news').innerText.includes('No answer from dxflow live')")
    page._now = real
    shown.wait("document.querySelector('#news').hidden")


def test_options_are_changed_on_the_page(browser, page, tmp_path):
    folder = tmp_path / "x.live"
    folder.mkdir()
    (folder / "live.json").write_text("{}")
    made = {"name": "peaks", "class": "Peaks"}
    page.begin({"to": str(tmp_path / "x.zarr"), "algorithms": [made], "options": {"own": [["--snr", "5"]]}})
    page.status(Status())
    shown = browser.open(page.address, width=400)
    shown.wait("document.querySelector('#now').innerText.includes('trains')")
    shown.wait("document.querySelector('#ask').innerText.includes('peaks --snr 5')")
    for text, said in (("5", "Not asked for: '5' is no option"), ("--snr 7", "begins with the next chunk")):
        shown.evaluate(f"document.querySelector('[name=options]').value = {text!r}")
        shown.evaluate("document.querySelector('#ask button').click()")
        shown.wait(f"document.body.innerText.includes({json.dumps(said)})")
    # Whoever changed them, and while somebody writes there.
    shown.evaluate("document.querySelector('[name=options]').value = '--snr'")
    Place(tmp_path / "x.zarr").note_change(Change("peaks", {"snr": "9"}), 10040, None)
    shown.wait("document.querySelector('#ask').innerText.includes('peaks --snr 9')")
    assert "Version 2, from train 10041 on: peaks --snr 9" in shown.text("#now")
    assert "snr 5" not in shown.text("#ask")
    assert shown.evaluate("document.querySelector('[name=options]').value") == "--snr"
    (one,) = waiting(folder)
    assert (one.algorithm, one.options, one.again) == ("peaks", {"snr": "7"}, False)
    assert shown.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert not shown.errors
    shown.close()


def get(address):
    with urllib.request.urlopen(address, timeout=20) as answer:
        return answer.read().decode()


def test_nothing_is_drawn_while_nobody_looks(page, results):
    drawn, real = [], page._painter.parts
    page._painter.parts = lambda path: drawn.append(path) or real(path)
    page.snapshot(snapshot(results, 0))
    page.status(Status())
    assert "<h1>" in get(page.address)
    time.sleep(1.2)
    assert not drawn
    get(f"{page.address}now")
    while not page._is_drawn():
        time.sleep(0.05)
    assert drawn


def test_parts_and_secrets_of_others_are_not_there(page):
    for path in ("part/none", "part/../../etc/passwd", "part/%2e%2e", "live.py", "seen/x"):
        with pytest.raises(HTTPError, match="404"):
            get(f"{page.address}{path}")


def test_secrets_among_options_are_hidden(monkeypatch):
    made = LivePage()
    made.begin({"source": "redis://me:s3cret@host", "to": "x.zarr", "algorithms": []})
    assert "s3cret" not in get(made.address)
    made.close()
