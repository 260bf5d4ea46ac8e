"""The untrained generator of DDS2M: a low-rank cube made of abundance maps and spectra, both drawn by networks.

Source: Miao, Zhang, Zhang and Tao 2023 (arXiv 2303.06682), "variational spatio-spectral module"; the spatial network is
the skip U-Net of Ulyanov, Vedaldi and Lempitsky 2018 (arXiv 1711.10925) with the attention of Woo et al. 2018 (arXiv
1807.06521), the spectral one an MLP. All R networks of a kind run as one: tensors are (R, C, H, W), network r sees
entry r.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

from hsi_models.grouped_layers import (
    Convolution,
    DoublingConvolution,
    HalvingConvolution,
    Norm,
    Places,
    Pointwise,
    start,
)

_SPECTRAL_WIDTHS = (128, 256, 256, 128)
_REDUCTION, _ATTENTION_SIDE = 16, 49


@dataclass(frozen=True)
class Scale:
    """One scale of the U-Net: its channels, kernel side, channels carried over to the way up, attention there."""

    channels: int
    kernel: int
    skip: int = 0
    attends: bool = False


# The network as published: 2,586,615 parameters.
PUBLISHED = (
    Scale(16, 7), Scale(32, 7), Scale(64, 5, 4, True), Scale(128, 5, 4, True), Scale(128, 3, 4), Scale(128, 3, 4),
)  # fmt: skip
# One trunk for all maps: fewer scales and far more skipped channels, so that fine texture is there from the start.
LITE = (Scale(64, 3, 32), Scale(96, 3, 32), Scale(96, 3, 32))


class SpatialNets(nn.Module):
    """R skip U-Nets run as one.

    Parameters
    ----------
    count : R, number of networks
    inputs, outputs : channels that each network takes and gives
    scales : from the finest to the coarsest, each with half the sides of the one before
    generator : of the first weights

    Away from the image's border they compute what the published networks do; see `DoublingConvolution` for the border.
    """

    def __init__(
        self, count: int, inputs: int, outputs: int, scales: tuple[Scale, ...], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.multiple = 2 ** len(scales)
        widths = [inputs, *(scale.channels for scale in scales)]
        deeper = [*widths[2:], widths[-1]]
        self.downs = nn.ModuleList(_Down(count, wide, scale) for wide, scale in zip(widths, scales, strict=False))
        self.ups = nn.ModuleList(
            _Up(count, wide, deep, scale) for wide, deep, scale in zip(widths, deeper, scales, strict=False)
        )
        self.last = Pointwise(count, widths[1], outputs)
        start(self, generator)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Maps of R networks.

        images : (R, inputs, H, W) or (1, inputs, H, W), which all networks share
        Returns (R, outputs, H, W).
        """
        height, width = images.shape[2:]
        x = _grown(images, self.multiple)
        entering = []
        for down in self.downs:
            entering.append(x)
            x = down(x)
        for up, before in zip(reversed(self.ups), reversed(entering), strict=True):
            x = up(x, before)
        return self.last(x)[:, :, :height, :width]


class SpectralNets(nn.Module):
    """R multilayer perceptrons run as one: from a vector of B numbers to a spectrum of B bands.

    count : R; bands : B; generator : of the first weights
    """

    def __init__(self, count: int, bands: int, generator: torch.Generator) -> None:
        super().__init__()
        sides = (bands, *_SPECTRAL_WIDTHS, bands)
        self.layers = nn.ModuleList(Pointwise(count, *pair) for pair in pairwise(sides))
        start(self, generator)

    def forward(self, vector: torch.Tensor) -> torch.Tensor:
        """(R, B) spectra for a vector (B,)."""
        x = vector[None, :, None]
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index == 0:
                x = functional.relu6(x)
            elif index < len(self.layers) - 1:
                x = functional.relu(x)
        return x[:, :, 0]


