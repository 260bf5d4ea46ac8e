"""The untrained generator of DDS2M: a low-rank cube made of abundance maps and spectra, both drawn by networks.

Source: Miao, Zhang, Zhang and Tao 2023 (arXiv 2303.06682), "variational spatio-spectral module"; the spatial network is
the skip U-Net of Ulyanov, Vedaldi and Lempitsky 2018 (arXiv 1711.10925) with the attention of Woo et al. 2018 (arXiv
1807.06521), the spectral one an MLP. All R networks of a kind run as one: tensors are (R, C, H, W), network r sees
entry r.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional

_SLOPE = 0.2
_SPECTRAL_WIDTHS = (128, 256, 256, 128)
_REDUCTION, _ATTENTION_SIDE = 16, 49
_TINY = 1e-5


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
    """

    def __init__(
        self, count: int, inputs: int, outputs: int, scales: tuple[Scale, ...], generator: torch.Generator
    ) -> None:
        super().__init__()
        self.count, self.multiple = count, 2 ** len(scales)
        widths = [inputs, *(scale.channels for scale in scales)]
        with torch.device("meta"):
            self.downs = nn.ModuleList(_Down(count, wide, scale) for wide, scale in zip(widths, scales, strict=False))
            deeper = [*widths[2:], widths[-1]]
            self.ups = nn.ModuleList(
                _Up(count, wide, deep, scale) for wide, deep, scale in zip(widths, deeper, scales, strict=False)
            )
            self.last = _Convolution(count, widths[1], outputs, 1)
        self.to_empty(device="cpu")
        _start(self, generator)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Maps of R networks.

        images : (R, inputs, H, W) or (1, inputs, H, W), which all networks share
        Returns (R, outputs, H, W).
        """
        height, width = images.shape[2:]
        x = _grown(images.expand(self.count, -1, -1, -1), self.multiple)
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
        with torch.device("meta"):
            self.layers = nn.ModuleList(_Linear(count, *pair) for pair in pairwise(sides))
        self.to_empty(device="cpu")
        _start(self, generator)

    def forward(self, vector: torch.Tensor) -> torch.Tensor:
        """(R, B) spectra for a vector (B,)."""
        x = vector.expand(len(self.layers[0].weight), 1, -1)
        for index, layer in enumerate(self.layers):
            x = layer(x)
            if index == 0:
                x = functional.relu6(x)
            elif index < len(self.layers) - 1:
                x = functional.relu(x)
        return x[:, 0]


class _Convolution(nn.Module):
    """R convolutions side by side, edges mirrored."""

    def __init__(self, count: int, inputs: int, outputs: int, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, outputs, inputs, side, side))
        self.bias = nn.Parameter(torch.empty(count, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        count, outputs, _, side, _ = self.weight.shape
        if side > 1:
            x = functional.pad(x, (side // 2,) * 4, mode="reflect")
        joined = x.reshape(1, -1, *x.shape[2:])
        found = functional.conv2d(joined, self.weight.flatten(0, 1), self.bias.flatten(), groups=count)
        return found.reshape(count, outputs, *found.shape[2:])


class _Linear(nn.Module):
    """R linear layers side by side: (R, 1, inputs) -> (R, 1, outputs)."""

    def __init__(self, count: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, inputs, outputs))
        self.bias = nn.Parameter(torch.empty(count, 1, outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.baddbmm(self.bias, x, self.weight)


class _Norm(nn.Module):
    """Batch normalisation of a batch of one: by the mean and variance of each channel's own image."""

    def __init__(self, count: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, channels))
        self.bias = nn.Parameter(torch.empty(count, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shape = x.shape
        joined = x.reshape(1, -1, *shape[2:])
        return functional.batch_norm(
            joined, None, None, self.weight.flatten(), self.bias.flatten(), training=True, eps=_TINY
        ).reshape(shape)


class _Down(nn.Module):
    """Half the sides, then look again."""

    def __init__(self, count: int, inputs: int, scale: Scale) -> None:
        super().__init__()
        self.halve = _Convolution(count, inputs, scale.channels, scale.kernel)
        self.halve_norm = _Norm(count, scale.channels)
        self.look = _Convolution(count, scale.channels, scale.channels, scale.kernel)
        self.look_norm = _Norm(count, scale.channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = _bent(self.halve_norm(functional.avg_pool2d(self.halve(x), 2)))
        return _bent(self.look_norm(self.look(x)))


class _Up(nn.Module):
    """Twice the sides, joined with a few channels of what came down."""

    def __init__(self, count: int, inputs: int, deep: int, scale: Scale) -> None:
        super().__init__()
        wide = scale.skip + deep
        self.carry = _Convolution(count, inputs, scale.skip, 1) if scale.skip else None
        self.carry_norm = _Norm(count, scale.skip) if scale.skip else None
        self.join_norm = _Norm(count, wide)
        self.attention = _Attention(count, wide) if scale.attends else None
        self.look = _Convolution(count, wide, scale.channels, scale.kernel)
        self.look_norm = _Norm(count, scale.channels)
        self.mix = _Convolution(count, scale.channels, scale.channels, 1)
        self.mix_norm = _Norm(count, scale.channels)

    def forward(self, x: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        x = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
        if self.carry is not None and self.carry_norm is not None:
            x = torch.cat([_bent(self.carry_norm(self.carry(before))), x], dim=1)
        x = self.join_norm(x)
        if self.attention is not None:
            x = self.attention(x)
        x = _bent(self.look_norm(self.look(x)))
        return _bent(self.mix_norm(self.mix(x)))


class _Attention(nn.Module):
    """Which channels and which places count (CBAM), added to what came in."""

    def __init__(self, count: int, channels: int) -> None:
        super().__init__()
        narrow = channels // _REDUCTION
        self.narrow = nn.Parameter(torch.empty(count, narrow, channels))
        self.widen = nn.Parameter(torch.empty(count, channels, narrow))
        self.place = _Places(count)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = torch.stack([x.mean((2, 3)), x.amax((2, 3))], dim=-1)
        gate = (self.widen @ torch.relu(self.narrow @ pooled)).sum(-1).sigmoid()
        kept = x * gate[:, :, None, None]
        return x + kept * self.place(kept)


class _Places(nn.Module):
    """A gate for every place, from the mean and the maximum of its channels, through one wide kernel."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, 1, 2, _ATTENTION_SIDE, _ATTENTION_SIDE))
        self.bias = nn.Parameter(torch.empty(count, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        seen = torch.stack([x.mean(1), x.amax(1)], dim=1)
        # Only so much of the kernel meets an image as is wide: the rest would multiply the zeros around it.
        height, width = x.shape[2:]
        half = _ATTENTION_SIDE // 2
        down, across = min(half, height - 1), min(half, width - 1)
        kernel = self.weight[..., half - down : half + down + 1, half - across : half + across + 1]
        joined = seen.reshape(1, -1, height, width)
        found = functional.conv2d(
            joined, kernel.flatten(0, 1), self.bias.flatten(), padding=(down, across), groups=len(self.weight)
        )
        return found.reshape(len(self.weight), 1, height, width).sigmoid()


def _bent(x: torch.Tensor) -> torch.Tensor:
    return functional.leaky_relu(x, _SLOPE)


def _grown(x: torch.Tensor, multiple: int) -> torch.Tensor:
    """Mirrored at the lower and right edge to sides that are multiples, and at least two of them."""
    places = []
    for length in x.shape[2:]:
        target = max(-(-length // multiple), 2) * multiple
        place = torch.arange(target, device=x.device) % max(2 * (length - 1), 1)
        places.append(torch.where(place >= length, 2 * (length - 1) - place, place))
    return x[:, :, places[0]][:, :, :, places[1]]


@torch.no_grad()
def _start(module: nn.Module, generator: torch.Generator) -> None:
    """Weights as torch draws them for single layers, but from the given generator."""
    for part in module.modules():
        if isinstance(part, _Norm):
            part.weight.fill_(1.0)
            part.bias.zero_()
        elif isinstance(part, (_Convolution, _Places, _Linear)):
            fan = part.weight[0].numel() // part.weight.shape[-1] if isinstance(part, _Linear) else part.weight[0, 0].numel()
            for weight in (part.weight, part.bias):
                weight.uniform_(-1 / math.sqrt(fan), 1 / math.sqrt(fan), generator=generator)
        elif isinstance(part, _Attention):
            for weight in (part.narrow, part.widen):
                bound = 1 / math.sqrt(weight.shape[2])
                weight.uniform_(-bound, bound, generator=generator)
