"""The examples of README and documentation run as printed, on the run that they simulate."""

import os
import re
import shlex
from pathlib import Path

import numpy as np
import oracle
import programs
import pytest
import xarray as xr
from extra_data import RunDirectory

import dxflow
from dxflow.commands import main as cli
from dxflow.simulate import Truth

ROOT = Path(__file__).parent.parent
# `make docs` runs all pages; here are those whose numbers are compared with others.
PAGES = ["README.md", "docs/algorithms.md"]
# Chains and plans need a run, which the first page of each kind simulates with these options.
RUN = ["simulate", "r0001", "--trains", "8", "--pulses", "4", "--pool", "4"]


def blocks(page, language):
    """The code blocks of a page in a language."""
    return re.findall(
        rf"^```{language}\b[^\n]*\n(.*?)^```", (ROOT / page).read_text(), flags=re.DOTALL | re.MULTILINE
    )


def commands(page):
    """The dxflow commands of a page, as they would be typed."""
    lines = "".join(blocks(page, "sh")).splitlines()
    return [shlex.split(line, comments=True) for line in lines if line.startswith("dxflow ")]


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with the run that the examples speak of."""
    folder = tmp_path_factory.mktemp("readme")
    line = [*RUN[:1], str(folder / "r0001"), *RUN[2:]]
    assert cli.main(line) == 0
    return folder


@pytest.mark.parametrize("page", ["README.md", "docs/index.md"])
def test_the_run_is_simulated_as_the_page_says(page):
    assert ["dxflow", *RUN] in commands(page)


@pytest.mark.parametrize("page", PAGES)
def test_python_examples_run_as_printed_one_after_the_other(page, folder):
    examples = blocks(page, "python")
    assert examples
    for number, code in enumerate(code for code in examples if "(Recipe)" not in code):
        script = folder / ("my_reduction.py" if "class RoiSum" in code else f"example{number}.py")
        script.write_text(code)
        for old in folder.glob("r0001_*.zarr"):
            if f'"{old.name}"' in code and "open_zarr" not in code:
                os.rename(old, old.with_suffix(f".{page.replace('/', '-')}.{number}"))
        done = programs.run(script, folder=folder)
        assert done.returncode == 0, f"{page}, example {number}:\n{code}\n{done.stderr}"
    if page == "docs/algorithms.md":
        dark_and_scan_are_right(folder)


def dark_and_scan_are_right(folder):
    """Compare what the examples left with numpy on frames that EXtra-data reads."""
    sources = [f"SPB_DET_AGIPD500K2G/DET/{n}CH0:xtdf" for n in range(8)]
    labels, bad, net = oracle.without_dark(folder, sources)
    np.testing.assert_array_equal(np.load(folder / "bad.npy"), bad)
    assert 0 < bad.sum() < 0.05 * bad.size
    made = xr.open_zarr(folder / "intensity.zarr", chunks=None)
    oracle.close(made["intensity.mean"], np.nanmean(net, axis=(1, 2, 3)), 1e-4)
    run = RunDirectory(folder / "r0011")
    position = run["SPB_EXP_SCAN/MOTOR/STAGE", "actualPosition.value"].ndarray().round(1)
    at = position[np.searchsorted(run.train_ids, [train for train, _ in labels])]
    made = xr.open_zarr(folder / "scan.zarr", chunks=None)
    assert made["position"].values.tolist() == [0, 1, 2, 3]
    for number, where in enumerate(made["position"].values):
        np.testing.assert_allclose(made["scan.mean"][number], net[at == where].mean(axis=0), atol=0.02)
    assert made["scan.step_valid"].all()


def test_the_example_stays_as_short_as_promised():
    (code,) = [code for code in blocks("README.md", "python") if "class RoiSum" in code]
    body = code.partition("class RoiSum")[2].partition("if __name__")[0]
    assert len([line for line in body.splitlines() if line.strip()]) <= 20


def test_the_command_with_two_algorithms_runs_as_printed(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (folder / "my_reduction.py").write_text(
        next(c for c in blocks("README.md", "python") if "class RoiSum" in c)
    )
    (line,) = [words for words in commands("README.md") if words[1] == "reduce"]
    assert cli.main(line[1:]) == 0
    import xarray as xr

    made = xr.open_zarr(folder / "r0001.zarr", chunks=None)
    assert {"roisum.intensity", "average.mean"} <= set(made.data_vars)


def test_the_recipe_of_a_user_runs_as_printed_and_by_itself(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (code,) = [code for code in blocks("docs/algorithms.md", "python") if "(Recipe)" in code]
    script = folder / "lit_mean.py"
    script.write_text(code)
    (line,) = [words for words in commands("docs/algorithms.md") if "lit_mean.py" in words]
    assert cli.main(line[1:]) == 0
    mean = xr.open_zarr(folder / "lit_mean" / "mean.zarr", chunks=None)["average.mean"]
    assert mean["module"].values.tolist() == [0, 1, 2, 3]
    done = programs.run(script, *line[3:], "--resume", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "lit_mean/mean.zarr\n" in done.stdout


def test_hits_are_found_and_made_ready_for_crystfel_as_printed(tmp_path, monkeypatch):
    (code,) = blocks("docs/sfx.md", "python")
    script = tmp_path / "peaks.py"
    script.write_text(code)
    done = programs.run(script, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    (line,) = [words for words in commands("docs/sfx.md") if "recipe" in words]
    assert cli.main(line[1:]) == 0
    assert {path.name for path in (tmp_path / "sfx").iterdir()} == files_of("docs/sfx.md")


def test_darks_are_made_and_raw_frames_calibrated_as_printed(tmp_path, monkeypatch):
    simulated, epix, used = blocks("docs/dark.md", "python")
    exec(epix, {})
    script = tmp_path / "raw.py"
    script.write_text(simulated)
    assert (done := programs.run(script, folder=tmp_path)).returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    (line,) = commands("docs/dark.md")
    assert cli.main(line[1:]) == 0
    assert (tmp_path / "dark" / "dark.png").stat().st_size > 10_000
    script.write_text(used)
    assert (done := programs.run(script, folder=tmp_path)).returncode == 0, done.stderr
    truth = Truth.load(tmp_path / "r0033")
    good = truth.cause == 0
    assert float(done.stdout.split()[0]) == pytest.approx(truth.mean()[good].mean(), rel=0.02)


def test_codecs_are_compared_as_printed(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for words in commands("docs/compression.md"):
        assert cli.main(words[1:]) == 0
    assert (folder / "codecs.png").stat().st_size > 10_000
    out = capsys.readouterr().out
    assert "blosc2           abs=0.25" in out
    assert "pixels   deflate, values changed by at most 0.5" in out


def test_signal_is_where_it_was_simulated_and_drawn_as_printed(tmp_path):
    (code,) = blocks("docs/signal.md", "python")
    script = tmp_path / "signal_of_run.py"
    script.write_text(code)
    done = programs.run(script, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1.0 of all pixels as planted\nmodules (0, 1, 6)\n")
    assert (tmp_path / "signal.png").stat().st_size > 10_000


def test_photons_are_as_many_as_were_simulated_and_drawn_as_printed(tmp_path):
    (code,) = blocks("docs/photons.md", "python")
    script = tmp_path / "photons_of_run.py"
    script.write_text(code)
    done = programs.run(script, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    shared, droplets = (float(line.split()[1]) for line in done.stdout.splitlines())
    assert abs(droplets - 0.01) < 0.0004
    assert 0.7 < shared / droplets < 1
    assert (tmp_path / "photons.png").stat().st_size > 10_000


def test_groups_are_made_and_drawn_as_printed(tmp_path):
    done = programs.run("\n".join(blocks("docs/groups.md", "python")), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "('actualPosition', 'q') [24, 24, 24, 24, 24]" in done.stdout
    assert (tmp_path / "groups.png").stat().st_size > 8_000


def test_labels_and_conditions_are_as_printed(tmp_path, monkeypatch):
    done = programs.run("\n".join(blocks("docs/labels.md", "python")), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "6 steps at 6 positions in 50 of 60 trains; left out: 10 settling" in done.stdout
    assert (tmp_path / "labels.png").stat().st_size > 8_000
    monkeypatch.chdir(tmp_path)
    (line,) = commands("docs/labels.md")
    assert cli.main([*line[1:], "--cluster", "here"]) == 0


def test_tables_are_made_as_printed(tmp_path, monkeypatch):
    done = programs.run("\n".join(blocks("docs/tables.md", "python")), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tables.png").stat().st_size > 8_000
    monkeypatch.chdir(tmp_path)
    all_of_it, new, by_config, every, lcls = (line[1:] for line in commands("docs/tables.md"))
    assert cli.main([*all_of_it, "--overwrite"]) == 0
    assert cli.main(new) == 0
    (tmp_path / "exp.yaml").write_text(blocks("docs/tables.md", "yaml")[0])
    assert cli.main([*by_config, "--overwrite"]) == 0
    assert cli.main([*every, "--cluster", "here"]) == 0
    assert "xgm" in dxflow.open("tables/*.zarr").names
    assert cli.main(lcls) == 0
    made = xr.open_zarr("r0050.zarr", chunks=None)
    assert {"xgm", "delay", "pumped", "thickness", "litframes.lit", "water.sum", "cells.mean"} <= set(made)


def test_selections_are_made_and_counted_as_printed(tmp_path):
    done = programs.run("\n".join(blocks("docs/selections.md", "python")), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    printed, shown = (
        [line.split() for line in text.splitlines()]
        for text in (done.stdout, blocks("docs/selections.md", "text")[0])
    )
    assert printed[: len(shown)] == shown
    assert (tmp_path / "selections.png").stat().st_size > 8_000


def test_tables_are_opened_as_one_as_printed(tmp_path):
    done = programs.run("\n".join(blocks("docs/open.md", "python")), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "32 trains of 2 runs" in done.stdout
    assert (tmp_path / "both.png").stat().st_size > 8_000
    kept = xr.open_zarr(tmp_path / "both.added.zarr")["signal"]
    assert kept.attrs["expression"] == "water.sum[0] / i0"
    assert kept.notnull().all()


def test_cubes_are_made_and_drawn_as_printed(tmp_path):
    done = programs.run("\n".join(blocks("docs/cubes.md", "python")), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Frozen({'delay': 9, 'q': 60})" in done.stdout
    assert all((tmp_path / name).stat().st_size > 8_000 for name in ("cubes.png", "imagecubes.png"))


def test_frames_are_picked_and_drawn_as_printed(tmp_path):
    done = programs.run("\n".join(blocks("docs/picks.md", "python")), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "393216 bytes read" in done.stdout
    assert (tmp_path / "picks.png").stat().st_size > 8_000


def test_a_delay_scan_goes_from_the_run_to_the_plot_as_printed(tmp_path, monkeypatch, capsys):
    simulated, *rest = blocks("docs/delayscan.md", "python")
    assert programs.run(simulated, folder=tmp_path).returncode == 0
    monkeypatch.chdir(tmp_path)
    (line,) = commands("docs/delayscan.md")
    assert cli.main([*line[1:], "--cluster", "here"]) == 0
    assert "effect   most at delay 1, q 1.8" in capsys.readouterr().out
    done = programs.run("\n".join(rest), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "0.0"
    assert (tmp_path / "scan132" / "scan.png").stat().st_size > 20_000


def test_everyday_lines_run_as_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for words in commands("docs/shell.md"):
        here = ["--cluster", "here"] if words[1] == "reduce" else []
        line, _, to = " ".join(words[1:]).partition(" > ") if words[1] == "info" else ("", "", "")
        capsys.readouterr()
        assert cli.main(line.split() if to else [*words[1:], *here]) == 0, words
        if to:
            (tmp_path / to).write_text(capsys.readouterr().out)
    done = programs.run("\n".join(blocks("docs/shell.md", "python")), folder=tmp_path)
    assert done.returncode == 0, done.stderr


def test_correlations_are_made_and_drawn_as_printed(tmp_path, monkeypatch):
    script = tmp_path / "xpcs.py"
    script.write_text("\n".join(blocks("docs/xpcs.md", "python")))
    done = programs.run(script, folder=tmp_path)
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    (line,) = commands("docs/xpcs.md")
    assert cli.main([*line[1:], "--overwrite", "--cluster", "here"]) == 0
    assert (tmp_path / "xpcs" / "xpcs.png").stat().st_size > 20_000


def test_tables_are_drawn_and_shown_as_printed(tmp_path, monkeypatch, capsys):
    done = programs.run("\n".join(blocks("docs/plots.md", "python")), folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "plots.png").stat().st_size > 30_000
    share, rois = done.stdout.splitlines()[-3:-1], done.stdout.splitlines()[-1]
    # The laser takes a quarter of the ring away, and it comes back.
    assert 0.75 < min(map(float, " ".join(share).strip("[]").split())) < 0.85
    assert "'ring': [(3, 4), " in rois
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    for words in commands("docs/plots.md"):
        assert cli.main(words[1:]) == 0
    assert blocks("docs/plots.md", "text")[0] in capsys.readouterr().out + "\n"
    assert (tmp_path / "mean.png").stat().st_size > 8_000


def files_of(page):
    """The files that a table of a page lists, and folders: names with a dot or a slash."""
    names = re.findall(r"^\| `([\w./-]+)` \|", (ROOT / page).read_text(), re.MULTILINE)
    return {name.strip("/") for name in names if "." in name or "/" in name}


def test_hits_of_single_particles_are_found_as_printed_and_are_what_was_simulated(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for words in commands("docs/spi.md"):
        assert cli.main(words[1:]) == 0
    assert {path.name for path in (tmp_path / "spi").iterdir()} == files_of("docs/spi.md")
    truth = Truth.load("r0030")
    found = xr.open_zarr("spi/hits.zarr", chunks=None)["spihits.hit"]
    np.testing.assert_array_equal(found, truth.hits[truth.lit])
    (code,) = blocks("docs/spi.md", "python")
    assert programs.run(code, folder=tmp_path).stdout.startswith("(8, 64, 32) ")


def test_what_is_worth_keeping_is_shown_and_then_copied_as_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for words in commands("docs/reduce.md"):
        assert cli.main(words[1:]) == 0
    shown = capsys.readouterr().out
    assert [line for line in blocks("docs/reduce.md", "text")[0].splitlines()[1:7] if line not in shown] == []
    assert {path.name for path in (tmp_path / "reduced").iterdir()} == files_of("docs/reduce.md")
    assert len(RunDirectory("reduced/run").train_ids) == 30


@pytest.mark.parametrize(
    "page", ["README.md", *(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))]
)
def test_links_to_files_lead_somewhere(page):
    text = (ROOT / page).read_text()
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        # Pictures are made when pages are built, which fails where one is not.
        assert target.endswith(".png") or ((ROOT / page).parent / target).exists(), (
            f"{page} links to {target}"
        )


def test_the_commands_that_the_readme_promises_exist():
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:`|^)make (\w+)", (ROOT / "README.md").read_text(), re.M):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_what_remains_of_a_proposal_is_planned_made_and_verified_as_printed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for number in (1, 2, 3):
        line = [
            "simulate",
            f"raw/r{number:04}",
            "--run",
            str(number),
            "--detector",
            "AGIPD500K",
            "--pool",
            "4",
        ]
        assert cli.main([*line, "--trains", "4", "--pulses", "4", "--module-shape", "16", "16"]) == 0
    line = ["reduce", "raw/r0002", "--to", "mean.zarr", "average", "--cluster", "here", "--quiet"]
    assert cli.main(line) == 0
    (new, *others) = commands("docs/red.md")
    assert cli.main([new[1], new[2], new[3], *sorted(str(p) for p in Path("raw").iterdir())]) == 0
    assert Path("red.yaml").read_text().count("keep: raw}") == 3
    Path("red.yaml").write_text(blocks("docs/red.md", "yaml")[0])
    capsys.readouterr()
    for words in others:
        assert cli.main(words[1:]) == 0
    shown = capsys.readouterr().out
    rows = [line.split()[:2] for line in blocks("docs/red.md", "text")[0].splitlines()]
    assert [line.split()[:2] for line in shown.splitlines()[: len(rows)]] == rows
    assert {path.name for path in Path("red").iterdir()} == files_of("docs/red.md")
    assert (Path("red/results/r0002/mean.zarr") / "dxflow.json").is_file()
    assert len(RunDirectory("red/runs/r0002").train_ids) == 4
