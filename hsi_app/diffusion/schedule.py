"""Noise schedules of a diffusion chain, as configurations of diffusers' DDIM scheduler.

``alpha_bar`` is the share of signal power in a state: x = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps. Its noise over
signal amplitude is sigma = sqrt((1 - alpha_bar) / alpha_bar), for images in [-1, 1].
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import numpy as np

from hsi_app.errors import ParameterError

if TYPE_CHECKING:
    from diffusers import DDIMScheduler, DDPMScheduler

Kind = Literal["exponential", "linear", "cosine"]

# Training steps a schedule is cut into, and the signal share left at its noisy end.
TRAIN_STEPS, LAST_ALPHA_BAR = 1000, 1e-3
LINEAR_BETAS = (1e-6, 1e-2)


def alpha_bars(kind: Kind, rate: float = 8.0, steps: int = TRAIN_STEPS) -> np.ndarray:
    """Signal shares at all training steps, clean end first: (steps + 1,), from 1 downwards.

    Parameters
    ----------
    kind : 'exponential' falls slowly at first, then fast (arXiv 2402.15865, sec. 3.4); 'linear' has betas from 1e-6
        to 1e-2; 'cosine' is that of Nichol and Dhariwal 2021 without offset
    rate : k > 0 of the exponential schedule
    """
    place = np.arange(steps + 1) / steps
    if kind == "exponential":
        if rate <= 0:
            raise ParameterError(f"the rate of the exponential schedule is {rate}; it must be positive.")
        fall = (1 - np.exp(-rate * (1 - place))) / (1 - np.exp(-rate))
        return LAST_ALPHA_BAR + (1 - LAST_ALPHA_BAR) * fall
    if kind == "linear":
        return linear_bars(steps, LINEAR_BETAS)
    ratio = np.cos(np.pi / 2 * place) ** 2
    betas = np.minimum(1 - ratio[1:] / np.maximum(ratio[:-1], 1e-12), 0.999)
    return np.concatenate([[1.0], np.cumprod(1 - betas)])


def linear_bars(steps: int, betas: tuple[float, float]) -> np.ndarray:
    """Signal shares of a linear schedule, clean end first: (steps + 1,), from 1 downwards.

    betas : share of the power that the first and the last step replace by noise
    """
    return np.concatenate([[1.0], np.cumprod(1 - np.linspace(*betas, steps))])


def linear_scheduler(steps: int, betas: tuple[float, float]) -> DDPMScheduler:
    """The linear schedule as a diffusers scheduler."""
    from diffusers import DDPMScheduler

    return DDPMScheduler(num_train_timesteps=steps, beta_start=betas[0], beta_end=betas[1], beta_schedule="linear")


def below(bars: np.ndarray, start_sigma: float, steps: int) -> np.ndarray:
    """Signal shares of so many even steps through the part of a schedule that lies below a noise level.

    Parameters
    ----------
    bars : of the schedule, clean end first
    start_sigma : noise over signal of the first state; the schedule's own noisy end where that is less noisy
    steps : int >= 1

    Returns
    -------
    (steps + 1,), rising, the last one 1
    """
    # Shares fall with the index, so the index of the start follows by interpolation.
    first = np.interp(-1 / (1 + start_sigma**2), -bars, np.arange(len(bars)))
    places = first * (1 - np.arange(steps + 1) / steps)
    return np.interp(places, np.arange(len(bars)), bars)


def ddim_scheduler(kind: Kind, rate: float = 8.0) -> DDIMScheduler:
    """The schedule as a diffusers scheduler: the same states, and the same step where nothing guides it."""
    from diffusers import DDIMScheduler

    bars = alpha_bars(kind, rate)
    return DDIMScheduler(
        num_train_timesteps=len(bars) - 1, trained_betas=(1 - bars[1:] / bars[:-1]).tolist(), clip_sample=True,
        set_alpha_to_one=True, steps_offset=0, timestep_spacing="leading", prediction_type="epsilon",
    )  # fmt: skip


def chain(kind: Kind, steps: int, rate: float = 8.0, start_sigma: float | None = None) -> np.ndarray:
    """Signal shares of the states of a chain, noisiest first, ending in 1: (steps + 1,).

    Parameters
    ----------
    steps : calls of the prior, in [1, 1000]
    start_sigma : noise over signal of the first state; the schedule's own noisy end when not given. The chain then
        runs through the part of the schedule that lies below it, in as many steps.
    """
    if not 1 <= steps <= TRAIN_STEPS:
        raise ParameterError(f"{steps} steps; a chain has 1 to {TRAIN_STEPS}.")
    bars = alpha_bars(kind, rate)
    if start_sigma is None:
        # 'leading' spacing: 950, 900 ... 0 for 20 steps; the state at index i has the share i + 1.
        return np.append(bars[1:][(TRAIN_STEPS // steps) * np.arange(steps)[::-1]], 1.0)
    return below(bars, start_sigma, steps)


def sigma_of(alpha_bar: float) -> float:
    """Noise over signal amplitude of a state."""
    return float(np.sqrt((1 - alpha_bar) / alpha_bar))
