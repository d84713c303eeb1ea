"""What a page says of how a result was made: of a manifest with every trouble, and of ones that say little."""

import re
from html import unescape
from pathlib import Path
from types import SimpleNamespace

import pytest
from pagesamples import ACCOUNT, MANIFEST, result

from dxflow.html.bars import Part, bar, told
from dxflow.pages import sections


def words(html):
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html)))


def test_each_section_says_its_part_under_an_id_that_stays():
    found = {one.id: words(str(one)) for one in sections.of_result(result())}
    assert list(found) == ["top", "run", "account", "losses", "time"]
    assert "Reduction of r0034" in found["top"]
    assert "68.8 % of frames of all modules used" in found["top"]
    assert "8.59 GB" in found["top"]
    assert "Average(per='cell')" in found["run"]
    assert "dxflow 0.1.0" in found["run"]
    assert "it adds up for every module" in found["account"]
    assert "used 275 (68.8 %) no dark 125 (31.2 %)" in found["account"]
    assert "module 1" in found["losses"]
    assert "25 frames" in found["losses"]
    assert "Bounded by reading: 57% of the workers' time. Reading less helps." in found["time"]
    # Two workers had 8 s each.
    assert "waiting for data 4 s computing 2 s writing partial results 1 s idle 9 s" in found["time"]
    assert "the pass over the data 8 s before and after 2 s" in found["time"]


def test_what_does_not_add_up_is_said():
    wrong = [ACCOUNT[0], ACCOUNT[1] | {"used": 70}]
    found = words(sections.account(result(account=wrong)).html)
    assert "does not add up: DET image.data, module 1." in found


@pytest.mark.parametrize("gone", [*MANIFEST, "all"])
def test_a_result_of_another_version_says_what_it_can(gone):
    made = result() if gone != "all" else SimpleNamespace(manifest={}, path=Path("x.zarr"), kept=True)
    made.manifest = {k: v for k, v in made.manifest.items() if k != gone}
    assert len(sections.of_result(made)) == 5


def widths(html):
    return [float(w) for w in re.findall(r'<rect [^>]*width="([\d.]+)%"[^>]*><title>', html)]


def test_bars_are_as_long_as_what_they_stand_for():
    parts = [Part("used", 75, "75", "#000"), Part("lost", 15, "15", "#111"), Part("none", 0, "0", "#222")]
    assert widths(bar(parts, 100)) == [75, 15]
    assert widths(bar(parts)) == pytest.approx([83.333, 16.667])
    assert widths(bar([Part("x", 0, "", "#000")])) == []
    # What is there is seen, within the bar.
    html = bar([Part("all", 10**6, "", "#000"), Part("one", 1, "", "#111")])
    assert re.search(r'x="99.600%" width="0.400%"', html)
    assert "used 75, lost 15" in told(parts)
