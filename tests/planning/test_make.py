"""Plans: chunks that cover every train once, refusals that help, and a table."""

import copy
import pickle
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from samples import Bright, RoiSum, Scale, Stats, TrainSums

import dxflow
from dxflow import Algorithm, Frames, From, Key, Output, PlanError
from dxflow.algorithms.average import Average
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.subtract import Subtract
from dxflow.simulate import Plant, make_run


@pytest.mark.parametrize("chunk", [1, 100_000, 500_000, "1 GiB"])
def test_chunks_cover_all_trains_once_and_in_order(run, chunk):
    made = dxflow.plan(run.path, [RoiSum(), Stats()], chunk=chunk, block=5000)
    edges = [(c.first, c.last) for c in made.chunks]
    assert [t for first, last in edges for t in range(first, last)] == list(range(12))
    (step,) = {last - first for first, last in edges[:-1]} or {16}
    assert step == 2 ** (step.bit_length() - 1)


def test_chunks_do_not_depend_on_workers_and_carry_their_numbers(run):
    made = dxflow.plan(run.path, RoiSum(), block=500)
    assert [c.number for c in made.chunks] == list(range(len(made.chunks)))
    assert made.chunks == dxflow.plan(run.path, RoiSum(), cluster=dxflow.clusters.Local(7), block=500).chunks
    assert len(made.chunks) > 3


class NoOutputs(RoiSum):
    def outputs(self, info):
        return {}


class BadName(RoiSum):
    def outputs(self, info):
        return {"mean value": Output()}


class BadAlias(RoiSum):
    def outputs(self, info):
        return {"x": Output(per="image")}


class NoMerge(RoiSum):
    def outputs(self, info):
        return {"x": Output(per="run", merge="custom")}


class NoHook(Algorithm):
    inputs = {"img": Frames()}

    def outputs(self, info):
        return {"x": Output()}


class BothHooks(RoiSum):
    def process_train_data(self, train, out):
        pass


class NoArguments(RoiSum):
    def process_module_data(self, block):
        pass


class NotStatic(RoiSum):
    def process_variants(self, data, outs):
        pass


class NoInputs(TrainSums):
    inputs = {}


class Reads(TrainSums):
    inputs = {"img": From("scale.img")}


class Listed(RoiSum):
    def outputs(self, info):
        return ["intensity"]


class NotOutput(RoiSum):
    def outputs(self, info):
        return {"intensity": {"per": "img"}}


class NamedItems(RoiSum):
    def outputs(self, info):
        return {"items": Output(per="run")}


class OwnInit(RoiSum):
    def __init__(self, width=3):
        self.width = width


class Strips(RoiSum):
    STRIPS = True


def late(what, cls=RoiSum):
    algorithm = cls()
    algorithm.inputs = {"img": Frames(), "late": what}
    return algorithm


@pytest.mark.parametrize(
    ("algorithms", "says"),
    [
        ([RoiSum], r"RoiSum is a class: make an instance, RoiSum\(...\)"),
        ([3], "expected an Algorithm, got int"),
        ([RoiSum(), RoiSum()], r"two algorithms are named 'roisum': give one of them name="),
        ([], "no algorithm is given: a pass needs at least one"),
        (None, "expected an Algorithm, got NoneType"),
        (
            [OwnInit()],
            r"OwnInit has an __init__ that does not call super\(\).__init__\(\): declare options in",
        ),
        ([Listed()], r"outputs\(\) returned a list; expected a dictionary such as"),
        (
            [NotOutput()],
            r"outputs\(\) declares 'intensity' as a dict; expected a name and an Output\(per=...\)",
        ),
        ([NamedItems()], "'items' is a name of `out` itself; call the output something else"),
        ([NoOutputs()], "declares nothing"),
        ([BadName()], "'mean value' cannot be an output's name"),
        ([BadAlias()], r"per='image' is neither 'run', .* nor an input\. Did you mean 'img'\? Inputs: img"),
        ([NoMerge()], r"merge='custom', but NoMerge does not implement merge\(\)"),
        ([NoHook()], "implements neither of process_train_data and process_module_data"),
        ([BothHooks()], "implements both of"),
        (
            [NoArguments()],
            r"NoArguments.process_module_data\(block\) cannot be called with \(block, out\): too many",
        ),
        ([NotStatic()], r"cannot be called with \(instances, data, outs\) of a staticmethod: too many"),
        ([NoInputs()], "no inputs are declared"),
        (
            [Reads(), Scale()],
            r"tsum reads 'scale.img' as 'img', but no algorithm before it makes that\. Made so far: none",
        ),
        ([Stats(), TrainSums(img=From("stats.mean"))], "that is an output per pixel"),
        ([Scale(img=3)], "is a int; expected Frames, Key, From or Labels"),
        ([RoiSum(), late(From("roisum.intensity"))], "two algorithms are named"),
        (
            [Bright(), late(From("bright.is_bright"), Strips)],
            r"complete only after the last module: read it in a second pass, as Labels\(result, 'bright.is_bright'\)",
        ),
        ([late(Key("SPB_XTD9_XGM/XGM/DOOCS:output", "data.nothing"))], "roisum: input 'late': "),
        ([late(Frames(modules=(1,)))], "different frames or modules: one block cannot hold both"),
    ],
)
def test_what_cannot_work_is_refused_with_what_was_wrong_and_what_to_do(run, algorithms, says):
    with pytest.raises(PlanError, match=says):
        dxflow.plan(run.path, algorithms)


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"on_fault": "ignore"}, PlanError, r"on_fault='ignore': expected one of \[None, 'mask', 'raise'\]"),
        ({"chunk": "many"}, ValueError, "write it like"),
        ({"to": "result.txt"}, PlanError, "no format is known by this name"),
        *[
            ({"to": to}, PlanError, "to=.*: expected a path such as 'r0034.zarr', or None")
            for to in (5, b"x.zarr", ["x.zarr"])
        ],
        ({"to": "/nowhere/x.zarr"}, PlanError, "the folder /nowhere does not exist; make it first"),
        (
            {"frames": dxflow.FrameSelection(pulses=[99999])},
            PlanError,
            "the selection leaves none of its frames; there are trains 10.*, pulses .*, cells 0-",
        ),
        (
            {"frames": dxflow.FrameSelection(trains=slice(5, 6))},
            PlanError,
            "none of its frames; there are trains 10001",
        ),
        ({"frames": np.ones(3, bool)}, PlanError, "3 was given, but there are 72 frames"),
    ],
)
def test_options_that_make_no_sense_are_refused(run, options, error, says):
    with pytest.raises(error, match=says):
        dxflow.plan(run.path, RoiSum(), **options)


