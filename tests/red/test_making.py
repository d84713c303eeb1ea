"""Volumes: what is in one, and that kills, changes, two at a time, no room and files of others do no harm."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import programs
import pytest
from disks import mounted
from dying import dies
from extra_data import RunDirectory

import dxflow
from dxflow import Frames
from dxflow.algorithms.average import Average
from dxflow.algorithms.litframes import LitFrames
from dxflow.commands.red import wanted_of
from dxflow.copying import notes
from dxflow.red import finishing, making
from dxflow.red.asked import asked
from dxflow.red.folder import Volume
from dxflow.red.following import Following
from dxflow.red.hashed import hashed
from dxflow.red.making import make
from dxflow.red.planning import survey
from dxflow.red.source import Source, fingerprint
from dxflow.red.verifying import verify

KILLS = 5
KILLED = """\
import itertools, os, signal, sys
from dxflow.commands.main import main
calls, real = itertools.count(1), os.replace

def replace(*names, **options):
    if next(calls) == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*names, **options)

os.replace = replace
sys.exit(main(["red", "run", "red.yaml", "--quiet"]))
"""


def made_of(file, **options):
    return make(read := asked(file), wanted_of(read), quiet=True, **options)


def contents(folder):
    """SHA-256 of all files below a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in Path(folder).rglob("*")
        if path.is_file()
    }


def data(folder):
    """SHA-256 of the data of a volume."""
    return {name: sha for name, sha in contents(folder).items() if name.endswith(".h5")}


def test_each_run_keeps_what_was_asked_for_and_its_origin_is_known(proposal, cli):
    made = proposal(
        5,
        [
            "{run: raw/r0001, keep: raw}",
            "{run: raw/r0002, keep: frames, frames: 'pulses=0:5', codec: deflate, round: abs=0.5, why: dark}",
            "{run: raw/r0003, keep: regions, modules: [0], as: '{name}_one'}",
            "{run: raw/r0004, keep: processed, results: [mean.zarr, notes.txt]}",
            "{run: raw/r0005, keep: nothing, why: 'the shutter | was closed'}",
        ],
    )
    dxflow.reduce("raw/r0004", Average(img=Frames(modules=(0, 1))), "mean.zarr", cluster="here", quiet=True)
    Path("notes.txt").write_text("by hand")
    before = contents("raw"), contents("mean.zarr")
    code, said = cli("plan", "red.yaml")
    assert code == 0
    assert "4 of 12 frames of SPB_DET" in said, said
    assert "everything: the shutter | was closed" in said
    assert not made.volume.exists()
    code, said = cli("run", "red.yaml", "--quiet")
    assert (code, (contents("raw"), contents("mean.zarr"))) == (0, before), said
    volume = made.volume
    assert data(volume / "runs/r0001") == data("raw/r0001")
    kept = RunDirectory(volume / "runs/r0002")
    source = next(s for s in kept.instrument_sources if "/CORR/" in s)
    original = RunDirectory("raw/r0002")[source, "image.data"].ndarray().reshape(4, 3, 8, 8)[:, :2]
    assert np.nanmax(np.abs(kept[source, "image.data"].ndarray().reshape(original.shape) - original)) <= 0.5
    assert len({s for s in RunDirectory(volume / "runs/r0003_one").instrument_sources if "/CORR/" in s}) == 1
    assert contents(volume / "results/r0004/mean.zarr") == before[1]
    assert (volume / "results/r0004/notes.txt").read_text() == "by hand"
    assert {path.name for path in volume.iterdir()} == {
        *("runs", "results", "README.md", "red.json", "red.yaml", "manifest-sha256.txt"),
        *("ro-crate-metadata.json", "datacite.json"),
    }
    about = json.loads((volume / "red.json").read_text())
    assert [one["keep"] for one in about["runs"]] == ["raw", "frames", "regions", "processed", "nothing"]
    (name,) = [
        name for name in about["files"] if "r0002" in name and "AGIPD00" in name and name.endswith("0.h5")
    ]
    one = about["files"][name]
    assert one["sha256"] == contents(volume)[name]
    assert one["inputs"][0]["path"] == str(made.folder / "raw/r0002" / Path(name).name)
    assert any("FRAME_REDUCTION" in section for section in one["reductions"])
    with h5py.File(volume / name) as file:
        assert any("FRAME_REDUCTION" in n.decode() for n in file["METADATA/auxiliarySources/REDUCTION"][:])
    assert about["runs"][1]["options"] == {"frames": "pulses=0:5", "codec": "deflate", "round": "abs=0.5"}
    assert set(about["versions"]) >= {"dxflow", "h5py", "extra-data"}
    done = subprocess.run(["sha256sum", "--quiet", "-c", "manifest-sha256.txt"], cwd=volume, check=False)
    assert done.returncode == 0
    code, said = cli("run", "red.yaml", "--quiet")
    assert (code, "complete" in said) == (0, True)


