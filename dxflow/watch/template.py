"""A configuration to begin with, with comments."""

from __future__ import annotations

from pathlib import Path

from ..errors.usage import UsageError

TEXT = """\
# What is done with each run, once, as soon as it is complete:
#   dxflow watch PROPOSAL_OR_DIR --do {file}
#   dxflow runs {file}          # how it went; index.html beside the results shows the same
# All of it is explained in docs/watch.md. Mistakes are found before anything is done, and named with their line.

title: our experiment
results: watched            # a folder for results, state and index.html, beside this file or anywhere

# Each task is a command of dxflow (table, reduce, recipe, copy, cube) without --to. {{path}} is the run; there are
# {{name}} (r0034), {{run}} (34; {{run:04}} is 0034), {{proposal}} and {{origin}} (raw or proc) as well. Files that a
# command names are looked for beside this file.
tasks:
  table:
    do: table {{path}}        # everything small; --config exp.yaml: what you choose (dxflow table RUN --new exp.yaml)
    to: tables/{{name}}.zarr
    # report: reports/{{name}}.html      # what dxflow report makes of it, linked from the page
  # mean:
  #   do: reduce {{path}} average --per cell
  #   to: mean/{{name}}.zarr
  #   from: raw              # the default; or of proc
  #   where: {{type: "*dark*", trains: ">= 100"}}   # only such runs: also sample, detectors, sources, SOURCE KEY
  #   after: table           # only when this is done
  #   on: {{slurm: {{partition: upex, walltime: "1:00:00"}}}}     # default: here
  #   tries: 3               # then it has failed; the second try after 'wait', each next one four times as long
  #   wait: 60 s
  #   limit: 2 h             # longer than this is a failure; of jobs the walltime holds

# Numbers of results as columns of the table of runs: TASK VARIABLE, and what is made of many values
# (mean, std, min, max, sum, median, first, last, n).
# columns:
#   xgm: table xgm.intensityTD mean

# Who is told of each task as JSON: a command that reads it, or a URL that it is sent to.
# tell:
#   - command: [python3, elog.py]
#   - {{url: "https://chat.example/hook", when: failed}}

# at_once: 2                # tasks at a time on this machine
# jobs: 20                  # jobs in the queue at a time
# every: 10 s               # between looks at the proposal
# quiet: 60 s               # a run is complete when its files are closed and were not changed for so long,
# patience: 15 min          # or for so long, when its writers have died
# runs: "r[0-9]*"           # names of folders that are runs
"""


def write(path: str | Path) -> Path:
    """Write a configuration, which must not be there yet.

    Raises
    ------
    UsageError
        If there is such a file, or it cannot be one.
    """
    path = Path(path)
    if path.suffix not in (".yaml", ".yml"):
        raise UsageError(f"--new {path}: expected a name such as what.yaml")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(TEXT.format(file=path.name))
    except FileExistsError:
        raise UsageError(f"{path} exists: choose another name, or remove it") from None
    except OSError as e:
        raise UsageError(f"{path}: {e.strerror}") from e
    return path
