"""Total variation of a cube, weaker across edges: a classical prior to stand beside the learned one."""

from __future__ import annotations

import torch

# Differences below one noise standard deviation are smoothed like a square, larger ones count like their size.
_SOFTNESS = 1.0


def edge_weights(cube: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights in (0, 1] of row and column differences: 1 on even ground, small where all bands step together.

    cube : (B, H, W) first estimate in units of its noise. The mean over bands of absolute differences is taken, so
    that edges of opposite sign in two bands do not cancel.
    """
    weights = []
    for axis in (1, 2):
        step = cube.diff(dim=axis).abs().mean(0)
        weights.append(1 / (1 + step / step.median().clamp_min(1e-6)))
    return weights[0], weights[1]


def variation_gradient(cube: torch.Tensor, weights: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """Gradient of the weighted total variation over rows, columns and bands: (B, H, W).

    cube : (B, H, W) in units of its noise. No difference wraps round an edge. Source: Rudin, Osher and Fatemi 1992,
    with sqrt(d^2 + 1) for |d|.
    """
    out = torch.zeros_like(cube)
    for axis, weight in ((1, weights[0]), (2, weights[1]), (0, None)):
        if cube.shape[axis] < 2:
            continue
        step = cube.diff(dim=axis)
        slope = step / (step.square() + _SOFTNESS).sqrt()
        slope = slope if weight is None else slope * weight
        length = cube.shape[axis] - 1
        out.narrow(axis, 1, length).add_(slope)
        out.narrow(axis, 0, length).sub_(slope)
    return out