def test_a_run_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(PlanError, match=f"no such run: {tmp_path}/r1. Give a run directory"):
        dxflow.plan(tmp_path / "r1", RoiSum())
    with pytest.raises(PlanError, match=r"no \.h5 files in this directory"):
        dxflow.plan(tmp_path, RoiSum())


def test_no_space_for_the_result_is_refused_before_the_run(run, tmp_path, monkeypatch):
    import shutil
    from collections import namedtuple

    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 1000))
    with pytest.raises(PlanError, match="may be needed there, 1 kB are free"):
        dxflow.plan(run.path, Stats(), tmp_path / "x.zarr")


def test_planning_reads_no_detector_data(run, monkeypatch):
    from dxflow.reader import ways

    for kind in (ways.Direct, ways.Decoded, ways.ThroughHdf5):
        read = kind.read

        def noted(self, *args, read=read):
            assert not self.target.dataset.endswith("image/data"), "data were read"
            read(self, *args)

        monkeypatch.setattr(kind, "read", noted)
    dxflow.plan(run.path, RoiSum(ss=(1, 3)))


class Keeps(Algorithm):
    """What it makes is said once, when it is configured."""

    inputs = {"img": Frames(mask=np.zeros((16, 16, 16), bool))}

    def configure(self, args):
        self.made = {"n": Output(per="img"), "last": Output(merge="max")}

    def outputs(self, info):
        return self.made

    def process_module_data(self, block, out):
        out.n += 1


def given(run):
    dark = np.zeros((16, 16, 16))
    geometry = Path(run.path) / run.geometry["npy"]
    return [
        Keeps(),
        LitFrames(),
        Subtract(dark=dark),
        Average(per="cell", img=From("subtract.img")),
        AzimuthalIntegration(geometry=geometry, distance=0.2, nbins=50),
    ]


def test_planning_and_running_change_nothing_on_what_was_given(run):
    algorithms = given(run)
    before = [(copy.copy(vars(a)), pickle.dumps(a)) for a in algorithms]
    made = dxflow.plan(run.path, algorithms)
    assert all([made.digest, str(made), made.explain(), made.memory.total])
    dxflow.execute(made, "here")
    for algorithm, (values, pickled) in zip(algorithms, before, strict=True):
        assert vars(algorithm).keys() == values.keys()
        assert all(vars(algorithm)[k] is values[k] for k in values)
        assert pickle.dumps(algorithm) == pickled


def test_faults_of_the_data_are_told_before_anything_about_the_result(tmp_path):
    path = tmp_path / "r1"
    make_run(path, trains=2, pulses=2, module_shape=(4, 4), plant=Plant(missing_modules=(3,)))
    for to in (tmp_path / "x.unknown", None):
        with pytest.raises(PlanError, match="fault.s. in the data"):
            dxflow.plan(path, RoiSum(ss=(0, 2)), to)
    with pytest.raises(PlanError, match="no format is known by this name"):
        dxflow.plan(path, RoiSum(ss=(0, 2)), tmp_path / "x.unknown", on_fault="mask")


