"""Noise models: what a sensor adds. Each draws from the generator it is given and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

# Complex noise of the denoising literature (arXiv 2503.09131, appendix): levels, shares and ranges.
BAND_LEVELS = (10.0, 30.0, 50.0, 70.0)
IMPULSE_SHARES = (0.1, 0.3, 0.5, 0.7)
LINE_SHARE = (0.05, 0.15)
STRIPE_RANGE = 0.25
BAND_SHARE = 3


class Noise(Protocol):
    """A random change of a cube (B, H, W) scaled to [0, 1]; returns a new cube, never clipped."""

    def apply(self, cube: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The noisy cube."""
        ...


def _some_bands(count: int, generator: torch.Generator) -> torch.Tensor:
    """A random third of the bands, at least one."""
    return torch.randperm(count, generator=generator)[: max(count // BAND_SHARE, 1)]


def _some_columns(width: int, generator: torch.Generator) -> torch.Tensor:
    """5 to 15 % of the columns, at least one."""
    low, high = (max(int(width * share), 1) for share in LINE_SHARE)
    count = int(torch.randint(low, high + 1, (1,), generator=generator))
    return torch.randperm(width, generator=generator)[:count]


def _choice(values: tuple[float, ...], count: int, generator: torch.Generator) -> torch.Tensor:
    return torch.tensor(values)[torch.randint(len(values), (count,), generator=generator)]


@dataclass(frozen=True)
class Gaussian:
    """Independent normal noise of one standard deviation ``std`` (data scaled to [0, 1])."""

    std: float

    def apply(self, cube: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Add it."""
        return cube + self.std * torch.randn(cube.shape, generator=generator, dtype=cube.dtype)


@dataclass(frozen=True)
class BandwiseGaussian:
    """Normal noise whose standard deviation is drawn for each band from ``levels`` / 255."""

    levels: tuple[float, ...] = BAND_LEVELS

    def apply(self, cube: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Add it."""
        std = _choice(self.levels, len(cube), generator).to(cube.dtype)[:, None, None] / 255
        return cube + std * torch.randn(cube.shape, generator=generator, dtype=cube.dtype)


@dataclass(frozen=True)
class Stripes:
    """A third of the bands: 5 to 15 % of the columns get a constant from U(-0.25, 0.25) each."""

    amplitude: float = STRIPE_RANGE

    def apply(self, cube: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Add them."""
        out = cube.clone()
        for band in _some_bands(len(cube), generator):
            columns = _some_columns(cube.shape[2], generator)
            offsets = (2 * torch.rand(len(columns), generator=generator) - 1) * self.amplitude
            out[band, :, columns] += offsets.to(cube.dtype)
        return out


@dataclass(frozen=True)
class DeadLines:
    """A third of the bands: 5 to 15 % of the columns read 0."""

    def apply(self, cube: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Set them."""
        out = cube.clone()
        for band in _some_bands(len(cube), generator):
            out[band, :, _some_columns(cube.shape[2], generator)] = 0
        return out


@dataclass(frozen=True)
class Impulses:
    """A third of the bands: a share of the samples, drawn once from ``shares``, reads 0 or 1, half each."""

    shares: tuple[float, ...] = IMPULSE_SHARES

    def apply(self, cube: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Set them."""
        out = cube.clone()
        share = float(_choice(self.shares, 1, generator))
        for band in _some_bands(len(cube), generator):
            hit = torch.rand(cube.shape[1:], generator=generator) < share
            salt = torch.rand(cube.shape[1:], generator=generator) < 0.5
            out[band] = torch.where(hit, salt.to(cube.dtype), out[band])
        return out


@dataclass(frozen=True)
class Poisson:
    """Photon noise: Poisson(scale * x) / scale for x in [0, 1]; negative input counts as 0."""

    scale: float

    def apply(self, cube: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Draw it."""
        return torch.poisson(cube.clamp_min(0) * self.scale, generator=generator) / self.scale
