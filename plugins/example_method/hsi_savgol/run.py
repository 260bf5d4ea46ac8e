"""The smoother itself: one small weighted least-squares fit for each sample."""

from __future__ import annotations

import numpy as np
import torch

from hsi_app.jobs import Job
from hsi_app.problem import Problem, Restoration
from hsi_savgol.spec import SavitzkyGolayParameters


def restore(problem: Problem, params: SavitzkyGolayParameters, job: Job) -> Restoration:
    """Smooth every observed spectrum.

    Around band b the observed samples y_i at wavelengths t_i are fitted by a polynomial in t - t_b of order p;
    its constant term is the smoothed value. With moments m_k = sum_i v_i (t_i - t_b)^k over the observed samples
    (v_i = 1) the normal equations are the (p+1) x (p+1) system [m_(j+k)] c = [sum_i v_i (t_i - t_b)^j y_i].

    Parameters
    ----------
    problem : the tile; missing samples have no weight
    params : half window (bands), order, reach (px)
    job : told after each band; may raise Cancelled

    Returns
    -------
    Restoration whose values are the fitted ones; where a window holds too few observed bands for the order the
    observed sample is kept, and NaN stands where there is none.

    Source: Savitzky and Golay 1964, eq. 1-8, in the weighted form of Cleveland and Devlin 1988, sec. 2.
    """
    observed, valid = problem.observed, problem.valid
    bands = observed.shape[0]
    positions = _positions(problem.wavelengths_nm, bands)
    length = min(2 * params.half_window + 1, bands)
    order = min(params.order, length - 1)
    values = torch.empty_like(observed)
    for band in range(bands):
        # At the ends of the spectrum the window stops at the last band and the fit becomes one-sided.
        start = min(max(band - length // 2, 0), bands - length)
        window = slice(start, start + length)
        offsets = positions[window] - positions[band]
        offsets = offsets / max(float(np.abs(offsets).max()), 1e-12)
        # (2p + 1, length) powers; float64 because normal equations square the condition number.
        powers = np.power(offsets[None, :], np.arange(2 * order + 1)[:, None])
        fitted, is_determined = _fit(observed[window], valid[window], torch.from_numpy(powers), order, params.reach)
        own = torch.where(valid[band], observed[band], torch.nan)
        values[band] = torch.where(is_determined, fitted.to(observed.dtype), own)
        job.step((band + 1) / bands, f"band {band + 1} of {bands}")
    return Restoration(values, trace={"window_bands": length, "order": order})


def _fit(
    observed: torch.Tensor, valid: torch.Tensor, powers: torch.Tensor, order: int, reach: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Constant term of the fit (h, w) float64, and where enough bands were observed to fix it."""
    powers = powers.to(observed.device)
    count = _pooled(valid.double(), reach)  # (length, h, w) observed samples of each band in the neighbourhood
    total = _pooled(observed.double() * valid, reach)
    moments = torch.einsum("kl,lhw->hwk", powers, count)
    right = torch.einsum("kl,lhw->hwk", powers[: order + 1], total)
    index = torch.arange(order + 1)
    matrix = moments[..., index[:, None] + index[None, :]]
    is_determined = (count > 0).sum(0) > order
    # An undetermined system is replaced by one that can be solved; its solution is not used.
    matrix = torch.where(is_determined[..., None, None], matrix, torch.eye(order + 1, dtype=matrix.dtype).to(matrix))
    return torch.linalg.solve(matrix, right)[..., 0], is_determined


def _pooled(images: torch.Tensor, reach: int) -> torch.Tensor:
    """Sum over the (2 reach + 1)^2 neighbours of each pixel; nothing lies outside the image."""
    if reach == 0:
        return images
    return torch.nn.functional.avg_pool2d(images[None], 2 * reach + 1, 1, reach, divisor_override=1)[0]


def _positions(wavelengths_nm: np.ndarray | None, bands: int) -> np.ndarray:
    """Where the bands lie: their centres in nm, or their numbers where these are unknown or not distinct."""
    if wavelengths_nm is None or np.unique(wavelengths_nm).size < bands or not np.isfinite(wavelengths_nm).all():
        return np.arange(bands, dtype=np.float64)
    return np.asarray(wavelengths_nm, dtype=np.float64)
