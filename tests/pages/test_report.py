"""Reports of results, tables and copies as files: what is in them, what they replace, and what is refused."""

import warnings
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from samples import Above
from smalltables import dataset

import dxflow
from dxflow import reduce
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.litframes import LitFrames
from dxflow.analysis import saved
from dxflow.commands.main import main
from dxflow.disk import ours
from dxflow.errors import PlanError
from dxflow.html.page import page
from dxflow.pages.report import generator, page_of, write
from dxflow.simulate import make_run


class Elements(HTMLParser):
    """Counts elements, and collects what they load."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.loads = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.loads += [v for k, v in attrs if k in ("src", "href", "xlink:href", "action", "srcset", "data")]
        assert not [k for k, _ in attrs if k.startswith("on")]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    make_run(folder / "r0001", detector="AGIPD500K", trains=4, pulses=2, module_shape=(16, 16))
    return folder / "r0001"


@pytest.fixture(scope="module")
def made(run):
    """A result with its report."""
    return reduce(
        run, [Average(), LitFrames()], run.parent / "x.zarr", cluster="here", quiet=True, report=True
    )


def test_a_report_is_one_file_that_loads_nothing_and_has_every_variable(made):
    text = made.path.with_suffix(".html").read_text("utf-8")
    found = Elements(text)
    assert not {"script", "iframe", "link", "object", "embed", "form", "base"} & set(found.tags)
    assert all(one.startswith(("#", "data:")) for one in found.loads)
    assert found.tags.count("figure") == len(
        [n for n in made.dataset if made.dataset[n].ndim and not n.endswith("_valid")]
    )
    # Modules are put together by the geometry beside the run.
    assert "x (mm)" in text
    assert made.times["bound"].split(":")[0] in text.lower() or "Nothing" in text
    assert text == page_of(dxflow.open(made.path))


LIVE = {
    "final": False,
    "number": 3,
    "version": 2,
    "chunk": "4 trains",
    "first_train": 10001,
    "last_train": 10005,
    "changes": ["average --ddof 0 <i>"],
}


@pytest.fixture(scope="module")
def snapshot(run, tmp_path_factory):
    """A result such as a live run has it in between."""
    folder = tmp_path_factory.mktemp("growing") / "x.live"
    folder.mkdir()
    (folder.parent / "x.v1.zarr").mkdir()
    plan = dxflow.plan(run, [Above(), AzimuthalIntegration(nbins=10)], folder / "0003.zarr", quiet=True)
    dxflow.execute(replace(plan, live=LIVE), "here", quiet=True)
    (folder.parent / "x.zarr").symlink_to("x.live/0003.zarr")
    return folder.parent / "x.zarr"


def test_a_snapshot_says_that_it_is_one_and_what_may_change(snapshot, made, capsys):
    text = page_of(dxflow.open(snapshot))
    trains = dxflow.open(snapshot).dataset.sizes["train"]
    for said in (
        f"Snapshot 3 of a run that goes on: {trains} trains, 10001 to 10005 so far",
        "version 2: average --ddof 0 &lt;i&gt;",
        "versions before: x.v1.zarr",
        "<title>x.zarr: report",
    ):
        assert said in text
    # What is made of all rows, and nothing else.
    marked = [one for one in text.split("<figure ")[1:] if "provisional: made of all rows" in one]
    assert len(marked) == 1
    assert "<h3>above.bright</h3>" in marked[0]
    assert "provisional</td>" in text.partition("above.median")[2]
    whole = page_of(made)
    assert not [word for word in ("napshot 3", "provisional", "version 2", "live run") if word in whole]
    for words in (["info", str(snapshot)], ["show", str(snapshot)], ["show", str(snapshot), "above.bright"]):
        assert main(words) == 0
        said = capsys.readouterr().out
        assert "snapshot 3 of a run that goes on" in said.replace("\n", " ")
        assert "provisional" in said or len(words) == 3
    assert main(["report", str(snapshot), "--quiet"]) == 0
    # Beside the name of the result: snapshots go, and what is in their folder would be in the way.
    assert [one.name for one in snapshot.parent.iterdir() if one.suffix == ".html"] == ["x.html"]


def test_a_geometry_that_was_found_is_named(snapshot, made, run, capsys):
    file = str(run / "geometry.npy")
    text = page_of(dxflow.open(snapshot))
    assert f"azint: geometry {file}" in text
    text = page_of(made)
    assert f"put together by {file}" in text
    assert main(["info", str(snapshot)]) == 0
    assert file in capsys.readouterr().out
    assert main(["show", str(made.path), "average.mean"]) == 0
    assert f"geometry  {file}" in capsys.readouterr().out


@pytest.fixture
def empty(monkeypatch):
    """Pages with nothing in them, which are soon made."""
    monkeypatch.setattr("dxflow.pages.report.page_of", lambda what, **options: page("x", [], generator()))


@pytest.mark.usefixtures("empty")
def test_a_report_takes_the_place_of_a_report_and_of_nothing_else(made, tmp_path, capsys):
    path = tmp_path / "x.html"
    for _ in range(2):
        assert main(["report", str(made.path), "--to", str(path), "--quiet"]) == 0
    assert capsys.readouterr().out.count(f"{path}: ") == 2
    assert ours.kind_of(path) == ours.REPORT
    path.write_text("<!DOCTYPE html>\n<html>mine</html>")
    assert main(["report", str(made.path), "--to", str(path), "--quiet"]) == 2
    assert path.read_text().endswith("mine</html>")
    assert "not replaced" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("x.pdf", "x.html"),
        ("nowhere/x.html", "no folder"),
        ("x.zarr/x.html", "which is a result: choose another folder"),
        ("r0001/x.html", "run"),
    ],
)
def test_a_report_has_no_place_where_it_would_be_in_the_way(made, run, monkeypatch, to, said):
    monkeypatch.chdir(run.parent)
    with pytest.raises(PlanError, match=said):
        reduce(run, Average(), "other.zarr", cluster="here", quiet=True, report=to)
    assert not (run.parent / "other.zarr").exists()


def test_a_result_without_a_name_needs_one_for_its_report(run, tmp_path):
    with pytest.raises(PlanError, match="report='x.html'"):
        reduce(run, Average(), cluster="here", quiet=True, report=True)
    result = reduce(run, Average(), cluster="here", quiet=True, report=tmp_path / "y.html")
    assert (tmp_path / "y.html").exists()
    assert result.dataset["average.mean"].size


def test_a_report_that_fails_leaves_the_result(run, tmp_path, monkeypatch):
    def full(*args, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dxflow.pages.report.page_of", full)
    with pytest.warns(UserWarning, match="No space left"):
        result = reduce(run, Average(), tmp_path / "z.zarr", cluster="here", quiet=True, report=True)
    assert result.dataset["average.mean"].size
    assert not (tmp_path / "z.html").exists()


def test_the_command_reduces_and_reports(run, tmp_path):
    words = [
        "reduce",
        str(run),
        "--to",
        str(tmp_path / "c.zarr"),
        "--cluster",
        "here",
        "--quiet",
        "--report",
        "litframes",
    ]
    assert main(words) == 0
    assert "litframes.lit" in (tmp_path / "c.html").read_text()


def test_other_things_have_reports_too(made, run, tmp_path):
    table = made.table
    table.select("good", "litframes.lit", table["litframes.intensity"] > 0)
    text = page_of(table)
    assert "Selection good" in text
    assert "all but one" in text
    assert "litframes.intensity &gt; 0" in text
    assert "pulse 8" in text
    copy = dxflow.copy_run(run, tmp_path / "copy", quiet=True)
    text = page_of(dxflow.open(copy.path))
    assert "Copy copy" in text
    with pytest.raises(ValueError, match="to='x.html'"):
        write(table.data)


def test_a_selection_of_what_is_out_of_date_is_no_reason_to_have_no_page(tmp_path):
    path = saved.write(dataset(), tmp_path / "t.zarr", "table", {})
    ev = dxflow.open(path)
    ev.add("v", "xgm + 1")
    ev.select("good", "v > 800")
    ev.select("other", "xgm > 800")
    ev.save()
    saved.write(dataset(trains=12), path, "table", {}, overwrite=True)
    with pytest.warns(UserWarning, match="'v'.* is out of date: the pulses of the table are others now"):
        text = page_of(dxflow.open(path))
    assert "v &gt; 800: not counted: &#x27;v&#x27;, which was added to this table, is out of date" in text
    assert "Selection other" in text


def test_a_manifest_of_an_earlier_version_and_damaged_data_still_have_a_page(made, tmp_path):
    import shutil

    old = tmp_path / "old.zarr"
    shutil.copytree(made.path, old)
    result = dxflow.open(old)
    for key in ("reads", "where", "unasked", "spared", "config", "restarts", "name", "table"):
        result.manifest.pop(key, None)
    for row in result.manifest["account"]:
        row.pop("algorithms")
        row.pop("there")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        text = page_of(result)
    assert "average.mean" in text


@pytest.mark.usefixtures("empty")
@pytest.mark.parametrize("there", [True, False])
def test_it_is_shown_in_the_browser_if_there_is_one(made, tmp_path, monkeypatch, capsys, there):
    asked = []
    monkeypatch.setattr("webbrowser.open", lambda url: asked.append(url) or there)
    path = tmp_path / "o.html"
    assert main(["report", str(made.path), "--to", str(path), "--open", "--quiet"]) == 0
    assert asked == [path.as_uri()]
    assert ("no browser" in capsys.readouterr().out) is not there


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing.zarr"], "no such result"),
        (["{0}", "{0}", "--to", "both.html"], "a page each"),
        (["{0}", "--geometry", "none.geom"], "none.geom"),
        (["{0}", "--to", "{0}"], "expected the name of a page"),
    ],
)
def test_what_cannot_be_reported_says_why(made, words, said, capsys):
    assert main(["report", "--quiet", *(word.format(made.path) for word in words)]) == 2
    assert said in capsys.readouterr().err


def test_a_report_is_in_no_run_and_another_place_is_asked_for_where_nothing_can_be_written(
    made, run, monkeypatch
):
    with pytest.raises(ValueError, match="run directory"):
        write(made, run / "x.html")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(ValueError, match="choose another folder"):
        write(made)
