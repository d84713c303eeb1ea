"""Configurations of tables: what they mean, and errors that name file, line and key."""

import pytest

from dxflow.algorithms.average import Average
from dxflow.analysis import config
from dxflow.declare.inputs import Frames, From, Key
from dxflow.declare.pumped import Pumped
from dxflow.errors.usage import UsageError

YAML = """\
title: a trial
rows: frames
variables:
  xgm: SA1_XTD2_XGM/XGM/DOOCS:output data.intensityTD
  same: [SA1_XTD2_XGM/XGM/DOOCS:output, data.intensityTD]
  delay: {key: A/B/C position, unit: ps, offset: 1, per: train}
  pumped: {pumped: true, shift: 2}
  thickness: 20.5
algorithms:
  - litframes
  - average --per cell --name dark
  - photons: {threshold: 0.7, img: {modules: [0, 1]}}
  - average: {img: photons.img}
without: "*TIMESERVER*"
pulses: {sase: 1, exposure: 2}
pass: {on_fault: mask}
"""


def written(folder, text, name="exp.yaml"):
    (folder / name).write_text(text)
    return folder / name


def test_a_configuration_is_read(tmp_path):
    made = config.of(written(tmp_path, YAML))
    xgm = Key("SA1_XTD2_XGM/XGM/DOOCS:output", "data.intensityTD")
    assert made.variables["xgm"].what == made.variables["same"].what == xgm
    assert made.variables["delay"] == config.Wanted(Key("A/B/C", "position", 1), "train", "ps")
    assert made.variables["pumped"].what == Pumped(shift=2)
    assert made.variables["thickness"].what == 20.5
    assert [a.name for a in made.algorithms] == ["litframes", "dark", "photons", "average"]
    assert made.algorithms[1].per == "cell"
    assert made.algorithms[2].inputs["img"] == Frames(modules=(0, 1))
    assert made.algorithms[3].inputs["img"] == From("photons.img")
    assert (made.title, made.rows, made.without) == ("a trial", "frames", ["*TIMESERVER*"])
    assert (made.clock, made.options) == ({"sase": 1, "exposure": 2}, {"on_fault": "mask"})
    assert not made.everything
    assert made.text == YAML


PYTHON = """\
from dxflow import Key
from dxflow.algorithms.average import Average

source = "SA1_XTD2_XGM/XGM/DOOCS:output"
variables = {
    "xgm": Key(source, "data.intensityTD"),
    "delay": "A/B/C position",
}
algorithms = [Average(per="cell")]
"""


def test_python_says_the_same(tmp_path):
    made = config.of(written(tmp_path, PYTHON, "exp.py"))
    assert made.variables["xgm"].what.key == "data.intensityTD"
    assert isinstance(made.algorithms[0], Average)
    assert config.of({"variables": {"delay": "A/B/C position"}}).variables["delay"].what == Key(
        "A/B/C", "position"
    )
    assert config.of(None).everything


WRONG = [
    ("varables: {}", r"line 1, varables: .*Did you mean 'variables'"),
    ("rows: puls\neverything: true", r"line 1, rows: 'puls'.*Did you mean 'pulses'"),
    ("everything: true\nsmall: many", r"line 2, small: 'many': expected a number"),
    ("variables:\n  xgm: data.intensityTD", r"line 2, variables.xgm: .* is no variable: expected SOURCE KEY"),
    ("variables:\n  x gm: A/B/C d", r"line 2, variables.x gm: .* is no name"),
    ("variables:\n  train_id: A/B/C d", r"line 2, variables.train_id: .* labels rows"),
    ("variables:\n  pulses: A/B/C d", r"line 2, variables.pulses: .* X-ray pulses a row saw"),
    ("variables:\n  d:\n    key: A/B/C d\n    uni: ps", r"line 4, variables.d.uni: .*Did you mean 'unit'"),
    ("variables:\n  d: {unit: ps}", r"line 2, variables.d: expected 'key"),
    ("algorithms:\n  - litframe", r"line 2, algorithms.0: no algorithm 'litframe'.*Did you mean 'litframes'"),
    (
        "algorithms:\n  - average:\n      per: cel",
        r"line 3, algorithms.0.average.per: .*per='cel'; expected one of",
    ),
    ("algorithms:\n  - average:\n      pre: cell", r"line 3, algorithms.0.average.pre: .*Did you mean 'per'"),
    ("algorithms:\n  - average --pre cell", r"line 2, algorithms.0: average: unrecognized arguments: --pre"),
    (
        "algorithms:\n  - average: {img: phot.img}",
        r"line 2, algorithms.0.average.img: 'phot.img': expected an alg",
    ),
    ("algorithms: [average, average]", r"line 1, algorithms: 'average' is there twice"),
    ("pass: {on_falt: mask}\neverything: true", r"line 1, pass.on_falt: .*Did you mean 'on_fault'"),
    ("title: nothing", r"line 1: nothing is asked for"),
    ("variables: {a: 1, a: 2}", r"line 1, variables.a: is there twice"),
]


@pytest.mark.parametrize(("text", "words"), WRONG)
def test_errors_name_file_line_and_key(text, words, tmp_path):
    with pytest.raises(UsageError, match=r"exp\.yaml, " + words):
        config.of(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "import dxflow\nvariables = {\n    'a': 'A/B/C d',\n    'b': 'nothing',\n}",
            r"line 4, variables.b: .* no variable",
        ),
        ("variabels = {}", r"line 1, variabels: Did you mean 'variables'"),
        ("variables = {}\n1 / 0", r"line 2: ZeroDivisionError"),
        ("variables = {", r"line 1: SyntaxError"),
    ],
)
def test_errors_of_python_files_name_the_line_as_well(text, words, tmp_path):
    with pytest.raises(UsageError, match=r"exp\.py, " + words):
        config.of(written(tmp_path, text, "exp.py"))


def test_a_dict_names_the_key():
    with pytest.raises(UsageError, match=r"config: variables.xgm.uni: .*Did you mean 'unit'"):
        config.of({"variables": {"xgm": {"key": "A/B/C d", "uni": "uJ"}}})
    with pytest.raises(UsageError, match=r"no-such.yaml: there is no such file"):
        config.of("no-such.yaml")
