"""dxflow watch and dxflow runs, as they are typed, with tables that dxflow makes."""

import re
from pathlib import Path

import pytest
from runs import make_run

import dxflow
from dxflow.commands.main import main

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
    assert "none: there is no 'nope'" in row
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
