"""Spectral operators: one matrix along the band axis is a response, a mixture or a subspace lift."""

from __future__ import annotations

from typing import final

import numpy as np
import torch

from hsi_app.errors import OperatorError
from hsi_app.physics.operator import LinearOperator

# Standard deviations from its centre beyond which a Gaussian sees nothing, unless bands are as sparse everywhere.
_FAR = 4.0
FWHM_TO_STD = 0.42466090014400953


@final
class BandMatrix(LinearOperator):
    """Multiplies every spectrum by a matrix.

    Serves as spectral response (MSI bands x HSI bands), endmember matrix (bands x materials) and subspace lift
    (bands x components), so ``(H @ E)`` needs no code of its own.

    matrix : (B_out, B_in) float tensor; height, width : of the image, px
    """

    def __init__(self, matrix: torch.Tensor, height: int, width: int) -> None:
        if matrix.ndim != 2:
            raise OperatorError(f"a band matrix of shape {tuple(matrix.shape)}; give (bands out, bands in).")
        super().__init__((matrix.shape[1], height, width), (matrix.shape[0], height, width))
        self.matrix = matrix
        self._factors: tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None = None

    def _forward(self, cube: torch.Tensor) -> torch.Tensor:
        return torch.tensordot(self.matrix.to(cube), cube, dims=1)

    def _adjoint(self, cube: torch.Tensor) -> torch.Tensor:
        return torch.tensordot(self.matrix.to(cube).T, cube, dims=1)

    def _decomposed(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if self._factors is None:
            u, s, vt = torch.linalg.svd(self.matrix.double(), full_matrices=True)
            self._factors = (u, s, vt)
        return self._factors

    def singulars(self) -> torch.Tensor:
        """(n,) singular values, each repeated for every pixel."""
        return self._decomposed()[1].repeat_interleave(self.in_shape[1] * self.in_shape[2]).float()

    def vt(self, cube: torch.Tensor) -> torch.Tensor:
        """Flat coordinates of an input."""
        return torch.tensordot(self._decomposed()[2].to(cube), cube, dims=1).reshape(-1)

    def v(self, coordinates: torch.Tensor) -> torch.Tensor:
        """The input with these coordinates."""
        turn = self._decomposed()[2].to(coordinates).T
        return torch.tensordot(turn, coordinates.reshape(self.in_shape), dims=1)

    def ut(self, cube: torch.Tensor) -> torch.Tensor:
        """Flat coordinates of an output."""
        return torch.tensordot(self._decomposed()[0].to(cube).T, cube, dims=1).reshape(-1)

    def u(self, coordinates: torch.Tensor) -> torch.Tensor:
        """The output with these coordinates."""
        turn = self._decomposed()[0].to(coordinates)
        return torch.tensordot(turn, coordinates.reshape(self.out_shape), dims=1)


def gaussian_response(centres_nm: np.ndarray, fwhm_nm: np.ndarray, at_nm: np.ndarray) -> np.ndarray:
    """Spectral response of bands given by centre and width, on the bands of another sensor.

    Parameters
    ----------
    centres_nm, fwhm_nm : (b,) of the broad bands; at_nm : (B,) centres of the narrow bands

    Returns
    -------
    (b, B) float64, rows add to one

    Raises
    ------
    OperatorError
        If a broad band lies outside the narrow ones' range, or sees none of them, or has no width.
    """
    at = np.asarray(at_nm, float)
    centres, widths = np.atleast_1d(centres_nm).astype(float), np.atleast_1d(fwhm_nm).astype(float)
    if not (widths > 0).all():
        wrong = int(np.argmin(widths > 0))
        raise OperatorError(
            f"the band at {centres[wrong]:g} nm has a width of {widths[wrong]:g} nm; it must be positive."
        )
    outside = (centres < at.min() - widths / 2) | (centres > at.max() + widths / 2)
    if outside.any():
        raise OperatorError(
            f"a band at {centres[outside][0]:g} nm lies outside the cube's {at.min():g} to {at.max():g} nm."
        )
    response = np.exp(-0.5 * ((at[None, :] - centres[:, None]) / (widths[:, None] * FWHM_TO_STD)) ** 2)
    response *= _intervals(at)
    total = response.sum(axis=1, keepdims=True)
    away = np.abs(at[None, :] - centres[:, None]).min(axis=1)
    spacing = float(np.median(np.diff(np.sort(at)))) if at.size > 1 else 0.0
    blind = ((away > _FAR * widths * FWHM_TO_STD) & (away > spacing)) | (total[:, 0] <= 0)
    if blind.any():
        raise OperatorError(f"a band at {centres[blind][0]:g} nm lies in a gap between the cube's bands.")
    return np.asarray(response / total)


def tabled_response(table_nm: np.ndarray, table: np.ndarray, at_nm: np.ndarray) -> np.ndarray:
    """Spectral response read from a table, on the bands of another sensor.

    table_nm : (n,) ascending wavelengths; table : (n, b) responses >= 0; at_nm : (B,)
    Returns (b, B) float64, rows add to one. Raises OperatorError where table and bands do not overlap.
    """
    at = np.asarray(at_nm, float)
    response = np.stack([np.interp(at, table_nm, column, left=0.0, right=0.0) for column in np.asarray(table).T])
    response *= _intervals(at)
    total = response.sum(axis=1, keepdims=True)
    if (total <= 0).any():
        raise OperatorError(
            f"response table of {np.min(table_nm):g} to {np.max(table_nm):g} nm and a cube of {at.min():g} to"
            f" {at.max():g} nm do not overlap in band {int(np.argmin(total)) + 1}."
        )
    return np.asarray(response / total)


def _intervals(at: np.ndarray) -> np.ndarray:
    """(B,) what each of unevenly spaced bands stands for, nm; a band beside a gap does not stand for the gap.

    Bands may come in any order, and share what they stand for where two lie at one place.
    """
    order = np.argsort(at, kind="stable")
    step = np.diff(at[order])
    if not (step > 0).any():
        return np.ones(at.size)
    before, after = np.concatenate([step[:1], step]), np.concatenate([step, step[-1:]])
    nearest = np.minimum(*(np.where(side > 0, side, np.inf) for side in (before, after)))
    intervals = np.empty(at.size)
    intervals[order] = np.minimum((before + after) / 2, 1.5 * nearest)
    return intervals
