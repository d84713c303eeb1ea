"""Frames that pass a condition, against numpy on the truth of simulated runs."""

import json

import numpy as np
import pytest
import xarray as xr

import dxflow
from dxflow import Algorithm, Frames, FrameSelection, Key, Labels, Output, PlanError, PulseKey
from dxflow.algorithms.average import Average
from dxflow.algorithms.litframes import LitFrames
from dxflow.simulate import Plant, Scan, make_run

FRAMES = Frames(modules=(0, 1))


class Seen(Algorithm):
    """Keeps the sum of each frame."""

    ALG_ID = "seen"
    inputs = {"img": FRAMES}

    def outputs(self, info):
        return {"sum": Output(per="img")}

    def process_module_data(self, block, out):
        out.sum += np.nansum(block["img"], axis=(1, 2))


class Slow(Seen):
    """Fails at the last train, once."""

    def process_module_data(self, block, out):
        if block.train_ids[0] == 10012 and not BROKEN.done:
            raise RuntimeError("stop")
        super().process_module_data(block, out)


class BROKEN:
    done = False


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    options = {
        "trains": 12,
        "pulses": 6,
        "module_shape": (4, 4),
        "modules": 2,
        "lit": 0.6,
        "energy_spread": 0.4,
    }
    plant = Plant(missing_trains=(5,), pulse_counts=lambda train: (6, 5, 0, 6, 3, 6, 1)[train % 7])
    devices = ("xgm", "motor", "timeserver")
    folder = tmp_path_factory.mktemp("where") / "r"
    return make_run(folder, scan=Scan(0.0, 3.0, 4), plant=plant, devices=devices, **options)


def per_frame(truth, values):
    return values[np.searchsorted(truth.train_ids, truth.frame_train_ids)]


def of_truth(truth, values, keep=None):
    """Return values per frame with their ids."""
    ids = {"train_id": ("frame", truth.frame_train_ids), "pulse_id": ("frame", truth.pulse_ids)}
    array = xr.DataArray(values, dims="frame", coords=ids, name="mine")
    return array if keep is None else array[keep]


def energy(truth, **options):
    pattern = f"{truth.devices['timeserver']}:outputBunchPattern"
    options = {"sase": 1, "offset": 0, "frames": FRAMES} | options
    return PulseKey(f"{truth.devices['xgm']}:output", "data.intensityTD", pattern, **options)


def motor(truth):
    return Key(truth.devices["motor"], "actualPosition")


def frames_of(result):
    found = result.dataset["seen.sum"]
    return [*zip(found["train_id"].values.tolist(), found["pulse_id"].values.tolist(), strict=True)]


def expected(truth, keep):
    return [*zip(truth.frame_train_ids[keep].tolist(), truth.pulse_ids[keep].tolist(), strict=True)]


def reduced(truth, where, labels=None, algorithms=None, cluster="here", **options):
    given = {"where": where, "labels": labels, "cluster": cluster} | options
    return dxflow.reduce(truth.path, algorithms or Seen(), **given)


def test_frames_are_those_of_numpy_and_only_they_are_read(truth):
    x = np.where(truth.lit, truth.energy, 0)
    position = per_frame(truth, truth.motor)
    cut = float(np.median(x[truth.lit]))
    labels = {"xgm": energy(truth), "x": motor(truth), "lit": of_truth(truth, truth.lit)}
    result = reduced(truth, f"xgm > {cut} & lit & (x < 1.5 | x >= 3)", labels)
    keep = (x > cut) & truth.lit & ((position < 1.5) | (position >= 3))
    assert 0 < keep.sum() < truth.lit.sum()
    assert frames_of(result) == expected(truth, keep)
    account = result.account
    assert account["expected"].tolist() == [keep.sum()] * 2
    whole = dxflow.reduce(truth.path, Seen(), cluster="here").dataset["seen.sum"].values
    np.testing.assert_array_equal(result.dataset["seen.sum"], whole[keep])