def test_an_alias_knows_its_input_and_what_is_made_of_it_on_workers_too(run):
    dark, some = np.zeros((16, 16, 16)), Frames(modules=(3, 4))
    chain = [
        RoiSum(img=some),
        Subtract(dark=dark, name="first"),
        Subtract(dark=dark, name="second", img=From("first.img")),
        Average(img=From("second.img")),
    ]
    made = dxflow.plan(run.path, chain)
    for plan in (made, pickle.loads(pickle.dumps(made))):
        aliases = [a.aliases["img"] for a in plan.algorithms]
        assert [a.number for a in aliases] == [a.stream for a in plan.algorithms] == [0, 1, 1, 1]
        assert [a.made and a.made.name for a in aliases] == [None, None, "first.img", "second.img"]
        for alias, maker in zip(aliases[2:], plan.algorithms[1:], strict=False):
            assert alias.made is maker.outputs[0]
            assert alias.made.index is plan.inputs[alias.number].index


class Edge(Algorithm):
    """The last train of a detector of 16 modules, the first of others: the run decides how shares merge."""

    inputs = {"img": Frames()}

    def outputs(self, info):
        return {"train": Output(dtype="i8", merge="max" if len(info["img"].modules) == 16 else "min")}

    def process_train_data(self, train, out):
        out.train = train.id


def test_one_algorithm_in_two_runs_that_are_reduced_at_a_time(run, gappy):
    one = Edge()
    with ThreadPoolExecutor(2) as pool:
        both = pool.map(
            lambda path: dxflow.reduce(path, one, cluster="here", chunk=1), [run.path, gappy.path]
        )
    found = [result.dataset["edge.train"].item() for result in both]
    assert found == [run.train_ids[-1], gappy.train_ids[0]]


def test_one_algorithm_in_two_plans_made_at_a_time_merges_as_each_run_says(run, gappy):
    one = Edge()
    before = pickle.dumps(one)
    with ThreadPoolExecutor(2) as pool:
        plans = list(pool.map(lambda path: dxflow.plan(path, one, chunk=1), [run.path, gappy.path] * 2))
    made = [dxflow.execute(p, "here").dataset["edge.train"].item() for p in plans]
    assert made == [run.train_ids[-1], gappy.train_ids[0]] * 2
    assert pickle.dumps(one) == before


def test_the_table_says_inputs_chunks_memory_bytes_and_files(run, tmp_path):
    made = dxflow.plan(run.path, [RoiSum(ss=(0, 8)), Stats()], tmp_path / "x.zarr")
    text = str(made)
    for pattern in (
        r"trains +12: 10001-10012",
        r"SPB_DET_AGIPD1M-1 image.data: 72 entries of 16 x 16 x 16 float32",
        r"roisum: RoiSum\(ss=\(0, 8\)\) -> intensity",
        r"chunks +1 of up to 1.18 MB, read as module blocks",
        r"to read +1.18 MB",
        r"memory +[\d.]+ MB \(buffers .*\) per worker",
        rf"{re.escape(str(tmp_path))}/x.zarr: up to .* files",
    ):
        assert re.search(pattern, text), (pattern, text)
    assert made.bytes_to_read == 72 * 16 * 16 * 16 * 4
    assert run.path in made._repr_html_()


def test_a_plan_fits_a_screen_and_its_html_is_a_table_with_everything_escaped(run, tmp_path):
    made = dxflow.plan(run.path, RoiSum(name="a<b>"), tmp_path / "x.zarr", chunk=100)
    assert len(made.chunks) == 12
    assert len(repr(made)) < 2000
    assert repr(made).splitlines()[0] == "<dxflow.Plan of 12 chunks>"
    html = made._repr_html_()
    assert "<table" in html
    assert "a&lt;b&gt;" in html
    assert "<pre" not in html


def test_the_number_of_files_in_the_table_is_what_is_written(run, tmp_path):
    made = dxflow.plan(run.path, [RoiSum(), Stats()], tmp_path / "x.zarr")
    said = int(re.search(r"about (\d+) files", str(made))[1])
    dxflow.execute(made, "here")
    written = sum(f.is_file() for f in (tmp_path / "x.zarr").rglob("*"))
    assert abs(written - said) <= 0.5 * written


def test_what_is_known_of_a_run_is_shown_in_some_lines(run):
    made = dxflow.plan(run.path, RoiSum())
    info = made.algorithms[0].info
    assert repr(info).splitlines() == [
        f"<RunInfo of {run.path}: 12 trains>",
        "  img = <SPB_DET_AGIPD1M-1 image.data: 72 of 16 x 16 x 16 float32, up to 6 per train>",
    ]
    assert repr(made.inputs[0]) == repr(info["img"])
    with pytest.raises(KeyError, match="no input 'image'. Did you mean 'img'\\? Inputs: img"):
        info["image"]


@pytest.mark.parametrize("readers", [-1, 1.5, "2"])
def test_readers_that_are_no_number_of_threads_are_refused(run, readers):
    with pytest.raises(PlanError, match="readers="):
        dxflow.plan(run.path, RoiSum(), readers=readers)


@pytest.mark.parametrize("roi", [np.s_[3, :], np.s_[0:3], np.s_[:, :, :]])
def test_a_region_that_is_not_two_slices_is_refused(run, roi):
    with pytest.raises(PlanError, match="expected two slices"):
        dxflow.plan(run.path, RoiSum(img=Frames(roi=roi)))
