"""Hooks alone: each algorithm on a block that stays in the cache, one thread, against numpy on the same block.

Frames are rounded beside EXtra-redu. Peaks are found in whole frames with 50 peaks each, against OM on one of them: a
row has the seconds of a frame.

python benchmarks/bench_kernels.py [--small] [--json FILE]
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from benchkit import data, hooks, peers_om, script

from dxflow import Algorithm, From, Key, Labels
from dxflow.algorithms import xcca
from dxflow.algorithms._blas import blas
from dxflow.algorithms._products import TILE, Pixels, Products
from dxflow.algorithms.assemble import Assemble
from dxflow.algorithms.autocorrelation import Autocorrelation
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.calibrate import REGIONS, Calibrate
from dxflow.algorithms.dark import Pedestal
from dxflow.algorithms.frames import KeepFrames
from dxflow.algorithms.histogram import Histogram
from dxflow.algorithms.imagecube import ImageCube
from dxflow.algorithms.keep import Keep
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.peaks import PeakFinder8
from dxflow.algorithms.projection import Projection
from dxflow.algorithms.roi import RoiSum
from dxflow.algorithms.rounding import Round
from dxflow.algorithms.sparsify import Sparsify
from dxflow.algorithms.subtract import Subtract
from dxflow.algorithms.sums import ImageSums
from dxflow.algorithms.waveform import Waveform
from dxflow.bench import peers
from dxflow.bench.rounds import Cannot, Group, Ratio, Sample
from dxflow.simulate import Spots, Truth

NAN = 0.02
"""Share of pixels that are masked, in the second of each pair of cases."""


def algorithms(truth: Truth, dtype: str) -> Iterator[tuple[str, list[Any], Callable[[Any], Any]]]:
    """Yield the name of the algorithm that is measured, all that run, and what numpy does for the same."""
    bins = np.random.default_rng(0).integers(0, 501, truth.expected[0].size)
    weights = np.ones(bins.size)

    def integrate(x: Any) -> None:
        for frame in x.reshape(len(x), -1):
            good = ~np.isnan(frame)
            np.bincount(bins, np.where(good, frame, 0), 501)
            np.bincount(bins, weights * good, 501)

    yield "average", [Average()], lambda x: peers.Moments().add(x)
    yield "litframes", [LitFrames(threshold=0.7)], lambda x: [np.count_nonzero(f > 0.7) for f in x]
    if dtype == "float32":
        yield "azint", [AzimuthalIntegration(**beam(truth))], integrate
        yield "roi", [RoiSum()], lambda x: [(np.nansum(f, dtype=np.float64), np.nanmax(f)) for f in x]
        described = [RoiSum(name="described", threshold=0.5, mask=np.zeros(truth.expected.shape, bool))]
        yield "described", described, lambda x: [(np.nansum(f * (f >= 0.5)), np.nanmax(f)) for f in x]
        projected = [Projection(axis="both", threshold=0.5)]
        yield (
            "projection",
            projected,
            lambda x: [np.nansum(f * (f >= 0.5), axis=k) for f in x for k in (0, 1)],
        )
        counted = [Histogram(bins=100, range=(-1, 9))]
        yield "histogram", counted, lambda x: [np.histogram(f, 100, (-1, 9)) for f in x]
        binned = [ImageCube(by=Labels.pattern([0, 1, 2]), i0=Labels.pattern([1.0, 1.1]), axes={"bin": 3})]
        yield "imagecube", binned, lambda x: [np.nansum(x[k::3], axis=0) for k in range(3)]
        yield (
            "sums",
            [ImageSums(threshold=0.5)],
            lambda x: [np.add.reduce(x), np.square(x).sum(0), x.max(0), x > 0.5],
        )
        where = np.random.default_rng(0).permutation(truth.expected[0].size)
        assembled = [Assemble(geometry=beam(truth)["geometry"])]
        yield "assemble", assembled, lambda x: [np.bincount(where, f.ravel()) for f in x]
        yield "frames", [KeepFrames()], lambda x: [f.copy() for f in x]
        yield "sparsify", [Sparsify(threshold=2)], lambda x: [np.argwhere(f > 2) for f in x]
        own = [Autocorrelation(modules=[0], range=(10, 10))]
        yield "autocorrelation", own, lambda x: [np.fft.irfft2(np.abs(np.fft.rfft2(f)) ** 2) for f in x]
        eighth = [size // 8 for size in truth.expected.shape[1:]]
        binned = [Projection(name="binned", axis="none", rebin=eighth)]
        yield "binned", binned, lambda x: np.nansum(x.reshape(len(x), eighth[0], 8, -1, 8), axis=(2, 4))
    dark = np.zeros(truth.expected.shape, np.float32)
    pair = [Subtract(dark=dark), LitFrames(threshold=0.7, img=From("subtract.img"))]
    yield "subtract", pair, lambda x: x.astype(np.float32) - dark[0]


def beam(truth: Truth) -> dict[str, Any]:
    """Return where pixels are, and the photon energy, as `azint` has them."""
    geometry = f"{truth.path}/{truth.geometry['npy']}"
    return {"geometry": geometry, "distance": truth.distance, "energy": truth.photon_energy}


FRAMES = 200
"""Of each memory cell in a dark run."""
RAW = (
    *("dark by blocks", "calibrate, constants per cell", "calibrate, constants shared"),
    *(f"calibrate, common mode of {what}" for what in ("ASICs", "rows", "columns")),
)
"""Rows of what works on raw frames."""


def of_raw(truth: Truth) -> Iterator[tuple[list[Any], Callable[[Any], Any]]]:
    """Yield the algorithms of each of `RAW`, the one that is measured first, and what numpy does for the same."""

    def sums(x: Any) -> None:
        x.sum(axis=0), np.square(x.astype(np.int64)).sum(axis=0)

    yield [Pedestal(walk="blocks")], sums
    shape = (3, 16, *truth.expected.shape)
    levels = np.array([6000, 7500, 8500], np.float32)[:, None, None, None, None]
    cells = {"offset": np.full(shape, 4000, np.float32), "gain_level": np.broadcast_to(levels, shape)}
    shared = {name: table[:, :1] for name, table in cells.items()}
    reads = LitFrames(threshold=50, img=From("calibrate.img"))
    for constants, mode in ((cells, None), (shared, None), *((cells, mode) for mode in REGIONS)):
        made = Calibrate(constants=constants, common_mode=mode, dark=1000 if mode else None)
        yield [made, reads], lambda x: (x.astype(np.float32) - np.float32(4000)) * np.float32(0.1)


def raw(truth: Truth, seconds: float) -> Iterator[Group]:
    """Yield the groups of what works on raw frames and their gain; bytes are those of the frames alone."""
    for title, (listed, numpy_way) in zip(RAW, of_raw(truth), strict=True):
        blocks = hooks.Blocks(truth.path, listed)
        image = next(blocks.images()).copy()
        cases = {
            "dxflow": blocks.hook(listed[0].name, seconds),
            "numpy": hooks.repeated(lambda f=numpy_way, x=image: f(x), image.nbytes, seconds),
        }
        yield Group(title, cases, (Ratio(title, "dxflow", ("numpy",)),))


def strips(truth: Truth, seconds: float) -> Iterator[Group]:
    """Yield the groups of darks by strips, of as many frames of a memory cell as a dark run has."""
    ways: dict[str, Callable[[Any], Any]] = {
        "mean": lambda x: (x.mean(axis=0), x.std(axis=0)),
        "median": lambda x: np.median(x, axis=0),
    }
    for method, way in ways.items():
        blocks = hooks.Blocks(truth.path, [Pedestal(lit=1, method=method)])
        image = next(blocks.images()).copy()
        cases = {
            "dxflow": blocks.hook("dark", seconds),
            "numpy": hooks.repeated(lambda f=way, x=image: f(x), image.nbytes, seconds),
        }
        title = f"dark by strips, {method}"
        yield Group(title, cases, (Ratio(title, "dxflow", ("numpy",)),))


def groups(truth: Truth, dtype: str, seconds: float) -> Iterator[Group]:
    for name, listed, numpy_way in algorithms(truth, dtype):
        blocks = hooks.Blocks(truth.path, listed)
        image = next(blocks.images()).copy()
        cases = {
            "dxflow": blocks.hook(name, seconds),
            "numpy": hooks.repeated(lambda f=numpy_way, x=image: f(x), image.nbytes, seconds),
        }
        ratios = [Ratio(f"{name}, {dtype}", "dxflow", ("numpy",))]
        if dtype == "float32":
            cases["with NaN"] = masked(hooks.Blocks(truth.path, listed), name, seconds)
            ratios.append(Ratio(f"{name}, {NAN:.0%} NaN", "with NaN", ("dxflow",)))
        yield Group(f"{name} {dtype}", cases, tuple(ratios))


def images(truth: Truth, seconds: float) -> Group:
    """Return the group of integration in q and chi, and in q alone."""
    options: dict[str, dict[str, Any]] = {
        "q": {"nbins": 200},
        "q and chi": {"nbins": 200, "nchi": 72},
        "500 x 360 bins": {"nchi": 360},
        "of the run": {"nchi": 360, "per": "run"},
        "azimuthal errors": {"errors": "azimuthal"},
    }
    cases = {
        name: hooks.Blocks(truth.path, [AzimuthalIntegration(**beam(truth), **given)]).hook("azint", seconds)
        for name, given in options.items()
    }
    ratios = [Ratio("azint in q and chi / in q", "q and chi", ("q",), 0.8)]
    ratios += [Ratio(f"azint, {name} / in q", name, ("q",)) for name in list(options)[2:]]
    return Group("azint in q and chi", cases, tuple(ratios))


def empty(shape: tuple[int, ...]) -> dict[str, Any]:
    """Return what angular correlations are added to."""
    sizes = {"correlation": shape, "cross": shape, "coefficients": (shape[0], shape[1] // 2 + 1)}
    sums = {f"{name}_moments": np.zeros((len(xcca.MOMENTS), *size)) for name, size in sizes.items()}
    sums |= {name: np.zeros(shape) for name in ("correlation", "cross")}
    return sums | {f"{name}_frames": np.zeros(shape, int) for name in ("correlation", "cross")}


def angles(seconds: float) -> Group:
    """Return the group of angular correlations of an image in q and chi, with itself and with the one before."""
    random, shape = np.random.default_rng(0), (2, 100, 720)
    weights = (random.random(shape[1:]) > NAN) * np.ones(shape)
    images = random.poisson(4, shape) * weights
    into = empty(shape[1:])

    def ours() -> Sample:
        work = hooks.repeated(
            lambda: xcca.add(into, images, weights, np.zeros(2), False), images.nbytes, seconds
        )
        return Sample(work().seconds / 2, images[0].nbytes)

    ratios = (
        Ratio("xcca, 100 x 720 bins, seconds per frame", "dxflow", (), 0.03, at_least=False, by="seconds"),
    )
    return Group("xcca", {"dxflow": ours}, ratios)


def peaks(truth: Truth, seconds: float) -> Group:
    """Return the group of PeakFinder8 on the first frames, and of OM on the first one."""
    blocks = hooks.Blocks(truth.path, [PeakFinder8(min_peaks=5)])
    whole, frames = blocks.hook("peaks", seconds), np.stack(list(blocks.images()), axis=1)

    def ours() -> Sample:
        sample = whole()
        return Sample(sample.seconds / len(frames), frames[0].nbytes)

    def theirs() -> Sample:
        find = peers_om.finder(truth.positions, 5.0)
        return hooks.repeated(lambda: find(frames[0]), frames[0].nbytes, seconds)()

    ratios = [
        Ratio("peaks / OM", "dxflow", ("OM",), 2.5),
        Ratio("peaks, seconds per frame", "dxflow", (), 0.008, at_least=False, by="seconds"),
    ]
    return Group("peaks float32", {"dxflow": ours, "OM": theirs}, tuple(ratios))


def variants(truth: Truth, seconds: float) -> Iterator[Group]:
    """Yield the groups of eight settings of an algorithm that one sweep serves, beside one of them: seconds of work."""
    energy = beam(truth)
    settings: dict[str, tuple[type[Algorithm], dict[str, Any], dict[str, list[Any]], float]] = {
        "peaks": (PeakFinder8, {"min_peaks": 5}, {"min_snr": [5, 4, 4.5, 5.5, 6, 7, 8, 9]}, 3),
        "litframes": (LitFrames, {}, {"threshold": [0.7, 0.5, 1, 1.5, 2, 3, 4, 5]}, 1.5),
        "azint, ranges": (
            AzimuthalIntegration,
            energy,
            {"qrange": [(n / 4, (n + 1) / 4) for n in range(8)]},
            3,
        ),
        "azint, nested": (AzimuthalIntegration, energy, {"qrange": [(0, 10 + n) for n in range(8)]}, 3),
    }
    for name, (cls, shared, varied, most) in settings.items():
        alone = cls(**shared, **{option: values[0] for option, values in varied.items()})
        cases = {
            "1": hooks.Blocks(truth.path, [alone]).variants(seconds),
            "8": hooks.Blocks(truth.path, cls.variants(**shared, **varied)).variants(seconds),
        }
        ratio = Ratio(f"{name}, 8 variants / 1", "8", ("1",), most, at_least=False, by="seconds")
        yield Group(f"{name}, variants", cases, (ratio,))


def rounding(truth: Truth, seconds: float) -> Group:
    """Return the group of Round and of EXtra-redu's rounding, to the same bits."""
    # Nothing is made that nobody reads.
    reads = LitFrames(threshold=0.7, img=From("rounding.img"))
    blocks = hooks.Blocks(truth.path, [Round(absolute=2.0**-4, relative=2.0**-8), reads])
    image = next(blocks.images()).copy()

    def theirs() -> Sample:
        try:
            from extra_redu import errb_round
        except ImportError:
            raise Cannot("EXtra-redu is not installed: pip install extra-redu") from None
        return hooks.repeated(lambda: errb_round(image, 7, -3), image.nbytes, seconds)()

    ratios = (Ratio("rounding / EXtra-redu", "dxflow", ("EXtra-redu",), 15),)
    return Group(
        "rounding float32", {"dxflow": blocks.hook("rounding", seconds), "EXtra-redu": theirs}, ratios
    )


