"""Values beside frames: inputs of which a selection of frames takes nothing away but trains."""

import numpy as np
import pytest
from runs import make_run

import dxflow
from dxflow import Algorithm, FrameSelection, Key, Output
from dxflow.declare.beside import Beside, EachTrain
from dxflow.simulate import Plant

XGM = "SA1_XTD2_XGM/XGM/DOOCS:output", "data.intensityTD"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(
        tmp_path_factory.mktemp("beside") / "r",
        detector="AGIPD500K",
        trains=4,
        pulses=2,
        module_shape=(4, 4),
        devices=("xgm", "motor", "timeserver"),
        plant=Plant(empty_trains=(1,)),
    )


class Seen(Algorithm):
    """Counts the trains that it sees, and keeps how many values each has."""

    ALG_ID = "seen"
    inputs = {"trains": EachTrain(), "xgm": Beside(*XGM)}

    def outputs(self, info):
        return {"n": Output(dtype="i8"), "values": Output(per="train", dtype="i8"), "xgm": Output(per="xgm")}

    def process_train_data(self, train, out):
        assert train["trains"].tolist() == [True]
        out.n += 1
        out.values[...] = len(train["xgm"])
        out.xgm[...] = train["xgm"]


def seen(run, **options):
    return dxflow.reduce(run.path, Seen(), cluster="here", on_fault="mask", **options).dataset


def test_every_train_is_seen_whatever_is_in_it(run):
    data = seen(run)
    assert int(data["seen.n"]) == 4
    assert data["seen.values"].values.tolist() == [2, 0, 2, 2]
    assert data["seen.xgm"].sizes == {"frame": 6}
    assert data["seen.xgm"]["train_id"].dims == ("frame",)


def test_a_selection_takes_frames_of_values_per_frame_and_trains_of_all(run):
    data = seen(run, frames=FrameSelection(trains=[10001, 10002, 10003], pulses=[0]))
    assert int(data["seen.n"]) == 3
    assert data["seen.values"].values[:3].tolist() == [1, 0, 1]


def test_an_offset_or_another_key_is_read_by_its_own_rate():
    assert "offset=-1" in repr(Beside(*XGM, offset=-1))
    assert Beside("a", "b") != Key("a", "b")
    assert np.unique([hash(Beside("a", "b")) for _ in range(3)]).size == 1
