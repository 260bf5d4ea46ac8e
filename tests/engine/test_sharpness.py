"""The width of a blur, found in images of known blur."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from hsi_app.physics.spatial import FWHM_TO_STD, psf_blur
from hsi_app.sharpness import LEAST_SIDE_PX, blur_std
from tests.engine.reference_cube import photo_cube

# Photographs shrunk four times are soft themselves: averaged over (4 - 1) / 8 px, then over a pixel (1 / 12).
OWN_STD_PX = math.hypot(3 / 8, math.sqrt(1 / 12))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """(3, 128, 128) first component images of a sharp scene."""
    truth = photo_cube()
    centred = (truth - truth.mean((1, 2), keepdims=True)).reshape(len(truth), -1)
    _, size, images = np.linalg.svd(centred, full_matrices=False)
    return torch.from_numpy((size[:3, None] * images[:3]).reshape(3, *truth.shape[1:]))


def blurred(images: torch.Tensor, std: float) -> torch.Tensor:
    return psf_blur((images.shape[0], images.shape[1], images.shape[2]), std / FWHM_TO_STD).forward(images)


def noise_like(images: torch.Tensor, seed: int = 0) -> torch.Tensor:
    return torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("std", [1.4, 2.0, 2.6])
def test_a_gaussian_blur_is_found(images: torch.Tensor, std: float) -> None:
    assert blur_std(blurred(images, std), noise_std=0.0) == pytest.approx(math.hypot(std, OWN_STD_PX), rel=0.1)


@pytest.mark.parametrize("std", [1.4, 2.0, 2.6])
# Noise of 40 and of 30 dB below the strongest component.
@pytest.mark.parametrize("noise", [0.01, 0.03])
def test_a_gaussian_blur_is_found_under_noise(images: torch.Tensor, std: float, noise: float) -> None:
    seen = blurred(images, std) / noise
    assert blur_std(seen + noise_like(seen)) == pytest.approx(math.hypot(std, OWN_STD_PX), rel=0.1)


@pytest.mark.parametrize("noise", [0.0, 0.001, 0.03, 0.1])
def test_a_sharp_scene_is_found_sharp(images: torch.Tensor, noise: float) -> None:
    # Half way to the narrowest blur that is asked for.
    assert blur_std(images + noise * noise_like(images), noise_std=noise) < 0.7


def test_a_wider_blur_is_found_wider(images: torch.Tensor) -> None:
    found = [blur_std(blurred(images, std), 0.0) for std in (0.8, 1.2, 1.8, 2.6, 3.5)]
    assert all(narrow < wide for narrow, wide in itertools.pairwise(found))


@pytest.mark.parametrize("gain", [1e-3, 7.0, 1e4])
def test_the_unit_of_the_images_does_not_matter(images: torch.Tensor, gain: float) -> None:
    seen = blurred(images, 2.0) + 0.03 * noise_like(images)
    assert blur_std(gain * seen, noise_std=gain * 0.03) == pytest.approx(blur_std(seen, noise_std=0.03), abs=0.051)


def test_an_offset_does_not_matter(images: torch.Tensor) -> None:
    seen = blurred(images, 2.0) + 0.03 * noise_like(images)
    assert blur_std(seen + 100, noise_std=0.03) == pytest.approx(blur_std(seen, noise_std=0.03), abs=0.051)


def test_turned_images_are_as_blurred(images: torch.Tensor) -> None:
    seen = blurred(images[:, :96], 2.0)
    assert blur_std(seen.mT, 0.0) == pytest.approx(blur_std(seen, 0.0), abs=0.101)


def test_pure_noise_tells_nothing(images: torch.Tensor) -> None:
    assert math.isnan(blur_std(noise_like(images)))


def test_an_image_of_pure_noise_does_not_spoil_the_others(images: torch.Tensor) -> None:
    seen = blurred(images, 2.0) / 0.01
    seen = seen + noise_like(seen)
    with_noise = torch.cat([seen, noise_like(seen, seed=1)[:1]])
    assert blur_std(with_noise) == pytest.approx(blur_std(seen), abs=0.101)


@pytest.mark.parametrize("shape", [(LEAST_SIDE_PX - 1, 128), (128, LEAST_SIDE_PX - 1), (1, 1)])
def test_images_too_small_to_tell_tell_nothing(images: torch.Tensor, shape: tuple[int, int]) -> None:
    assert math.isnan(blur_std(images[:, : shape[0], : shape[1]], 0.0))


def test_constant_images_tell_nothing() -> None:
    assert math.isnan(blur_std(torch.full((2, 64, 64), 3.0)))
