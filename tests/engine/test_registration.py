"""Registration aid: known shifts and turns are found, and what shows something else is not believed."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, map_coordinates, rotate

from hsi_app.fusion.placement import Placement
from hsi_app.fusion.registration import GOOD, TRUSTED, Match, Registration, register

RATIO, SIDE, WINDOW = 4, 100, 64
START_PX = (SIDE - WINDOW) // 2
# Where the coarse image is said to lie: under the middle of the sharp one.
START = Placement((1 / RATIO, 0, (0.5 - START_PX) / RATIO - 0.5, 0, 1 / RATIO, (0.5 - START_PX) / RATIO - 0.5))
MOVES = [
    (0.0, (0, 0)), (0.0, (5, -3)), (0.0, (16, 16)), (5.0, (0, 0)), (5.0, (-8, 6)), (10.0, (4, 4)), (-10.0, (0, 9)),
    (30.0, (0, 0)), (-30.0, (6, -4)),
]  # fmt: skip


def textured(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Random fields of three sizes, as ground has fields, houses and trees."""
    generator = np.random.default_rng(seed)
    image = np.zeros((height, width))
    for sigma in (1.0, 3.0, 10.0):
        field = gaussian_filter(generator.standard_normal((height, width)), sigma, mode="reflect")
        image += field / field.std()
    return image


