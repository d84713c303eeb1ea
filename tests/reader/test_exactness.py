"""Every way of reading gives the bits that EXtra-data gives, for every run that can be simulated."""

import os
from dataclasses import replace

import numpy as np
import pytest
from extra_data import RunDirectory
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import dxflow
from dxflow import Algorithm, Frames, FrameSelection, Output
from dxflow.reader import files, layout
from dxflow.simulate import Plant, make_run


class Copy(Algorithm):
    """Keeps every frame, as blocks see it."""

    ALG_ID = "copy"
    inputs = {"img": Frames(mask=None)}

    def outputs(self, info):
        return {"x": Output(per=("img", "pixel"), dtype=info["img"].dtype)}

    def process_module_data(self, block, out):
        out.x = block["img"]


class CopyOfTrains(Copy):
    """Keeps every frame, as trains see it."""

    process_module_data = Algorithm.process_module_data

    def process_train_data(self, train, out):
        out.x = train["img"]


KINDS = [("AGIPD500K", 8), ("LPD1M", 3), ("DSSC1M", 3), ("JUNGFRAU", 2), ("JUNGFRAU1", None)]


@st.composite
def runs(draw):
    detector, modules = draw(st.sampled_from(KINDS))
    trains = draw(st.integers(2, 5))
    pulses = draw(st.integers(1, 5))
    how = draw(st.sampled_from([("chunked", False), ("chunked", True), ("contiguous", False)]))
    plant = {}
    if draw(st.booleans()):
        plant["missing_trains"] = (draw(st.integers(0, trains - 1)),)
    if draw(st.booleans()) and modules:
        plant["lost_trains"] = {draw(st.integers(0, modules - 1)): (draw(st.integers(0, trains - 1)),)}
    if draw(st.booleans()) and not detector.startswith("JUNGFRAU"):
        plant["pulse_counts"] = np.array(
            draw(st.lists(st.integers(0, pulses), min_size=trains, max_size=trains))
        )
    return {
        "detector": detector,
        "modules": modules,
        "trains": trains,
        "pulses": pulses,
        "module_shape": (4, 6),
        "data": draw(st.sampled_from(["raw", "corr"])),
        "version": draw(st.sampled_from(["0.5", "1.0", "1.1", "1.2", "1.3"])),
        "layout": how[0],
        "compress_data": how[1],
        "sequences": draw(st.integers(1, 2)),
        "plant": Plant(**plant),
        "devices": (),
    }


def of_extra_data(truth, module, labels):
    """Return the frames of a module as EXtra-data reads them, at the rows of the result; None where it has none."""
    run = RunDirectory(truth.path)
    source = truth.sources[module]
    key = truth.key
    frames, trains = run[source, key].ndarray(), run[source, key].train_id_coordinates()
    pulses = None if key == "data.adc" else run[source, "image.pulseId"].ndarray().ravel()
    out = [None] * len(labels)
    for row, (train, pulse) in enumerate(labels):
        here = trains == train
        if pulses is None:
            for one in frames[here]:
                out[row] = one[pulse] if one.ndim == 3 else one
        else:
            for frame in frames[here & (pulses == pulse)]:
                out[row] = frame[0] if frame.ndim == 3 else frame
    return out


def forced(way):
    """Return a `layout_of` that leaves everything to HDF5, or the real one."""
    real = layout.layout_of
    if way == "fast":
        return real
    return lambda *given: replace(real(*given), way="hdf5", why="forced")


@pytest.mark.properties
@given(options=runs(), algorithm=st.sampled_from([Copy, CopyOfTrains]), keep=st.sampled_from([None, 2, 3]))
@settings(
    max_examples=int(os.environ.get("DXFLOW_EXAMPLES", "15")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_fast_and_hdf5_reading_give_the_bits_of_extra_data(tmp_path_factory, options, algorithm, keep):
    truth = make_run(tmp_path_factory.mktemp("x") / "r", **options)
    if not len(truth.frame_train_ids):
        return
    frames = None
    if keep:
        wanted = np.unique(truth.pulse_ids)[::keep].tolist()
        kept = np.unique(truth.frame_train_ids)[::keep].tolist()
        frames = (
            FrameSelection(trains=kept) if options["detector"][0] == "J" else FrameSelection(pulses=wanted)
        )
    results = []
    for way in ("fast", "hdf5"):
        saved, files.layout_of = files.layout_of, forced(way)
        try:
            number = truth.module_numbers.tolist()
            one = algorithm(img=Frames(modules=number, mask=None))
            results.append(
                dxflow.reduce(truth.path, one, cluster="here", frames=frames, block=300, on_fault="mask")
            )
        finally:
            files.layout_of = saved
    fast, slow = (r.dataset["copy.x"] for r in results)
    assert fast.values.tobytes() == slow.values.tobytes()
    # Frames of JUNGFRAU have no pulse ids but memory cells, or one frame per train.
    ids = next(
        (fast[n].values for n in ("pulse_id", "cell_id") if n in fast.coords), np.zeros(len(fast), int)
    )
    labels = list(zip(fast.train_id.values.tolist(), ids.tolist(), strict=True))
    for module in range(len(truth.sources)):
        for row, frame in enumerate(of_extra_data(truth, module, labels)):
            got = fast.values[row, module]
            if frame is None:
                assert np.isnan(got).all() if got.dtype.kind == "f" else (got == 0).all()
            else:
                np.testing.assert_array_equal(got, frame)
    account = results[0].account
    assert (
        account.expected
        == account[[c for c in account if c not in ("input", "module", "expected", "there")]].sum(axis=1)
    ).all()
