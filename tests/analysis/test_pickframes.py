"""Frames that were picked: those and no others are read, in the order of picks."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr
from extra_data import RunDirectory
from runs import make_run

import dxflow
from dxflow import Frames, Key, PlanError
from dxflow.algorithms.assemble import Assemble
from dxflow.algorithms.frames import KeepFrames
from dxflow.algorithms.photons import Photonise
from dxflow.algorithms.roi import RoiSum
from dxflow.algorithms.subtract import Subtract
from dxflow.analysis import Table, random, smalldata_out
from dxflow.simulate import Plant

TRAINS, PULSES, MODULES, SHAPE = 5, 6, 8, (16, 24)
SIZE = {"detector": "AGIPD500K", "trains": TRAINS, "pulses": PULSES, "module_shape": SHAPE}
FRAME = SHAPE[0] * SHAPE[1] * 2
"""Bytes of one of a module, raw."""
HERE = {"cluster": "here", "quiet": True, "on_fault": "mask"}


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    return Path(make_run(tmp_path_factory.mktemp("pick") / "r0001", data="raw", **SIZE).path)


@pytest.fixture(scope="module")
def corrected(tmp_path_factory):
    return Path(
        make_run(tmp_path_factory.mktemp("pick") / "r0002", plant=Plant(lost_trains={1: (2,)}), **SIZE).path
    )


def table(path, **attrs):
    """Return a table with a row per frame; bins are memory cells."""
    ids = (
        np.repeat(10001 + np.arange(TRAINS, dtype="u8"), PULSES),
        np.tile(4 * np.arange(PULSES, dtype="u8"), TRAINS),
    )
    values = np.random.default_rng(1).random(TRAINS * PULSES)
    coords = {"train_id": ("pulse", ids[0]), "pulse_id": ("pulse", ids[1])}
    return Table(xr.Dataset({"v": ("pulse", values)}, coords, {"run": str(path), "rows": "frames", **attrs}))


def cells():
    return np.tile(np.arange(PULSES), TRAINS)


def opened(path, mode="r"):
    """Yield the images of each module and file, its number, and the row of its first frame, the trains' numbers."""
    for file in sorted(path.glob("*AGIPD*.h5")):
        with h5py.File(file, mode) as f:
            detector = f["INSTRUMENT/SPB_DET_AGIPD500K2G/DET"]
            (source,) = detector
            index = f[f"INDEX/SPB_DET_AGIPD500K2G/DET/{source}/image"]
            trains = f["INDEX/trainId"][()] - 10001
            there = [(t, a) for t, a, n in zip(trains, index["first"], index["count"], strict=True) if n]
            yield detector[source]["image"], int(source.split("CH")[0]), there


def stored(path, key="data"):
    """Return the frames of a run, (train, pulse, module, ...), read with h5py alone."""
    out = None
    for image, module, there in opened(path):
        for train, first in there:
            frames = image[key][first : first + PULSES]
            if out is None:
                out = np.full((TRAINS, PULSES, MODULES, *frames.shape[1:]), np.nan)
            out[train, :, module] = frames
    return out


@pytest.fixture
def counted(monkeypatch):
    """How many bytes each call reads of files of detectors, index and ids apart, which are smaller than a frame."""
    sizes, read = [], os.preadv

    def counting(file, *args):
        size = read(file, *args)
        if "AGIPD" in os.readlink(f"/proc/self/fd/{file}") and size >= FRAME:
            sizes.append(size)
        return size

    monkeypatch.setattr(os, "preadv", counting)
    return sizes


def test_one_frame_of_each_bin_is_read_and_nothing_else(raw, counted):
    ev = table(raw)
    picks = ev.pick(1, by=cells(), of="v").read(geometry=False, readers=0, **HERE)
    values = ev.data["v"].values.reshape(TRAINS, PULSES)
    best = values.argmax(axis=0)
    images = picks.images
    assert images["train_id"].values.tolist() == (10001 + best).tolist()
    assert images["pulse_id"].values.tolist() == (4 * np.arange(PULSES)).tolist()
    assert images["bin"].values.tolist() == list(range(PULSES))
    frames = stored(raw)[best, np.arange(PULSES)]
    # Raw frames are data and gain.
    np.testing.assert_array_equal(images["raw"], frames[:, :, 0])
    assert images["raw"].dtype == np.uint16
    assert images["raw_valid"].values.all()
    (result,) = picks.results
    assert result.times["bytes"] == sum(counted) == PULSES * MODULES * FRAME


