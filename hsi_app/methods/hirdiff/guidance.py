"""How the data, and total variation where it is wanted, change what the prior guesses."""

from __future__ import annotations

import numpy as np
import torch

from hsi_app.diffusion.data_term import DataTerm
from hsi_app.diffusion.frame import from_triples, to_triples
from hsi_app.diffusion.sample import Correction, Push
from hsi_app.diffusion.variation import edge_weights, variation_gradient
from hsi_app.methods.hirdiff.spec import HirDiffParameters

# The guess of the last steps, whose noise is nearly none, is not believed beyond this share of the range.
LEAST_SIGMA = 1e-3
# Guesses are cut beyond the range of a prior, and a little beyond what the start reaches: glints lie far outside.
WIDE, BEYOND = 1.5, 1.2
# Half range over noise of the strongest image from which on data know more than the steps of the finest noise do, and
# the least trust in the prior that is left then; chosen on the training scenes.
FINE_DATA, LEAST_KAPPA = 150.0, 0.25


class Guidance:
    """Corrects guesses (proximal) or pushes states (gradient through the network).

    Parameters
    ----------
    term : the data
    images : (r, H, W) start, which the weights of the total variation and the range are taken from
    reach : (r,) half ranges of the images in units of the noise
    params : kappa is the weight of the prior's guess against the data, or the length of the gradient step in units
        of the curvature (that of the data and of the prior's noise together); rho the weight of the total variation
        against the data; neither depends on the size or the scale of the cube
    """

    def __init__(self, term: DataTerm, images: torch.Tensor, reach: np.ndarray, params: HirDiffParameters) -> None:
        self._term, self._rank, self._rho = term, len(images), params.rho
        self._weights = edge_weights(self._lifted(images)) if params.rho else None
        self.reach = max(WIDE, BEYOND * float(images.abs().max()))
        by_gradient = params.guidance == "gradient"
        trust = 1.0 if by_gradient else float(np.clip(FINE_DATA / reach.max(), LEAST_KAPPA, 1.0))
        self.kappa = trust if params.kappa is None else params.kappa
        self.correct: Correction | None = None if by_gradient else self._corrected
        self.push: Push | None = self._pushed if by_gradient else None

    def misfit(self, images: torch.Tensor) -> float:
        """Root of the sum of squares of what the images leave unexplained, in units of the noise."""
        return float(torch.linalg.vector_norm(self._term.residual(images)))

    def _lifted(self, images: torch.Tensor) -> torch.Tensor:
        return (self._term.lift @ images.flatten(1)).reshape(-1, *images.shape[1:])

    def _smoothing(self, images: torch.Tensor) -> torch.Tensor | None:
        """Minus the gradient of the total variation by the images."""
        if self._weights is None:
            return None
        slope = variation_gradient(self._lifted(images), self._weights)
        return -self._rho * (self._term.lift.T @ slope.flatten(1)).reshape(images.shape)

    def _corrected(self, triples: torch.Tensor, sigma: float) -> torch.Tensor:
        images = from_triples(triples, self._rank)
        variance = max(sigma, LEAST_SIGMA) ** 2 / self.kappa
        return to_triples(self._term.correct(images, variance, self._smoothing(images)))

    def _pushed(self, state: torch.Tensor, guess: torch.Tensor, sigma: float) -> torch.Tensor:
        """The way to the closest images, through the network: the slope of the data over its curvature.

        Plain slopes differ by many powers of ten between strong and weak images, and where few bands were seen.
        """
        images = from_triples(guess.detach(), self._rank)
        away = images - self._term.correct(images, max(sigma, LEAST_SIGMA) ** 2, self._smoothing(images))
        # Copies that fill the last triple up have no say.
        weighed = torch.zeros_like(guess).flatten(0, 1)
        weighed[: self._rank] = self.kappa * away
        return torch.autograd.grad(guess, state, weighed.reshape(guess.shape))[0]
