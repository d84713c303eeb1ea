"""AzimuthalIntegration against pyFAI, numpy in float64, and planted rings."""

from pathlib import Path

import numpy as np
import pytest
from readings import Whole, images, near, pixels, same

import dxflow
from dxflow import Algorithm, Frames, From, Output, PlanError, geometry
from dxflow.algorithms import _azint_kernels as kernels
from dxflow.algorithms._moments import ratio
from dxflow.algorithms.azint import AzimuthalIntegration
from dxflow.algorithms.subtract import Subtract
from dxflow.planning.digests import Digests
from dxflow.simulate import PowderRings

NBINS = 50


def of(truth, **options):
    """Return the algorithm with the geometry of a simulated run."""
    given = {"geometry": f"{truth.path}/geometry.npy", "distance": truth.distance, "nbins": NBINS}
    given |= {"energy": truth.photon_energy} | options
    return AzimuthalIntegration(**given)


def integrated(truth, *algorithms, **options):
    return dxflow.reduce(truth.path, list(algorithms or (of(truth),)), cluster="here", **options).dataset


def numpy_sums(frames, points, truth, mask=False, polarization=0.0):
    """Return numerators, denominators (frame, bin) and bin centres, plainly."""
    q = geometry.momentum_transfer(points, truth.wavelength)
    c = geometry.solid_angle(points) * (geometry.polarization(points, polarization) if polarization else 1)
    good = np.isfinite(frames) & ~np.broadcast_to(mask, q.shape)
    edges = np.linspace(q.min(), q.max(), NBINS + 1)
    which = np.clip(np.searchsorted(edges, q, side="right") - 1, 0, NBINS - 1)
    sums = [
        [np.bincount(which[g], w[g], NBINS) for g, w in zip(good, weights, strict=True)]
        for weights in (np.nan_to_num(frames), np.broadcast_to(c, frames.shape))
    ]
    return np.array(sums[0]), np.array(sums[1]), (edges[1:] + edges[:-1]) / 2


def points_of(truth):
    return truth.positions + [0, 0, truth.distance]


def check(data, sums, name="azint"):
    numerator, denominator, q = sums
    np.testing.assert_allclose(data["q"], q)
    expected = ratio(numerator, denominator)
    total = ratio(numerator.sum(axis=0), denominator.sum(axis=0))
    # Pixels within a rounding of an edge may be in the neighbouring bin: in most bins there are none.
    for found, wanted in ((data[f"{name}.intensity"].values, expected), (data[f"{name}.mean"].values, total)):
        np.testing.assert_array_equal(np.isnan(found), np.isnan(wanted))
        relative = np.abs(found - wanted) / np.abs(wanted)
        assert np.nanmedian(relative) < 1e-7
        assert np.nanquantile(relative, 0.98) < 1e-5


def test_it_equals_numpy_in_float64_and_skips_nan(holey):
    check(integrated(holey), numpy_sums(images(holey), points_of(holey), holey))


def test_masked_pixels_leave_both_sums(holey):
    sums = numpy_sums(images(holey), points_of(holey), holey, holey.bad_pixels, 0.9)
    check(integrated(holey, of(holey, polarization=0.9)), sums)
    check(integrated(holey, of(holey, img=Frames(mask=holey.mask), polarization=0.9)), sums)


@pytest.mark.parametrize("corrections", [{}, {"polarization": 0.95}, {"solid_angle": False}])
@pytest.mark.parametrize("source", ["holey", "raw"])
def test_it_equals_pyfai_without_pixel_splitting(request, source, corrections):
    truth = request.getfixturevalue(source)
    frames, points = images(truth)[:, :1], tilted(images(truth).shape[2:])
    q0, integrator = np.inf, pyfai(points)
    data = integrated(
        truth,
        AzimuthalIntegration(
            img=Frames(modules=[0]), geometry=points, wavelength=1.33, nbins=NBINS, **corrections
        ),
    )
    found, worst = data["azint.intensity"].values, []
    for frame, have in zip(frames[:, 0], found, strict=True):
        q0, expected = integrator.integrate1d(
            np.nan_to_num(frame).astype("f4"),
            NBINS,
            mask=np.isnan(frame),
            unit="q_A^-1",
            method=("no", "histogram", "cython"),
            radial_range=(data["q"].values[0] - step(data) / 2, data["q"].values[-1] + step(data) / 2),
            correctSolidAngle=corrections.get("solid_angle", True),
            polarization_factor=corrections.get("polarization"),
            dummy=np.nan,
        )
        worst.append(np.abs(have - expected) / np.abs(expected))
    np.testing.assert_allclose(data["q"], q0, rtol=1e-6)
    assert np.nanmedian(worst) < 1e-6
    assert np.nanquantile(worst, 0.95) < 1e-5


