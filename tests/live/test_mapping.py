"""Trains of a stream as files have them: orders of axes, stacked modules, names and values that no file has."""

import numpy as np
import pytest
from bridges import DET, train
from karabo_bridge.simulation import Detector

from dxflow.live.mapping import Mapper, said

NAME = "SPB_DET_AGIPD1M-1"
SHAPE = (16, 8)
ids = np.arange(3)


def frames(modules=16, count=3, shape=SHAPE, planes=0):
    """Return values that differ everywhere, (module, frame, [plane,] ss, fs)."""
    axes = (modules, count, *([planes] if planes else []), *shape)
    return np.arange(np.prod(axes), dtype=np.uint16 if planes else np.float32).reshape(axes)


ORDERS = {
    "EXtra-data": (1, 0, 2, 3),
    "online": (0, 3, 2, 1),
    "module by module": (0, 1, 2, 3),
    "frames last": (0, 2, 3, 1),
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@pytest.mark.parametrize("count", [3, 16, 1])
def test_stacked_modules_are_taken_apart_by_the_shape_of_the_pixels(order, count):
    whole = frames(count=count, shape=(512, 128))[:, :, ::64, ::32]
    sent = np.empty((16, count, 512, 128), np.float32)
    sent[:, :, ::64, ::32] = whole
    mapper = Mapper()
    values = {"image.data": sent.transpose(order), "image.cellId": np.arange(count, dtype=np.uint16)}
    made = mapper.train({f"{NAME}/CAL/APPEND_CORRECTED": values})
    assert set(made) == {f"{NAME}/CORR/{m}CH0:output/image" for m in range(16)}
    if count == 16 and order == (0, 1, 2, 3):
        # Nobody can tell these from frames first: that is what is stated, and what axes= is for.
        mapper = Mapper(axes={f"{NAME}/CAL/APPEND_CORRECTED": ("module", "frame", "ss", "fs")})
        made = mapper.train({f"{NAME}/CAL/APPEND_CORRECTED": values})
    for m in range(16):
        group = made[f"{NAME}/CORR/{m}CH0:output/image"]
        assert group.entries == count
        assert np.array_equal(group.values["image.data"][:, ::64, ::32], whole[m])
        assert np.array_equal(group.values["image.cellId"], np.arange(count))


def test_planes_of_raw_data_stay():
    whole = frames(planes=2)
    values = {"image.data": np.stack(list(whole), axis=-3), "image.cellId": ids}
    made = Mapper().train({f"{NAME}/DET/APPEND": values})
    for m in range(16):
        assert np.array_equal(made[f"{NAME}/DET/{m}CH0:xtdf/image"].values["image.data"], whole[m])


@pytest.mark.parametrize("like", ["online", "file"])
@pytest.mark.parametrize("raw", [False, True])
def test_what_the_simulation_of_the_bridge_sends_is_understood(like, raw):
    detector = Detector.getDetector("AGIPD", raw=raw, data_like=like)
    detector.pulses = 2
    data, _ = detector.gen_data(10000)
    (source,) = data
    mapper = Mapper()
    made = mapper.train(data)
    name = f"{NAME}/DET/{{}}CH0:xtdf/image" if raw else f"{NAME}/CORR/{{}}CH0:output/image"
    for m in range(16):
        got = made[name.format(m)].values["image.data"]
        sent = data[source]["image.data"]
        assert np.array_equal(got, sent[m].transpose(2, 1, 0) if like == "online" else sent[:, m])
    axes = "(module, fs, ss, frame)" if like == "online" else "(frame, module, ss, fs)"
    assert f"{source}, image.data: {axes} = {data[source]['image.data'].shape}" in said(
        mapper.orders.values()
    )


def test_single_modules_have_frames_first_and_one_frame_is_a_frame():
    source = f"{NAME}/DET/3CH0:xtdf"
    whole = frames(1)[0]
    made = Mapper().train(
        {source: {"image.data": whole, "image.pulseId": ids[:, None], "header.pulseCount": 3}}
    )
    assert np.array_equal(made[f"{source}/image"].values["image.data"], whole)
    assert made[f"{source}/image"].values["image.pulseId"].shape == (3,)
    assert made[f"{source}/header"].entries == 1
    one = Mapper().train({source: {"image.data": whole[0], "image.pulseId": np.uint64(7)}})[f"{source}/image"]
    assert one.entries == 1
    assert np.array_equal(one.values["image.data"], whole[:1])
    assert one.values["image.pulseId"].tolist() == [7]
    none = Mapper().train({source: {"image.data": whole[:0], "image.pulseId": ids[:0]}})[f"{source}/image"]
    assert none.entries == 0


def test_an_order_stays_what_it_was_first():
    source = f"{NAME}/DET/APPEND"
    mapper = Mapper()
    mapper.train({source: {"image.data": np.zeros((3, 16, *SHAPE), "f4"), "image.cellId": ids}})
    later = {"image.data": frames(count=16).transpose(1, 0, 2, 3), "image.cellId": np.arange(16)}
    made = mapper.train({source: later})
    assert np.array_equal(made[f"{NAME}/CORR/1CH0:output/image"].values["image.data"], frames(count=16)[1])


def test_modules_that_are_not_present_are_left_out():
    values = {"image.data": frames().transpose(1, 0, 2, 3), "image.cellId": ids}
    values["modulesPresent"] = [m != 5 for m in range(16)]
    made = Mapper().train({f"{NAME}/DET/APPEND": values})
    assert len(made) == 15
    assert f"{NAME}/CORR/5CH0:output/image" not in made


def test_other_sources_have_one_entry_of_each_key():
    data = {
        "SA1/XGM/DOOCS:output": {"data.intensityTD": np.arange(5.0), "data.trainId": 10000},
        "SPB/MOTOR/X": {
            "actualPosition": 2.5,
            "state": "ON",
            "speed.value": np.int32(3),
            "speed.timestamp": 99,
        },
        "SPB/CAM/1:daqOutput": {"data.image.pixels": np.ones((2, 3), np.uint16)},
    }
    made = Mapper().train(data)
    assert made["SA1/XGM/DOOCS:output/data"].values["data.intensityTD"].shape == (1, 5)
    assert set(made["SPB/MOTOR/X"].values) == {"actualPosition.value", "speed.value"}
    assert made["SPB/MOTOR/X"].values["actualPosition.value"].tolist() == [2.5]
    assert made["SPB/CAM/1:daqOutput/data"].values["data.image.pixels"].shape == (1, 2, 3)


def test_a_source_is_taken_for_what_it_is_said_to_be():
    data = {"SOME/PIPE/LINE": {"image.data": frames().transpose(0, 3, 2, 1), "image.cellId": ids}}
    mapper = Mapper({"SOME/PIPE/LINE": f"{NAME}/CAL/APPEND_RAW"})
    assert mapper.is_detector("SOME/PIPE/LINE")
    assert f"{NAME}/DET/0CH0:xtdf/image" in mapper.train(data)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "A/../B:c",
        "/abs",
        "a//b",
        "",
        "x" * 500,
        "a\0b",
        "a\nb",
        "<script>",
        "A/./B",
        "é/ü",
        "a/",
    ],
)
def test_names_that_no_file_has_are_refused_and_the_others_stay(name):
    mapper = Mapper()
    made = mapper.train({name: {"x.value": 1.0}, "GOOD/ONE": {"x.value": 1.0, name: 2.0}})
    assert list(made) == ["GOOD/ONE"]
    assert list(made["GOOD/ONE"].values) == ["x.value"]
    assert len(mapper.refused) == 2


