"""The table of a run, against EXtra-data and pandas, and what was simulated."""

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from extra_data import RunDirectory
from runs import make_run

import dxflow
import dxflow.analysis as analysis
from dxflow.errors import PlanError
from dxflow.simulate import Plant

XGM = "SA1_XTD2_XGM/XGM/DOOCS:output data.intensityTD"
MOTOR = "SPB_EXP_SCAN/MOTOR/STAGE actualPosition"
DEVICES = ("xgm", "motor", "timeserver", "ppd")


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    return make_run(
        tmp_path_factory.mktemp("table") / "r0001",
        modules=1,
        module_shape=(8, 8),
        trains=12,
        pulses=8,
        pool=4,
        lit=0.5,
        pump=[True, True, False, True, False, False, True, False],
        other_pulses=3,
        devices=(*DEVICES, "litframes", "digitizer"),
        plant=Plant(missing_trains=(3,)),
    )


@pytest.fixture(scope="module")
def config():
    return {
        "title": "a trial",
        "variables": {
            "xgm": XGM,
            "delay": {"key": MOTOR, "unit": "ps", "doc": "nominal delay"},
            "pumped": "pumped",
            "thickness": {"value": 20, "unit": "um"},
            "kind": "SPB_EXP_SCAN/MOTOR/STAGE classId",
        },
        "algorithms": [
            "litframes",
            {"roi": {"name": "water", "rois": {"ring": [[2, 6], [1, 5]]}}},
            "average",
        ],
        "pass": {"cluster": "here", "on_fault": "mask"},
    }


@pytest.fixture(scope="module")
def of_pulses(truth, tmp_path_factory):
    return analysis.table(truth.path, tmp_path_factory.mktemp("made") / "pulses.zarr", quiet=True)


@pytest.fixture(scope="module")
def of_frames(truth, config, tmp_path_factory):
    return analysis.table(truth.path, tmp_path_factory.mktemp("made") / "frames.zarr", config, quiet=True)


def joined_by_pandas(run, source, key):
    """Return the entries of our pulses with their ids: what a user does by hand."""
    entries = run[source, key].ndarray()
    table = run["SPB_RR_UTC/TSYS/TIMESERVER:outputBunchPattern", "data.bunchPatternTable"].ndarray()
    rows = []
    for tid, train, pattern in zip(run.train_ids, entries, table, strict=True):
        seen = np.flatnonzero((pattern >> 18) & 0xF == 4)
        ours = np.flatnonzero(((pattern >> 18) & 0xF == 4) & (pattern & (1 << 27) == 0))
        rows += [(tid, slot, train[np.searchsorted(seen, slot)]) for slot in ours]
    return pd.DataFrame(rows, columns=["train_id", "pulse_id", "value"]).set_index(["train_id", "pulse_id"])


def test_pulses_are_those_of_the_bunch_pattern_and_have_the_entries_of_the_gas_monitor(truth, of_pulses):
    wanted = joined_by_pandas(RunDirectory(truth.path), *XGM.split())
    data = of_pulses.data
    found = pd.DataFrame(
        {"value": data["xgm.intensityTD"].values},
        pd.MultiIndex.from_arrays(
            [data.train_id.values, data.pulse_id.values], names=["train_id", "pulse_id"]
        ),
    )
    assert found.index.is_monotonic_increasing
    assert found.index.is_unique
    pd.testing.assert_frame_equal(found, wanted.sort_index(), check_index_type=False)
    assert data.attrs["rows"] == "pulses"
    assert data["xgm.intensityTD"].attrs["units"] == "μJ"
    assert data["xgm.intensityTD"].attrs["source"] == XGM
    # The pulses of the neighbour have no rows, and those of our undulator alone are the same ones.
    np.testing.assert_array_equal(data["xgm.intensitySa1TD"], data["xgm.intensityTD"])


