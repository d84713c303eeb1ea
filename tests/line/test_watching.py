"""The options by which a live run is shown elsewhere."""

import argparse

import pytest

from dxflow.line.watching import add_watching, unwatched, watching


def parsed(*words):
    parser = argparse.ArgumentParser()
    parser.add_argument("--to")
    add_watching(parser)
    return parser.parse_args(["--to", "out/r0034.zarr", *words])


def test_nobody_watches_unless_it_is_asked_for():
    with watching(parsed(), print) as found:
        assert found == []


def test_what_was_begun_is_said_without_passwords_and_ends_in_any_case():
    said = []
    options = parsed("--publish", "redis://:s3cret@127.0.0.1:1/2", "--page")
    with pytest.raises(RuntimeError, match="broken"), watching(options, said.append) as (publisher, page):
        raise RuntimeError("broken")
    assert said == ["publish  redis://127.0.0.1:1/2?name=r0034", f"page     {page.address}"]
    assert not publisher.alive
    assert not page._door._thread.is_alive()


@pytest.mark.parametrize("words", [["--publish", "http://host"], ["--page", "70000"]])
def test_what_is_wrong_is_said_before_anything_begins(words):
    with (
        pytest.raises((ValueError, OSError), match="expected|cannot be used"),
        watching(parsed(*words), print),
    ):
        pass


def test_watching_is_no_part_of_what_runs():
    words = [
        "--publish",
        "redis://:s3cret@host",
        "--wait",
        "5",
        "--page",
        "80",
        "--mask",
        "x",
        "--page",
        "--to",
        "y",
    ]
    assert unwatched([*words, "--page=90", "--publish=redis://host"]) == [
        "--wait",
        "5",
        "--mask",
        "x",
        "--to",
        "y",
    ]
