"""Named degradations: their statistics, their seeds, and what they keep."""

import numpy as np
import pytest
import torch

from hsi_app.errors import ParameterError
from hsi_app.physics.degrade import degrade, list_degradations, parse_degradation


@pytest.fixture
def cube(make_cube):
    return make_cube(24, 48, 40)


@pytest.mark.parametrize("name", list_degradations())
def test_every_listed_name_works_and_repeats(cube, name):
    first, again, other = degrade(cube, name, 3), degrade(cube, name, 3), degrade(cube, name, 4)
    np.testing.assert_array_equal(first.observed.values, again.observed.values)
    if not name.startswith(("blur", "sr", "thin", "motion")):
        assert not np.array_equal(first.observed.values, other.observed.values, equal_nan=True)
    assert first.observed.axis == cube.axis
    assert first.record["name"] == name


def test_gauss_50_has_that_standard_deviation(cube):
    difference = degrade(cube, "gauss-50").observed.values - cube.values
    peak = np.percentile(cube.values, 99.9)
    assert difference.std() == pytest.approx(50 / 255 * peak, rel=0.02)


def test_result_stays_in_the_units_of_the_input(cube):
    scaled = cube.replace(cube.values * 10_000, "reflectance factor")
    ratio = degrade(scaled, "gauss-30", 1).observed.values / degrade(cube, "gauss-30", 1).observed.values
    np.testing.assert_allclose(np.median(ratio), 10_000, rtol=1e-3)


@pytest.mark.parametrize(("name", "share"), [("inpaint-0.8", 0.8), ("pixels-0.5", 0.5), ("bandloss-0.25", 0.25)])
def test_that_share_is_missing_and_the_mask_says_where(cube, name, share):
    found = degrade(cube, name)
    assert 1 - found.mask.mean() == pytest.approx(share, abs=0.03)
    np.testing.assert_array_equal(np.isfinite(found.observed.values), found.mask)
    np.testing.assert_allclose(found.observed.values[found.mask], cube.values[found.mask], rtol=1e-6)


def test_mixed_noise_differs_from_band_to_band(cube):
    spread = (degrade(cube, "mixed-1").observed.values - cube.values).std(axis=(1, 2))
    assert spread.max() > 2 * spread.min()


def test_impulses_hit_a_third_of_the_bands(cube):
    observed = degrade(cube, "mixed-4").observed.values / np.percentile(cube.values, 99.9)
    hit = ((observed == 0).mean(axis=(1, 2)) > 0.02).sum()
    assert hit == 8


def test_a_coarser_grid_keeps_its_place_on_the_map(cube):
    found = degrade(cube, "sr-x4").observed
    assert found.shape == (24, 12, 10)
    assert found.georef.pixel_size == (120.0, 120.0)
    assert found.georef.transform[2] == cube.georef.transform[2]


def test_haze_is_weaker_at_long_wavelengths(cube):
    change = np.abs(degrade(cube, "haze-0.75").observed.values - cube.values).mean(axis=(1, 2))
    flat = np.ptp(cube.values, axis=(1, 2))
    assert (change / flat)[:4].mean() > (change / flat)[-4:].mean()


def test_names_combine(cube):
    both = degrade(cube, "blur-5+gauss-10")
    assert both.operator is not None
    assert np.isfinite(both.observed.values).all()


def test_missing_samples_stay_missing(cube):
    values = cube.values.copy()
    values[:, :5] = np.nan
    found = degrade(cube.replace(values, "gap"), "gauss-20").observed.values
    assert np.isnan(found[:, :5]).all()
    assert np.isfinite(found[:, 5:]).all()


def test_the_operator_repeats_the_linear_part(cube):
    found = degrade(cube, "blur-7")
    direct = found.operator.forward(torch.from_numpy(cube.values)).numpy()
    np.testing.assert_allclose(direct, found.observed.values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["gaus-50", "gauss", "gauss-x", "mixed-9", "blur-4", "inpaint-1.5", "gauss-0", ""])
def test_bad_names_are_refused_in_one_line(name):
    with pytest.raises(ParameterError) as caught:
        parse_degradation(name)
    assert "\n" not in str(caught.value)


def test_a_misspelt_name_is_guessed():
    with pytest.raises(ParameterError, match="Did you mean 'gauss-50'"):
        parse_degradation("gaus-50")


def test_a_size_that_does_not_divide_is_said(make_cube):
    with pytest.raises(ParameterError, match="blocks of 4"):
        degrade(make_cube(4, 30, 30), "sr-x4")


def test_global_generators_are_left_alone(cube):
    before = torch.random.get_rng_state().clone(), np.random.get_state()[1].copy()  # noqa: NPY002
    degrade(cube, "mixed-5")
    assert torch.equal(before[0], torch.random.get_rng_state())
    np.testing.assert_array_equal(before[1], np.random.get_state()[1])  # noqa: NPY002
