"""What extra-xwiz is given, against what it asks for.

extra-xwiz is in no registry of packages. Its reader is ``toml.load("xwiz_conf.toml")``; what it then asks for without
a default is listed here, as read in github.com/European-XFEL/EXtra-Xwiz: `Workflow.__init__` of extra_xwiz/workflow.py
at commit 20053a6 (version 0.1.0), in the sections that the configuration of tutorials/crystals2023 has at commit
acdf5e1, which calls ``proc_coarse`` ``indexamajig_run`` and ``unit_cell.file`` ``unit_cell.file_path``.
"""

import tomllib

import h5py
import numpy as np
import pytest
import toml
from runs import make_run

from dxflow import PlanError, geometry
from dxflow.handover import xwiz
from dxflow.recipes.sfx import Sfx
from dxflow.simulate import Spots

ASKED = {
    "data": {"proposal": int, "runs": list},
    "crystfel": {"version": str},
    "geom": {"file_path": str},
    "slurm": {"partition": str, "n_nodes_all": int, "duration_all": str},
    "indexamajig_run": {
        "resolution": float,
        "peak_method": str,
        "peak_threshold": (int, float),
        "peak_snr": (int, float),
        "peak_min_px": int,
        "peak_max_px": int,
        "peaks_hdf5_path": str,
        "index_method": str,
        "local_bg_radius": int,
        "integration_radii": str,
        "max_res": int,
        "min_peaks": int,
        "n_cores": int,
        "extra_options": str,
    },
    "unit_cell": {"file_path": str, "run_refine": bool},
}
OPTIONAL = {
    "data": {"vds_names", "cxi_names", "frames_range", "list_prefix"},
    "slurm": {"reservation"},
}
"""What it takes as well; everything else would be of no use."""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("xwiz")
    (folder / "some.cell").write_text("CrystFEL unit cell file version 1.0\n")
    given = {
        "detector": "AGIPD1M",
        "module_shape": (64, 32),
        "signal": Spots(count=40, photons=400, hit_rate=1.0),
    }
    run = make_run(folder / "r0034", trains=2, pulses=2, proposal=900123, run=34, **given)
    options = {
        "min_peaks": 8,
        "min_snr": 6.5,
        "touching": True,
        "cluster": "here",
        "cell": str(folder / "some.cell"),
    }
    recipe = Sfx(
        run=run.path, to=str(folder / "to"), geometry=f"{run.path}/geometry.npy", tool="xwiz", **options
    )
    return recipe.run(), run, folder


@pytest.fixture(scope="module")
def read(made):
    return toml.load(made[0].folder / "xwiz_conf.toml")


def test_its_reader_finds_all_that_it_asks_for_and_nothing_that_it_does_not_know(made, read):
    assert read == tomllib.loads((made[0].folder / "xwiz_conf.toml").read_text())
    for section, keys in ASKED.items():
        for key, kind in keys.items():
            assert isinstance(read[section][key], kind), (section, key)
    unknown = {s: set(v) - set(ASKED.get(s, {})) - OPTIONAL.get(s, set()) for s, v in read.items()}
    assert not any(unknown.values())


def test_it_says_which_run_and_how_its_peaks_were_found(made, read):
    assert (read["data"]["proposal"], read["data"]["runs"]) == (900123, [34])
    found = read["indexamajig_run"]
    assert (found["peak_snr"], found["min_peaks"], found["peak_min_px"], found["peak_max_px"]) == (
        6.5,
        8,
        2,
        200,
    )
    assert read["unit_cell"]["file_path"] == str(made[2] / "some.cell")
    whole = geometry.load(f"{made[1].path}/geometry.npy")
    finest = 2 * np.pi / np.nanmax(geometry.momentum_transfer(whole.positions, whole.wavelength))
    assert found["resolution"] == pytest.approx(finest, abs=0.006)


