"""PromptedNet: a small network after MP-HSIR (Wu et al. 2025, arXiv 2503.09131) that corrects a classical estimate.

Taken over: a three-level U-Net of blocks with shifted-window attention, whose output feeds global spectral attention
and a spectral prompt that gates each window; prompts of task and learned visual tokens at both skips. Changed: every
prompt belongs to one sample and has no size, so batch mates and image size do not matter; measured numbers of the
degradation are a second prompt; the network is shown a classical estimate and only adds to it; it sees either
component images, or a group of neighbouring bands, so that any number of bands will do.
"""

from __future__ import annotations

import math
from functools import partial

import torch
from torch import nn
from torch.nn import functional

WINDOW = 8
# Height and width of what the network is given must be multiples of this: two halvings and a window.
SIZE_MULTIPLE = 32


class PromptedNet(nn.Module):
    """See the module.

    Parameters
    ----------
    components : most component images seen at a time
    group : bands of a group
    degradations : what can be prompted, in the order of the weights
    measured : numbers of the measured prompt
    width : channels at the finest level
    blocks : blocks at the three levels, and of refinement
    prompt : length of prompt vectors
    tokens : learned visual tokens
    spectral_prompts, spectral_rank : number and length of the prompts that gate windows
    """

    def __init__(
        self,
        components: int = 12,
        group: int = 32,
        degradations: int = 9,
        measured: int = 8,
        width: int = 32,
        blocks: tuple[int, int, int, int] = (1, 1, 2, 1),
        prompt: int = 64,
        tokens: int = 16,
        spectral_prompts: int = 64,
        spectral_rank: int = 8,
    ) -> None:
        super().__init__()
        self.components, self.group = components, group
        block = partial(PromptedBlock, spectral_prompts=spectral_prompts, spectral_rank=spectral_rank)

        def stage(channels: int, heads: int, count: int) -> nn.Sequential:
            return nn.Sequential(*(block(channels, heads, shift=WINDOW // 2 * (i % 2)) for i in range(count)))

        first, second, third, refined = blocks
        self.prompts = Prompts(degradations, measured + components, prompt, tokens)
        self.see_components = nn.Conv2d(3 * components + 2, width, 3, padding=1, padding_mode="reflect")
        self.see_bands = nn.Conv2d(3 * group, width, 3, padding=1, padding_mode="reflect")
        self.fine = stage(width, 2, first)
        self.halve = nn.Conv2d(width, width // 2, 3, padding=1, padding_mode="reflect", bias=False)
        self.middle = stage(2 * width, 4, second)
        self.halve_again = nn.Conv2d(2 * width, width, 3, padding=1, padding_mode="reflect", bias=False)
        self.coarse = stage(4 * width, 8, third)
        self.prompt_coarse = PromptFusion(4 * width, prompt)
        self.prompt_middle = PromptFusion(2 * width, prompt)
        self.prompt_fine = PromptFusion(width, prompt)
        self.enlarge = nn.Conv2d(4 * width, 8 * width, 1, bias=False)
        self.join_middle = nn.Conv2d(4 * width, 2 * width, 1, bias=False)
        self.middle_up = stage(2 * width, 4, second)
        self.enlarge_again = nn.Conv2d(2 * width, 4 * width, 1, bias=False)
        self.join_fine = nn.Conv2d(2 * width, width, 1, bias=False)
        self.fine_up = stage(width, 2, first)
        self.refine = stage(width, 2, refined)
        self.out_components = nn.Conv2d(width, components, 3, padding=1, padding_mode="reflect")
        self.out_bands = nn.Conv2d(width, group, 3, padding=1, padding_mode="reflect")
        self.out_veil = nn.Conv2d(width, 1, 3, padding=1, padding_mode="reflect")
        # How large corrections are at all, the prompt says: hardly any where the estimate is nearly right.
        self.reach = nn.Linear(prompt, components + 2)
        # At the start the network changes nothing: whatever it gains over the classical estimate it has learned.
        for layer in (self.out_components, self.out_bands, self.out_veil, self.reach):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def correct_components(self, seen: torch.Tensor, weights: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
        """What to add to component images.

        Parameters
        ----------
        seen : (N, 3 K + 2, H, W) estimate, what was removed, detail, and the two maps of the observed share
        weights : (N, T) how much of each degradation there is, all 0 where that is not known
        measured : (N, M + K) measured numbers, all 0 where they are not known

        Returns
        -------
        (N, K, H, W) in units of the expected error
        """
        prompt = self.prompts(weights, measured)
        found: torch.Tensor = self.out_components(self._features(self.see_components(seen), prompt))
        return found * self._reach(prompt)[:, :-2]

    def correct_bands(
        self, seen: torch.Tensor, weights: torch.Tensor, measured: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What to add to a group of bands, and to the optical thickness of the haze before them.

        seen : (N, 3 G, H, W) observed, estimate, mask; weights, measured : as in ``correct_components``

        Returns
        -------
        (N, G, H, W) and (N, 1, H, W)
        """
        prompt = self.prompts(weights, measured)
        features, reach = self._features(self.see_bands(seen), prompt), self._reach(prompt)
        return self.out_bands(features) * reach[:, -2:-1], self.out_veil(features) * reach[:, -1:]

    def _reach(self, prompt: torch.Tensor) -> torch.Tensor:
        return torch.exp(self.reach(prompt).clamp(-6, 3))[:, :, None, None]

    def _features(self, stem: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
        fine = self.fine(_channels_last(stem))
        middle = self.middle(_halved(self.halve, fine))
        coarse = self.prompt_coarse(self.coarse(_halved(self.halve_again, middle)), prompt)
        up = _doubled(self.enlarge, coarse)
        up = self.middle_up(_convolved(self.join_middle, torch.cat([up, self.prompt_middle(middle, prompt)], -1)))
        up = _doubled(self.enlarge_again, up)
        up = self.fine_up(_convolved(self.join_fine, torch.cat([up, self.prompt_fine(fine, prompt)], -1)))
        return _channels_first(self.refine(up)) + stem


class Prompts(nn.Module):
    """One vector a sample from what is asked for, learned visual tokens, and measured numbers.

    The text vector of the task attends over the visual tokens; what is measured is added. With neither, the vector is
    that of 'not known', which is learned too.
    """

    def __init__(self, degradations: int, measured: int, length: int, tokens: int) -> None:
        super().__init__()
        self.text = nn.Parameter(torch.randn(degradations, length) / math.sqrt(length))
        self.unknown = nn.Parameter(torch.zeros(length))
        self.visual = nn.Parameter(torch.randn(tokens, length) / math.sqrt(length))
        self.key, self.value = nn.Linear(length, length), nn.Linear(length, length)
        self.query = nn.Linear(length, length)
        self.measured = nn.Sequential(nn.Linear(measured, length), nn.GELU(), nn.Linear(length, length))
        self.norm = nn.LayerNorm(length)

    def forward(self, weights: torch.Tensor, measured: torch.Tensor) -> torch.Tensor:
        """(N, length)."""
        told = weights.sum(1, keepdim=True).clamp(0, 1)
        text = weights @ self.text + (1 - told) * self.unknown
        numbers = self.measured(measured)
        query = self.query(text + numbers)
        attention = torch.softmax(query @ self.key(self.visual).T / math.sqrt(query.shape[1]), 1)
        found: torch.Tensor = self.norm(text + attention @ self.value(self.visual) + numbers)
        return found


class PromptFusion(nn.Module):
    """Features scaled, shifted and mixed as the prompt says; the same at every place, so of any size."""

    def __init__(self, channels: int, prompt: int) -> None:
        super().__init__()
        self.modulate = nn.Linear(prompt, 3 * channels)
        self.mix = nn.Linear(channels, channels)
        nn.init.zeros_(self.modulate.bias)
        nn.init.normal_(self.modulate.weight, std=0.02)

    def forward(self, features: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C)."""
        scale, shift, gate = self.modulate(prompt)[:, None, None].chunk(3, -1)
        return features + gate * self.mix(features * (1 + scale) + shift) + scale * features + shift


class PromptedBlock(nn.Module):
    """Window attention whose output feeds global spectral attention and the window's spectral gate; a gated MLP."""

    def __init__(self, channels: int, heads: int, *, shift: int, spectral_prompts: int, spectral_rank: int) -> None:
        super().__init__()
        self.norm, self.norm_mlp = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.window = WindowAttention(channels, heads, shift)
        self.spectral = SpectralAttention(channels, heads)
        self.gate = SpectralGate(channels, spectral_prompts, spectral_rank)
        hidden = 2 * channels
        self.widen, self.narrow = nn.Linear(channels, 2 * hidden), nn.Linear(hidden, channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C) -> the same."""
        seen = self.window(self.norm(features))
        features = features + self.spectral(seen) + self.gate(seen, self.window.shift) * seen
        value, gate = self.widen(self.norm_mlp(features)).chunk(2, -1)
        return features + self.narrow(value * functional.gelu(gate))


class WindowAttention(nn.Module):
    """Attention among the pixels of each 8 x 8 window, its grid shifted or not (Liu et al. 2021)."""

    place: torch.Tensor

    def __init__(self, channels: int, heads: int, shift: int) -> None:
        super().__init__()
        self.heads, self.shift = heads, shift
        self.qkv, self.out = nn.Linear(channels, 3 * channels), nn.Linear(channels, channels)
        self.bias = nn.Parameter(torch.zeros((2 * WINDOW - 1) ** 2, heads))
        nn.init.trunc_normal_(self.bias, std=0.02)
        side = torch.arange(WINDOW)
        rows, cols = (axis.reshape(-1) for axis in torch.meshgrid(side, side, indexing="ij"))
        place = (rows[:, None] - rows + WINDOW - 1) * (2 * WINDOW - 1) + cols[:, None] - cols + WINDOW - 1
        self.register_buffer("place", place, persistent=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C) -> the same."""
        count, height, width, _ = features.shape
        moved = features.roll((-self.shift, -self.shift), (1, 2)) if self.shift else features
        windows = _windows(moved)
        qkv = self.qkv(windows).reshape(*windows.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.bias[self.place].permute(2, 0, 1)
        if self.shift:
            apart = self._apart(height, width, features.device)
            bias = (bias[None] + apart[:, None]).repeat(count, 1, 1, 1)
        seen = functional.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], attn_mask=bias.to(qkv.dtype))
        seen = self.out(seen.transpose(1, 2).reshape(windows.shape))
        back = _unwindowed(seen, height, width)
        return back.roll((self.shift, self.shift), (1, 2)) if self.shift else back

    def _apart(self, height: int, width: int, device: torch.device) -> torch.Tensor:
        """(windows, 64, 64) -100 between pixels that the shift brought together round the edge."""
        down, across = ((torch.arange(n, device=device) >= n - self.shift).long() for n in (height, width))
        part = _windows((2 * down[:, None] + across)[None, :, :, None].float())[..., 0]
        return torch.where(part[:, :, None] == part[:, None, :], 0.0, -100.0)


class SpectralAttention(nn.Module):
    """Attention among channels over the whole image (Zamir et al. 2022)."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.spread = nn.Conv2d(
            3 * channels, 3 * channels, 3, padding=1, padding_mode="reflect", groups=3 * channels, bias=False
        )
        self.out = nn.Linear(channels, channels, bias=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(N, H, W, C) -> the same."""
        count, height, width, channels = features.shape
        qkv = _convolved(self.spread, self.qkv(features)).reshape(count, height * width, 3, self.heads, -1)
        query, key, value = qkv.permute(2, 0, 3, 4, 1)  # (N, heads, C / heads, pixels)
        # Norms and sums over thousands of pixels in single precision, whatever the rest is in.
        query, key = (functional.normalize(part.float(), dim=-1) for part in (query, key))
        attention = torch.softmax(query @ key.transpose(-1, -2) * self.temperature, -1).to(value.dtype)
        seen = (attention @ value).permute(0, 3, 1, 2).reshape(count, height, width, channels)
        found: torch.Tensor = self.out(seen)
        return found


class SpectralGate(nn.Module):
    """Gains of a window's channels: a mixture of learned spectral prompts, chosen by the window's mean.

    Source: arXiv 2503.09131, sec. 3.3.
    """

    def __init__(self, channels: int, prompts: int, rank: int) -> None:
        super().__init__()
        self.prompts = nn.Parameter(torch.randn(prompts, rank))
        self.choose = nn.Linear(channels, prompts, bias=False)
        self.down, self.up = nn.Linear(channels, rank, bias=False), nn.Linear(rank, channels, bias=False)
        self.query, self.key_value = nn.Linear(rank, rank, bias=False), nn.Linear(rank, 2 * rank, bias=False)
        self.out = nn.Linear(rank, rank)

    def forward(self, seen: torch.Tensor, shift: int) -> torch.Tensor:
        """(N, H, W, C) gains, the same over each window of the grid that ``shift`` moves."""
        moved = seen.roll((-shift, -shift), (1, 2)) if shift else seen
        means = functional.avg_pool2d(_channels_first(moved), WINDOW)
        mean = _channels_last(means)
        query = self.query(self.weights(mean) @ self.prompts)
        key, value = self.key_value(self.down(mean)).chunk(2, -1)
        attention = torch.softmax(query[..., :, None] * key[..., None, :] / math.sqrt(query.shape[-1]), -1)
        gain = self.up(self.out((attention @ value[..., None])[..., 0]))
        gain = gain.repeat_interleave(WINDOW, 1).repeat_interleave(WINDOW, 2)
        return gain.roll((shift, shift), (1, 2)) if shift else gain

    def weights(self, mean: torch.Tensor) -> torch.Tensor:
        """(..., prompts) how much of each prompt windows of these mean channels (..., C) take."""
        return torch.softmax(self.choose(mean), -1)


def _channels_last(images: torch.Tensor) -> torch.Tensor:
    return images.permute(0, 2, 3, 1)


def _channels_first(features: torch.Tensor) -> torch.Tensor:
    return features.permute(0, 3, 1, 2)


def _convolved(layer: nn.Module, features: torch.Tensor) -> torch.Tensor:
    return _channels_last(layer(_channels_first(features)))


def _halved(layer: nn.Module, features: torch.Tensor) -> torch.Tensor:
    return _channels_last(functional.pixel_unshuffle(layer(_channels_first(features)), 2))


def _doubled(layer: nn.Module, features: torch.Tensor) -> torch.Tensor:
    return _channels_last(functional.pixel_shuffle(layer(_channels_first(features)), 2))


def _windows(features: torch.Tensor) -> torch.Tensor:
    """(N, H, W, C) -> (N windows, 64, C)."""
    count, height, width, channels = features.shape
    cut = features.reshape(count, height // WINDOW, WINDOW, width // WINDOW, WINDOW, channels)
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(-1, WINDOW * WINDOW, channels)


def _unwindowed(windows: torch.Tensor, height: int, width: int) -> torch.Tensor:
    down, across = height // WINDOW, width // WINDOW
    cut = windows.reshape(-1, down, across, WINDOW, WINDOW, windows.shape[-1])
    return cut.permute(0, 1, 3, 2, 4, 5).reshape(-1, height, width, windows.shape[-1])
