"""The network of SR3 as trained on remote-sensing images: predicts the noise in three-channel images.

Source: Saharia et al. 2021 (arXiv 2104.07636); as a prior of remote-sensing images Bandara, Nair and Patel 2022 (arXiv
2206.11892), whose weights HIR-Diff used. Parameter names and shapes are those of that checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

CHANNELS = 3


class SR3UNet(nn.Module):
    """U-Net conditioned on the continuous noise level.

    Parameters
    ----------
    inner : channels of the first level
    multipliers : channels of each level over ``inner``; each level but the first has half the size of the one before
    blocks : residual blocks of a level on the way down; one more on the way up. The deepest level attends.
    groups : of the normalisation
    """

    def __init__(
        self, inner: int = 128, multipliers: Sequence[int] = (1, 2, 4, 8, 8), blocks: int = 2, groups: int = 32
    ) -> None:
        super().__init__()
        self.noise_level_mlp = nn.Sequential(
            _Frequencies(inner), nn.Linear(inner, 4 * inner), nn.SiLU(), nn.Linear(4 * inner, inner)
        )
        self.init_conv = nn.Conv2d(CHANNELS, inner, 3, padding=1)
        widths, deepest = [inner * factor for factor in multipliers], len(multipliers) - 1
        kept, width = [inner], inner
        downs: list[nn.Module] = []
        for level, wide in enumerate(widths):
            for _ in range(blocks):
                downs.append(_Stage(width, wide, inner, groups, attends=level == deepest))
                kept.append(wide)
                width = wide
            if level < deepest:
                downs.append(_Halved(width))
                kept.append(width)
        self.downs = nn.ModuleList(downs)
        self.mid = nn.ModuleList(_Stage(width, width, inner, groups, attends=attends) for attends in (True, False))
        ups: list[nn.Module] = []
        for level, wide in reversed(list(enumerate(widths))):
            for _ in range(blocks + 1):
                ups.append(_Stage(width + kept.pop(), wide, inner, groups, attends=level == deepest))
                width = wide
            if level:
                ups.append(_Doubled(width))
        self.ups = nn.ModuleList(ups)
        self.final_conv = _Convolved(width, CHANNELS, groups)
        self.size_multiple = 2**deepest

    def forward(self, images: torch.Tensor, level: torch.Tensor) -> torch.Tensor:
        """Noise in noisy images.

        Parameters
        ----------
        images : (N, 3, H, W), the clean part in [-1, 1]; sides that are multiples of ``size_multiple``
        level : (N,) square root of the signal share alpha-bar

        Returns
        -------
        (N, 3, H, W)
        """
        told = self.noise_level_mlp(level.to(images.dtype)[:, None])
        x = self.init_conv(images)
        kept = [x]
        for part in self.downs:
            x = part(x, told)
            kept.append(x)
        for part in self.mid:
            x = part(x, told)
        for part in self.ups:
            x = part(torch.cat([x, kept.pop()], 1) if isinstance(part, _Stage) else x, told)
        found: torch.Tensor = self.final_conv(x)
        return found


class _Frequencies(nn.Module):
    """Sines and cosines of the level, at frequencies from 1 down to 1e-4."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self._count = width // 2

    def forward(self, level: torch.Tensor) -> torch.Tensor:
        steps = torch.arange(self._count, dtype=level.dtype, device=level.device) / self._count
        angles = level * torch.exp(-math.log(1e4) * steps)
        return torch.cat([angles.sin(), angles.cos()], -1)


class _Convolved(nn.Module):
    """Normalised, activated, convolved."""

    def __init__(self, channels: int, out: int, groups: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.GroupNorm(groups, channels), nn.SiLU(), nn.Dropout(dropout), nn.Conv2d(channels, out, 3, padding=1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.block(x)
        return found


class _Told(nn.Module):
    """Adds what the level says, one number a channel."""

    def __init__(self, told: int, channels: int) -> None:
        super().__init__()
        self.noise_func = nn.Sequential(nn.Linear(told, channels))

    def forward(self, x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        return x + self.noise_func(told)[:, :, None, None]


class _Residual(nn.Module):
    """Two convolutions, told the level in between, beside the input."""

    def __init__(self, channels: int, out: int, told: int, groups: int) -> None:
        super().__init__()
        self.noise_func = _Told(told, out)
        self.block1 = _Convolved(channels, out, groups)
        self.block2 = _Convolved(out, out, groups, dropout=0.2)
        self.res_conv = nn.Conv2d(channels, out, 1) if channels != out else nn.Identity()

    def forward(self, x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.block2(self.noise_func(self.block1(x), told)) + self.res_conv(x)
        return found


class _Attention(nn.Module):
    """All places look at all places, one head."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        query, key, value = self.qkv(self.norm(x)).flatten(2).transpose(1, 2).contiguous().chunk(3, -1)
        seen = functional.scaled_dot_product_attention(query, key, value)
        found: torch.Tensor = x + self.out(seen.transpose(1, 2).reshape(x.shape))
        return found


class _Stage(nn.Module):
    """A residual block, with attention on the deepest level."""

    def __init__(self, channels: int, out: int, told: int, groups: int, *, attends: bool) -> None:
        super().__init__()
        self.res_block = _Residual(channels, out, told, groups)
        self.attn = _Attention(out, groups) if attends else nn.Identity()

    def forward(self, x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.attn(self.res_block(x, told))
        return found


class _Halved(nn.Module):
    """Half the size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.conv(x)
        return found


class _Doubled(nn.Module):
    """Twice the size."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.conv(functional.interpolate(x, scale_factor=2, mode="nearest"))
        return found
