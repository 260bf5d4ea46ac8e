"""The choice behind 'restore auto': each fault leads to the task that repairs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import hsi_sample_data
import numpy as np
import pytest

from hsi_app.cube import Cube
from hsi_app.diagnose import diagnose, gap_share
from hsi_app.io import open_cube

CubeFactory = Callable[..., Cube]
BANDS, SIDE = 12, 48


def tasks(cube: Cube) -> list[str | None]:
    return [step.task for step in diagnose(cube).recipe.steps]


def test_noise_asks_for_denoise(make_cube: CubeFactory) -> None:
    # 0.05 on a signal of about 0.5 is 20 dB, far below the 40 dB of a clean cube.
    assert tasks(make_cube(BANDS, SIDE, SIDE, sigma=0.05)) == ["denoise"]


def test_stripes_in_a_clean_cube_ask_for_destripe_and_are_named(make_cube: CubeFactory) -> None:
    values = make_cube(BANDS, SIDE, SIDE, sigma=0.0005).values.copy()
    values[5] += np.random.default_rng(1).normal(0, 0.02, SIDE).astype(np.float32)  # 40 times the noise
    found = diagnose(make_cube(BANDS, SIDE, SIDE, values=values))
    assert found.striped_bands == (5,)
    assert [step.task for step in found.recipe.steps] == ["destripe"]
    assert any("stripes in 1 of 12 bands" in reason for reason in found.reasons)


def test_gaps_in_a_clean_cube_are_filled_and_nothing_else_changes(make_cube: CubeFactory) -> None:
    values = make_cube(BANDS, SIDE, SIDE, sigma=0.0005).values.copy()
    values[:, 20:23, 10:20] = np.nan
    found = diagnose(make_cube(BANDS, SIDE, SIDE, values=values))
    assert [step.task for step in found.recipe.steps] == ["inpaint"]
    assert found.recipe.keep_observed is None  # the default of inpaint: observed samples come back unchanged


def test_gaps_in_a_noisy_cube_are_filled_while_the_rest_is_denoised(make_cube: CubeFactory) -> None:
    values = make_cube(BANDS, SIDE, SIDE, sigma=0.05).values.copy()
    values[:, 20:23, 10:20] = np.nan
    found = diagnose(make_cube(BANDS, SIDE, SIDE, values=values))
    assert [step.task for step in found.recipe.steps] == ["inpaint"]
    assert found.recipe.keep_observed is False


def test_gaps_that_differ_from_band_to_band_are_not_called_stripes() -> None:
    # Fields and roofs: where each band misses other pixels, its row means are means over other ground.
    clean = open_cube(hsi_sample_data.path("scene_clean"))
    values = clean.read().astype(np.float32)
    values[np.random.default_rng(2).random(values.shape) < 0.3] = np.nan
    assert diagnose(Cube(values)).striped_bands == ()


def test_stripes_are_found_in_a_swath_with_empty_corners(make_cube: CubeFactory) -> None:
    values = make_cube(BANDS, SIDE, SIDE, sigma=0.0005).values.copy()
    values[5] += np.random.default_rng(1).normal(0, 0.02, SIDE).astype(np.float32)
    rows, cols = np.mgrid[:SIDE, :SIDE]
    values[:, rows + cols < 20] = np.nan
    assert diagnose(make_cube(BANDS, SIDE, SIDE, values=values)).striped_bands == (5,)


def test_mask_from_outside_asks_for_filling(make_cube: CubeFactory) -> None:
    assert diagnose(make_cube(BANDS, SIDE, SIDE, sigma=0.05), has_mask=True).recipe.steps[-1].task == "inpaint"


def test_empty_corners_of_a_rotated_swath_are_no_gaps(make_cube: CubeFactory) -> None:
    rows, cols = np.mgrid[:SIDE, :SIDE]
    inside = np.abs(rows - SIDE // 2) + np.abs(cols - SIDE // 2) < SIDE // 2
    assert gap_share(make_cube(BANDS, SIDE, SIDE, valid=inside)) == 0


def test_gap_share_counts_what_lies_inside(make_cube: CubeFactory) -> None:
    inside = np.ones((SIDE, SIDE), bool)
    inside[:, 24] = False  # a dead column: 1 of 48
    assert gap_share(make_cube(BANDS, SIDE, SIDE, valid=inside)) == pytest.approx(1 / SIDE)


def test_real_stripes_are_found_where_they_are(real_data: Path) -> None:
    path = real_data / "hsi" / "abu_bay_champagne.npz"
    if not path.exists():
        pytest.skip(f"no {path.name} among the real scenes")
    # Measured on the central window: 4.4 and 2.4 in these two, 1.3 in the median band.
    assert diagnose(open_cube(path)).striped_bands == (103, 106)
