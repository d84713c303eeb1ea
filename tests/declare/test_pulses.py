import os
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dxflow
from dxflow import Algorithm, Frames, FrameSelection, Output, PulseKey
from dxflow.planning.plan import Chunk
from dxflow.run.index import align
from dxflow.simulate import Plant, make_run

DETECTOR = {"trains": 6, "pulses": 8, "module_shape": (8, 8), "modules": 2}


class ByBlock(Algorithm):
    """Keeps the energy of each frame, as blocks see it."""

    ALG_ID = "energy"
    inputs = {"img": Frames(modules=(0, 1)), "energy": None}

    def outputs(self, info):
        return {"energy": Output(per="img", merge="max"), "weighted": Output(per="pixel")}

    def process_module_data(self, block, out):
        out.energy = np.nan_to_num(block["energy"], nan=-1)
        out.weighted += np.nansum(block["img"] * block["energy"][:, None, None], axis=0)


class ByTrain(ByBlock):
    """The same, as trains see it."""

    process_module_data = Algorithm.process_module_data

    def process_train_data(self, train, out):
        out.energy = np.nan_to_num(train["energy"], nan=-1)
        out.weighted += np.nansum(train["img"] * train["energy"][:, None, None, None], axis=0)


def key(truth, **options):
    options = {"sase": 1, "offset": 0, "frames": Frames(modules=(0, 1))} | options
    pattern = f"{truth.devices['timeserver']}:outputBunchPattern"
    return PulseKey(f"{truth.devices['xgm']}:output", "data.intensityTD", pattern, **options)


def energies(truth, algorithm=ByBlock, frames=None, **options):
    one = algorithm(energy=key(truth, **options))
    return dxflow.reduce(truth.path, one, cluster="here", frames=frames).dataset


def expected(truth):
    return np.where(truth.lit, truth.energy, 0)


@pytest.mark.parametrize("algorithm", [ByBlock, ByTrain])
@pytest.mark.parametrize(("instrument", "sase"), [("SPB", 1), ("MID", 2), ("SCS", 3)])
def test_every_lit_frame_gets_the_energy_of_its_pulse(tmp_path, algorithm, instrument, sase):
    truth = make_run(
        tmp_path / "r", lit=0.6, instrument=instrument, other_pulses=5, first_slot=40, seed=3, **DETECTOR
    )
    shift = 40 - int(truth.pulse_ids.min())
    result = energies(truth, algorithm, sase=sase, offset=shift)
    np.testing.assert_allclose(result["energy.energy"], expected(truth), rtol=1e-6)


def test_the_first_pulse_is_that_of_the_reference_frame_by_default(tmp_path):
    pattern = np.array([0, 0, 1, 1, 0, 1, 1, 1], bool)
    truth = make_run(tmp_path / "r", lit=pattern, first_slot=100, **DETECTOR)
    result = energies(truth, offset=None, reference_frame=2)
    np.testing.assert_allclose(result["energy.energy"], expected(truth), rtol=1e-6)


def test_an_exposure_of_several_slots_sums_their_pulses(tmp_path):
    truth = make_run(tmp_path / "r", lit="all", **DETECTOR)
    stride = int(truth.pulse_ids[1] - truth.pulse_ids[0])
    result = energies(truth, offset=int(-truth.pulse_ids.min()), exposure=stride + 1)["energy.energy"].values
    one = expected(truth).reshape(6, 8)
    two = one + np.pad(one[:, 1:], ((0, 0), (0, 1)))
    np.testing.assert_allclose(result.reshape(6, 8), two, rtol=1e-6)


def test_selected_frames_keep_their_own_energies(tmp_path):
    truth = make_run(tmp_path / "r", lit=0.6, **DETECTOR)
    wanted = np.unique(truth.pulse_ids)[::3]
    result = energies(
        truth, frames=FrameSelection(pulses=wanted.tolist()), offset=int(-truth.pulse_ids.min())
    )
    keep = np.isin(truth.pulse_ids, wanted)
    np.testing.assert_allclose(result["energy.energy"], expected(truth)[keep], rtol=1e-6)


def test_trains_with_other_pulse_counts_are_joined_by_pulse_id(tmp_path):
    plant = Plant(pulse_counts=np.array([8, 3, 5, 8, 1, 8]))
    truth = make_run(tmp_path / "r", lit=0.6, plant=plant, **DETECTOR)
    result = energies(truth, offset=int(-truth.pulse_ids.min()))
    np.testing.assert_allclose(result["energy.energy"], expected(truth), rtol=1e-6)


def test_what_cannot_be_joined_is_refused_in_the_plan(tmp_path):
    truth = make_run(tmp_path / "r", **DETECTOR)
    with pytest.raises(dxflow.PlanError, match="expected one of"):
        energies(truth, sase=4)
    other = ByBlock(img=Frames(modules=(0, 1), align="inner"), energy=key(truth, frames=Frames(modules=(1,))))
    other.inputs["img"] = dxflow.Key(f"{truth.devices['xgm']}:output", "data.intensityTD")
    with pytest.raises(dxflow.PlanError, match="set its frames= to them"):
        dxflow.plan(truth.path, other)


