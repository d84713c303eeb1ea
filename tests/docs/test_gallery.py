"""The gallery: every algorithm and recipe has a page with code, a plot, and when not to use it."""

import re
from pathlib import Path

from dxflow import find

DOCS = Path(__file__).parents[2] / "docs"
GALLERY = DOCS / "gallery"
ELSEWHERE = {"photons": "gallery/photonise.md", "dark": "gallery/pedestal.md", "signal": "signal.md"}
RECIPES = {
    **{name: f"{name}.md" for name in ("dark", "pumpprobe", "sfx", "spectroscopy", "spi", "xpcs")},
    **{"reduce_raw": "reduce.md", "scan": "delayscan.md"},
}


def page_of(name, recipe):
    if recipe:
        return RECIPES.get(name, f"gallery/recipe-{name}.md")
    return ELSEWHERE.get(name, f"gallery/{name}.md")


def everything():
    return [(name, False) for name in find.algorithms()] + [(name, True) for name in find.recipes()]


def lacking(name, recipe):
    """What the page of an algorithm or recipe lacks."""
    text = (DOCS / page_of(name, recipe)).read_text()
    used = rf"^dxflow recipe {name}\b" if recipe else rf"^from dxflow\.algorithms\.{name} import "
    reasons = re.findall(r"^- ", text.partition("\n## When not to use it\n")[2], re.MULTILINE)
    there = {
        "code": re.search(used, text, re.MULTILINE),
        "a plot": re.search(r"!\[[^\]]+\]\([\w/]+\.png\)", text),
        "two reasons not to use it": len(reasons) >= 2,
    }
    return [what for what, found in there.items() if not found]


def test_everything_has_a_page_with_code_a_plot_and_when_not_to_use_it():
    found = {one: lacking(*one) for one in everything()}
    assert len(found) > 40
    assert {one: what for one, what in found.items() if what} == {}


def test_every_page_of_the_gallery_is_on_its_first_page_once():
    index = (GALLERY / "index.md").read_text()
    cards = " ".join(re.findall(r"<!-- cards: (.*?) -->", index, re.DOTALL)).split()
    assert len(cards) == len(set(cards))
    assert {path.name for path in GALLERY.glob("*.md")} - {"index.md"} <= set(cards)
    shown = {(GALLERY / card).resolve() for card in cards}
    assert {(DOCS / page_of(*one)).resolve() for one in everything()} <= shown
