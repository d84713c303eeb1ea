"""Alignment of modules and sources: what `align`, `offset`, `modules` and `roi` of inputs take, refuse and count."""

import numpy as np
import pytest
from extra_data import RunDirectory, by_id

import dxflow
from dxflow import Algorithm, Frames, Key, Output, PlanError
from dxflow.algorithms.average import Average
from dxflow.simulate import Plant, make_run

SIZE = {"trains": 6, "pulses": 4, "modules": 3, "module_shape": (8, 8)}
MODULES = (0, 1, 2)


class Brightness(Algorithm):
    """Sum of each frame, and the motor's position of its train."""

    ALG_ID = "bright"
    inputs = {"img": Frames(modules=MODULES), "motor": None}

    def outputs(self, info):
        return {
            "sum": Output(per="img"),
            "motor": Output(per="img", merge="max"),
            "n": Output(per="img", dtype="i4"),
        }

    def process_module_data(self, block, out):
        out.sum += np.nansum(block["img"], axis=(1, 2), dtype="f8")
        out.motor = np.nan_to_num(block["motor"], nan=-99)
        out.n += 1


@pytest.fixture(scope="module")
def uneven(tmp_path_factory):
    plant = Plant(lost_trains={1: (2,)}, silent_trains={2: (4,)})
    return make_run(tmp_path_factory.mktemp("uneven") / "r", plant=plant, **SIZE)


def motor(truth, **options):
    return Key(truth.devices["motor"], "actualPosition.value", **options)


def result(truth, frames=None, **key):
    frames = frames or Frames(modules=MODULES)
    return dxflow.reduce(truth.path, Brightness(img=frames, motor=motor(truth, **key)), cluster="here")


def sums(truth, module):
    """Return {(train, pulse): sum} of a module, from EXtra-data."""
    run, source = RunDirectory(truth.path), truth.sources[module]
    out = {}
    for train in run[source, "image.data"].drop_empty_trains().train_ids:
        data, mask, pulses = (
            run[source, f"image.{k}"].select_trains(by_id[[train]]).ndarray()
            for k in ("data", "mask", "pulseId")
        )
        good = np.where(mask == 0, data, 0)
        out |= {(int(train), int(p)): x.sum(dtype="f8") for x, p in zip(good, pulses.ravel(), strict=True)}
    return out


def test_outer_takes_all_frames_and_counts_what_modules_lack(uneven):
    r = result(uneven)
    per_module = [sums(uneven, m) for m in range(3)]
    keys = sorted(set().union(*per_module))
    assert list(zip(r.dataset.train_id.values, r.dataset.pulse_id.values, strict=True)) == keys
    expected = [sum(m.get(k, 0) for m in per_module) for k in keys]
    np.testing.assert_allclose(r.dataset["bright.sum"], expected, rtol=1e-12)
    assert r.dataset["bright.n"].values.tolist() == [sum(k in m for m in per_module) for k in keys]
    assert r.losses.set_index("module").frames.to_dict() == {1: 4, 2: 4}


def test_inner_takes_the_frames_that_all_modules_have(uneven):
    r = result(uneven, Frames(modules=MODULES, align="inner"))
    per_module = [sums(uneven, m) for m in range(3)]
    keys = sorted(set.intersection(*map(set, per_module)))
    assert list(zip(r.dataset.train_id.values, r.dataset.pulse_id.values, strict=True)) == keys
    np.testing.assert_allclose(
        r.dataset["bright.sum"], [sum(m[k] for m in per_module) for k in keys], rtol=1e-12
    )


def test_strict_refuses_modules_that_differ_and_says_where(uneven):
    with pytest.raises(PlanError, match=r"8 of 24 frames are not in all modules, the first at .*10003"):
        result(uneven, Frames(modules=MODULES, align="strict"))
    even = Frames(modules=(0,), align="strict")
    dxflow.plan(uneven.path, Brightness(img=even, motor=motor(uneven)))


