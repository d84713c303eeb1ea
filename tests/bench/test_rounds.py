"""Cases in turn, ratios, lines of the table."""

import json

import pytest
from benchkit import script

from dxflow.bench.rounds import Cannot, Group, Ratio, Sample, measure
from dxflow.bench.table import rows, text


def group(*ratios, **seconds):
    return Group("g", {k: lambda v=v: Sample(v, 100) for k, v in seconds.items()}, ratios)


@pytest.mark.parametrize(
    ("ratio", "value", "reached"),
    [
        (Ratio("w", "a", ("b",), 2.0), 2.0, True),
        (Ratio("w", "a", ("b",), 2.1), 2.0, False),
        (Ratio("w", "a", ("b",), 0.5, False, "seconds"), 0.5, True),
        (Ratio("w", "c", ("a", "b"), 1.0, False, "seconds"), 2.0, False),
        (Ratio("w", "a", (), 1.0, False, "seconds"), 1.0, True),
        (Ratio("w", "a", ("b",)), 2.0, None),
    ],
)
def test_a_ratio_and_its_target(ratio, value, reached):
    (row,) = rows([measure(group(ratio, a=1.0, b=2.0, c=6.0), 2)])
    assert row.ratio == row.low == row.high == value
    assert row.reached is reached


def test_what_a_call_costs_is_told_apart_from_what_a_byte_costs():
    sizes = {
        "large": Sample(4.3, 8 * 10**9, 4.0),
        "small": Sample(1.3, 2 * 10**9, 1.0),
        "read": Sample(1.0, 10**10),
    }
    ratios = (Ratio("w", "large", ("small",), 0.4, False, "fixed"), Ratio("w", "large", ("read",), by="pass"))
    made = Group("g", {name: lambda s=sample: s for name, sample in sizes.items()}, ratios)
    fixed, steady = rows([measure(made, 1)])
    assert fixed.ratio == pytest.approx(0.3)
    assert fixed.reached
    assert steady.ratio == pytest.approx(0.2)
    assert "seconds of large at 0 bytes" in text([fixed])


def test_cases_take_turns_and_what_cannot_is_tried_once():
    order = []

    def case(name):
        def do():
            order.append(name)
            if name == "b":
                raise Cannot("no such library")
            return Sample(1.0, 1)

        return do

    made = Group("g", {n: case(n) for n in "abc"}, (Ratio("w", "a", ("b",)), Ratio("w", "a", ("c",))))
    measured = measure(made, 2, warm_up=False)
    assert "".join(order) == "abcac"
    assert "cannot: b: no such library" in text(rows([measured]))


def test_no_round_begins_after_the_time_is_up():
    assert len(measure(group(a=1.0), 5, until=0.0).rounds) == 1


def test_a_script_that_is_cut_short_has_printed_and_written_what_was_done(tmp_path, capsys):
    def groups():
        yield group(Ratio("w", "a", ("b",)), a=1.0, b=2.0)
        raise KeyboardInterrupt

    args = script.parser("").parse_args(["--json", str(tmp_path / "out.json"), "--rounds", "1"])
    with pytest.raises(KeyboardInterrupt):
        script.run(args, groups(), {})
    assert "a / b" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "out.json").read_text())["groups"]) == 1
