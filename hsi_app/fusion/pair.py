"""Two images of one ground on their way through fusion, brought to one scale."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hsi_app.errors import CapabilityError, CubeError
from hsi_app.scene import Scene
from hsi_app.tiling import Window

if TYPE_CHECKING:
    import torch

    from hsi_app.fusion.grids import Grids
    from hsi_app.fusion.placement import Placement
    from hsi_app.fusion.signal import Signal

# Spectra and pixels that a method learns from; smaller images are taken whole.
LEARNED_PX = 2**15
# Coarse pixels around a window that a point spread function and a cubic interpolation reach.
REACH_PX = 4
# Variation that is but the rounding of float32, over the largest number.
_FLAT = 1e-6


@dataclass(frozen=True, eq=False)
class Pair:
    """What fusion methods prepare from.

    Parameters
    ----------
    hsi : hyperspectral image (B, h, w), scaled proportionally from physical numbers
    msi : multispectral image (b, H, W), scaled likewise, by a number of its own
    response : (b, B) array, rows add to one: bands of the multispectral image as means of those of the other
    gain, offset : (b,) arrays: gain * msi + offset is what ``response`` makes of spectra on the scale of ``hsi``
    placement : where the pixels of ``msi`` lie on ``hsi``, or None where that is not known
    psf_fwhm : of what a pixel of ``hsi`` sees, in its pixels; None = the square of the pixel
    uneven_share : of the variance of ``hsi``, what small displacements explain that the placement does not mend
    """

    hsi: Scene
    msi: Scene
    response: np.ndarray
    gain: np.ndarray
    offset: np.ndarray
    placement: Placement | None = None
    psf_fwhm: float | None = None
    uneven_share: float = 0.0

    @property
    def device(self) -> torch.device:
        """Where the tensors live."""
        return self.hsi.device

    @property
    def ratio(self) -> float:
        """Pixels of ``msi`` to one of ``hsi`` along a side; 1 where not known."""
        return 1.0 if self.placement is None else float(np.sqrt(np.prod(self.placement.ratio)))

    def mixed_bands(self) -> torch.Tensor:
        """(b, B) ``response`` as a float32 tensor on the device."""
        import torch

        return torch.from_numpy(np.asarray(self.response, np.float32)).to(self.device)

    @cached_property
    def spectra(self) -> torch.Tensor:
        """(B, N) float32 tensor of complete hyperspectral pixels, all or an even sample of them.

        Raises CubeError if fewer than two pixels have all bands, or all are alike.
        """
        import torch

        pieces = []
        for values, valid in self.hsi.sample(LEARNED_PX):
            complete = valid.all(0).reshape(-1)
            pieces.append(values.reshape(values.shape[0], -1)[:, complete])
        spectra = torch.cat(pieces, 1)
        if spectra.shape[1] < 2:
            raise CubeError(
                f"'{self.hsi.cube.name}' has {spectra.shape[1]} pixels with all bands observed; a fusion learns from"
                " those. Mark bands with gaps as bad, or fill them first."
            )
        if float((spectra.amax(1) - spectra.amin(1)).max()) <= _FLAT * float(spectra.abs().max()):
            raise CubeError(f"all pixels of '{self.hsi.cube.name}' are alike; there is nothing to learn from it.")
        return spectra

    def matched(self, values: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """(b, H, W) scaled values of ``msi`` brought to the scale of the projected spectra; 0 where missing."""
        import torch

        gain, offset = (torch.from_numpy(column.astype(np.float32)).to(values) for column in (self.gain, self.offset))
        return torch.where(valid, values * gain[:, None, None] + offset[:, None, None], 0.0)

    def guide(self, window: Window | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Matched values (b, H, W) of a window of ``msi`` and where all bands were observed, (H, W) bool."""
        values, valid = self.msi.tensors(window)
        return self.matched(values, valid), valid.all(0)

    def guide_pixels(self, count: int, generator: torch.Generator) -> torch.Tensor:
        """(b, n) matched complete pixels of ``msi``, at most ``count``, drawn from an even sample.

        Raises CubeError if there is none.
        """
        import torch

        pieces = []
        for window in self.msi.sample_windows(max(LEARNED_PX, count)):
            values, complete = self.guide(window)
            pieces.append(values[:, complete])
        pixels = torch.cat(pieces, 1)
        if not pixels.shape[1]:
            raise CubeError(f"'{self.msi.cube.name}' has no pixel with all bands observed; nothing can be sharpened.")
        chosen = torch.randperm(pixels.shape[1], generator=generator, device=generator.device)[:count]
        return pixels[:, chosen.to(pixels.device)]

    def known_placement(self) -> Placement:
        """The placement; CapabilityError where there is none."""
        if self.placement is None:
            raise CapabilityError(
                "it is not known where one image lies on the other; give both a map frame, or --registration estimate,"
                " or choose a method that needs no registration (joint, u2mdn, ridge)."
            )
        return self.placement

    def coarse_window(self, window: Window, margin: int = REACH_PX) -> Window:
        """Part of ``hsi`` under a window of ``msi``, with ``margin`` pixels around it."""
        return self.known_placement().window(window, self.hsi.shape[1:], margin)

    def fine_window(self, window: Window) -> Window:
        """Part of ``msi`` that a window of ``hsi`` sees, with what the point spread reaches; may be empty."""
        top, left = window.row - REACH_PX, window.col - REACH_PX
        bottom, right = window.row + window.height + REACH_PX - 1, window.col + window.width + REACH_PX - 1
        places = np.array([[top, left], [top, right], [bottom, left], [bottom, right]], float)
        corners = self.known_placement().inverse_points(places)
        first = np.clip(np.floor(corners.min(0)), 0, self.msi.shape[1:]).astype(int)
        last = np.clip(np.ceil(corners.max(0)) + 1, first, self.msi.shape[1:]).astype(int)
        return Window(int(first[0]), int(first[1]), int(last[0] - first[0]), int(last[1] - first[1]))

    def grids(self, coarse: Window | None = None, fine: Window | None = None) -> Grids:
        """From windows of ``msi`` to windows of ``hsi`` and back."""
        from hsi_app.fusion.grids import Grids

        return Grids(
            self.known_placement(), self.hsi.shape[1:], self.msi.shape[1:], psf_fwhm=self.psf_fwhm,
            hsi_window=coarse, msi_window=fine,
        )  # fmt: skip

    @cached_property
    def signal(self) -> Signal:
        """Signal subspace of ``spectra``."""
        from hsi_app.fusion.signal import find_signal

        return find_signal(self.spectra)

    @cached_property
    def seen_by_both(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Pixels that both images show whole: (B, N) spectra, and (b, N) matched ``msi`` as the other sensor sees it.

        All, or those of an even sample. Raises CapabilityError where it is not known which lies where.
        """
        import torch

        spectra, broad = [], []
        for window in self.hsi.sample_windows(LEARNED_PX):
            fine = self.fine_window(window)
            if not fine.pixels:
                continue
            guide, complete = self.guide(fine)
            seen = self.grids(window, fine).to_coarse(guide, complete.expand_as(guide))
            values, valid = self.hsi.tensors(window)
            both = torch.isfinite(seen).all(0) & valid.all(0)
            spectra.append(values[:, both])
            broad.append(seen[:, both])
        none = torch.empty(0, device=self.device)
        return (
            torch.cat(spectra, 1) if spectra else none.reshape(self.hsi.shape[0], 0),
            torch.cat(broad, 1) if broad else none.reshape(self.msi.shape[0], 0),
        )
