"""Haze as a veil: its model, the filter that finds it, and what is found on scenes hazed by the simulator."""

from __future__ import annotations

import runpy
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter

from hsi_app.cube import Cube
from hsi_app.jobs import Job
from hsi_app.methods.lowrank.prepare import survey
from hsi_app.methods.mphsir import haze
from hsi_app.methods.mphsir.veil import veil
from hsi_app.physics.degrade import degrade
from hsi_app.scene import Scene
from tests.engine.reference_cube import psnr

RECIPE = Path(__file__).parents[2] / "models" / "recipes" / "prompted"
# Land as the network is trained on when there is no data: fractal abundances of smooth spectra.
made_scene: Callable[..., Cube] = runpy.run_path(str(RECIPE / "clean_scenes.py"))["made_scene"]

BANDS, SIDE = 60, 128
# Sums in single precision.
SINGLE = 1e-5


@pytest.fixture(scope="module")
def land() -> Cube:
    return made_scene(np.random.default_rng(1), BANDS, SIDE)


@pytest.fixture(scope="module")
def hazy(land: Cube) -> Cube:
    return degrade(land, "haze-0.75").observed


def wave(height: int, width: int) -> np.ndarray:
    """A smooth thickness (height, width) about one cloud across, above 0."""
    rows, cols = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    field: np.ndarray = 0.4 + 0.2 * np.cos(2 * np.pi * rows) + 0.2 * np.cos(np.pi * (cols + rows))
    return field


# ---- the model


def test_the_exponent_is_one_at_the_shortest_wavelength_and_falls_with_it() -> None:
    falls = haze.exponents(np.array([400.0, 500, 800, 1600]), 4)
    assert falls.tolist() == pytest.approx([1, 0.8, 0.5, 0.25])


def test_bands_in_any_order_have_the_exponents_of_their_wavelengths() -> None:
    assert haze.exponents(np.array([800.0, 400, 1600]), 3).tolist() == pytest.approx([0.5, 1, 0.25])


def test_without_wavelengths_the_bands_are_those_of_a_visible_and_near_infrared_camera() -> None:
    falls = haze.exponents(None, 7)
    assert falls[0] == 1
    assert bool((falls.diff() < 0).all())
    assert float(falls[-1]) == pytest.approx(0.4)


def test_the_airlight_is_the_brightest_of_the_samples_that_were_observed() -> None:
    values = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(0))
    values[:, 4, 5], values[:, 7, 8] = torch.tensor([2.0, 3.0, 4.0]), 99.0
    valid = torch.ones_like(values, dtype=torch.bool)
    valid[:, 7, 8] = False
    assert haze.airlight(values, valid).tolist() == [2, 3, 4]


def test_the_airlight_of_a_large_image_is_no_single_pixel() -> None:
    values = torch.full((1, 200, 200), 0.5)
    values[0, 0, :4] = torch.tensor([1.0, 2.0, 3.0, 6.0])
    # 1 in 10,000 of 40,000 pixels are four.
    assert haze.airlight(values, torch.ones_like(values, dtype=torch.bool)).tolist() == pytest.approx([3])


def test_the_airlight_of_a_band_without_samples_is_above_zero() -> None:
    values = torch.rand(2, 9, 9)
    valid = torch.ones_like(values, dtype=torch.bool)
    valid[1] = False
    light = haze.airlight(values, valid)
    assert bool(light.isfinite().all())
    assert bool((light > 0).all())


def test_clearing_undoes_the_veil_of_the_model() -> None:
    generator = torch.Generator().manual_seed(0)
    ground, thickness = torch.rand(5, 8, 9, generator=generator), 2 * torch.rand(8, 9, generator=generator)
    falls = haze.exponents(np.linspace(400, 2400, 5), 5)
    transmission = torch.exp(-thickness * falls[:, None, None])
    observed = ground * transmission + (1 - transmission)
    torch.testing.assert_close(haze.clear(observed, thickness, falls), ground, atol=2e-6, rtol=0)


