"""Denoise the few component images of a cube; all have noise of the same known level.

``collaborative`` shrinks sliding DCT patches for a first estimate, then filters groups of similar patches
with the Wiener matrix of each group. Patches are compared on the strongest components together, so edges that
one component shows guide all others. ``dct`` stops at the first estimate. ``prior`` takes a learned denoiser's
estimate for the first one, and the mean of both in the end.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional

# Sides and counts chosen on the training scenes; the test scenes were not looked at.
DCT_SIDE = 8
DCT_THRESHOLD = 2.7
PATCH = 4
STEP = 3
SEARCH = 9
GROUP = 32
GUIDE_COMPONENTS = 4
# Least noise variance over a group's signal variance that its Wiener matrix is solved for.
FLOAT_FLOOR = 3e-6
# Group members handled at a time: 1024 groups x 8 components x 32 x 16 floats = 17 MB.
CHUNK_ENTRIES = 2**22
# An output pixel depends on groups up to SEARCH + PATCH away, these on patches as far again, and on their
# first estimate DCT_SIDE away; rounded up to a multiple of STEP so that tiles share one grid of patches.
REACH_PX = STEP * math.ceil((2 * (SEARCH + PATCH) + DCT_SIDE) / STEP)


# Images with unit noise -> their estimate without it.
Learned = Callable[[torch.Tensor], torch.Tensor]


def denoise_components(
    images: torch.Tensor,
    noise_std: float,
    kind: str,
    on_step: Callable[[float], None] = lambda fraction: None,
    learned: Learned | None = None,
) -> torch.Tensor:
    """Denoise component images.

    Parameters
    ----------
    images : (r, H, W) float32, strongest component first
    noise_std : noise standard deviation of every image, > 0
    kind : 'collaborative', 'dct', 'none', or 'prior' with ``learned``
    on_step : told the fraction done; may raise to stop

    Returns
    -------
    (r, H, W) float32
    """
    if kind == "none" or noise_std <= 0:
        return images
    unit = images / noise_std
    if min(images.shape[1:]) < DCT_SIDE:
        # Too small for patches: shrink towards the mean of the image (Wiener filter of one group).
        mean = unit.mean(dim=(1, 2), keepdim=True)
        freedom = min(1, unit[0].numel() - 1)  # one pixel has no variance: it keeps its mean
        gain = 1 - 1 / unit.var(dim=(1, 2), keepdim=True, correction=freedom).clamp_min(1.0)
        return (mean + gain * (unit - mean)) * noise_std
    first = shrink_dct(unit) if learned is None else learned(unit)
    if kind == "dct":
        return first * noise_std
    on_step(0.2)
    grouped = filter_groups(unit, first, on_step)
    # A network knows shapes, groups of patches what this scene repeats: they err in different ways.
    return (grouped if learned is None else (grouped + first) / 2) * noise_std


def shrink_dct(images: torch.Tensor) -> torch.Tensor:
    """Hard-threshold every 8 x 8 patch's DCT and average the overlapping estimates, sparse ones counting more.

    images : (r, H, W) with unit noise. Source: Yu and Sapiro 2011 (DCT image denoising), weights as 1 / number
    of coefficients kept.
    """
    side = DCT_SIDE
    transform = _dct_matrix(side, images)
    keep_mean = torch.zeros(side * side, 1, dtype=torch.bool, device=images.device)
    keep_mean[0] = True
    out = torch.empty_like(images)
    for index, image in enumerate(images):
        patches = functional.unfold(image[None, None], side)
        coefficients = transform @ patches
        kept = (coefficients.abs() > DCT_THRESHOLD) | keep_mean
        weight = 1 / kept.sum(1, keepdim=True).to(images.dtype)
        estimate = (transform.T @ (coefficients * kept)) * weight
        size = image.shape
        total = functional.fold(estimate, size, side)
        out[index] = (total / functional.fold(weight.expand_as(estimate), size, side))[0, 0]
    return out


def filter_groups(
    images: torch.Tensor,
    pilot: torch.Tensor,
    on_step: Callable[[float], None] = lambda fraction: None,
    guide: torch.Tensor | None = None,
) -> torch.Tensor:
    """Wiener-filter groups of similar patches, with each group's mean and covariance taken from ``pilot``.

    images, pilot : (r, H, W) with unit noise and its first estimate; guide : (k, H, W) what patches are compared on,
    the strongest images of the pilot when not given. Source: second step of Lebrun, Buades and Morel 2013 (eq. 21),
    groups shared by all components.
    """
    count, height, width = images.shape
    starts = _similar_patches(pilot[:GUIDE_COMPONENTS] if guide is None else guide, on_step)
    inside = torch.arange(PATCH, device=images.device)
    inside = (inside[:, None] * width + inside).reshape(-1)
    identity = torch.eye(PATCH * PATCH, dtype=images.dtype, device=images.device)
    flat, flat_pilot = images.reshape(count, -1), pilot.reshape(count, -1)
    total = torch.zeros_like(flat)
    hits = torch.zeros(height * width, dtype=images.dtype, device=images.device)
    chunk = max(1, CHUNK_ENTRIES // (count * starts.shape[1] * PATCH * PATCH))
    for begin in range(0, len(starts), chunk):
        index = starts[begin : begin + chunk, :, None] + inside  # (groups, members, pixels of a patch)
        noisy, clean = flat[:, index], flat_pilot[:, index]
        deviation = clean - clean.mean(2, keepdim=True)
        covariance = deviation.transpose(-1, -2) @ deviation / (starts.shape[1] - 1)
        # Unit noise; where the signal is so strong that float32 cannot hold both, what float32 can hold.
        floor = (FLOAT_FLOOR * covariance.diagonal(dim1=-2, dim2=-1).sum(-1)).clamp_min(1.0)[..., None, None]
        wiener = torch.linalg.solve(covariance + floor * identity, covariance)
        mean = noisy.mean(2, keepdim=True)
        estimate = mean + (noisy - mean) @ wiener.transpose(-1, -2)
        place = index.reshape(-1)
        total.index_add_(1, place, estimate.reshape(count, -1))
        hits += torch.bincount(place, minlength=height * width).to(images.dtype)
        on_step(0.5 + 0.5 * min((begin + chunk) / len(starts), 1.0))
    return (total / hits.clamp_min(1)).reshape(images.shape)


def _dct_matrix(side: int, like: torch.Tensor) -> torch.Tensor:
    """(side^2, side^2) orthonormal two-dimensional DCT-II."""
    place = torch.arange(side, dtype=torch.float64)
    rows = torch.cos(math.pi * (place + 0.5) * place[:, None] / side) * math.sqrt(2 / side)
    rows[0] /= math.sqrt(2)
    return torch.kron(rows, rows).to(like)


def _grid(length: int, device: torch.device) -> torch.Tensor:
    """Starts of reference patches along an axis: every STEP pixels, and the last possible one."""
    last = length - PATCH
    starts = torch.arange(0, last + 1, STEP, device=device)
    return starts if int(starts[-1]) == last else torch.cat([starts, starts.new_tensor([last])])


def _similar_patches(guide: torch.Tensor, on_step: Callable[[float], None]) -> torch.Tensor:
    """For each reference patch, where its most similar patches start: (groups, members) flat pixel indices."""
    _, height, width = guide.shape
    rows, cols = _grid(height, guide.device), _grid(width, guide.device)
    reach = range(-SEARCH, SEARCH + 1)
    # Far more different than any real patch, so places outside the image are never chosen.
    padded = functional.pad(guide, (SEARCH,) * 4, value=1e3 + 10 * float(guide.abs().max()))
    distances = torch.empty(len(reach) ** 2, len(rows), len(cols), device=guide.device)
    for dy in reach:
        for dx in reach:
            shifted = padded[:, SEARCH + dy : SEARCH + dy + height, SEARCH + dx : SEARCH + dx + width]
            difference = (guide - shifted).square_().sum(0)
            distances[(dy + SEARCH) * len(reach) + dx + SEARCH] = _patch_means(difference, len(rows), len(cols))
        on_step(0.2 + 0.3 * (dy + SEARCH) / len(reach))
    members = min(GROUP, (height - PATCH + 1) * (width - PATCH + 1))
    distances = distances.reshape(len(reach) ** 2, -1)
    distances[len(reach) ** 2 // 2] = -1  # the reference itself always belongs
    nearest = distances.topk(min(members, len(distances)), dim=0, largest=False).indices
    down, across = nearest // len(reach) - SEARCH, nearest % len(reach) - SEARCH
    start_row = (rows[:, None].expand(-1, len(cols)).reshape(-1) + down).clamp(0, height - PATCH)
    start_col = (cols[None, :].expand(len(rows), -1).reshape(-1) + across).clamp(0, width - PATCH)
    return (start_row * width + start_col).T


def _patch_means(image: torch.Tensor, rows: int, cols: int) -> torch.Tensor:
    """Mean of ``image`` over each reference patch: (rows, cols)."""
    means = torch.empty(rows, cols, device=image.device)
    regular = functional.avg_pool2d(image[None], PATCH, STEP)[0]
    down, across = regular.shape
    means[:down, :across] = regular
    if down < rows:
        means[-1, :across] = functional.avg_pool2d(image[None, -PATCH:], PATCH, (1, STEP))[0, 0]
    if across < cols:
        means[:down, -1] = functional.avg_pool2d(image[None, :, -PATCH:], PATCH, (STEP, 1))[0, :, 0]
    if down < rows and across < cols:
        means[-1, -1] = image[-PATCH:, -PATCH:].mean()
    return means
