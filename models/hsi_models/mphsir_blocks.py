"""Layers of the published MP-HSIR network; names and shapes of their parameters are those of its checkpoints.

Source: Wu et al. 2025 (arXiv 2503.09131). Windowed attention is that of Swin (Liu et al. 2021, arXiv 2103.14030),
attention between channels and the gated convolutions are those of Restormer (Zamir et al. 2022, arXiv 2111.09881).
"""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

WINDOW = 8
SHIFT = WINDOW // 2
# Hidden channels of the gated layers over their input channels.
EXPANSION = 2.66
SPECTRAL_PROMPTS = 128


def hidden_channels(channels: int) -> int:
    """Hidden channels of a gated layer."""
    return int(EXPANSION * channels)


def to_windows(features: torch.Tensor) -> torch.Tensor:
    """Cut (N, H, W, C) into windows row by row: (N * nW, 64, C); H and W are multiples of 8."""
    count, rows, cols, channels = features.shape
    cut = features.reshape(count, rows // WINDOW, WINDOW, cols // WINDOW, WINDOW, channels)
    return cut.transpose(2, 3).reshape(-1, WINDOW**2, channels)


def from_windows(windows: torch.Tensor, rows: int, cols: int) -> torch.Tensor:
    """Undo ``to_windows``: (N * nW, 64, C) to (N, rows, cols, C)."""
    cut = windows.reshape(-1, rows // WINDOW, cols // WINDOW, WINDOW, WINDOW, windows.shape[-1])
    return cut.transpose(2, 3).reshape(-1, rows, cols, windows.shape[-1])


def relative_positions() -> torch.Tensor:
    """(64, 64) int64: which of the 225 offsets in a window leads from one pixel to another."""
    row, col = torch.meshgrid(torch.arange(WINDOW), torch.arange(WINDOW), indexing="ij")
    rows, cols = (axis.flatten()[:, None] - axis.flatten() + WINDOW - 1 for axis in (row, col))
    return rows * (2 * WINDOW - 1) + cols


def shift_mask(rows: int, cols: int) -> torch.Tensor:
    """What a pixel of a shifted window must not see: pixels that only the cyclic shift made its neighbours.

    Parameters
    ----------
    rows, cols : size of the feature map, multiples of 8

    Returns
    -------
    (nW, 64, 64) float tensor, 0 or -100, added to the logits
    """

    def part(size: int) -> torch.Tensor:
        place = torch.arange(size)
        return (place >= size - WINDOW).int() + (place >= size - SHIFT).int()

    region = to_windows((3 * part(rows)[:, None] + part(cols))[None, :, :, None])[..., 0]
    return (region[:, :, None] != region[:, None, :]) * -100.0


class ShiftMasks:
    """Masks of shifted windows for sizes other than the trained, kept for all blocks of a network.

    Parameters
    ----------
    most : how many are kept; the longest unused makes room
    """

    def __init__(self, most: int = 6) -> None:
        self._most = most
        self._kept: dict[tuple[int, int, torch.device, torch.dtype], torch.Tensor] = {}

    def find(self, rows: int, cols: int, like: torch.Tensor) -> torch.Tensor:
        """``shift_mask(rows, cols)`` of the device and type of ``like``."""
        key = (rows, cols, like.device, like.dtype)
        mask = self._kept.pop(key, None)
        if mask is None:
            # A mask made in inference mode could not be used in training later.
            with torch.inference_mode(False), torch.device("cpu"):
                mask = shift_mask(rows, cols).to(like.device, like.dtype)
        self._kept[key] = mask
        while len(self._kept) > self._most:
            del self._kept[next(iter(self._kept))]
        return mask


def attend_channels(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, temperature: torch.Tensor
) -> torch.Tensor:
    """Attention between the channels of each head, by the cosine of the angle between their images.

    Parameters
    ----------
    query, key, value : (N, C, H, W)
    temperature : (heads, 1, 1), by which cosines are multiplied

    Returns
    -------
    (N, C, H, W)
    """
    heads = temperature.shape[0]
    q, k, v = (part.reshape(part.shape[0], heads, part.shape[1] // heads, -1) for part in (query, key, value))
    # Sums over all pixels lose their small terms in half precision.
    with torch.autocast(query.device.type, enabled=False):
        if q.dtype in (torch.float16, torch.bfloat16):
            q, k = q.float(), k.float()
        cosines = functional.normalize(q, dim=-1) @ functional.normalize(k, dim=-1).mT
        shares = (cosines * temperature.to(q.dtype)).softmax(-1).to(v.dtype)
    found: torch.Tensor = (shares @ v).reshape(value.shape)
    return found


def pointwise(channels: int, out: int) -> nn.Conv2d:
    """A 1x1 convolution without bias."""
    return nn.Conv2d(channels, out, 1, bias=False)


def depthwise(channels: int) -> nn.Conv2d:
    """A 3x3 convolution of each channel by itself, without bias."""
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)


class ChannelAttention(nn.Module):
    """Attention between channels, pooled over the whole image.

    Parameters
    ----------
    channels : C, a multiple of ``heads``
    heads : number of groups of channels
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = pointwise(channels, 3 * channels)
        self.qkv_dwconv = depthwise(3 * channels)
        self.project_out = pointwise(channels, channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        query, key, value = self.qkv_dwconv(self.qkv(features)).chunk(3, 1)
        found: torch.Tensor = self.project_out(attend_channels(query, key, value, self.temperature))
        return found


class CrossChannelAttention(nn.Module):
    """Attention from the channels of one map to those of another.

    Parameters
    ----------
    channels : C, a multiple of ``heads``
    heads : number of groups of channels
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.kv = pointwise(channels, 2 * channels)
        self.kv_dwconv = depthwise(2 * channels)
        self.q = pointwise(channels, channels)
        self.q_dwconv = depthwise(channels)
        self.project_out = pointwise(channels, channels)

    def forward(self, asking: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) and (N, C, H, W) to (N, C, H, W)."""
        key, value = self.kv_dwconv(self.kv(told)).chunk(2, 1)
        query = self.q_dwconv(self.q(asking))
        found: torch.Tensor = self.project_out(attend_channels(query, key, value, self.temperature))
        return found


class ChannelNorm(nn.Module):
    """Layer normalisation of each pixel of (N, C, H, W) over its channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.LayerNorm(channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        found: torch.Tensor = self.body(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return found


class GatedConvolutions(nn.Module):
    """Feed-forward layer of (N, C, H, W) whose one half gates the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = hidden_channels(channels)
        self.project_in = pointwise(channels, 2 * hidden)
        self.dwconv = depthwise(2 * hidden)
        self.project_out = pointwise(hidden, channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        gate, passed = self.dwconv(self.project_in(features)).chunk(2, 1)
        found: torch.Tensor = self.project_out(functional.gelu(gate) * passed)
        return found


class GatedLinear(nn.Module):
    """Feed-forward layer of (..., C) whose one half gates the other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = hidden_channels(channels)
        self.fc1 = nn.Linear(channels, 2 * hidden)
        self.fc2 = nn.Linear(hidden, channels)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(..., C) to (..., C)."""
        passed, gate = self.fc1(tokens).chunk(2, -1)
        found: torch.Tensor = self.fc2(passed * functional.gelu(gate))
        return found


class WindowAttention(nn.Module):
    """Attention between the pixels of each window, with a learned term for their offset.

    Parameters
    ----------
    channels : C, a multiple of ``heads``
    heads : number of groups of channels
    fused : through ``scaled_dot_product_attention``; else with the softmax written out, slower and as exact
    """

    relative_position_index: torch.Tensor

    def __init__(self, channels: int, heads: int, *, fused: bool = True) -> None:
        super().__init__()
        self._heads, self.fused = heads, fused
        self.relative_position_bias_table = nn.Parameter(torch.empty((2 * WINDOW - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", relative_positions())
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, windows: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Attend within windows.

        Parameters
        ----------
        windows : (N * nW, 64, C)
        mask : (nW, 64, 64) added to the logits of each image's windows, or None

        Returns
        -------
        (N * nW, 64, C)
        """
        total, pixels, channels = windows.shape
        qkv = self.qkv(windows).reshape(total, pixels, 3, self._heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index].permute(2, 0, 1)
        if mask is None:
            query, key, value = qkv
            added = bias[None]
        else:
            # Windows count as heads, so that the mask is shared by the images and kernels see four axes.
            query, key, value = qkv.reshape(3, -1, len(mask) * self._heads, *qkv.shape[3:])
            added = (bias[None] + mask.to(bias.dtype)[:, None]).flatten(0, 1)[None]
        added = added.to(query.dtype)
        if self.fused:
            seen = functional.scaled_dot_product_attention(query, key, value, attn_mask=added)
        else:
            seen = (query @ key.mT * query.shape[-1] ** -0.5 + added).softmax(-1) @ value
        seen = seen.reshape(total, self._heads, pixels, -1).transpose(1, 2).reshape(total, pixels, channels)
        found: torch.Tensor = self.proj(seen)
        return found


class SpectralPromptGate(nn.Module):
    """A factor for each channel of a window, found from its mean spectrum and learned spectral prompts.

    Parameters
    ----------
    channels : C
    rank : length of the prompts
    """

    def __init__(self, channels: int, rank: int) -> None:
        super().__init__()
        self.prompt_param = nn.Parameter(torch.rand(1, 1, SPECTRAL_PROMPTS, rank))
        self.linear_down = nn.Linear(channels, rank, bias=False)
        self.linear_up = nn.Linear(rank, channels, bias=False)
        self.linear_prompt = nn.Linear(channels, SPECTRAL_PROMPTS, bias=False)
        self.q = nn.Linear(rank, rank, bias=False)
        self.kv = nn.Linear(rank, 2 * rank, bias=False)
        self.proj = nn.Linear(rank, rank)

    def forward(self, windows: torch.Tensor) -> torch.Tensor:
        """(N * nW, 64, C) to (N * nW, 64, C)."""
        spectrum = windows.mean(1)
        query = self.q(self.linear_prompt(spectrum).softmax(-1) @ self.prompt_param[0, 0])
        key, value = self.kv(self.linear_down(spectrum)).chunk(2, -1)
        shares = (query[:, :, None] * key[:, None, :] * query.shape[-1] ** -0.5).softmax(-1)
        gain = self.linear_up(self.proj((shares @ value[:, :, None])[:, :, 0]))
        found: torch.Tensor = gain[:, None] * windows
        return found


class SpectralBlock(nn.Module):
    """Windowed attention whose output passes two spectral branches, then a gated layer.

    Parameters
    ----------
    channels : C
    heads : of both attentions
    rank : length of the spectral prompts
    size : side of the feature map in training, px; a mask for it is among the weights of shifted blocks
    shifted : whether windows lie half a window further
    drop : share of samples in [0, 1) that skip a branch in training
    fused : see WindowAttention
    """

    attn_mask: torch.Tensor | None

    def __init__(
        self, channels: int, heads: int, rank: int, size: int, *, shifted: bool, drop: float, fused: bool = True
    ) -> None:
        super().__init__()
        self.shifted, self._size, self._drop = shifted, size, drop
        self.norm1 = nn.LayerNorm(channels)
        self.norm2 = nn.LayerNorm(channels)
        self.mlp = GatedLinear(channels)
        self.attn = WindowAttention(channels, heads, fused=fused)
        self.gobal_spectral_attn = ChannelAttention(channels, heads)  # the published spelling
        self.local_spectral_attn = SpectralPromptGate(channels, rank)
        self.register_buffer("attn_mask", shift_mask(size, size) if shifted else None)

    def forward(self, features: torch.Tensor, masks: ShiftMasks) -> torch.Tensor:
        """(N, H, W, C) to (N, H, W, C); H and W are multiples of 8."""
        rows, cols = features.shape[1:3]
        normed, mask = self.norm1(features), None
        if self.shifted:
            normed = normed.roll((-SHIFT, -SHIFT), (1, 2))
            trained = (rows, cols) == (self._size, self._size)
            mask = self.attn_mask if trained else masks.find(rows, cols, features)
        windows = self.attn(to_windows(normed), mask)
        seen, gated = (from_windows(part, rows, cols) for part in (windows, self.local_spectral_attn(windows)))
        if self.shifted:
            seen, gated = (part.roll((SHIFT, SHIFT), (1, 2)) for part in (seen, gated))
        pooled = self.gobal_spectral_attn(seen.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        features = features + self._dropped(gated + pooled)
        return features + self._dropped(self.mlp(self.norm2(features)))

    def _dropped(self, branch: torch.Tensor) -> torch.Tensor:
        """Stochastic depth (Huang et al. 2016, arXiv 1603.09382), its mean that of inference."""
        if not self.training or self._drop == 0:
            return branch
        kept = torch.rand(len(branch), 1, 1, 1, device=branch.device) >= self._drop
        return branch * (kept.to(branch.dtype) / (1 - self._drop))


class Stage(nn.Module):
    """Blocks, every other one shifted, beside their input.

    Parameters
    ----------
    channels, heads, rank, size, fused : see SpectralBlock
    drops : of each block
    masks : kept by the network
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        rank: int,
        size: int,
        drops: list[float],
        masks: ShiftMasks,
        *,
        fused: bool = True,
    ) -> None:
        super().__init__()
        self._masks = masks
        self.blocks = nn.ModuleList(
            SpectralBlock(channels, heads, rank, size, shifted=index % 2 == 1, drop=drop, fused=fused)
            for index, drop in enumerate(drops)
        )

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) to (N, C, H, W)."""
        tokens = features.permute(0, 2, 3, 1)
        for block in self.blocks:
            tokens = block(tokens, self._masks)
        return features + tokens.permute(0, 3, 1, 2)