def step(data):
    return float(data["q"][1] - data["q"][0])


def integrator_options():
    return {"dist": 0.1, "poni1": 0.004, "poni2": 0.021, "rot1": 0.2, "rot2": -0.1, "rot3": 0.05}


def pyfai(points, **options):
    # Not above: each process that collects tests would load it, for more than a second.
    from pyFAI.detectors import Detector
    from pyFAI.integrator.azimuthal import AzimuthalIntegrator

    detector = Detector(pixel1=1e-3, pixel2=2e-3, max_shape=points.shape[1:3])
    return AzimuthalIntegrator(detector=detector, wavelength=1.33e-10, **integrator_options() | options)


def tilted(shape=(16, 40), **options):
    """Return the positions of a tilted module, from pyFAI."""
    z, y, x = pyfai(np.zeros((1, *shape, 3)), **options).calc_pos_zyx()
    return np.stack([x, y, z], -1)[None]


def test_planted_rings_are_recovered(run):
    data = integrated(run, of(run, solid_angle=False))
    q, mean = data["q"].values, data["azint.mean"].values
    inside = (q > 0.3) & (q < 2.4)
    expected = PowderRings().profile(q) * run.intensity.mean()
    assert np.abs(mean - expected)[inside].max() < 0.06 * expected.max()
    peaks = [q[np.argmax(np.where(np.abs(q - ring) < 0.2, mean, 0))] for ring in PowderRings().q]
    np.testing.assert_allclose(peaks, PowderRings().q, atol=step(data))


def test_chunks_do_not_change_a_bit_of_frames_and_only_the_last_digits_of_the_run(holey):
    whole, small = integrated(holey), integrated(holey, chunk="20 kB")
    assert whole["azint.intensity"].values.tobytes() == small["azint.intensity"].values.tobytes()
    near(small["azint.mean"], whole["azint.mean"])


def test_blocks_of_single_frames_give_the_same(holey):
    whole, single = integrated(holey), integrated(holey, block="2 kB")
    near(single["azint.intensity"], whole["azint.intensity"], 1e-6)
    near(single["azint.mean"], whole["azint.mean"])


def test_whole_trains_give_the_same_as_module_blocks(holey):
    whole, blocks = integrated(holey, Whole(), of(holey)), integrated(holey)
    near(whole["azint.intensity"], blocks["azint.intensity"], 1e-6)
    near(whole["azint.mean"], blocks["azint.mean"])


class Later(Algorithm):
    """Reads what is made of frames, train by train."""

    ALG_ID = "later"
    inputs = {"x": From("azint.intensity")}

    def outputs(self, info):
        return {
            "sum": Output(per="x", shape=info["x"].shape[1:], dims=info["x"].dims, coords=info["x"].coords)
        }

    def process_train_data(self, train, out):
        out.sum = train["x"]


@pytest.mark.parametrize("options", [{}, {"errors": "azimuthal"}])
def test_averages_of_frames_can_be_read_in_the_same_pass_and_change_no_bit(holey, options):
    alone = integrated(holey, of(holey, **options))
    company = integrated(holey, of(holey, **options), Later())
    np.testing.assert_array_equal(company["later.sum"], alone["azint.intensity"].astype("f8"))
    assert company["later.sum"].coords["q"].attrs["units"] == alone["q"].attrs["units"]
    for name in (n for n in alone.data_vars if str(n).startswith("azint.")):
        assert alone[name].values.tobytes() == company[name].values.tobytes(), name


def test_modules_and_trains_that_are_missing_are_left_out(broken):
    data = integrated(broken, on_fault="mask")
    sums = numpy_sums(images(broken), points_of(broken), broken)
    # The bins reach over all modules, also the one that is missing.
    whole = np.load(f"{broken.path}/geometry.npy") + [0, 0, broken.distance]
    q = geometry.momentum_transfer(whole, broken.wavelength)
    assert data["q"].values[0] == pytest.approx(q.min() + (q.max() - q.min()) / NBINS / 2)
    only = Frames(modules=tuple(int(m) for m in broken.module_numbers))
    subset = integrated(broken, of(broken, img=only, geometry=broken.positions), on_fault="mask")
    check(subset, sums)