def correlations(small: bool, seconds: float) -> Group:
    """Return the group of `twotime` on a train of one module, with many photons and with few, against one product."""
    t, pixels = (32, 4096) if small else (352, 65536)
    random, at = np.random.default_rng(0), np.arange(t)
    regions = Pixels.of(np.arange(pixels) * 10 // pixels + 1, 10)
    out = np.zeros((10, t, t)), np.zeros((10, t)), np.zeros((10, t), np.int64)
    bright, dim = (random.poisson(mean, (t, pixels)).astype("f4") for mean in (1.0, 1e-3))
    other, product, total = bright.copy(), np.empty((t, t), "f4"), np.zeros((t, t))
    tiles = [np.ascontiguousarray(bright[:, a : a + TILE]) for a in range(0, pixels, TILE)]
    made, lists = Products(t, pixels), Products(t, pixels)
    listed: Any = lists.listed(dim, at, regions)

    def gemm() -> None:
        with blas().one_thread():
            np.matmul(bright, other.T, out=product)

    work = {
        "dense": lambda: made.add(bright, at, at, regions, *out),
        "sgemm": gemm,
        "dense product": lambda: [made.multiply(tile, total) for tile in tiles],
        "sparse": lambda: made.add(dim, at, at, regions, *out),
        "sparse product": lambda: lists.paired(*listed, at, regions, *out),
    }
    ratios = (
        Ratio("two-time, dense / sgemm", "dense", ("sgemm",), 0.6),
        Ratio("two-time, 0.001 photons per pixel / dense", "sparse", ("dense",), 5),
        Ratio("its product / dense", "sparse product", ("dense product",), 20),
    )
    cases = {name: hooks.repeated(do, bright.nbytes, seconds) for name, do in work.items()}
    return Group("twotime float32", cases, ratios)


def traces(small: bool, seconds: float) -> Group:
    """Return the group of integrals and hits in the traces of a digitizer, against numpy trace by trace."""
    samples, step = (2000, 200) if small else (20_000, 200)
    at, tops = np.arange(samples), np.arange(150, samples - 100, step)
    pulses = sum(np.exp(-0.5 * ((at - top) / np.where(at < top, 3, 6)) ** 2) for top in tops)
    noise = np.random.default_rng(0).standard_normal((20, samples))
    measured = np.rint(300 + 2000 * pulses + 8 * noise).astype("i2")
    starts = [(top - 20, top + 40) for top in tops]
    options = {"window": starts[0], "pulses": len(tops), "period": step, "threshold": 300}
    algorithm = Waveform(trace=Key("a/b/c:d", "e"), baseline=(0, 100), **options)
    about: Any = {"trace": SimpleNamespace(dtype=measured.dtype)}
    algorithm.initialize(about)
    names = ("baseline", "noise", "saturated", "missing", "n_hits")
    out: Any = SimpleNamespace(**{name: np.zeros(1) for name in names})
    out.integral, out.height = np.zeros((2, 1, len(tops)))
    out.hits = SimpleNamespace(append=lambda *rows, **frames: None)

    def of_numpy() -> None:
        for trace in measured:
            x = trace - trace[:100].mean()
            [(x[a:b].sum(), x[a:b].max()) for a, b in starts]
            change = np.diff((x > 300).astype(np.int8))
            for first, stop in zip(
                np.flatnonzero(change > 0) + 1, np.flatnonzero(change < 0) + 1, strict=True
            ):
                top = first + x[first:stop].argmax()
                i = top - np.argmax(x[top::-1] < x[top] / 2)
                i + (x[top] / 2 - x[i]) / (x[i + 1] - x[i])

    cases = {
        "dxflow": hooks.repeated(
            lambda: [algorithm._one(t, 0, out) for t in measured], measured.nbytes, seconds
        ),
        "numpy": hooks.repeated(of_numpy, measured.nbytes, seconds),
    }
    return Group(
        "waveform int16", cases, (Ratio("waveform, hits and integrals / numpy", "dxflow", ("numpy",), 10),)
    )


def kept(seconds: float) -> Group:
    """Return a group: values of pulses and a motor of a train, beside copying them."""
    values, motor = np.random.default_rng(0).random(352), 1.5
    algorithm = Keep(keys={"xgm": Key("a/b/c:d", "e"), "motor": Key("a/b/c", "e")})
    there = {"xgm": np.ones(352, bool), "motor": np.asarray(True)}
    train: Any = Values({"xgm": values, "motor": np.float64(motor)})
    train.valid = there.__getitem__
    out: Any = {"xgm": np.zeros(352), "motor": np.zeros(())}

    def of_numpy() -> None:
        out["xgm"][:], out["motor"][...] = values, motor

    cases = {
        "dxflow": hooks.repeated(lambda: algorithm.process_train_data(train, out), values.nbytes, seconds),
        "numpy": hooks.repeated(of_numpy, values.nbytes, seconds),
    }
    return Group("keep, 352 pulses", cases, (Ratio("keep, a train / numpy", "dxflow", ("numpy",)),))


class Values(dict[str, Any]):
    """Values by alias, as a train has them."""


def masked(blocks: hooks.Blocks, name: str, seconds: float) -> Any:
    """Return the case of a hook on a block with NaN: its buffer is changed after it was read."""
    case = blocks.hook(name, seconds)
    for image in blocks.images():
        hooks.with_nan(image, NAN)
    return case


def main(argv: list[str] | None = None) -> None:
    args = script.parser(__doc__).parse_args(argv)
    seconds, size = (0.01, {}) if args.small else (hooks.SECONDS, {"trains": 1, "pulses": 16})

    def lots() -> Iterator[Group]:
        for kind, dtype in (("corr", "float32"), ("raw", "uint16")):
            with data.simulated(small=args.small, data=kind, **size) as truth:
                yield from groups(truth, dtype, seconds)
                if kind == "corr":
                    yield images(truth, seconds)
                    yield angles(seconds)
                    yield rounding(truth, seconds)
                else:
                    yield from raw(truth, seconds)
        own: dict[str, Any] = {} if args.small else {"trains": FRAMES, "pulses": 2, "modules": 1}
        with data.simulated(small=args.small, data="raw", **own) as truth:
            yield from strips(truth, seconds)
        with data.simulated(small=args.small, signal=Spots(count=50, hit_rate=1.0), **size) as truth:
            yield peaks(truth, seconds)
            yield from variants(truth, seconds)
        yield correlations(args.small, seconds)
        yield traces(args.small, seconds)
        yield kept(seconds)

    script.run(args, lots(), {"block": "2 MiB"})


if __name__ == "__main__":
    main()
