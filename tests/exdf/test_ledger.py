"""What is given is checked before anything of it is taken."""

import numpy as np
import pytest

from dxflow.exdf import DS, ExdfError
from dxflow.exdf.declare import declared
from dxflow.exdf.ledger import Ledger


def ledger(**options):
    datasets = {
        "a": DS("D/E/F:o", "g.a"),
        "b": DS("D/E/F:o", "g.b"),
        "c": DS("D/E/F", "c"),
        "r": DS("D/E/F", "r", run=True),
    }
    made = Ledger(declared(datasets, {}, {}), direct=options.get("direct", False))
    made.add_trains([1, 2, 3], None)
    return made


def test_a_train_may_have_one_entry_or_several():
    one = ledger()
    one.add(one.of_train({"a": 1.0, "b": [1.0, 2.0]}))
    assert (one.series["a"].counts, one.series["b"].counts) == ([0, 0, 1], [0, 0, 2])


def test_nothing_is_taken_of_a_call_that_is_refused():
    one = ledger()
    with pytest.raises(ExdfError, match=r"g\.b \(b\), train 1: expected 1 entries"):
        one.of_trains([1], {"a": [1.0], "b": [1.0, 2.0]})
    assert not one.series["a"].used


def test_what_was_never_given_is_known():
    one = ledger()
    one.add(one.of_trains([1], {"a": [1.0]}))
    one.add_run({"r": 3})
    assert [d.name for d in one.unused] == ["b", "c"]


def test_control_values_of_finished_files_are_settled():
    one = ledger()
    one.settled = 2
    with pytest.raises(ExdfError, match="file of this train is finished"):
        one.of_trains([1], {"c": [1.0]})
    assert one.of_train({"c": 1.0})[0].position == 2
    with pytest.raises(ExdfError, match="after the first sequence file was finished"):
        one.add_run({"r": 3})


@pytest.mark.parametrize(("direct", "complete"), [(True, 2), (False, 0)])
def test_in_direct_mode_keys_that_never_came_are_not_waited_for(direct, complete):
    one = ledger(direct=direct)
    one.add(one.of_trains([1, 1], {"a": [1.0, 2.0]}))
    assert one.complete(one.groups["D/E/F:o", "g"]) == complete


def test_an_array_for_the_run_has_the_declared_shape():
    with pytest.raises(ExdfError, match=r"expected shape \(\), got \(2,\)"):
        ledger().add_run({"r": np.zeros(2)})
