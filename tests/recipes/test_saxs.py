"""The recipe on small runs, against what numpy makes of the same files and what was planted."""

from pathlib import Path

import extra_data
import numpy as np
import programs
import pytest
import xarray as xr

from dxflow.analysis.plots.images import assemble
from dxflow.commands import main as cli
from dxflow.recipes.saxs import Saxs
from dxflow.simulate import Flat, Plant, PowderRings, make_run

SIZE = {"detector": "AGIPD500K", "trains": 6, "pulses": 4, "module_shape": (16, 16), "devices": ()}
COMMON = {**SIZE, "data": "raw", "bad_pixels": 0.0}
RINGS = PowderRings(q=(0.8, 1.4), photons=(5.0, 3.0), background=0.5)
NBINS = 40


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A dark run and a data run of the same detector."""
    folder = tmp_path_factory.mktemp("raw")
    dark = make_run(folder / "r0001", signal=Flat(0.0), lit="none", **COMMON)
    data = make_run(folder / "r0002", signal=RINGS, lit=0.5, first_train=20001, **COMMON)
    return dark, data


def line(runs, to, *more):
    """The command line of the recipe."""
    dark, data = runs
    return [
        *(dark.path, data.path, "--to", str(to), "--geometry", f"{data.path}/geometry.npy"),
        *("--distance", str(data.distance), "--energy", str(data.photon_energy), "--nbins", str(NBINS)),
        *("--threshold", f"{0.67 * data.adu_per_photon[0]}", "--cluster", "here", *more),
    ]


@pytest.fixture(scope="module")
def made(runs, tmp_path_factory):
    return Saxs.of_line(line(runs, tmp_path_factory.mktemp("saxs"))).run()


def frames(run):
    """Raw frames of a run as numbers, (train, pulse, module, ss, fs)."""

    opened = extra_data.RunDirectory(run.path)
    raw = np.stack([opened[s, "image.data"].ndarray()[:, 0] for s in run.sources], axis=1)
    return raw.reshape(len(run.train_ids), -1, *raw.shape[1:]).astype("f8")


@pytest.fixture(scope="module")
def subtracted(runs):
    """Frames minus the mean dark of their cell, which is their pulse here, (frame, module, ss, fs)."""
    dark, data = (frames(run) for run in runs)
    return (data - dark.mean(axis=0)).reshape(-1, *data.shape[2:])


def test_the_dark_is_the_mean_of_each_memory_cell(made, runs):
    dark = frames(runs[0])
    result = made.results["dark"].dataset
    np.testing.assert_allclose(result["average.mean"].transpose("cell", ...), dark.mean(axis=0))
    np.testing.assert_allclose(result["average.variance"].transpose("cell", ...), dark.var(axis=0, ddof=1))


def test_mean_and_variance_are_those_of_subtracted_frames(made, subtracted):
    result = made.results["data"].dataset
    np.testing.assert_allclose(result["average.mean"], subtracted.mean(axis=0), atol=1e-3)
    np.testing.assert_allclose(
        result["average.variance"], subtracted.var(axis=0, ddof=1), rtol=1e-4, atol=1e-3
    )


def test_the_mean_of_lit_frames_is_theirs(made, runs, subtracted):
    lit = made.results["lit"].dataset
    np.testing.assert_allclose(lit["average.mean"], subtracted[runs[1].lit].mean(axis=0), atol=1e-3)
    assert int(lit["average.count"].max()) == runs[1].lit.sum()


def test_selections_of_trains_are_of_the_data_run_alone(runs, tmp_path):
    more = ["--trains", "20001:20003", "--frames", "pulses=0:8", "--modules", "0-3"]
    made = Saxs.of_line(line(runs, tmp_path, *more)).run()
    assert (
        made.results["data"].dataset["litframes.lit"].sizes["frame"]
        == made.results["data"].account["used"].max()
    )
    assert set(np.unique(made.results["data"].dataset["litframes.lit"].train_id)) == {20001, 20002}
    assert made.results["dark"].account["used"].max() == 6 * 2
    assert made.results["data"].dataset["average.mean"].sizes["module"] == 4


def test_the_mean_is_the_planted_signal_within_its_noise(made, runs):
    data = runs[1]
    photons = made.results["data"].dataset["average.mean"].values / data.adu_per_photon[0]
    error = (photons - data.mean()) / np.sqrt((data.mean() + 2 * data.noise**2) / len(data.lit))
    assert abs(error.mean()) < 0.1
    assert 0.7 < error.std() < 1.3


def test_each_frame_is_integrated_over_equal_q(made, runs, subtracted):
    q, azint = runs[1].q(), made.results["data"].dataset["azint.intensity"]
    x, y, z = np.moveaxis(runs[1].positions, -1, 0)
    z = z + runs[1].distance
    weight = (z / np.sqrt(x**2 + y**2 + z**2)) ** 3
    edges = np.linspace(q.min(), q.max(), NBINS + 1)
    number = np.clip(np.digitize(q, edges) - 1, 0, NBINS - 1).ravel()
    sums = np.stack([np.bincount(number, frame.ravel(), NBINS) for frame in subtracted])
    norm = np.bincount(number, weight.ravel(), NBINS)
    filled = norm > 0
    np.testing.assert_allclose(
        azint.values[:, filled], (sums / np.maximum(norm, 1e-9))[:, filled], rtol=1e-3, atol=0.05
    )
    assert np.isnan(azint.values[:, ~filled]).all()
    np.testing.assert_allclose(azint.coords["q"], (edges[1:] + edges[:-1]) / 2)


def test_rings_are_where_they_were_planted(made):
    mean = made.results["data"].dataset["azint.mean"]
    for q in RINGS.q:
        near = mean.where(abs(mean.coords["q"] - q) < 0.25)
        assert abs(float(near.idxmax()) - q) < 0.06


def test_lit_frames_are_those_with_x_rays(made, runs):
    np.testing.assert_array_equal(made.results["data"].dataset["litframes.lit"], runs[1].lit)
    np.testing.assert_array_equal(made.results["data"].selection(), runs[1].lit)


def test_each_run_is_read_once(made, runs):
    assert made.results["data"].manifest["times"]["bytes"] == frames(runs[1]).size * 2
    assert made.results["data"].losses.empty


def test_the_plot_is_a_picture_with_something_in_it(made):
    from matplotlib.image import imread

    picture = imread(made.folder / "saxs.png")
    assert min(picture.shape[:2]) > 500
    assert picture[..., :3].std() > 0.1


def test_the_summary_says_what_was_read_and_where_the_results_are(made):
    shown = made.report()
    assert shown.count("read  ") == 3
    assert "lost     nothing" in shown
    assert str(made.results["data"].path) in shown
    assert f"plot     {made.folder}/saxs.png" in shown


def test_the_recipe_runs_from_the_command_line_and_refuses_to_overwrite(runs, tmp_path, capsys):
    assert cli.main(["recipe", "saxs", *line(runs, tmp_path)]) == 0
    assert (tmp_path / "saxs.png").exists()
    assert cli.main(["recipe", "saxs", *line(runs, tmp_path)]) == 2
    assert "dark.zarr exists" in capsys.readouterr().err
    assert cli.main(["recipe", "saxs", *line(runs, tmp_path, "--overwrite")]) == 0


def test_the_recipe_runs_as_a_script_on_worker_processes(runs, made, tmp_path):
    script = Path(__file__).parent.parent.parent / "recipes" / "saxs.py"
    words = line(runs, tmp_path, "--cluster", "local", "--workers", "1")
    done = programs.run(script, *words, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    result = xr.open_zarr(tmp_path / "data.zarr", chunks=None)
    assert result.equals(made.results["data"].dataset)


def test_a_run_that_does_not_exist_is_one_message(runs, tmp_path, capsys):
    words = line(runs, tmp_path)
    assert cli.main(["recipe", "saxs", "/no/such/run", *words[1:]]) == 2
    assert "no such run: /no/such/run" in capsys.readouterr().err


def test_a_run_with_a_missing_module_is_reduced_if_faults_are_masked(tmp_path):
    plant = Plant(missing_modules=(3,))
    dark = make_run(tmp_path / "r1", signal=Flat(0.0), plant=plant, **COMMON)
    data = make_run(tmp_path / "r2", signal=RINGS, first_train=20001, plant=plant, **COMMON)
    made = Saxs.of_line(line((dark, data), tmp_path, "--on-fault", "mask")).run()
    assert np.isnan(made.results["data"].dataset["average.mean"].values[3]).all()
    assert np.isfinite(np.delete(made.results["data"].dataset["average.mean"].values, 3, axis=0)).all()
    assert set(made.results["data"].losses["module"]) == {3}


def reduced(dark, data, to):
    """What comes of the runs that EXtra-data makes for its own tests: two pulses of a real AGIPD."""
    from extra_geom import AGIPD_1MGeometry

    given = {"geometry": AGIPD_1MGeometry.example(), "distance": 5.0, "energy": 9.0, "threshold": 30.0}
    of_pass = {"frames": ["pulses=0:2"], "cluster": "here", "on_fault": "mask"}
    return Saxs(dark_run=dark, data_run=data, to=to, **given, **of_pass).run()


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """An example run of EXtra-data, with numbers in two frames of the first two trains, which it leaves empty."""
    import h5py
    from extra_data.tests.make_examples import make_spb_run

    folder = tmp_path_factory.mktemp("example")
    make_spb_run(str(folder))
    for module in range(16):
        with h5py.File(folder / f"RAW-R0238-AGIPD{module:02}-S00000.h5", "r+") as file:
            frames = file[f"INSTRUMENT/SPB_DET_AGIPD1M-1/DET/{module}CH0:xtdf/image/data"]
            for pulse in (0, 1):
                frames[pulse] = 100 + pulse
                frames[64 + pulse] = 200 + 3 * pulse + module
    return folder


def test_the_example_run_of_extra_data_is_reduced(example, tmp_path):
    run = extra_data.RunDirectory(example)
    made = reduced(run.select_trains(np.s_[:1]), run.select_trains(np.s_[1:2]), tmp_path)
    result = made.results["data"].dataset
    np.testing.assert_allclose(result["average.mean"].mean(["ss", "fs"]), 101 + np.arange(16))
    np.testing.assert_allclose(result["average.variance"].max(), 2)
    assert result["azint.intensity"].shape == (2, 500)
    assert result["litframes.lit"].values.all()
    assert made.results["data"].losses.empty


def test_one_file_alone_is_reduced(example, tmp_path):
    file = extra_data.H5File(example / "RAW-R0238-AGIPD05-S00000.h5")
    made = reduced(file.select_trains(np.s_[:1]), file.select_trains(np.s_[1:2]), tmp_path)
    mean = made.results["data"].dataset["average.mean"]
    assert mean["module"].values.tolist() == [5]
    np.testing.assert_allclose(mean[0], 106)


def test_an_example_run_in_which_nothing_was_written_is_all_losses_and_still_plotted(example, tmp_path):
    run = extra_data.RunDirectory(example).select_trains(np.s_[5:6])
    made = reduced(run, run, tmp_path)
    assert np.isnan(made.results["data"].dataset["average.mean"]).all()
    assert set(made.results["data"].losses["cause"]) == {"never written"}
    assert (made.folder / "saxs.png").exists()


def test_assembling_puts_each_pixel_where_it_is():
    y, x = np.mgrid[0:4, 0:6] * 1e-3
    left = np.stack([x, y, np.ones_like(x)], axis=-1)
    positions = np.stack([left, left + [8e-3, 0, 0]])
    image = np.arange(48.0).reshape(2, 4, 6)
    assembled, (start, stop, bottom, top) = assemble(image, positions)
    assert np.nanmin(assembled) == 0
    assert np.nanmax(assembled) == 47
    assert sorted(assembled[np.isfinite(assembled)]) == list(range(48))
    assert start < 0 < 13 < stop
    assert bottom < 0 < 3 < top
    assert np.nanmean(assembled[:, -2:]) > np.nanmean(assembled[:, :2])
