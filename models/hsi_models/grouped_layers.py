"""Layers of R networks that run as one: tensors are (R, C, H, W), network r sees entry r.

Where a published layer changes the grid and convolves, one convolution does both here, with a kernel worked out from
the published one: same parameters, same result, fewer products.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

_SLOPE = 0.2
_TINY = 1e-5


class Pointwise(nn.Module):
    """R linear maps of the channels."""

    def __init__(self, count: int, inputs: int, outputs: int, *, shifts: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, outputs, inputs))
        self.bias = nn.Parameter(torch.empty(count, outputs)) if shifts else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(R, outputs, ...) of (R, inputs, ...), or of (1, inputs, ...) that all share."""
        # Products of matrices: a grouped convolution of side 1 took twice as long.
        flat = x.flatten(2).expand(len(self.weight), -1, -1)
        found = self.weight @ flat if self.bias is None else torch.baddbmm(self.bias[:, :, None], self.weight, flat)
        return found.unflatten(2, x.shape[2:])


class Convolution(nn.Module):
    """R convolutions, edges mirrored, of channels that come in parts."""

    def __init__(self, count: int, inputs: tuple[int, ...], outputs: int, side: int) -> None:
        super().__init__()
        # A kernel for each part: 128 and 4 channels take half the time of 132, which fill no whole vector registers.
        self.weights = nn.ParameterList(torch.empty(count, outputs, wide, side, side) for wide in inputs)
        self.bias = nn.Parameter(torch.empty(count, outputs))

    def forward(self, *parts: torch.Tensor) -> torch.Tensor:
        """(R, outputs, H, W) of the parts, each (R, its inputs, H, W)."""
        first, *others = zip(parts, self.weights, strict=True)
        found = _correlate(_mirrored(first[0], first[1]), first[1], self.bias)
        for part, weight in others:
            found += _correlate(_mirrored(part, weight), weight)
        return found


