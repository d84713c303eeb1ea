"""Bursts: whole ASICs or modules jump, as often and as long as they should, and only in corrected data."""

import numpy as np
import pytest
from runs import make_run

import dxflow
from dxflow.simulate import Bursts, Flat, Plant


def test_bursts_begin_as_often_as_said_and_last_as_long():
    bursts = Bursts(rate=0.02, photons=2, frames=3, asic=(8, 8))
    frames = np.stack([bursts.image((32, 16), pulse, 1, 0, 10001) for pulse in range(3000)])
    asics = frames.reshape(-1, 4, 8, 2, 8)
    assert np.ptp(asics, axis=(2, 4)).max() == 0
    up = asics[:, :, 0, :, 0] > 0
    assert up[2:].mean() == pytest.approx(1 - 0.98**3, rel=0.1)
    alone = Bursts(rate=0.001, frames=1)
    heights = np.array([alone.image((4, 4), pulse, 1, 0, 10001)[0, 0] for pulse in range(5000)])
    assert ((heights == 0) | ((heights >= 1.5) & (heights <= 4.5))).all()


def test_they_are_in_the_files_and_the_same_again(tmp_path):
    bursts = Bursts(rate=0.2, photons=5, asic=(8, 8))
    options = {
        "detector": "AGIPD500K",
        "modules": 1,
        "module_shape": (16, 16),
        "trains": 3,
        "signal": Flat(0),
    }
    plain = make_run(tmp_path / "plain", **options)
    truth = make_run(tmp_path / "bursts", plant=Plant(bursts=bursts), **options)
    assert truth.planted["bursts"]["rate"] == 0.2
    frames = [_frames(t.path) for t in (plain, truth)]
    good = ~truth.bad_pixels[0]
    for n, (train, pulse) in enumerate(zip(truth.frame_train_ids, truth.cell_ids, strict=True)):
        jump = bursts.image((16, 16), int(pulse), 0, 0, int(train))
        np.testing.assert_allclose((frames[1] - frames[0])[n][good], jump[good], atol=1e-5)


def _frames(path):
    import extra_data

    run = extra_data.RunDirectory(path)
    (source,) = (s for s in run.instrument_sources if "CORR" in s and s not in run.legacy_sources)
    return run[source, "image.data"].ndarray()


def test_bursts_of_raw_data_or_of_no_length_are_refused(tmp_path):
    with pytest.raises(ValueError, match="corrected data"):
        dxflow.simulate.make_run(tmp_path / "raw", data="raw", plant=Plant(bursts=Bursts()))
    with pytest.raises(ValueError, match="last 1 or more"):
        Bursts(frames=0)
