"""The peaks of a frame, found by others: by OM, where it is installed, and slowly, by numpy and scipy alone."""

import importlib.util

import numpy as np
from scipy import ndimage

COLUMNS = ("module", "ss", "fs", "intensity", "pixels", "maximum", "snr")
WANTED = {"threshold": 0.0, "min_snr": 5.0, "min_pixels": 2, "max_pixels": 200, "local_bg_radius": 3}


def radii(positions):
    """Return the distance of each pixel from the beam, in steps between neighbours."""
    step = np.median(np.linalg.norm(np.diff(positions, axis=2), axis=-1))
    return (np.hypot(positions[..., 0], positions[..., 1]) / step).astype("f4")


def om(frame, radius, panel, **options):
    """Return what OM finds, which stacks modules along the slow scan; what is NaN it does not see."""
    from om.algorithms._crystallography import peakfinder_8

    wanted, (_, rows, columns) = {**WANTED, **options}, frame.shape
    stacked = np.ascontiguousarray(frame.reshape(-1, columns), "f4")
    fs, ss, intensity, _, pixels, maximum, _, snr = peakfinder_8(
        4096,
        stacked,
        np.isfinite(stacked).astype("i1"),
        radius.reshape(-1, columns),
        0,
        None,
        None,
        0,
        panel[1],
        panel[0],
        columns // panel[1],
        len(stacked) // panel[0],
        *wanted.values(),
    )
    module = np.rint(ss) // rows
    return np.column_stack([module, ss - module * rows, fs, intensity, pixels, maximum, snr])


def plain(frame, radius, panel, **options):
    """Return the same by definition, in float64: pixels that touch make a peak."""
    wanted, frame = {**WANTED, **options}, frame.astype("f8")
    offset, limit = background(frame, np.rint(radius).astype(int), wanted["min_snr"], wanted["threshold"])
    found = [np.zeros((0, len(COLUMNS)))]
    _, rows, columns = frame.shape
    for module in range(len(frame)):
        for a in range(0, rows, panel[0]):
            for b in range(0, columns, panel[1]):
                here = module, slice(a, a + panel[0]), slice(b, b + panel[1])
                some = in_panel(frame[here], offset[here], limit[here], wanted)
                found += [[[module, a + ss, b + fs, *rest]] for ss, fs, *rest in some]
    return np.concatenate(found)


def background(frame, ring, snr, threshold):
    """Return mean and limit at each pixel, after five rounds."""
    low, high = np.full(frame.shape, -1e9), np.full(frame.shape, 1e9)
    for _ in range(5):
        inside = (frame > low) & (frame < high)
        n, total, squares = (
            np.bincount(ring[inside], weights, ring.max() + 1)
            for weights in (None, frame[inside], frame[inside] ** 2)
        )
        with np.errstate(invalid="ignore"):
            mean = total / n
            sigma = np.sqrt(np.maximum(squares / n - mean**2, 0))
        bottom = np.where(n > 0, mean - snr * sigma, np.finfo("f4").tiny)
        top = np.where(n > 0, np.maximum(mean + snr * sigma, threshold), np.finfo("f4").max)
        low, high = bottom[ring], top[ring]
    return np.where(n > 0, mean, 0)[ring], high


def in_panel(x, offset, limit, wanted):
    """Yield what is known of each peak of a panel."""
    labels, count = ndimage.label(x > limit, np.ones((3, 3)))
    inner = set(np.unique(labels[1:-1, 1:-1]))
    rows, columns = np.indices(x.shape)
    for n in range(1, count + 1):
        mine = labels == n
        if n not in inner or not wanted["min_pixels"] <= mine.sum() <= wanted["max_pixels"]:
            continue
        weight = (x - offset)[mine]
        ss, fs = (np.rint((i[mine] * weight).sum() / weight.sum()) for i in (rows, columns))
        a, b, reach = rows - ss, columns - fs, 2 * wanted["local_bg_radius"]
        ring = (a < reach) & (b < reach) & (a**2 + b**2 <= reach**2) & (x < limit)
        middle = offset[int(ss), int(fs)], 0.01
        mean, sigma = (x[ring].mean(), x[ring].std()) if ring.any() else middle
        total, highest = (x[mine] - mean).sum(), (x[mine] - mean).max()
        if sigma and total / sigma >= wanted["min_snr"] and highest >= x[ring].max(initial=0) - mean:
            at = [(i[mine] * x[mine]).sum() / x[mine].sum() for i in (rows, columns)]
            yield *at, total, mine.sum(), highest, total / sigma


FINDERS = [plain] + ([om] if importlib.util.find_spec("om") else [])
"""OM has wheels for Python 3.11 on Linux only."""


ROUNDING = {"om": 1e-5, "plain": 0.02}
"""Of intensities: where a middle is between two pixels, float64 and float32 choose different surroundings."""


def same(found, expected, rounding):
    """Compare peaks: all of them, to 0.01 pixel; those of `found` are in the order of panels."""
    order = [np.lexsort(np.rint(peaks[:, 2::-1]).T) for peaks in (found, expected)]
    found, expected = found[order[0]], expected[order[1]]
    np.testing.assert_array_equal(found[:, [0, 4]], expected[:, [0, 4]])
    np.testing.assert_allclose(found[:, 1:3], expected[:, 1:3], atol=0.01)
    np.testing.assert_allclose(found[:, [3, 5, 6]], expected[:, [3, 5, 6]], rtol=rounding)
