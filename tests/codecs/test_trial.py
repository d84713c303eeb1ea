"""Codecs on samples of a run: the table is what h5py and numpy find of the same frames."""

import extra_data
import h5py
import hdf5plugin
import numpy as np
import pytest

from dxflow import PlanError
from dxflow.codecs.samples import Samples, sample
from dxflow.codecs.table import CODECS
from dxflow.codecs.trial import compare
from dxflow.run.detectors import find
from dxflow.simulate import Bragg, PowderRings, make_run

RNG = np.random.default_rng(11)
FRAMES = (7 * RNG.poisson(0.4, (3, 2, 32, 48)) + RNG.normal(0, 1, (3, 2, 32, 48))).astype("f4")


def samples(frames=FRAMES):
    return Samples("DET", (0, 1), frames, np.ones(frames.shape[:2], bool))


def rows(made):
    return {(row.codec, row.bound): row for row in made.rows}


def test_ratio_and_error_are_those_of_hdf5_alone():
    made = rows(compare(samples(), bounds=["abs=0.5"]))
    assert {codec for codec, _ in made} == {*CODECS}
    for name, options in {"sz3": hdf5plugin.SZ3(absolute=0.5), "zfp": hdf5plugin.Zfp(accuracy=0.5)}.items():
        with h5py.File(name, "w", driver="core", backing_store=False) as f:
            one = f.create_dataset("x", data=FRAMES.reshape(6, 32, 48), chunks=(1, 32, 48), **options)
            f.flush()
            assert made[name, "abs=0.5"].ratio == pytest.approx(FRAMES.nbytes / one.id.get_storage_size())
        assert 0 < made[name, "abs=0.5"].largest_error <= 0.5
    row = made["deflate", "abs=0.5"]
    rounded = np.rint(FRAMES)
    assert row.largest_error == pytest.approx(np.abs(rounded - FRAMES).max())
    change = np.mean((rounded.astype("f8") - FRAMES) ** 2)
    span = np.subtract(*np.percentile(FRAMES, (99.9, 0.1)))
    assert row.psnr == pytest.approx(10 * np.log10(span**2 / change))
    sums = np.abs(rounded.sum(axis=(2, 3), dtype="f8") - FRAMES.sum(axis=(2, 3), dtype="f8"))
    assert row.sum_error == pytest.approx(
        (sums / np.abs(FRAMES).sum(axis=(2, 3), dtype="f8")).max(), rel=1e-4
    )
    assert (made["deflate", ""].largest_error, made["deflate", ""].psnr) == (0, np.inf)


def test_by_default_bounds_are_shares_of_the_noise():
    noise = RNG.normal(0, 2, (2, 1, 64, 64)).astype("f4")
    made = compare(Samples("DET", (0,), noise, np.ones((2, 1), bool)), codecs=["deflate"])
    bounds = [float(row.bound[4:]) for row in made.rows if row.bound]
    np.testing.assert_allclose(bounds, [0.5, 1, 2, 4], rtol=0.1)
    assert "standard deviations" in str(made)


def test_frames_with_nan_are_counted_where_a_codec_cannot_hold_them():
    frames = FRAMES.copy()
    frames[0, 1, 3, 3] = np.nan
    made = rows(compare(samples(frames), bounds=["abs=0.5"]))
    assert {codec: row.frames_without_loss for (codec, bound), row in made.items() if bound} == {
        name: int(codec.lossy) for name, codec in CODECS.items()
    }
    assert all(np.isfinite([r.ratio, r.ssim, r.peak_error]).all() for r in made.values())


@pytest.mark.parametrize("signal", [Bragg(), PowderRings()])
def test_dark_frames_among_the_samples_do_not_make_errors_of_peaks_and_rings_large(tmp_path, signal):
    found = []
    for name, lit in {"lit": "all", "half": np.arange(16).reshape(2, 8) % 2 == 0}.items():
        run = make_run(
            tmp_path / name, trains=2, pulses=8, modules=2, module_shape=(128, 64), lit=lit, signal=signal
        )
        taken = sample(extra_data.RunDirectory(run.path), 16)
        where = run.positions[list(taken.modules)]
        found.append(compare(taken, bounds=["abs=0.25"], codecs=["deflate"], positions=where).rows[-1])
    everywhere, half = found
    assert 0 < everywhere.peak_error < 0.3
    for name in ("peak_error", "iq_error"):
        assert 0 < getattr(half, name) < 3 * getattr(everywhere, name)


