"""dxflow watch and dxflow runs, as they are typed, with tables that dxflow makes."""

import re
from pathlib import Path

import pytest
from runs import make_run

import dxflow
from dxflow.commands import watch
from dxflow.commands.main import main
from dxflow.watch import orders

DOCS = Path(__file__).parents[2] / "docs" / "watch.md"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a run, watched once with the configuration that the documentation has."""
    folder = tmp_path_factory.mktemp("watch")
    make_run(
        folder / "raw" / "r0001", detector=None, trains=6, pulses=4, devices=("xgm", "motor", "timeserver")
    )
    text = re.findall(r"^```yaml\n(.*?)^```", DOCS.read_text(), flags=re.DOTALL | re.MULTILINE)[0]
    (folder / "what.yaml").write_text(f"every: 0.2\n{text.replace('quiet: 60 s', 'quiet: 0.2 s')}")
    (folder / "exp.yaml").write_text("variables: {xgm: 'SA1_XTD2_XGM/XGM/DOOCS:output data.intensityTD'}\n")
    assert main(["watch", str(folder / "raw"), "--do", str(folder / "what.yaml"), "--once"]) == 0
    return folder


def test_the_configuration_of_the_documentation_makes_a_table(place, capsys):
    ev = dxflow.open(place / "watched/tables/r0001.zarr")
    assert ev.names == ["xgm"]
    assert main(["runs", str(place / "what.yaml")]) == 0
    said = capsys.readouterr().out
    assert re.search(r"r0001 +table +done +1 ", said)
    assert re.search(r"r0001 +mean +skipped ", said)
    mean = float(ev.data["xgm"].mean())
    assert f"{mean:.5g}" in said
    assert "1 done, 1 skipped; nobody watches" in said


def test_columns_are_chosen_and_read_from_results(place, capsys):
    folder = str(place / "watched")
    assert main(["runs", folder, "--columns", "table xgm n,table pulse_id max", "--only", "table"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert (
        re.split(r"  +", said[1])[-3:-1]
        == ["24", str(int(dxflow.open(place / "watched/tables/r0001.zarr").data.pulse_id.max()))]
        or said
    )
    assert "mean" not in "".join(said[:2])
    assert "table xgm n " in said[0]
    for option, text, why in (
        ("--columns", "xgn", "no such column"),
        ("--columns", "table nope mean", "there is no 'nope'"),
        ("--only", "r0009", "--only r0009: there is no such run, task or state"),
    ):
        assert main(["runs", folder, option, text]) == 2
        assert why in capsys.readouterr().err


def test_nothing_is_asked_for_where_nothing_failed(place, capsys):
    for what in ("r0001", "failed"):
        assert main(["runs", str(place / "watched"), "--retry", what]) == 0
        assert f"nothing of {what} has failed, so that nothing is tried again" in capsys.readouterr().out
    assert not (place / "watched/watch/asked").exists()


def test_columns_that_are_chosen_later_are_filled_in(place, capsys):
    what = (place / "what.yaml").read_text()
    more = "  pulses: table xgm n\n  intensity: table xgm max\n  none: table nope\n"
    (place / "later.yaml").write_text(what.replace("  intensity: table xgm mean\n", more))
    logs = sorted((place / "watched/watch").glob("*/table/*"))
    assert main(["watch", str(place / "raw"), "--do", str(place / "later.yaml"), "--once"]) == 0
    capsys.readouterr()
    assert main(["runs", str(place / "watched"), "--only", "table"]) == 0
    head, row, *_ = capsys.readouterr().out.splitlines()
    xgm = dxflow.open(place / "watched/tables/r0001.zarr").data["xgm"]
    assert xgm.units
    assert re.split(r"  +", head)[-4:] == ["pulses", f"intensity ({xgm.units})", "none", "lost, or why"]
    most = float(xgm.max())
    assert f"  {most:.5g}  " in row
    assert " 24 " in row
    assert "none: there is no" in (place / "watched/index.html").read_text()
    # No task was done again for it.
    assert sorted((place / "watched/watch").glob("*/table/*")) == logs
    assert f"intensity ({xgm.units})" in (place / "watched/index.html").read_text()


def test_the_page_links_what_there_is(place):
    page = (place / "watched/index.html").read_text()
    links = re.findall(r'href="([^"]+)"', page)
    assert links
    assert all((place / "watched" / link).is_file() for link in links)
    assert links[0] == "reports/r0001.html"
    assert not re.search(r"(src|href)=\"?(http|//)", page)
    assert "<script" not in page


@pytest.mark.parametrize(
    ("do", "said"),
    [
        ("reduce {path} averige", "no algorithm 'averige'"),
        ("reduce {path} average --pre cell", "Did you mean --per?"),
        ("table {path} --confg exp.yaml", "--confg"),
        ("table {path} --config exq.yaml", "exq.yaml"),
        ("copy {path} --frmes lit", "--frmes"),
        ("cube {path} --bins 'delay=0'", "expected a whole number"),
        ("recipe saxss {path}", "no recipe 'saxss'"),
        ("recipe saxs {path} --geometri x", "--geometry"),
    ],
)
def test_mistakes_of_tasks_are_named_with_their_line_before_anything_is_done(do, said, tmp_path, capsys):
    what = tmp_path / "what.yaml"
    what.write_text(f"tasks:\n  a:\n    to: '{{name}}'\n    do: {do}\n")
    assert main(["watch", str(tmp_path), "--do", str(what), "--once"]) == 2
    shown = capsys.readouterr().err
    assert f"{what}, line 4, tasks.a.do: " in shown
    assert said in shown
    assert not (tmp_path / "watch").exists()


def test_each_command_makes_what_it_makes_when_it_is_typed(tmp_path, capsys):
    make_run(tmp_path / "raw/r0001", detector="AGIPD500K", module_shape=(8, 8), modules=8, trains=3, pulses=4)
    (tmp_path / "what.yaml").write_text(
        "every: 0.2\nquiet: 0.2\nat_once: 4\ntasks:\n"
        "  mean: {do: 'reduce {path} average --cluster here --quiet', to: '{name}-mean.zarr', tries: 1}\n"
        "  copy: {do: 'copy {path} --frames pulses=0:5 --quiet', to: '{name}-copy', tries: 1}\n"
        "  cube: {do: 'cube {path} --bins pulse_id=4 --of xgm.intensityTD --quiet', to: '{name}-cube.zarr', tries: 1}\n"
    )
    code = main(["watch", str(tmp_path / "raw"), "--do", str(tmp_path / "what.yaml"), "--once"])
    assert code == 0, capsys.readouterr().out
    assert dxflow.open(tmp_path / "r0001-mean.zarr").dataset["average.count"].max() == 12
    assert dxflow.verify(tmp_path / "r0001-copy") == []
    assert len(list((tmp_path / "r0001-copy").glob("*.h5"))) > 0
    assert dxflow.open(tmp_path / "r0001-cube.zarr") is not None


def test_tasks_that_are_right_are_checked_without_a_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in/exp.yaml").write_text(
        "variables: {xgm: 'SA1_XTD2_XGM/XGM/DOOCS:output data.intensityTD'}\n"
    )
    lines = [
        "reduce {path} average --per cell litframes",
        "reduce {path} average --frames lit/{name}.zarr",
        "table {path} --config exp.yaml",
        "copy {path} --frames lit",
        "cube {path} --bins 'delay=0:1:10' --of xgm",
        "recipe saxs dark {path} --geometry x.geom",
    ]
    rows = [f"  t{n}: {{do: \"{line}\", to: 't{n}-{{name}}'}}" for n, line in enumerate(lines)]
    (tmp_path / "in/what.yaml").write_text("\n".join(["tasks:", *rows, ""]))
    watch.check(orders.of("in/what.yaml"))


def test_what_is_missing_is_said(tmp_path, capsys):
    for words, said in (
        (["watch"], "expected PROPOSAL_OR_DIR and --do FILE"),
        (["watch", "raw", "--do", f"{tmp_path}/no.yaml"], "there is no such file"),
        (["runs", str(tmp_path)], "nothing was watched there"),
    ):
        assert main(words) == 2
        assert said in capsys.readouterr().err
    new = f"{tmp_path}/what.yaml"
    assert main(["watch", "--new", new]) == 0
    assert f"--do {new}" in capsys.readouterr().out
    assert main(["watch", f"{tmp_path}/rwa", "--do", new, "--once"]) == 2
    assert "rwa: No such file" in capsys.readouterr().err
    assert main(["watch", f"{tmp_path}", "--do", new, "--once"]) == 0
    assert main(["runs", new, "--retry", "r0001"]) == 2
    assert "there is no such run or task" in capsys.readouterr().err
