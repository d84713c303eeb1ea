"""Reductions as YAML files: a result makes its configuration, and that makes the result again."""

import json

import numpy as np
import pytest
import xarray as xr
from runs import make_run

import dxflow
from dxflow import FrameClock, Frames, FrameSelection, From, Key, Labels, PulseKey
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.contrast import Contrast
from dxflow.algorithms.difference import Difference
from dxflow.algorithms.droplets import Droplets
from dxflow.algorithms.g2 import G2
from dxflow.algorithms.histogram import Histogram
from dxflow.algorithms.integrating import Integrating
from dxflow.algorithms.keep import Keep
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.litfrm import LitFrameFinder
from dxflow.algorithms.peaks import PeakFinder8
from dxflow.algorithms.photons import Photonise
from dxflow.algorithms.photonstats import PhotonStatistics
from dxflow.algorithms.projection import Projection
from dxflow.algorithms.roi import RoiSum
from dxflow.algorithms.rounding import Round
from dxflow.algorithms.sparsify import Sparsify
from dxflow.algorithms.spectrum import Spectrum
from dxflow.algorithms.spihits import SpiHitFinder
from dxflow.algorithms.subtract import Subtract
from dxflow.algorithms.sums import ImageSums
from dxflow.algorithms.timetool import TimeTool
from dxflow.algorithms.twotime import TwoTime
from dxflow.algorithms.waveform import Waveform
from dxflow.algorithms.xas import Xas
from dxflow.commands import job
from dxflow.commands import main as cli
from dxflow.commands.many import lines_of, planned
from dxflow.declare import spelled
from dxflow.declare.spelled import lacking
from dxflow.errors.usage import OptionParser, UsageError
from dxflow.errors.yamls import dump
from dxflow.line import config
from dxflow.line.options import add_pass_options
from dxflow.run.selection import First
from dxflow.simulate import Scan

XGM, MOTOR = "SA1_XTD2_XGM/XGM/DOOCS", "SPB_EXP_SCAN/MOTOR/STAGE"
X = Key(MOTOR, "actualPosition")
ENERGY = PulseKey(f"{XGM}:output", "data.intensityTD")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "r0001"
    devices = ("xgm", "motor", "timeserver", "ppd", "digitizer", "timetool", "camera")
    size = {"detector": "AGIPD500K", "module_shape": (8, 8), "trains": 6, "pulses": 4}
    return make_run(path, **size, scan=Scan(0, 1, 3), pump="pulses", lit=0.7, devices=devices)


@pytest.fixture(scope="module")
def files(run, tmp_path_factory):
    """Results and arrays that others are made of."""
    folder = tmp_path_factory.mktemp("files")
    dxflow.reduce(run.path, LitFrames(), folder / "lit.zarr", cluster="here")
    dxflow.reduce(run.path, Average(per="cell"), folder / "dark.zarr", cluster="here")
    np.save(folder / "bad.npy", np.zeros((8, 8, 8), bool))
    np.save(folder / "labels.npy", np.ones((8, 8, 8), int))
    return folder