class _Down(nn.Module):
    """Half the sides, then look again."""

    def __init__(self, count: int, inputs: int, scale: Scale) -> None:
        super().__init__()
        self.halve = HalvingConvolution(count, inputs, scale.channels, scale.kernel)
        self.halve_norm = Norm(count, scale.channels)
        self.look = Convolution(count, (scale.channels,), scale.channels, scale.kernel)
        self.look_norm = Norm(count, scale.channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.look_norm.bent(self.look(self.halve_norm.bent(self.halve(x))))


class _Up(nn.Module):
    """Twice the sides, joined with a few channels of what came down."""

    def __init__(self, count: int, inputs: int, deep: int, scale: Scale) -> None:
        super().__init__()
        self.gather: _Gather | None = None
        self.look: Convolution | DoublingConvolution
        if scale.skip or scale.attends:
            self.gather = _Gather(count, inputs, deep, scale)
            self.look = Convolution(count, self.gather.widths, scale.channels, scale.kernel)
        else:
            self.look = DoublingConvolution(count, deep, scale.channels, scale.kernel)
        self.look_norm = Norm(count, scale.channels)
        self.mix = Pointwise(count, scale.channels, scale.channels)
        self.mix_norm = Norm(count, scale.channels)

    def forward(self, x: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        x = self.look(x) if self.gather is None else self.look(*self.gather(x, before))
        return self.mix_norm.bent(self.mix(self.look_norm.bent(x)))


class _Gather(nn.Module):
    """What a scale looks at on the way up, in parts: the doubled image and channels carried over, each normalised."""

    def __init__(self, count: int, inputs: int, deep: int, scale: Scale) -> None:
        super().__init__()
        self.widths = (deep, scale.skip) if scale.skip else (deep,)
        self.carry = Pointwise(count, inputs, scale.skip) if scale.skip else None
        self.carry_norm = Norm(count, scale.skip) if scale.skip else None
        self.norms = nn.ModuleList(Norm(count, wide) for wide in self.widths)
        self.attention = _Attention(count, sum(self.widths)) if scale.attends else None

    def forward(self, x: torch.Tensor, before: torch.Tensor) -> list[torch.Tensor]:
        parts = [functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)]
        if self.carry is not None and self.carry_norm is not None:
            parts.append(self.carry_norm.bent(self.carry(before)))
        parts = [norm(part) for norm, part in zip(self.norms, parts, strict=True)]
        return parts if self.attention is None else self.attention(parts)


class _Attention(nn.Module):
    """Which channels and which places count (CBAM), added to what came in, which comes and goes in parts."""

    def __init__(self, count: int, channels: int) -> None:
        super().__init__()
        self.narrow = Pointwise(count, channels, channels // _REDUCTION, shifts=False)
        self.widen = Pointwise(count, channels // _REDUCTION, channels, shifts=False)
        self.place = Places(count, 2, _ATTENTION_SIDE)

    def forward(self, parts: list[torch.Tensor]) -> list[torch.Tensor]:
        widths = [part.shape[1] for part in parts]
        pooled = torch.cat([torch.stack([part.mean((2, 3)), part.amax((2, 3))], dim=-1) for part in parts], dim=1)
        gates = self.widen(torch.relu(self.narrow(pooled))).sum(-1).sigmoid().split(widths, 1)
        kept = [part * gate[:, :, None, None] for part, gate in zip(parts, gates, strict=True)]
        mean = torch.stack([part.sum(1) for part in kept]).sum(0) / sum(widths)
        largest = torch.stack([part.amax(1) for part in kept]).amax(0)
        place = self.place(torch.stack([mean, largest], dim=1)).sigmoid()
        return [torch.addcmul(part, each, place) for part, each in zip(parts, kept, strict=True)]


def _grown(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """Mirrored at the lower and right edge to sides that are multiples, and at least two of them."""
    places = []
    for length in x.shape[2:]:
        target = max(-(-length // multiple), 2) * multiple
        place = torch.arange(target, device=x.device) % max(2 * (length - 1), 1)
        places.append(torch.where(place >= length, 2 * (length - 1) - place, place))
    return x[:, :, places[0]][:, :, :, places[1]]