def averaged(image: np.ndarray, ratio: int = RATIO) -> np.ndarray:
    height, width = image.shape
    return image.reshape(height // ratio, ratio, width // ratio, ratio).mean((1, 3))


def seen(sharp: np.ndarray, angle_deg: float, shift: tuple[int, int]) -> np.ndarray:
    """The window in the middle of a sharp image after it was turned, and by how much the window moved."""
    turned = rotate(sharp, angle_deg, order=3, reshape=False, mode="reflect") if angle_deg else sharp
    rows, cols = (slice(START_PX + move, START_PX + move + WINDOW) for move in shift)
    return averaged(turned[rows, cols])


def truth(angle_deg: float, shift: tuple[int, int]) -> Placement:
    """Where the sharp image lies on what ``seen`` makes of it: SciPy too counts from rows towards columns."""
    middle = (SIDE - 1) / 2
    turned = START.moved(angle_deg=angle_deg, centre=(middle, middle))
    a, b, c, d, e, f = turned.matrix
    return Placement((a, b, c - shift[0] / RATIO, d, e, f - shift[1] / RATIO))


def error_px(found: Placement, expected: Placement) -> float:
    """How far a corner of the coarse image lies from where it should, px of the sharp image."""
    end = WINDOW / RATIO - 1
    corners = np.array([[0, 0], [0, end], [end, 0], [end, end]])
    away = found.inverse_points(corners) - expected.inverse_points(corners)
    return float(np.linalg.norm(away, axis=1).max())


@cache
def jasper(folder: Path) -> np.ndarray:
    with np.load(folder / "hsi" / "jasper_ridge_raw224.npz", allow_pickle=False) as file:
        cube = file["cube"].transpose(2, 0, 1).astype(float)
    # Visible light.
    return cube[5:35].mean(0)[:SIDE, :SIDE] / 1000


def test_the_simulation_and_its_truth_agree() -> None:
    sharp, expected = gaussian_filter(textured(SIDE, SIDE), 3), truth(20.0, (3, -5))
    inner = np.stack(np.meshgrid(np.arange(3, 13), np.arange(3, 13), indexing="ij"), -1).reshape(-1, 2).astype(float)
    coarse = seen(sharp, 20.0, (3, -5))[3:13, 3:13].ravel()
    there = map_coordinates(gaussian_filter(sharp, 0.29 * RATIO), expected.inverse_points(inner).T, order=3)
    assert np.corrcoef(coarse, there)[0, 1] > 0.999


# Half a pixel of the sharp image and half a degree: an eighth of a coarse pixel, as good as its noise lets it be.


@pytest.mark.parametrize(("angle_deg", "shift"), MOVES)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_known_move_of_a_textured_scene_is_found(angle_deg: float, shift: tuple[int, int], seed: int) -> None:
    sharp = textured(SIDE, SIDE, seed)
    found = register(seen(sharp, angle_deg, shift), sharp, START)
    assert found.is_trusted
    assert error_px(found.placement, truth(angle_deg, shift)) < 0.5
    assert found.angle_deg == pytest.approx(angle_deg, abs=0.5)


@pytest.mark.parametrize(("angle_deg", "shift"), MOVES)
def test_a_known_move_of_a_real_scene_is_found(angle_deg: float, shift: tuple[int, int], real_data: Path) -> None:
    sharp = jasper(real_data)
    found = register(seen(sharp, angle_deg, shift), sharp, START)
    assert found.is_trusted
    assert error_px(found.placement, truth(angle_deg, shift)) < 0.5
    assert found.angle_deg == pytest.approx(angle_deg, abs=0.5)


def test_the_shift_is_told_in_pixels_of_the_sharp_image() -> None:
    sharp = textured(SIDE, SIDE)
    found = register(seen(sharp, 0.0, (5, -3)), sharp, START)
    # The window moved down, so the image moved up on it.
    assert (found.rows, found.cols) == pytest.approx((-5, 3), abs=0.3)
    assert found.correlation > GOOD > TRUSTED > found.before


def test_images_in_place_are_left_where_they_are() -> None:
    sharp = textured(SIDE, SIDE)
    found = register(seen(sharp, 0.0, (0, 0)), sharp, START)
    # A tenth of a coarse pixel counts as in place (MISPLACED_PX of hsi_app.fusion.pairing).
    assert START.distance(found.placement, sharp.shape) < 0.1
    assert found.before == pytest.approx(found.correlation, abs=0.01)


@pytest.mark.parametrize(("gain", "offset"), [(1e-4, 0.0), (3000.0, -7.0), (1.0, 1e3)])
def test_gain_and_offset_change_nothing(gain: float, offset: float) -> None:
    sharp = textured(SIDE, SIDE)
    coarse = seen(sharp, 5.0, (-8, 6))
    plain, other = register(coarse, sharp, START), register(gain * coarse + offset, sharp, START)
    np.testing.assert_allclose(other.placement.matrix, plain.placement.matrix, atol=1e-3)
    assert other.correlation == pytest.approx(plain.correlation, abs=1e-5)


def test_a_broken_ratio_is_no_obstacle() -> None:
    # 2.5 to one: each sharp pixel as 2 x 2, then blocks of 5 x 5.
    sharp = textured(SIDE, SIDE)
    coarse = averaged(np.kron(np.roll(sharp, (-4, 3), (0, 1)), np.ones((2, 2))), 5)
    found = register(coarse[4:-4, 4:-4], sharp, Placement((0.4, 0, -4.3, 0, 0.4, -4.3)))
    assert found.is_trusted
    assert (found.rows, found.cols) == pytest.approx((-4, 3), abs=0.3)


# A coarse image that is larger than the sharp one, or lies elsewhere


@pytest.mark.parametrize("shift", [(30, 0), (-22, 26), (40, -36)])
def test_a_start_far_off_is_mended_by_the_search_over_turns(shift: tuple[int, int]) -> None:
    # Thirty sharp pixels are 7.5 coarse ones: the nearest peak of the correlation is a wrong one.
    ground = textured(256, 256, 3)
    coarse, rows, cols = averaged(ground), 96 + shift[0], 80 + shift[1]
    sharp = ground[rows : rows + 96, cols : cols + 96]
    start = Placement((0.25, 0, 96 / 4 - 0.375, 0, 0.25, 80 / 4 - 0.375))
    found = register(coarse, sharp, start)
    assert found.is_trusted
    assert (found.rows, found.cols) == pytest.approx(shift, abs=0.3)
    assert abs(found.angle_deg) < 0.3


@pytest.mark.parametrize("size", [(256, 256), (256, 200), (180, 256)])
def test_the_best_shift_for_a_turn_is_found_to_half_a_coarse_pixel(size: tuple[int, int]) -> None:
    ground = textured(*size, 5)
    coarse, sharp = averaged(ground), ground[60:140, 48:128]
    start = Placement((0.25, 0, 60 / 4 - 0.375 + 7.0, 0, 0.25, 48 / 4 - 0.375 - 5.0))
    correlation, rows, cols, angle = Match(coarse, sharp, start).shifted(0.0)
    assert correlation > 0.85
    assert (rows, cols, angle) == pytest.approx((-7.0, 5.0, 0.0), abs=0.51)


def test_a_far_start_and_a_turn_are_mended_together() -> None:
    ground = textured(256, 256, 4)
    turned = rotate(ground, 15.0, order=3, reshape=False, mode="reflect")
    start = Placement.from_shapes((64, 64), (256, 256)).moved(rows=24.0, cols=-20.0)
    found = register(averaged(turned), ground, start)
    expected = Placement.from_shapes((64, 64), (256, 256)).moved(angle_deg=15.0, centre=(127.5, 127.5))
    assert found.is_trusted
    assert error_px(found.placement, expected) < 1.0


# What is not to be believed


@pytest.mark.parametrize("seed", range(4))
def test_unrelated_images_are_not_trusted(seed: int) -> None:
    found = register(averaged(textured(WINDOW, WINDOW, seed + 50)), textured(SIDE, SIDE, seed), START)
    assert not found.is_trusted
    assert "needed" in found.why


def test_a_ramp_has_no_peak_and_is_not_trusted() -> None:
    sharp = np.add.outer(np.arange(100.0), 0.5 * np.arange(100.0))
    found = register(seen(sharp, 0.0, (0, 0)), sharp, START)
    assert not found.is_trusted
    assert "peak" in found.why


@pytest.mark.parametrize("which", ["coarse", "sharp", "both"])
def test_constant_images_are_not_trusted_and_raise_nothing(which: str) -> None:
    sharp = textured(SIDE, SIDE)
    coarse = seen(sharp, 0.0, (0, 0))
    found = register(
        coarse if which == "sharp" else np.full_like(coarse, 0.3),
        sharp if which == "coarse" else np.full_like(sharp, 0.7),
        START,
    )
    assert not found.is_trusted
    assert np.isfinite(found.correlation)
    assert np.isfinite(found.placement.matrix).all()


@pytest.mark.parametrize("which", ["coarse", "sharp"])
def test_images_without_any_pixel_are_not_trusted_and_raise_nothing(which: str) -> None:
    sharp = textured(SIDE, SIDE)
    coarse = seen(sharp, 0.0, (0, 0))
    (coarse if which == "coarse" else sharp)[:] = np.nan
    found = register(coarse, sharp, START)
    assert not found.is_trusted
    assert np.isfinite(found.placement.matrix).all()


def test_images_too_small_to_tell_are_not_trusted() -> None:
    # 25 pixels: any five turns and shifts make some image of so few look alike.
    sharp = textured(20, 20)
    assert not register(averaged(sharp), sharp, Placement.from_shapes((5, 5), (20, 20))).is_trusted


# Gaps


@pytest.mark.parametrize(("angle_deg", "shift"), [(0.0, (5, -3)), (10.0, (4, 4))])
def test_gaps_are_survived(angle_deg: float, shift: tuple[int, int]) -> None:
    sharp = textured(SIDE, SIDE)
    coarse = seen(sharp, angle_deg, shift)
    coarse[2:6, 3:7] = coarse[11, :] = np.nan
    holed = sharp.copy()
    holed[60:75, 40:52] = holed[:, 20] = np.nan
    found = register(coarse, holed, START)
    assert found.is_trusted
    assert error_px(found.placement, truth(angle_deg, shift)) < 0.5


def test_a_far_start_and_gaps_are_survived_together() -> None:
    ground = textured(256, 256, 3)
    coarse, sharp = averaged(ground), ground[126:222, 80:176].copy()
    coarse[10:20, 40:50] = np.nan
    sharp[:20, 70:] = np.nan
    found = register(coarse, sharp, Placement((0.25, 0, 96 / 4 - 0.375, 0, 0.25, 80 / 4 - 0.375)))
    assert found.is_trusted
    assert (found.rows, found.cols) == pytest.approx((30, 0), abs=0.3)


# An average in place of the sharp image


def test_an_averaged_sharp_image_gives_the_same_placement() -> None:
    sharp = textured(2 * SIDE, 2 * SIDE, 2)
    coarse = averaged(sharp, 8)[2:-2, 3:-3]
    start = Placement((1 / 8, 0, 0.5 / 8 - 0.5 - 2 + 0.4, 0, 1 / 8, 0.5 / 8 - 0.5 - 3 - 0.3))
    whole = register(coarse, sharp, start)
    part = register(coarse, averaged(sharp, 2), start.on_averaged(2)).on_finer(2)
    assert whole.placement.distance(part.placement, sharp.shape) < 0.05
    assert (part.rows, part.cols) == pytest.approx((whole.rows, whole.cols), abs=0.3)


def test_a_record_holds_plain_values() -> None:
    import json

    found = Registration(START, 1.0, 2.0, 0.5, 0.9, 0.1, True, "correlation 0.90")
    assert json.loads(json.dumps(found.to_plain()))["placement"]["ratio"] == [4.0, 4.0]
    assert "1.0, 2.0" in found.describe()