def cases(run, files):
    """Algorithms and options of a pass, by what they try."""
    steps = Labels(X).steps(0.01, least=1)
    camera = Key(run.devices["camera"] + ":daqOutput", "data.image.bitsPerPixel")
    line = Key(run.devices["timetool"] + ":daqOutput", "data.image.pixels")
    trace = Key(run.devices["digitizer"] + ":network", "digitizers.channel_1_A.raw.samples")
    lit = f"{files}/lit.zarr"
    return {
        "groups": ([Average(by=steps), Average(name="b", by=Labels(ENERGY).bins([0, 500, 2000]))], {}),
        "quantiles": ([Average(by=Labels(X).bins(2, quantiles=True), ddof=0)], {}),
        "patterns": ([Average(by=Labels.pattern(["on", "off"], over=lit))], {}),
        "pumped": ([AzimuthalIntegration(nbins=9), Difference(on=Labels.pumped(), by=steps)], {}),
        "rings": ([AzimuthalIntegration(nbins=12, nchi=6, per="run", name="image", qrange=(0.1, 2))], {}),
        "chains": ([Subtract(dark=f"{files}/dark.zarr"), Average(img=From("subtract.img"))], {}),
        "of results": ([Subtract(dark=dxflow.open(f"{files}/dark.zarr")), RoiSum(img=From("subtract"))], {}),
        "photons": (
            [Photonise(), PhotonStatistics(img=From("photons.img"), labels=f"{files}/labels.npy")],
            {},
        ),
        "speckle": ([TwoTime(labels=f"{files}/labels.npy"), G2(labels=f"{files}/labels.npy")], {}),
        "contrast": ([Contrast(labels=f"{files}/labels.npy", photons=5), Droplets(threshold=0.7)], {}),
        "regions": ([RoiSum(rois={"a": [(0, 8), (2, 7), (3, 8)]}), Projection(rebin=(4, 4))], {}),
        "counts": ([Histogram(edges=np.arange(-1, 6.5, 0.5)), ImageSums(), Sparsify(threshold=2.5)], {}),
        "spectra": ([Spectrum(), Xas(i0=ENERGY, energy=X, steps=[0, 0.5, 1])], {}),
        "traces": (
            [Waveform(trace=trace, baseline=(0, 100), threshold=300), TimeTool(line=line, reference=1)],
            {},
        ),
        "slow": ([RoiSum(), Integrating(of=From("roi.sum"), slow=camera, trains=2)], {}),
        "kept": ([Keep(keys={"xgm": ENERGY, "x": X, "i": f"{XGM}:output:data.intensityTD"})], {}),
        "hits": ([PeakFinder8(max_peaks=50), SpiHitFinder()], {}),
        "clock": ([LitFrameFinder(img=FrameClock(frames=Frames(modules=[0])))], {}),
        "variants": (
            [*LitFrames.variants(threshold=[0.5, 0.7]), *Average.variants(ddof=[0, 1], name=["a", "b"])],
            {},
        ),
        "inputs": ([Average(img=Frames(modules=[1, 2], roi=np.s_[1:5, :], mask=None))], {}),
        "rounded": ([Round(absolute=0.5, store=True), Average(name="m", img=From("rounding.img"))], {}),
        "pass": (
            [Average()],
            {
                "modules": (0, 3),
                "roi": np.s_[2:6, 1:],
                "mask": ["auto", f"{files}/bad.npy"],
                "mask_bits": 3,
                "chunk": "4 trains",
                "block": "1 MiB",
                "on_fault": "mask",
                "suspect": "skip",
                "name": "test",
            },
        ),
        "no mask": ([Average()], {"mask": None, "hook_timeout": 20.0}),
        "ids": (
            [Average()],
            {"frames": FrameSelection(trains=slice(10001, 10004), cells=[0, 1], pulses=slice(0, 99))},
        ),
        "first": ([Average()], {"frames": FrameSelection(trains=First(2))}),
        "one train": ([Average()], {"frames": FrameSelection(trains=[10003])}),
        "ids without brackets": (
            [Average()],
            {"frames": FrameSelection(trains=10003, pulses=0, cells={0, 1})},
        ),
        "selected": ([Average()], {"frames": dxflow.open(lit)}),
        "where": (
            [Average()],
            {"where": "xgm > 300 & lit & x < 0.9", "labels": {"xgm": ENERGY, "lit": lit, "x": Labels(X)}},
        ),
        "booleans": ([Average()], {"where": Labels.pattern([True, False])}),
    }


def again(tmp_path, made, *line):
    """Return the plan of the configuration of a plan."""
    (tmp_path / "a.yaml").write_text(dump(made.config))
    return planned("plan", ["--config", str(tmp_path / "a.yaml"), *line])


def test_what_a_plan_was_asked_for_makes_the_same_plan(run, files, tmp_path):
    strange = {}
    for name, (algorithms, options) in cases(run, files).items():
        made = dxflow.plan(run.path, algorithms, **{"on_fault": "mask", **options})
        assert lacking(made.config) == [], name
        found = again(tmp_path, made)
        same = name == "pass" or found.config == made.config
        if found.digest != made.digest or not same:
            strange[name] = (made.fingerprint.differences(found.fingerprint.facts), made.config, found.config)
    assert strange == {}


def test_a_result_makes_its_configuration_and_that_the_same_bits(run, files, tmp_path, capsys):
    first, second, file = (str(tmp_path / name) for name in ("a.zarr", "b.zarr", "a.yaml"))
    line = [
        "reduce",
        run.path,
        "--to",
        first,
        "--cluster",
        "here",
        "--trains",
        "5",
        "--where",
        "xgm > 300 & stage < 0.9",
    ]
    line += [
        "average",
        "--by",
        "stage",
        "--bins",
        "2",
        "litframes",
        "--variants",
        "threshold=0.5,0.7",
        "roi",
        "--name",
        "r",
    ]
    assert cli.main([*line, "keep", "--keys", f"x={MOTOR}:actualPosition"]) == 0
    capsys.readouterr()
    assert cli.main(["info", first, "--config"]) == 0
    text = capsys.readouterr().out
    assert text.startswith("# Makes the result again: dxflow reduce --config")
    with open(file, "w") as f:
        f.write(text)
    assert cli.main(["reduce", "--config", file, "--to", second, "--cluster", "here"]) == 0
    a, b = (dxflow.open(path) for path in (first, second))
    xr.testing.assert_identical(a.dataset.load().drop_attrs(), b.dataset.load().drop_attrs())
    assert a.manifest["config"] == b.manifest["config"]
    assert a.dataset.attrs["digest"] == b.dataset.attrs["digest"]