def test_no_thickness_leaves_the_scene_as_it_is() -> None:
    ground = torch.rand(5, 8, 9, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(haze.clear(ground, torch.zeros(8, 9), torch.ones(5)), ground, atol=1e-7, rtol=0)


def test_what_is_as_bright_as_the_airlight_stays() -> None:
    white = torch.ones(5, 8, 9)
    assert torch.equal(haze.clear(white, torch.full((8, 9), 3.0), torch.ones(5)), white)


def test_patches_are_cleared_each_with_its_own_thickness() -> None:
    generator = torch.Generator().manual_seed(0)
    relative, thickness = torch.rand(3, 5, 8, 9, generator=generator), torch.rand(3, 8, 9, generator=generator)
    falls = torch.rand(3, 5, generator=generator)
    together = haze.clear(relative, thickness, falls)
    for one in range(3):
        torch.testing.assert_close(together[one], haze.clear(relative[one], thickness[one], falls[one]))


def test_haze_adds_to_the_depth() -> None:
    ground = 0.6 * torch.rand(5, 8, 9, generator=torch.Generator().manual_seed(0))
    falls, thickness = torch.linspace(1, 0.3, 5), torch.full((8, 9), 0.7)
    # Clearing of a negative thickness is hazing.
    hazed = haze.clear(ground, -thickness, falls)
    added = haze.depth(hazed) - haze.depth(ground)
    torch.testing.assert_close(added, (falls[:, None, None] * thickness), atol=SINGLE, rtol=0)


@pytest.mark.parametrize("value", [1.0, 2.0, -3.0, 1e6])
def test_the_depth_of_what_is_brighter_than_the_airlight_is_finite(value: float) -> None:
    assert bool(haze.depth(torch.tensor([value])).isfinite().all())


# ---- the most haze that there can be


def over_black(level: float, thickest: float = 2.0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """A hazed ground with a black sample in every pixel, its thickness, the exponents and what is black by band."""
    generator = torch.Generator().manual_seed(0)
    black = level * torch.linspace(0.5, 1, 5)
    ground = black[:, None, None] + 0.3 * torch.rand(5, 8, 9, generator=generator) + 0.1
    dark = torch.randint(5, (1, 8, 9), generator=generator)
    ground.scatter_(0, dark, black[dark])
    falls, thickness = torch.linspace(1, 0.3, 5), thickest * torch.rand(8, 9, generator=generator)
    return haze.clear(ground, -thickness, falls), thickness, falls, black


@pytest.mark.parametrize("level", [0.0, -0.3, 0.1])
def test_a_black_sample_tells_the_haze_before_it(level: float) -> None:
    hazed, thickness, falls, black = over_black(level)
    torch.testing.assert_close(haze.most_thickness(hazed, falls, black), thickness, atol=SINGLE, rtol=0)


def test_clearing_all_that_there_can_be_leaves_the_darkest_band_black() -> None:
    generator = torch.Generator().manual_seed(0)
    relative, falls = 0.05 + 0.9 * torch.rand(5, 8, 9, generator=generator), torch.linspace(1, 0.3, 5)
    black = torch.tensor([0.0, -0.1, 0.02, -0.3, 0.05])
    left = haze.clear(relative, haze.most_thickness(relative, falls, black), falls) - black[:, None, None]
    # Of a band at 0.95 the veil is taken twentyfold, and so are the last digits.
    torch.testing.assert_close(left.amin(0), torch.zeros(8, 9), atol=20 * SINGLE, rtol=0)


def test_where_nobody_knows_what_black_is_there_is_no_most() -> None:
    relative, falls = torch.rand(5, 8, 9, generator=torch.Generator().manual_seed(0)), torch.linspace(1, 0.3, 5)
    assert bool((haze.most_thickness(relative, falls, torch.full((5,), -torch.inf)) == torch.inf).all())


def test_bands_whose_black_nobody_knows_do_not_count() -> None:
    hazed, _, falls, black = over_black(0.0)
    kept = torch.tensor([0, 2, 3])
    unknown = torch.full((5,), -torch.inf).index_copy(0, kept, black[kept])
    others = haze.most_thickness(hazed[kept], falls[kept], black[kept])
    assert torch.equal(haze.most_thickness(hazed, falls, unknown), others)


def test_what_is_darker_than_black_has_no_haze_and_no_less() -> None:
    relative = torch.full((5, 8, 9), 0.4)
    relative[3, 2] = -0.2
    most = haze.most_thickness(relative, torch.ones(5), torch.zeros(5))
    assert not bool(most[2].any())
    assert bool((most[3:] > 0).all())


@pytest.mark.parametrize("value", [1.0, 2.0, 1e6])
def test_what_is_as_bright_as_the_airlight_bounds_no_haze_that_there_is(value: float) -> None:
    most = haze.most_thickness(torch.full((5, 8, 9), value), torch.ones(5), torch.zeros(5))
    assert bool(most.isfinite().all())
    assert bool((most > 3).all())


@pytest.mark.parametrize("each", [True, False], ids=["exponents of each", "exponents of all"])
def test_patches_are_bounded_each_by_itself(each: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    relative, black = torch.rand(3, 5, 8, 9, generator=generator), -torch.rand(3, 5, generator=generator)
    falls = torch.rand(3, 5, generator=generator) if each else torch.linspace(1, 0.3, 5).expand(3, 5)
    together = haze.most_thickness(relative, falls if each else falls[0], black)
    assert together.shape == (3, 8, 9)
    for one in range(3):
        torch.testing.assert_close(together[one], haze.most_thickness(relative[one], falls[one], black[one]))


# ---- the filter over the bands


def planted(bands: int = 20) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Covariance of a ground that varies along one direction, that direction, and the exponents of haze."""
    generator = torch.Generator().manual_seed(0)
    ground = torch.randn(bands, generator=generator).double()
    ground = ground / ground.norm()
    covariance = torch.outer(ground, ground) + 1e-4 * torch.eye(bands, dtype=torch.float64)
    return covariance, ground, haze.exponents(np.linspace(420, 2400, bands), bands)


def test_the_filter_passes_haze_as_it_is() -> None:
    covariance, _, falls = planted()
    assert float(haze.haze_filter(covariance, falls) @ falls) == pytest.approx(1, abs=SINGLE)


def test_the_filter_suppresses_the_directions_of_the_ground() -> None:
    covariance, ground, falls = planted()
    weights = haze.haze_filter(covariance, falls).double()
    plain = falls.double() / (falls.double() @ falls.double())
    # A variance of 1e4 times the rest is weighted down about as much.
    assert abs(float(weights @ ground)) < 1e-2 * abs(float(plain @ ground))


def test_no_other_filter_that_passes_haze_lets_less_ground_through() -> None:
    covariance, _, falls = planted()
    weights = haze.haze_filter(covariance, falls).double()
    least = weights @ covariance @ weights
    generator = torch.Generator().manual_seed(1)
    for _ in range(20):
        other = 0.01 * torch.randn(len(falls), generator=generator).double()
        other -= falls.double() * (falls.double() @ other) / (falls.double() @ falls.double())
        assert (weights + other) @ covariance @ (weights + other) > least


def test_a_scene_without_any_ground_detail_has_a_filter() -> None:
    falls = haze.exponents(None, 8)
    weights = haze.haze_filter(torch.zeros(8, 8, dtype=torch.float64), falls)
    assert float(weights @ falls) == pytest.approx(1, abs=SINGLE)


def test_what_is_smooth_is_no_ground_detail() -> None:
    field = torch.from_numpy(wave(128, 128)).float().expand(4, -1, -1)
    texture = torch.randn(4, 128, 128, generator=torch.Generator().manual_seed(0)) * field.std()
    smooth, rough = (float(haze.ground_covariance(part).diagonal().mean()) for part in (field, texture))
    assert smooth < 1e-2 * rough


# ---- the smooth part


def cirrus(side: int, seed: int) -> np.ndarray:
    """(side, side) from 0 to 1 with a power spectrum f^-3."""
    frequency = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side))
    frequency[0, 0] = 1 / side
    spectrum = np.fft.rfft2(np.random.default_rng(seed).normal(size=(side, side)))
    field: np.ndarray = np.fft.irfft2(spectrum * frequency**-1.5, s=(side, side))
    return (field - field.min()) / np.ptp(field)


@pytest.mark.parametrize("ground", [0.05, 0.1, 0.3, 0.6])
def test_clouds_are_found_under_ground_better_than_by_any_mean(ground: float) -> None:
    truth = cirrus(SIDE, seed=0)
    raw = truth + np.random.default_rng(1).normal(0, ground, truth.shape)

    def error(found: np.ndarray) -> float:
        # Up to a constant: the clearest place counts as clear.
        return float((found - truth).std())

    means = [error(uniform_filter(raw, width, mode="nearest")) for width in (1, 3, 5, 9, 15, 25, 41)]
    assert error(haze.smooth_thickness(raw)[0]) < min(means)


def test_how_much_the_smooth_part_varies_is_told() -> None:
    truth = wave(128, 128)
    varies = haze.smooth_thickness(truth + np.random.default_rng(0).normal(0, 0.1, truth.shape)).varies
    assert varies == pytest.approx(truth.std(), rel=0.05)


def test_ground_alone_hardly_varies_smoothly() -> None:
    varies = haze.smooth_thickness(np.random.default_rng(0).normal(0, 0.3, (128, 128))).varies
    assert varies < 0.03


def test_a_constant_thickness_makes_no_difference() -> None:
    raw = wave(64, 80) + np.random.default_rng(0).normal(0, 0.1, (64, 80))
    plain, lifted = haze.smooth_thickness(raw), haze.smooth_thickness(raw + 3)
    np.testing.assert_allclose(lifted[0], plain[0], atol=SINGLE)
    assert lifted[1] == pytest.approx(plain[1], abs=SINGLE)


def test_the_clearest_place_has_no_haze_and_the_thickest_is_bounded() -> None:
    found = haze.smooth_thickness(100 * wave(64, 80)).values
    assert found.min() == 0
    assert found.max() <= haze.THICKEST


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 2), (9, 200)])
def test_a_scene_of_any_size_has_a_finite_thickness(shape: tuple[int, int]) -> None:
    found, varies, _ = haze.smooth_thickness(np.random.default_rng(0).normal(size=shape))
    assert found.shape == shape
    assert np.isfinite(found).all()
    assert np.isfinite(varies)


# ---- groups of bands


@pytest.mark.parametrize("bands", [32, 33, 60, 63, 64, 224])
def test_means_over_the_spectrum_count_each_band_once(bands: int) -> None:
    edges = haze.bin_edges(bands, 32)
    assert len(edges) == 32
    assert [band for first, behind in edges for band in range(first, behind)] == list(range(bands))


@pytest.mark.parametrize("bands", [1, 2, 5, 20, 31])
def test_few_bands_are_repeated_and_none_is_left_out(bands: int) -> None:
    edges = haze.bin_edges(bands, 32)
    assert len(edges) == 32
    assert all(0 <= first < behind <= bands for first, behind in edges)
    assert {band for first, behind in edges for band in range(first, behind)} == set(range(bands))


def test_a_mean_takes_every_band_that_it_reaches_into() -> None:
    # Four means of three bands: from 0, 0.75, 1.5 and 2.25.
    assert haze.bin_edges(3, 4) == [(0, 1), (0, 2), (1, 3), (2, 3)]


def test_bins_are_means_of_their_bands() -> None:
    values = torch.arange(12.0).reshape(6, 1, 2)
    torch.testing.assert_close(haze.in_bins(values, [(0, 2), (2, 6)])[:, 0, 0], torch.tensor([1.0, 7.0]))


# ---- a hazed scene


def relative_of(cube: Cube) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    values = torch.from_numpy(cube.read())
    light = haze.airlight(values, torch.ones_like(values, dtype=torch.bool))
    return haze.veiled(values, light), light, haze.exponents(cube.axis.centres_nm, len(values))


@pytest.mark.parametrize("seed", range(4))
def test_the_first_thickness_takes_most_of_the_haze_away(seed: int) -> None:
    land = made_scene(np.random.default_rng(seed), BANDS, SIDE)
    hazy = degrade(land, "haze-0.75", seed=seed).observed
    relative, light, falls = relative_of(hazy)
    first = torch.from_numpy(haze.first_thickness(relative, falls).values)
    cleared = haze.clear(relative, first, falls) * light[:, None, None]
    truth = land.read()
    # Measured: 18.8 to 23.2 dB.
    assert psnr(cleared.numpy(), truth) > psnr(hazy.read(), truth) + 8


def looked_for(cube: Cube, budget: int = 2**30) -> tuple[dict[str, np.ndarray], float, Scene]:
    scene = Scene(cube, np.arange(cube.shape[0]), torch.device("cpu"), budget=budget)
    shared = survey(scene, "dehaze", Job(), rank=None, outliers="off")
    return (*veil(scene, shared, Job()), scene)


def test_haze_read_from_a_scene_is_that_of_the_cube(hazy: Cube) -> None:
    found, varies, scene = looked_for(hazy)
    values, valid = scene.tensors()
    light = haze.airlight(values, valid)
    np.testing.assert_allclose(found["airlight"], light, rtol=0.02)
    falls = haze.exponents(hazy.axis.centres_nm, BANDS)
    whole = haze.first_thickness(haze.veiled(values, light), falls).values
    # The scene is judged by means over bands, of spectra in its subspace: a tenth of what varies.
    gap = found["thickness"] - whole
    assert (gap - gap.mean()).std() < 0.1 * whole.std()
    assert varies == pytest.approx(float(whole.std()), rel=0.1)
    assert float(found["mean_thickness"]) == pytest.approx(float(found["thickness"].mean()))


def test_the_height_of_the_strips_makes_little_difference(hazy: Cube) -> None:
    whole, varies, scene = looked_for(hazy)
    assert scene.holds_whole
    parts, others, cut = looked_for(hazy, budget=2**22)
    # Strips lower than the means that detail is against are another matter.
    assert haze.FINE_PX <= cut.strip_rows < SIDE // 4
    np.testing.assert_allclose(parts["airlight"], whole["airlight"], rtol=1e-3)
    gap = parts["thickness"] - whole["thickness"]
    # Detail at the edges of a strip is against fewer neighbours: 2.8 to 3.5 % in three scenes.
    assert np.sqrt(np.square(gap).mean()) < 0.06 * whole["thickness"].std()
    assert others == pytest.approx(varies, rel=0.05)
