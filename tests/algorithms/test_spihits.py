"""SpiHitFinder: the flags of EXtra-redu from the same frames; what it leaves open; in any chunks, as a selection."""

from types import SimpleNamespace

import extra_data
import extra_data.validation
import numpy as np
import pytest
from extra_redu.spi import SpiHitfinder as Reference
from hypothesis import given, settings
from hypothesis import strategies as st

import dxflow
from dxflow import Frames, Labels, PlanError
from dxflow.algorithms.spihits import SpiHitFinder, _Hits
from dxflow.simulate import Plant, Spots, make_run
from dxflow.testing import check_algorithm

PIXELS = 65536
OPTIONS = {
    "mode": st.sampled_from(["adaptive", "fixed"]),
    "snr": st.sampled_from([1.0, 2.5, 4.0]),
    "min_scores": st.sampled_from([1, 7, 30, 100]),
    "lqr": st.booleans(),
    "fixed_threshold": st.sampled_from([900.0, 1100.0]),
    "xgm_norm": st.booleans(),
    "miss_fraction": st.sampled_from([0.2, 1.0]),
    "miss_fraction_abs": st.sampled_from([0.01, 0.2]),
}


class Energies:
    """What EXtra-redu asks for energies."""

    def __init__(self, energy):
        self.energy = energy

    def get_array(self, *_):
        return self.energy


class Pixels:
    """What EXtra-redu reads of lit pixels."""

    def __init__(self, counts, first, lit, good):
        self.count, self.train_ids = counts, [first + n for n in range(len(counts))]
        self.first = np.cumsum(counts) - counts
        self.trainId = np.repeat(self.train_ids, counts)
        self.pulseId = np.arange(len(self.trainId))
        self.num_events, self.num_sources = len(self.trainId), lit.shape[1]
        self._of = {"litPixels": lit, "unmaskedPixels": good}

    def __getitem__(self, key):
        return SimpleNamespace(ndarray=lambda modules, fill_value: self._of[key][:, modules])


@settings(deadline=None, max_examples=60)
@given(
    data=st.data(),
    seed=st.integers(0, 2**31),
    options=st.fixed_dictionaries(OPTIONS),
    with_energy=st.booleans(),
)
def test_flags_and_thresholds_are_those_of_extra_redu(data, seed, options, with_energy):
    rng = np.random.default_rng(seed)
    counts = np.array(data.draw(st.lists(st.integers(1, 20), min_size=3, max_size=40)))
    n = int(counts.sum())
    good = rng.integers(60000, PIXELS + 1, (n, 2))
    lit = rng.poisson(500, (n, 2)) + (rng.random(n) < 0.15)[:, None] * rng.integers(0, 900, (n, 2))
    energy = rng.normal(1000, 400, n) if with_energy else None
    theirs = Reference(
        modules=[0, 1], hitrate_window_size=10, xgm_min=200, num_px_per_module=PIXELS, **options
    )
    ours = SpiHitFinder(hitrate_window=10, xgm_min=200, **options)
    found = _Hits(ours, np.repeat(7001 + np.arange(len(counts)), counts), energy)
    found.find(lit.sum(axis=1) / good.sum(axis=1) * 2 * PIXELS)
    assert not (found.selected & ~(np.ones(n, bool) if energy is None else energy > 200)).any()
    try:
        theirs.find_hits(Pixels(counts, 7001, lit, good), None if energy is None else Energies(energy))
    except (ValueError, IndexError):
        # It cannot draw misses where there are none, or fewer, nor find quartiles without scores.
        return
    np.testing.assert_array_equal(found.score, theirs.hitscore)
    np.testing.assert_array_equal(found.threshold, theirs.threshold)
    np.testing.assert_array_equal(found.hit, theirs.hit_mask)
    np.testing.assert_allclose(found.hit_rate_smooth, theirs.hitrate_smooth, atol=1e-12)
    np.testing.assert_array_equal(found.miss, theirs.miss_mask)
    np.testing.assert_array_equal(found.selected, theirs.data_mask)


@pytest.fixture(scope="module")
def spi(tmp_path_factory):
    plant = Plant(empty_trains=(3,), lost_trains={1: (2, 5)})
    return make_run(
        tmp_path_factory.mktemp("spi") / "r0001",
        trains=20,
        pulses=8,
        modules=4,
        module_shape=(16, 16),
        signal=Spots(count=30, hit_rate=0.25),
        plant=plant,
        seed=5,
    )


IMG = Frames(modules=(1, 2), mask=None)


def test_hits_of_a_run_are_found_from_its_frames(spi):
    result = dxflow.reduce(
        spi.path, SpiHitFinder(img=IMG, min_scores=20, snr=0.5), cluster="here", on_fault="mask"
    )
    data = result.dataset
    frames = (
        dxflow.reduce(spi.path, Stack(img=IMG), cluster="here", on_fault="mask").dataset["stack.img"].values
    )
    there = np.isfinite(frames).all(axis=(2, 3))
    np.testing.assert_array_equal(
        data["spihits.lit_pixels"].values, (np.nan_to_num(frames) > 0.7).sum(axis=(2, 3))
    )
    np.testing.assert_array_equal(data["spihits.unmasked_pixels"].values, there * 256)
    counts = np.unique(data["train_id"].values, return_counts=True)[1]
    theirs = Reference(modules=[0, 1], min_scores=20, snr=0.5, num_px_per_module=256)
    lit, good = data["spihits.lit_pixels"].values, data["spihits.unmasked_pixels"].values
    theirs.find_hits(Pixels(counts, int(data["train_id"].values[0]), lit, good))
    np.testing.assert_array_equal(data["spihits.hit"].values, theirs.hit_mask)
    assert 0 < theirs.hit_mask.sum() < len(theirs.hit_mask) / 2
    np.testing.assert_array_equal(data["spihits.miss"].values, theirs.miss_mask)
    has = np.isin(data["train"].values, data["train_id"].values)
    np.testing.assert_allclose(data["spihits.threshold"].values[has], theirs.threshold)
    assert np.isnan(data["spihits.threshold"].values[~has]).all()


