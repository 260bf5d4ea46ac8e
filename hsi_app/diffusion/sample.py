"""The sampling loop: the prior guesses the clean images, the data correct the guess, noise is taken away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch

# (guess (N, 3, H, W), noise over signal of the state) -> corrected guess
Correction = Callable[[torch.Tensor, float], torch.Tensor]
# (state, guess, noise over signal of the state) -> change of the next state; both tensors carry gradients
Push = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]


def sample(
    noise_of: Callable[[torch.Tensor, float], torch.Tensor],
    state: torch.Tensor,
    alpha_bars: Sequence[float],
    *,
    fresh: Callable[[int], torch.Tensor] | None = None,
    correct: Correction | None = None,
    push: Push | None = None,
    renewal: float = 0.0,
    reach: float = 1.0,
    on_step: Callable[[int, torch.Tensor], None] = lambda step, guess: None,
) -> torch.Tensor:
    """Run a chain from a noisy state to clean images.

    Parameters
    ----------
    noise_of : (state, alpha_bar) -> noise in it; see ``Prior.noise``
    state : (N, 3, H, W) at ``alpha_bars[0]``, for images in [-1, 1]
    alpha_bars : signal shares of the states, rising, the last one 1
    fresh : step -> standard normal noise like the state, for ``renewal``
    correct : corrects the guess by the data (proximal guidance), or None
    push : moves the next state against the data's gradient through the network (arXiv 2402.15865, alg. 1), or None
    renewal : share of the noise that is drawn anew in each step, in [0, 1]; 0 is deterministic (DDIM)
    reach : guesses are cut to [-reach, reach]
    on_step : told the number of steps done and the guess; may raise to stop

    Returns
    -------
    (N, 3, H, W), the last state

    Source: Song, Meng and Ermon 2021 (DDIM); the correction as in Zhu et al. 2023 (DiffPIR).
    """
    for index, (now, then) in enumerate(pairwise(alpha_bars)):
        root, rest = now**0.5, (1 - now) ** 0.5
        with torch.set_grad_enabled(push is not None):
            state = state.detach().requires_grad_(push is not None)
            noise = noise_of(state, now)
            guess = ((state - rest * noise) / root).clamp(-reach, reach)
            change = None if push is None else push(state, guess, rest / root)
        noise, guess = noise.detach(), guess.detach()
        if correct is not None:
            guess = correct(guess, rest / root)
            noise = (state.detach() - root * guess) / rest
        if renewal and fresh is not None and then < 1:
            noise = (1 - renewal) ** 0.5 * noise + renewal**0.5 * fresh(index)
        state = then**0.5 * guess + (1 - then) ** 0.5 * noise
        if change is not None:
            state = state - change
        on_step(index + 1, guess)
    return state.detach()
