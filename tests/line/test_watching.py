"""The option by which a live run is shown elsewhere."""

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
    options = parsed("--publish", "redis://:s3cret@127.0.0.1:1/2")
    with pytest.raises(RuntimeError, match="broken"), watching(options, said.append) as (publisher,):
        raise RuntimeError("broken")
    assert said == ["publish  redis://127.0.0.1:1/2?name=r0034"]
    assert not publisher.alive


def test_what_is_wrong_is_said_before_anything_begins():
    with pytest.raises(ValueError, match="expected"), watching(parsed("--publish", "http://host"), print):
        pass


def test_watching_is_no_part_of_what_runs():
    words = ["--publish", "redis://:s3cret@host", "--wait", "5", "--mask", "x", "--to", "y"]
    assert unwatched([*words, "--publish=redis://host"]) == ["--wait", "5", "--mask", "x", "--to", "y"]
