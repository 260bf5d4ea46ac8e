"""What the samples settle through a blur: before the network, and after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hsi_models.prompted import PromptedNet

from hsi_app.bands import BandAxis
from hsi_app.cube import Cube
from hsi_app.methods.lowrank.observation import Whitened
from hsi_app.methods.mphsir.network import Prompted
from hsi_app.methods.mphsir.start import WIDTH_DOUBT, classical_start, explained
from hsi_app.physics.spatial import psf_blur
from hsi_app.problem import Problem
from hsi_app.runner import Result, Settings, restore
from hsi_app.tiling import Window
from tests.engine.reference_cube import photo_cube

BANDS, RANK, SIDE, FWHM_PX = 8, 3, 40, 4.0
# How far the images may be from the truth, in units of the noise: each its own.
REACH = torch.tensor([20.0, 10.0, 5.0])


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def observed_of(
    images: torch.Tensor, *, blurred: bool = True, ok: torch.Tensor | None = None
) -> tuple[Problem, Whitened]:
    """What is seen of component images (r, H, W) without noise, through a blur or not."""
    basis = torch.linalg.qr(noise(BANDS, RANK)).Q
    cube = (basis @ images.flatten(1)).reshape(BANDS, SIDE, SIDE)
    operator = psf_blur((BANDS, SIDE, SIDE), FWHM_PX) if blurred else None
    seen = cube if operator is None else operator.forward(cube)
    ok = torch.ones_like(seen, dtype=torch.bool) if ok is None else ok
    ones, shared = torch.ones(BANDS, 1, 1), {"complete": np.array(True)}
    data = Whitened(torch.where(ok, seen, 0.0), ok, None, basis, 0 * ones, ones, images.flatten(1).var(1))
    return Problem(seen, ok, "deblur", None, Window(0, 0, SIDE, SIDE), operator, shared), data


def scenes() -> torch.Tensor:
    """(r, H, W) photographs, hundreds of the noise strong."""
    return 300 * torch.from_numpy(photo_cube(SIDE, SIDE, bands=RANK))


def wave() -> torch.Tensor:
    """An error that a blur passes: one period across the image."""
    field: torch.Tensor = 5 * torch.cos(2 * torch.pi * torch.arange(SIDE) / SIDE).expand(RANK, SIDE, SIDE)
    return field


def checks() -> torch.Tensor:
    """An error of which a blur leaves nothing."""
    field: torch.Tensor = 5 * (-1.0) ** torch.arange(SIDE)
    return (field[:, None] * field / 5).expand(RANK, SIDE, SIDE)


def size(images: torch.Tensor) -> float:
    return float(images.square().mean().sqrt())


def inner(images: torch.Tensor) -> torch.Tensor:
    """Without the edges, whose pixels the samples of the image see too little of."""
    return images[..., 10:-10, 10:-10]


# ---- the images that explain the samples


def test_images_that_explain_the_samples_stay() -> None:
    truth = scenes()
    # Five digits of what is there.
    assert size(explained(*observed_of(truth), truth, REACH) - truth) < 1e-5 * size(truth)


@pytest.mark.parametrize("error", ["flat", "wave"])
def test_an_error_that_a_blur_passes_is_left_by_one_part_in_the_square_of_the_reach(error: str) -> None:
    truth, wrong = scenes(), wave() if error == "wave" else torch.full((RANK, SIDE, SIDE), 10.0)
    found = explained(*observed_of(truth), truth + wrong, REACH) - truth
    for part, before, reach in zip(inner(found), inner(wrong), REACH.tolist(), strict=True):
        # The blur takes a tenth of the wave.
        assert size(part) / size(before) == pytest.approx(1 / (1 + reach**2), rel=0.4 if error == "wave" else 0.2)


def test_an_error_of_which_a_blur_leaves_nothing_stays() -> None:
    truth = scenes()
    found = explained(*observed_of(truth), truth + checks(), REACH)
    assert size(found - truth - checks()) < 0.1 * size(checks())


def test_samples_that_are_not_believed_settle_nothing() -> None:
    truth, ok = scenes(), torch.rand(BANDS, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) > 0.3
    problem, data = observed_of(truth, ok=ok)
    guess = truth + wave()
    found = explained(problem, data, guess, REACH)
    data.values[~ok] = 1e3
    torch.testing.assert_close(explained(problem, data, guess, REACH), found)
    assert size(inner(found - truth)) < 0.1 * size(wave())


# ---- the classical start


def test_a_start_knows_how_far_off_it_may_be_only_behind_a_blur() -> None:
    start = classical_start(*observed_of(scenes()), FWHM_PX)
    assert start.reach is not None
    assert start.reach.shape == (RANK,)
    for fwhm_px in (None, FWHM_PX):
        assert classical_start(*observed_of(scenes(), blurred=False), fwhm_px).reach is None


def test_a_flat_scene_behind_a_blur_stays_flat() -> None:
    flat = torch.tensor([30.0, -20.0, 10.0])[:, None, None].expand(RANK, SIDE, SIDE)
    torch.testing.assert_close(classical_start(*observed_of(flat), FWHM_PX).images, flat, atol=0.1, rtol=0)


def test_a_start_may_be_off_by_what_the_blur_takes_of_it_but_no_more_than_the_width_is_known() -> None:
    sharp, soft = (classical_start(*observed_of(times * scenes()), FWHM_PX).reach for times in (1.0, 0.1))
    assert sharp is not None
    assert soft is not None
    assert bool((sharp > 5 * soft).all())
    strong = classical_start(*observed_of(1e4 * scenes()), FWHM_PX).reach
    assert strong is not None
    torch.testing.assert_close(strong, torch.full((RANK,), 1 / WIDTH_DOUBT), rtol=0.05, atol=0)


def test_a_start_behind_a_blur_is_the_soft_one_as_the_samples_explain_it() -> None:
    truth = scenes()
    problem, data = observed_of(truth)
    start, soft = classical_start(problem, data, FWHM_PX), classical_start(replace(problem, operator=None), data, None)
    assert start.reach is not None
    torch.testing.assert_close(start.images, explained(problem, data, soft.images, start.reach))
    assert size(start.images - truth) < 0.8 * size(soft.images - truth)


# ---- after the network


@contextmanager
def answering(*changes: float) -> Iterator[None]:
    """A network that adds these, in units of the noise, to the strongest component, one view after the other."""
    told = iter(changes)

    def components(self: Prompted, maps: torch.Tensor) -> torch.Tensor:
        change = torch.zeros_like(maps[:, : self.network.components])
        change[:, 0] = next(told)
        return change

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Prompted, "components", components)
        yield


@pytest.fixture(scope="module")
def noisy() -> np.ndarray:
    truth = photo_cube(SIDE, SIDE, bands=16)
    return (truth + np.random.default_rng(0).normal(0, 0.002, truth.shape)).astype(np.float32)


@pytest.fixture(scope="module")
def blurred() -> np.ndarray:
    truth = torch.from_numpy(photo_cube(SIDE, SIDE, bands=16))
    soft = psf_blur((16, SIDE, SIDE), FWHM_PX).forward(truth).numpy()
    return (soft + np.random.default_rng(0).normal(0, 0.002, soft.shape)).astype(np.float32)


def run(values: np.ndarray, task: str, **options: Any) -> Result:
    width = FWHM_PX if task == "deblur" else None
    cube = Cube(values, BandAxis(len(values)))
    return restore(cube, "mphsir", {"weights": "none", **options}, Settings(task=task, device="cpu", psf_fwhm=width))


def added(values: np.ndarray, task: str, change: float) -> float:
    """Root mean square of what a network that adds ``change`` leaves in the result."""
    with answering(0.0):
        plain = run(values, task).cube.read()
    with answering(change):
        return size(inner(torch.from_numpy(run(values, task).cube.read() - plain)))


def test_what_a_network_adds_against_the_samples_is_taken_back_behind_a_blur(
    noisy: np.ndarray, blurred: np.ndarray
) -> None:
    # Ten times the noise of 0.002, over the root of 16 bands.
    assert added(noisy, "denoise", 10.0) > 0.004
    assert added(blurred, "deblur", 10.0) < 0.02 * added(noisy, "denoise", 10.0)


def test_components_beyond_those_of_the_network_come_back_as_they_start() -> None:
    truth = (noise(24, 16, seed=1) @ noise(16, SIDE * SIDE, seed=2)).reshape(24, SIDE, SIDE).numpy() / 20
    values = truth + np.random.default_rng(0).normal(0, 0.01, truth.shape).astype(np.float32)
    found = run(values, "denoise")
    assert found.record["trace"]["rank"] > PromptedNet().components
    assert np.abs(found.cube.read() - truth).mean() < 0.02


def test_views_are_averaged(noisy: np.ndarray) -> None:
    with answering(0.0, 0.0, 0.0):
        plain = run(noisy, "denoise", views=3).cube.read()
    with answering(3.0, 0.0, -3.0):
        np.testing.assert_allclose(run(noisy, "denoise", views=3).cube.read(), plain, atol=1e-5)


def test_views_that_the_samples_bring_together_have_little_spread(noisy: np.ndarray, blurred: np.ndarray) -> None:
    spreads = []
    for values, task in ((noisy, "denoise"), (blurred, "deblur")):
        with answering(10.0, -10.0):
            spreads.append(float(run(values, task, views=2).extras["spread"][:, 10:-10, 10:-10].mean()))
    assert spreads[0] > 0.004
    assert spreads[1] < 0.1 * spreads[0]
