"""MP-HSIR as published: restores images of 31 or 100 bands when told what degraded them.

Source: Wu et al. 2025 (arXiv 2503.09131). Parameter names and shapes are those of the published checkpoints, which hold
one network for natural scenes (31 bands, 400-700 nm) and one for remote sensing (100 bands, 400-1000 nm).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch.nn import functional

from hsi_models.mphsir_blocks import (
    ChannelAttention,
    ChannelNorm,
    CrossChannelAttention,
    GatedConvolutions,
    ShiftMasks,
    Stage,
    pointwise,
)

# Length of a CLIP text vector (ViT-B/32).
TEXT_LENGTH = 512
# Two halvings and a window.
SIZE_MULTIPLE = 32
# Side of the training patches, px.
TRAINED_SIZE = 64
# Largest share of samples that skip a branch in training, reached at the deepest block.
DEEPEST_DROP = 0.1
_KEPT_PROMPTS = 8


class MPHSIR(nn.Module):
    """Three-level U-Net of windowed and spectral attention, prompted at its skip connections.

    Parameters
    ----------
    bands : spectral bands in and out
    width : channels at the finest level, a multiple of 8
    tasks : degradations it can be told
    blocks : blocks at each level, finest first
    refinement : blocks after the finest level, at most ``blocks[1] + blocks[2]``
    fused : attention through ``scaled_dot_product_attention``; False writes the softmax out, to compare with

    The published networks are ``MPHSIR(31, 64, 6)`` and ``MPHSIR(100, 96, 7)``. Images enter in [0, 1] and any size.
    Attention between channels pools over the whole image and the prompt is stretched over it, so what a pixel becomes
    depends on the extent of the image it is given in.
    """

    def __init__(
        self,
        bands: int = 31,
        width: int = 64,
        tasks: int = 6,
        *,
        blocks: tuple[int, int, int] = (2, 4, 6),
        refinement: int = 4,
        fused: bool = True,
    ) -> None:
        super().__init__()
        if width % 8:
            raise ValueError(f"width is {width}; it must be a multiple of 8.")
        if refinement > blocks[1] + blocks[2]:
            raise ValueError(
                f"{refinement} blocks of refinement do not fit blocks of {blocks}; at most their last two."
            )
        self.bands, self.tasks, self.size_multiple = bands, tasks, SIZE_MULTIPLE
        self._masks = ShiftMasks()
        self._kept_prompts: dict[tuple[object, ...], torch.Tensor] = {}
        first, second, third = blocks
        count = first + second + third
        drops = [DEEPEST_DROP * index / max(count - 1, 1) for index in range(count)]

        def stage(channels: int, heads: int, compression: int, halvings: int, drops: list[float]) -> Stage:
            size = TRAINED_SIZE >> halvings
            return Stage(channels, heads, channels // compression, size, drops, self._masks, fused=fused)

        self.patch_embed = _Convolution(bands, width)
        self.prompt1 = TaskPrompt(width, tasks, TRAINED_SIZE)
        self.prompt2 = TaskPrompt(2 * width, tasks, TRAINED_SIZE // 2)
        self.fusion1 = PromptFusion(width, heads=4)
        self.fusion2 = PromptFusion(2 * width, heads=8)
        self.encoder_level1 = stage(width, 2, 8, 0, drops[:first])
        self.down1_2 = _Resized(width, width // 2, nn.PixelUnshuffle(2))
        self.encoder_level2 = stage(2 * width, 4, 16, 1, drops[first : first + second])
        self.down2_3 = _Resized(2 * width, width, nn.PixelUnshuffle(2))
        self.latent = stage(4 * width, 8, 32, 2, drops[first + second :])
        self.up3_2 = _Resized(4 * width, 8 * width, nn.PixelShuffle(2))
        self.reduce_chan_level2 = pointwise(4 * width, 2 * width)
        self.decoder_level2 = stage(2 * width, 4, 16, 1, drops[first : first + second])
        self.up2_1 = _Resized(2 * width, 4 * width, nn.PixelShuffle(2))
        self.decoder_level1 = stage(2 * width, 2, 8, 0, drops[:first])
        self.refinement = stage(2 * width, 2, 8, 0, drops[first : first + refinement])
        self.output = nn.Conv2d(2 * width, bands, 3, padding=1, bias=False)
        self.register_load_state_dict_post_hook(_forget_prompts)

    def forward(
        self, observed: torch.Tensor, tasks: torch.Tensor, clip_table: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Restore images.

        Parameters
        ----------
        observed : (N, bands, H, W), about [0, 1], finite
        tasks : (N,) integer ids, (N, k) integer ids that are averaged, or (N, tasks) floating weights
            A mixture is not the mean of its tasks' prompts: the prompt is quadratic in the weights.
        clip_table : (tasks, 512) text vectors of the tasks, not normalised; see ``hsi_models.clip_text``

        Returns
        -------
        (N, bands, H, W)

        Raises
        ------
        ValueError
            If the table is missing, or a shape or an id does not fit.
        """
        if observed.ndim != 4 or observed.shape[1] != self.bands:
            raise ValueError(f"images are {tuple(observed.shape)}; this network takes (N, {self.bands}, H, W).")
        rows, cols = observed.shape[2:]
        padded = _reflected(_reflected(observed, -2), -1)
        weights = task_weights(tasks, self.tasks, padded.dtype).to(padded)
        if len(weights) != len(padded):
            raise ValueError(f"{len(padded)} images were given with tasks for {len(weights)}.")
        fine, coarse = self.prompts(weights, clip_table, (padded.shape[2], padded.shape[3]))
        level1 = self.encoder_level1(self.patch_embed(padded))
        level2 = self.encoder_level2(self.down1_2(level1))
        deep = self.latent(self.down2_3(level2))
        x = torch.cat([self.up3_2(deep), self.fusion2(level2, coarse)], 1)
        x = self.decoder_level2(self.reduce_chan_level2(x))
        x = self.decoder_level1(torch.cat([self.up2_1(x), self.fusion1(level1, fine)], 1))
        found: torch.Tensor = self.output(self.refinement(x)) + padded
        return found[:, :, :rows, :cols]

    def prompts(
        self, weights: torch.Tensor, clip_table: torch.Tensor | None, size: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Prompt maps of both skip connections.

        They do not depend on the image. Each distinct row of weights is worked out once and by itself, since the
        published product of task and text vectors would mix the tasks of a batch. In inference they are kept until
        the parameters change.

        Parameters
        ----------
        weights : (N, tasks), rows that sum to 1
        clip_table : (tasks, 512)
        size : (H, W) of the images, multiples of 32

        Returns
        -------
        (N, width, H, W) and (N, 2 * width, H / 2, W / 2)
        """
        if clip_table is None:
            raise ValueError(
                "the CLIP table is missing: this network needs the (tasks, 512) text vectors of its tasks; make them "
                "with 'hsi-app models clip'."
            )
        if clip_table.shape != (self.tasks, TEXT_LENGTH):
            raise ValueError(
                f"the CLIP table is {tuple(clip_table.shape)}; this network needs ({self.tasks}, {TEXT_LENGTH})."
            )
        distinct, place = torch.unique(weights, dim=0, return_inverse=True)
        text = distinct @ clip_table.to(weights) / self.tasks
        parts = ((self.prompt1, size), (self.prompt2, (size[0] // 2, size[1] // 2)))
        fine, coarse = (
            torch.cat([self._prompt(part, distinct[i : i + 1], text[i : i + 1], out) for i in range(len(distinct))])
            for part, out in parts
        )
        return fine[place], coarse[place]

    def _prompt(
        self, part: TaskPrompt, weights: torch.Tensor, text: torch.Tensor, size: tuple[int, int]
    ) -> torch.Tensor:
        if self.training or torch.is_grad_enabled():
            made: torch.Tensor = part(weights, text, size)
            return made
        told = (*weights[0].tolist(), *text[0].tolist())
        state = sum(-1 if each.is_inference() else each._version for each in part.parameters())
        autocast = torch.is_autocast_enabled(weights.device.type)
        key = (part is self.prompt1, size, told, weights.dtype, weights.device, autocast, state)
        kept = self._kept_prompts.pop(key, None)
        found = part(weights, text, size) if kept is None else kept
        self._kept_prompts[key] = found
        while len(self._kept_prompts) > _KEPT_PROMPTS:
            del self._kept_prompts[next(iter(self._kept_prompts))]
        return found

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> MPHSIR:
        # Parameters that are moved or converted may come back with another value and the same type.
        _forget_prompts(self, None)
        # Five axes cannot be laid out channels last; the first of them is 1.
        super()._apply(lambda each: fn(each[0])[None] if each.ndim == 5 else fn(each), recurse)
        return self


def _forget_prompts(network: MPHSIR, _keys: object) -> None:
    network._kept_prompts.clear()


def task_weights(tasks: torch.Tensor, count: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """How much of each task is told.

    Parameters
    ----------
    tasks : (N,) or (N, k) integer ids in [0, count), or (N, count) floating weights
    count : number of tasks
    dtype : of the weights of ids

    Returns
    -------
    (N, count) float tensor; of several ids the mean of their unit vectors

    Raises
    ------
    ValueError
        If an id is out of range, a weight is negative or not finite, or the shape does not fit.

    >>> task_weights(torch.tensor([[0, 2]]), 3).tolist()
    [[0.5, 0.0, 0.5]]
    """
    if tasks.is_floating_point():
        if tasks.ndim != 2 or tasks.shape[1] != count:
            raise ValueError(f"weights of tasks are {tuple(tasks.shape)}; this network takes (N, {count}).")
        if not bool((tasks.isfinite() & (tasks >= 0)).all()):
            raise ValueError("weights of tasks must be finite and not negative.")
        return tasks
    if tasks.ndim not in (1, 2) or tasks.numel() == 0:
        raise ValueError(f"ids of tasks are {tuple(tasks.shape)}; give (N,) or (N, k) of them.")
    least, most = int(tasks.min()), int(tasks.max())
    if not 0 <= least <= most < count:
        raise ValueError(f"ids of tasks reach from {least} to {most}; this network knows 0 to {count - 1}.")
    return functional.one_hot(tasks.long().reshape(len(tasks), -1), count).to(dtype).mean(1)


def _reflected(images: torch.Tensor, axis: int) -> torch.Tensor:
    """Longer to the next multiple of 32, mirrored as often as it takes."""
    size = images.shape[axis]
    padded = -(-size // SIZE_MULTIPLE) * SIZE_MULTIPLE
    if padded == size:
        return images
    place = torch.arange(padded, device=images.device) % max(2 * size - 2, 1)
    return images.index_select(axis, torch.minimum(place, (2 * size - 2 - place).abs()))


class TaskPrompt(nn.Module):
    """A map that tells the network what degraded the image: task and text vectors crossed with a learned image.

    Parameters
    ----------
    channels : C
    tasks : T
    size : side of the learned image, px
    """

    def __init__(self, channels: int, tasks: int, size: int) -> None:
        super().__init__()
        self.visual_prompt = nn.Parameter(torch.rand(1, channels, size, size))
        self.text_prompt_learnable = nn.Parameter(torch.randn(1, tasks, channels, 1, 1))
        # In the checkpoints, though nothing passes through them.
        self.text_linear = nn.Linear(TEXT_LENGTH, channels)
        self.clip_linear = nn.Linear(TEXT_LENGTH, channels)
        self.cross_transformer = _CrossBlock(channels, heads=2)
        self.conv_last = nn.Conv2d(channels, channels, 3, padding=1, bias=False)

    def forward(self, weights: torch.Tensor, text: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Prompt map of one told task.

        Parameters
        ----------
        weights : (1, T)
        text : (1, 512), the told mean of the text vectors divided by T
        size : (H, W) of the map

        Returns
        -------
        (1, C, H, W)
        """
        learned = self.text_prompt_learnable
        task = (weights @ learned.flatten(2)[0].to(weights.dtype)) / learned.shape[1]
        # As published: no projection of the text, so that its 512 numbers lie along the columns.
        product = task[:, :, None, None] * text[:, None, None, :]
        asking = functional.interpolate(product, self.visual_prompt.shape[2:], mode="nearest")
        told = self.cross_transformer(asking, self.visual_prompt)
        found: torch.Tensor = self.conv_last(functional.interpolate(told, size, mode="bilinear"))
        return found


class _CrossBlock(nn.Module):
    """Attention from one map to another, then a gated layer."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm11 = ChannelNorm(channels)
        self.norm12 = ChannelNorm(channels)
        self.attn = CrossChannelAttention(channels, heads)
        self.norm2 = ChannelNorm(channels)
        self.ffn = GatedConvolutions(channels)

    def forward(self, asking: torch.Tensor, told: torch.Tensor) -> torch.Tensor:
        x = asking + self.attn(self.norm11(asking), self.norm12(told))
        found: torch.Tensor = x + self.ffn(self.norm2(x))
        return found


class _ChannelBlock(nn.Module):
    """Attention between channels, then a gated layer."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.norm1 = ChannelNorm(channels)
        self.attn = ChannelAttention(channels, heads)
        self.norm2 = ChannelNorm(channels)
        self.ffn = GatedConvolutions(channels)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        x = features + self.attn(self.norm1(features))
        found: torch.Tensor = x + self.ffn(self.norm2(x))
        return found


class PromptFusion(nn.Module):
    """Puts a prompt map into the features of a skip connection.

    Parameters
    ----------
    channels : C of either
    heads : of the attention between all of them
    """

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.transformer = _ChannelBlock(2 * channels, heads)
        self.conv = pointwise(2 * channels, channels)

    def forward(self, features: torch.Tensor, prompt: torch.Tensor) -> torch.Tensor:
        """(N, C, H, W) and (N, C, H, W) to (N, C, H, W)."""
        found: torch.Tensor = self.conv(self.transformer(torch.cat([features, prompt], 1)))
        return found


class _Convolution(nn.Module):
    """A 3x3 convolution without bias."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(channels, out, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.proj(x)
        return found


class _Resized(nn.Module):
    """A 3x3 convolution without bias, then pixels to channels or back."""

    def __init__(self, channels: int, out: int, shuffle: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(channels, out, 3, padding=1, bias=False), shuffle)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.body(x)
        return found
