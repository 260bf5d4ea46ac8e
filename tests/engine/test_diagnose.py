"""The choice behind 'restore auto': each fault leads to the task that repairs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import hsi_sample_data
import numpy as np
import pytest

from hsi_app.cube import Cube
from hsi_app.diagnose import diagnose, gap_share
from hsi_app.errors import Cancelled
from hsi_app.io import open_cube
from hsi_app.jobs import Job, Progress

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


# ---- blur and haze -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clean() -> Cube:
    """A sharp, clean scene of fields and roofs."""
    return open_cube(hsi_sample_data.path("scene_clean"))


def test_a_sharp_clean_scene_has_no_fault(clean: Cube) -> None:
    found = diagnose(clean, optics=True)
    assert not found.finds_fault
    assert (found.blur_fwhm_px, found.is_hazy) == (0.0, False)
    assert found.recipe == diagnose(clean).recipe


def test_a_blurred_scene_is_found_blurred_with_about_its_width(clean: Cube) -> None:
    from hsi_app.physics.degrade import degrade

    blurred = degrade(clean, "blur-15", seed=1).observed
    found = diagnose(blurred, optics=True)
    assert found.finds_fault
    assert found.blur_fwhm_px > 2
    assert found.recipe.steps[-1].task == "deblur"
    assert found.recipe.psf_fwhm == round(found.blur_fwhm_px, 1)
    assert any("blurred" in reason for reason in found.reasons)
    # Nobody looked without being asked to.
    assert diagnose(blurred).blur_fwhm_px == 0


def test_blur_under_noise_asks_for_two_steps(clean: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsi_app.diagnose._blur_and_haze", lambda *_: (3.04, True))
    values = clean.read().astype(np.float32)
    noise = np.random.default_rng(0).normal(0, 0.05 * values.mean(), values.shape)
    found = diagnose(replace(clean, values=(values + noise).astype(np.float32)), optics=True)
    assert [step.task for step in found.recipe.steps] == ["denoise", "deblur"]
    assert found.recipe.psf_fwhm == 3.0
    assert not found.is_hazy  # noise hides haze
    assert found.choice().startswith("denoise with lowrank, then deblur with ")


def test_haze_in_a_sound_scene_asks_for_dehazing_alone(clean: Cube, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hsi_app.diagnose._blur_and_haze", lambda *_: (0.0, True))
    found = diagnose(clean, optics=True)
    assert found.is_hazy
    assert [step.task for step in found.recipe.steps] == ["dehaze"]


def test_without_weights_the_method_that_needs_none_is_chosen_or_the_lack_is_told(
    clean: Cube, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hsi_app.errors import WeightsError

    def missing(name: str) -> None:
        raise WeightsError(f"no weights '{name}'.")

    monkeypatch.setattr("hsi_app.weights.find_card", missing)
    monkeypatch.setattr("hsi_app.diagnose._blur_and_haze", lambda *_: (3.0, False))
    assert [step.method for step in diagnose(clean, optics=True).recipe.steps] == ["dds2m"]
    monkeypatch.setattr("hsi_app.diagnose._blur_and_haze", lambda *_: (0.0, True))
    found = diagnose(clean, optics=True)
    assert [step.task for step in found.recipe.steps] == ["denoise"]
    assert any("no method at hand can dehaze" in reason for reason in found.reasons)


def test_a_piece_too_small_to_tell_says_nothing_of_blur_and_haze(make_cube: CubeFactory) -> None:
    found = diagnose(make_cube(BANDS, 12, 12, sigma=0.0005), optics=True)
    assert (found.blur_fwhm_px, found.is_hazy) == (0.0, False)


def test_measuring_is_watched_and_cancelled(make_cube: CubeFactory) -> None:
    seen: list[str] = []

    def watch(progress: Progress) -> None:
        seen.append(progress.message)
        if progress.message == "looking for gaps":
            job.cancel()

    job = Job(on_progress=watch)
    with pytest.raises(Cancelled):
        diagnose(make_cube(BANDS, SIDE, SIDE, sigma=0.05), job=job)
    assert seen == ["measuring noise and stripes", "looking for gaps"]