class Stack(dxflow.Algorithm):
    """The frames themselves."""

    ALG_ID = "stack"
    inputs = {"img": IMG}

    def outputs(self, info):
        return {"img": dxflow.Output(per=("img", "pixel"), dtype="f8")}

    def process_module_data(self, block, out):
        out.img = block["img"]


def test_any_chunks_give_the_same_and_a_later_pass_takes_the_frames(spi):
    found = check_algorithm(lambda: SpiHitFinder(img=IMG, min_scores=20), spi.path, on_fault="mask")
    kept = dxflow.reduce(spi.path, Stack(img=IMG), cluster="here", on_fault="mask", frames=found).dataset
    chosen = found.dataset["spihits.selected"].values
    np.testing.assert_array_equal(kept["pulse_id"].values, found.dataset["pulse_id"].values[chosen])


def test_energies_are_taken_from_an_earlier_result_and_lacking_ones_are_no_hits(spi):
    plain = dxflow.reduce(
        spi.path, SpiHitFinder(img=IMG, min_scores=20), cluster="here", on_fault="mask"
    ).dataset
    energy = plain["spihits.score"].astype("f8") * 0 + 1000
    energy[::3] = np.nan
    energy[1::3] = 100
    finder = SpiHitFinder(img=IMG, energy=Labels(energy), min_scores=20, mode="fixed", fixed_threshold=-1)
    data = dxflow.reduce(spi.path, finder, cluster="here", on_fault="mask").dataset
    hits = data["spihits.hit"].values
    assert hits[2::3].all()
    assert not hits[::3].any()
    assert not hits[1::3].any()
    assert not data["spihits.miss"].values.any()


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"miss_fraction": -1}, "expected a share"),
        ({"miss_fraction_abs": 2}, "expected a share"),
        ({"min_scores": 0}, "at least 1"),
        ({"hitrate_window": 0}, "at least 1"),
    ],
)
def test_options_that_mean_nothing_are_refused(options, says):
    with pytest.raises(ValueError, match=says):
        SpiHitFinder(**options)


def test_raw_counts_need_a_threshold_and_energies_one_value_per_frame(spi):
    with pytest.raises(PlanError, match="give threshold="):
        dxflow.plan(spi.path, SpiHitFinder(img=Frames("image.gain", modules=(0, 1))), on_fault="mask")
    motor = dxflow.Key(spi.devices["motor"], "actualPosition.value")
    with pytest.raises(PlanError, match="not one value per frame"):
        dxflow.plan(spi.path, SpiHitFinder(img=IMG, energy=motor), on_fault="mask")


def test_files_have_the_layout_that_extra_redu_reads(spi, tmp_path):
    finder = SpiHitFinder(img=IMG, min_scores=20, snr=0.5)
    result = dxflow.reduce(spi.path, finder, f"{tmp_path / 'spi'}/", cluster="here", on_fault="mask")
    data = dxflow.reduce(
        spi.path, SpiHitFinder(img=IMG, min_scores=20, snr=0.5), cluster="here", on_fault="mask"
    ).dataset
    run = extra_data.RunDirectory(result.path)
    name = spi.detector
    theirs = Reference.from_datacollection(run, f"{name}/REDU/SPI_HITFINDER")
    np.testing.assert_array_equal(theirs.hitscore, data["spihits.score"])
    np.testing.assert_array_equal(theirs.hit_mask, data["spihits.hit"])
    np.testing.assert_array_equal(theirs.miss_mask, data["spihits.miss"])
    np.testing.assert_array_equal(theirs.data_mask, data["spihits.selected"])
    np.testing.assert_array_equal(theirs.trainId, data["train_id"])
    np.testing.assert_array_equal(theirs.pulseId, data["pulse_id"])
    assert (theirs.modules, theirs.mode, theirs.snr, theirs.min_scores) == ([1, 2], "adaptive", 0.5, 20)
    counter = run[f"{name}/REDU/LITPX_COUNTER:output"]
    np.testing.assert_array_equal(counter["data.litPixels"].ndarray(), data["spihits.lit_pixels"])
    np.testing.assert_array_equal(counter["data.unmaskedPixels"].ndarray(), data["spihits.unmasked_pixels"])
    np.testing.assert_array_equal(
        counter["data.totalIntensity"].ndarray(), data["spihits.intensity"].astype("i8")
    )
    np.testing.assert_array_equal(counter["data.pulseId"].ndarray(), data["pulse_id"])
    FileValidator = extra_data.validation.FileValidator
    for file in sorted(result.path.glob("*.h5")):
        assert not FileValidator(extra_data.FileAccess(file)).run_checks()
