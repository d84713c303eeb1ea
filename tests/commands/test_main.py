import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from dxflow.commands import main as cli
from dxflow.simulate import Plant, make_run

ALGORITHM = '''
import numpy as np

from dxflow import Algorithm, Frames, Output

class RoiSum(Algorithm):
    """Sum of a band of every module, pulse by pulse."""

    ALG_ID = "band"
    HELP = "sum of a band of rows"
    inputs = {"img": Frames("image.data")}

    @classmethod
    def add_arguments(cls, parser):
        parser.add_argument("--ss", type=int, nargs=2, default=(0, 512), help="first and last row")
        parser.add_argument("--scale", type=float, default=1.0)
        parser.add_argument("--fail", action="store_true")
        parser.add_argument("--stop", action="store_true")

    def outputs(self, info):
        return {"intensity": Output(per="img", dtype="f8")}

    def process_module_data(self, block, out):
        if self.fail:
            raise ZeroDivisionError("on purpose")  # the line that failed
        if self.stop and block.train_ids[0] == 10004:
            raise KeyboardInterrupt
        out.intensity += self.scale * np.nansum(block["img"][:, slice(*self.ss)], axis=(1, 2), dtype="f8")
'''


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    return make_run(
        tmp_path_factory.mktemp("cli") / "r0001", trains=4, pulses=4, module_shape=(8, 8), devices=("xgm",)
    )


@pytest.fixture
def band(tmp_path):
    """An algorithm in a file, as it is named on the command line."""
    (tmp_path / "mine.py").write_text(ALGORITHM)
    return f"{tmp_path}/mine.py:RoiSum"


@pytest.fixture
def here(small, tmp_path):
    """The start of a command line that reduces in this process."""
    return ["reduce", small.path, "--to", f"{tmp_path}/out.zarr", "--cluster", "here"]


def opened(tmp_path, name="out.zarr"):
    return xr.open_zarr(tmp_path / name, chunks=None)


def frames(run):
    """All frames of a run, (module, frame, ss, fs), bad pixels NaN."""
    import extra_data

    opened = extra_data.RunDirectory(run.path)
    read = (np.stack([opened[s, key].ndarray() for s in run.sources]) for key in ("image.data", "image.mask"))
    data, mask = read
    return np.where(mask == 0, data.astype("f8"), np.nan)


# What works


def test_help_names_all_commands_and_exit_codes(capsys):
    assert cli.main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"dxflow {name}" in shown for name in cli.COMMANDS)
    assert "130 interrupted" in shown


def test_help_starts_at_once():
    before = os.times()
    done = subprocess.run(
        [sys.executable, "-m", "dxflow", "--help"], capture_output=True, text=True, check=True
    )
    after = os.times()
    # About 0.2 s. On a machine that does other things it takes longer, but not more work.
    assert after.children_user + after.children_system - before.children_user - before.children_system < 1.5
    assert "dxflow reduce" in done.stdout


def test_no_command_shows_what_there_is_and_fails(capsys):
    assert cli.main([]) == 2
    assert "dxflow reduce" in capsys.readouterr().out


def test_version_is_that_of_the_package(capsys):
    from importlib.metadata import version

    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"dxflow {version('dxflow')}"


def test_simulate_writes_a_run_that_info_describes(tmp_path, capsys):
    path = str(tmp_path / "r0002")
    assert cli.main(["simulate", path, "--trains", "3", "--pulses", "2", "--module-shape", "8", "8"]) == 0
    assert cli.main(["info", path]) == 0
    shown = capsys.readouterr().out
    assert "3: 10001-10003" in shown
    assert "SPB_DET_AGIPD1M-1 (AGIPD1M, corrected)" in shown
    assert "16 of 16 modules: 0-15" in shown
    assert "image.data: float32 8 x 8, 2 frames per train" in shown
    assert "SA1_XTD2_XGM/XGM/DOOCS:output: " in shown
    assert "data.intensityTD" in shown


def test_info_names_missing_modules(tmp_path, capsys):
    path = str(tmp_path / "r0002")
    cli.main(
        ["simulate", path, "--trains", "2", "--module-shape", "8", "8", "--missing-modules", "3", "4", "9"]
    )
    assert cli.main(["info", path]) == 0
    assert "13 of 16 modules: 0-2, 5-8, 10-15; missing: 3-4, 9" in capsys.readouterr().out


