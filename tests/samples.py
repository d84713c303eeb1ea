"""Small algorithms that several test files use; worker processes import them from here."""

import os
import signal
import time
from pathlib import Path

import numpy as np

from dxflow import Algorithm, Frames, From, Output
from dxflow.algorithms.average import Average


class RoiSum(Algorithm):
    """The algorithm of the introduction."""

    ALG_ID = "roisum"
    HELP = "sum of a band of slow-scan rows, per pulse"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--ss", type=int, nargs=2, default=(0, 512), help="first and last row")

    def configure(self, args):
        self.ss = slice(*args.ss)

    def outputs(self, info):
        return {"intensity": Output(per="img", dtype="f4", unit="adu", doc="sum of the band")}

    def process_module_data(self, block, out):
        out.intensity += np.nansum(block["img"][:, self.ss], axis=(1, 2))


class Above(RoiSum):
    """Frames that are brighter than the median of all: made of all rows so far."""

    ALG_ID = "above"

    def outputs(self, info):
        made = {"bright": Output(per="img", dtype="?", stage="rows"), "median": Output(stage="rows")}
        return super().outputs(info) | made

    def finalize_rows(self, rows, out):
        out.median = np.nanmedian(rows["intensity"])
        out.bright = rows["intensity"] > out.median


class Stats(Algorithm):
    """Mean over frames of each pixel, extremes and number of frames, from module blocks."""

    ALG_ID = "stats"
    inputs = {"img": Frames("image.data")}

    def outputs(self, info):
        return {
            "mean": Output(per="pixel", unit="ph"),
            "count": Output(per="pixel", dtype="i8"),
            "low": Output(per="pixel", merge="min"),
            "high": Output(per="pixel", merge="max"),
            "frames": Output(per="run", dtype="i8"),
        }

    def process_module_data(self, block, out):
        img = block["img"].astype("f8")
        good = ~np.isnan(img)
        out.mean += np.where(good, img, 0).sum(axis=0)
        out.count += good.sum(axis=0)
        out.low = np.minimum(out.low, np.where(good, img, np.inf).min(axis=0))
        out.high = np.maximum(out.high, np.where(good, img, -np.inf).max(axis=0))
        out.frames += len(block)

    def finalize(self, totals):
        with np.errstate(invalid="ignore"):
            totals.mean = totals.mean / totals.count


class TrainSums(Algorithm):
    """One output of each kind, from whole trains."""

    ALG_ID = "tsum"
    inputs = {"img": Frames("image.data")}

    def outputs(self, info):
        return {
            "s": Output(per="train"),
            "tot": Output(per="run"),
            "pix": Output(per="pixel"),
            "row": Output(per="img"),
            "lit": Output(per="img", dtype="i4"),
            "ev": Output(per="event", shape=(2,)),
        }

    def process_train_data(self, train, out):
        img = train["img"].astype("f8")
        out.s = np.nansum(img)
        out.tot += np.nansum(img)
        out.pix += np.nansum(img, axis=0)
        out.row = np.nansum(img, axis=(1, 2, 3))
        out.lit = (img > 1).sum(axis=(1, 2, 3))
        out.ev.append([[train.id, k] for k in range(train.id % 3)] or np.zeros((0, 2)))


class Failing(RoiSum):
    """Raises in some trains."""

    ALG_ID = "failing"

    @classmethod
    def add_arguments(cls, parser):
        super().add_arguments(parser)
        parser.add_argument("--trains", type=int, nargs="*", default=(), help="where it raises")

    def configure(self, args):
        super().configure(args)
        self.trains = tuple(args.trains)

    def process_module_data(self, block, out):
        if np.isin(block.train_ids, self.trains).any():
            raise ZeroDivisionError("planted")
        super().process_module_data(block, out)


class Killer(Stats):
    """Kills or stops its own process, once, when it comes to a train."""

    ALG_ID = "stats"

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--train", type=int, help="where it kills")
        parser.add_argument("--flag", help="file that says it has killed already")
        parser.add_argument("--signal", type=int, default=int(signal.SIGKILL), help="by which signal")

    def process_module_data(self, block, out):
        if self.train in block.train_ids:
            try:
                Path(self.flag).touch(exist_ok=False)
            except FileExistsError:
                pass
            else:
                os.kill(os.getpid(), self.signal)
        super().process_module_data(block, out)