def test_conditions_may_calculate_and_ranges_are_half_open(truth):
    x, position = np.where(truth.lit, truth.energy, 0), per_frame(truth, truth.motor)
    labels = {"xgm": energy(truth), "x": motor(truth)}
    for where, keep in (
        ("between(x, 1, 2)", (position >= 1) & (position < 2)),
        ("sqrt(abs(xgm - 1)) * 2 > x & ~missing(x)", np.sqrt(abs(x - 1)) * 2 > position),
    ):
        plan = dxflow.plan(truth.path, Seen(), where=where, labels=labels)
        assert 0 < keep.sum() < len(keep)
        assert f"{keep.sum()} with" in str(plan), where


def test_the_result_says_what_each_cut_left(truth):
    labels = {"x": motor(truth), "lit": of_truth(truth, truth.lit, keep=slice(3, None))}
    result = reduced(truth, "x > 0 & lit", labels)
    said = json.loads(result.dataset.attrs["where"])
    beyond = per_frame(truth, truth.motor) > 0
    known = np.arange(len(beyond)) >= 3
    left = int((beyond & truth.lit & known).sum())
    assert said["text"] == "x > 0 & lit"
    assert said["labels"]["x"] == f"Labels({truth.devices['motor']} actualPosition)"
    [one] = said["passed"]
    assert one["frames"] == len(truth.lit)
    assert one["cuts"] == [["x > 0", int(beyond.sum())], ["lit", left]]
    # The first frames are at position 0, so that the other value does not matter.
    assert one["unknown"] == 0
    plan = dxflow.plan(truth.path, Seen(), where="lit | x > 0", labels=labels)
    assert "3 have no value for it" in str(plan)
    [loss] = [loss for loss in plan.losses if loss.cause == "no value for where="]
    assert (loss.trains, loss.first_train) == (1, int(truth.frame_train_ids[0]))


def test_what_has_no_value_does_not_pass_even_if_it_is_denied(truth):
    values = np.where(np.arange(len(truth.lit)) % 3 == 0, np.nan, 1.0)
    for text in ("x == 1", "~(x != 1)", "not x > 5"):
        result = reduced(truth, text, {"x": of_truth(truth, values)})
        assert frames_of(result) == expected(truth, values == 1)


@pytest.mark.parametrize("kind", ["labels", "array", "result", "path", "trains", "pattern"])
def test_booleans_alone(truth, tmp_path, kind):
    lit = dxflow.reduce(truth.path, LitFrames(img=FRAMES), tmp_path / "lit.zarr", cluster="here")
    found = lit.dataset["litframes.lit"].values
    shut = np.arange(11) % 2 == 0
    number = np.concatenate([np.arange(n) for n in truth.frame_counts])
    trains = Labels(shut, train_ids=truth.train_ids)
    where, keep = {
        "labels": (Labels(lit, "litframes.lit"), found),
        "array": (of_truth(truth, truth.lit), truth.lit),
        "result": (lit, found),
        "path": (Labels(tmp_path / "lit.zarr"), found),
        "trains": (trains, per_frame(truth, shut)),
        "pattern": (Labels.pattern([True, False, False]), number % 3 == 0),
    }[kind]
    assert frames_of(reduced(truth, where)) == expected(truth, keep)


def test_outputs_of_results_by_name(truth, tmp_path):
    lit = dxflow.reduce(truth.path, LitFrames(img=FRAMES), tmp_path / "lit.zarr", cluster="here")
    keep = expected(truth, lit.dataset["litframes.lit"].values)
    for where, labels in (
        ("litframes.lit", lit),
        ("litframes.lit", str(tmp_path / "lit.zarr")),
        ("lit", lit),
        ("good", {"good": lit}),
        ("good.lit", {"good": tmp_path / "lit.zarr"}),
        ("litframes.lit", {"litframes.lit": Labels(lit, "litframes.lit")}),
        ("~dark", {"dark": of_truth(truth, ~lit.dataset["litframes.lit"].values)}),
    ):
        assert frames_of(reduced(truth, where, labels)) == keep
    for where, labels, words in (
        ("litframes.lt", lit, "Did you mean 'litframes.lit'"),
        ("good.lt", {"good": lit}, "Did you mean 'good.lit'"),
        ("xgn", {"xgm": motor(truth)}, "no label 'xgn'. Did you mean 'xgm'"),
        ("lit", None, r"None is given \(labels="),
    ):
        with pytest.raises(PlanError, match=words.replace("?", r"\?")):
            reduced(truth, where, labels)