def test_info_with_a_pattern_shows_keys_with_types(small, capsys):
    assert cli.main(["info", small.path, "*XGM*:output"]) == 0
    assert "data.intensityTD: float32 1000, 4 entries" in capsys.readouterr().out


def test_several_algorithms_in_one_line_share_one_pass(here, band, tmp_path, small, capsys):
    line = [*here, band, "--ss", "0", "4", "--name", "low", band, "--scale", "2"]
    assert cli.main(line) == 0
    expected = frames(small)
    np.testing.assert_allclose(
        opened(tmp_path)["low.intensity"], np.nansum(expected[:, :, :4], axis=(0, 2, 3))
    )
    np.testing.assert_allclose(opened(tmp_path)["band.intensity"], 2 * np.nansum(expected, axis=(0, 2, 3)))
    shown = capsys.readouterr().out
    assert shown.count("input ") == 1, "read once"
    assert "/out.zarr" in shown.splitlines()[-2]
    assert "lost     nothing" in shown


def test_built_in_algorithms_take_their_own_options_in_one_line(here, tmp_path, small):
    geometry = ["--geometry", f"{small.path}/geometry.npy", "--distance", "0.2", "--energy", "9.3"]
    assert cli.main([*here, "azint", *geometry, "--nbins", "50", "average", "--per", "cell"]) == 0
    data = opened(tmp_path)
    assert 50 in data.sizes.values()
    average = data["average.mean"]
    assert {4, 16, 8} <= set(average.shape)