def test_its_files_are_in_the_folder_and_as_it_checks_them(made, read):
    """As `Workflow.check_cxi`, `geometry.check_geom_format` and `get_bad_pixel` of it do, with its option -p."""
    folder, run = made[0].folder, made[1]
    with h5py.File(folder / read["data"]["cxi_names"][0]) as file:
        assert len(file["/entry_1/data_1/data"]) == run.hits.sum()
        assert len(file[read["indexamajig_run"]["peaks_hdf5_path"]]["nPeaks"]) == run.hits.sum()
        assert {"trainId", "pulseId"} <= set(file["entry_1"])
    lines = (folder / read["geom"]["file_path"]).read_text().splitlines()
    rows = [int(line.split()[-1]) for line in lines if "max_ss" in line and "bad" not in line]
    assert max(rows) > 511
    assert not [line for line in lines if "/dim1 = 0" in line]
    assert [int(line.partition("=")[2], 16) for line in lines if "mask_bad" in line] == [0xFFFFFFFF]
    assert f"cd {folder} && xwiz-workflow -a -p" in made[0].report()


def test_images_are_found_through_the_link_that_it_makes_in_the_folder_of_its_jobs(made, read, tmp_path):
    (name,) = read["data"]["cxi_names"]
    (tmp_path / name).symlink_to(made[0].folder / name)
    with h5py.File(tmp_path / name) as linked, h5py.File(made[0].folder / name) as file:
        images = file["/entry_1/data_1/stacked"][()]
        np.testing.assert_array_equal(linked["/entry_1/data_1/stacked"], images)
    assert np.nanmax(images) > 4


def test_the_number_of_a_run_is_that_of_its_files_or_its_path(made, tmp_path):
    assert xwiz.origin((900123, 34)) == (900123, 34)
    old = make_run(tmp_path / "p900200/proc/r0007", detector=None, trains=1, devices=("xgm",), version="0.5")
    assert xwiz.origin(old.path) == (900200, 7)
    unknown = make_run(tmp_path / "mine", detector=None, trains=1, devices=("xgm",), version="0.5")
    with pytest.raises(PlanError, match=r"does not say its proposal and number.*900123:34"):
        xwiz.origin(unknown.path)


def test_what_extra_xwiz_cannot_take_is_refused_before_anything_is_done(tmp_path):
    whole = np.zeros((16, 512, 128, 3))
    xwiz.check(whole, "/a/b.cell")
    with pytest.raises(PlanError, match="takes no blanks"):
        xwiz.check(whole, "/a/my cell.cell")
    with pytest.raises(PlanError, match="512 rows that are apart: leave --for xwiz out"):
        xwiz.check(whole[:1], None)


PEAKS = {
    "threshold": 0.5,
    "min_snr": 5,
    "min_pixels": 2,
    "max_pixels": 200,
    "local_bg_radius": 3,
    "min_peaks": 9,
}


def test_an_older_one_finds_its_own_names():
    """Those of `Workflow.__init__` at commit 20053a6 as they are."""
    given = (1234, 5), {**PEAKS, "max_res": None}, 1.8, "mosflm", "/x/a.cell", 10
    new, old = (toml.loads(xwiz.configuration(*given, older)) for older in (False, True))
    assert old["proc_coarse"] == new["indexamajig_run"]
    assert old["unit_cell"] == {"file": "/x/a.cell", "run_refine": False}
    assert set(old) == set(new) - {"indexamajig_run"} | {"proc_coarse"}


def test_no_text_of_the_user_breaks_the_file():
    strange = 'a"b\\c\n\x7f\U0001f600='
    text = xwiz.configuration((1234, 5), {**PEAKS, "max_res": 300.0}, 1.8, strange, f"/x/{strange}", 2500)
    read = toml.loads(text)
    assert tomllib.loads(text) == read
    assert read["indexamajig_run"]["index_method"] == strange
    assert read["indexamajig_run"]["max_res"] == 300
    assert read["slurm"]["n_nodes_all"] == 3
    assert read["data"]["list_prefix"] == "p001234_r0005"
