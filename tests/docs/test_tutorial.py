"""The tutorial, as a new user goes through it: its code runs, its numbers are right, and it is the same on Slurm."""

import re
import shlex

import numpy as np
import oracle
import pytest
import xarray as xr
from docpages import DOCS, examples, run
from extra_data import RunDirectory

import dxflow
from dxflow.commands import main as cli
from dxflow.slurm import options as sites

PAGES = sorted((DOCS / "tutorial").glob("[1-5]-*.md"))
SOURCES = [f"SPB_DET_AGIPD500K2G/DET/{n}CH0:xtdf" for n in range(8)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The folder that the tutorial leaves before its last page."""
    folder = tmp_path_factory.mktemp("tutorial")
    done = run(PAGES, folder)
    assert done.returncode == 0, done.stderr
    return folder / "first"


def test_an_algorithm_with_dark_mask_and_scan_is_right(folder):
    labels, bad, net = oracle.without_dark(folder, SOURCES)
    np.testing.assert_array_equal(np.load(folder / "bad.npy"), bad)
    assert 0 < bad.sum() < 0.05 * bad.size
    made = xr.open_zarr(folder / "scan.zarr", chunks=None)
    oracle.close(made["intensity.mean"], np.nanmean(net, axis=(1, 2, 3)), 1e-4)
    run = RunDirectory(folder / "r0011")
    position = run["SPB_EXP_SCAN/MOTOR/STAGE", "actualPosition.value"].ndarray()
    at = position[np.searchsorted(run.train_ids, [train for train, _ in labels])].round(2)
    images = made["average.mean"]
    rest = dict(zip(images[images.dims[0]].values, images.values, strict=True))
    assert set(np.round(list(rest), 2)) == {0, 1, 2, 3, 4}
    # Labels leave out trains in which the motor moves, if there are any: means of all others.
    for where, image in rest.items():
        np.testing.assert_allclose(image, net[abs(at - where) < 0.01].mean(axis=0), atol=0.02)
    assert (folder / "scan.png").stat().st_size > 8_000


def typed(page, text=""):
    """The lines of the blocks of a page that are run here."""
    marked = [
        b for b in examples.blocks(page) if b.mark == "run by" and b.language == "sh" and text in b.code
    ]
    return [shlex.split(line)[1:] for block in marked for line in examples.lines(block.code)]


def python(page):
    return [b.code for b in examples.blocks(page) if b.mark == "run by" and b.language == "python"]


@pytest.fixture
def place(folder, slurm, monkeypatch, tmp_path):
    """The folder, where Slurm is and workers find the reader's own modules; nodes are smaller than those of a site."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.setattr(sites, "USERS", tmp_path / "clusters.yaml")
    sites.USERS.write_text("default: {cores: 1, memory: 3000 MB, poll: 0.5}\n")
    return folder


def test_the_last_page_runs_on_slurm_and_makes_the_same_bits(place, slurm, capsys):
    check, reduce, submit, jobs = typed(DOCS / "tutorial/6-slurm.md")
    assert cli.main(check) == 0
    assert cli.main(reduce) == 0
    capsys.readouterr()
    (compared,) = python(DOCS / "tutorial/6-slurm.md")
    exec(compared, {})
    assert capsys.readouterr().out.split() == ["True", "True"]
    assert cli.main(submit) == 0
    number = re.search(r"\d+", capsys.readouterr().out)[0]
    assert cli.main(jobs) == 0
    assert number in capsys.readouterr().out
    assert cli.main(["cancel", number]) == 0


def test_clusters_md_runs_on_slurm(place, slurm, capsys, tmp_path, monkeypatch):
    """Of docs/clusters.md: its runs are those of the tutorial, and its job is one that was submitted."""
    monkeypatch.chdir(tmp_path)
    for name, of in (("r0033", "r0010"), ("r0034", "r0011")):
        (tmp_path / name).symlink_to(place / of)
    for code in python(DOCS / "clusters.md"):
        exec(code, {"__name__": "__main__"})
    assert {"average.mean"} == set(dxflow.open("data.zarr").dataset) & {"average.mean"}
    number = ""
    for words in typed(DOCS / "clusters.md"):
        # Followed, a log ends with its job.
        line = [number if word == "123456" else word for word in words if word != "-f"]
        capsys.readouterr()
        if line[0] == "logs":
            slurm.wait(lambda line=line: cli.main(line) == 0)
        else:
            assert cli.main(line) == 0, line
        if line[0] == "submit" and not number:
            number = re.search(r"\d+", capsys.readouterr().out)[0]


@pytest.mark.parametrize("page", ["clusters.md", "howto/cluster.md"])
def test_the_file_of_a_site_means_what_the_page_says(page, tmp_path, monkeypatch):
    (block,) = [b for b in examples.blocks(DOCS / page) if b.language == "yaml"]
    assert block.title == str(sites.USERS)
    monkeypatch.setattr(sites, "USERS", tmp_path / "clusters.yaml")
    sites.USERS.write_text(block.code)
    found = sites.resolve(None, {})
    assert (found.walltime, found.partition) == ("08:00:00", "upex")
    assert "module load maxwell" in found.prologue