def test_a_name_before_an_algorithm_is_that_of_the_pass(small, band, tmp_path, capsys):
    line = ["reduce", small.path, "--to", f"{tmp_path}/o.zarr", "--cluster", "here", "--name", "water"]
    assert cli.main([*line, band, "--name", "low"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("water") == 2, "in the plan and in the report"
    assert shown.startswith("name        water\n")
    assert list(opened(tmp_path, "o.zarr").data_vars)[0] == "low.intensity"


def test_shared_options_may_stand_behind_an_algorithm(small, band, tmp_path):
    assert (
        cli.main(
            ["reduce", small.path, band, "--ss", "0", "4", "--to", f"{tmp_path}/o.zarr", "--cluster=here"]
        )
        == 0
    )
    assert "band.intensity" in opened(tmp_path, "o.zarr")


def test_a_name_that_is_the_value_of_an_option_starts_no_algorithm(here, band, tmp_path):
    assert cli.main([*here, band, "--name", "average"]) == 0
    assert list(opened(tmp_path).data_vars)[0].startswith("average.")


def test_negative_numbers_are_values(here, band, tmp_path, small):
    assert cli.main([*here, band, "--scale", "-2"]) == 0
    np.testing.assert_allclose(
        opened(tmp_path)["band.intensity"], -2 * np.nansum(frames(small), axis=(0, 2, 3))
    )


def test_modules_and_frames_narrow_what_is_read(here, band, tmp_path, small):
    assert (
        cli.main(
            [*here, "--modules", "0,2-3", "--frames", "pulses=0:8:4", "--frames", "trains=10002,10003", band]
        )
        == 0
    )
    picked = np.nansum(frames(small)[[0, 2, 3]], axis=(0, 2, 3)).reshape(4, 4)[1:3, :2]
    np.testing.assert_allclose(opened(tmp_path)["band.intensity"], picked.ravel())


def test_an_input_can_be_another_source(small, band, capsys):
    xgm = f"{small.devices['xgm']}:output"
    assert cli.main(["plan", small.path, band, "--input", f"img={xgm},data.intensityTD"]) == 0
    assert f"{xgm} data.intensityTD: 4 entries of 1 x 1000 float32" in capsys.readouterr().out


def test_an_input_can_be_an_output_of_the_same_pass(small, tmp_path, capsys):
    text = ALGORITHM + (
        "\n\nclass Double(RoiSum):\n    ALG_ID = 'double'\n"
        "    def outputs(self, info):\n        return {'img': Output(per='img', shape=('pixels',))}\n"
    )
    (tmp_path / "two.py").write_text(text)
    line = ["plan", small.path, f"{tmp_path}/two.py:RoiSum", f"{tmp_path}/two.py:RoiSum", "--name", "b"]
    assert cli.main([*line, "--input", "img=nothing.img"]) == 2
    assert "b reads 'nothing.img' as 'img'" in capsys.readouterr().err


def test_plan_shows_what_would_be_done_and_writes_nothing(small, band, tmp_path, capsys):
    assert cli.main(["plan", small.path, "--to", f"{tmp_path}/never.zarr", band]) == 0
    shown = capsys.readouterr().out
    assert "16 entries of 16 x 8 x 8 float32" in shown
    assert "band: RoiSum(" in shown
    assert not list(tmp_path.glob("never*"))


def test_one_file_alone_can_be_reduced(small, band, tmp_path):
    file = min(Path(small.path).glob("*AGIPD03*.h5"))
    line = [
        "reduce",
        str(file),
        "--to",
        f"{tmp_path}/one.zarr",
        "--cluster",
        "here",
        "--on-fault",
        "mask",
        band,
    ]
    assert cli.main(line) == 0
    assert opened(tmp_path, "one.zarr").sizes["frame"] > 0


def test_list_shows_algorithms_recipes_and_clusters(capsys):
    assert cli.main(["list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("average", "azint", "litframes", "roi", "subtract"))
    assert "saxs" in shown


def test_list_and_cluster_offer_what_can_run_a_pass_and_nothing_else(small, band, capsys):
    assert cli.main(["list"]) == 0
    listed = [line.strip() for line in capsys.readouterr().out.partition("\nclusters\n")[2].splitlines()]
    assert listed == ["here", "local", "slurm"]
    for name in listed:
        assert cli.main(["plan", small.path, "--cluster", name, band]) == 0
    # Files that lie beside those of clusters, or among them.
    for name in ("kept", "kinds", "named", "patience", "runner", "tasks", "__init__", "client", ""):
        capsys.readouterr()
        assert cli.main(["plan", small.path, f"--cluster={name}:", band]) == 2
        assert f"no cluster {name!r}" in (said := capsys.readouterr().err)
        assert "There are: here, local, slurm" in said


def test_list_of_one_algorithm_shows_its_options(band, capsys):
    assert cli.main(["list", band]) == 0
    shown = capsys.readouterr().out
    assert "--ss SS SS" in shown
    assert "img = Frames(" in shown
    assert "Sum of a band" in shown


def test_a_run_on_worker_processes_gives_the_same(small, band, tmp_path):
    for name, cluster in (("a.zarr", "here"), ("b.zarr", "local:workers=1")):
        assert cli.main(["reduce", small.path, "--to", f"{tmp_path}/{name}", "--cluster", cluster, band]) == 0
    assert opened(tmp_path, "a.zarr").identical(opened(tmp_path, "b.zarr"))


def test_an_algorithm_without_documentation_is_not_shown_with_that_of_its_base(tmp_path, capsys):
    (tmp_path / "bare.py").write_text(
        "from dxflow import Algorithm, Frames\nclass Bare(Algorithm):\n    inputs = {'img': Frames()}\n"
    )
    assert cli.main(["list", f"{tmp_path}/bare.py:Bare"]) == 0
    assert capsys.readouterr().out.endswith("inputs:\n  img = Frames()\n")


# What does not work, and what is said about it


def test_a_result_that_exists_is_kept_unless_it_may_be_overwritten(here, band, capsys):
    assert cli.main([*here, band]) == 0
    assert cli.main([*here, band]) == 2
    assert "out.zarr exists" in capsys.readouterr().err
    assert cli.main([*here, "--overwrite", band]) == 0


def test_no_space_is_said_before_anything_is_read(here, band, monkeypatch, capsys):
    import shutil

    full = shutil.disk_usage("/")._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    assert cli.main([*here, band]) == 2
    assert "10 B are free" in capsys.readouterr().err


WRONG = {
    "a command": (["reduse"], "no command 'reduse'. Did you mean 'reduce'? Commands: simulate, plan, reduce"),
    "a run": (["plan", "/no/such/run", "BAND"], "no such run: /no/such/run"),
    "a run of a proposal": (["plan", "p999999/r0001", "BAND"], "999999"),
    "no algorithm": (["plan", "RUN"], "no algorithm is given. There are: "),
    "an algorithm": (["plan", "RUN", "averge"], "no algorithm 'averge'. Did you mean 'average'?"),
    "an option of an algorithm": (
        ["plan", "RUN", "BAND", "--scal", "1"],
        "band: unknown option --scal. Did you mean --scale?",
    ),
    "a shared option": (
        ["plan", "RUN", "--wokers", "1", "BAND"],
        "unknown option --wokers. Did you mean --workers?",
    ),
    "a value": (["plan", "RUN", "BAND", "--ss", "0", "x"], "argument --ss: invalid int value: 'x'"),
    "too few values": (["plan", "RUN", "BAND", "--ss", "0"], "argument --ss: expected 2 arguments"),
    "a source": (["plan", "RUN", "BAND", "--input", "img=SPB/NO,key"], "no source 'SPB/NO' in this run"),
    "a key": (["plan", "RUN", "BAND", "--input", "img=XGM,data.no"], "no key 'data.no' in "),
    "an alias": (["plan", "RUN", "BAND", "--input", "im=a.b"], "aliases: img"),
    "an earlier output": (["plan", "RUN", "BAND", "--input", "img=a.b"], "no algorithm before it makes that"),
    "a detector": (["plan", "RUN", "--detector", "LPD", "BAND"], "no such detector. Detectors in this run: "),
    "a module": (
        ["plan", "RUN", "--modules", "77", "BAND"],
        "(AGIPD1M) has no modules 77; in this run are 0-15: give some",
    ),
    "modules": (["plan", "RUN", "--modules", "a-b", "BAND"], "write 0,1,2 or 0-7"),
    "a cluster": (["plan", "RUN", "--cluster", "slrm", "BAND"], "no cluster 'slrm'"),
    "an option of a cluster": (
        ["plan", "RUN", "--cluster", "local:n=3", "BAND"],
        "Its options: workers, memory",
    ),
    "workers of no cluster": (
        ["plan", "RUN", "--cluster", "here", "--workers", "2", "BAND"],
        "has no workers",
    ),
    "a number of workers": (["plan", "RUN", "--workers", "0", "BAND"], "'0' is not a positive number"),
    "frames": (["plan", "RUN", "--frames", "lit=3", "BAND"], "expected one of trains, pulses, cells"),
    "a result that selects": (["plan", "RUN", "--frames", "no.zarr", "BAND"], "no result of dxflow is there"),
    "frames that none are": (
        ["plan", "RUN", "--frames", "pulses=5000:", "BAND"],
        "leaves none of its frames; there are trains 10001-10004, pulses 0, 4, 8, 12, cells 0-3",
    ),
    "a size": (["plan", "RUN", "--chunk", "much", "BAND"], "'much' is not a size"),
    "a format": (["plan", "RUN", "--to", "x.docx", "BAND"], "no format is known by this name"),
    "a folder": (["plan", "RUN", "--to", "/no/such/folder/x.zarr", "BAND"], "does not exist; make it first"),
    "no result": (["reduce", "RUN", "BAND"], "required: --to"),
    "a file": (["plan", "RUN", "none.py:A"], "no file none.py"),
    "a recipe": (["recipe", "sax"], "no recipe 'sax'. Did you mean 'saxs'?"),
    "a run to describe": (["info", "/no/such/run"], "no such run"),
    "sources to describe": (["info", "RUN", "*nothing*"], "no source fits '*nothing*'. Sources: "),
    "frames of a recipe": (
        ["recipe", "saxs", "RUN", "RUN", "--to", "/tmp/never", "--geometry", "x", "--frames", "lit=3"],
        "expected one of trains, pulses, cells",
    ),
    "a recipe's option": (["recipe", "saxs", "RUN", "--wokers"], "dxflow recipe saxs: "),
    "frames of a copy": (
        ["copy", "RUN", "/tmp/never", "--frames", "x=1"],
        "expected one of trains, pulses, cells",
    ),
    "trains": (["plan", "RUN", "--trains", "a:b", "BAND"], "write 10001:10050 (end excluded)"),
    "a run to copy": (["copy", "/no/such/run", "/tmp/never"], "no such run"),
    "a run to bench": (["bench", "/no/such/run"], "no such run"),
    "a place for measurements": (["bench", "RUN", "--json", "/no/x.json"], "the folder /no does not exist"),
    "an algorithm to bench": (["bench", "RUN", "--algorithms", "averge"], "Did you mean 'average'?"),
    "a result to verify": (["verify", "/no/such/result"], "no such result"),
    "what is no result": (["verify", "RUN"], "is no result of dxflow"),
    "an option of verify": (["verify"], "the following arguments are required: RESULT"),
    "a mask": (
        ["plan", "RUN", "--mask", "noen", "BAND"],
        "Did you mean --mask none? Keys there: image.cellId",
    ),
    "some of the modules": (
        ["plan", "RUN", "--modules", "0-20", "--on-fault", "mask", "BAND"],
        "has no modules 16-20; in this run are 0-15: give some of these with --modules",
    ),
    "a + before the first": (["plan", "RUN", "+", "BAND"], "there is none before this one"),
    "a + too many": (["plan", "RUN", "average", "+", "+", "BAND"], "+ stands between two algorithms"),
    "a + after the last": (["plan", "RUN", "BAND", "+"], "there is none after the last"),
    "a place without a name": (
        ["copy", "RUN", "."],
        ". is a folder that is there: give the copy a name in it",
    ),
    "a place above": (["copy", "RUN", ".."], ".. is a folder that is there"),
    "the root": (["copy", "RUN", "/"], "such as /copy"),
    "the root for a result": (["plan", "RUN", "--to", "/", "BAND"], "no format is known by this name"),
    "a job": (["logs"], "the following arguments are required: job"),
    "a directory to simulate into": (["simulate", "RUN"], "already holds HDF5 files"),
    "a parameter of a signal": (["simulate", "/tmp/never", "--set", "size=3"], "signal 'rings' has no size"),
    "an option of simulate": (["simulate", "/tmp/never", "--trans", "3"], "unrecognized arguments: --trans"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_usage_is_one_clear_message_and_exit_code_2(what, small, band, capsys):
    line, message = WRONG[what]
    stand_for = {"RUN": small.path, "BAND": band}
    line = [stand_for.get(word, word).replace("XGM", f"{small.devices['xgm']}:output") for word in line]
    assert cli.main(line) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert "Traceback" not in shown
    assert shown.count("\n") == 1, "one line"


def test_a_run_that_is_not_there_is_refused_with_one_of_a_like_name(small, capsys):
    assert cli.main(["info", f"{small.path[:-1]}2"]) == 2
    assert "no such run: " in (said := capsys.readouterr().err)
    assert "Did you mean 'r0001'?" in said


def test_a_plan_without_a_place_says_that_the_result_is_not_kept(small, band, capsys):
    assert cli.main(["plan", small.path, band]) == 0
    shown = capsys.readouterr().out
    assert "not kept, as no place is given for it: up to " in shown
    assert "result.zarr" not in shown


def run_piped(*words, **more):
    return subprocess.run(
        [sys.executable, "-m", "dxflow", *words], text=True, stderr=subprocess.PIPE, check=False, **more
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_ends_early_gets_no_message(small, unbuffered):
    env = os.environ | {"PYTHONUNBUFFERED": unbuffered}
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        done = run_piped("info", small.path, stdout=closed, env=env)
    assert done.stderr == ""
    assert done.returncode == 141


def test_messages_speak_of_options_of_the_command_line(tmp_path, band, capsys):
    make_run(tmp_path / "r1", trains=2, pulses=2, module_shape=(4, 4), plant=Plant(missing_modules=(3, 4)))
    assert cli.main(["plan", f"{tmp_path}/r1", "average"]) == 2
    assert capsys.readouterr().err == (
        f"dxflow: {tmp_path}/r1: 2 fault(s) in the data:\n"
        "- modules 3-4 (SPB_DET_AGIPD1M-1): missing module: not in this run\n"
        "Go on without the affected data with --on-fault mask (they are counted in Result.losses), or name the modules "
        "to use with --modules\n"
    )


def test_a_result_is_described_as_what_it_is(here, band, tmp_path, capsys):
    assert cli.main([*here, band]) == 0
    capsys.readouterr()
    assert cli.main(["info", f"{tmp_path}/out.zarr"]) == 0
    shown = capsys.readouterr().out
    assert "holds       band.intensity: float64 16 frame\n" in shown
    assert "used        SPB_DET_AGIPD1M-1 image.data: all 16 frames of 16 modules by band\n" in shown
    assert "\ndepends on\n" not in shown
    assert len(shown.splitlines()) <= 24
    assert cli.main(["info", f"{tmp_path}/out.zarr", "--all"]) == 0
    whole = capsys.readouterr().out
    assert "depends on\n" in whole
    assert "    option ss = [0, 512]\n" in whole
    assert "  memory  " in whole


def test_info_shows_some_keys_of_a_source_and_all_if_asked(tmp_path, capsys):
    make_run(tmp_path / "r", trains=2, detector=None, devices=("ppd",))
    assert cli.main(["info", f"{tmp_path}/r"]) == 0
    assert "sase2.pulseIds.value and 2 more\n" in capsys.readouterr().out
    assert cli.main(["info", f"{tmp_path}/r", "--all"]) == 0
    assert "sase2.pulseIds.value, sase3.nPulses.value, sase3.pulseIds.value\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "slow", "said"),
    [
        (["info", "RUN"], "dxflow.commands.describe.describe", "reading"),
        (["verify", "RESULT"], "dxflow.stores.opening.verify", "reading all of it"),
        (["simulate", "NEW"], "dxflow.commands.simulate.make_run", "writing NEW"),
        (["plan", "RUN", "average"], "dxflow.run.open.opened", "opening RUN"),
        (["copy", "RUN", "NEW", "--dry-run"], "dxflow.copying.copy.plan_copy", "planning the copy"),
    ],
)
def test_commands_that_take_long_say_what_they_do(
    small, here, band, tmp_path, monkeypatch, capsys, line, slow, said
):
    def sleeps(*_, **__):
        time.sleep(0.2)
        raise ValueError("enough")

    if "RESULT" in line:
        assert cli.main([*here, band]) == 0
    monkeypatch.setattr("dxflow.driver.progress.LINES", 0.0)
    monkeypatch.setattr("dxflow.driver.progress.TICK", 0.02)
    monkeypatch.setattr(slow, sleeps)
    names = {"RUN": small.path, "RESULT": f"{tmp_path}/out.zarr", "NEW": f"{tmp_path}/new"}
    cli.main([names.get(word, word) for word in line])
    shown = capsys.readouterr().err
    for word, name in names.items():
        said = said.replace(word, name)
    assert f"dxflow: {said}  0:00\n" in shown


def test_info_of_a_part_of_a_name_in_any_capitals(small, capsys):
    assert cli.main(["info", small.path, "xgm"]) == 0
    shown = capsys.readouterr().out
    assert f"{small.devices['xgm']}:output" in shown
    assert "data.intensityTD: float32 1000, 4 entries" in shown


def test_an_exception_in_a_hook_shows_the_line_and_where_in_the_data(here, band, capsys):
    assert cli.main([*here, band, "--fail"]) == 1
    shown = capsys.readouterr().err
    assert "ZeroDivisionError: on purpose" in shown
    assert "mine.py, line " in shown
    assert "# the line that failed" in shown
    assert "in band.process_module_data(), run " in shown
    assert "chunk 0" in shown
    assert "Traceback" not in shown


def test_the_whole_traceback_is_shown_if_asked_for(here, band, capsys):
    assert cli.main([*here, "--traceback", band, "--fail"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_the_help_of_submit_says_of_each_option_what_it_means_and_its_default(capsys):
    with pytest.raises(SystemExit):
        cli.main(["submit", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    options = shown.partition("--site SITE named")[2].partition("--name")[0].split(" --")
    assert len(options) == 12
    assert all("(default: " in option for option in options), options
    assert "minutes" in shown
    assert "example: dxflow submit --partition" in shown


def test_the_help_of_simulate_says_what_a_run_with_fewer_modules_needs(capsys, tmp_path):
    with pytest.raises(SystemExit):
        cli.main(["simulate", "--help"])
    assert "(--modules 0-3)" in " ".join(capsys.readouterr().out.split())
    line = ["--modules", "4", "--module-shape", "8", "8", "--trains", "2", "--pulses", "2", "--devices"]
    assert cli.main(["simulate", str(tmp_path / "run"), *line]) == 0
    assert cli.main(["plan", str(tmp_path / "run"), "average"]) == 2
    assert "missing module" in capsys.readouterr().err
    for more in (["--modules", "0-3"], ["--on-fault", "mask"]):
        assert cli.main(["plan", str(tmp_path / "run"), *more, "average"]) == 0


def test_an_interrupted_run_exits_with_130_and_says_how_to_go_on(here, band, tmp_path, capsys):
    assert cli.main([*here, "--chunk", "4 kB", band, "--stop"]) == 130
    said = capsys.readouterr().err
    assert said.startswith("dxflow: interrupted; 3 of 4 chunks are kept in ")
    assert "--resume goes on" in said
    for name in ("out.zarr.partial", "out.zarr"):
        assert cli.main(["info", f"{tmp_path}/{name}"]) == 0
        shown = capsys.readouterr().out
        assert "out.zarr.partial is an interrupted reduction: 3 of 4 chunks are done.\n" in shown
        assert "--resume goes on with it" in shown