def test_some_modules_of_a_geometry_of_all(holey):
    some = [7, 2]
    data = integrated(holey, of(holey, img=Frames(modules=some, mask=holey.mask), solid_angle=False))
    plain = holey.positions[some] + [0, 0, holey.distance]
    two = Frames(modules=some, mask=holey.mask[some])
    same_pixels = of(holey, img=two, geometry=plain, solid_angle=False, distance=None)
    same(integrated(holey, same_pixels), data)
    inside = ~holey.bad_pixels[some]
    assert data["q"].values[-1] < holey.q()[some][inside].max() < data["q"].values[-1] + step(data)


def test_modules_in_any_order_have_their_own_pixels(holey):
    forward, backward = (
        integrated(holey, of(holey, img=Frames(modules=m))) for m in (range(8), (7, 0, 6, 1, 5, 2, 4, 3))
    )
    near(backward["azint.mean"], forward["azint.mean"])
    near(backward["azint.intensity"], forward["azint.intensity"], 1e-6)


def test_a_geometry_of_the_modules_that_are_read_is_in_their_order(holey):
    some = [6, 1, 3]
    points = holey.positions[some] + [0, 0, holey.distance]
    given = of(holey, img=Frames(modules=some), geometry=points, distance=None, solid_angle=False)
    whole = of(holey, img=Frames(modules=some), solid_angle=False)
    near(integrated(holey, given)["azint.mean"], integrated(holey, whole)["azint.mean"])


@pytest.mark.parametrize("seed", range(4))
def test_any_modules_and_any_region_have_the_pixels_of_the_whole_detector(holey, seed):
    random = np.random.default_rng(seed)
    modules = random.permutation(8)[: random.integers(1, 9)].tolist()
    ss, fs = sorted(random.choice(17, 2, replace=False)), sorted(random.choice(41, 2, replace=False))
    roi = np.s_[ss[0] : ss[1], fs[0] : fs[1]]
    one = of(holey, img=Frames(modules=modules, roi=roi), nbins=7, solid_angle=False)
    found = integrated(holey, one)["azint.mean"].values
    frames, q = (a[..., modules, *roi] for a in (images(holey), holey.q()))
    edges = np.linspace(q.min(), q.max(), 8)
    which = np.clip(np.searchsorted(edges, q, side="right") - 1, 0, 6)
    means = []
    for k in range(7):
        values = frames[:, which == k]
        means.append(np.nanmean(values) if np.isfinite(values).any() else np.nan)
    np.testing.assert_allclose(found, means, rtol=1e-6)


def test_two_of_them_chain_after_a_subtraction(holey):
    dark = np.full((8, 16, 40), 0.5, "f4")
    chain = [Subtract(dark=dark), of(holey, img=From("subtract.img")), of(holey, name="plain", nbins=20)]
    data = integrated(holey, *chain)
    sums = numpy_sums((images(holey).astype("f4") - dark).astype("f8"), points_of(holey), holey)
    near(data["azint.intensity"], ratio(*sums[:2]), 1e-5, 1e-6)
    assert data["plain.mean"].shape == (20,)


def test_a_camera_with_a_poni_file(camera, tmp_path):
    key, frames = pixels(camera)
    integrator = pyfai(np.zeros((1, 48, 64, 3)))
    integrator.save(str(tmp_path / "camera.poni"))
    data = integrated(
        camera, AzimuthalIntegration(img=key, geometry=str(tmp_path / "camera.poni"), nbins=NBINS)
    )
    points = tilted((48, 64))

    class truth:  # noqa: N801
        wavelength = 1.33

    check(data, numpy_sums(frames[:, None].astype("f8"), points, truth))


def test_a_range_leaves_out_pixels_and_keeps_empty_bins_nan(run):
    data = integrated(run, of(run, qrange=(0, 10), nbins=100, solid_angle=False))
    q, mean = data["q"].values, data["azint.mean"].values
    np.testing.assert_allclose(q, np.arange(0.05, 10, 0.1))
    assert np.isnan(mean[q > run.q().max() + 0.1]).all()
    assert np.isnan(data["azint.intensity"].values[:, q > run.q().max() + 0.1]).all()
    inside = (run.q() >= 1.0) & (run.q() < 1.1)
    assert mean[10] == pytest.approx(np.nanmean(images(run)[:, inside]), rel=1e-6)


