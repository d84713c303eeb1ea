"""Raw data whose pixels differ and move together: what is drawn is what the truth says."""

import numpy as np
import oracle
import pytest
from extra_data import RunDirectory

from dxflow.simulate import Electronics, Flat, Truth, make_run
from dxflow.simulate.detect import Cause
from dxflow.simulate.detectors import kind
from dxflow.simulate.electronics import LEVEL_NOISE, jumps

SMALL = {"detector": "AGIPD500K", "data": "raw", "modules": 2, "module_shape": (16, 24), "pulses": 3}


def simulated(folder, **options):
    own = options.pop("electronics", {})
    truth = make_run(folder, **{**SMALL, "signal": Flat(0), "electronics": Electronics(**own)} | options)
    return truth, oracle.frames(truth.path, truth.sources, truth.key)[1]


@pytest.mark.parametrize("stage", ["high", "medium", "low"])
def test_offsets_noise_and_levels_are_those_of_the_truth(tmp_path, stage):
    truth, frames = simulated(tmp_path / "r", trains=40, electronics={"stage": stage})
    number = ["high", "medium", "low"].index(stage)
    good = truth.cause == 0
    for cell in range(3):
        mine = frames[truth.cell_ids == cell]
        error = truth.noise_adu / np.sqrt(len(mine))
        pull = ((mine[:, :, 0].mean(axis=0) - truth.offset[number, cell]) / error)[good]
        assert abs(pull.mean()) < 4 / np.sqrt(pull.size)
        assert pull.std() == pytest.approx(1, abs=0.08)
        levels = mine[:, :, 1].mean(axis=0) - truth.gain_level[number, cell]
        assert levels[good].std() == pytest.approx(LEVEL_NOISE / np.sqrt(len(mine)), rel=0.15)
    assert (frames[:, :, 0].std(axis=0)[good] / truth.noise_adu[good]).mean() > 0.9


def test_the_same_seed_has_the_same_pixels_in_every_stage_and_with_fewer_cells(tmp_path):
    high, _ = simulated(tmp_path / "high", trains=1, electronics={"stage": "high"})
    low, _ = simulated(tmp_path / "low", trains=1, pulses=2, electronics={"stage": "low"})
    for name in ("offset", "gain_level"):
        np.testing.assert_array_equal(getattr(high, name)[:, :2], getattr(low, name))
    np.testing.assert_array_equal(high.gain_adu, low.gain_adu)
    np.testing.assert_array_equal(Truth.load(high.path).offset, high.offset)


def test_asics_and_rows_jump_together(tmp_path):
    truth, frames = simulated(
        tmp_path / "r",
        trains=2,
        bad_pixels=0,
        noise=0.02,
        module_shape=(70, 80),
        modules=1,
        electronics={"asic_jumps": 30.0, "row_jumps": 10.0},
    )
    for frame in range(len(frames)):
        ids = 0, 0, int(truth.frame_train_ids[frame]), int(truth.cell_ids[frame])
        jump = jumps(Electronics(asic_jumps=30.0, row_jumps=10.0), kind("AGIPD500K"), (70, 80), *ids)
        rest = frames[frame, 0, 0] - truth.offset[0, truth.cell_ids[frame], 0] - jump
        assert rest.std() == pytest.approx(np.sqrt(truth.noise_adu**2 + 1 / 12).mean(), rel=0.1)
        assert len(np.unique(jump[3].round(6))) == 2
        assert len(np.unique(jump[:, 3].round(6))) == 70


def test_pixels_switch_gain_with_their_photons(tmp_path):
    truth, frames = simulated(
        tmp_path / "r", trains=6, signal=Flat(200), energy_spread=0, bad_pixels=0, electronics={}
    )
    photons = (frames[:, :, 0] - truth.offset[1][truth.cell_ids]) / truth.gain_adu[1]
    assert photons.mean() == pytest.approx(200, rel=0.01)
    assert (np.abs(frames[:, :, 1] - truth.gain_level[1][truth.cell_ids]) < 6 * LEVEL_NOISE).all()


def test_bad_pixels_have_their_causes(tmp_path):
    truth, frames = simulated(
        tmp_path / "r",
        trains=30,
        bad_pixels=0.1,
        electronics={"stage": "medium", "noisy": 0.05, "stuck": 0.05},
    )
    cause, values, levels = truth.cause, frames[:, :, 0], frames[:, :, 1]
    assert (values[:, cause & Cause.DEAD > 0] == 0).all()
    assert (values[:, cause & Cause.HOT > 0] == 2**14 - 1).all()
    noise = np.median(truth.noise_adu[cause == 0])
    spread = (values - truth.offset[1][truth.cell_ids]).std(axis=0)
    assert (spread[cause == Cause.NOISY] > 4 * noise).all()
    assert levels[:, cause & Cause.STUCK > 0].mean() == pytest.approx(6000, abs=50)
    assert {int(c) for c in np.unique(cause)} >= {0, 1, 2, 4, 8}


def test_what_makes_no_sense_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no gain stage 'middle'; known: auto, high"):
        Electronics(stage="middle")
    with pytest.raises(ValueError, match="noisy must be a share"):
        Electronics(noisy=2)
    with pytest.raises(ValueError, match="DSSC1M has no low gain, only high"):
        make_run(tmp_path / "a", **{**SMALL, "detector": "DSSC1M"}, electronics=Electronics(stage="low"))
    with pytest.raises(ValueError, match="electronics are of raw data"):
        make_run(tmp_path / "b", **{**SMALL, "data": "corr"}, electronics=Electronics())


@pytest.mark.parametrize(("name", "stages"), [("LPD1M", 3), ("DSSC1M", 1), ("JUNGFRAU", 3)])
def test_other_detectors_record_their_stage(tmp_path, name, stages):
    own = Electronics(stage="medium" if stages > 1 else "high")
    options = {**SMALL, "detector": name, "trains": 3, "bad_pixels": 0, "signal": Flat(0)}
    truth = make_run(tmp_path / "r", **options, electronics=own)
    assert truth.offset.shape[0] == stages
    source = RunDirectory(truth.path)[truth.sources[0]]
    if name == "LPD1M":
        assert (source[truth.key].ndarray() >> 12 == 1).all()
    if name == "JUNGFRAU":
        assert (source["data.gain"].ndarray() == 1).all()
