"""A cube on its way through the pipeline: scaled, on the device, readable in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from hsi_app.cube import Cube
from hsi_app.errors import CubeError
from hsi_app.scaling import Scaling, fit_scaling
from hsi_app.tiling import Window, strips

if TYPE_CHECKING:
    import torch

SAMPLE_PIXELS = 2**16


def held_bytes(shape: tuple[int, int, int], itemsize: int) -> int:
    """Bytes of (B, H, W) samples that stay in memory, with as much again to make them: values, validity, as stored."""
    bands, height, width = shape
    return 2 * height * bands * width * (5 + itemsize)


class Scene:
    """Windows of a cube as scaled float32 tensors on the working device.

    Small scenes are put on the device once and kept; large ones are read window by window.

    Parameters
    ----------
    cube : the observed cube
    bands : indices of the bands to work on, ascending
    device : torch device
    mask : (H, W) or (B, H, W) over all bands of ``cube``, True or not 0 = observed, or None; adds to the cube's own
    budget : bytes this scene may keep in memory
    physical : scale proportionally, without an offset, from gain * stored + offset; for mixtures of spectra, which an
        offset or a gain of each band would bend

    Raises
    ------
    CubeError
        If no sample of these bands is valid.
    """

    def __init__(
        self,
        cube: Cube,
        bands: np.ndarray,
        device: torch.device,
        *,
        mask: np.ndarray | None = None,
        budget: int = 2**30,
        physical: bool = False,
    ) -> None:
        self.physical = physical
        self.cube, self.bands, self.device = cube, np.asarray(bands, np.intp), device
        _, height, width = cube.shape
        self.shape = (self.bands.size, height, width)
        if self.bands.size == 0:
            raise CubeError(f"all {cube.shape[0]} bands of '{cube.name}' are marked bad; choose --bad-bands restore.")
        if mask is not None and mask.shape not in ((height, width), cube.shape):
            raise CubeError(f"mask of shape {mask.shape} for a cube of shape {cube.shape}; give {(height, width)}.")
        self.mask = None if mask is None else np.asarray(mask).astype(bool)
        # float32 values, validity and the stored block that they come from.
        per_row = held_bytes((self.bands.size, 1, width), cube.dtype.itemsize) // 2
        self.strip_rows = int(max(1, min(height, budget // (4 * per_row))))
        self._whole: tuple[torch.Tensor, torch.Tensor] | None = None
        self._share = held_bytes(self.shape, cube.dtype.itemsize) / max(budget, 1)
        self._keeps = self._share <= 1
        self.scaling = self._fit_scaling()

    @property
    def holds_whole(self) -> bool:
        """True where the scaled scene stays in memory, so that tiles need no reading."""
        return self._keeps

    def would_hold(self, times: int) -> bool:
        """True where ``times`` as many samples could stay in memory too."""
        return self._share * times <= 1

    @property
    def wavelengths_nm(self) -> np.ndarray | None:
        """(B,) centres of the bands worked on, or None."""
        centres = self.cube.axis.centres_nm
        return None if centres is None else centres[self.bands]

    def read(self, window: Window | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Scaled values (B, h, w) float32, 0 where missing, and validity, on the host."""
        values, valid = self._stored(window)
        scaled = self.scaling.apply(values)
        if not valid.all():
            scaled[~valid] = 0.0
        return scaled, valid

    def tensors(self, window: Window | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Scaled values and validity of a window on the device (do not change them in place)."""
        import torch

        if self._keeps:
            if self._whole is None:
                values, valid = self.read()
                self._whole = torch.from_numpy(values).to(self.device), torch.from_numpy(valid).to(self.device)
            if window is None:
                return self._whole
            rows, cols = window.slices
            return self._whole[0][:, rows, cols], self._whole[1][:, rows, cols]
        values, valid = self.read(window)
        return torch.from_numpy(values).to(self.device), torch.from_numpy(valid).to(self.device)

    def strips(self) -> Iterator[tuple[Window, torch.Tensor, torch.Tensor]]:
        """The whole scene, top to bottom, in strips that fit the budget."""
        for window in strips(self.shape[1:], self.shape[1] if self._keeps else self.strip_rows):
            values, valid = self.tensors(window)
            yield window, values, valid

    def sample(self, pixels: int = SAMPLE_PIXELS) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Windows spread evenly over the scene, about ``pixels`` in all; the whole scene if it is small.

        The choice depends on the scene's size alone, so it is the same for every tiling and budget.
        """
        return [self.tensors(window) for window in self.sample_windows(pixels)]

    def sample_windows(self, pixels: int = SAMPLE_PIXELS) -> list[Window]:
        """Where ``sample`` looks."""
        _, height, width = self.shape
        if height * width <= pixels:
            return [Window(0, 0, height, width)]
        side = min(64, height, width)
        count = max(1, pixels // side**2)
        down = max(1, min(round(np.sqrt(count * height / width)), height // side))
        across = max(1, min(count // down, width // side))
        tops = np.round(np.linspace(0, height - side, down)).astype(int)
        lefts = np.round(np.linspace(0, width - side, across)).astype(int)
        return [Window(int(top), int(left), side, side) for top in tops for left in lefts]

    def _stored(self, window: Window | None) -> tuple[np.ndarray, np.ndarray]:
        whole_axis = self.bands.size == self.cube.shape[0]
        pick = None if whole_axis else [int(b) for b in self.bands]
        values, valid = self.cube.block(window, pick)
        if self.mask is not None:
            rows, cols = (slice(None), slice(None)) if window is None else window.slices
            valid &= self.mask[rows, cols] if self.mask.ndim == 2 else self.mask[self.bands][:, rows, cols]
        if self.physical:
            gain, offset = (self._of_bands(column) for column in (self.cube.gain, self.cube.offset))
            if (gain != 1).any() or (offset != 0).any():
                values = np.where(valid, values * gain + offset, np.float32(0))
        return values, valid

    def _of_bands(self, column: float | np.ndarray) -> np.ndarray:
        """A number or a column of all bands as (B, 1, 1) float32 of those worked on."""
        full = np.broadcast_to(np.asarray(column, np.float32), self.cube.shape[:1])
        return full[self.bands][:, None, None]

    def _fit_scaling(self) -> Scaling:
        samples = []
        for window in self.sample_windows():
            values, valid = self._stored(window)
            # Every 7th sample (or 11th, 13th): without a factor in common with the width, all columns count.
            step = next((prime for prime in (7, 11, 13) if window.width % prime), 1)
            samples.append(values.reshape(-1)[::step][valid.reshape(-1)[::step]])
        chosen = np.concatenate(samples)
        chosen = chosen if chosen.size else self._first_samples()
        if not self.physical:
            return fit_scaling(chosen)
        fitted = fit_scaling(np.abs(chosen))
        return Scaling(0.0, (fitted.offset + fitted.span) or 1.0)

    def _first_samples(self, enough: int = 2**20) -> np.ndarray:
        """Valid samples from the top of the scene, for a narrow swath that all sampled places may miss."""
        found, count = [], 0
        for window in strips(self.shape[1:], self.strip_rows):
            values, valid = self._stored(window)
            # Row by row, so that the height of the strips, which follows the budget, changes nothing.
            for row in np.flatnonzero(valid.any(axis=(0, 2))):
                found.append(values[:, row][valid[:, row]])
                count += found[-1].size
                if count >= enough:
                    return np.concatenate(found)
        return np.concatenate(found) if found else np.empty(0, np.float32)
