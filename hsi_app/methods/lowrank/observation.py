"""An observed tile in units of its noise, less its stripes, and which of its samples to believe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from hsi_app.methods.lowrank.complete import solve_coefficients
from hsi_app.methods.lowrank.outliers import OUTLIER_STD, is_stuck, prior_variance, tensors_of
from hsi_app.methods.lowrank.prepare import subspace_of
from hsi_app.problem import Problem

# A line with this share of disbelieved samples is a dead line: none of it is believed.
DEAD_LINE_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Whitened:
    """Samples with unit noise around the subspace basis (B, r).

    values : (B, h, w), 0 where unusable; ok : (B, h, w) bool, samples to believe
    stripes : (B, h, w) offsets already taken away, or None where damage was not looked for
    basis : (B, r) orthonormal; mean, std : (B, 1, 1); variance : (r,) of the coefficients without noise
    """

    values: torch.Tensor
    ok: torch.Tensor
    stripes: torch.Tensor | None
    basis: torch.Tensor
    mean: torch.Tensor
    std: torch.Tensor
    variance: torch.Tensor

    @property
    def believed(self) -> torch.Tensor:
        """The samples, 0 where not believed."""
        return self.values if self.stripes is None else torch.where(self.ok, self.values, 0.0)


def whiten(problem: Problem, on_step: Callable[[float], None] = lambda fraction: None) -> Whitened:
    """Divide by the noise, take stripes away, and find what disagrees with the rest of its spectrum.

    problem : with ``shared`` as ``prepare`` made it; on_step : told the fraction done, may raise to stop
    """
    shared = problem.shared
    subspace, reject = subspace_of(shared), bool(shared["reject"])
    basis, mean, std = tensors_of(subspace, problem.observed)
    variance = prior_variance(subspace, problem.observed)
    usable = problem.valid & ~is_stuck(problem.observed, shared["stuck"]) if reject else problem.valid
    values = (problem.observed - mean).div_(std)
    stripes = _stripes(problem) if reject else None
    if stripes is not None:
        values -= stripes
    if not bool(usable.all()):
        values.masked_fill_(~usable, 0.0)
    on_step(0.33)
    ok = _believable(values, usable, basis, variance) if reject else usable
    on_step(1.0)
    return Whitened(values, ok, stripes, basis, mean, std, variance)


def within_range(values: torch.Tensor, shown: torch.Tensor, ok: torch.Tensor) -> torch.Tensor:
    """Cut, in place, what leaves the range of its band by more than that range: no such signal was seen.

    Bands of which nothing is believed are left alone.

    values : (B, H, W); shown : (B, h, w) what was observed in the same units; ok : (B, h, w) bool, samples to believe
    """
    flat, believed = shown.flatten(1), ok.flatten(1)
    low, high = torch.where(believed, flat, torch.inf).amin(1), torch.where(believed, flat, -torch.inf).amax(1)
    span = high - low
    empty = ~believed.any(1)
    low, high = (low - span).masked_fill(empty, -torch.inf), (high + span).masked_fill(empty, torch.inf)
    return values.clamp_(low[:, None, None], high[:, None, None])


def _stripes(problem: Problem) -> torch.Tensor:
    """Whitened stripe offsets over the tile, (B, h, w)."""
    window, like = problem.window, problem.observed
    assert window is not None
    lines = []
    for key, start, length in (
        ("stripe_rows", window.row, like.shape[1]),
        ("stripe_cols", window.col, like.shape[2]),
    ):
        lines.append(
            torch.as_tensor(problem.shared[key][:, start : start + length], dtype=like.dtype, device=like.device)
        )
    return lines[0][:, :, None] + lines[1][:, None, :]


def _believable(
    whitened: torch.Tensor, usable: torch.Tensor, basis: torch.Tensor, variance: torch.Tensor
) -> torch.Tensor:
    """(B, h, w) bool: usable samples that agree with the rest of their spectrum."""
    ok = usable
    for _ in range(3):
        believed = torch.where(ok, whitened, 0.0).flatten(1)
        predicted = basis @ solve_coefficients(believed, ok.flatten(1), basis, variance)
        ok = usable & ((whitened - predicted.reshape(whitened.shape)).abs() <= OUTLIER_STD)
    for axis in (1, 2):
        share = (usable & ~ok).sum(axis, keepdim=True) / usable.sum(axis, keepdim=True).clamp_min(1)
        ok = ok & ~(share > DEAD_LINE_SHARE)
    return ok
