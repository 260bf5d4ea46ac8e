"""Bands that are lost everywhere: filled along the spectrum, in groups of neighbouring bands."""

from __future__ import annotations

import torch


def fill_lost(values: torch.Tensor, known: torch.Tensor, centres: torch.Tensor | None = None) -> torch.Tensor:
    """Interpolate lost bands linearly between the nearest known ones; beyond the last, repeat it.

    values : (B, ...), anything where lost; known : (B,) bool, at least one; centres : (B,) ascending places of the
        bands, their order when not given
    """
    places = torch.arange(len(values), dtype=torch.float32, device=values.device) if centres is None else centres
    have = torch.nonzero(known).flatten()
    lost = torch.nonzero(~known).flatten()
    out = values.clone()
    if not len(lost):
        return out
    after = torch.searchsorted(have, lost)
    low, high = have[(after - 1).clamp_min(0)], have[after.clamp_max(len(have) - 1)]
    gap = (places[high] - places[low]).abs()
    weight = torch.where(gap > 0, (places[lost] - places[low]).abs() / gap.clamp_min(1e-12), 0.0)
    weight = weight.reshape(-1, *[1] * (values.ndim - 1)).to(values.dtype)
    out[lost] = (1 - weight) * values[low] + weight * values[high]
    return out


def view_bands(
    values: torch.Tensor, known: torch.Tensor, centres: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the network is shown of a group of bands, some of them lost.

    How far interpolation errs is seen where it need not be done: at known bands, from their known neighbours.

    Parameters
    ----------
    values : (G, h, w), anything where lost; known : (G,) bool, at least three
    centres : (G,) places of the bands, see ``fill_lost``

    Returns
    -------
    (3 G, h, w) what is shown, (G, h, w) the interpolated group, and the unit of the network's answer
    """
    estimate = fill_lost(values, known, centres)
    have = estimate[known]
    detail, found = torch.zeros_like(estimate), torch.zeros_like(have)
    places = torch.nonzero(known).flatten().to(have) if centres is None else centres[known]
    # Every second known band is left out in turn.
    for first in (0, 1):
        kept = torch.ones(len(have), dtype=torch.bool, device=have.device)
        kept[first::2] = False
        found[~kept] = (have - fill_lost(have, kept, places))[~kept]
    detail[known] = found
    unit = detail[known][1:-1].square().mean().sqrt().clamp_min(1e-6)
    mean, spread = have.mean(), have.std().clamp_min(1e-6)
    mask = known[:, None, None]
    shown = torch.where(mask, (values - mean) / spread, 0.0)
    return torch.cat([shown, (estimate - mean) / spread, torch.asinh(detail / unit)]), estimate, unit
