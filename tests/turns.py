"""Cases of tests that have several things to vary, each of which is independent of the others."""

import itertools
import os


def turns(first, *others):
    """Return for each value of the first as many cases as there are values of the longest other, which take turns.

    The campaign, which runs the tests that are marked `properties`, has all combinations.
    """
    if "DXFLOW_EXAMPLES" in os.environ:
        return list(itertools.product(first, *others))
    count = max(map(len, others))
    return [
        (one, *(values[(number + shift * step) % len(values)] for step, values in enumerate(others)))
        for shift, one in enumerate(first)
        for number in range(count)
    ]
