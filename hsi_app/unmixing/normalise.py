"""Brightness of pixels: what a spectrum is divided by before it is taken for a mixture."""

from __future__ import annotations

from typing import Literal, get_args

import torch

from hsi_app.errors import ParameterError

Normalisation = Literal["none", "l1", "l2", "l2-cutoff", "max"]
NORMALISATIONS: tuple[str, ...] = get_args(Normalisation)

# l2-cutoff divides by no less than this share of the mean norm, so that dark water does not become loud noise.
CUTOFF = 0.25
# Below this share of the scene's brightest a spectrum is empty: dead, masked by zeros, or outside the swath.
EMPTY = 1e-7


def brightness(
    spectra: torch.Tensor,
    kind: Normalisation,
    *,
    valid: torch.Tensor | None = None,
    typical: torch.Tensor | None = None,
    floor: float = 0.0,
) -> torch.Tensor:
    """The number each pixel is divided by.

    Parameters
    ----------
    spectra : (B, N) float tensor, 0 where missing
    kind : 'none' (1), 'l1' (sum of magnitudes), 'l2' (Euclidean norm), 'l2-cutoff' (that, but at least ``floor``),
        'max' (largest value)
    valid : (B, N) bool tensor, True = observed, or None for all
    typical : (B,) float tensor, the scene's mean spectrum; needed with ``valid``: the norm of a pixel with gaps is
        that of its observed bands, enlarged by what those bands hold of the typical spectrum
    floor : least divisor of 'l2-cutoff'

    Returns
    -------
    (N,) float64 tensor > 0; an empty spectrum gets 1

    Raises
    ------
    ParameterError
        If the kind is none of these.

    Source: the abundances that circulate with Samson and Jasper Ridge were made from brightness-normalised pixels;
    'l2-cutoff' is that of EDAA (arXiv 2209.11002).
    """
    if kind not in NORMALISATIONS:
        raise ParameterError(f"normalisation '{kind}'; there are {', '.join(NORMALISATIONS)}.")
    y = spectra.double()
    if kind == "none":
        return torch.ones_like(y[0])
    size = _size(y, kind)
    if valid is not None and typical is not None and not bool(valid.all()):
        whole = typical.double()[:, None]
        share = _size(whole * valid, kind) / _size(whole, kind).clamp(min=torch.finfo(y.dtype).tiny)
        size = size / share.clamp(min=1e-3)
    if kind == "l2-cutoff":
        size = size.clamp(min=floor)
    return torch.where(size > 0, size, torch.ones_like(size))


def is_empty(spectra: torch.Tensor) -> torch.Tensor:
    """(N,) bool, True where a whole (B, N) spectrum, scaled to the scene's brightest, is zero."""
    return spectra.abs().amax(0) <= EMPTY


def _size(y: torch.Tensor, kind: Normalisation) -> torch.Tensor:
    if kind == "l1":
        return y.abs().sum(0)
    if kind == "max":
        return y.amax(0).clamp(min=0)
    return y.square().sum(0).sqrt()
