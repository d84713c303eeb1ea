"""No command removes or replaces what dxflow did not make, or what a run is read from; whatever the format."""

import hashlib
import os
import shutil
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from samples import RoiSum

import dxflow
from dxflow import Frames, PlanError
from dxflow.algorithms.average import Average
from dxflow.clusters.kinds import slurm
from dxflow.commands import main as cli
from dxflow.copying.folder import Folder
from dxflow.disk import ours
from dxflow.driver import journal
from dxflow.exdf import FileWriter
from dxflow.exdf.declare import DS
from dxflow.recipes import demo, saxs
from dxflow.simulate import make_run
from dxflow.stores.formats.cxi import Cxi
from dxflow.stores.formats.exdf import Exdf
from dxflow.stores.formats.netcdf import NetCdf
from dxflow.stores.formats.nexus import Nexus
from dxflow.stores.formats.tiff import Tiff
from dxflow.stores.formats.zarr import Zarr

SETTINGS = {
    "trains": 3,
    "pulses": 2,
    "modules": 2,
    "module_shape": (8, 8),
    "detector": "AGIPD500K",
    "sequences": 1,
}


def listing(folder):
    """Return what there is in a folder: links with where they lead, files with their digests, folders."""
    out = {}
    for root, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            path = os.path.join(root, name)
            if name == "karabo_data_map.json":
                # EXtra-data's, of any run that it opens.
                continue
            if os.path.islink(path):
                out[path] = os.readlink(path)
            elif os.path.isfile(path):
                out[path] = hashlib.sha256(Path(path).read_bytes()).hexdigest(), os.stat(path).st_ino
            else:
                out[path] = os.stat(path).st_ino
    return out


@pytest.fixture(scope="module")
def users(tmp_path_factory):
    """A folder with what a user has: runs in a folder of runs, own files and folders, and links to each."""
    home = tmp_path_factory.mktemp("home")
    make_run(home / "raw" / "r0001", **SETTINGS)
    make_run(home / "raw" / "r0002", run=2, **SETTINGS)
    (home / "plain").mkdir()
    (home / "plain" / "thesis.txt").write_text("two years of work")
    (home / "file").write_text("a plain file")
    (home / "empty").mkdir()
    for path in [*THINGS.values()]:
        (home / f"link-{path.replace('/', '-')}").symlink_to(home / path)
    (home / "link-nowhere").symlink_to(home / "nowhere")
    return home


THINGS = {
    "the run": "raw/r0001",
    "its parent": "raw",
    "another run": "raw/r0002",
    "a folder": "plain",
    "a file": "file",
    "a file of the run": "raw/r0001/CORR-R0001-AGIPD00-S00000.h5",
    "an empty folder": "empty",
}
PLACES = [*THINGS.values(), *(f"link-{p.replace('/', '-')}" for p in THINGS.values()), "link-nowhere"]


def writer(path, overwrite):
    with FileWriter(
        path, {"x": DS("DEV/TYPE/X:output", "data.x", (), np.float64)}, overwrite=overwrite
    ) as made:
        made.add_train(1)
        made.add_train_data(x=[1.0])


class Holding(RoiSum):
    """An algorithm with an option of any kind."""

    def __init__(self, option=None, **options):
        super().__init__(img=Frames(modules=(0, 1)), **options)
        self.options = {**self.options, "option": option}


def roi():
    return RoiSum(img=Frames(modules=(0, 1)))


def reduction(store):
    return lambda run, to, overwrite: dxflow.reduce(
        run, roi(), store(to), cluster="here", overwrite=overwrite
    )


STORES = {"zarr": Zarr, "tiff": Tiff, "netcdf": NetCdf, "nexus": Nexus, "cxi": Cxi, "exdf": Exdf}
WAYS = {
    **{name: reduction(store) for name, store in STORES.items()},
    "path/": reduction(lambda path: f"{path}/"),
    "copy": lambda run, to, overwrite: dxflow.copy_run(
        run, to, overwrite=overwrite, trains=[10001], cluster="here"
    ),
    "writer": lambda run, to, overwrite: writer(to, overwrite),
}


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_the_users_is_touched(users, way, overwrite):
    before = listing(users)
    for place in PLACES:
        with pytest.raises((PlanError, FileExistsError)) as raised:
            WAYS[way](users / "raw" / "r0001", users / place, overwrite)
        # What would be refused too is not suggested.
        assert "overwrite" not in str(raised.value), place
        assert listing(users) == before, place


