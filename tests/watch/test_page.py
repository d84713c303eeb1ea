"""The page of all runs: nothing of what it shows is taken for HTML, and it needs nothing else."""

import time
from html.parser import HTMLParser
from pathlib import Path

from dxflow.watch import page
from dxflow.watch.columns import Column
from dxflow.watch.orders import Orders, Task
from dxflow.watch.state import Row, Run

EVIL = "<script>alert('x')</script>\"'&"


class Parsed(HTMLParser):
    """Tags with attributes, and texts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.texts, self.styles = [], [], False
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def made(tmp_path, **changes):
    tasks = {"table": Task("table", ("table", "{path}"), "tables/{name}.zarr", "raw")}
    orders = Orders(
        tmp_path / "what.yaml", tmp_path, tasks, {"xgm": Column("xgm", "table", "xgm")}, title=EVIL
    )
    runs = {"r0001": Run("r0001", "/raw/r0001", 1, 1.0, remark=EVIL, facts={"trains": 7, "sample": EVIL})}
    row = Row(
        "r0001",
        "table",
        tasks["table"].content,
        state="done",
        began=1.0,
        ended=66.0,
        log=f"{tmp_path}/watch/a b.txt",
    )
    row = Row(**{**vars(row), "numbers": {"xgm": 1.23456789}, "losses": EVIL, **changes})
    return (
        page.page(runs, {("r0001", "table"): row}, orders, {f"r2{EVIL}": EVIL}, EVIL, {"xgm": "uJ"}),
        orders,
        runs,
        row,
    )


def test_everything_is_escaped_and_there(tmp_path):
    text, *_ = made(tmp_path)
    found = Parsed(text)
    assert "script" not in {tag for tag, _ in found.tags}
    assert "".join(found.texts).count(EVIL) >= 6
    assert "1.2346" in found.texts
    names = {attrs.get("data-name") for tag, attrs in found.tags if tag == "td"}
    assert names == {"run", "trains", "xgm", "table"}
    assert "xgm (uJ)" in found.texts
    ended = time.strftime("%m-%d %H:%M:%S", time.localtime(66.0))
    assert f"{ended}, 1 min 05 s" in found.texts
    assert any(one.startswith("1 run; tasks: 1 done") for one in found.texts)


def test_it_needs_nothing_else_and_fits_a_phone(tmp_path):
    found = Parsed(made(tmp_path)[0])
    assert {tag for tag, _ in found.tags} <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "p", "table"),
        *("thead", "tbody", "tr", "th", "td", "span", "small", "a"),
    }
    assert not [attrs for _, attrs in found.tags if "src" in attrs]
    metas = [attrs for tag, attrs in found.tags if tag == "meta"]
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in metas
    assert any("default-src 'none'" in attrs.get("content", "") for attrs in metas)


def test_links_are_relative_and_lead_to_reports_first(tmp_path):
    links = [attrs["href"] for tag, attrs in Parsed(made(tmp_path)[0]).tags if tag == "a"]
    assert links == ["watch/a%20b.txt"]
    links = [a["href"] for t, a in Parsed(made(tmp_path, report=f"{tmp_path}/x#.html")[0]).tags if t == "a"]
    assert links == ["x%23.html"]


def test_what_is_older_is_marked(tmp_path):
    assert "by an older configuration" in made(tmp_path, content="other")[0]
    assert "the run was changed since: it had 1 files" in made(tmp_path, seen="1 files")[0]
    assert "older" not in made(tmp_path)[0]


def test_the_page_appears_whole(tmp_path):
    page.write(tmp_path, f"x{page.AS_OF}y", "as <b>")
    assert (tmp_path / "index.html").read_text() == "x<p>as &lt;b&gt;</p>y"
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"]


def test_a_summary_says_what_a_person_wants_to_know(tmp_path):
    _, orders, runs, row = made(tmp_path)
    found = page.summary(runs["r0001"], row, orders)
    assert (found["state"], found["seconds"], found["values"]) == ("done", 65.0, {"xgm": 1.23456789})
    assert Path(found["log"]).name == "a b.txt"
