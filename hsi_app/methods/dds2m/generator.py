"""The generator of DDS2M: spectra times maps, both drawn by untrained networks around what is known already."""

from __future__ import annotations

import torch
from hsi_models.vs2m import LITE, PUBLISHED, SpatialNets, SpectralNets
from torch import nn
from torch.nn import functional

from hsi_app.methods.dds2m.spec import Dds2mParameters

# Fixed noise images that a network is shown which has no estimate to look at.
NOISE_IMAGES = 8
# Size of the maps' first changes, in standard deviations of each map.
GAIN = 0.3
# With an estimate the network starts at this share of its last layer's first weights: at the estimate, nearly.
FIRST_CHANGE = 1e-2


class Generator(nn.Module):
    """A cube of rank R, in half ranges of the scene: (B, R) spectra times (R, H, W) maps.

    Parameters
    ----------
    params : which networks, and what they start from
    basis : (B, R) spectra of the scene's subspace, in units of the noise
    size : (R,) standard deviations of the maps over the scene, in half ranges
    floor : (B,) what zero is, in half ranges; spectra of a simplex stay above it
    draws : of the first weights and of the noise images
    """

    vector: torch.Tensor
    basis: torch.Tensor
    size: torch.Tensor
    floor: torch.Tensor
    first: torch.Tensor

    def __init__(
        self,
        params: Dds2mParameters,
        basis: torch.Tensor,
        size: torch.Tensor,
        floor: torch.Tensor,
        draws: torch.Generator,
    ) -> None:
        super().__init__()
        bands, rank = basis.shape
        self.is_simplex, self.spectra_from, self.from_estimate = (
            params.simplex,
            params.spectra,
            params.start == "estimate",
        )
        self.is_grouped = params.generator == "full"
        inputs = rank + 1 if self.from_estimate else 1 if self.is_grouped else NOISE_IMAGES
        self.inputs = inputs
        host = torch.Generator().manual_seed(int(torch.randint(2**62, (1,), generator=draws)))
        self.maps = (
            SpatialNets(rank, inputs, 1, PUBLISHED, host)
            if self.is_grouped
            else SpatialNets(1, inputs, rank, LITE, host)
        )
        if self.from_estimate and not self.is_simplex:
            with torch.no_grad():
                for last in self.maps.last.parameters():
                    last.mul_(FIRST_CHANGE)
        self.spectra = None if params.spectra == "subspace" and not params.simplex else SpectralNets(rank, bands, host)
        self.register_buffer("vector", torch.rand(bands, generator=host) - 0.5)
        self.register_buffer("basis", basis)
        self.register_buffer("size", size[:, None, None])
        self.register_buffer("floor", floor[:, None])
        self.to(basis.device)
        # Fitted spectra begin exactly at the subspace.
        with torch.no_grad():
            self.register_buffer(
                "first", torch.zeros_like(basis) if self.spectra is None else self.spectra(self.vector).T
            )

    def noise_images(self, height: int, width: int, draws: torch.Generator) -> torch.Tensor:
        """(inputs, H, W) uniform in [-0.5, 0.5], what the networks are shown in a cold start."""
        return torch.rand(self.inputs, height, width, generator=draws, device=draws.device) - 0.5

    def forward(self, shown: torch.Tensor, base: torch.Tensor | None) -> torch.Tensor:
        """(B, H, W) cube in half ranges.

        shown : (inputs, H, W) what the networks look at; base : (R, H, W) maps that they add to, or None
        """
        is_gpu = shown.device.type == "cuda"
        with torch.autocast("cuda", torch.bfloat16, enabled=is_gpu and torch.cuda.is_bf16_supported()):
            found = self.maps(shown[None])
        maps, spectra = found.float().flatten(0, 1), self._spectra()
        if self.is_simplex:
            maps = maps.softmax(0)
        elif base is not None:
            maps = base + GAIN * self.size * maps * (1 - shown[-1])
        elif self.spectra_from != "untrained":
            maps = self.size * maps
        return (spectra @ maps.flatten(1)).reshape(-1, *maps.shape[1:])

    def _spectra(self) -> torch.Tensor:
        """(B, R)."""
        if self.spectra is None:
            return self.basis
        drawn = self.spectra(self.vector).T
        if self.is_simplex:
            return self.floor + functional.softplus(drawn)
        return 2 * drawn if self.spectra_from == "untrained" else self.basis + drawn - self.first
