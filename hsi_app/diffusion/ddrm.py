"""Transitions of a chain that is tied to an observation, in the singular vectors of what was observed.

States are divided by the root of their signal share: x = x0 + sigma e, with e standard normal. The observation is
y = H x0 + sigma_0 n with H = U diag(s) V^T. Every coordinate of V^T x is moved on its own, by how much the observation
says of it.

Source: Kawar, Elad, Ermon and Song 2022 (arXiv 2201.11793), eq. 7 and 8, as used in arXiv 2303.06682.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from hsi_app.errors import OperatorError
from hsi_app.physics.operator import Decomposable, LinearOperator

# Singular values below this share of the largest are taken as nothing: what they let through is drowned in rounding.
LEAST_SINGULAR = 3e-2


@dataclass(frozen=True, eq=False)
class Mixing:
    """How much of the noise is drawn anew, and how far the observation is trusted, both in [0, 1].

    eta : of the noise that is kept, the share of its amplitude drawn anew; 1 forgets the last state
    eta_b : weight of the observation against the guess where it is finer than the state's noise
    """

    eta: float = 1.0
    eta_b: float = 1.0


def move(
    guess: torch.Tensor,
    noise: torch.Tensor,
    seen: torch.Tensor,
    singulars: torch.Tensor,
    sigma: float,
    noise_std: float,
    fresh: torch.Tensor,
    mixing: Mixing,
) -> torch.Tensor:
    """The next state's coordinates.

    Parameters
    ----------
    guess : (n,) coordinates V^T x0 of the guess of the clean image
    noise : (n,) coordinates of the noise (x - x0) / sigma that the guess leaves in the present state
    seen : (n,) s^-1 U^T y, anything where s is 0
    singulars : (n,) s >= 0
    sigma : noise of the next state, >= 0
    noise_std : sigma_0 of the observation, >= 0
    fresh : (n,) standard normal numbers
    mixing : see ``Mixing``

    Returns
    -------
    (n,): where nothing was seen x0 + sigma (sqrt(1 - eta^2) e + eta z); where the observation is coarser than the
    state x0 + sigma (sqrt(1 - eta^2) (y - s x0) / sigma_0 + eta z); where it is finer
    (1 - eta_b) x0 + eta_b y / s + sqrt(sigma^2 - eta_b^2 sigma_0^2 / s^2) z. At sigma = 0 that is x0, and the
    observation itself where that has no noise.
    """
    level = torch.where(singulars > 0, noise_std / singulars.clamp_min(1e-30), torch.inf)
    kept = (1 - mixing.eta**2) ** 0.5
    # (y - s x0) / sigma_0 = (s^-1 y - x0) / (sigma_0 / s)
    coarse = torch.isfinite(level) & (level > sigma)
    wrong = torch.where(coarse, (seen - guess) / level.clamp_min(1e-30), noise)
    loose = guess + sigma * (kept * wrong + mixing.eta * fresh)
    spare = (sigma**2 - (mixing.eta_b * level).square()).clamp_min(0).sqrt()
    tied = (1 - mixing.eta_b) * guess + mixing.eta_b * torch.where(singulars > 0, seen, 0.0) + spare * fresh
    return torch.where(level <= sigma, tied, loose)


class Tied:
    """An observation, and the states of a chain that is tied to it.

    Parameters
    ----------
    operator : with a known decomposition
    observed : tensor of its ``out_shape``, anything where a mask hides it
    noise_std : standard deviation of the observation's noise, in units of the image
    mixing : see ``Mixing``

    Raises
    ------
    OperatorError
        If the operator has no known decomposition.
    """

    def __init__(self, operator: LinearOperator, observed: torch.Tensor, noise_std: float, mixing: Mixing) -> None:
        if not isinstance(operator, Decomposable):
            raise OperatorError(f"{operator} has no known decomposition, which the chain needs.")
        self._operator, self._noise_std, self._mixing = operator, noise_std, mixing
        few = operator.singulars().to(observed)
        few = torch.where(few > LEAST_SINGULAR * few.max(), few, 0.0)
        self._singulars = observed.new_zeros(math.prod(operator.in_shape))
        self._seen = torch.zeros_like(self._singulars)
        self._singulars[: few.numel()] = few
        read = operator.ut(observed)[: few.numel()]
        self._seen[: few.numel()] = torch.where(few > 0, read / few.clamp_min(1e-30), 0.0)

    def begin(self, guess: torch.Tensor, sigma: float, fresh: torch.Tensor) -> torch.Tensor:
        """A state of noise ``sigma`` around what was observed and, elsewhere, around a guess.

        guess, fresh : tensors of the operator's ``in_shape``; the latter standard normal
        """
        return self._moved(guess, fresh, sigma, fresh, Mixing())

    def follow(
        self, state: torch.Tensor, guess: torch.Tensor, sigma: float, after: float, fresh: torch.Tensor
    ) -> torch.Tensor:
        """The state of noise ``after`` that follows a state of noise ``sigma``, given a guess of the clean image."""
        return self._moved(guess, (state - guess) / max(sigma, 1e-12), after, fresh, self._mixing)

    def _moved(
        self, guess: torch.Tensor, noise: torch.Tensor, sigma: float, fresh: torch.Tensor, mixing: Mixing
    ) -> torch.Tensor:
        turn = self._operator.vt  # type: ignore[attr-defined]
        # Noise that is normal and fresh is so in any orthogonal coordinates.
        moved = move(
            turn(guess), turn(noise) if mixing.eta < 1 else fresh.reshape(-1), self._seen, self._singulars, sigma,
            self._noise_std, fresh.reshape(-1), mixing,
        )  # fmt: skip
        return self._operator.v(moved)  # type: ignore[attr-defined, no-any-return]