def test_an_unknown_alignment_is_refused():
    with pytest.raises(ValueError, match=r"align='some': expected"):
        Frames(align="some")


@pytest.mark.parametrize("offset", [-1, 0, 2])
def test_a_source_with_an_offset_belongs_to_other_trains(uneven, offset):
    r = result(uneven, offset=offset).dataset
    position = dict(zip(uneven.train_ids.tolist(), uneven.motor.tolist(), strict=True))
    expected = [position.get(int(t) - offset, -99) for t in r.train_id.values]
    np.testing.assert_allclose(r["bright.motor"], expected)


def test_a_detector_with_an_offset_belongs_to_other_trains(uneven):
    shifted = result(uneven, Frames(modules=(0,), offset=1)).dataset
    plain = sums(uneven, 0)
    keys = list(zip(shifted.train_id.values.tolist(), shifted.pulse_id.values.tolist(), strict=True))
    assert keys == [(t + 1, p) for t, p in sorted(plain) if t + 1 in uneven.train_ids]
    np.testing.assert_allclose(shifted["bright.sum"], [plain[t - 1, p] for t, p in keys], rtol=1e-12)


def test_trains_without_a_source_are_counted(uneven):
    losses = result(uneven, offset=2).losses
    row = losses[losses.cause == "missing trains"].iloc[0]
    assert (row.trains, row.first_train, row.last_train) == (2, 10001, 10002)


@pytest.mark.parametrize("roi", [np.s_[9:12, :], np.s_[3:3, :], np.s_[::2, :]])
def test_a_region_that_takes_nothing_is_refused(uneven, roi):
    with pytest.raises(PlanError, match="takes nothing, or not every pixel"):
        result(uneven, Frames(modules=(0,), roi=roi))


def test_two_detectors_of_different_size_share_a_pass(tmp_path):
    make_run(tmp_path / "r", **SIZE)
    make_run(tmp_path / "j", detector="JUNGFRAU", **(SIZE | {"modules": 2, "pulses": 1}))
    for file in (tmp_path / "j").glob("*JNGFR*.h5"):
        file.rename(tmp_path / "r" / file.name)

    class Total(Algorithm):
        ALG_ID = "total"
        inputs = {"img": Frames()}

        def outputs(self, info):
            return {"sum": Output(per="pixel"), "frame": Output(per="img")}

        def process_module_data(self, block, out):
            out.sum += np.nansum(block["img"], axis=0, dtype="f8")
            out.frame += np.nansum(block["img"], axis=(1, 2), dtype="f8")

    both = [
        Total(name="agipd", img=Frames(detector="AGIPD1M", modules=MODULES)),
        Total(name="jungfrau", img=Frames(detector="JUNGFRAU")),
    ]
    together = dxflow.reduce(tmp_path / "r", both, cluster="here").dataset
    for one in both:
        alone = dxflow.reduce(tmp_path / "r", one, cluster="here").dataset
        for key in ("sum", "frame"):
            name = f"{one.name}.{key}"
            np.testing.assert_array_equal(together[name].values, alone[name].values)
            assert np.isfinite(together[name]).all()


def test_frames_without_pulse_ids_are_told_apart_by_their_number_in_the_train(tmp_path):
    truth = make_run(tmp_path / "j", detector="JUNGFRAU", **(SIZE | {"modules": 2, "pulses": 3}))
    made = dxflow.plan(truth.path, Average())
    assert made.inputs[0].index.pulse_ids is None
    assert made.inputs[0].info().pulses.size == 0
    labels = made.inputs[0].index.labels(slice(0, 6))
    assert labels["entry_id"].tolist() == labels["cell_id"].tolist() == [0, 1, 2, 0, 1, 2]
    assert "pulse_id" not in labels
    with pytest.raises(PlanError, match="has no pulse ids; use per='run' or per='cell'"):
        dxflow.plan(truth.path, Average(per="pulse"))
