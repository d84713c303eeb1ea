"""Windows hold each frame of a chunk once, whatever the walk, and a pass takes the smallest that all can work in."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import Stats, TrainSums

import dxflow
from dxflow import Algorithm, Frames, Key, Output
from dxflow.planning.walking import walk
from dxflow.planning.walks import ModuleTrains, Trains, Walk, WholeFrames
from dxflow.run.bound import present
from dxflow.testing.case import cut


class PulsePairs(Algorithm):
    """Needs all pulses of a train of one module."""

    ALG_ID = "pairs"
    WHOLE_TRAINS = True
    inputs = {"img": Frames("image.data")}

    def outputs(self, info):
        return {"g": Output(per="pixel")}

    def process_module_data(self, block, out):
        out.g += np.nanprod(block["img"][[0, -1]], axis=0)


class Detector(Algorithm):
    """Needs all modules of some frames."""

    ALG_ID = "detector"
    WHOLE_FRAMES = True
    inputs = {"img": Frames("image.data")}

    def outputs(self, info):
        return {"most": Output(per="img")}

    def process_train_data(self, frames, out):
        out.most = np.nanmax(frames["img"], axis=(1, 2, 3))


@pytest.mark.parametrize(
    ("algorithms", "kind"),
    [
        ([Stats], Walk),
        ([Stats, PulsePairs], ModuleTrains),
        ([Detector, Stats], WholeFrames),
        ([Detector, PulsePairs], Trains),
        ([Stats, TrainSums], Trains),
    ],
    ids=lambda made: made.__name__ if isinstance(made, type) else "+".join(a.__name__ for a in made),
)
def test_a_pass_takes_the_smallest_windows_that_all_can_work_in(gappy, algorithms, kind):
    made = dxflow.plan(gappy.path, [a() for a in algorithms], block=4 * 256)
    assert type(walk(made)) is kind
    assert walk(made).words in str(made)
    whole = walk(dxflow.plan(gappy.path, [TrainSums()], block=4 * 256)).step_bytes
    assert walk(made).step_bytes <= whole == made.walk.step_bytes or kind is not Trains


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    which=st.sampled_from([[Stats], [PulsePairs], [Detector], [TrainSums]]),
    trains=st.integers(1, 12),
    frames=st.integers(1, 9),
    excluded=st.sets(st.integers(0, 11), max_size=3),
)
def test_windows_hold_each_frame_once_and_fit_a_buffer(gappy, which, trains, frames, excluded):
    made = cut(dxflow.plan(gappy.path, [a() for a in which], block=frames * 256), trains)
    own, (bound,) = walk(made), made.inputs
    held = np.zeros((len(bound.modules), len(bound.index)), int)
    for chunk in made.chunks:
        windows = own.windows(replace(chunk), frozenset(excluded))
        assert [w.begins for w in windows] == sorted(w.begins for w in windows)
        for window in windows:
            rows, modules = window.rows_of(bound), window.modules_of(bound)
            held[modules.start : modules.stop, rows] += 1
            assert (rows.stop - rows.start) * len(modules) * bound.frame_bytes <= own.step_bytes
            assert chunk.first <= window.first < window.last <= chunk.last
    out = np.isin(bound.index.train_positions(slice(0, len(bound.index))), list(excluded))
    for module, count in enumerate(held):
        there = present(bound, module, slice(0, len(bound.index))) & ~out
        assert (count[there] == 1).all()
        assert (count[out] == 0).all()


class Motor(Algorithm):
    """Works on the entries of a key."""

    ALG_ID = "motor"
    inputs = {"x": None}

    def outputs(self, info):
        return {"x": Output(per="run")}

    def process_module_data(self, block, out):
        out.x += block["x"].sum()


class BesideMotor(Stats):
    """Reads the same key beside frames."""

    ALG_ID = "beside"
    inputs = {"img": Frames("image.data"), "x": None}

    def process_module_data(self, block, out):
        assert len(block["x"]) == len(block)
        super().process_module_data(block, out)


@pytest.mark.parametrize("order", [1, -1])
def test_a_key_is_there_for_all_though_one_algorithm_has_it_in_its_windows(gappy, order):
    key = Key(gappy.devices["motor"], "actualPosition.value")
    both = [Motor(x=key), BesideMotor(x=key)][::order]
    data = dxflow.reduce(gappy.path, both, cluster="here").dataset
    alone = dxflow.reduce(gappy.path, Stats(), cluster="here").dataset
    np.testing.assert_array_equal(data["beside.mean"], alone["stats.mean"])
    assert data["motor.x"] == gappy.motor.sum()