def test_the_wavelength_is_energy_or_wavelength_or_that_of_the_file(run, tmp_path):
    by_energy = integrated(run, of(run, solid_angle=False))
    given = {
        "geometry": f"{run.path}/geometry.npy",
        "distance": run.distance,
        "nbins": NBINS,
        "solid_angle": False,
    }
    same(
        integrated(run, AzimuthalIntegration(wavelength=geometry.HC / run.photon_energy, **given)), by_energy
    )
    np.save(tmp_path / "alone.npy", np.load(given["geometry"]))
    given["geometry"] = tmp_path / "alone.npy"
    with pytest.raises(PlanError, match="give energy="):
        dxflow.plan(run.path, AzimuthalIntegration(**given))


@pytest.mark.parametrize("frames", [1, 7, 8, 13])
@pytest.mark.parametrize("holes", [0, 0.02, 0.4])
@pytest.mark.parametrize("dtype", ["f4", "u2", "f8", "i4"])
def test_the_kernel_equals_bincount(frames, holes, dtype):
    random = np.random.default_rng(6)
    x = random.integers(-60000 if dtype == "i4" else 0, 60000, (frames, 1300)).astype(dtype)
    if dtype[0] == "f":
        x[random.random(x.shape) < holes] = np.nan
        x[:, 500:520] = np.nan
    bins, weights = random.integers(0, 31, 1300).astype("i4"), random.random(1300).astype("f4")
    numerator, denominator = np.zeros((frames, 30)), np.zeros((frames, 30))
    pixels, rows = np.zeros((frames, 30), "i8"), np.arange(frames)
    there = np.arange(30, dtype="i4"), np.bincount(bins, minlength=31)[:30]
    into = kernels.Sums(numerator, denominator, np.zeros((1, 0, 1)), rows, pixels, rows)
    scratch = kernels.Scratch(40)
    kernels.integrate(x, bins, weights, there, into, scratch.arrays)
    # All frames in one row: the same bits as one after the other.
    whole = kernels.Sums(
        *np.zeros((2, 1, 30)), np.zeros((1, 0, 1)), 0 * rows, np.zeros((1, 30), "i8"), 0 * rows
    )
    kernels.integrate(x, bins, weights, there, whole, scratch.arrays)
    assert not any(array.any() for array in scratch.arrays)
    for one, each in zip(
        (whole.numerator, whole.denominator, whole.pixels), (numerator, denominator, pixels), strict=True
    ):
        np.testing.assert_array_equal(one[0], np.add.accumulate(each)[-1])
    good = np.isfinite(x)
    for f in range(frames):
        g = good[f]
        near(numerator[f], np.bincount(bins[g], x[f][g].astype("f8"), 31)[:30])
        near(denominator[f], np.bincount(bins[g], weights[g].astype("f8"), 31)[:30])
        np.testing.assert_array_equal(pixels[f], np.bincount(bins[g], minlength=31)[:30])


def test_what_does_not_fit_is_refused_in_the_plan(run):
    cases = {
        r"geometry has \(module, ss, fs\) = \(16, 8, 8\); expected \(16, 16, 16\)": {
            "geometry": np.ones((16, 8, 8, 3))
        },
        r"geometry has .*\(3, 16, 16\)": {"geometry": np.ones((3, 16, 16, 3))},
        r"mask has \(module, ss, fs\) = \(1, 8, 8\); expected \(16, 16, 16\)": {
            "img": Frames(mask=np.ones((8, 8), bool))
        },
        "leaves no pixel": {"img": Frames(mask=np.ones((16, 16, 16), bool))},
        "no file": {"geometry": "/nowhere/a.geom"},
        "give distance=": {"distance": None, "geometry": np.zeros((16, 16, 16, 3))},
    }
    for message, options in cases.items():
        with pytest.raises(PlanError, match=message):
            dxflow.plan(run.path, of(run, **options))