def written(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    return str(tmp_path / "a.yaml")


TEXT = """
run: RUN
modules: 0-3
mask: [auto, none.npy]
labels: {x: MOTOR:actualPosition}
trains: 4
algorithms:
  - roi: {name: mine, ss: [0, 4]}
  - average: {by: x, ddof: 0}
"""


def test_options_of_the_command_line_come_first(run, files, tmp_path):
    text = TEXT.replace("RUN", run.path).replace("MOTOR", MOTOR)
    file = written(tmp_path, text)
    (line,) = lines_of("plan", None, ["--config", file, "--mask", f"{files}/bad.npy", "--modules", "1"])
    made, _ = line.planned("here")
    assert {bound.modules for bound in made.inputs if bound.kind == "frames"} == {(1,)}
    assert (made.config["mask"], made.config["trains"]) == ([f"{files}/bad.npy"], 4)
    assert [a.name for a in made.algorithms] == ["mine", "average"]
    mask = ["--mask", "auto"]
    made = planned(
        "plan", ["--config", file, *mask, "average", "--ddof", "1", "litframes", "roi", "--name", "mine"]
    )
    assert [(a.name, a.algorithm.options.get("ddof")) for a in made.algorithms] == [
        ("mine", None),
        ("average", 1),
        ("litframes", None),
    ]
    assert made.algorithms[0].algorithm.options["ss"] == [0, 4]
    made = planned("plan", [run.path, "--config", file, *mask, "--label", f"x={XGM}:pulseEnergy.photonFlux"])
    assert "pulseEnergy" in str(made)


def test_names_of_runs_stand_for_them_and_a_job_reads_it(run, files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r0001").symlink_to(run.path)
    (tmp_path / "lit1.zarr").symlink_to(f"{files}/lit.zarr")
    text = "run: [r0001]\nto: mean{run}.zarr\nframes: lit{run}.zarr\nalgorithms: [average: {by: 'lit{run}.zarr'}]"
    facts = job.checked(["reduce", "--config", written(tmp_path, text)])
    assert facts["to"] == str(tmp_path / "mean1.zarr")


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        (
            "by_bins: [1712.34561, 1712.34562, 1712.34571]",
            "by_bins",
            ([1712.34561, 1712.34562, 1712.34571], False),
        ),
        (
            "by_bins: [0.1, 0.30000000000000004, 1.0e-7, 1e22]",
            "by_bins",
            ([0.1, 0.1 + 0.2, 1e-7, 1e22], False),
        ),
        ("by_bins: [-1.0, 0.0, 2.5]", "by_bins", ([-1, 0, 2.5], False)),
        ("by_steps: 0.123456789", "by_steps", (0.123456789, 0, 2)),
        ("by_steps: [1234567.5, 3.0, 4]", "by_steps", (1234567.5, 3, 4)),
        ("hook_timeout: 1234567.25", "hook_timeout", 1234567.25),
    ],
)
def test_numbers_keep_all_their_digits(tmp_path, text, name, value):
    words = config.load(written(tmp_path, text)).words([])
    parser = OptionParser()
    add_pass_options(parser)
    assert getattr(parser.parse_args(words), name) == value


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("algorithm: [average]", "line 1, algorithm: there is no such key. Did you mean 'algorithms'?"),
        ("trains: x", "line 1, trains: argument --trains: 'x': write 10001:10050"),
        ("\non-fault: never", "line 2, on-fault: there is no such key. Did you mean 'on_fault'?"),
        ("on_fault: never", "line 1, on_fault: argument --on-fault: invalid choice"),
        ("quiet: 3", "line 1, quiet: 3: expected true or false"),
        ("algorithms: average", "line 1, algorithms: expected a list, such as"),
        ("algorithms:\n  - averge", "line 2, algorithms.0: no algorithm 'averge'. Did you mean 'average'?"),
        (
            "algorithms:\n  - average:\n      ddo: 1",
            "line 3, algorithms.0.average.ddo: there is no such option or",
        ),
        ("algorithms:\n  - average:\n      ddof: x", "line 3, algorithms.0.average.ddof: invalid literal"),
        (
            "algorithms:\n  - average:\n      by: nothing",
            "average.by: 'nothing': expected an output of an algorithm",
        ),
        ("algorithms:\n  - xas: {min_i0: 3}", "algorithms.0.xas"),
        (
            "algorithms:\n  - roi: {variants: {s: [1]}}",
            "roi.variants: s: there is no such option. Did you mean 'ss'?",
        ),
        (
            "algorithms:\n  - average: {by: {Labels: {of: 'a/b:c', cut: {Bins: {edgs: 3}}}}}",
            "Did you mean 'edges'?",
        ),
        ("algorithms:\n  - average: {img: {Key: 3}}", "average.img: Key: 3: expected its fields with values"),
        ("labels: {x: nothing}\nwhere: x > 1\nalgorithms: [average]", "line 1, labels.x: "),
        ("where: {not in any file: an array}", "line 1, where: not in any file: an array"),
        ("run: RUN", "no algorithm is given"),
        ("algorithms: [average]", "the following arguments are required: RUN"),
        ("trains: 1\ntrains: 2", "line 2, trains: is there twice"),
    ],
)
def test_what_is_wrong_is_said_with_line_and_key(run, tmp_path, capsys, text, words):
    file = written(tmp_path, text.replace("RUN", run.path))
    given = [] if "RUN" in words or "run:" in text else [run.path]
    assert cli.main(["plan", *given, "--config", file, "--cluster", "here"]) == 2
    assert words in capsys.readouterr().err