def test_ten_runs_are_whole_although_they_were_killed_five_times(proposal):
    lines = [f"{{run: raw/r{n:04}, keep: raw}}" for n in range(1, 8)]
    lines += [f"{{run: raw/r{n:04}, keep: frames, frames: 'pulses=0:2'}}" for n in (8, 9)]
    lines += [f"{{run: raw/r{n:04}, keep: regions, modules: [1]}}" for n in (10,)]
    made = proposal(10, lines)
    before = contents("raw")
    for kill in range(KILLS):
        # Whatever it does then: each file and each note gets its name by this.
        done = programs.run(KILLED.format(call=random.Random(kill).randrange(8, 17)), folder=made.folder)
        assert done.returncode == -signal.SIGKILL, done.stderr
        assert not (made.volume / "manifest-sha256.txt").exists()
    code = KILLED.format(call=0)
    done = programs.run(code, folder=made.folder)
    assert done.returncode == 0, done.stderr
    assert "was there" in done.stdout
    assert contents("raw") == before
    found = verify(made.volume, quiet=True)
    assert (found.problems, found.notes) == ((), ())
    assert not list(made.volume.rglob("*.partial"))
    assert not (made.volume / ".red").exists()
    whole = {
        name.removeprefix("runs/"): sha for name, sha in data(made.volume).items() if name < "runs/r0008"
    }
    assert whole == {name: sha for name, sha in before.items() if name.endswith(".h5") and name < "r0008"}
    for number in (8, 9):
        kept = RunDirectory(made.volume / f"runs/r{number:04}")
        counts = {kept[s, "image.data"].shape[0] for s in kept.instrument_sources if "/CORR/" in s}
        assert (counts, len(kept.train_ids)) == ({4}, 4)
    (module,) = {s for s in RunDirectory(made.volume / "runs/r0010").instrument_sources if "/CORR/" in s}
    assert "/1CH0" in module


def test_a_volume_goes_on_wherever_it_was_cut_off(proposal):
    made = proposal(1, ["{run: raw/r0001, keep: raw, results: [a.txt]}"])
    Path("a.txt").write_text("a")
    functions = [(os, "replace"), (Path, "rename"), (Path, "mkdir"), (Path, "unlink"), (making, "hashed")]
    calls = 0
    while dies(calls + 1, functions, (making.Volume, "check"), lambda: made_of(made.file, cluster="here")):
        calls += 1 if calls < 5 else 6
        assert calls < 200
        went_on = proposal(1, ["{run: raw/r0001, keep: raw, results: [a.txt]}"])
        assert made_of(went_on.file, cluster="here").complete
        assert verify(made.volume, quiet=True).problems == ()
        shutil.rmtree(made.volume)
    assert calls > 15


def test_a_run_that_is_not_there_or_broken_is_told_and_the_others_go_on(proposal, cli):
    made = proposal(3)
    shutil.move("raw/r0001", "gone")
    broken = next(Path("raw/r0002").glob("*AGIPD*.h5"))
    whole = broken.read_bytes()
    broken.write_bytes(whole[:1000])
    for words in (("plan", "red.yaml"), ("run", "red.yaml", "--quiet")):
        code, said = cli(*words)
        assert code == 1
        assert "r0001" in said
        assert "no such run" in said
        assert broken.name in said
    assert "r0003  done" in said
    assert "not complete" in said
    assert sorted(os.listdir(made.volume / "runs")) == ["r0003"]
    assert cli("verify", "red.yaml")[0] == 2
    shutil.move("gone", "raw/r0001")
    broken.write_bytes(whole)
    code, said = cli("run", "red.yaml", "--quiet")
    assert (code, "r0003  was there" in said) == (0, True)
    assert cli("verify", "red.yaml")[0] == 0