# Whatever is selected, lost or missing: against a loop over pulses ---------------------------------------------------


def by_hand(one, entries, table, pulse_ids, shift):
    """Return the sum over the pulses in the exposure of each frame of a train, entry by entry."""
    bits = {1: 4 << 18, 2: 2 << 18, 3: (4 << 18) | (1 << 27)}[one.sase]
    mask = (0xF << 18) if one.sase == 2 else (0xF << 18) | (1 << 27)
    energy, number = {}, 0
    for slot, word in enumerate(table.tolist()):
        if word & (0xF << 18) == bits & (0xF << 18):
            if word & mask == bits:
                energy[slot] = entries[number] if number < len(entries) else np.nan
            number += 1
    return [sum(energy.get(p + shift + k, 0.0) for k in range(one.exposure)) for p in pulse_ids]


@st.composite
def patterns(draw):
    """Return (key, tables, entries, index of all frames): a few trains of other pulses, entries and frames."""
    sase, trains = draw(st.sampled_from([1, 2, 3])), draw(st.integers(1, 4))
    words = st.sampled_from([0, 0, 4 << 18, (4 << 18) | (1 << 27), 2 << 18])
    tables = [draw(st.lists(words, min_size=12, max_size=12)) for _ in range(trains)]
    value = st.sampled_from([1.0, 2.5, np.nan, 1e6, 0.0])
    entries = [draw(st.lists(value, min_size=5, max_size=5)) for _ in range(trains)]
    frames = [sorted(draw(st.sets(st.integers(0, 15), max_size=5))) for _ in range(trains)]
    offset, reference = draw(st.none() | st.integers(-9, 4)), draw(st.integers(0, 1))
    one = PulseKey(
        "xgm",
        "e",
        "bunches",
        sase,
        offset=offset,
        reference_frame=reference,
        exposure=draw(st.integers(1, 3)),
    )
    counts = np.array([[len(f) for f in frames]])
    index = align(np.arange(5, 5 + trains, dtype="u8"), counts, [np.array(sum(frames, []), int)], [None])
    return one, np.array(tables, "u4"), np.array(entries), index


@settings(max_examples=int(os.environ.get("DXFLOW_EXAMPLES", "100")))
@pytest.mark.properties
@given(patterns(), st.data())
def test_any_selection_of_any_trains_gets_the_energies_of_its_own_pulses(case, data):
    one, tables, entries, index = case
    if one.offset is None and not (index.counts > one.reference_frame).any():
        return
    reference = one.reference(index)
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(index), max_size=len(index))), bool)
    first = data.draw(st.integers(0, len(tables) - 1))
    some, chunk = index.select(keep), slice(first, data.draw(st.integers(first + 1, len(tables))))
    there = np.ones(len(tables), bool)
    there[data.draw(st.integers(0, len(tables) - 1))] = False
    found = one.per_frame(
        entries[chunk],
        tables[chunk],
        there[chunk],
        some,
        some.rows(chunk.start, chunk.stop),
        first=first,
        reference=reference,
        sase=one.sase,
    )
    expected = []
    for t in range(chunk.start, chunk.stop):
        own = np.array(by_hand(replace(one, exposure=1), np.ones(99), tables[t], range(12), 0))
        shift = int(np.argmax(own > 0)) - reference if one.offset is None else one.offset
        ids = some.pulse_ids[some.rows(t, t + 1)].tolist()
        expected += by_hand(one, entries[t], tables[t], ids, shift) if there[t] else [np.nan] * len(ids)
    np.testing.assert_array_equal(found, np.array(expected))


def test_the_reference_frame_is_the_pulse_id_that_most_trains_have_there():
    frames = [[3, 7, 9], [7, 9], [3, 7, 9], [3]]
    index = align(np.arange(4, dtype="u8"), np.array([[3, 2, 3, 1]]), [np.array(sum(frames, []))], [None])
    assert [PulseKey("a", "b", "c", 1, reference_frame=n).reference(index) for n in range(3)] == [3, 7, 9]
    with pytest.raises(ValueError, match="no train has a frame number 3"):
        PulseKey("a", "b", "c", 1, reference_frame=3).reference(index)


def test_a_chunk_that_begins_without_frames_or_has_none_keeps_its_own_energies(tmp_path):
    empty = (0, *range(20, 30))
    truth = make_run(tmp_path / "r", plant=Plant(empty_trains=empty), **(DETECTOR | {"trains": 30}))
    for offset in (None, -int(truth.pulse_ids.min())):
        made = dxflow.plan(truth.path, ByBlock(energy=key(truth, offset=offset)))
        made = replace(made, chunks=(Chunk(0, 0, 20), Chunk(1, 20, 25), Chunk(2, 25, 30)))
        result = dxflow.execute(made, "here").dataset
        np.testing.assert_allclose(result["energy.energy"], expected(truth), rtol=1e-6)


