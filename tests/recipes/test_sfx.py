"""The recipe on small runs, against what was planted, and as CrystFEL would read what it writes."""

from types import SimpleNamespace

import h5py
import numpy as np
import pytest
from extra_data import RunDirectory
from matplotlib.image import imread
from runs import make_run

import dxflow
from dxflow import PlanError, geometry
from dxflow.algorithms.average import Average
from dxflow.recipes.sfx import Sfx
from dxflow.simulate import Flat, Plant, Spots

SIZE = {"detector": "AGIPD500K", "pulses": 4, "module_shape": (64, 32)}
SPOTS = Spots(count=20, photons=400, hit_rate=0.4)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A corrected run whose first train is missing in one module."""
    plant = Plant(lost_trains={3: (0,)})
    return make_run(tmp_path_factory.mktemp("sfx") / "r0001", trains=9, signal=SPOTS, plant=plant, **SIZE)


def sfx(truth, to, **options):
    given = {"min_peaks": 8, "touching": True, "cluster": "here", "on_fault": "mask"}
    return Sfx(run=truth.path, to=str(to), geometry=f"{truth.path}/geometry.npy", **given, **options)


@pytest.fixture(scope="module")
def made(run, tmp_path_factory):
    return sfx(run, tmp_path_factory.mktemp("made") / "out").run()


def test_the_hits_are_those_that_were_planted(run, made):
    np.testing.assert_array_equal(made.results["peaks"].dataset["peaks.hit"], run.hits)
    assert 0 < run.hits.sum() < len(run.hits)


def test_the_copy_has_the_hits_and_nothing_else(run, made):
    source = run.sources[0]
    ids = RunDirectory(str(made.folder / "hits"))[source, "image.pulseId"].xarray().values
    assert len(ids) == run.hits.sum()
    np.testing.assert_array_equal(np.ravel(ids), run.pulse_ids[run.hits])
    assert made.copies["hits"].ratio < 1


def test_panels_and_events_find_the_planted_peaks_in_the_file(run, made):
    """As CrystFEL does: an event is a line of images and lists; a panel is where fs and ss of the image fall into."""
    panels = read_panels(made.folder / "hits.geom")
    hits = np.flatnonzero(run.hits)
    lines = (made.folder / "hits.lst").read_text().splitlines()
    assert len(lines) == len(hits)
    far = []
    for line, frame in zip(lines, hits, strict=True):
        path, _, number = line.partition(" //")
        found = [place(panels, fs, ss) for fs, ss in listed(path, int(number))]
        planted = run.peaks[run.peaks[:, 0] == frame]
        there = [run.positions[int(m), round(ss), round(fs)] for _, m, ss, fs, _ in planted]
        far += [np.linalg.norm(np.array(found)[:, :2] - at[:2], axis=1).min() for at in there]
    step = geometry.pitch(run.positions)
    # The lost frames of a module have peaks that cannot be found.
    assert np.mean(np.array(far) < 1.5 * step) > 0.97


def listed(path, event):
    """Yield fast scan and slow scan of the peaks of an event, half a pixel added; they are bright."""
    with h5py.File(path) as file:
        lists, images = file["/entry_1/result_1"], file["/entry_1/data_1/stacked"]
        for n in range(lists["nPeaks"][event]):
            fs, ss = (lists[f"peak{axis}PosRaw"][event, n] for axis in "XY")
            around = images[event][int(ss) - 1 : int(ss) + 3, int(fs) - 1 : int(fs) + 3]
            assert np.nanmax(around) > 4
            yield fs + 0.5, ss + 0.5


def read_panels(path):
    """Return what is said of each panel, and of all."""
    panels, whole = {}, {}
    for line in path.read_text().splitlines():
        if "=" in line and not line.startswith("rigid"):
            name, value = map(str.strip, line.split("="))
            panel, _, key = name.rpartition("/")
            (panels.setdefault(panel, {}) if panel else whole)[key] = value
    return panels, whole


def place(panels, fs, ss):
    """Return where a place of the image is, m."""
    (mine,) = [
        p
        for p in panels[0].values()
        if int(p["min_fs"]) <= fs < int(p["max_fs"]) + 1 and int(p["min_ss"]) <= ss < int(p["max_ss"]) + 1
    ]
    along = [np.array([float(v[:-1]) for v in mine[axis].split()]) for axis in ("fs", "ss")]
    corner = np.array([float(mine["corner_x"]), float(mine["corner_y"]), 0])
    off = fs - int(mine["min_fs"]), ss - int(mine["min_ss"])
    return (corner + off[0] * along[0] + off[1] * along[1]) / float(panels[1]["res"])


def test_the_report_has_the_command_line(made):
    command = (made.folder / "index.sh").read_text().splitlines()[-1]
    assert command in made.report()
    assert f"-i {made.folder}/hits.lst -g {made.folder}/hits.geom" in command
    assert "--peaks=cxi" in command
    assert (made.folder / "sfx.png").stat().st_size > 10_000
    assert dxflow.verify(made.folder / "hits.cxi") == []


def test_nothing_of_the_plot_is_cut_off_at_its_edges(made):
    inked = (imread(made.folder / "sfx.png")[..., :3] < 0.9).any(axis=2)
    for edge in (inked[:5], inked[-5:], inked[:, :5], inked[:, -5:]):
        assert not edge.any()


def test_an_interrupted_recipe_goes_on_and_a_finished_one_is_not_replaced(run, made):
    with pytest.raises(PlanError, match=r"hits\.geom exists already.*overwrite=True"):
        sfx(run, made.folder).run()
    before = (made.folder / "hits.lst").read_text()
    (made.folder / "hits.lst").unlink()
    assert sfx(run, made.folder, resume=True).run().copies == {}
    assert (made.folder / "hits.lst").read_text() == before


def test_what_slurm_starts_again_goes_on(run, made, monkeypatch):
    monkeypatch.setenv("DXFLOW_DRIVER", "1")
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    copied = (made.folder / "hits" / "dxflow.json").stat()
    (made.folder / "hits.lst").unlink()
    for options in ({}, {"overwrite": True}):
        assert sfx(run, made.folder, **options).run().copies == {}
        assert (made.folder / "hits" / "dxflow.json").stat() == copied
        assert len((made.folder / "hits.lst").read_text().splitlines()) == run.hits.sum()
    with pytest.raises(PlanError, match="made of something else|cannot be gone on with"):
        sfx(run, made.folder, min_snr=1e6).run()


def test_a_run_without_hits_is_no_error(run, tmp_path):
    none = sfx(run, tmp_path / "none", min_snr=1e6).run()
    assert "no hits" in none.report()
    assert not (tmp_path / "none" / "hits").exists()
    assert (tmp_path / "none" / "sfx.png").is_file()


def test_overwriting_leaves_no_events_of_before(tmp_path):
    given = {"detector": "JUNGFRAU", "modules": 1, "module_shape": (64, 64), "sequences": 1, "devices": ()}
    small = make_run(tmp_path / "r", trains=4, pulses=2, signal=SPOTS, **given)
    for copied, options in (
        (True, {}),
        (True, {"overwrite": True}),
        (False, {"overwrite": True, "min_snr": 1e6}),
    ):
        again = sfx(small, tmp_path / "out", **options).run()
        assert ("hits" in again.copies) == copied
        assert (tmp_path / "out" / "hits.lst").exists() == copied
    shown = again.report()
    assert [name for name in ("hits", "hits.cxi") if f"out/{name} was there before" in shown] == [
        "hits",
        "hits.cxi",
    ]


def test_what_indexamajig_cannot_do_without_is_asked_for(run, tmp_path):
    np.save(tmp_path / "geometry.npy", run.positions + [0, 0, 0.2])
    with pytest.raises(PlanError, match=r"holds no photon energy: give energy="):
        Sfx(
            run=run.path, to=str(tmp_path / "x"), geometry=str(tmp_path / "geometry.npy"), cluster="here"
        ).run()


def test_only_hits_are_events_where_copies_keep_whole_trains(tmp_path):
    truth = make_run(
        tmp_path / "r",
        detector="JUNGFRAU",
        trains=4,
        pulses=4,
        modules=2,
        module_shape=(64, 64),
        signal=SPOTS,
    )
    made = sfx(truth, tmp_path / "out").run()
    lines = (made.folder / "hits.lst").read_text().splitlines()
    assert len(lines) == truth.hits.sum()
    with h5py.File(made.folder / "hits.cxi") as file:
        assert len(file["/entry_1/result_1/nPeaks"]) > len(lines)
    assert geometry.load(made.folder / "hits.geom").positions.shape == (1, 128, 64, 3)


def test_a_geometry_of_the_modules_that_are_read_will_do(tmp_path):
    given = {**SIZE, "detector": "AGIPD1M", "plant": Plant(missing_modules=range(1, 13))}
    truth = make_run(tmp_path / "r", trains=3, signal=SPOTS, **given)
    np.save(tmp_path / "some.npy", truth.positions)
    made = Sfx(
        run=truth.path,
        to=str(tmp_path / "some"),
        geometry=str(tmp_path / "some.npy"),
        distance=0.2,
        energy=9.3,
        min_peaks=5,
        modules=(0, 13, 14, 15),
        cluster="here",
    ).run()
    panels, _ = read_panels(made.folder / "hits.geom")
    assert {name.partition("p")[0] for name in panels} == {"m0", "m13", "m14", "m15"}


# Raw data ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """A raw run, and the result of its dark run."""
    folder = tmp_path_factory.mktemp("raw")
    given = {**SIZE, "data": "raw", "bad_pixels": 0.0}
    dark = make_run(folder / "dark", trains=8, signal=Flat(0), lit="none", **given)
    average = dxflow.reduce(dark.path, Average(per="cell"), folder / "dark.zarr", cluster="here")
    signal = Spots(count=10, photons=200, width=1.2, hit_rate=0.5)
    return make_run(folder / "r0002", trains=5, signal=signal, **given), average.path


def test_of_raw_data_the_dark_is_subtracted_and_images_are_stored(raw, tmp_path):
    truth, dark = raw
    made = sfx(truth, tmp_path / "out", dark=str(dark)).run()
    np.testing.assert_array_equal(made.results["peaks"].dataset["peaks.hit"], truth.hits)
    with h5py.File(made.folder / "hits.cxi") as file:
        images = file["/entry_1/data_1/stacked"][()]
    assert images.dtype == np.float32
    assert len(images) == truth.hits.sum()
    assert abs(np.median(images)) < truth.adu_per_photon[0]
    assert len(list(listed(made.folder / "hits.cxi", 0))) >= 8


def test_the_cell_is_found_from_any_folder(made, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    args = SimpleNamespace(indexing="mosflm", cell="a/lys.cell")
    assert f"-p {tmp_path}/a/lys.cell " in made.command(args)


def test_raw_data_without_a_dark_are_refused(raw, tmp_path):
    with pytest.raises(PlanError, match=r"is raw data: give dark= \(--dark\)"):
        sfx(raw[0], tmp_path / "x").run()