def test_slow_values_are_per_train_and_those_that_never_change_once(truth, of_pulses):
    data, run = of_pulses.data, RunDirectory(truth.path)
    np.testing.assert_array_equal(data.train, run.train_ids)
    np.testing.assert_array_equal(data["stage.actualPosition"], run[tuple(MOTOR.split())].ndarray())
    assert data["stage.actualPosition"].dims == ("train",)
    assert data["stage.isOnTarget"].dims == ()
    assert data["stage.isOnTarget"] == 1
    assert data["stage.isOnTarget"].attrs["rate"] == "run"
    np.testing.assert_array_equal(data.time, run.train_timestamps())
    assert all(name.replace(".", "_").isidentifier() for name in of_pulses.names)


def test_what_is_not_small_is_said(of_pulses):
    losses = {one["source"]: one["detail"] for one in of_pulses.about["losses"] if one["cause"] == "left out"}
    assert "data.bunchPatternTable" in losses["SPB_RR_UTC/TSYS/TIMESERVER:outputBunchPattern"]
    assert "samples" in losses["SPB_UTC1_ADQ/ADC/1:network"]


def test_frames_have_pulse_energy_pump_and_what_algorithms_make(truth, of_frames, config):
    data = of_frames.data
    assert data.attrs == {"title": "a trial", "run": truth.path, "rows": "frames"}
    np.testing.assert_array_equal(data.train_id, truth.frame_train_ids)
    np.testing.assert_array_equal(data.pulse_id, truth.pulse_ids)
    np.testing.assert_array_equal(data.cell_id, truth.cell_ids)
    np.testing.assert_allclose(data.xgm, truth.energy, rtol=1e-6)
    np.testing.assert_array_equal(data.pulses, truth.lit)
    np.testing.assert_array_equal(data.pumped, truth.pump & truth.lit)
    np.testing.assert_array_equal(data.pumped_valid, truth.lit)
    assert data.thickness.item() == 20
    assert data.kind.item() == "BeckhoffMotor"
    assert data.delay.attrs == {"units": "ps", "long_name": "nominal delay", "source": MOTOR, "rate": "train"}
    alone = dxflow.reduce(
        truth.path, [dxflow.find.algorithm("litframes")()], cluster="here", on_fault="mask", quiet=True
    )
    np.testing.assert_array_equal(data["litframes.lit"], alone.dataset["litframes.lit"])
    images = RunDirectory(truth.path)[truth.sources[0], "image.data"].ndarray().astype(float)
    bad = RunDirectory(truth.path)[truth.sources[0], "image.mask"].ndarray() != 0
    images[bad] = np.nan
    np.testing.assert_allclose(
        data["water.sum"][:, 0], np.nansum(images[:, 2:6, 1:5], axis=(1, 2)), rtol=1e-6
    )
    np.testing.assert_allclose(data["average.mean"][0], np.nanmean(images, axis=0), rtol=1e-6)


def test_rows_of_pulses_get_the_values_of_the_frames_that_saw_them(truth, of_frames, config, tmp_path):
    made = analysis.table(truth.path, tmp_path / "t.zarr", config, rows="pulses", quiet=True)
    lit = truth.lit
    np.testing.assert_array_equal(made.data.train_id, truth.frame_train_ids[lit])
    np.testing.assert_array_equal(made.data.pulse_id, truth.pulse_ids[lit])
    np.testing.assert_array_equal(made.data["water.sum"], of_frames.data["water.sum"][lit])
    np.testing.assert_array_equal(made.data.xgm, of_frames.data.xgm[lit])


def test_frames_see_as_many_pulses_as_their_exposure_says(truth, tmp_path):
    own = dxflow.PulseKey(*XGM.split(), exposure=9)
    algorithms = {"algorithms": ["litframes"], "pass": {"cluster": "here", "on_fault": "mask"}}
    one = {"variables": {"xgm": XGM}, "pulses": {"exposure": 9}, **algorithms}
    made = analysis.table(truth.path, tmp_path / "t.zarr", one, quiet=True).data
    other = {"variables": {"xgm": own}, **algorithms}
    by_itself = analysis.table(truth.path, tmp_path / "u.zarr", other, quiet=True).data
    energy, lit = (np.array(x).reshape(-1, 8) for x in (truth.energy, truth.lit))
    # A slot has 222 ns: an exposure of 9 slots holds the pulses of 3 frames, which are 4 slots apart.
    sums = energy.copy()
    for later in (1, 2):
        sums[:, :-later] += energy[:, later:]
    np.testing.assert_allclose(made.xgm, sums.reshape(-1), rtol=1e-6)
    np.testing.assert_allclose(by_itself.xgm, made.xgm, rtol=1e-6)
    seen = lit.astype(int)
    for later in (1, 2):
        seen[:, :-later] += lit[:, later:]
    np.testing.assert_array_equal(made.pulses, seen.reshape(-1))


