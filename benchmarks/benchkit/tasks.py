"""Algorithms that only benchmarks use: a sum over whole trains, computing without end."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from dxflow import Algorithm, Frames, ModuleBlock, Output, Partial, RunInfo, Train
from dxflow.bench.peers import frame_sums


class TrainSums(Algorithm):
    """Sum each frame of whole trains, with numpy."""

    ALG_ID = "trainsums"
    HELP = "sum of each frame, from whole trains"
    inputs = {"img": Frames("image.data")}

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        """Declare the sums."""
        return {"total": Output(per="img")}

    def process_train_data(self, train: Train, out: Partial) -> None:
        """Do as `dxflow.bench.peers.train_sums` does."""
        out.total = frame_sums(train["img"])


class Busy(Algorithm):
    """Compute much more than reading takes: square roots, over and over."""

    ALG_ID = "busy"
    HELP = "square roots, over and over"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        """Declare how often."""
        parser.add_argument("--times", type=int, default=16, help="how often")

    def outputs(self, info: RunInfo) -> Mapping[str, Output]:
        """Declare one number per frame."""
        return {"last": Output(per="img")}

    def process_module_data(self, block: ModuleBlock, out: Partial) -> None:
        """Compute."""
        out.last += busy(block["img"], self.times)  # type: ignore[attr-defined]


def busy(frames: NDArray, times: int) -> NDArray:
    """Return one number per frame, after much computing."""
    last = np.zeros(len(frames))
    for n, frame in enumerate(frames):
        work = np.abs(frame)
        for _ in range(times):
            np.sqrt(work, out=work)
        last[n] = work[0, 0]
    return last


def busy_alone(share: tuple[int, int], shape: tuple[int, int], times: int) -> int:
    """Do the computing of `Busy` for some (blocks, frames in a block) on frames that are in memory already."""
    blocks, frames = share
    block = np.ones((frames, *shape), np.float32)
    for _ in range(blocks):
        busy(block, times)
    return blocks * block.nbytes
