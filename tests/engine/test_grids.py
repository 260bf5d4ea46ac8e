"""Sharp grid to coarse grid and back: block means, cubic convolution, point spread, gaps, windows and turns."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hsi_app.fusion.grids import Grids
from hsi_app.fusion.placement import Placement
from hsi_app.physics.resample import interpolate
from hsi_app.tiling import Window

# The pair of Berlin: 30 m and 3.6 m, upper left corners together.
STEP = 3.6 / 30
BERLIN = Placement((STEP, 0, STEP / 2 - 0.5, 0, STEP, STEP / 2 - 0.5))


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def aligned(coarse: tuple[int, int], scale: int, **given: object) -> Grids:
    fine = coarse[0] * scale, coarse[1] * scale
    return Grids(Placement.from_shapes(coarse, fine), coarse, fine, **given)  # type: ignore[arg-type]


def waves(places: np.ndarray, period: float) -> np.ndarray:
    """A smooth image at (N, 2) places (row, col)."""
    rows, cols = 2 * np.pi * places.T / period
    return 2 + np.sin(rows) * np.cos(0.7 * cols + 0.3) + 0.5 * np.sin(0.4 * cols)


def pixels(height: int, width: int) -> np.ndarray:
    return np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1).reshape(-1, 2).astype(float)


# Whole ratios


@pytest.mark.parametrize("scale", [1, 2, 3, 4, 7])
def test_a_coarse_pixel_is_the_mean_of_its_block(scale: int) -> None:
    fine = noise(3, 5 * scale, 6 * scale)
    expected = fine.reshape(3, 5, scale, 6, scale).mean((2, 4))
    torch.testing.assert_close(aligned((5, 6), scale).to_coarse(fine), expected)


@pytest.mark.parametrize("scale", [2, 3, 4, 7])
def test_upwards_it_is_the_cubic_interpolation_of_a_cube(scale: int) -> None:
    coarse = noise(3, 6, 9)
    expected = interpolate(coarse, torch.ones_like(coarse, dtype=torch.bool), scale)
    torch.testing.assert_close(aligned((6, 9), scale).to_fine(coarse), expected)


@pytest.mark.parametrize("same_in_all_bands", [True, False])
def test_upwards_gaps_are_treated_as_in_a_cube(same_in_all_bands: bool) -> None:
    coarse = noise(2, 8, 9)
    valid = torch.ones_like(coarse, dtype=torch.bool)
    valid[:, 4, 5] = valid[:, 0, 0] = valid[:, 4, 6] = False
    if not same_in_all_bands:
        valid[1, 6, 2] = False
    expected = interpolate(coarse, valid, 3)
    found = aligned((8, 9), 3).to_fine(torch.where(valid, coarse, torch.nan))
    torch.testing.assert_close(found, expected, equal_nan=True)


def test_up_and_down_again_keeps_a_smooth_image() -> None:
    coarse = torch.from_numpy(waves(pixels(12, 14), 11.0).reshape(1, 12, 14))
    grids = aligned((12, 14), 4)
    again = grids.to_coarse(grids.to_fine(coarse))
    # The mean over a pixel of a wave of period p is weaker by (pi / p)^2 / 6 = 1.4 % of its amplitude of 1 and 0.5.
    assert float((again - coarse).abs()[:, 2:-2, 2:-2].max()) < 0.025


# Any ratio


def test_at_a_broken_ratio_weights_are_the_shared_areas() -> None:
    # 100 pixels of 3.6 m are 12 of 30 m; a sharp pixel on a border counts for both by its share.
    fine = noise(1, 100, 100)
    repeated = fine[0].repeat_interleave(36, 0).repeat_interleave(36, 1)
    expected = repeated.reshape(12, 300, 12, 300).mean((1, 3))
    torch.testing.assert_close(Grids(BERLIN, (12, 12), (100, 100)).to_coarse(fine)[0], expected)


def test_a_plane_survives_both_ways_at_a_broken_ratio() -> None:
    coarse_at, fine_at = pixels(12, 12), BERLIN.points(pixels(100, 100))

    def plane(at: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(1 + 0.3 * at[:, 0] - 0.2 * at[:, 1])

    grids = Grids(BERLIN, (12, 12), (100, 100))
    coarse, fine = plane(coarse_at).reshape(1, 12, 12), plane(fine_at).reshape(1, 100, 100)
    # A mean over shares of pixels, each at its own value, is exact for a plane only where blocks are symmetric: to
    # within (1 - 0.33) * 0.33 / 2 of a sharp pixel's step of 0.36 / 8.33.
    torch.testing.assert_close(grids.to_coarse(fine), coarse, atol=0.006, rtol=0)
    inner = (slice(None), slice(17, -17), slice(17, -17))
    torch.testing.assert_close(grids.to_fine(coarse)[inner], fine[inner], atol=1e-9, rtol=0)


def test_pixels_that_the_sharp_image_does_not_cover_are_missing() -> None:
    # 99 of 100 pixels: the last coarse row and column lack 12 % of their area.
    seen = Grids(BERLIN, (13, 12), (99, 100)).to_coarse(noise(2, 99, 100))
    lost = torch.isnan(seen)
    assert lost[:, 11:].all()
    assert not lost[:, :11].any()


def test_sharp_pixels_beyond_the_coarse_image_are_missing() -> None:
    grids = Grids(Placement.from_shapes((5, 5), (20, 20)).moved(rows=-4, cols=8), (5, 5), (20, 20))
    lost = torch.isnan(grids.to_fine(noise(2, 5, 5)))
    expected = torch.zeros(20, 20, dtype=torch.bool)
    expected[:4], expected[:, 12:] = True, True
    assert torch.equal(lost, expected.expand(2, 20, 20))


# Point spread


@pytest.mark.parametrize("psf_fwhm", [0.6, 1.0, 1.6])
@pytest.mark.parametrize(("placement", "fine"), [(Placement.from_shapes((12, 12), (48, 48)), 48), (BERLIN, 100)])
def test_a_gaussian_leaves_a_constant_alone_and_its_rims_are_missing(
    placement: Placement, fine: int, psf_fwhm: float
) -> None:
    seen = Grids(placement, (12, 12), (fine, fine), psf_fwhm=psf_fwhm).to_coarse(torch.full((1, fine, fine), 0.7))[0]
    # It is cut at three standard deviations, from the middle of a pixel that ends half a pixel away.
    rim = int(np.ceil(3 * psf_fwhm * 0.4247 - 0.5))
    lost = torch.isnan(seen)
    assert not lost[rim : 12 - rim, rim : 12 - rim].any()
    assert lost[0].all()
    assert lost[:, -1].all()
    torch.testing.assert_close(seen[~lost], torch.full_like(seen[~lost], 0.7))


def test_a_gaussian_has_its_width() -> None:
    grids = aligned((15, 15), 8, psf_fwhm=1.5)
    total = power = 0.0
    # A line in each column of one coarse pixel, seen from the pixels beside it.
    for col in range(56, 64):
        line = torch.zeros(1, 120, 120, dtype=torch.float64)
        line[0, :, col] = 1.0
        seen = grids.to_coarse(line)[0, 7]
        away = torch.arange(15, dtype=torch.float64) - ((col + 0.5) / 8 - 0.5)
        there = torch.isfinite(seen)
        total, power = total + float(seen[there].sum()), power + float((seen * away.square())[there].sum())
    # Cut at three standard deviations a Gaussian has 97.3 % of its variance.
    assert power / total == pytest.approx(0.973 * (1.5 * 0.42466) ** 2, rel=0.01)


# Windows


@pytest.mark.parametrize("psf_fwhm", [None, 1.2])
def test_windows_give_the_numbers_of_the_whole_image_downwards(psf_fwhm: float | None) -> None:
    fine = noise(2, 100, 100)
    whole = Grids(BERLIN, (12, 12), (100, 100), psf_fwhm=psf_fwhm).to_coarse(fine)
    coarse_window, fine_window = Window(4, 5, 3, 2), Window(16, 23, 59, 56)
    part = Grids(
        BERLIN, (12, 12), (100, 100), psf_fwhm=psf_fwhm, hsi_window=coarse_window, msi_window=fine_window
    ).to_coarse(fine[:, *fine_window.slices])
    torch.testing.assert_close(part, whole[:, *coarse_window.slices])


@pytest.mark.parametrize("fine_window", [Window(0, 0, 9, 20), Window(30, 41, 25, 17), Window(88, 60, 12, 40)])
@pytest.mark.parametrize("has_gaps", [False, True])
def test_windows_give_the_numbers_of_the_whole_image_upwards(fine_window: Window, has_gaps: bool) -> None:
    coarse = noise(2, 12, 12)
    if has_gaps:
        coarse[:, 4, 5] = coarse[:, 0, 1] = coarse[1, 11, 11] = torch.nan
    whole = Grids(BERLIN, (12, 12), (100, 100)).to_fine(coarse)
    window = BERLIN.window(fine_window, (12, 12), margin=2)
    grids = Grids(BERLIN, (12, 12), (100, 100), hsi_window=window, msi_window=fine_window)
    found = grids.to_fine(coarse[:, *window.slices])
    torch.testing.assert_close(found, whole[:, *fine_window.slices], equal_nan=True)


def test_a_window_off_the_coarse_image_is_all_missing() -> None:
    placement = Placement.from_shapes((5, 5), (20, 20)).moved(rows=100)
    window = placement.window(Window(0, 0, 20, 20), (5, 5), margin=2)
    grids = Grids(placement, (5, 5), (20, 20), hsi_window=window)
    assert torch.isnan(grids.to_fine(torch.zeros(2, window.height, window.width))).all()


# Gaps


def test_downwards_a_missing_sharp_pixel_takes_its_coarse_one_and_its_value_counts_nowhere() -> None:
    fine = noise(2, 20, 20)
    valid = torch.ones_like(fine, dtype=torch.bool)
    valid[0, 9, 9] = False
    whole = aligned((5, 5), 4).to_coarse(fine)
    for garbage in (0.0, 1e9, torch.nan):
        seen = aligned((5, 5), 4).to_coarse(torch.where(valid, fine, garbage), valid)
        assert torch.isnan(seen).nonzero().tolist() == [[0, 2, 2]]
        torch.testing.assert_close(seen[torch.isfinite(seen)], whole[torch.isfinite(seen)])


def test_downwards_a_missing_pixel_that_weighs_nothing_is_not_missed() -> None:
    fine, valid = noise(1, 64, 64), torch.ones(1, 64, 64, dtype=torch.bool)
    # At the very rim of the Gaussian of a coarse pixel of 32 x 32, where two cut-offs meet: below a thousandth.
    valid[0, 0, 0] = False
    grids = Grids(Placement.from_shapes((2, 2), (64, 64)), (2, 2), (64, 64), psf_fwhm=0.35)
    assert torch.isfinite(grids.to_coarse(torch.where(valid, fine, torch.nan), valid)).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_both_ways_keep_the_kind_of_number(dtype: torch.dtype) -> None:
    grids = Grids(BERLIN, (12, 12), (100, 100))
    coarse = noise(1, 12, 12, dtype=dtype)
    coarse[0, 3, 3] = torch.nan
    assert grids.to_fine(coarse).dtype == dtype
    assert grids.to_coarse(noise(1, 100, 100, dtype=dtype)).dtype == dtype
    turned = Grids(BERLIN.moved(angle_deg=5, centre=(50, 50)), (12, 12), (100, 100))
    assert turned.to_fine(coarse).dtype == dtype
    assert turned.to_coarse(noise(1, 100, 100, dtype=dtype)).dtype == dtype


# Turns

TURNED = Placement.from_shapes((30, 30), (90, 90)).moved(rows=2.0, cols=-3.0, angle_deg=12.0, centre=(44.5, 44.5))


def turned(placement: Placement = TURNED, **given: object) -> Grids:
    return Grids(placement, (30, 30), (90, 90), **given)  # type: ignore[arg-type]


def scene(period: float = 12.0) -> tuple[torch.Tensor, torch.Tensor]:
    """A coarse image of points, and the sharp one that is turned on it."""
    coarse, fine = waves(pixels(30, 30), period), waves(TURNED.points(pixels(90, 90)), period)
    return torch.from_numpy(coarse.reshape(1, 30, 30)), torch.from_numpy(fine.reshape(1, 90, 90))


def test_a_turn_of_nothing_gives_the_numbers_of_level_grids() -> None:
    # Just past what counts as level: over 90 pixels a turn of 0.07 degrees moves one by 0.11.
    level = Placement.from_shapes((30, 30), (90, 90))
    nearly = level.moved(angle_deg=0.07, centre=(44.5, 44.5))
    assert level.is_level_over((90, 90))
    assert not nearly.is_level_over((90, 90))
    coarse, fine = scene()
    torch.testing.assert_close(turned(nearly).to_fine(coarse), turned(level).to_fine(coarse), atol=0.02, rtol=0)
    seen, expected = turned(nearly).to_coarse(fine), turned(level).to_coarse(fine)
    inner = (slice(None), slice(1, -1), slice(1, -1))
    torch.testing.assert_close(seen[inner], expected[inner], atol=0.02, rtol=0)


def test_upwards_a_turned_image_is_what_lies_there() -> None:
    coarse, fine = scene()
    found = turned().to_fine(coarse)
    at = TURNED.points(pixels(90, 90)).reshape(90, 90, 2)
    outside = torch.from_numpy(((at < -0.5) | (at > 29.5)).any(-1))
    assert torch.equal(torch.isnan(found[0]), outside)
    inner = torch.from_numpy(((at > 1) & (at < 28)).all(-1))
    # Cubic convolution of a wave of 12 samples: its error is of third order, (2 pi / 12)^3 / 12 or so.
    torch.testing.assert_close(found[0][inner], fine[0][inner], atol=0.012, rtol=0)


@pytest.mark.parametrize("psf_fwhm", [None, 1.0])
def test_downwards_a_turned_image_is_what_lies_there(psf_fwhm: float | None) -> None:
    coarse, fine = scene(24.0)
    seen = turned(psf_fwhm=psf_fwhm).to_coarse(fine)[0]
    known = torch.isfinite(seen)
    # A turn of 12 degrees takes the corners off, and the rim goes with the reach of the point spread.
    assert known[4:-4, 4:-4].all()
    assert known.double().mean() < 0.95
    # Averaged over a pixel of variance 1/12 (square) or 0.18 (Gaussian), a wave of 24 pixels loses up to 1.5 percent.
    torch.testing.assert_close(seen[known], coarse[0][known], atol=0.02, rtol=0)


@pytest.mark.parametrize("psf_fwhm", [None, 1.3])
def test_downwards_a_turned_constant_stays_constant(psf_fwhm: float | None) -> None:
    seen = turned(psf_fwhm=psf_fwhm).to_coarse(torch.full((1, 90, 90), 0.7, dtype=torch.float64))
    known = torch.isfinite(seen)
    torch.testing.assert_close(seen[known], torch.full_like(seen[known], 0.7))


@pytest.mark.parametrize("psf_fwhm", [None, 1.2])
def test_turned_windows_give_the_numbers_of_the_whole_image_downwards(psf_fwhm: float | None) -> None:
    fine = noise(2, 90, 90)
    whole = turned(psf_fwhm=psf_fwhm).to_coarse(fine)
    coarse_window, fine_window = Window(12, 14, 4, 3), Window(20, 22, 50, 52)
    part = turned(psf_fwhm=psf_fwhm, hsi_window=coarse_window, msi_window=fine_window)
    expected = whole[:, *coarse_window.slices]
    assert torch.isfinite(expected).all()
    torch.testing.assert_close(part.to_coarse(fine[:, *fine_window.slices]), expected)


@pytest.mark.parametrize("fine_window", [Window(0, 0, 9, 20), Window(30, 41, 25, 17), Window(78, 60, 12, 30)])
@pytest.mark.parametrize("has_gaps", [False, True])
def test_turned_windows_give_the_numbers_of_the_whole_image_upwards(fine_window: Window, has_gaps: bool) -> None:
    coarse = noise(2, 30, 30)
    if has_gaps:
        coarse[:, 14, 15] = coarse[:, 0, 3] = coarse[1, 26, 22] = torch.nan
    whole = turned().to_fine(coarse)
    window = TURNED.window(fine_window, (30, 30), margin=2)
    found = turned(hsi_window=window, msi_window=fine_window).to_fine(coarse[:, *window.slices])
    torch.testing.assert_close(found, whole[:, *fine_window.slices], equal_nan=True)


def test_upwards_a_gap_takes_its_turned_cell_and_its_neighbours_keep_to_what_is_there() -> None:
    coarse, _ = scene()
    whole = turned().to_fine(coarse)
    coarse[0, 15, 15] = torch.nan
    found = turned().to_fine(coarse)
    away = np.abs(TURNED.points(pixels(90, 90)).reshape(90, 90, 2) - 15).max(-1)
    lost = torch.isnan(found[0]) & torch.isfinite(whole[0])
    assert torch.equal(lost, torch.from_numpy(away <= 0.5))
    far = torch.from_numpy(away > 2) & torch.isfinite(whole[0])
    torch.testing.assert_close(found[0][far], whole[0][far])
    near = torch.from_numpy((away > 0.5) & (away <= 2))
    # The linear mean of what is there lies within the values around.
    around = coarse[0, 12:19, 12:19]
    around = around[torch.isfinite(around)]
    assert around.min() <= found[0][near].min()
    assert found[0][near].max() <= around.max()


def test_downwards_a_turned_missing_pixel_counts_nowhere() -> None:
    fine = noise(1, 90, 90)
    valid = torch.ones_like(fine, dtype=torch.bool)
    valid[0, 45, 45] = False
    whole = turned().to_coarse(fine)
    seen = [turned().to_coarse(torch.where(valid, fine, garbage), valid) for garbage in (0.0, 1e9, torch.nan)]
    lost = torch.isnan(seen[0]) & torch.isfinite(whole)
    assert 1 <= int(lost.sum()) <= 4
    place = np.round(TURNED.points(np.array([[45.0, 45.0]]))[0]).astype(int)
    assert lost[0, place[0], place[1]]
    for other in seen:
        torch.testing.assert_close(other, torch.where(lost, torch.nan, whole), equal_nan=True)


def test_a_turned_window_off_the_coarse_image_is_all_missing() -> None:
    placement = TURNED.moved(rows=400)
    window = placement.window(Window(0, 0, 90, 90), (30, 30), margin=2)
    assert window.pixels == 0
    found = turned(placement, hsi_window=window).to_fine(torch.zeros(2, window.height, window.width))
    assert torch.isnan(found).all()