@pytest.mark.parametrize(
    "value",
    [
        "text",
        None,
        {"a": 1},
        [1, [2, 3]],
        1j,
        np.array(["a"]),
        np.zeros(2, "c8"),
        np.zeros((1,) * 12),
        [2**70],
    ],
)
def test_values_that_no_file_has_are_left_out(value):
    mapper = Mapper()
    made = mapper.train(
        {"A/B/C": {"x.value": value, "y.value": 1}, f"{NAME}/DET/0CH0:xtdf": {"image.data": value}}
    )
    assert list(made["A/B/C"].values) == ["y.value"]
    assert f"{NAME}/DET/0CH0:xtdf/image" not in made
    assert mapper.refused


def test_frames_of_no_order_and_keys_of_other_lengths_are_said():
    mapper = Mapper()
    good = frames(1)[0]
    made = mapper.train(
        {
            f"{NAME}/DET/0CH0:xtdf": {"image.data": good, "image.cellId": ids, "image.pulseId": np.arange(5)},
            f"{NAME}/DET/APPEND": {"image.data": np.zeros((7, 3, 16, 8), "f4"), "image.cellId": ids},
        }
    )
    assert set(made[f"{NAME}/DET/0CH0:xtdf/image"].values) == {"image.data", "image.cellId"}
    assert any("fits no order" in why for why in mapper.refused.values())
    assert len(mapper.refused) == 2


@pytest.mark.parametrize("empty_first", [True, False])
def test_a_train_without_frames_is_as_in_files(empty_first):
    mapper = Mapper()
    for tid, frames in ((10000, 3), (10001, 0), (10002, 3))[empty_first:]:
        data, _ = train(tid, modules=1, frames=frames)
        ((place, group),) = mapper.train(data).items()
        assert (place, group.entries) == (f"{DET.format(0)}/image", frames)
        assert {key: len(values) for key, values in group.values.items()} == dict.fromkeys(
            ("image.data", "image.pulseId", "image.cellId"), frames
        )
    assert not mapper.refused


def test_corrected_modules_that_come_by_their_old_name_as_well_count_once():
    data, _ = train(10000)
    old = {source.replace("DET/", "CORR/").replace(":xtdf", ":output"): source for source in data}
    both = {new: data[source] for new, source in old.items()} | data
    assert set(Mapper().train(both)) == {f"{new}/image" for new in old}
    # Raw data are no copies, nor is what differs, or has other keys, or is alone.
    raw = {
        s: {k: v.astype(np.uint16) if k == "image.data" else v for k, v in d.items()} for s, d in both.items()
    }
    assert len(Mapper().train(raw)) == 4
    for key, value in (("image.data", data[DET.format(0)]["image.data"] + 1), ("image.x", ids)):
        assert len(Mapper().train(both | {DET.format(0): data[DET.format(0)] | {key: value}})) == 3
    assert len(Mapper().train(data)) == 2