def test_what_is_in_no_file_is_refused_with_what_to_do(run, tmp_path, capsys):
    arrays = Subtract(dark=np.zeros((8, 8, 8), "f4"))
    chosen = np.ones(24, bool)
    to = tmp_path / "x.zarr"
    dxflow.reduce(run.path, [arrays, Average(img=From("subtract"))], to, cluster="here", frames=chosen)
    assert cli.main(["info", str(to), "--config"]) == 2
    said = capsys.readouterr().err
    assert "subtract.dark is an array of float32, shape (8, 8, 8)" in said
    assert "frames.0 is an array of booleans: give the result that selects" in said
    assert "Write arrays to files (numpy.save" in said
    assert cli.main(["info", run.path, "--config"]) == 2
    assert "is no result of dxflow" in capsys.readouterr().err


def test_nothing_that_cannot_be_spelled_stops_a_plan(run):
    class Strange:
        def __eq__(self, other):
            raise ValueError("nobody compares me")

        __hash__ = None

    assert list(spelled.spelled(Strange())) == list(spelled.spelled(b"x")) == [spelled.UNSPELLED]
    nested = {0: {"a": np.float32(1.5), "b": (1, np.arange(3, dtype="u2"))}, 1: slice(2, None)}
    found = spelled.read(json.loads(json.dumps(spelled.spelled(nested))), str)
    assert (found[0]["a"], found[1]) == (1.5, slice(2, None))
    assert (found[0]["b"][0], found[0]["b"][1].dtype, found[0]["b"][1].tolist()) == (1, "u2", [0, 1, 2])
    assert list(spelled.spelled(list(range(20_000)))) == [spelled.UNSPELLED]
    where = xr.DataArray(np.ones(6, bool), {"train": run.train_ids}, ["train"])
    made = dxflow.plan(run.path, Average(), where=Labels(where), on_fault="mask")
    assert lacking(made.config) == [
        "where is labels of an array: write it as a result or a table, and give its path"
    ]


def test_an_algorithm_of_a_file_is_found_again(run, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dxflow.algorithms.average import Average\n\nclass Mine(Average):\n    ALG_ID = 'mine'\n\n"
        "    def finalize(self, totals):\n        super().finalize(totals)\n"
    )
    from dxflow import find

    made = dxflow.plan(run.path, find.algorithm(f"{tmp_path}/mine.py:Mine")(ddof=0))
    assert made.config["algorithms"] == [{f"{tmp_path}/mine.py:Mine": {"ddof": 0}}]
    assert again(tmp_path, made).digest == made.digest

    class Inside(Average):
        def finalize(self, totals):
            super().finalize(totals)

    inside = dxflow.plan(run.path, Inside())
    with pytest.raises(UsageError, match="put its class into a file|no algorithm|has no"):
        again(tmp_path, inside)
    assert config._lacking_of(["A (not in any file)"]) == ["the algorithm A (not in any file)"]
