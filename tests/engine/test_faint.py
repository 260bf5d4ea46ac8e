"""Components below the noise edge: kept as far as they are signal, and not further."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hsi_app.methods.lowrank.faint import noise_level, rescue_faint


def scene(side: int = 96) -> torch.Tensor:
    """Fields with a river: (side, side), standard deviation one."""
    y, x = np.mgrid[:side, :side] / side
    image = (
        np.sign(np.sin(9 * x + 4 * y)) + 2 * (np.abs(y - 0.5 - 0.2 * np.sin(6 * x)) < 0.06) + np.sign(np.cos(14 * y))
    )
    return torch.from_numpy(((image - image.mean()) / image.std()).astype(np.float32))


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("level", [0.8, 1.0, 1.3])
def test_pure_noise_comes_out_as_zero_whatever_its_level(level: float) -> None:
    found, factors = rescue_faint(level * noise(6, 96, 96), 20 * scene()[None], noise(6, 96, 96, seed=1))
    assert float(found.square().mean()) < 0.002 * level**2
    assert float(factors.mean()) < 0.35


@pytest.mark.parametrize("strength", [0.3, 0.6])
def test_faint_signal_is_kept_in_proportion(strength: float) -> None:
    truth = strength * torch.stack([scene(), scene().T])
    observed = truth + 1.15 * noise(2, 96, 96)
    found, factors = rescue_faint(observed, 20 * torch.stack([scene(), scene().T]), noise(2, 96, 96, seed=1))
    assert bool((factors > 0.3).all())
    left = (found - truth).square().mean((1, 2)) / truth.square().mean((1, 2))
    assert bool((left < 0.5).all())


def test_images_too_small_for_patches_are_left_out() -> None:
    found, factors = rescue_faint(noise(2, 5, 40), noise(3, 5, 40), noise(2, 5, 40))
    assert not bool(found.any())
    assert not bool(factors.any())


def test_the_noise_level_does_not_see_smooth_content() -> None:
    ramp = 50 * torch.linspace(0, 1, 80)[:, None] + 30 * torch.linspace(0, 1, 80)
    assert float(noise_level((0.7 * noise(80, 80) + ramp)[None])[0]) == pytest.approx(0.7, rel=0.03)