def test_in_company_and_with_other_selections(truth, client):
    labels = {"x": motor(truth)}
    frames = FrameSelection(pulses=truth.pulse_ids[:6:2])
    energies = energy(truth)

    class Energies(Seen):
        ALG_ID = "energies"
        inputs = {"img": FRAMES, "energy": energies}

        def process_module_data(self, block, out):
            out.sum += np.nan_to_num(block["energy"]) / 2

    both = [Average(img=FRAMES), Seen(), Energies()]
    result = reduced(truth, "x >= 1", labels, both, frames=frames, cluster=client)
    keep = (per_frame(truth, truth.motor) >= 1) & np.isin(truth.pulse_ids, truth.pulse_ids[:6:2])
    assert frames_of(result) == expected(truth, keep)
    alone = reduced(truth, "x >= 1", labels, Average(img=FRAMES), frames=frames)
    xr.testing.assert_equal(result.dataset["average.mean"], alone.dataset["average.mean"])
    np.testing.assert_allclose(
        result.dataset["energies.sum"], np.where(truth.lit, truth.energy, 0)[keep], rtol=1e-6
    )
    # The pattern counts frames that are not read, too.
    pattern = reduced(truth, "p", {"p": Labels.pattern([True, True, False])}, frames=frames)
    number = np.concatenate([np.arange(n) for n in truth.frame_counts])
    chosen = np.isin(truth.pulse_ids, truth.pulse_ids[:6:2]) & (number % 3 < 2)
    assert frames_of(pattern) == expected(truth, chosen)


def test_a_resumed_pass_is_of_the_same_condition(truth, tmp_path):
    labels = {"x": motor(truth)}
    BROKEN.done = False
    options = {"to": tmp_path / "x.zarr", "chunk": "1 kB"}
    with pytest.raises(RuntimeError, match="stop"):
        reduced(truth, "x >= 1", labels, Slow(), **options)
    BROKEN.done = True
    with pytest.raises(PlanError, match=r"(?s)where|frames that are read"):
        reduced(truth, "x >= 2", labels, Slow(), resume=True, **options)
    result = reduced(truth, "x >= 1", labels, Slow(), resume=True, **options)
    assert frames_of(result) == expected(truth, per_frame(truth, truth.motor) >= 1)
    plans = [
        dxflow.plan(truth.path, Seen(), where=text, labels=labels) for text in ("x >= 1", "x >= 1 ", "x > 0")
    ]
    assert plans[0].digest != plans[2].digest
    assert "x >= 1" in plans[0].fingerprint.text()