def test_frames_that_were_not_picked_may_be_anything(raw, tmp_path):
    """What is not read cannot hurt: all other frames are broken, and the result has the same images."""
    copy = Path(make_run(tmp_path / "r0001", data="raw", **SIZE).path)
    ev = table(copy)
    picks = ev.pick(1, of="v")
    train, pulse = (int(picks.flat[name].values[0]) for name in ("train_id", "pulse_id"))
    before = picks.read(geometry=False, **HERE).images["raw"].values
    for image, _, there in opened(copy, "r+"):
        for number, first in there:
            frames = image["data"][first : first + PULSES]
            frames[(number != train - 10001) | (np.arange(PULSES) != pulse // 4)] = 7
            image["data"][first : first + PULSES] = frames
    np.testing.assert_array_equal(picks.read(geometry=False, **HERE).images["raw"], before)


def test_the_order_is_that_of_picks_whatever_that_of_trains(corrected):
    ev = table(corrected)
    picks = ev.pick(4, by=cells() % 3, rule=random(2))
    images = picks.read(**HERE).images
    flat = picks.flat
    for name in ("train_id", "pulse_id", "rank", "row", "bin"):
        np.testing.assert_array_equal(images[name], flat[name])
    assert (np.diff(images["train_id"].values.astype(int)) < 0).any()
    at = flat["train_id"].values - 10001, flat["pulse_id"].values // 4
    frames, bad = stored(corrected)[at], stored(corrected, "mask")[at]
    np.testing.assert_array_equal(images["corrected"], np.where(bad > 0, np.nan, frames).astype("f4"))
    whole = dxflow.reduce(corrected, Assemble(per="frame"), **HERE).dataset["assemble.image"].values
    np.testing.assert_array_equal(images["assembled"], whole[flat["row"].values])


def test_algorithms_make_corrected_images_of_raw_ones(raw):
    dark = stored(raw)[:, :, :, 0].mean(axis=(0, 1))
    picks = table(raw).pick(3, of="v").read(images=[Subtract(dark=dark)], geometry=False, **HERE)
    frames = picks.images["raw"].values.astype("f4")
    np.testing.assert_array_equal(picks.images["corrected"], frames - dark.astype("f4"))
    assert picks.results[0].times["bytes"] == frames.size * 2


def test_images_have_the_names_of_a_mapping_and_of_algorithms(corrected):
    chains = {"ph": [Photonise()], "plain": Frames(modules=[2])}
    images = table(corrected).pick(2, of="v").read(images=chains, geometry=False, **HERE).images
    assert {"ph_corrected", "ph_photons", "plain_corrected"} <= set(images.data_vars)
    np.testing.assert_array_equal(
        images["ph_photons"], np.maximum(np.floor(images["ph_corrected"] + 0.5), 0).astype("f4")
    )
    assert images["plain_corrected"].shape[1] == 1


def test_frames_and_modules_that_the_run_does_not_have_are_said(corrected):
    ev = table(corrected)
    lost = ev.pick(1, of=np.where(ev.rows.train_ids == 10003, 1.0, 0)).read(geometry=False, **HERE)
    assert np.isnan(lost.images["corrected"].sel(module=1)).all()
    assert not np.isnan(lost.images["corrected"].sel(module=2)).all()
    far = ev.data.assign_coords(train_id=ev.data["train_id"] + 2)
    some = Table(far).pick(100, rule="first").read(geometry=False, **HERE)
    assert some.images.sizes["pick"] == 3 * PULSES
    assert some.images.attrs["lacking"] == f"{2 * PULSES} frames, of trains 10006-10007"
    with pytest.raises(PlanError, match="there are trains 10001-10005"):
        Table(ev.data.assign_coords(train_id=ev.data["train_id"] + 100)).pick(1, rule="first").read(**HERE)
    other = Table(ev.data.assign_coords(pulse_id=ev.data["pulse_id"] + 1)).pick(1, rule="first")
    with pytest.raises(PlanError, match="the selection leaves none of its frames"):
        other.read(**HERE)


def test_several_runs_are_read_one_after_the_other(raw, corrected):
    """Both have the same train ids: only the run tells their frames apart."""
    one, two = (table(p).data for p in (raw, corrected))
    both = xr.concat([one.assign_coords(run=("pulse", [n] * 30)) for n, one in ((1, one), (2, two))], "pulse")
    picks = Table(both).pick(3, rule=random(1))
    with pytest.raises(ValueError, match="rows are of several runs: expected a mapping with each of"):
        picks.read(**HERE)
    with pytest.raises(ValueError, match=r"runs \[2\] are not in run="):
        Table(both).pick(60, rule="first").read({1: raw}, **HERE)
    found = picks.read({1: raw, 2: raw}, geometry=False, **HERE)
    flat = picks.flat
    at = flat["train_id"].values - 10001, flat["pulse_id"].values // 4
    assert set(flat["run"].values) == {1, 2}
    np.testing.assert_array_equal(found.images["raw"], stored(raw)[at][:, :, 0])
    assert found.images["run"].values.tolist() == flat["run"].values.tolist()
    assert len(found.results) == 2
    assert found.images.attrs["run"] == str(raw)
    two = picks.read({1: raw, 2: corrected}, geometry=False, images={"a": Frames(modules=[0])}, **HERE)
    for said in ("title", "run"):
        assert all(str(path) in two.images.attrs[said] for path in (raw, corrected))


def test_the_geometry_beside_the_run_may_be_asked_for_as_of_a_cube(corrected):
    picks = table(corrected).pick(2, of="v")
    own, asked = (picks.read(geometry=given, **HERE).images["assembled"] for given in (None, True))
    np.testing.assert_array_equal(asked, own)
    with pytest.raises(
        PlanError, match="geometry=True: no geometry was given, and there is no geometry.geom"
    ):
        picks.read(corrected.parent, geometry=True, **HERE)


def test_tables_in_the_layout_of_lcls_know_their_frames(raw, tmp_path):
    ev = dxflow.open(smalldata_out.write(table(raw).data, tmp_path / "exp_Run0001.h5", {}))
    picks = ev.pick(3, of="v").read(geometry=False, **HERE)
    at = picks.flat["train_id"].values - 10001, picks.flat["pulse_id"].values // 4
    np.testing.assert_array_equal(picks.images["raw"], stored(raw)[at][:, :, 0])


@pytest.mark.filterwarnings("ignore:.*holds for none")
def test_what_cannot_be_read_is_refused(raw):
    ev = table(raw)
    with pytest.raises(ValueError, match="nothing was picked"):
        ev.pick(1, of="v", where="v > 5").read(**HERE)
    with pytest.raises(ValueError, match="events of LCLS"):
        table(raw, rows="events").pick(1, of="v").read(**HERE)
    with pytest.raises(ValueError, match="give run="):
        table("").pick(1, of="v").read(**HERE)
    with pytest.raises(TypeError, match=r"expected Frames\(...\), or algorithms"):
        ev.pick(1, of="v").read(images=["average"], **HERE)
    with pytest.raises(TypeError, match="a mapping is for tables of several runs"):
        ev.pick(1, of="v").read({1: raw}, **HERE)
    with pytest.raises(PlanError, match="has no modules 99; in this run are 0-7"):
        ev.pick(1, of="v").read(images=Frames(modules=[99]), **HERE)


def test_a_camera_has_an_image_of_the_train_of_each_pulse(tmp_path):
    path = make_run(tmp_path / "r0004", devices=("camera",), **SIZE).path
    key = Key("SPB_EXP_CAM/CAM/SIDE:daqOutput", "data.image.pixels")
    picks = table(path).pick(2, by=cells() % 2, rule=random(4)).read(images=key, geometry=False, **HERE)
    images = RunDirectory(path)[key.source, key.key].ndarray()
    np.testing.assert_array_equal(picks.images["images"][:, 0], images[picks.flat["train_id"].values - 10001])


def test_of_rows_that_are_detector_frames_without_pulse_ids_numbers_are_in_trains(tmp_path):
    path = make_run(tmp_path / "r0003", detector="JUNGFRAU", trains=4, module_shape=(16, 16)).path
    made = dxflow.reduce(path, RoiSum(), **HERE)
    ev = made.table
    picks = ev.pick(3, rule=random(4)).read(geometry=False, **HERE)
    whole = dxflow.reduce(path, KeepFrames(), **HERE).dataset["frames.img"].values
    (images,) = (one for name, one in picks.images.data_vars.items() if one.ndim == 4)
    np.testing.assert_array_equal(images, whole[picks.flat["row"].values])
