"""Noise models: what a sensor adds. Each draws from the generator it is given and from nothing else."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import torch

from hsi_app.errors import ParameterError

# Complex noise of the denoising literature (arXiv 2503.09131, appendix): levels, shares and ranges.
BAND_LEVELS = (10.0, 30.0, 50.0, 70.0)
IMPULSE_SHARES = (0.1, 0.3, 0.5, 0.7)
LINE_SHARE = (0.05, 0.15)
STRIPE_RANGE = 0.25
ONE_BAND_IN = 3

# A setting: one number, or an (N,) tensor with one for each sample of a batch.
Number = float | torch.Tensor


class Noise(ABC):
    """A random change of a cube (B, H, W), or of a batch (N, B, H, W), scaled to about [0, 1]; never clipped.

    A concrete model writes ``_spoil`` for a batch; everything it draws it draws for each sample, on the device of the
    generator.
    """

    @final
    def apply(self, cube: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """The noisy cube or batch, a new tensor on the device and of the dtype of ``cube``.

        A cube alone gets what it would get as a batch of one. Raises ParameterError for another number of axes.
        """
        if cube.ndim not in (3, 4):
            raise ParameterError(f"a tensor of shape {tuple(cube.shape)}; noise needs (B, H, W) or (N, B, H, W).")
        return self._spoil(cube, generator) if cube.ndim == 4 else self._spoil(cube[None], generator)[0]

    @abstractmethod
    def _spoil(self, cubes: torch.Tensor, generator: torch.Generator) -> torch.Tensor: ...


def per_sample(value: Number, like: torch.Tensor) -> Number:
    """A setting in a shape that acts on ``like`` (N, ...), in its dtype and on its device."""
    if isinstance(value, torch.Tensor):
        return value.to(like).reshape(-1, *(1,) * (like.ndim - 1))
    return value


def _normal(cubes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    drawn = torch.randn(cubes.shape, generator=generator, dtype=cubes.dtype, device=generator.device)
    return drawn.to(cubes.device)


def _uniform(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    return torch.rand(shape, generator=generator, device=generator.device)


def _choice(values: tuple[float, ...], shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    device = generator.device
    places = torch.randint(len(values), shape, generator=generator, device=device)
    return torch.tensor(values, device=device)[places]


def shuffled_bands(samples: int, bands: int, generator: torch.Generator) -> torch.Tensor:
    """(N, B) int64, the bands of each sample in random order."""
    # A loop over samples: a single cube keeps the order that published figures were made with.
    device = generator.device
    return torch.stack([torch.randperm(bands, generator=generator, device=device) for _ in range(samples)])


def _some_bands(cubes: torch.Tensor, one_in: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Index (N, 1), (N, k) of k = floor(B / one_in) random bands of each sample, at least one."""
    samples, bands = cubes.shape[:2]
    chosen = shuffled_bands(samples, bands, generator)[:, : max(bands // one_in, 1)]
    return torch.arange(samples, device=cubes.device)[:, None], chosen.to(cubes.device)


def _some_columns(shape: tuple[int, int, int], low: int, high: int, generator: torch.Generator) -> torch.Tensor:
    """(N, k, W) bool: in each of k bands n random columns, n uniform in low ... high - 1, at least one."""
    low = max(low, 1)
    counts = torch.randint(low, max(high, low + 1), shape[:2], generator=generator, device=generator.device)
    return _uniform(shape, generator).argsort(dim=-1).argsort(dim=-1) < counts[..., None]


@final
@dataclass(frozen=True)
class Gaussian(Noise):
    """Independent normal noise of one standard deviation ``std`` > 0 (data scaled to [0, 1])."""

    std: Number

    def _spoil(self, cubes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        return cubes + per_sample(self.std, cubes) * _normal(cubes, generator)


@final
@dataclass(frozen=True)
class BandwiseGaussian(Noise):
    """Normal noise whose standard deviation is drawn for each band from ``levels`` / 255."""

    levels: tuple[float, ...] = BAND_LEVELS

    def _spoil(self, cubes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        std = _choice(self.levels, tuple(cubes.shape[:2]), generator).to(cubes)[:, :, None, None] / 255
        return cubes + std * _normal(cubes, generator)


@final
@dataclass(frozen=True)
class Stripes(Noise):
    """One band in ``one_in``: n of the W columns get a constant from U(-amplitude, amplitude) each.

    n is drawn for each band from floor(0.05 W) ... floor(0.15 W) - 1, at least one: one where W < 20.
    """

    amplitude: Number = STRIPE_RANGE
    one_in: int = ONE_BAND_IN

    def _spoil(self, cubes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        where = _some_bands(cubes, self.one_in, generator)
        shape = (*where[1].shape, cubes.shape[3])
        low, high = (math.floor(share * cubes.shape[3]) for share in LINE_SHARE)
        hit = _some_columns(shape, low, high, generator)
        offsets = ((2 * _uniform(shape, generator) - 1) * hit).to(cubes)
        out = cubes.clone()
        out[where] += (per_sample(self.amplitude, offsets) * offsets)[:, :, None]
        return out


@final
@dataclass(frozen=True)
class DeadLines(Noise):
    """One band in ``one_in``: n of the W columns read 0.

    n is drawn for each band from ceil(0.05 W) ... ceil(0.15 W) - 1, at least one: one where W < 14.
    """

    one_in: int = ONE_BAND_IN

    def _spoil(self, cubes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        where = _some_bands(cubes, self.one_in, generator)
        low, high = (math.ceil(share * cubes.shape[3]) for share in LINE_SHARE)
        hit = _some_columns((*where[1].shape, cubes.shape[3]), low, high, generator)
        out = cubes.clone()
        out[where] = torch.where(hit.to(cubes.device)[:, :, None], 0, out[where])
        return out


@final
@dataclass(frozen=True)
class Impulses(Noise):
    """One band in ``one_in``: a share of the samples, drawn once a cube from ``shares``, reads 0 or 1, half each."""

    shares: tuple[float, ...] = IMPULSE_SHARES
    one_in: int = ONE_BAND_IN

    def _spoil(self, cubes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        share = _choice(self.shares, (len(cubes),), generator)
        where = _some_bands(cubes, self.one_in, generator)
        drawn = _uniform((*where[1].shape, 2, *cubes.shape[2:]), generator)
        hit = (drawn[:, :, 0] < share[:, None, None, None]).to(cubes.device)
        salt = (drawn[:, :, 1] < 0.5).to(cubes)
        out = cubes.clone()
        out[where] = torch.where(hit, salt, out[where])
        return out


@final
@dataclass(frozen=True)
class Poisson(Noise):
    """Photon noise: Poisson(scale * x) / scale for x in [0, 1], scale > 0; negative input counts as 0."""

    scale: Number

    def _spoil(self, cubes: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        scale = per_sample(self.scale, cubes)
        photons = torch.poisson((cubes.clamp_min(0) * scale).to(generator.device), generator=generator)
        return photons.to(cubes.device) / scale
