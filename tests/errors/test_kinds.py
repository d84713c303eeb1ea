"""Values of a wrong kind are refused where they are given, in the words of this package and not of what they broke."""

import linecache
import os
import re
import traceback
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from samples import RoiSum

import dxflow
from dxflow import Algorithm, Frames, FrameSelection, From, Key, Output, PlanError, PulseKey
from dxflow.copying import CopyError
from dxflow.errors import kinds
from dxflow.find import NotFoundError
from dxflow.simulate import make_run
from dxflow.stores.opening import verify

EXAMPLES = int(os.environ.get("DXFLOW_EXAMPLES", "150"))
OURS = (PlanError, TypeError, ValueError, FileNotFoundError, CopyError, NotFoundError)
RAW = (
    r"object is not|ambiguous|unhashable|not supported between|has no attribute|positional argument|expected str, bytes"
    r"|could not (convert|broadcast)|embedded|not iterable|subscriptable|not enough values|too many values"
    r"|Cannot interpret|not understood|invalid literal|data type|homogeneous|must be (a )?(str|real|int)|ufunc"
)
"""What Python and numpy say."""
XGM = "SA1_XTD2_XGM/XGM/DOOCS:output"


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A run that is planned quickly."""
    folder = tmp_path_factory.mktemp("small") / "r0001"
    options = {"modules": 2, "module_shape": (8, 8), "sequences": 1, "devices": ("xgm",)}
    return str(make_run(folder, detector="AGIPD500K", trains=3, pulses=2, **options).path)


class Strange:
    """No value of anything."""

    def __repr__(self):
        return "<strange>"


class Made(Algorithm):
    """Has one output and reads one input."""

    ALG_ID = "made"
    inputs = {"img": Frames(modules=(0, 1))}

    def __init__(self, output=None, **inputs):
        super().__init__(**inputs)
        self._output = output or Output()

    def outputs(self, info):
        return {"o": self._output}

    def process_train_data(self, train, out):
        pass


def plan(run, algorithm=None, **options):
    return dxflow.plan(run, algorithm or RoiSum(img=Frames(modules=(0, 1))), **options)


def planned(name):
    return lambda run, value: plan(**{"run": run, name: value})


def frames(name):
    return lambda run, value: plan(run, RoiSum(img=Frames(**{"modules": (0, 1), name: value})))


def key(name):
    given = {"source": XGM, "key": "data.intensityTD"}
    return lambda run, value: plan(run, Made(img=Key(**{**given, name: value})))


def pulses(name):
    given = {"source": XGM, "key": "data.intensityTD", "pattern": "nowhere", "sase": 1}
    return lambda run, value: plan(run, Made(img=PulseKey(**{**given, name: value})))


def output(name):
    axis = {"shape": (3,), "dims": ("q",)} if name == "coords" else {}
    return lambda run, value: plan(run, Made(Output(**{**axis, name: value})))


def selection(name):
    return lambda run, value: plan(run, frames=FrameSelection(**{name: value}))


def copied(name):
    return lambda run, value: dxflow.copy_run(
        **{"run": run, "to": f"{run}-copy", "dry_run": True, name: value}
    )


def ways(make, names):
    return {f"{make.__name__}({name}=)": make(name) for name in names.split()}


WAYS = {
    **ways(
        planned, "run to cluster frames mask mask_bits resume chunk block on_fault suspect overwrite readers"
    ),
    **ways(planned, "hook_timeout quiet name"),
    **ways(frames, "key detector modules data plane mask bits fill roi align offset"),
    **ways(key, "source key offset"),
    **ways(pulses, "source key pattern sase frames offset reference_frame exposure stride"),
    **ways(output, "per shape dtype merge dims coords unit doc store"),
    **ways(selection, "pulses cells trains frames mask entries in_cells also"),
    **ways(copied, "run to frames sources modules trains detector resume overwrite sync"),
    "algorithms": lambda run, value: dxflow.plan(run, value),
    "From": lambda run, value: plan(run, [RoiSum(img=Frames(modules=(0, 1))), Made(img=From(value))]),
    "input": lambda run, value: plan(run, Made(img=value)),
    "open": lambda run, value: dxflow.open(value),
    "verify": lambda run, value: verify(value),
    "execute": lambda run, value: dxflow.execute(value, "here"),
    "execute(cluster=)": lambda run, value: (
        value is None or value is True or dxflow.execute(plan(run), value, quiet=True)
    ),
    "copy_run(dry_run=)": lambda run, value: value is False or copied("dry_run")(run, value),
}
SIMPLE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([10**30, -(10**20)]),
    st.floats(width=32),
    st.complex_numbers(max_magnitude=9),
    st.sampled_from(["", "x", "image.data", "a\0b", "../x", "é" * 100, b"x", "2 MiB", "raise", "x.txt"]),
    st.sampled_from(
        [Strange(), int, len, ..., Path("nowhere"), np.datetime64("2020"), np.int8(3), np.float32(1)]
    ),
    st.builds(slice, st.integers(-2, 2) | st.text(max_size=1), st.floats(0, 3) | st.none()),
)
VALUES = st.one_of(
    SIMPLE,
    st.lists(SIMPLE, max_size=3),
    st.lists(SIMPLE, max_size=3).map(tuple),
    st.dictionaries(st.sampled_from(["x", "q", 1]), SIMPLE, max_size=2),
    st.sets(st.integers(-1, 3), max_size=2),
    st.sampled_from([(2,), (2, 2), (0,)]).map(np.zeros),
    st.sampled_from(
        [np.arange(3), np.array(["a"], object), np.array([True, False]), np.float64(3), np.zeros(())]
    ),
    st.just([[1, 2], [3]]),
)


@pytest.mark.properties
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(way=st.sampled_from(sorted(WAYS)), value=VALUES)
@example(way="planned(to=)", value=5)
@example(way="planned(to=)", value="a\0.zarr")
@example(way="planned(run=)", value=(1, 2, 3))
@example(way="planned(run=)", value="")
@example(way="frames(modules=)", value=3)
@example(way="frames(fill=)", value="x")
@example(way="copied(to=)", value=5)
@example(way="frames(detector=)", value=[])
@example(way="selection(entries=)", value=np.zeros(()))
@example(way="frames(roi=)", value=[[1, 2], [3]])
@example(way="planned(run=)", value=(None, None))
@example(way="selection(pulses=)", value=0)
@example(way="frames(roi=)", value=(slice(0, 0.0), slice(0, None)))
@example(way="planned(readers=)", value=np.int8(3))
@example(way="output(store=)", value=np.zeros((2,)))
def test_values_of_a_wrong_kind_are_refused_in_our_words(small, way, value):
    error = error_of(lambda: WAYS[way](small, value))
    if error is None:
        return
    assert isinstance(error, OURS)
    assert not re.search(RAW, str(error))
    frame = traceback.extract_tb(error.__traceback__)[-1]
    # Not something that broke on the way. A PlanError comes without the lines in which it was made.
    raised = linecache.getline(frame.filename, frame.lineno).strip().startswith("raise")
    assert isinstance(error, PlanError) or raised
    assert len(str(error)) < 1500


def error_of(act):
    """Return what a function raises, None if it does not."""
    try:
        act()
    except Exception as e:  # noqa: BLE001 - which it is, is the question
        return e
    return None


@pytest.mark.parametrize(
    ("way", "value", "said"),
    [
        ("planned(to=)", 5, "to=5: expected a path such as 'r0034.zarr', or None"),
        ("planned(to=)", "a\0.zarr", r"to='a\\x00.zarr': expected a path"),
        (
            "planned(run=)",
            (1, 2, 3),
            r"run=\(1, 2, 3\): expected a run directory, one file, \(proposal, run\)",
        ),
        ("planned(run=)", "", "run='': expected a run directory"),
        ("planned(resume=)", "no", "resume='no': expected True or False"),
        ("frames(modules=)", 3, r"modules=3: expected whole numbers, such as \(0, 1\), or None"),
        ("frames(fill=)", "x", "fill='x': expected a number, or None"),
        ("output(shape=)", 3, r"shape=3: expected a tuple of whole numbers from 0, such as \(3,\)"),
        ("selection(frames=)", 3, r"frames=3: expected a pair, \(train ids, ids of frames\)"),
        ("copied(sources=)", 3, "sources=3: expected a text or a tuple of texts"),
        ("open", 3, "path=3: expected a path"),
        ("execute", 3, "plan=3: expected a Plan"),
    ],
)
def test_what_was_expected_is_said(small, way, value, said):
    with pytest.raises((TypeError, ValueError), match=said):
        WAYS[way](small, value)


def test_what_a_function_is_given_is_checked_by_place_and_by_name():
    @kinds.checked({"to": kinds.PATH, "quiet": kinds.FLAG}, ValueError)
    def write(what, to, *, quiet=None):
        """Write."""
        return what, to, quiet

    assert write(1, "x") == (1, "x", None)
    assert (write.__name__, write.__doc__) == ("write", "Write.")
    for args, options in (((1, 5), {}), ((1,), {"to": 5}), ((1, "x"), {"quiet": 2})):
        with pytest.raises(ValueError, match="expected"):
            write(*args, **options)
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'to'"):
        write(1)