class HalvingConvolution(nn.Module):
    """R convolutions, edges mirrored, then the mean of 2x2 pixels.

    The mean of four shifted kernels, taken at every second pixel, gives the same in 64 products for 196 (side 7).
    """

    def __init__(self, count: int, inputs: int, outputs: int, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, outputs, inputs, side, side))
        self.bias = nn.Parameter(torch.empty(count, outputs))
        both = torch.eye(side + 1)
        along = (both[:-1] + both[1:]) / 2
        self.register_buffer("fold", torch.kron(along, along), persistent=False)
        self.fold: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(R, outputs, H/2, W/2) of (R, inputs, H, W), or of (1, inputs, H, W) that all share; even sides."""
        with torch.autocast(x.device.type, enabled=False):
            side = self.weight.shape[-1] + 1
            kernel = (self.weight.flatten(3) @ self.fold).unflatten(3, (side, side))
        return _correlate(_mirrored(x, self.weight), kernel, self.bias, stride=2)


class DoublingConvolution(nn.Module):
    """Bilinear doubling, normalisation by each channel's mean and variance, then R convolutions.

    Bilinear doubling sets zeros between the pixels and blurs by (1, 3, 3, 1) / 4 along each axis. The blur may as well
    come last, where channels are fewer, and then three in four products of the convolution meet a zero and are left
    out. The normalisation goes into the kernels.

    As published, the doubled image is mirrored about its edge pixels; here the coarse one is, about its edges. So the
    results differ in a frame of side // 2 doubled pixels, and only there.
    """

    def __init__(self, count: int, inputs: int, outputs: int, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, outputs, inputs, side, side))
        self.bias = nn.Parameter(torch.empty(count, outputs))
        self.norm = Norm(count, inputs)
        along = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
        self.register_buffer("blur", torch.outer(along, along), persistent=False)
        self.blur: torch.Tensor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(R, outputs, 2 H, 2 W) of (R, inputs, H, W); sides of at least two pixels."""
        count, outputs, _, side, _ = self.weight.shape
        with torch.autocast(x.device.type, enabled=False):
            mean, variance = doubled_moments(x.float())
            gain = self.norm.weight * (variance + _TINY).rsqrt()
            shift = self.norm.bias - mean * gain
            kernel = (self.weight * gain[:, None, :, None, None]).transpose(1, 2).flatten(0, 1).flip(2, 3)
            bias = self.bias + (self.weight.sum((3, 4)) @ shift[:, :, None])[:, :, 0]
        reach = (side // 2 + 2) // 2
        joined = _continued(x, reach).flatten(0, 1)[None]
        # Of what the continued image gives, the doubled one is kept, and what the blur sees around it. The blur's
        # weights sum to 4. A bias added by it would have the gradients of its weights worked out too: 28 ms for 5.
        edge = side // 2 + 2 * reach - 2
        found = functional.conv_transpose2d(joined, kernel, bias.flatten() / 4, 2, edge, groups=count)
        blur = self.blur.expand(count * outputs, 1, -1, -1)
        found = functional.conv2d(found, blur, groups=count * outputs)
        return found.reshape(count, outputs, *found.shape[2:])


class Norm(nn.Module):
    """Batch normalisation of a batch of one: by the mean and variance of each channel's own image."""

    def __init__(self, count: int, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, channels))
        self.bias = nn.Parameter(torch.empty(count, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Each channel of (R, C, H, W) by its own mean and variance."""
        return self._normalised(x).reshape(x.shape)

    def bent(self, x: torch.Tensor) -> torch.Tensor:
        """The same, then a leaky rectifier."""
        # In place before the new shape: in place on a view, autograd would copy.
        return functional.leaky_relu_(self._normalised(x), _SLOPE).reshape(x.shape)

    def _normalised(self, x: torch.Tensor) -> torch.Tensor:
        joined = x.reshape(1, -1, *x.shape[2:])
        return functional.batch_norm(
            joined, None, None, self.weight.flatten(), self.bias.flatten(), training=True, eps=_TINY
        )


class Places(nn.Module):
    """R convolutions to one channel with a kernel as wide as the image, zeros around it, by Fourier transforms."""

    def __init__(self, count: int, inputs: int, side: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(count, 1, inputs, side, side))
        self.bias = nn.Parameter(torch.empty(count, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(R, 1, H, W) of (R, inputs, H, W), in float32 within."""
        height, width = x.shape[2:]
        half = self.weight.shape[-1] // 2
        # Only so much of the kernel meets an image as is wide: the rest would multiply the zeros around it.
        down, across = min(half, height - 1), min(half, width - 1)
        kernel = self.weight[:, 0, :, half - down : half + down + 1, half - across : half + across + 1]
        # What goes round an edge falls on zeros. Multiples of 8 keep large primes out of the transforms.
        sides = [-(-(length + more) // 8) * 8 for length, more in ((height, down), (width, across))]
        with torch.autocast(x.device.type, enabled=False):
            around = functional.pad(x.float(), (across, 0, down, 0))
            waves = torch.fft.rfft2(around, s=sides) * torch.fft.rfft2(kernel, s=sides).conj()
            found = torch.fft.irfft2(waves.sum(1, keepdim=True), s=sides)
        return (found[:, :, :height, :width] + self.bias[:, :, None, None]).to(x.dtype)


def doubled_moments(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance that each image of (R, C, H, W) has once it is doubled bilinearly: (R, C) each.

    Along one axis, with L the Laplacian of the path of pixels, the doubled l has the square sum l^T (2 I - 3/8 L) l and
    twice the sum of l; along two axes the forms multiply.
    """
    return _DoubledMoments.apply(x)


class _DoubledMoments(torch.autograd.Function):
    """With the form applied to the image once, for the value and for the gradient: autograd's way takes 30 passes."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean = x.mean((2, 3))
        centred = x - mean[:, :, None, None]
        formed = centred
        for axis in (2, 3):
            step = 0.375 * formed.diff(dim=axis)
            formed = 2 * formed
            formed.narrow(axis, 0, step.shape[axis]).add_(step)
            formed.narrow(axis, 1, step.shape[axis]).sub_(step)
        formed /= 4 * x[0, 0].numel()
        ctx.save_for_backward(formed)
        return mean, (centred * formed).sum((2, 3))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_mean: torch.Tensor, of_variance: torch.Tensor) -> torch.Tensor:
        (formed,) = ctx.saved_tensors
        return torch.addcmul(
            of_mean[:, :, None, None] / formed[0, 0].numel(), formed, of_variance[:, :, None, None], value=2
        )


@torch.no_grad()
def start(module: nn.Module, generator: torch.Generator) -> None:
    """Weights as torch draws them for single layers, but from the given generator."""
    for part in module.modules():
        if isinstance(part, Norm):
            part.weight.fill_(1.0)
            part.bias.zero_()
        elif isinstance(part, (Pointwise, Convolution, HalvingConvolution, DoublingConvolution, Places)):
            weights = list(part.weights) if isinstance(part, Convolution) else [part.weight]
            bound = 1 / math.sqrt(sum(weight[0, 0].numel() for weight in weights))
            for weight in (*weights, part.bias):
                if weight is not None:
                    weight.uniform_(-bound, bound, generator=generator)


def _mirrored(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return functional.pad(x, (weight.shape[-1] // 2,) * 4, mode="reflect")


def _continued(x: torch.Tensor, reach: int) -> torch.Tensor:
    """Mirrored about the image's edges, so that edge pixels come twice; half as far from the published as repeating."""
    x = torch.cat([x[:, :, :reach].flip(2), x, x[:, :, -reach:].flip(2)], 2)
    return torch.cat([x[..., :reach].flip(3), x, x[..., -reach:].flip(3)], 3)


def _correlate(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None, stride: int = 1
) -> torch.Tensor:
    """Valid correlation of R images, or of one that all networks share, with (R, O, C, k, k)."""
    count, outputs = weight.shape[:2]
    joined = x.reshape(1, -1, *x.shape[2:])
    shifts = None if bias is None else bias.flatten()
    found = functional.conv2d(joined, weight.flatten(0, 1), shifts, stride, groups=len(x))
    return found.reshape(count, outputs, *found.shape[2:])
