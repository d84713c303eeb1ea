"""The recipe on small runs with spheres: hits as planted, what is copied, what is said where something is missing."""

import shutil

import numpy as np
import pytest
from extra_data import FileAccess, RunDirectory
from extra_data.validation import FileValidator
from extra_redu.spi import SpiHitfinder as Reference
from matplotlib.image import imread
from runs import make_run

from dxflow import PlanError
from dxflow.recipes.spi import Spi
from dxflow.simulate import Flat, Plant, SphereFormFactor

SIZE = {"detector": "AGIPD500K", "pulses": 8, "module_shape": (64, 32)}
SPHERES = SphereFormFactor(hit_rate=0.15)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Every second frame is lit; a module lacks a train, another is missing."""
    plant = Plant(lost_trains={3: (0,)}, missing_modules=(6,))
    folder = tmp_path_factory.mktemp("spi")
    return make_run(folder / "r0001", trains=40, lit=0.5, signal=SPHERES, plant=plant, **SIZE)


def spi(truth, to, **options):
    return Spi(run=truth.path, to=str(to), cluster="here", quiet=True, on_fault="mask", **options)


@pytest.fixture(scope="module")
def made(run, tmp_path_factory):
    return spi(run, tmp_path_factory.mktemp("made") / "out").run()


def test_the_hits_are_those_that_were_planted(run, made):
    data = made.results["hits"].dataset
    np.testing.assert_array_equal(data["pulse_id"], run.pulse_ids[run.lit])
    np.testing.assert_array_equal(data["spihits.hit"], run.hits[run.lit])
    assert 15 < run.hits.sum() < run.lit.sum() / 4


def test_the_copy_has_the_hits_and_as_many_misses_and_nothing_else(run, made):
    data = made.results["hits"].dataset
    chosen = data["spihits.selected"].values
    assert chosen.sum() == pytest.approx(2 * run.hits.sum(), abs=1)
    copied = RunDirectory(str(made.folder / "selected"))[run.sources[0]]
    for key, name in (("image.trainId", "train_id"), ("image.pulseId", "pulse_id")):
        np.testing.assert_array_equal(np.ravel(copied[key].ndarray()), data[name].values[chosen])
    assert made.copies["selected"].after < made.copies["selected"].before


def test_the_report_says_how_many_there_are_and_what_is_next(run, made):
    shown = made.report()
    assert f"hits     {run.hits.sum()} of {run.lit.sum()} frames, and " in shown
    assert f"next     see in {made.folder / 'spi.png'}" in shown
    assert "energies" not in shown
    assert len(np.unique(imread(made.folder / "spi.png").reshape(-1, 4), axis=0)) > 100


def test_what_is_there_is_kept_and_an_interrupted_recipe_goes_on(run, made):
    with pytest.raises(PlanError, match=r"lit.zarr exists: .*overwrite=True"):
        spi(run, made.folder).run()
    again = spi(run, made.folder, resume=True).run()
    assert again.copies == {}
    assert "dxflow reduce" in again.report()


def test_as_files_of_the_facility_with_the_layouts_of_extra_redu(run, made, tmp_path):
    spi(run, tmp_path, exdf=True, no_copy=True).run()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["hits", "lit", "spi.png"]
    lit, hits = (RunDirectory(str(tmp_path / name)) for name in ("lit", "hits"))
    assert any(name.endswith("/REDU/LITFRM:output") for name in lit.instrument_sources)
    theirs = Reference.from_datacollection(hits, f"{run.detector}/REDU/SPI_HITFINDER")
    ours = made.results["hits"].dataset
    np.testing.assert_array_equal(theirs.hit_mask, ours["spihits.hit"])
    np.testing.assert_array_equal(theirs.miss_mask, ours["spihits.miss"])
    counted = hits[f"{run.detector}/REDU/LITPX_COUNTER:output", "data.litPixels"].ndarray()
    np.testing.assert_array_equal(counted, ours["spihits.lit_pixels"])
    for file in (*(tmp_path / "lit").glob("*.h5"), *(tmp_path / "hits").glob("*.h5")):
        assert not FileValidator(FileAccess(file)).run_checks()


def test_chosen_modules_are_scored_and_all_are_copied(run, tmp_path):
    bright = np.argsort(run.expected.mean(axis=(1, 2)))[-3:]
    modules = tuple(sorted(run.module_numbers[bright].tolist()))
    near = spi(run, tmp_path, modules=modules).run()
    assert near.results["hits"].dataset["chosen"].values.tolist() == list(modules)
    assert set(RunDirectory(str(tmp_path / "selected")).instrument_sources) >= set(run.sources)
    np.testing.assert_array_equal(near.results["hits"].dataset["spihits.hit"], run.hits[run.lit])


# Where something is missing -----------------------------------------------------------------------


def test_without_gas_monitor_scores_are_as_they_were_counted_and_that_is_said(tmp_path):
    truth = make_run(
        tmp_path / "r",
        trains=30,
        signal=SPHERES,
        energy_spread=0,
        devices=("timeserver", "litframes"),
        **SIZE,
    )
    found = spi(truth, tmp_path / "out").run()
    np.testing.assert_array_equal(found.results["hits"].dataset["spihits.hit"], truth.hits)
    assert "note     no energies of pulses are known: scores are as they were counted" in found.report()


def test_without_time_server_it_is_said_how_to_go_on(tmp_path):
    truth = make_run(tmp_path / "r", trains=30, signal=SPHERES, energy_spread=0, devices=("xgm",), **SIZE)
    with pytest.raises(PlanError, match=r"no time server") as raised:
        spi(truth, tmp_path / "a").run()
    assert raised.value.__notes__ == ["--all-frames scores all frames, lit or not"]
    found = spi(truth, tmp_path / "b", all_frames=True).run()
    np.testing.assert_array_equal(found.results["hits"].dataset["spihits.hit"], truth.hits)


def test_a_dark_run_is_refused(tmp_path):
    truth = make_run(tmp_path / "r", trains=4, signal=Flat(0), lit="none", **SIZE)
    with pytest.raises(PlanError, match=r"no frame of .* is lit"):
        spi(truth, tmp_path / "out").run()


def test_a_run_without_hits_is_no_error(run, tmp_path):
    none = spi(run, tmp_path, snr=1e6).run()
    assert "hits     0 of 160 frames" in none.report()
    assert not (tmp_path / "selected").exists()
    assert (tmp_path / "spi.png").is_file()


def test_a_copy_of_earlier_hits_is_not_taken_for_one_of_these(run, made, tmp_path):
    shutil.copytree(made.folder, tmp_path / "out")
    shown = spi(run, tmp_path / "out", snr=30, no_copy=True, overwrite=True).run().report()
    assert "is a run of its own" not in shown
    assert f"note     {tmp_path}/out/selected was there before, and may be of other results" in shown
    assert "was there before" not in made.report()
    none = spi(run, tmp_path / "out", snr=1e6, overwrite=True).run()
    assert "selected was there before" in none.report()