def test_a_run_that_changed_since_is_told_and_copied_anew_only_if_that_is_asked_for(proposal, cli):
    made = proposal(2)
    os.rename("raw/r0002", "later")
    assert cli("plan", "red.yaml", "--save", "plan.json")[0] == 1
    assert cli("run", "red.yaml", "--quiet")[0] == 1
    first = data(made.volume)
    os.rename("later", "raw/r0002")
    code, said = cli("run", "red.yaml", "--quiet", "--expect", "plan.json")
    assert code == 2
    assert "runs r0002 changed since" in said
    file = next(Path("raw/r0001").glob("*AGIPD00*.h5"))
    with file.open("ab") as f:
        f.write(b"more")
    code, said = cli("run", "red.yaml", "--quiet")
    assert code == 1
    assert f"r0001  failed: has changed since it was copied ({file.name})" in said
    assert first.items() <= data(made.volume).items()
    code, said = cli("run", "red.yaml", "--quiet", "--again")
    assert code == 0, said
    assert data(made.volume)[f"runs/r0001/{file.name}"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert cli("verify", "red.yaml", "--deep")[0] == 0


def test_a_plan_that_was_saved_is_followed_as_long_as_nothing_changed(proposal, cli):
    made = proposal(1)
    assert cli("plan", "red.yaml", "--save", "plan.json")[0] == 0
    made.file.write_text(made.file.read_text().replace("Water", "Wine"))
    code, said = cli("run", "red.yaml", "--quiet", "--expect", "plan.json")
    assert (code, "red.yaml changed since" in said) == (2, True)
    assert not made.volume.exists()
    made.file.write_text(made.file.read_text().replace("Wine", "Water"))
    assert cli("run", "red.yaml", "--quiet", "--expect", "plan.json")[0] == 0
    assert cli("run", "red.yaml", "--quiet", "--expect", "red.yaml")[0] == 2


@pytest.mark.parametrize("begun", [False, True])
def test_nothing_of_others_is_overwritten(proposal, cli, begun):
    made = proposal(2)
    if begun:
        os.rename("raw/r0002", "later")
        assert cli("run", "red.yaml", "--quiet")[0] == 1
        os.rename("later", "raw/r0002")
    made.volume.mkdir(exist_ok=True)
    (made.volume / "precious.txt").write_text("mine")
    code, said = cli("run", "red.yaml", "--quiet")
    assert (code, "precious.txt, which is no part" in said) == (2, True)
    assert begun or os.listdir(made.volume) == ["precious.txt"]
    (made.volume / "precious.txt").unlink()
    assert cli("run", "red.yaml", "--quiet")[0] == 0
    made.file.write_text(made.file.read_text().replace("Water", "Wine"))
    code, said = cli("run", "red.yaml", "--quiet")
    assert (code, "is a complete volume; nothing is overwritten" in said) == (2, True)


def test_a_file_that_somebody_left_deep_inside_keeps_a_volume_from_being_complete(proposal, cli):
    made = proposal(2)
    os.rename("raw/r0002", "later")
    assert cli("run", "red.yaml", "--quiet")[0] == 1
    os.rename("later", "raw/r0002")
    (made.volume / "runs/r0001/mine.txt").write_text("mine")
    code, said = cli("run", "red.yaml", "--quiet")
    assert (code, "runs/r0001/mine.txt, which is no part" in said) == (2, True)
    assert (made.volume / "runs/r0001/mine.txt").read_text() == "mine"


def test_a_volume_is_never_made_in_what_is_read_nor_through_a_link(proposal, cli):
    made = proposal(1, to="raw/r0001/red")
    code, said = cli("run", "red.yaml", "--quiet")
    assert (code, "which is read" in said) == (2, True)
    made = proposal(1, to="raw")
    assert cli("run", "red.yaml", "--quiet")[0] == 2
    made = proposal(1, to="link")
    (made.folder / "place").mkdir()
    made.volume.symlink_to("place")
    code, said = cli("run", "red.yaml", "--quiet")
    assert (code, "symbolic link" in said) == (2, True)
    proposal(1, to="no/such/red")
    code, said = cli("run", "red.yaml", "--quiet")
    assert (code, "make it first" in said) == (2, True)


def test_a_second_one_at_a_time_is_refused(proposal, cli):
    made = proposal(1)
    code = (
        "import sys, time; from pathlib import Path; from dxflow.red.folder import Volume\n"
        "with Volume(Path('red')).held():\n    print('held', flush=True); time.sleep(60)"
    )
    process = programs.Program(code, folder=made.folder)
    deadline = time.monotonic() + 60
    while "held" not in process.printed():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    code, said = cli("run", "red.yaml", "--quiet")
    assert (code, f"process {process.pid} on" in said) == (2, True)
    process.kill()
    process.wait()
    assert cli("run", "red.yaml", "--quiet")[0] == 0


def test_without_room_nothing_is_written_and_with_room_it_goes_on(proposal, cli, tmp_path):
    with mounted(tmp_path / "disk", size="17m") as disk:
        made = proposal(1, to="disk/red")
        (disk / "filling").write_bytes(b"x" * 10**6)
        code, said = cli("run", "red.yaml", "--quiet")
        assert (code, "are needed there" in said) == (2, True)
        assert not list(made.volume.rglob("*.h5"))
        (disk / "filling").unlink()
        assert cli("run", "red.yaml", "--quiet")[0] == 0


def test_results_that_are_links_damaged_or_no_results_are_told(proposal, cli):
    proposal(1, ["{run: raw/r0001, keep: processed, results: [mean.zarr]}"])
    assert "is not there" in cli("run", "red.yaml", "--quiet")[1]
    Path("mean.zarr").mkdir()
    assert "is no result of dxflow" in cli("run", "red.yaml", "--quiet")[1]
    Path("mean.zarr").rmdir()
    dxflow.reduce("raw/r0001", Average(img=Frames(modules=(0, 1))), "there.zarr", cluster="here", quiet=True)
    Path("mean.zarr").symlink_to("there.zarr")
    assert "symbolic link" in cli("run", "red.yaml", "--quiet")[1]
    Path("mean.zarr").unlink()
    Path("there.zarr").rename("mean.zarr")
    chunk = max(Path("mean.zarr").rglob("c.*"), key=lambda path: path.stat().st_size)
    raw = chunk.read_bytes()
    chunk.write_bytes(bytes([raw[0] ^ 1]) + raw[1:])
    assert "is not as it was written" in cli("run", "red.yaml", "--quiet")[1]
    chunk.write_bytes(raw)
    assert cli("run", "red.yaml", "--quiet")[0] == 0


def test_hostile_names_of_results_and_runs_stay_names(proposal, cli):
    name = "a|b](x) <i>\n$(rm -rf)`\\ü.txt"
    proposal(
        1, [f"{{run: raw/r0001, keep: processed, results: [{json.dumps(name)}], as: 'r [1](x)|<b> $(x)'}}"]
    )
    Path(name).write_text("x")
    assert cli("run", "red.yaml", "--quiet")[0] == 0
    code, said = cli("verify", "red.yaml")
    assert code == 0, said
    shown = Path("red/README.md").read_text()
    assert "r \\[1\\]\\(x\\)\\|\\<b\\> $\\(x\\)".replace("$", "\\$") in shown
    assert (
        subprocess.run(
            ["sha256sum", "--quiet", "-c", "manifest-sha256.txt"], cwd="red", check=False
        ).returncode
        == 0
    )


def test_it_is_said_where_slurm_would_run_it_that_the_file_is_wrong(proposal):
    from dxflow.commands.job import checked, command
    from dxflow.errors.usage import UsageError

    made = proposal(1)
    assert command(["red", "run", str(made.file)])[-3:] == ["red", "run", str(made.file)]
    assert checked(["red", "run", str(made.file)]) == {}
    made.file.write_text(made.file.read_text().replace("keep: raw", "keep: raw, foo: 1"))
    with pytest.raises(UsageError, match="foo"):
        checked(["red", "run", str(made.file)])
    assert sys.executable


def test_what_it_says_of_itself_is_written_anew_without_the_runs(proposal, cli):
    made = proposal(2, ["{run: raw/r0001, keep: raw}", "{run: raw/r0002, keep: nothing, why: dark}"])
    assert cli("run", "red.yaml", "--quiet", "--metadata")[0] == 2
    assert cli("run", "red.yaml", "--quiet")[0] == 0
    before = data(made.volume)
    shutil.rmtree("raw")
    text = made.file.read_text()
    made.file.write_text(text.replace("Water", "Ice") + "doi: 10.22003/XFEL.EU-DATA-900123-00\n")
    code, said = cli("run", "red.yaml", "--quiet", "--metadata")
    assert code == 0, said
    assert data(made.volume) == before
    assert json.loads((made.volume / "datacite.json").read_text())["doi"] == "10.22003/XFEL.EU-DATA-900123-00"
    assert (made.volume / "README.md").read_text().startswith("# Ice\n")
    assert cli("verify", "red.yaml")[0] == 0
    made.file.write_text(text.replace("why: dark", "why: bright"))
    code, said = cli("run", "red.yaml", "--quiet", "--metadata")
    assert (code, "says something else of runs" in said) == (2, True)
    made.file.write_text(text)
    (made.volume / "mine.txt").write_text("x")
    assert "mine.txt, which is no part" in cli("run", "red.yaml", "--quiet", "--metadata")[1]
    (made.volume / "mine.txt").unlink()
    assert cli("verify", "red.yaml")[0] == 0


def test_metadata_that_are_cut_off_are_written_by_the_next_try(proposal):
    made = proposal(1)
    assert made_of(made.file).complete
    functions, calls = [(os, "replace"), (Path, "unlink"), (Path, "mkdir")], 0
    start = (finishing, "_refuse_foreign")
    while dies(calls + 1, functions, start, lambda: finishing.anew(asked(made.file))):
        calls += 1
        finishing.anew(asked(made.file))
        assert verify(made.volume, quiet=True).problems == ()
    assert calls > 5


def test_who_stops_it_is_told_that_it_goes_on(proposal, cli, monkeypatch):
    proposal(2)
    real, names = making._one, []

    def once(one, *rest):
        names.append(one.wanted.name)
        if len(names) == 2:
            raise KeyboardInterrupt
        return real(one, *rest)

    monkeypatch.setattr(making, "_one", once)
    code, said = cli("run", "red.yaml", "--quiet")
    assert (code, "the same command goes on with the rest" in said) == (130, True)
    assert cli("run", "red.yaml", "--quiet")[0] == 0
    assert names == ["r0001", "r0002", "r0002"]


def test_files_that_were_hashed_meanwhile_are_not_read_again_unless_they_changed(proposal, monkeypatch):
    made = proposal(1)
    read, real = [], making.each
    monkeypatch.setattr(making, "each", lambda paths, say: real((read.append(p) or p for p in paths), say))

    def all_of_it(self, *error):
        for note in self.partial.with_name("r0001").glob("*.h5"):
            self.found[note.name] = hashed(note)
        self.found[max(self.found)] = hashed(made.file)

    monkeypatch.setattr(making.Following, "__exit__", all_of_it)
    assert made_of(made.file, cluster="here").complete
    names = sorted(path.name for path in Path("raw/r0001").glob("*.h5"))
    assert sorted(name for name, _ in read) == sorted(["dxflow.json", names[-1]])
    assert verify(made.volume, quiet=True).problems == ()


def test_a_thread_hashes_what_is_noted_and_leaves_out_what_it_cannot_read(tmp_path):
    for name in ("a.h5", "gone.h5"):
        (tmp_path / name).write_bytes(os.urandom(100))
        notes.write(tmp_path, name, (100, 0))
    (tmp_path / "gone.h5").unlink()
    (tmp_path / ".done-0").write_text("[")
    with Following(tmp_path) as following:
        deadline = time.monotonic() + 30
        while len(following._seen) < 3:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert following.found == {"a.h5": hashed(tmp_path / "a.h5")}


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("keep: frames, frames: 'pulses=0:2', codek: x", "codek: there is no such option of a copy. Did you"),
        ("keep: frames, frames: none.zarr", "no result of dxflow is there"),
        ("keep: frames, frames: 'pulses=x'", "expected one of trains, pulses, cells"),
        ("keep: frames, trains: {a: 1}", "runs.0.trains: expected a text, a number, or a list"),
        ("keep: frames, frames: lit, keep_empty: 3", "runs.0.keep_empty: expected true or false"),
        ("keep: frames, frames: lit, overwrite: true", "there is no such option"),
        ("keep: regions, region: none.zarr", "no result of dxflow is there"),
        ("keep: raw, as: ../out", "is no name of a folder"),
        ("keep: raw, as: .red", "is no name of a folder"),
        ("keep: raw, as: '{run}x{proposal}'", "does not say its proposal number"),
        ("keep: raw, results: [a/x.zarr, b/x.zarr]", "two results have the same name"),
    ],
)  # fmt: skip
def test_options_that_cannot_be_are_named_with_their_line(proposal, cli, row, said):
    made = proposal(1, [f"{{run: raw/r0001, {row}}}"])
    code, shown = cli("run", "red.yaml", "--quiet")
    assert (code, said in shown, "red.yaml, line 13" in shown) == (2, True, True), shown
    assert not made.volume.exists()


