"""Lines and edges where they were planted."""

import numpy as np
from runs import make_run

from dxflow.simulate import Lines, Scan


def test_lines_have_their_photons_and_are_bent(tmp_path):
    lines = Lines(
        at=(12.0, 25.5), photons=(3.0, 1.0), width=1.2, curvature=(0, 0.1, 0.02), rows=(2, 15), background=0.1
    )
    truth = make_run(tmp_path / "r0001", detector="JUNGFRAU1", trains=1, module_shape=(16, 40), signal=lines)
    image = np.squeeze(truth.expected) - 0.1
    np.testing.assert_allclose(image[[0, 1, 15]], 0, atol=1e-12)
    v = np.arange(16) - 7.5
    for at, photons, columns in ((12.0, 3.0, slice(0, 19)), (25.5, 1.0, slice(19, 40))):
        part = image[2:15, columns]
        np.testing.assert_allclose(part.sum(axis=1), photons, rtol=1e-3)
        middle = (part * np.arange(40)[columns]).sum(axis=1) / part.sum(axis=1)
        np.testing.assert_allclose(middle, (at + 0.1 * v + 0.02 * v**2)[2:15], atol=0.02)


def test_an_edge_is_an_arctangent():
    scan = Scan(edge=7.11, width=0.01, jump=3.0)
    at = np.array([7.11, 7.12, 7.10, 8.11, 6.11])
    np.testing.assert_allclose(scan.response(at), [2.5, 3.25, 1.75, 4, 1], atol=0.01)
    np.testing.assert_allclose(Scan(centre=1.0, width=0.5, edge=1.0).response(np.array([1.0])), 1.5)