def test_a_selection_does_not_move_the_first_pulse_to_its_first_frame(tmp_path):
    truth = make_run(tmp_path / "r", lit=0.6, **DETECTOR)
    wanted = np.unique(truth.pulse_ids)[2:6]
    every = energies(truth, offset=None)["energy.energy"].values
    some = energies(truth, offset=None, frames=FrameSelection(pulses=wanted.tolist()))
    late = energies(truth, offset=None, frames=FrameSelection(trains=truth.train_ids[2:].tolist()))
    np.testing.assert_array_equal(some["energy.energy"], every[np.isin(truth.pulse_ids, wanted)])
    np.testing.assert_array_equal(late["energy.energy"], every[16:])


def test_trains_without_a_pulse_of_the_undulator_are_counted_and_others_named(tmp_path):
    truth = make_run(tmp_path / "r", lit="all", other_pulses=3, **DETECTOR)
    losses = dxflow.reduce(truth.path, ByBlock(energy=key(truth, sase=2)), cluster="here").losses
    (row,) = losses[losses.cause == "no pulses"].to_dict("records")
    assert row["trains"] == 6
    assert "none of SASE 2 in the bunch pattern" in row["detail"]
    assert "there are pulses of SASE [1, 3]: is sase=2 right?" in row["detail"]
    good = dxflow.reduce(truth.path, ByBlock(energy=key(truth)), cluster="here").losses
    assert "no pulses" not in set(good.cause)


def test_frames_without_pulse_ids_need_the_slots_between_them(tmp_path):
    options = {"trains": 4, "pulses": 4, "module_shape": (8, 8), "modules": 2, "detector": "JUNGFRAU"}
    truth = make_run(tmp_path / "r", lit=0.7, repetition_rate=1.1, **options)
    first, second = np.unique(truth.pulse_ids)[:2].tolist()
    frames = Frames(modules=(1, 2))
    with pytest.raises(dxflow.PlanError, match="no pulse ids to join by; give stride="):
        dxflow.plan(truth.path, ByBlock(img=frames, energy=key(truth, frames=frames)))
    one = ByBlock(img=frames, energy=key(truth, frames=frames, stride=second - first))
    result = dxflow.reduce(truth.path, one, cluster="here").dataset
    np.testing.assert_allclose(result["energy.energy"], expected(truth), rtol=1e-6)


def test_a_plan_hints_at_arrays_of_pulses_that_are_read_as_if_they_belonged_to_the_train(tmp_path):
    truth = make_run(tmp_path / "r", **DETECTOR)
    array = dxflow.Key(f"{truth.devices['xgm']}:output", "data.intensityTD")
    plain = str(dxflow.plan(truth.path, ByBlock(energy=array)))
    assert "energy: 'energy' has all 1000 pulses of a train at once; PulseKey('SA1_XTD2_XGM" in plain
    assert "\nhint" not in str(dxflow.plan(truth.path, ByBlock(energy=key(truth))))


@pytest.fixture(scope="module")
def ragged(tmp_path_factory):
    """The truth of a run whose trains have other frames, some none, and lack a module or the gas monitor."""
    plant = Plant(
        pulse_counts=np.array([0, 8, 3, 0, 5, 8, 1, 0, 8, 8]),
        lost_trains={0: (5, 6)},
        silent_trains={1: (8,)},
        missing_trains=(4,),
    )
    folder = tmp_path_factory.mktemp("ragged") / "r"
    return make_run(folder, lit=0.6, plant=plant, **(DETECTOR | {"trains": 10}))


@settings(max_examples=int(os.environ.get("DXFLOW_EXAMPLES", "12")), deadline=None)
@pytest.mark.properties
@given(st.data())
def test_any_chunks_of_any_selection_of_a_ragged_run_have_the_planted_energies(ragged, data):
    ids, pulses = ragged.frame_train_ids, ragged.pulse_ids
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids))), bool)
    rules = {
        "mask": FrameSelection(mask=mask),
        "frames": FrameSelection(frames=(ids[mask], pulses[mask])),
        "trains": FrameSelection(trains=np.unique(ids[mask])),
        "pulses": FrameSelection(pulses=slice(int(pulses[data.draw(st.integers(0, 7))]), None)),
    }
    rule = data.draw(st.sampled_from(list(rules)))
    kept = {"mask": mask, "frames": mask, "trains": np.isin(ids, ids[mask])}
    keep = kept.get(rule, pulses >= rules["pulses"].pulses.start)
    if not keep.any():
        return
    offset = data.draw(st.sampled_from([None, -int(pulses.min())]))
    algorithm = data.draw(st.sampled_from([ByBlock, ByTrain]))
    one = algorithm(energy=key(ragged, offset=offset))
    made = dxflow.plan(ragged.path, one, frames=rules[rule], on_fault="mask")
    edges = sorted({0, len(made.train_ids), *data.draw(st.sets(st.integers(1, len(made.train_ids) - 1)))})
    chunks = tuple(Chunk(n, a, b) for n, (a, b) in enumerate(zip(edges[:-1], edges[1:], strict=True)))
    result = dxflow.execute(replace(made, chunks=chunks), "here").dataset["energy.energy"]
    np.testing.assert_array_equal(result["train_id"], ids[keep])
    np.testing.assert_array_equal(result["pulse_id"], pulses[keep])
    np.testing.assert_allclose(result, expected(ragged)[keep], rtol=1e-6)