def test_integrals_of_a_digitizer_are_of_pulses(truth, tmp_path):
    trace = "SPB_UTC1_ADQ/ADC/1:network digitizers.channel_1_A.raw.samples"
    waveform = {"trace": trace, "pulses": 4, "window": [100, 120], "period": 200}
    config = {
        "variables": {"apd": {"output": "waveform.integral", "doc": "diode"}},
        "algorithms": [{"waveform": waveform}],
        "pass": {"cluster": "here"},
    }
    made = analysis.table(truth.path, tmp_path / "t.zarr", config, quiet=True).data
    assert made.attrs["rows"] == "pulses"
    np.testing.assert_array_equal(made.apd, made["waveform.integral"].values.reshape(-1))
    assert made.apd.attrs["long_name"] == "diode"
    config["variables"]["apd"]["output"] = "waveform.integrals"
    with pytest.raises(PlanError, match=r"variables.apd: .* Did you mean 'waveform.integral'"):
        analysis.table(truth.path, tmp_path / "u.zarr", config, quiet=True)
    config["variables"] = {"waveform.noise": 3}
    with pytest.raises(PlanError, match="waveform.noise: the name of a variable, and of an output"):
        analysis.table(truth.path, tmp_path / "u.zarr", config, quiet=True)


def test_frames_without_pulse_ids_need_their_distance(tmp_path):
    truth = make_run(
        tmp_path / "r",
        detector="JUNGFRAU",
        modules=1,
        module_shape=(8, 8),
        trains=3,
        pulses=4,
        devices=("xgm", "timeserver", "camera"),
    )
    config = {"variables": {"xgm": XGM}, "rows": "frames"}
    with pytest.raises(PlanError, match=r"variables.xgm: .* no pulse ids to join by; give stride="):
        analysis.table(truth.path, tmp_path / "t.zarr", config, quiet=True)
    config["pulses"] = {"stride": 4}
    made = analysis.table(truth.path, tmp_path / "t.zarr", config, quiet=True).data
    np.testing.assert_allclose(made.xgm, truth.energy, rtol=1e-6)
    assert made.pulse_id.values.tolist() == [0, 1, 2, 3] * 3
    camera = {"img": "SPB_EXP_CAM/CAM/SIDE:daqOutput data.image.pixels", "rois": {"a": [[0, 9], [0, 9]]}}
    one = {"algorithms": [{"roi": camera}], "pass": {"cluster": "here"}}
    assert analysis.table(truth.path, tmp_path / "c.zarr", one, quiet=True).data["roi.sum"].dims[0] == "train"


def test_a_run_without_bunch_pattern_has_values_of_trains(tmp_path):
    make_run(tmp_path / "r", detector=None, trains=4, devices=("motor", "xgm"))
    made = analysis.table(tmp_path / "r", tmp_path / "t.zarr", quiet=True)
    assert "pulse" not in made.data.dims
    assert made.data.attrs["rows"] == "trains"
    assert made.data["stage.actualPosition"].sizes == {"train": 4}
    assert {"no bunch pattern", "left out"} <= {one["cause"] for one in made.about["losses"]}
    with pytest.raises(PlanError, match=r"no time server"):
        analysis.table(tmp_path / "r", tmp_path / "u.zarr", rows="pulses", quiet=True)
    assert not (tmp_path / "u.zarr").exists()


