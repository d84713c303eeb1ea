"""Patches: photons are where they were planted, and nowhere else."""

import numpy as np
from runs import make_run

from dxflow.simulate import Patches


def test_only_the_patches_have_signal(tmp_path):
    signal = Patches(boxes=((1, 0, 8, 8, 16), (2, 4, 16, 0, 8)), photons=3, background=0.1)
    truth = make_run(
        tmp_path / "r0001", detector="AGIPD500K", modules=4, module_shape=(16, 16), trains=2, signal=signal
    )
    above = truth.expected - truth.expected_miss
    wanted = np.zeros((4, 16, 16))
    wanted[1, :8, 8:] = wanted[2, 4:, :8] = 3
    np.testing.assert_allclose(above, wanted)
    np.testing.assert_allclose(truth.expected_miss, 0.1)
    assert truth.signal["photons"] == 3
