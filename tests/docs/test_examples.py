"""Blocks of code of the documentation: each is run, is output, or says with one of few reasons why not."""

import tomllib
from collections import Counter
from unittest.mock import ANY

import pytest
from docpages import DOCS, examples

from dxflow import find
from dxflow.line import config


@pytest.fixture
def page(tmp_path, monkeypatch):
    """Return a function that writes a page and gives it as one of the documentation."""
    monkeypatch.setattr(examples, "DOCS", tmp_path)
    monkeypatch.setattr(examples, "BUILD", tmp_path / "kept")

    def write(text):
        path = tmp_path / "page.md"
        path.write_text(text)
        return path

    return write


def test_every_block_of_the_documentation_is_run_or_says_why_not():
    assert [problem for path in examples.pages() for problem in examples.problems(path)] == []
    assert len(examples.pages()) > 80


def test_what_is_not_run_is_little_and_each_reason_is_needed():
    marked = [
        block for path in examples.pages() for block in examples.blocks(path) if block.mark == "not run"
    ]
    assert set(Counter(block.why for block in marked)) == set(examples.REASONS)
    assert len(examples.REASONS) <= 2
    assert len(marked) <= 6, [block.where for block in marked]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```\nx = 1\n```\n", "neither run"),
        ("```yaml\na: 1\n```\n", "neither run"),
        ("- item\n\n    ```python\n    x = 1\n    ```\n", "indented"),
        ("<!-- not run: no time -->\n```sh\nls\n```\n", "is none of"),
        ("<!-- run by: tests/test_nothing.py -->\n```sh\nls\n```\n", "does not exist"),
        ("<!-- run by: tests/test_house.py -->\n```sh\nls\n```\n", "does not name page.md"),
        ('```yaml title="a.yaml"\na: 1\n```\n', "which no line after it uses"),
    ],
)
def test_a_block_that_nobody_runs_is_a_problem(page, text, said):
    (problem,) = examples.problems(page(text))
    assert said in problem


def test_a_page_is_one_session_and_its_pictures_are_kept(page):
    path = page(
        "<!-- first: touch there -->\n\n"
        '```yaml title="a.yaml"\na: 1\n```\n\n'
        '```python title="mine.py"\nimport sys\n\nprint(open("a.yaml").read(), sys.argv[1:], end="")\n```\n\n'
        "```sh\ndxflow list > listed.txt   # a comment\npython mine.py --x 2 \\\n    'y z' > said.txt\n```\n\n"
        "```python\nx = 41\n```\n\n```text\nnot run\n```\n\n"
        "```python\nfrom pathlib import Path\n\nfrom matplotlib.figure import Figure\n\n"
        "assert x == 41 and Path('there').exists()\n"
        "assert 'average' in Path('listed.txt').read_text()\n"
        "assert Path('said.txt').read_text() == \"a: 1\\n ['--x', '2', 'y z']\"\n"
        "Figure().savefig('drawn.png')\n```\n\n![drawn](assets/drawn.png)\n"
    )
    assert examples.problems(path) == []
    assert set(examples.run([path])) == {"page"}
    shown = examples.pictures(path)
    assert list(shown) == ["assets/drawn.png"]
    assert shown["assets/drawn.png"].stat().st_size > 500
    assert examples.run([path]) == {}, "what did not change is not run again"


def test_a_site_needs_pages_with_pictures_only(page, tmp_path):
    code = "```python\nx = 1\n```\n\n"
    (tmp_path / "tutorial").mkdir()
    shown, other = page(f"{code}![drawn](a.png)\n"), tmp_path / "other.md"
    other.write_text(code)
    # The pages of the tutorial go on from each other.
    both = [tmp_path / "tutorial" / name for name in ("1.md", "2.md")]
    both[0].write_text(code)
    both[1].write_text(f"{code}![drawn](b.png)\n")
    assert examples.with_pictures([other, shown, *both]) == [shown, *both]


def test_a_site_runs_a_page_until_its_pictures_are_there_and_examples_to_its_end(page):
    draw = "```python\nfrom matplotlib.figure import Figure\n\nFigure().savefig('{}.png')\n```\n\n"
    path = page(
        f"{draw.format('a')}{draw.format('b')}```python\n1 / 0\n```\n\n![shown](a.png)\n![shown](b.png)\n"
    )
    assert set(examples.run([path], site=True)) == {"page"}
    assert all(made.is_file() for made in examples.pictures(path).values())
    assert examples.run([path], site=True) == {}
    with pytest.raises(examples.Failed, match="ZeroDivisionError"):
        examples.run([path])
    path.write_text(path.read_text().replace("1 / 0", "1 / 1"))
    assert set(examples.run([path])) == {"page"}
    assert examples.run([path], site=True) == {}, "what was run to its end has all pictures"


def test_a_block_that_fails_is_said_with_page_and_line(page):
    path = page("# Page\n\n```python\nx = 1\n```\n\n```python\ny = 2\nx / 0\n```\n")
    with pytest.raises(examples.Failed, match=r"page\.md\", line 9(.|\n)*ZeroDivisionError(.|\n)*page\.md:7"):
        examples.run([path])


def test_the_entry_point_of_algorithms_md_is_what_is_looked_for():
    (block,) = [b for b in examples.blocks(DOCS / "algorithms.md") if b.language == "toml"]
    (group,) = tomllib.loads(block.code)["project"]["entry-points"]
    assert group == find.GROUP


def test_the_configuration_of_shell_md_is_understood(tmp_path):
    (block,) = [b for b in examples.blocks(DOCS / "shell.md") if b.language == "yaml"]
    (tmp_path / "bright.yaml").write_text(block.code)
    read = config.load(str(tmp_path / "bright.yaml"))
    assert read.runs == ["r0091"]
    assert read.tokens == {
        "where": ["--where=xgm > 300 & lit"],
        "mask": ANY,
        "on-fault": ["--on-fault=mask"],
    }
    assert [given.name for given in read.algorithms] == ["subtract", "azint", "scan", "litframes"]
