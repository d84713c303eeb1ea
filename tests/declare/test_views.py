"""What hooks see: an alias that is not there is said with those that are."""

import numpy as np
import pytest

from dxflow.declare.views import ModuleBlock, Train

ARRAYS = {"img": np.zeros((2, 3, 4, 4)), "xgm": np.zeros(2)}


@pytest.mark.parametrize(
    "seen",
    [
        Train(0, 1, None, None, frozenset(), ARRAYS, {"img": np.ones((2, 3), bool)}),
        ModuleBlock(0, 0, np.zeros(2), None, None, ARRAYS),
    ],
)
def test_an_alias_that_is_not_there_is_said_with_those_that_are(seen):
    assert seen["xgm"] is ARRAYS["xgm"]
    with pytest.raises(KeyError) as raised:
        seen["image"]
    assert raised.value.args[0] == "no input 'image'. Did you mean 'img'? Inputs: img, xgm"