def test_runs_of_one_name_and_patterns_that_fit_nothing_are_refused(proposal, cli):
    proposal(1, ["{run: raw/r0001, keep: raw}", "{run: 'raw/r000?', keep: frames, trains: 1}"])
    code, said = cli("plan", "red.yaml")
    assert (code, "red.yaml, line 14, runs.1.run: raw/r0001: its folder would be 'r0001'" in said) == (
        2,
        True,
    )
    proposal(1, ["{run: 'raw/x*', keep: raw}"])
    assert "no run fits this pattern" in cli("plan", "red.yaml")[1]
    proposal(2, ["{run: 'raw/r000?', keep: frames, trains: 1, as: '{name}_{run:03}'}"])
    code, said = cli("plan", "red.yaml")
    assert (code, "r0002_002  frames" in said, "3 of 4 trains" in said) == (0, True, True)


def test_new_files_and_techniques_are_shown(proposal, cli):
    proposal(2)
    code, said = cli("new", "new.yaml", "raw/r*")
    assert (code, "dxflow red plan new.yaml" in said) == (0, True)
    assert Path("new.yaml").read_text().count("keep: raw}") == 2
    assert cli("plan", "other.yaml", "--new")[0] == 0
    assert Path("other.yaml").read_text().startswith("# What remains")
    assert cli("new", "new.yaml")[0] == 2
    code, said = cli("techniques")
    assert "PaNET01188  small angle x-ray scattering; SAXS\n" in said
    assert cli("plan", "none.yaml")[0] == 2


