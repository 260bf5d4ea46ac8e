"""Noise measured from data: stuck values and the report of a cube."""

import numpy as np

from hsi_app.noise import measure_noise, noise_from_covariance, stuck_values


def test_stuck_values_are_found_among_noise():
    generator = np.random.default_rng(0)
    band = generator.normal(0.5, 0.2, 4000).astype(np.float32)
    band[generator.random(4000) < 0.1] = 0.0
    band[generator.random(4000) < 0.1] = 1.0
    assert stuck_values(band).tolist() == [0.0, 1.0]


def test_integer_histograms_have_no_stuck_value():
    band = np.random.default_rng(1).poisson(60, 4000)
    assert stuck_values(band).size == 0


def test_a_band_alone_gets_its_own_spread():
    assert np.isclose(noise_from_covariance(np.array([[4.0]]), 1000)[0], 2.0, rtol=1e-2)


def test_a_noise_free_dependent_band_does_not_break_the_regression():
    covariance = np.array([[1.0, 2.0, 0.5], [2.0, 4.0, 1.0], [0.5, 1.0, 3.0]])
    found = noise_from_covariance(covariance, 10_000)
    assert np.isfinite(found).all()
    assert found[:2].max() < 1e-3


def test_the_noisiest_band_leads_the_report(make_cube):
    cube = make_cube(30, 60, 60, sigma=0.01)
    values = cube.values.copy()
    values[17] += np.random.default_rng(2).normal(0, 0.2, values.shape[1:]).astype(np.float32)
    report = measure_noise(cube.replace(values, "one bad band"))
    assert report.noisiest(1) == [17]
    assert 0.17 < report.std[17] < 0.23


def test_missing_samples_do_not_count_as_noise(make_cube):
    cube = make_cube(30, 60, 60, sigma=0.02)
    values = cube.values.copy()
    values[:, :20] = np.nan
    report = measure_noise(cube.replace(values, "a gap"))
    np.testing.assert_allclose(report.missing_share, 1 / 3, atol=0.01)
    np.testing.assert_allclose(np.median(report.std), 0.02, rtol=0.15)


def test_row_stripes_are_told_from_columns(make_cube):
    cube = make_cube(30, 60, 60, sigma=0.01)
    values = cube.values.copy()
    values[5] += np.random.default_rng(3).normal(0, 0.02, (60, 1)).astype(np.float32)
    report = measure_noise(cube.replace(values, "stripes"))
    assert report.stripe_rows[5] > 4
    assert report.stripe_cols[5] < 2
    assert np.median(report.stripe_rows) < 1.5
