"""The spatial and spectral networks of DDS2M as published, one at a time: the rival of `hsi_models.vs2m` in speed.

Source: Miao, Zhang, Zhang and Tao 2023 (arXiv 2303.06682); the layers follow Ulyanov, Vedaldi and Lempitsky 2018 (arXiv
1711.10925) and Woo, Park, Lee and Kweon 2018 (arXiv 1807.06521). Plain modules of torch, nothing folded or joined.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn

# Channels, kernel side, channels carried over to the way up, attention there; from the finest scale to the coarsest.
SCALES = (
    (16, 7, 0, False),
    (32, 7, 0, False),
    (64, 5, 4, True),
    (128, 5, 4, True),
    (128, 3, 4, False),
    (128, 3, 4, False),
)
WIDTHS = (128, 256, 256, 128)


def convolution(inputs: int, outputs: int, side: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, side, padding=side // 2, padding_mode="reflect")


def block(inputs: int, outputs: int, side: int, *, halve: bool = False) -> nn.Sequential:
    """Convolution, mean of 2x2 pixels if ``halve``, normalisation, bend."""
    middle = [nn.AvgPool2d(2)] if halve else []
    return nn.Sequential(
        convolution(inputs, outputs, side), *middle, nn.BatchNorm2d(outputs), nn.LeakyReLU(0.2, inplace=True)
    )


class Attention(nn.Module):
    """CBAM: a gate for each channel, then one for each place; the result is added to what came in."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(channels, channels // 16, 1, bias=False)
        self.widen = nn.Conv2d(channels // 16, channels, 1, bias=False)
        self.place = nn.Conv2d(2, 1, 49, padding=24)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = (nn.functional.adaptive_avg_pool2d(x, 1), nn.functional.adaptive_max_pool2d(x, 1))
        mean, largest = (self.widen(torch.relu(self.narrow(each))) for each in pooled)
        kept = x * (mean + largest).sigmoid()
        seen = torch.cat([kept.mean(1, keepdim=True), kept.amax(1, keepdim=True)], dim=1)
        return x + kept * self.place(seen).sigmoid()


class Level(nn.Module):
    """One scale of the U-Net around all the coarser ones."""

    def __init__(self, inputs: int, deeper: nn.Module | None, deep: int, scale: tuple[int, int, int, bool]) -> None:
        super().__init__()
        channels, side, skip, attends = scale
        self.down = nn.Sequential(block(inputs, channels, side, halve=True), block(channels, channels, side))
        self.deeper = deeper
        self.grow = nn.Upsample(scale_factor=2, mode="bilinear")
        self.carry = block(inputs, skip, 1) if skip else None
        self.norm = nn.BatchNorm2d(skip + deep)
        self.attention = Attention(skip + deep) if attends else None
        self.up = nn.Sequential(block(skip + deep, channels, side), block(channels, channels, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        deep = self.down(x)
        if self.deeper is not None:
            deep = self.deeper(deep)
        deep = self.grow(deep)
        if self.carry is not None:
            deep = torch.cat([self.carry(x), deep], dim=1)
        deep = self.norm(deep)
        if self.attention is not None:
            deep = self.attention(deep)
        return self.up(deep)


class SpatialNet(nn.Module):
    """One abundance map: (1, 1, H, W) -> (1, 1, H, W), sides multiples of 64 and at least 128."""

    def __init__(self, inputs: int = 1, outputs: int = 1) -> None:
        super().__init__()
        widths = [inputs, *(scale[0] for scale in SCALES)]
        level: Level | None = None
        for index, scale in reversed(list(enumerate(SCALES))):
            level = Level(widths[index], level, scale[0] if level is None else widths[index + 2], scale)
        self.levels = level
        self.last = nn.Conv2d(widths[1], outputs, 1)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.last(self.levels(image))


class SpectralNet(nn.Sequential):
    """One spectrum: (B,) -> (B,)."""

    def __init__(self, bands: int) -> None:
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(pairwise((bands, *WIDTHS, bands))):
            layers += [nn.Linear(inputs, outputs), nn.ReLU6() if index == 0 else nn.ReLU()]
        super().__init__(*layers[:-1])


class SerialGenerator(nn.Module):
    """Cube (B, H, W) of ``rank`` maps and spectra, each by its own network, one after the other."""

    def __init__(self, rank: int, bands: int, height: int, width: int) -> None:
        super().__init__()
        self.spatial = nn.ModuleList(SpatialNet() for _ in range(rank))
        self.spectral = nn.ModuleList(SpectralNet(bands) for _ in range(rank))
        self.register_buffer("image", torch.rand(1, 1, height, width) - 0.5)
        self.register_buffer("vector", torch.rand(bands) - 0.5)

    def forward(self) -> torch.Tensor:
        maps = torch.cat([net(self.image)[0] for net in self.spatial])
        spectra = torch.stack([net(self.vector) for net in self.spectral], dim=1)
        return (spectra @ maps.flatten(1)).reshape(len(spectra), *maps.shape[1:])