def test_runs_that_the_file_does_not_name_are_told(proposal, cli):
    proposal(3, ["{run: raw/r0002, keep: raw}"])
    assert "beside   runs that are not named: raw/r0001, raw/r0003" in cli("plan", "red.yaml")[1]
    assert cli("run", "red.yaml", "--dry-run")[0] == 0
    assert not Path("red").exists()


def test_slurm_makes_it_as_a_job(proposal, cli, slurm, capsys):
    from dxflow.commands.main import main

    made = proposal(1)
    assert main(["submit", "--cores", "1", "red", "run", "red.yaml", "--quiet"]) == 0
    job = capsys.readouterr().out.split()[1]
    slurm.wait(lambda: slurm("squeue", "-h", "-t", "all", "-j", job, "-o", "%T").strip() == "COMPLETED")
    assert made.volume.is_dir()
    assert cli("verify", "red.yaml")[0] == 0


def test_what_is_asked_for_otherwise_takes_the_place_of_what_was_copied_only_if_asked(proposal, cli):
    lines = [
        "{run: raw/r0001, keep: raw, results: [a.txt]}",
        "{run: raw/r0002, keep: raw}",
        "{run: gone, keep: raw}",
    ]
    made = proposal(2, lines)
    Path("a.txt").write_text("a")
    assert cli("run", "red.yaml", "--quiet")[0] == 1
    first = contents(made.volume / "runs")
    lines = ["{run: raw/r0001, keep: processed, results: [b.txt]}"]
    proposal(2, lines)
    Path("b.txt").write_text("b")
    code, said = cli("run", "red.yaml", "--quiet")
    assert (code, "has r0002, which the file does not name any more" in said) == (2, True)
    proposal(2, [*lines, "{run: raw/r0002, keep: frames, frames: 'pulses=0:1'}"])
    code, said = cli("run", "red.yaml", "--quiet")
    assert (code, "r0001  failed: is in the volume already, by other options" in said) == (1, True)
    assert contents(made.volume / "runs") == first
    proposal(2, lines)
    assert cli("run", "red.yaml", "--quiet", "--again")[0] == 0
    assert sorted(str(p.relative_to(made.volume)) for p in made.volume.rglob("*/*") if p.is_file()) == [
        "results/r0001/b.txt"
    ]
    assert cli("verify", "red.yaml")[0] == 0


