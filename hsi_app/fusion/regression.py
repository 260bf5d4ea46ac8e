"""Ridge regression of spectra on few features, its strength chosen by leave-one-out, deaf to foreign pixels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

# Strengths tried, in units of the variance of each feature.
STRENGTHS = tuple(float(10.0**power) for power in np.arange(-8, 1.75, 0.5))
# Pixels that the leave-one-out errors are looked at in; the fit takes all.
_JUDGED_PX = 4096
# A pixel's weight falls once its misfit exceeds so many medians; a few rounds settle it.
OUTLYING, _ROUNDS = 3.0, 4


@dataclass(frozen=True, eq=False)
class Regression:
    """An affine map from features to spectra.

    matrix : (B, p) float64 tensor; centre : (p,), mean features; level : (B,), mean spectrum
    strength : penalty in units of the features' variance
    explained : share of the variance that pixels left out of the fit are predicted with, at most 1
    error : weighted mean square length of what is left of such pixels
    """

    matrix: torch.Tensor
    centre: torch.Tensor
    level: torch.Tensor
    strength: float
    explained: float
    error: float

    def predict(self, features: torch.Tensor) -> torch.Tensor:
        """(p, N) features -> (B, N) spectra."""
        return (
            self.matrix.to(features) @ (features - self.centre.to(features)[:, None]) + self.level.to(features)[:, None]
        )

    def to_shared(self, prefix: str) -> dict[str, np.ndarray]:
        """As the plain arrays that tiles are given."""
        own = {"matrix": self.matrix, "centre": self.centre, "level": self.level}
        arrays = {f"{prefix}.{key}": value.cpu().numpy() for key, value in own.items()}
        return {**arrays, f"{prefix}.fit": np.array([self.strength, self.explained, self.error])}

    @classmethod
    def from_shared(cls, shared: Mapping[str, np.ndarray], prefix: str, device: torch.device) -> Regression:
        """What ``to_shared`` made plain."""
        names = ("matrix", "centre", "level")
        arrays = {name: torch.from_numpy(shared[f"{prefix}.{name}"]).to(device) for name in names}
        strength, explained, error = shared[f"{prefix}.fit"].tolist()
        return cls(**arrays, strength=strength, explained=explained, error=error)


def fit_ridge(
    features: torch.Tensor,
    targets: torch.Tensor,
    *,
    weights: torch.Tensor | None = None,
    strength: float | None = None,
    robust: bool = False,
) -> Regression:
    """Regress spectra on features.

    Parameters
    ----------
    features : (p, N) tensor; targets : (B, N) tensor
    weights : (N,) >= 0, how much each pixel counts; all alike when None
    strength : penalty on the coefficients in units of each feature's variance; the one of ``STRENGTHS`` whose
        leave-one-out errors are least when None
    robust : let pixels that fit badly count less, in a few rounds

    Returns
    -------
    Regression

    Source: Hoerl and Kennard 1970; leave-one-out residuals e / (1 - h) of Allen 1974; Huber 1964.
    """
    x, y = features.double(), targets.double()
    weights = torch.ones_like(x[0]) if weights is None else weights.double()
    found = _fit(x, y, weights, strength)
    for _ in range(_ROUNDS if robust else 0):
        misfit = (y - found.predict(x)).norm(dim=0)
        found = _fit(x, y, weights * outlier_weights(misfit), strength)
    return found


def outlier_weights(misfits: torch.Tensor, limit: float | None = None) -> torch.Tensor:
    """(N,) weights in (0, 1] of pixels by the length of what is not explained: 1 up to ``limit``, falling with the
    square of the length beyond.

    limit : of an ordinary pixel; three medians when None
    """
    ordinary = OUTLYING * float(misfits.median()) if limit is None else limit
    # Where more than half of the pixels fit exactly there is nothing to judge by.
    if ordinary <= 0:
        return torch.ones_like(misfits)
    return (ordinary / misfits.clamp(min=ordinary)).square()


def _fit(x: torch.Tensor, y: torch.Tensor, weights: torch.Tensor, strength: float | None) -> Regression:
    share = weights / weights.sum()
    centre, level = x @ share, y @ share
    away, target = x - centre[:, None], y - level[:, None]
    moments = (away * share) @ away.T
    cross = (target * share) @ away.T
    spread = moments.diagonal().clone()
    # A feature that never changes has nothing to say, and must not make the system singular.
    spread[spread <= 1e-14 * spread.max().clamp(min=1e-300)] = torch.inf
    scale = spread.rsqrt()
    values, vectors = torch.linalg.eigh(scale[:, None] * moments * scale)
    step = -(-x.shape[1] // _JUDGED_PX)
    judged = slice(None, None, step)
    # In the eigenbasis of the scaled moments every strength is a diagonal.
    turned = vectors.T @ (scale[:, None] * away[:, judged])
    onto = cross * scale @ vectors
    total = float((weights[judged] * target[:, judged].square().sum(0)).sum())
    best: tuple[float, float, torch.Tensor] | None = None
    for tried in STRENGTHS if strength is None else (strength,):
        shrunk = 1 / (values.clamp(min=0) + tried).clamp(min=1e-13)
        hat = share[judged] * ((turned.square() * shrunk[:, None]).sum(0) + 1)
        left = target[:, judged] - (onto * shrunk) @ turned
        error = float((weights[judged] * left.square().sum(0) / (1 - hat).clamp(min=0.01).square()).sum())
        if best is None or error < best[0]:
            best = error, tried, shrunk
    assert best is not None
    error, chosen, shrunk = best
    inverse = scale[:, None] * (vectors * shrunk @ vectors.T) * scale
    # Less is the rounding of the mean of targets that do not vary.
    power = float((weights[judged] * y[:, judged].square().sum(0)).sum())
    explained = 1 - error / total if total > 1e-24 * power else 1.0
    mean_error = error / max(float(weights[judged].sum()), 1e-300)
    return Regression(cross @ inverse, centre, level, chosen, explained, mean_error)