@pytest.mark.parametrize("way", [w for w in WAYS if w != "writer"])
@pytest.mark.parametrize("place", ["raw/r0002", "plain", "link-plain", "file", "link-nowhere"])
def test_what_has_the_name_of_an_unfinished_result_is_not_touched(users, tmp_path, way, place):
    (tmp_path / "x.partial").symlink_to(users / place) if "link" in place else _copied(
        users / place, tmp_path / "x.partial"
    )
    before = listing(users), listing(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(PlanError, match=r"x\.partial is"):
            WAYS[way](users / "raw" / "r0001", tmp_path / "x", overwrite)
    assert (listing(users), listing(tmp_path)) == before


def _copied(path, to):
    (shutil.copytree if path.is_dir() else shutil.copy)(path, to)


@pytest.mark.parametrize("way", [w for w in WAYS if w != "writer"])
def test_nothing_is_written_inside_the_run(users, way):
    before = listing(users)
    with pytest.raises(
        PlanError, match=r"would lie in the run directory .*r0001.*choose another folder, such as"
    ):
        WAYS[way](users / "raw" / "r0001", users / "link-raw" / "r0001" / "new", False)
    assert listing(users) == before


@pytest.mark.parametrize("way", [w for w in WAYS if w != "writer"])
@pytest.mark.parametrize("inside", ["zarr", "copy"])
def test_nothing_is_written_inside_a_result(users, tmp_path, way, inside):
    WAYS[inside](users / "raw" / "r0001", tmp_path / "made", False)
    (tmp_path / "made" / "deep").mkdir()
    before = listing(tmp_path)
    for place in ("new", "deep/new"):
        with pytest.raises(
            PlanError, match=r"would lie in .*made, which is a .*choose another folder, such as"
        ):
            WAYS[way](users / "raw" / "r0001", tmp_path / "made" / place, False)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("way", ["zarr", "copy"])
def test_beside_the_run_and_next_to_a_single_file_is_where_results_may_be(users, tmp_path, way):
    shutil.copytree(users / "raw" / "r0001", tmp_path / "r0001")
    WAYS[way](tmp_path / "r0001", tmp_path / "new", False)
    (tmp_path / "work").mkdir()
    file = shutil.copy(tmp_path / "r0001" / "CORR-R0001-AGIPD00-S00000.h5", tmp_path / "work" / "one.h5")
    copied = dxflow.copy_run(file, tmp_path / "work" / "c", cluster="here", trains=[10001])
    assert Path(copied.path).is_dir()


@pytest.mark.parametrize("way", WAYS)
def test_what_dxflow_made_is_replaced_if_wanted_and_only_then(users, tmp_path, way):
    run, to = users / "raw" / "r0001", tmp_path / "x"
    WAYS[way](run, to, False)
    before = listing(tmp_path)
    with pytest.raises((PlanError, FileExistsError), match="overwrite=True"):
        WAYS[way](run, to, False)
    assert listing(tmp_path) == before
    WAYS[way](run, to, True)
    assert [p.name for p in tmp_path.iterdir()] == ["x"]
    assert listing(tmp_path)[str(to)] != before[str(to)]


@pytest.mark.parametrize("way", ["zarr", "exdf", "copy"])
def test_what_a_user_added_to_a_result_is_not_removed(users, tmp_path, way):
    run, to = users / "raw" / "r0001", tmp_path / "x"
    WAYS[way](run, to, False)
    (to / "figures").mkdir()
    (to / "figures" / "best.png").write_bytes(b"png")
    with pytest.raises(PlanError, match=r"also holds figures/best.png: move these away"):
        WAYS[way](run, to, True)


OWN = "notes.txt", "figures/best.png", "attempts/notes.txt", "empty", "mine.npz"


def put(folder, name):
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.mkdir() if name == "empty" else path.write_text("mine")


@pytest.mark.parametrize("name", OWN)
def test_what_a_user_put_beside_unfinished_results_is_not_removed(users, tmp_path, name):
    run, partial = users / "raw" / "r0001", tmp_path / "x.zarr.partial"
    journal.begin(dxflow.plan(run, roi(), tmp_path / "x.zarr"))
    put(partial, name)
    before = listing(tmp_path)
    for options in ({"overwrite": True}, {"resume": True}):
        with pytest.raises(PlanError, match=rf"also holds {name}: move these away"):
            dxflow.plan(run, roi(), tmp_path / "x.zarr", **options)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("name", OWN)
def test_what_a_user_puts_beside_a_result_while_it_is_made_stays_and_is_said(users, tmp_path, name):
    planned = dxflow.plan(users / "raw" / "r0001", roi(), tmp_path / "x.zarr")
    partial = tmp_path / "x.zarr.partial"

    class Busy(Zarr):
        def commit(self, contents, manifest):
            put(partial, name)
            super().commit(contents, manifest)

    planned.store.__class__ = Busy
    with pytest.warns(
        UserWarning, match=rf"partial is left, as it also holds {name}, which dxflow did not make"
    ):
        result = dxflow.execute(planned, "here")
    assert dxflow.stores.opening.verify(result.path) == []
    assert {str(p.relative_to(partial)) for p in partial.rglob("*")} == {name, name.split("/")[0]}


@pytest.mark.parametrize("name", ["mine.h5", "notes.txt", "figures/best.png", "empty"])
def test_what_a_user_put_into_an_unfinished_copy_is_not_removed(users, tmp_path, name):
    run, to, partial = users / "raw" / "r0001", tmp_path / "c", tmp_path / "c.partial"
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Folder, "commit", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            dxflow.copy_run(run, to, trains=[10001], cluster="here")
    put(partial, name)
    if name == "empty":
        dxflow.copy_run(run, to, cluster="here", overwrite=True)
        return
    before = listing(tmp_path)
    for options in ({"overwrite": True}, {"resume": True}):
        with pytest.raises(PlanError, match=rf"also holds {name}: move these away"):
            dxflow.copy_run(run, to, trains=[10001], cluster="here", **options)
    assert listing(tmp_path) == before


@pytest.mark.parametrize("name", ["logs/notes.txt", "tls/mine.pem", "sign/x.txt"])
def test_a_folder_of_jobs_with_own_files_is_kept(tmp_path, name):
    folder = tmp_path / "dxflow-0101-000000-aaaaaa"
    (folder / "logs").mkdir(parents=True)
    (folder / "logs" / "17.log").write_text("log")
    (folder / "job.sh").write_text(f"#SBATCH -J {folder.name}\n")
    assert not ours.obstacle(folder, [ours.JOBS])
    put(folder, name)
    assert ours.obstacle(folder, [ours.JOBS])


def test_a_reduction_does_not_replace_a_copy_nor_a_copy_a_result(users, tmp_path):
    run = users / "raw" / "r0001"
    WAYS["copy"](run, tmp_path / "c", False)
    WAYS["exdf"](run, tmp_path / "x", False)
    before = listing(tmp_path)
    with pytest.raises(PlanError, match="is a copy of a run: it is not replaced"):
        WAYS["exdf"](run, tmp_path / "c", True)
    with pytest.raises(PlanError, match="is a result: it is not replaced"):
        WAYS["copy"](run, tmp_path / "x", True)
    assert listing(tmp_path) == before


def test_what_a_reduction_reads_is_not_replaced_by_it(users, tmp_path):
    run = users / "raw" / "r0001"
    dark = dxflow.reduce(run, Average(img=Frames(modules=(0, 1))), tmp_path / "dark.zarr", cluster="here")
    copy = dxflow.copy_run(run, tmp_path / "c", cluster="here").path
    before = listing(tmp_path)
    for option in (dark, str(dark.path), dark.path, [dark], {"first": dark}, dark.dataset):
        with pytest.raises(PlanError, match=r"dark.zarr is, or holds, .*which is read"):
            dxflow.reduce(run, Holding(option=option), tmp_path / "dark.zarr", cluster="here", overwrite=True)
    with pytest.raises(PlanError, match=r"is, or holds, .*which is read"):
        dxflow.copy_run(copy, copy, cluster="here", overwrite=True)
    assert listing(tmp_path) == before


def test_links_in_a_run_are_followed_to_what_they_are(users, tmp_path):
    """A copy whose files are read through a folder of links is an input too."""
    copy = Path(dxflow.copy_run(users / "raw" / "r0001", tmp_path / "c", cluster="here").path)
    (tmp_path / "links").mkdir()
    for file in copy.glob("*.h5"):
        (tmp_path / "links" / file.name).symlink_to(file)
    before = listing(tmp_path)
    with pytest.raises(PlanError, match="is, or holds"):
        dxflow.copy_run(tmp_path / "links", copy, cluster="here", overwrite=True)
    assert listing(tmp_path) == before


def test_interrupted_copies_and_reductions_do_not_remove_each_other(users, tmp_path):
    run, partial = users / "raw" / "r0001", tmp_path / "x.partial"
    partial.mkdir()
    (partial / "CORR-R0001-AGIPD00-S00000.h5").write_bytes(b"x" * 1000)
    (partial / "dxflow.json").write_text('{"state": "partial", "fingerprint": "f"}')
    before = listing(tmp_path)
    with pytest.raises(PlanError, match=r"x.partial is an interrupted copy: finish it first"):
        WAYS["path/"](run, tmp_path / "x", True)
    assert listing(tmp_path) == before
    shutil.rmtree(partial)
    journal.begin(dxflow.plan(run, roi(), tmp_path / "x.zarr"))
    (tmp_path / "x.zarr.partial").rename(partial)
    before = listing(tmp_path)
    with pytest.raises(PlanError, match=r"x.partial is an interrupted reduction: finish it first"):
        WAYS["copy"](run, tmp_path / "x", True)
    assert listing(tmp_path) == before


def test_what_appears_while_a_result_is_made_is_not_replaced(users, tmp_path, monkeypatch):
    run = users / "raw" / "r0001"
    for overwrite in (False, True):
        planned = dxflow.plan(run, roi(), tmp_path / "x.zarr", overwrite=overwrite)

        def begin(plan, begin=journal.begin):
            (tmp_path / "x.zarr").mkdir()
            (tmp_path / "x.zarr" / "mine").write_text("mine")
            return begin(plan)

        monkeypatch.setattr(journal, "begin", begin)
        with pytest.raises(FileExistsError, match=r"x.zarr.* resume=True"):
            dxflow.execute(planned, "here")
        assert [p.name for p in (tmp_path / "x.zarr").iterdir()] == ["mine"]
        monkeypatch.undo()
        shutil.rmtree(tmp_path / "x.zarr")
        shutil.rmtree(tmp_path / "x.zarr.partial")


def test_only_folders_of_jobs_are_removed_when_they_are_old(tmp_path):
    base, old = tmp_path / "runs", time.time() - 40 * 86400
    for name in ("r0007_analysis", "dxflow-mine", "dxflow-0101-000000-aaaaaa", "dxflow-0101-000001-bbbbbb"):
        (base / name / "logs").mkdir(parents=True)
        (base / name / "logs" / "1.log").write_text("log")
        (base / name / "job.sh").write_text(f"#SBATCH -J {name if 'aaaaaa' in name else 'other'}\n")
    (base / "dxflow-link").symlink_to(base / "r0007_analysis")
    for path in base.iterdir():
        os.utime(path, (old, old), follow_symlinks=False)
    made = slurm._folder(str(tmp_path))
    assert {p.name for p in base.iterdir()} == {
        made.name,
        "r0007_analysis",
        "dxflow-mine",
        "dxflow-link",
        "dxflow-0101-000001-bbbbbb",
    }


def test_a_simulation_replaces_only_a_simulation(users, tmp_path):
    assert ours.kind_of(users / "raw" / "r0001") == ours.RUN
    for place in ("plain", "raw/r0001", "file"):
        with pytest.raises((FileExistsError, NotADirectoryError)):
            make_run(users / place, **SETTINGS)
    path = tmp_path / "r0001"
    shutil.copytree(users / "raw" / "r0001", path)
    (path / "RAW-R0001-DA01-S00000.h5").write_bytes(b"mine")
    assert ours.kind_of(path) == ""
    args = demo.parser().parse_args(["--to", str(tmp_path)])
    with pytest.raises(PlanError, match="dxflow did not make"):
        demo.simulate(path, args, lit="all")


@pytest.mark.parametrize("way", ["zarr", "copy"])
def test_folders_that_everybody_can_write_are_warned_of(users, tmp_path, way):
    (tmp_path / "open").mkdir()
    for mode, warned in ((0o777, 1), (0o1777, 0), (0o775, 0)):
        (tmp_path / "open").chmod(mode)
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            WAYS[way](users / "raw" / "r0001", tmp_path / "open" / oct(mode), False)
        said = [str(w.message) for w in found if "can be written by everybody" in str(w.message)]
        assert len(said) == warned
        assert all(f"chmod o-w {tmp_path / 'open'}" in text for text in said)


def test_pictures_and_measurements_replace_only_such(users, tmp_path):
    from matplotlib.figure import Figure

    run = str(users / "raw" / "r0001")
    for name in ("saxs.png", "b.json"):
        (tmp_path / name).write_text("mine")
    before = listing(tmp_path)
    words = [run, run, "--geometry", run, "--to", str(tmp_path), "--cluster", "here"]
    with pytest.raises(PlanError, match=r"saxs.png is a file that dxflow did not make"):
        saxs.Saxs.of_line(words).run()
    assert cli.main(["bench", run, "--json", str(tmp_path / "b.json")]) == 2
    assert listing(tmp_path) == before
    Figure().savefig(tmp_path / "saxs.png", metadata=ours.SOFTWARE)
    (tmp_path / "b.json").write_text('{"rows": [], "groups": [], "processor": ""}')
    assert not ours.obstacle(tmp_path / "saxs.png", [ours.PICTURE])
    assert not ours.obstacle(tmp_path / "b.json", [ours.BENCH])


def test_what_holds_an_input_is_kept_also_if_inputs_are_listed_one_by_one(tmp_path):
    held = tmp_path / "x.zarr" / "raw"
    held.mkdir(parents=True)
    assert f"holds, {held}, which is read" in ours.obstacle(held.parent, [], iter([tmp_path / "y", held]))