def test_replacing_what_was_copied_goes_on_wherever_it_was_cut_off(proposal):
    def begun(keep):
        return proposal(1, [f"{{run: raw/r0001, {keep}}}", "{run: gone, keep: raw}"])

    def again():
        return made_of(made.file, cluster="here", again=True)

    functions, calls = [(Path, "unlink"), (Path, "rmdir"), (os, "replace")], 0
    while True:
        made = begun("keep: raw")
        assert not made_of(made.file, cluster="here").complete
        begun("keep: frames, frames: 'pulses=0:1'")
        start = (making.Volume, "remove")
        if not dies(calls + 1, functions, start, again):
            break
        calls += 1 if calls < 2 else 6
        again()
        proposal(1, ["{run: raw/r0001, keep: frames, frames: 'pulses=0:1'}"])
        done = made_of(made.file, cluster="here")
        assert done.complete, done.failures
        assert verify(made.volume, quiet=True).problems == ()
        shutil.rmtree(made.volume)
    assert calls > 5


@pytest.mark.parametrize("link", ["runs/r0001", "results/r0001", "results/r0001/mean.zarr"])
def test_nothing_is_removed_behind_a_link(proposal, cli, link):
    lines = ["{run: raw/r0001, keep: raw, results: [mean.zarr]}", "{run: gone, keep: raw}"]
    made = proposal(1, lines)
    if not Path("mean.zarr").exists():
        options = {"cluster": "here", "quiet": True}
        dxflow.reduce("raw/r0001", Average(img=Frames(modules=(0, 1))), "mean.zarr", **options)
    assert cli("run", "red.yaml", "--quiet")[0] == 1
    place = made.volume / link
    place.rename("elsewhere")
    place.symlink_to(Path("elsewhere").absolute())
    before = contents("elsewhere")
    Path("raw/r0001").touch()
    proposal(1, [lines[0].replace("keep: raw", "keep: processed"), lines[1]])
    code, said = cli("run", "red.yaml", "--quiet", "--again")
    assert (code, "symbolic link" in said) == (1, True), said
    assert contents("elsewhere") == before


def test_an_original_that_a_link_in_the_volume_leads_to_is_not_removed(proposal, cli):
    made = proposal(
        1, ["{run: raw/r0001, keep: processed, results: [a/mean.zarr]}", "{run: gone, keep: raw}"]
    )
    Path("a").mkdir()
    options = {"cluster": "here", "quiet": True}
    dxflow.reduce("raw/r0001", Average(img=Frames(modules=(0, 1))), "a/mean.zarr", **options)
    assert cli("run", "red.yaml", "--quiet")[0] == 1
    before = contents("a")
    for name in ("results/r0001", "results/r0001/mean.zarr"):
        shutil.rmtree(made.volume / "results/r0001")
        (made.volume / name).parent.mkdir(exist_ok=True)
        (made.volume / name).symlink_to(Path("a").absolute() / Path(name).relative_to("results/r0001"))
        (made.volume / ".red/run-r0001.json").unlink(missing_ok=True)
        code, said = cli("run", "red.yaml", "--quiet")
        assert (code, "symbolic link" in said) == (1, True), said
        assert contents("a") == before
        (made.volume / name).unlink()
        (made.volume / "results/r0001").mkdir(exist_ok=True)


def test_room_that_is_needed_does_not_count_copies_of_other_runs(proposal):
    made = proposal(2, ["{run: raw/r0001, keep: raw, as: a}", "{run: raw/r0002, keep: raw, as: a_two}"])
    os.rename("raw/r0001", "later")
    assert not made_of(made.file, cluster="here").complete
    os.rename("later", "raw/r0001")
    read = asked(made.file)
    volume = making.Volume(read.to)
    planned = making.plan(making.survey(read, wanted_of(read), volume), volume.path / "runs")
    size = sum(path.stat().st_size for path in Path("raw/r0001").glob("*.h5"))
    assert making._need(planned, volume) == size


def test_a_copy_that_lost_a_file_is_made_again(proposal, cli):
    made = proposal(2)
    os.rename("raw/r0002", "later")
    assert cli("run", "red.yaml", "--quiet")[0] == 1
    os.rename("later", "raw/r0002")
    next((made.volume / "runs/r0001").glob("*.h5")).unlink()
    code, said = cli("run", "red.yaml", "--quiet")
    assert (code, "r0001  done" in said) == (0, True), said
    assert cli("verify", "red.yaml", "--deep")[0] == 0


def test_plans_that_are_too_large_to_be_kept_are_made_again(proposal, cli, monkeypatch):
    from dxflow.red import planning

    real, planned = planning.copy_plan, []
    for module in (planning, making):
        monkeypatch.setattr(module, "copy_plan", lambda *given: planned.append(given[0].name) or real(*given))
    monkeypatch.setattr(planning, "KEPT", 0)
    proposal(2, ["{run: raw/r0001, keep: frames, frames: 'pulses=0:5'}", "{run: raw/r0002, keep: raw}"])
    code, said = cli("run", "red.yaml", "--quiet")
    assert (code, planned) == (0, ["r0001", "r0002", "r0001"])
    assert cli("verify", "red.yaml")[0] == 0


def test_runs_that_lie_beside_the_volume_are_in_nobodys_way(proposal, cli):
    proposal(1)
    os.rename("raw/r0001", "r0001")
    Path("red.yaml").write_text(Path("red.yaml").read_text().replace("raw/r0001", "r0001"))
    assert cli("plan", "red.yaml")[0] == 0
    assert cli("run", "red.yaml", "--quiet")[0] == 0


