"""Schedules: the published values, and the same unguided step as diffusers."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hsi_app.diffusion.sample import sample
from hsi_app.diffusion.schedule import alpha_bars, chain, ddim_scheduler, sigma_of
from hsi_app.errors import ParameterError

# arXiv 2402.15865: exponential schedule, 1000 training steps, 20 steps.
PUBLISHED = {
    8.0: [0.3251, 0.5477, 0.6969, 0.7970, 0.8640, 0.9089, 0.9391, 0.9593, 0.9728, 0.9819],
    5.0: [0.2196, 0.3937, 0.5293, 0.6349, 0.7172, 0.7812, 0.8311, 0.8700, 0.9002, 0.9238],
}


@pytest.mark.parametrize("rate", PUBLISHED)
def test_the_exponential_schedule_has_the_published_values(rate: float) -> None:
    states = chain("exponential", 20, rate)
    np.testing.assert_allclose(states[:10], PUBLISHED[rate], atol=6e-5)
    assert states[-1] == 1
    assert len(states) == 21


def test_the_linear_schedule_has_the_published_ends() -> None:
    states = chain("linear", 20)
    np.testing.assert_allclose(states[[0, 1, -2]], [0.0107, 0.0171, 1.0], atol=6e-5)


@pytest.mark.parametrize("kind", ["exponential", "linear", "cosine"])
def test_shares_fall_from_one_to_nearly_nothing(kind: str) -> None:
    bars = alpha_bars(kind)
    assert bars[0] == 1
    assert (np.diff(bars) < 0).all()
    assert 0 < bars[-1] < 0.01


@pytest.mark.parametrize("kind", ["exponential", "linear", "cosine"])
def test_the_unguided_chain_is_that_of_diffusers(kind: str) -> None:
    scheduler = ddim_scheduler(kind)
    scheduler.set_timesteps(20)
    generator = torch.Generator().manual_seed(0)
    theirs = start = torch.randn(1, 3, 8, 8, generator=generator)
    weight = torch.randn(3, 3, generator=generator) * 0.3

    def noise_of(state: torch.Tensor, alpha_bar: float) -> torch.Tensor:
        return torch.tanh(torch.einsum("ij,njhw->nihw", weight, state)) * (1 - alpha_bar) ** 0.5

    for timestep in scheduler.timesteps:
        share = float(scheduler.alphas_cumprod[timestep])
        theirs = scheduler.step(noise_of(theirs, share), timestep, theirs, eta=0.0).prev_sample
    ours = sample(noise_of, start, chain(kind, 20).tolist())
    torch.testing.assert_close(ours, theirs, atol=5e-6, rtol=0)


def test_a_later_start_begins_at_the_noise_that_was_asked_for() -> None:
    states = chain("exponential", 10, start_sigma=0.3)
    assert sigma_of(states[0]) == pytest.approx(0.3, rel=2e-3)
    assert states[-1] == 1
    assert (np.diff(states) > 0).all()


@pytest.mark.parametrize("steps", [0, 1001])
def test_a_chain_of_no_or_too_many_steps_is_refused(steps: int) -> None:
    with pytest.raises(ParameterError, match="1 to 1000"):
        chain("exponential", steps)
