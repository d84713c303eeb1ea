"""What is in a run, read by EXtra-data and sorted with plain dictionaries: the measure for what dxflow makes."""

import numpy as np
from extra_data import RunDirectory


def frames(path, sources, key="image.data", masked=True):
    """Return ([(train, pulse), ...] in order, frames (frame, module, ss, fs) in f8, NaN where a module lacks one).

    Pixels that the run itself marks as bad are NaN, unless `masked` is False.
    """
    run = RunDirectory(str(path))
    images = [_of_module(run, source, key, masked) for source in sources]
    labels = sorted(set().union(*images))
    shape = next(iter(images[0].values())).shape
    out = np.full((len(labels), len(sources), *shape), np.nan)
    for row, label in enumerate(labels):
        for module, have in enumerate(images):
            if label in have:
                out[row, module] = have[label]
    return labels, out


def _of_module(run, source, key, masked):
    kd = run[source, key]
    trains = kd.train_id_coordinates()
    pulses = run[source, "image.pulseId"].ndarray().ravel()
    images = kd.ndarray().astype("f8")
    if masked and key == "image.data" and "image.mask" in run[source]:
        images[run[source, "image.mask"].ndarray() != 0] = np.nan
    return dict(zip(zip(trains.tolist(), pulses.tolist(), strict=True), images, strict=True))


def close(found, expected, rtol=1e-6):
    """Compare arrays, NaN equal to NaN."""
    np.testing.assert_allclose(np.asarray(found, "f8"), expected, rtol=rtol, equal_nan=True)