def test_only_an_older_plan_is_replaced_by_one_that_is_saved(proposal, cli):
    proposal(1)
    Path("plan.json").write_text("{}")
    code, said = cli("plan", "red.yaml", "--save", "plan.json")
    assert (code, Path("plan.json").read_text()) == (2, "{}")
    Path("plan.json").unlink()
    assert cli("plan", "red.yaml", "--save", "plan.json")[0] == 0
    assert cli("plan", "red.yaml", "--save", "plan.json")[0] == 0


def test_a_copy_that_is_damaged_before_it_is_hashed_is_told_and_the_others_go_on(proposal, cli, monkeypatch):
    made, real = proposal(2), making.execute

    def damaging(plan, cluster):
        real(plan, cluster)
        if plan.folder.path.name == "r0001":
            file = next(plan.folder.path.glob("*.h5"))
            raw = file.read_bytes()
            file.write_bytes(raw[:-1] + bytes([raw[-1] ^ 1]))

    monkeypatch.setattr(making, "execute", damaging)
    monkeypatch.setattr(Following, "_one", lambda self, note: None)
    code, said = cli("run", "red.yaml", "--quiet")
    assert (code, "is not as it was written" in said, "r0002  done" in said) == (1, True, True)
    shutil.rmtree(made.volume / "runs/r0001")
    monkeypatch.setattr(making, "execute", real)
    assert cli("run", "red.yaml", "--quiet")[0] == 0


SELECTED = [
    "keep: frames, frames: 'lit/{name}.zarr'",
    "keep: frames, frames: ['pulses=0:2', 'lit/r{run:04}.zarr:litframes']",
    "keep: regions, region: 'lit/r{run}.zarr'",
]


@pytest.fixture
def lit():
    """Return a function that selects frames of a run, those with many bright pixels, anew."""

    def make(number, fraction):
        options = {"cluster": "here", "quiet": True, "overwrite": True}
        algorithm = LitFrames(img=Frames(modules=(0,)), threshold=0.0, fraction=fraction)
        dxflow.reduce(f"raw/r{number:04}", algorithm, f"lit/r{number:04}.zarr", **options)

    return make


@pytest.mark.parametrize("row", SELECTED)
def test_a_result_that_selects_is_known_when_it_was_made_anew_however_it_is_named(proposal, lit, row):
    Path("lit").mkdir()
    made = proposal(2, [f"{{run: 'raw/r*', {row.replace('r{run}', 'r{run:04}')}}}"])
    for number in (1, 2):
        lit(number, 0.1)

    def fingerprints():
        read = asked(made.file)
        return [one.fingerprint for one in survey(read, wanted_of(read), Volume(read.to)).runs]

    before = fingerprints()
    assert fingerprints() == before
    lit(2, 0.9)
    after = fingerprints()
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)


def test_what_was_copied_by_a_selection_that_was_made_anew_is_told_and_copied_again(proposal, cli, lit):
    Path("lit").mkdir()
    line = "{run: 'raw/r*', keep: frames, frames: 'lit/r{run:04}.zarr'}"
    made = proposal(1, [line, "{run: gone, keep: raw}"])
    lit(1, 0.0)
    assert cli("plan", "red.yaml", "--save", "plan.json")[0] == 1
    code, said = cli("run", "red.yaml", "--quiet", "--expect", "plan.json")
    assert (code, "r0001  done" in said) == (1, True), said
    lit(1, 0.6)
    code, said = cli("run", "red.yaml", "--quiet", "--expect", "plan.json")
    assert (code, "runs r0001 changed since" in said) == (2, True), said
    proposal(1, [line])
    code, said = cli("run", "red.yaml", "--quiet")
    assert (code, "r0001  failed: has changed since it was copied (a result)" in said) == (1, True), said
    assert cli("run", "red.yaml", "--quiet", "--again")[0] == 0
    (one,) = json.loads((made.volume / "red.json").read_text())["runs"]
    assert one["options"] == {"frames": "lit/r0001.zarr"}
    (kept, every) = next(iter(one["report"]["frames"].values()))[::-1]
    assert kept == int(dxflow.open("lit/r0001.zarr").dataset["litframes.lit"].sum()) < every


