"""Endmembers among the pixels themselves: vertex component analysis and N-FINDR."""

from __future__ import annotations

import torch

# N-FINDR leaves off when a swap enlarges the simplex by less than this share: rounding, not volume.
LEAST_GAIN = 1e-9
MAX_SWEEPS = 50


def vca(spectra: torch.Tensor, count: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels at the ends of random directions, each orthogonal to those found before.

    Parameters
    ----------
    spectra : (B, N) float tensor, complete pixels
    count : int, number of endmembers K, 1 <= K <= min(B, N)
    generator : CPU generator; draws K directions

    Returns
    -------
    (K,) int64 tensor of pixel indices, and (B, K) float64 tensor of their spectra, projected onto the signal subspace:
    the noise of a single pixel would turn its spectrum by as much as 0.03 rad at 30 dB.

    Source: Nascimento and Bioucas-Dias, IEEE TGRS 43(4), 2005: the signal-to-noise test chooses between the
    projective and the orthogonal projection.
    """
    data = spectra.double()
    pixels = data.shape[1]
    mean = data.mean(1, keepdim=True)
    power = float(data.square().sum()) / pixels
    basis = torch.linalg.eigh((data - mean) @ (data - mean).T / pixels).eigenvectors.flip(1)
    centred = basis[:, :count].T @ (data - mean)
    signal = float(centred.square().sum()) / pixels + float(mean.square().sum())
    noise = max(power - signal, 1e-30 * power)
    ratio_db = 10 * torch.log10(torch.tensor(max(signal - count / len(data) * power, 1e-300) / noise)).item()
    if ratio_db < 15 + 10 * torch.log10(torch.tensor(float(count))).item():
        # Noisy: K - 1 dimensions, lifted off the origin by the farthest pixel's length.
        points = centred[: count - 1]
        projected = basis[:, : count - 1] @ points + mean
        height = float(points.square().sum(0).max().sqrt()) if count > 1 else 1.0
        points = torch.cat([points, torch.full((1, pixels), height, dtype=data.dtype, device=data.device)])
    else:
        # Clean: divide the brightness out, onto the plane through the mean.
        span = torch.linalg.eigh(data @ data.T / pixels).eigenvectors.flip(1)[:, :count]
        points = span.T @ data
        projected = span @ points
        along = points.mean(1)
        share = along @ points
        safe = torch.where(share.abs() > 1e-12 * share.abs().max(), share, torch.inf)
        points = points / safe
    directions = torch.zeros((count, count), dtype=data.dtype, device=data.device)
    directions[-1, 0] = 1
    found = []
    for k in range(count):
        drawn = torch.rand((count, 1), generator=generator, dtype=torch.float64).to(data.device)
        rest = drawn - directions @ (torch.linalg.pinv(directions) @ drawn)
        pixel = int((rest[:, 0] @ points).abs().argmax())
        found.append(pixel)
        directions[:, k] = points[:, pixel]
    return torch.tensor(found, dtype=torch.int64, device=spectra.device), projected[:, found]


def nfindr(spectra: torch.Tensor, count: int, start: torch.Tensor) -> torch.Tensor:
    """Pixels that span the largest simplex, by swapping one at a time until no swap helps.

    Parameters
    ----------
    spectra : (B, N) float tensor, complete pixels
    count : int, number of endmembers K >= 1
    start : (K,) int64 tensor of pixel indices to begin with

    Returns
    -------
    (K,) int64 tensor of pixel indices.

    Source: Winter, SPIE 3753, 1999. The volume after a swap is linear in the new pixel, so the cofactors of one
    vertex give the volumes of all swaps in one product.
    """
    data = spectra.double()
    mean = data.mean(1, keepdim=True)
    basis = torch.linalg.eigh((data - mean) @ (data - mean).T).eigenvectors.flip(1)[:, : count - 1]
    points = torch.cat([torch.ones_like(data[:1]), basis.T @ (data - mean)])
    found = start.clone()
    for _ in range(MAX_SWEEPS):
        swapped = False
        for k in range(count):
            vertices = points[:, found]
            others = torch.cat([vertices[:, :k], vertices[:, k + 1 :]], 1)
            # The direction orthogonal to the other vertices is the row of cofactors, up to a common factor.
            normal = torch.linalg.svd(others).U[:, -1] if count > 1 else points.new_ones(1)
            volumes = (normal @ points).abs()
            best = int(volumes.argmax())
            if float(volumes[best]) > float(volumes[found[k]]) * (1 + LEAST_GAIN):
                found[k] = best
                swapped = True
        if not swapped:
            break
    return found