REFUSED = {
    "strange text": ("x +", {}, "where='x \\+': .*expected comparisons"),
    "a call": ("open('x')", {}, "is not understood"),
    "no name": ("1 < 2", {"x": 1}, "labels\\['x'\\].*expected a path"),
    "numbers": ("x", None, "'x' is float64, not a boolean: compare it"),
    "nothing left": ("x > 99", None, "where= leaves no frame. .*: of 41 frames 0 with x > 99"),
    "labels alone": (None, None, "they are for where="),
    "a number": (3, None, "where=: Labels: 3: expected a path"),
    "plain booleans": (np.ones(40, bool), None, "does not say of which trains"),
    "motor alone": (lambda truth: motor(truth), None, "is float64; expected booleans, or a comparison"),
    "no result": ("x > 1", {"x": "/nowhere"}, "label 'x': Labels\\(/nowhere\\)"),
    "keyword": ("x > 1", {"not": 1}, "has the name 'not'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(truth, case):
    where, labels, words = REFUSED[case]
    labels = {"x": motor(truth)} if labels is None else labels
    labels, where = (None, where(truth)) if callable(where) else (labels, where)
    with pytest.raises(PlanError, match=f"(?s){words}"):
        dxflow.plan(truth.path, Seen(), where=where, labels=labels)


def test_values_of_another_run_or_rate_are_refused(truth):
    other = of_truth(truth, truth.lit).assign_coords(train_id=("frame", truth.frame_train_ids + 5000))
    with pytest.raises(PlanError, match="none of its values belongs to a frame or train that is read"):
        reduced(truth, "x", {"x": other})
    rate = of_truth(truth, truth.lit).rename(pulse_id="entry_id")
    with pytest.raises(PlanError, match="nothing to join them by"):
        reduced(truth, "x", {"x": rate})
    with pytest.raises(PlanError, match="expected one for each frame or train"):
        reduced(
            truth,
            "x > 1",
            {"x": xr.DataArray(np.ones((11, 2)), dims=("train", "q"), coords={"train": truth.train_ids})},
        )


def test_a_device_that_is_read_alone_is_cut_like_frames(truth):
    class Trains(Algorithm):
        ALG_ID = "trains"
        inputs = {"x": motor(truth)}

        def outputs(self, info):
            return {"x": Output(per="train")}

        def process_train_data(self, train, out):
            out.x = train["x"]

    for algorithms in ([Trains()], [Seen(), Trains()]):
        found = reduced(truth, "x >= 1", {"x": motor(truth)}, algorithms).dataset["trains.x"].values
        np.testing.assert_array_equal(found[~np.isnan(found)], truth.motor[truth.motor >= 1])

    class Pulses(Trains):
        inputs = {"x": energy(truth)}

        def outputs(self, info):
            return {"n": Output(per="train")}

        def process_train_data(self, train, out):
            out.n = len(train["x"])

    found = reduced(truth, "x >= 1", {"x": motor(truth)}, Pulses()).dataset
    assert found["trains.n"].sum() == (per_frame(truth, truth.motor) >= 1).sum()
    assert json.loads(found.attrs["where"])["passed"][0]["frames"] == 41


def test_what_names_stand_for_is_not_replaced(truth, tmp_path):
    path = tmp_path / "lit.zarr"
    dxflow.reduce(truth.path, LitFrames(img=FRAMES), path, cluster="here")
    for labels in ({"lit": path}, {"lit": Labels(path)}, str(path)):
        with pytest.raises(PlanError, match="is read"):
            reduced(truth, "lit", labels, to=path, overwrite=True)


def test_a_list_of_energies_is_taken_pulse_by_pulse(truth):
    labels = {"xgm": Key(f"{truth.devices['xgm']}:output", "data.intensityTD")}
    result = reduced(truth, "xgm > 0", labels, Seen())
    reference = reduced(truth, "xgm > 0", {"xgm": energy(truth, offset=None)}, Seen())
    assert frames_of(result) == frames_of(reference)


def test_a_selection_that_leaves_nothing_to_cut_is_what_is_said(truth):
    for labels in ({"x": motor(truth)}, {"x": of_truth(truth, truth.energy)}):
        with pytest.raises(
            PlanError, match="nothing to read from .*: the selection leaves none of its frames"
        ):
            reduced(truth, "x > 1", labels, frames=FrameSelection(pulses=[999]))


def test_two_labels_are_compared_with_each_other_train_by_train_and_pulse_by_pulse(truth):
    position, x = per_frame(truth, truth.motor), np.where(truth.lit, truth.energy, 0) / truth.energy.max() * 3
    result = reduced(truth, "e > x", {"e": of_truth(truth, x), "x": motor(truth)})
    assert frames_of(result) == expected(truth, x > position)
