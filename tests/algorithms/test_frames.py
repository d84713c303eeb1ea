"""KeepFrames against the files, of floats and integers, whole and with modules that lack frames."""

import numpy as np
from readings import images

import dxflow
from dxflow import Frames, FrameSelection
from dxflow.algorithms.frames import KeepFrames
from dxflow.testing import check_algorithm


def kept(truth, **options):
    algorithm = KeepFrames(img=options.pop("img", Frames()))
    return dxflow.reduce(truth.path, algorithm, cluster="here", **options).dataset


def test_images_are_those_that_were_read(holey):
    np.testing.assert_array_equal(kept(holey)["frames.img"], images(holey))
    some = kept(
        holey, frames=FrameSelection(pulses=slice(0, 17)), img=Frames(modules=[5, 2], roi=np.s_[3:9, 10:30])
    )
    whole = kept(holey)
    expected = images(holey)[whole["pulse_id"].values < 17][:, [5, 2], 3:9, 10:30]
    np.testing.assert_array_equal(some["frames.img"], expected)


def test_integers_stay_what_they_are_and_say_where_they_are(raw, broken):
    data = kept(raw)
    assert data["frames.img"].dtype == np.uint16
    assert data["frames.img_valid"].values.all()
    data = kept(broken, img=Frames("image.gain"), on_fault="mask")
    assert data["frames.img"].dtype == np.uint8
    there = data["frames.img_valid"].values
    assert not there[:, 2].any()
    lost = np.isin(data["train_id"].values, np.unique(data["train_id"].values[~there[:, 5]]))
    assert lost.any()
    assert not data["frames.img"].values[~there].any()
    assert np.isnan(kept(broken, on_fault="mask")["frames.img"].values[~there]).all()


def test_it_keeps_what_the_framework_relies_on(tiny):
    check_algorithm(lambda: KeepFrames(), tiny.path, on_fault="mask")