def test_a_run_without_gas_monitor_has_rows_of_pulses_all_the_same(tmp_path):
    truth = make_run(tmp_path / "r", detector=None, trains=4, pulses=3, devices=("motor", "timeserver"))
    made = analysis.table(tmp_path / "r", tmp_path / "t.zarr", quiet=True)
    assert made.data.sizes["pulse"] == truth.lit.sum()


@pytest.mark.parametrize(
    ("variable", "words"),
    [
        ("SA1_XTD2_XGM/XGM/DOOC:output data.intensityTD", r"Did you mean 'SA1_XTD2_XGM/XGM/DOOCS:output'"),
        ("SA1_XTD2_XGM/XGM/DOOCS:output data.intensity", r"Did you mean 'data.intensityTD'"),
        ("SPB_DET_AGIPD1M-1/CORR/0CH0:output image.data", r"entries per train"),
    ],
)
def test_unknown_sources_and_keys_are_named_with_near_ones(truth, variable, words, tmp_path):
    with pytest.raises(PlanError, match=words) as error:
        analysis.table(truth.path, tmp_path / "t.zarr", {"variables": {"xgm": variable}}, quiet=True)
    assert "variables.xgm" in str(error.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("trains", [-1, True])
def test_numbers_of_trains_that_are_none_are_refused(truth, trains, tmp_path):
    with pytest.raises(ValueError, match="expected how many from the start"):
        analysis.table(truth.path, tmp_path / "t.zarr", trains=trains, quiet=True)


def test_a_table_that_is_larger_than_the_limit_is_refused_with_its_size(truth, tmp_path):
    with pytest.raises(
        PlanError, match=r"\d+ variables .* 11 trains: about .* kB, more than the limit of 1 kB"
    ):
        analysis.table(truth.path, tmp_path / "t.zarr", limit="1 kB", quiet=True)
    for limit in (None, "1 kB"):
        with pytest.raises(PlanError, match="not made"):
            analysis.table(
                truth.path,
                tmp_path / "t.zarr",
                limit=limit,
                agree=lambda words: "variables" not in words,
                quiet=True,
            )
    assert list(tmp_path.iterdir()) == []


def test_a_name_of_no_format_is_refused_at_once(truth, tmp_path):
    with pytest.raises(PlanError, match=r"t.nc': a table is written as name.zarr, or name.h5"):
        analysis.table(truth.path, tmp_path / "t.nc", quiet=True)


def test_what_is_there_is_replaced_only_if_asked_and_made_by_dxflow(of_pulses, truth, tmp_path):
    (tmp_path / "t.zarr").mkdir()
    (tmp_path / "t.zarr" / "mine").touch()
    for overwrite in (False, True):
        with pytest.raises(FileExistsError):
            analysis.table(truth.path, tmp_path / "t.zarr", overwrite=overwrite, quiet=True)
    first = analysis.table(truth.path, tmp_path / "u.zarr", trains=2, quiet=True)
    assert first.data.sizes["train"] == 2
    np.testing.assert_array_equal(
        first.data["xgm.intensityTD"], of_pulses.data["xgm.intensityTD"][: len(first.rows)]
    )
    with pytest.raises(FileExistsError, match="overwrite"):
        analysis.table(truth.path, tmp_path / "u.zarr", trains=2, quiet=True)
    again = analysis.table(
        truth.path, tmp_path / "u.zarr", trains=slice(10005, 10008), overwrite=True, quiet=True
    )
    assert again.data.train.values.tolist() == [10005, 10006, 10007]


@pytest.mark.parametrize("name", ["t.h5", "t.zarr"])
def test_a_table_is_in_no_run(truth, tmp_path, name):
    """Its files may have other names than those of the facility."""
    folder = tmp_path / "r0001"
    folder.mkdir()
    for n, file in enumerate(sorted(Path(truth.path).glob("*.h5"))):
        os.symlink(file, folder / f"some-{n}.h5")
    before = sorted(os.listdir(folder))
    with pytest.raises(ValueError, match="would lie in the run directory .*r0001"):
        analysis.table(folder, folder / name, quiet=True)
    assert sorted(os.listdir(folder)) == before
