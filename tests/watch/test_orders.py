"""What a configuration says, and what is said of one that is wrong."""

import re

import pytest

from dxflow.errors.usage import UsageError
from dxflow.watch import orders, template

GOOD = """\
title: water
results: out
at_once: 3
quiet: 2 min
tasks:
  table: {do: "dxflow table {path} --config 'my exp.yaml'", to: "tables/{name}.zarr"}
  mean:
    do: [reduce, "{path}", average, --per, cell]
    to: mean/{proposal}-{run:04}.zarr
    from: proc
    where: {type: "*dark*", trains: ">= 100", "A/B/C x.y": [1, 2]}
    on: {slurm: {partition: upex, walltime: "2:00:00"}}
    tries: 5
    wait: 10
columns: {xgm: table xgm.intensityTD mean, hits: "mean average.mean"}
tell:
  - command: [cat]
  - {url: "https://chat.example/hook?key=1", when: failed, timeout: 5 s}
"""


def of(tmp_path, text):
    path = tmp_path / "what.yaml"
    path.write_text(text)
    return orders.of(path)


def test_a_configuration_is_read(tmp_path):
    made = of(tmp_path, GOOD)
    table, mean = made.tasks.values()
    assert table.words == ("table", "{path}", "--config", "my exp.yaml")
    assert (mean.origin, mean.tries, mean.wait, mean.slurm["partition"]) == ("proc", 5, 10.0, "upex")
    assert (made.results, made.at_once, made.quiet) == (tmp_path / "out", 3, 120.0)
    assert made.keys == ["A/B/C x.y"]
    assert made.columns["xgm"].how == "mean"
    assert made.tell[1].when == "failed"
    assert "chat.example" in str(made.tell[1])
    assert "key" not in str(made.tell[1])
    run = {"name": "r0007", "run": 7, "proposal": 900123, "path": "/p/raw/r0007"}
    assert orders.filled(mean.to, run) == "mean/900123-0007.zarr"
    assert [mean.delay(n) for n in (1, 2, 3)] == [10, 40, 160]


def test_what_a_task_makes_is_its_content_and_nothing_else(tmp_path):
    first = of(tmp_path, GOOD)
    later = of(tmp_path, GOOD.replace("tries: 5", "tries: 2").replace("upex", "exfel"))
    other = of(tmp_path, GOOD.replace("--per, cell", "--per, run"))
    contents = [[task.content for task in one.tasks.values()] for one in (first, later, other)]
    assert contents[0] == contents[1]
    assert contents[0][0] == contents[2][0]
    assert contents[0][1] != contents[2][1]


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("at_once", "at_onc", 3, "at_onc: there is no such key. Did you mean 'at_once'?"),
        ("quiet: 2 min", "quiet: soon", 4, "quiet: 'soon': expected a time such as 30 s"),
        ("from: proc", "form: proc", 10, "mean.form: there is no such key. Did you mean 'from'?"),
        ("from: proc", "from: prod", 10, "expected raw or proc"),
        ("dxflow table", "tabel", 6, "Did you mean 'table'?"),
        ("dxflow table {path}", "table {pth}", 6, "{pth} stands for nothing. Did you mean 'path'?"),
        ("dxflow table {path}", "table x", 6, "expected {path} where the run stands"),
        ("dxflow table {path}", "table {path} --to x", 6, "--to: the watcher adds it"),
        ("tables/{name}.zarr", "tables/all.zarr", 6, "the same for all runs"),
        ("'my exp.yaml'", "'my exp.yaml", 6, "No closing quotation"),
        ("type:", "typ:", 11, "where.typ: is not known of runs. Did you mean 'type'?"),
        ('">= 100"', '">= many"', 11, "expected such as '>= 100'"),
        ("partition:", "partitoin:", 12, "partitoin"),
        ("tries: 5", "tries: 0", 13, "a number of at least 1"),
        ("wait: 10", "after: tabel", 14, "'tabel' is no task. Did you mean 'table'?"),
        ("wait: 10", "after: table", 14, "is of other runs"),
        ("wait: 10", "after: mean", 14, "waits for itself"),
        ("table xgm.intensityTD mean", "tabel xgm mean", 15, "columns.xgm: 'tabel' is no task"),
        ("table xgm.intensityTD mean", "table xgm maen", 15, "Did you mean 'mean'?"),
        ("command: [cat]", "command: cat", 17, "a list of words, which no shell sees"),
        ("https:", "file:", 18, "begins with http:// or https://"),
        ("when: failed", "when: sometimes", 18, "expected always, done, failed"),
        (
            "when: failed",
            "tasks: [mean, tabel]",
            18,
            "'tabel' is no task. Did you mean 'table'? There are: mean, table",
        ),
        ("wait: 10", "report: x/{name}.pdf", 14, "expected such as reports/{name}.html"),
    ],
)
def test_mistakes_are_named_with_their_line(tmp_path, old, new, line, said):
    assert old in GOOD
    with pytest.raises(UsageError) as e:
        of(tmp_path, GOOD.replace(old, new, 1))
    assert f"what.yaml, line {line}, " in str(e.value)
    assert said in str(e.value)


def test_two_tasks_do_not_make_the_same(tmp_path):
    with pytest.raises(UsageError, match="'table' makes this already"):
        of(tmp_path, GOOD.replace("mean/{proposal}-{run:04}.zarr", "tables//{name}.zarr"))


def test_two_tasks_do_not_make_the_same_report(tmp_path):
    tasks = "tasks:\n" + "".join(
        f"  {n}: {{do: 'table {{path}}', to: '{n}/{{name}}.zarr', report: 'r/{{name}}.html'}}\n" for n in "ab"
    )
    with pytest.raises(UsageError, match="line 3, .*report: r/.*'a' makes this already"):
        of(tmp_path, tasks)


def test_a_configuration_without_tasks_is_none(tmp_path):
    with pytest.raises(UsageError, match="expected names with what is to be done"):
        of(tmp_path, "title: x\n")


def test_the_template_is_a_configuration(tmp_path):
    path = template.write(tmp_path / "what.yaml")
    made = orders.of(path)
    assert made.tasks["table"].words == ("table", "{path}")
    # What is commented there can be used as it stands.
    text = re.sub(r"^  # ", "  ", path.read_text(), flags=re.MULTILINE)
    text = re.sub(r"^# (?=[a-z_]+: |columns:$|tell:$|  )(?!  dxflow)", "", text, flags=re.MULTILINE)
    made = of(tmp_path, text)
    assert (made.tasks["mean"].after, made.tasks["mean"].limit) == (("table",), 7200.0)
    assert made.tell[1].url == "https://chat.example/hook"
    with pytest.raises(UsageError, match="exists"):
        template.write(path)
