"""Variants that one call serves: each has the bits that it has alone, whatever its options, company, masks and NaN."""

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from runs import make_run

import dxflow
from dxflow import Frames
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.litframes import LitFrames
from dxflow.algorithms.peaks import PeakFinder8
from dxflow.simulate import Plant, Spots

BEAM = {"energy": 9.3, "distance": 0.2}
LENIENT = settings(
    max_examples=4,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def truth(tmp_path_factory):
    """Two modules with spots, of which one lacks a train; masked pixels are NaN."""
    return make_run(
        tmp_path_factory.mktemp("together") / "r0001",
        detector="AGIPD500K",
        trains=3,
        pulses=4,
        module_shape=(64, 48),
        signal=Spots(count=12, photons=400, hit_rate=0.7),
        plant=Plant(lost_trains={1: (1,)}),
        devices=(),
    )


def reduced(truth, algorithms, cluster="here", **options):
    made = dxflow.reduce(
        truth.path, algorithms, cluster=cluster, on_fault="mask", modules=(0, 1, 2), **options
    )
    return made.dataset.load()


def check(truth, cls, varied, cluster="here", shared=None, **options):
    """Compare each variant with the algorithm alone."""
    shared = shared or {}
    found = reduced(truth, cls.variants(**varied, **shared), cluster, **options)
    for n, values in enumerate(zip(*varied.values(), strict=True)):
        own = dict(zip(varied, values, strict=True))
        alone = reduced(truth, cls(**own, **shared), **options)
        for name in alone.data_vars:
            together = found[name]
            if f"{cls.ALG_ID}.{str(name).partition('.')[2]}_event" in alone[name].dims:
                together = together[found[f"{name}_variant"].values == f"{cls.ALG_ID}_{n + 1}"]
            elif "variant" in together.dims:
                together = together.isel(variant=n)
            assert together.dtype == alone[name].dtype
            assert together.values.tobytes() == alone[name].values.tobytes(), (name, own)
    return found


def columns(*options):
    """Some values of each option, as many of all, no two alike."""
    rows = st.lists(st.tuples(*options), min_size=2, max_size=4, unique=True)
    return rows.map(lambda found: list(zip(*found, strict=True)))


@given(
    columns(st.sampled_from([None, 0.0, 0.3, 0.7, 1.0, 2.5, 40.0]), st.sampled_from([None, 1, 60])),
    st.booleans(),
)
@LENIENT
def test_lit_frames(truth, rows, masked):
    img = Frames(mask="auto" if masked else None)
    check(truth, LitFrames, {"threshold": rows[0], "pixels": rows[1]}, shared={"img": img})


@given(
    columns(
        st.sampled_from([3.0, 5.0, 8.0]),
        st.sampled_from([0.0, 30.0]),
        st.integers(1, 3),
        st.integers(1, 4),
        st.booleans(),
        st.sampled_from([None, 120.0]),
    )
)
@LENIENT
def test_peaks(truth, rows):
    names = ("min_snr", "threshold", "min_pixels", "local_bg_radius", "touching", "max_res")
    found = check(truth, PeakFinder8, dict(zip(names, rows, strict=True)), shared={"min_peaks": 3})
    assert found["peaks.n_peaks"].max() > 0


@given(
    columns(
        st.sampled_from([None, (0.0, 0.4), (0.2, 0.9), (0.9, 1.5), (0.0, 3.0)]),
        st.sampled_from([20, 33]),
        st.sampled_from(["poisson", "azimuthal"]),
        st.sampled_from(["frame", "run", "pulse"]),
        st.sampled_from([None, 1.0]),
    ),
    st.booleans(),
)
@LENIENT
def test_azimuthal_integration(holey, rows, errors):
    varied = dict(zip(("qrange", "nbins", "errors", "per", "polarization"), rows, strict=True))
    if not errors:
        del varied["errors"]
    varied["nbins"] = [n + 20 for n in range(len(rows[0]))] if not errors else varied["nbins"]
    found = dxflow.reduce(
        holey.path, AzimuthalIntegration.variants(**varied, **BEAM), cluster="here", on_fault="mask"
    ).dataset
    for n, values in enumerate(zip(*varied.values(), strict=True)):
        own = dict(zip(varied, values, strict=True))
        alone = AzimuthalIntegration(**own, **BEAM, name=f"azint_{n + 1}")
        alone = dxflow.reduce(holey.path, alone, cluster="here", on_fault="mask").dataset
        for name in (name for name in alone.data_vars if str(name).startswith("azint_")):
            together = found.get(name)
            if together is None:
                together = found[f"azint.{name.partition('.')[2]}"].sel(variant=f"azint_{n + 1}")
            assert together.values.tobytes() == alone[name].values.tobytes(), (name, own)


class Half(LitFrames):
    """Sees half of what it is given, and says so in its own hook alone."""

    ALG_ID = "half"

    def process_module_data(self, block, out):
        out.lit_pixels += 1
        out.dim_pixels += 0
        out.valid_pixels += 2
        out.intensity += 0


def test_an_algorithm_derived_from_one_that_serves_several_is_called_itself(truth):
    found = reduced(truth, Half.variants(threshold=[1.0, 2.0]))
    assert (found["half.lit_pixels"] == found.modules_used).all()


def test_two_workers_and_small_blocks_change_no_bit(truth, client):
    check(truth, LitFrames, {"threshold": [0.5, 2.0, 9.0]}, client, block="20 kB", chunk="100 kB")
    ranges = {"qrange": [(0, 1), (0.5, 2), (1, 3)]}
    check(truth, AzimuthalIntegration, ranges, client, shared=BEAM, block="20 kB", chunk="100 kB")
    check(truth, PeakFinder8, {"min_snr": [4.0, 5.0, 9.0]}, client, shared={"min_peaks": 3}, chunk="200 kB")


@pytest.mark.parametrize("dtype", ["u2", "i8", "f4"])
def test_thresholds_of_every_type_count_what_numpy_counts(dtype):
    from dxflow.algorithms._frame_kernels import count_lit_each
    from dxflow.algorithms.litframes import bounds

    random = np.random.default_rng(3)
    frames = random.normal(3, 2, (3, 5000)).clip(0 if dtype[0] == "u" else -9, 99).astype(dtype)
    if dtype[0] == "f":
        frames[:, ::7] = np.nan
    thresholds = [0.0, 0.7, 1.0, 2.5, 4.0, 50.0]
    ends = [np.array(e) for e in zip(*(bounds(t, frames.dtype) for t in thresholds), strict=True)]
    lit, dim = np.zeros((2, len(thresholds), 3), np.int32)
    valid, total = np.zeros(3, np.int32), np.zeros(3)
    count_lit_each(frames, *ends, lit, dim, valid, total)
    exact = frames.astype("f8")
    assert lit.tolist() == [(exact > t).sum(axis=1).tolist() for t in thresholds]
    assert dim.tolist() == [(exact < -t).sum(axis=1).tolist() for t in thresholds]
    assert valid.tolist() == (~np.isnan(exact)).sum(axis=1).tolist()
    np.testing.assert_allclose(total, np.nansum(exact, axis=1))
