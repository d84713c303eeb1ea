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


def without_dark(folder, sources, dark="r0010", data="r0011"):
    """Return (labels, bad pixels, frames of `data` less the dark of their pulse, NaN where pixels are bad).

    Bad is what has less than 0.3 or more than 3 times the noise of most pixels.
    """
    labels, frames_of = zip(
        *(frames(folder / name, sources, masked=False) for name in (dark, data)), strict=True
    )
    pulses = [np.array([pulse for _, pulse in some]) for some in labels]
    images = [values[:, :, 0] for values in frames_of]
    of = {p: images[0][pulses[0] == p] for p in np.unique(pulses[0])}
    noise = np.sqrt(np.mean([values.var(axis=0, ddof=1) for values in of.values()], axis=0))
    share = noise / np.median(noise)
    bad = (share < 0.3) | (share > 3)
    net = images[1] - np.array([of[p].mean(axis=0) for p in pulses[1]])
    net[:, bad] = np.nan
    return labels[1], bad, net


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