def test_errors_where_nothing_is_are_not_said():
    dark = RNG.normal(0, 1, (2, 1, 64, 64)).astype("f4")
    made = compare(Samples("DET", (0,), dark, np.ones((2, 1), bool)), bounds=["abs=1"], codecs=["deflate"])
    assert np.isnan(made.rows[-1].peak_error)
    assert str(made).splitlines()[3].split()[-3:] == ["-", "-", "0"]


def test_integers_are_only_tried_without_loss():
    made = compare(samples(RNG.poisson(3, (2, 2, 16, 16)).astype("u2")), bounds=["abs=0.5"])
    assert {row.bound for row in made.rows} == {""}
    assert "only floats" in str(made)
    with pytest.raises(PlanError, match="need an absolute bound and floats"):
        compare(samples(FRAMES.astype("i4")), codecs=["sz3"])


def test_the_plot_and_the_table_have_every_row(tmp_path):
    made = compare(samples(), bounds=["abs=0.5", "rel=1e-2"], codecs=["deflate", "zfp"])
    made.plot(tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes()[:4] == b"\x89PNG"
    assert list(made.table["codec"]) == ["deflate", "deflate", "deflate", "zfp"]


@pytest.mark.parametrize("data", ["corr", "raw"])
@pytest.mark.parametrize("detector", ["AGIPD1M", "JUNGFRAU"])
def test_samples_are_frames_of_the_files(tmp_path, detector, data):
    run = make_run(
        tmp_path / "r0001", detector=detector, data=data, trains=3, pulses=4, modules=2, module_shape=(16, 8)
    )
    source = extra_data.RunDirectory(run.path)
    found = sample(source, 5)
    assert found.there.all()
    key = "data.adc" if detector == "JUNGFRAU" else "image.data"
    own = find(source.instrument_sources - set(source.legacy_sources))[0].sources
    for place, module in enumerate(found.modules):
        values = source[own[module], key].ndarray()
        values = values.reshape(len(values), -1, *values.shape[-2:])[:, 0]
        chosen = np.unique(np.linspace(0, len(values) - 1, 5).astype(int))
        np.testing.assert_array_equal(found.frames[:, place], values[chosen])
    with pytest.raises(PlanError, match="expected some of"):
        sample(source, 5, modules=[77])
    with pytest.raises(PlanError, match="no detector LPD"):
        sample(source, 5, detector="LPD")


def test_samples_lack_what_a_module_lacks_and_are_the_same_trains_of_all(tmp_path):
    run = make_run(tmp_path / "r0001", trains=6, pulses=4, modules=2, module_shape=(16, 8))
    ids = run.train_ids
    for path in (tmp_path / "r0001").glob("CORR*AGIPD01-S00000.h5"):
        with h5py.File(path, "r+") as f:
            f[f"INDEX/{run.sources[1]}/image/count"][1] = 2
            f[f"INDEX/{run.sources[1]}/image/count"][2] = 0
    source = extra_data.RunDirectory(run.path)
    found = sample(source, 24)
    frames = source[run.sources[0], "image.data"].ndarray()
    np.testing.assert_array_equal(found.frames[:, 0], frames)
    own = source[run.sources[1], "image.data"].train_id_coordinates()
    expected = np.concatenate([np.arange(4) < (own == t).sum() for t in ids])
    np.testing.assert_array_equal(found.there[:, 1], expected)
    np.testing.assert_array_equal(found.frames[expected, 1], source[run.sources[1], "image.data"].ndarray())


def test_of_frames_that_are_nowhere_any_others_are_taken(tmp_path):
    run = make_run(
        tmp_path / "r0001",
        detector="JUNGFRAU",
        trains=3,
        pulses=4,
        modules=2,
        module_shape=(16, 8),
        data="corr",
    )
    source = extra_data.RunDirectory(run.path)
    found = sample(source, 3, among=np.array([(t, 2) for t in run.train_ids]))
    assert found.there.all()
    np.testing.assert_array_equal(found.frames, sample(source, 3).frames)