class Bright(Algorithm):
    """Selects frames whose sum is above a threshold."""

    ALG_ID = "bright"
    SELECTS = "is_bright"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--above", type=float, default=0, help="threshold")

    def outputs(self, info):
        return {"is_bright": Output(per="img", dtype="?")}

    def process_train_data(self, train, out):
        out.is_bright = np.nansum(train["img"], axis=(1, 2, 3), dtype="f8") > self.above


class Somewhere(Algorithm):
    """Says of boxes of pixels that something is there, in the outputs of `Signal`."""

    ALG_ID = "signal"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--boxes", nargs="*", default=(), help="(module, ss0, ss1, fs0, fs1)")

    def outputs(self, info):
        numbers = info["img"].modules
        return {
            "mask": Output(per="pixel", dtype="?", merge="max"),
            "modules": Output(dtype="?", merge="max", shape=(len(numbers),), dims=("module",)),
            "roi": Output(dtype="i4", merge="max", shape=(9, 6), dims=("box", "side")),
        }

    def process_module_data(self, block, out):
        for number, (module, ss0, ss1, fs0, fs1) in enumerate(self.boxes):
            if module == block.module_number:
                out.mask[ss0:ss1, fs0:fs1] = True
                out.modules[block.module] = True
            out.roi[number] = module, ss0, ss1, fs0, fs1, 1


class Scale(Algorithm):
    """Hands on images, twice as bright."""

    ALG_ID = "scale"
    inputs = {"img": Frames("image.data")}

    def outputs(self, info):
        return {"img": Output(per=("img", "pixel"), dtype="f4", store=False)}

    def process_module_data(self, block, out):
        np.multiply(block["img"], 2, out=out.img)


class ScaleTrains(Scale):
    """The same from whole trains."""

    process_module_data = Algorithm.process_module_data

    def process_train_data(self, train, out):
        out.img = 2 * train["img"]


def scaled(algorithm, scale=Scale):
    """Return the algorithms of a pass in which one reads what `Scale` makes."""
    algorithm.inputs = {"img": From("scale.img")}
    return [scale(), algorithm]


def status(field):
    """Return a memory figure of this process, such as VmHWM, in bytes."""
    with open("/proc/self/status") as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith(field))


def forget_peak():
    """Let the peak of this process's memory (VmHWM) begin anew."""
    with open("/proc/self/clear_refs", "w") as f:
        f.write("5")


class Pause(Algorithm):
    """Takes a while for each block, until a file `go` is there; touches `began` when it begins."""

    ALG_ID = "pause"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--seconds", type=float, default=1.0)
        parser.add_argument("--folder")

    def configure(self, args):
        self.seconds, self.folder = args.seconds, args.folder

    def outputs(self, info):
        return {"blocks": Output(per="run", dtype="i8", store=False)}

    def process_module_data(self, block, out):
        (Path(self.folder) / "began").touch()
        if not (Path(self.folder) / "go").exists():
            time.sleep(self.seconds)


class WithValues(Algorithm):
    """Sums the values that it was given as an option, in each frame."""

    ALG_ID = "values"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--values")

    def outputs(self, info):
        return {"sum": Output(per="img", merge="max")}

    def process_module_data(self, block, out):
        out.sum = self.values.sum()


class Noise(Algorithm):
    """Much that does not compress."""

    ALG_ID = "noise"
    inputs = {"x": Frames()}

    def outputs(self, info):
        return {"noise": Output(per="train", shape=(2**17,))}

    def process_train_data(self, train, out):
        out.noise = np.random.default_rng(int(train.id)).random(2**17)


class Picky(Average):
    """Cannot take one module of one train."""

    ALG_ID = "average"

    @classmethod
    def add_arguments(cls, parser):
        super().add_arguments(parser)
        parser.add_argument("--bad", type=int, default=0)

    def process_module_data(self, block, out):
        if block.module == 1 and block.train_ids[0] == self.options["bad"]:
            raise ZeroDivisionError("planted")
        super().process_module_data(block, out)
