"""Codecs tried on frames of a user's own data: what each saves, how fast it is, and what it does to the data."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import PlanError
from . import quality
from .bounds import Bound
from .frames import Encoder, Encoding
from .samples import Samples
from .table import CODECS, codec_of

if TYPE_CHECKING:
    from pandas import DataFrame

SHARES = (0.25, 0.5, 1.0, 2.0)
"""Bounds that are tried by default, in standard deviations of a pixel."""
JUDGED = 16
"""Frames of modules of which SSIM and peaks are compared: they take longer than the codecs."""


@dataclass(frozen=True)
class Row:
    """A codec with a bound on all samples.

    Parameters
    ----------
    codec, bound : str
        Bound "" is without loss.
    ratio : float
        Bytes before / after.
    write, read : float
        MB/s of values per thread.
    largest_error : float
        Of a pixel, unit of the data.
    psnr, ssim : float
        Of the range that `Comparison.span` says.
    sum_error, iq_error, peak_error : float
        Largest relative change of a frame's sum, of I(q), of 3 x 3 pixels around peaks; NaN where there is
        nothing above the noise.
    frames_without_loss : int
        Of modules: what the codec could not hold within the bound.
    """

    codec: str
    bound: str
    ratio: float
    write: float
    read: float
    largest_error: float
    psnr: float
    ssim: float
    sum_error: float
    iq_error: float
    peak_error: float
    frames_without_loss: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """Codecs on samples: print it; `table` has a row per codec and bound, `plot` draws ratio against error.

    Parameters
    ----------
    rows : tuple of Row
    what : str
        What was sampled.
    span : float
        Range that PSNR and SSIM refer to.
    notes : tuple of str
    """

    rows: tuple[Row, ...]
    what: str
    span: float
    notes: tuple[str, ...] = field(default=())

    @property
    def table(self) -> DataFrame:
        """A row per codec and bound."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows])

    def json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "what": self.what,
            "span": self.span,
            "notes": list(self.notes),
            "rows": list(map(asdict, self.rows)),
        }

    def __str__(self) -> str:
        head = (
            f"{'codec':<16} {'bound':<22} {'ratio':>6} {'write':>7} {'read':>7} {'max error':>9} "
            f"{'PSNR':>6} {'SSIM':>7} {'sum':>8} {'I(q)':>8} {'peaks':>8} {'no loss':>7}"
        )
        lines = [self.what, head, *map(_line, self.rows)]
        lines.append(
            f"write, read: MB/s of one thread; PSNR and SSIM refer to a range of {self.span:.6g} (0.1 to 99.9 "
            "percentile); sum, I(q), peaks: largest relative change (- where nothing is above the noise); no loss: "
            "frames of modules that the bound forbids"
        )
        return "\n".join([*lines, *(f"note: {note}" for note in self.notes)])

    def plot(self, path: str | Path) -> None:
        """Draw ratio against the largest error and against PSNR, a line per codec."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 4), layout="constrained")
        for axes, name in zip(figure.subplots(1, 2), ("largest_error", "psnr"), strict=True):
            self.draw(axes, name)
        figure.suptitle(self.what, fontsize=9)
        figure.savefig(path, dpi=100)

    def draw(self, axes: Any, name: str = "largest_error") -> None:
        """Draw ratio against a column of the table, a line per codec, on axes of matplotlib."""
        words = {"largest_error": "largest error of a pixel", "psnr": f"PSNR / dB (range {self.span:.4g})"}
        for codec in dict.fromkeys(row.codec for row in self.rows if row.bound):
            mine = sorted((getattr(r, name), r.ratio) for r in self.rows if r.codec == codec and r.bound)
            axes.plot(*zip(*mine, strict=True), marker="o", markersize=4, label=codec)
        for row in self.rows:
            if not row.bound:
                axes.axhline(row.ratio, color="0.7", linewidth=0.8, linestyle=":", zorder=0)
        axes.set(xlabel=words.get(name, name), ylabel="bytes before / after", yscale="log")
        if axes.lines and any(r.bound for r in self.rows):
            axes.set_xscale("log" if name == "largest_error" else "linear")
            axes.legend(fontsize=8, title="dotted: without loss", title_fontsize=8)


def _line(row: Row) -> str:
    errors = (row.sum_error, row.iq_error, row.peak_error)
    shares = " ".join(f"{'-':>8}" if np.isnan(v) else f"{v:8.1e}" for v in errors)
    return (
        f"{row.codec:<16} {row.bound or 'without loss':<22} {row.ratio:6.2f} {row.write:7.0f} {row.read:7.0f} "
        f"{row.largest_error:9.3g} {row.psnr:6.1f} {row.ssim:7.4f} {shares} {row.frames_without_loss:7d}"
    )


def compare(
    samples: Samples,
    *,
    bounds: Sequence[Any] | None = None,
    codecs: Iterable[str] | None = None,
    positions: NDArray | None = None,
    step: Callable[[], None] = lambda: None,
) -> Comparison:
    """Try codecs with and without bounds on samples.

    Parameters
    ----------
    samples : Samples
    bounds : sequence, optional
        As ``round=`` of a copy; by default shares of the standard deviation of pixels, with which they change averages
        by little.
    codecs : iterable of str, optional
        By default all that are installed.
    positions : ndarray, (module, ss, fs, 3), optional
        Of pixels of the modules, for I(q).
    step : callable, optional
        Called after each row.

    Raises
    ------
    PlanError
        If there is no such codec, or it is not installed.
    """
    names = list(codecs) if codecs is not None else [n for n, c in CODECS.items() if c.installed]
    for name in names:
        codec_of(name).check(Bound(absolute=1.0))
    floats = samples.frames.dtype.kind == "f"
    tried = [b for b in map(Bound.of, bounds or _usual(samples)) if b] if floats else []
    found = [Encoding(name) for name in names if not CODECS[name].bounded]
    found += [Encoding(n, b) for n in names for b in tried if not CODECS[n].bounded or b.relative is None]
    if not found:
        raise PlanError(
            f"codecs {names}: they need an absolute bound and floats; these are {samples.frames.dtype}"
        )
    trial = _Trial(samples, positions)
    rows = []
    for encoding in found:
        rows.append(trial.row(encoding))
        step()
    return Comparison(tuple(rows), trial.what, trial.span, tuple(_notes(samples, names, positions, bounds)))


def _notes(
    samples: Samples, names: Sequence[str], positions: NDArray | None, bounds: Sequence[Any] | None
) -> Iterable[str]:
    if left := [n for n in CODECS if n not in names and not CODECS[n].installed]:
        yield f"{', '.join(left)}: need hdf5plugin, which is not installed: pip install 'dxflow[compression]'"
    if samples.frames.dtype.kind != "f":
        yield f"pixels are {samples.frames.dtype}: only floats are changed"
    elif not bounds:
        yield f"bounds are {', '.join(f'{s:g}' for s in SHARES)} standard deviations of a pixel; others: --round"
    if positions is None:
        yield "no geometry is beside the run: I(q) is not compared; give one with --geometry"


def _usual(samples: Samples) -> list[Bound]:
    """Return bounds that are shares of the width of the values around their median, in two digits."""
    values = samples.frames[np.isfinite(samples.frames)]
    width = 1.4826 * float(np.median(np.abs(values - np.median(values)))) if values.size else 0.0
    width = width or float(np.std(values, dtype=np.float64)) if values.size else 0.0
    return [Bound(float(f"{share * width:.2g}")) for share in SHARES] if width > 0 else []


class _Trial:
    """One set of samples, which each codec stores."""

    def __init__(self, samples: Samples, positions: NDArray | None) -> None:
        self.samples = samples
        self.frames = samples.frames
        self.span = quality.span_of(self.frames[samples.there])
        self.rings = quality.Rings(positions) if positions is not None else None
        count, shape = int(samples.there.sum()), self.frames.shape[-2:]
        self.what = (
            f"{samples.detector}: {len(self.frames)} frames of {len(samples.modules)} modules, "
            f"{count} frames of modules with {' x '.join(map(str, shape))} pixels of {self.frames.dtype}"
        )

    def row(self, encoding: Encoding) -> Row:
        """Store all samples and read them."""
        shape = (1, *self.frames.shape[-2:])
        encode = Encoder(encoding, shape, self.frames.dtype)
        made, times = self.frames.copy(), np.zeros(2)
        size = fallen = 0
        error = 0.0
        places = np.argwhere(self.samples.there)
        for number, (f, m) in enumerate([tuple(places[0]), *map(tuple, places)]):
            frame = np.ascontiguousarray(self.frames[f, m][None])
            one = encode(frame)
            # The first is done twice: what it waits for is no speed.
            if number:
                size, fallen, error = size + len(one.data), fallen + one.fallen, max(error, one.error)
                made[f, m] = frame[0] if one.fallen else self._timed(encode, frame, times)
        before = len(places) * self.frames[0, 0].nbytes
        write, read = before / 1e6 / np.maximum(times, 1e-9) if times.any() else (np.nan, np.nan)
        return Row(
            encoding.codec,
            str(encoding.bound or ""),
            before / size,
            float(write),
            float(read),
            error,
            frames_without_loss=fallen,
            **self._judged(made),
        )

    @staticmethod
    def _timed(encode: Encoder, frame: NDArray, times: NDArray) -> NDArray:
        """Add the seconds of this thread for writing and reading; return what was read."""
        a = time.thread_time()
        data = encode.encode(encode.changed(frame))
        b = time.thread_time()
        made = encode.decode(data)
        times += b - a, time.thread_time() - b
        return made[0]

    def _judged(self, made: NDArray) -> dict[str, float]:
        """Return PSNR, SSIM and the errors of sums, I(q) and peaks."""
        there, frames = self.samples.there, self.frames
        places = np.argwhere(there)
        chosen = [tuple(p) for p in places[:: max(1, len(places) // JUDGED)][:JUDGED]]
        similar = [quality.ssim(frames[p], made[p], self.span) for p in chosen]
        peaks = [quality.peak_error(frames[p], made[p]) for p in chosen]
        return {
            "psnr": quality.psnr(frames[there], made[there], self.span),
            "ssim": float(np.mean(similar)),
            "sum_error": quality.sum_error(frames[there], made[there]),
            "iq_error": self.rings.error(frames, made) if self.rings else float("nan"),
            "peak_error": quality.largest(peaks),
        }