def test_options_that_make_no_sense_are_refused(run):
    for options in ({"nbins": 0}, {"wavelength": 1.0}, {"qrange": (2, 1)}, {"qrange": (0, np.inf)}):
        with pytest.raises(ValueError, match=next(iter(options))):
            of(run, **options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"energy": 9300}, r"energy=9300; expected 0\.1 to 200 keV"),
        ({"energy": -9.3}, "energy=-9.3; expected"),
        ({"energy": np.nan}, "energy=nan; expected"),
        ({"energy": None, "wavelength": 1.33e-10}, r"wavelength=1\.33e-10; expected 0\.06 to 124 angstrom"),
        ({"distance": 200}, "distance=200; expected 0 to 100 m"),
        ({"distance": -1}, "distance=-1; expected"),
        ({"polarization": 95}, "polarization=95; expected -1 to 1"),
    ],
)
def test_numbers_in_another_unit_are_refused_with_the_right_one(run, options, says):
    with pytest.raises(ValueError, match=says):
        of(run, **options)


def test_geometries_in_another_unit_and_ranges_without_pixels_are_refused_in_the_plan(run, tmp_path):
    np.save(tmp_path / "g.npy", run.positions)
    (tmp_path / "g.json").write_text('{"distance": 0.2, "photon_energy": 9.3}')
    cases = {
        "wavelength of the geometry=1333": {"geometry": tmp_path / "g.npy", "energy": None},
        "expected positions in m": {"geometry": run.positions * 1e3},
        r"qrange=\(50, 60\) 1/angstrom holds no pixel of SPB_DET.*: they are from": {"qrange": (50, 60)},
    }
    for message, options in cases.items():
        with pytest.raises(PlanError, match=message):
            dxflow.plan(run.path, of(run, **options))


def test_the_geometry_beside_the_run_is_taken_unless_one_is_given(run, tmp_path):
    by_itself = dxflow.reduce(run.path, AzimuthalIntegration(nbins=NBINS, solid_angle=False), cluster="here")
    same(by_itself.dataset, integrated(run, of(run, solid_angle=False)))
    for file in Path(run.path).glob("*.h5"):
        (tmp_path / file.name).symlink_to(file)
    with pytest.raises(PlanError, match=r"no geometry was given, and there is no geometry\.geom"):
        dxflow.plan(tmp_path, AzimuthalIntegration())


def test_an_extra_geom_object_is_taken_and_gives_a_stable_identity(tmp_path):
    import pickle

    import extra_geom

    source = extra_geom.JUNGFRAUGeometry.example(n_modules=1)
    first, again = (
        AzimuthalIntegration(geometry=g, distance=0.2, energy=9.3)
        for g in (source, pickle.loads(pickle.dumps(source)))
    )
    assert Digests().of(first.options) == Digests().of(again.options)
    other = AzimuthalIntegration(geometry=source.offset((1e-3, 0)), distance=0.2, energy=9.3)
    assert Digests().of(first.options) != Digests().of(other.options)


@pytest.mark.parametrize("form", ["path", "array"])
def test_tables_are_made_once_for_passes_with_the_same_geometry_options_and_pixels(
    run, tmp_path, monkeypatch, form
):
    path = tmp_path / "g.npy"
    np.save(path, run.positions)
    monkeypatch.setattr(geometry, "SETTLED", 0.0)
    loaded, load = [], geometry.load
    monkeypatch.setattr(geometry, "load", lambda *given: loaded.append(1) or load(*given))

    def made(**options):
        """Return how many tables a pass made, and what it returned."""
        loaded.clear()
        given = path if form == "path" else np.load(path)
        data = integrated(run, of(run, geometry=given, **options))
        return len(loaded), data

    count, first = made()
    again, second = made()
    assert (count, again) == (1, 0)
    same(first, second)
    # Whatever changes the bins makes them anew: an option, the modules, the geometry itself.
    changes = [{"nbins": 7}, {"energy": 5.0}, {"distance": 0.3}, {"solid_angle": False}]
    changes += [{"polarization": 0.5}, {"qrange": (0.1, 0.2)}, {"img": Frames(modules=(1, 2))}]
    changes += [{"img": Frames(roi=np.s_[2:9, :])}]
    for options in changes:
        assert made(**options)[0] == 1, options
    np.save(path, run.positions * [1.5, 1, 1])
    count, third = made()
    assert count == 1
    assert not np.array_equal(first["azint.mean"], third["azint.mean"], equal_nan=True)