@pytest.mark.parametrize("options", [{"frames": "{}:litframes_2"}, {"intensity": ["x=1", "dark=a,{}"]}])
def test_a_path_is_seen_wherever_an_option_has_it_and_no_folder_of_others(tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    for name in ("x.zarr", "lit"):
        Path(name).mkdir()
    given = json.loads(json.dumps({**options, "select": "lit"}).replace("{}", "x.zarr"))

    def now():
        return fingerprint(Source((), ()), given, (), "frames")

    Path("x.zarr/dxflow.json").write_text("1")
    before = now()
    Path("lit/other").write_text("")
    assert now() == before
    Path("x.zarr/dxflow.json").write_text("22")
    assert now() != before


def test_a_template_that_a_run_cannot_fill_is_named_before_anything_is_read(proposal, cli):
    proposal(1)
    shutil.copytree("raw/r0001", "raw/dark")
    proposal(1, ["{run: 'raw/*', keep: frames, frames: 'lit/r{run:04}.zarr'}"])
    code, said = cli("plan", "red.yaml")
    where = "red.yaml, line 13, runs.0.frames: {run:04}: raw/dark does not say its run number"
    assert (code, where in said) == (2, True), said


def test_what_cannot_be_read_beside_runs_does_not_hide_others(proposal, cli, monkeypatch):
    proposal(3, ["{run: raw/r0002, keep: raw}"])
    Path("raw/private").mkdir()
    Path("raw/circle").symlink_to("circle")
    Path("raw/again").symlink_to("r0002")
    real = os.scandir

    def scandir(path="."):
        if str(path).endswith("private"):
            raise PermissionError(13, "Permission denied", path)
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert cli("run", "red.yaml", "--quiet")[0] == 0
    assert json.loads(Path("red/red.json").read_text())["not_named"] == ["raw/r0001", "raw/r0003"]


def test_a_result_of_which_a_part_is_gone_or_cannot_be_read_is_not_kept_without_it(
    proposal, cli, monkeypatch
):
    proposal(1, ["{run: raw/r0001, keep: processed, results: [mean.zarr]}"])
    options = {"cluster": "here", "quiet": True}
    dxflow.reduce("raw/r0001", Average(img=Frames(modules=(0, 1))), "mean.zarr", **options)
    chunk = max(Path("mean.zarr").rglob("c.*"), key=lambda path: path.stat().st_size)
    raw = chunk.read_bytes()
    chunk.unlink()
    code, said = cli("plan", "red.yaml")
    assert (code, f"{chunk}: missing" in said) == (1, True), said
    chunk.write_bytes(raw)
    real = os.scandir

    def scandir(path="."):
        if str(path) == str(folder):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    folder = chunk.parent
    code, said = cli("plan", "red.yaml")
    assert (code, f"Permission denied: '{folder}'" in said) == (1, True), said
    folder = None
    assert cli("run", "red.yaml", "--quiet")[0] == 0
    folder = Path("red/results/r0001") / chunk.parent
    code, said = cli("verify", "red.yaml")
    assert (code, f"wrong    {folder}: Permission denied" in said) == (1, True), said


def test_a_dry_run_says_what_the_same_run_would_do(proposal, cli):
    proposal(2, ["{run: raw/r0001, keep: raw}", "{run: raw/r0002, keep: raw}", "{run: gone, keep: raw}"])
    assert cli("run", "red.yaml", "--quiet")[0] == 1
    made = proposal(2, ["{run: raw/r0001, keep: frames, frames: 'pulses=0:1'}"])
    before = contents(made.volume)
    code, said = cli("run", "red.yaml", "--dry-run")
    assert (code, "by other options: 'dxflow red run --again'" in said) == (1, True), said
    assert "r0002: is in the volume, and not named any more: only 'dxflow red run --again'" in said
    code, said = cli("run", "red.yaml", "--dry-run", "--again")
    assert (code, "of 12 frames of SPB_DET" in said) == (0, True), said
    assert cli("plan", "red.yaml", "--save", "plan.json")[0] == 1
    assert cli("run", "red.yaml", "--dry-run", "--again", "--expect", "plan.json")[0] == 0
    with next(Path("raw/r0001").glob("*.h5")).open("ab") as file:
        file.write(b"more")
    code, said = cli("run", "red.yaml", "--dry-run", "--again", "--expect", "plan.json")
    assert (code, "runs r0001 changed since" in said) == (2, True), said
    assert contents(made.volume) == before


@pytest.mark.parametrize(
    "words",
    [
        ["run", "red.yaml", "--metadata", "--dry-run"],
        ["run", "red.yaml", "--metadata", "--again"],
        ["run", "red.yaml", "--metadata", "--expect", "plan.json"],
        ["plan", "new.yaml", "--new", "--save", "plan.json"],
    ],
)
def test_options_that_mean_nothing_together_are_refused(proposal, cli, words):
    from dxflow.commands.job import checked
    from dxflow.errors.usage import UsageError

    made = proposal(1)
    assert cli("run", "red.yaml", "--quiet")[0] == 0
    before = contents(made.volume)
    code, said = cli(*words)
    assert (code, "do not go together" in said) == (2, True), said
    assert contents(made.volume) == before
    assert not Path("new.yaml").exists()
    with pytest.raises(UsageError, match="do not go together"):
        checked(["red", *words])


def test_a_plan_that_is_none_is_told_before_a_job_waits_for_its_turn(proposal):
    from dxflow.commands.job import checked
    from dxflow.errors.usage import UsageError

    made = proposal(1)
    with pytest.raises(UsageError, match="expected what 'dxflow red plan --save' wrote"):
        checked(["red", "run", str(made.file), "--expect", str(made.file)])


def test_a_reason_that_was_written_anew_is_that_of_the_volume(proposal, cli):
    made = proposal(1, ["{run: raw/r0001, keep: nothing, why: dark}", "{run: gone, keep: raw}"])
    assert cli("run", "red.yaml", "--quiet")[0] == 1
    proposal(1, ["{run: raw/r0001, keep: nothing, why: bright}"])
    code, said = cli("run", "red.yaml", "--quiet")
    assert (code, "r0001  was there" in said) == (0, True), said
    assert json.loads((made.volume / "red.json").read_text())["runs"][0]["why"] == "bright"
    assert "everything: bright" in (made.volume / "README.md").read_text()
    assert cli("verify", "red.yaml")[0] == 0
