"""What is wrong with a cube, and which steps would help: the choice behind ``restore auto``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hsi_app.cube import Cube
from hsi_app.errors import CapabilityError
from hsi_app.methods.registry import methods
from hsi_app.noise import NoiseReport, measure_noise
from hsi_app.recipe import Recipe, Step
from hsi_app.report.sampling import thumbnail

# Stripe strength of a band that counts as striped: twice what pixel noise explains, and half as much again as the
# cube's median band, because texture of the scene itself is shared by all bands; beyond 4 it is stripes in any case.
_STRIPED, _ABOVE_MEDIAN, _STRIPED_ANYWAY = 2.0, 1.5, 4.0
# One sample in 200 at the same few values: dead or saturated samples.
STUCK_SHARE = 0.005
# One gap in 10 000 samples is worth filling.
GAP_SHARE = 1e-4
# Above this median signal-to-noise ratio, noise is invisible in single bands: 40 dB is 1 % of the signal.
CLEAN_DB = 40.0
_SAMPLED_BANDS = 8
_SAMPLED_PX = 1024
# With more samples missing in some bands only, stripes cannot be told from gaps.
_RAGGED = 0.02


@dataclass(frozen=True)
class Diagnosis:
    """What was measured, what follows from it, and why.

    snr_db : median over the good bands; NaN if it could not be measured
    striped_bands : indices of bands with stripes
    stuck_bands : indices of bands with values that are dead, saturated or overwritten
    gap_share : share of samples in [0, 1] that are missing although the scene goes on around them
    """

    snr_db: float
    striped_bands: tuple[int, ...]
    stuck_bands: tuple[int, ...]
    gap_share: float
    recipe: Recipe
    reasons: tuple[str, ...]

    def lines(self) -> list[str]:
        """The reasons, then the choice, for a person."""
        chosen = ", then ".join(f"{step.task} with {step.method}" for step in self.recipe.steps)
        rebuilds = ", noisy samples rebuilt" if self.recipe.keep_observed is False else ""
        return [*self.reasons, f"chosen: {chosen}{rebuilds}"]


def diagnose(cube: Cube, *, has_mask: bool = False) -> Diagnosis:
    """Measure noise, stripes, impulses and gaps on a sample, and choose the steps.

    Noise asks for 'denoise', which takes stripes and outliers away too; stripes or stuck values in an otherwise clean
    cube ask for 'destripe', which changes damaged samples only. Gaps ask for 'inpaint': of a clean cube it leaves the
    observed samples as they are, of a noisy one it rebuilds them on the way.

    Parameters
    ----------
    cube : observed cube; a central window and a few bands are read
    has_mask : the caller knows of missing samples that the cube does not show

    Raises
    ------
    CapabilityError
        If no method without weights offers a task that is needed.
    """
    noise = measure_noise(cube)
    good = cube.axis.good if cube.axis.good.size else np.arange(cube.shape[0])
    levels = noise.snr_db[good]
    snr_db = float(np.median(levels[np.isfinite(levels)])) if np.isfinite(levels).any() else float("nan")
    stripes = np.fmax(noise.stripe_rows, noise.stripe_cols)
    striped = striped_bands(cube, noise)
    stuck = tuple(int(b) for b in good if noise.stuck_share[b] > STUCK_SHARE)
    gaps = gap_share(cube)

    reasons = []
    if striped or stuck:
        if striped:
            worst = max(striped, key=lambda b: stripes[b])
            reasons.append(
                f"stripes in {len(striped)} of {good.size} bands, strongest {stripes[worst]:.1f}"
                f" in band {cube.axis.label(worst)} (1 means none)"
            )
        if stuck:
            reasons.append(f"dead, saturated or overwritten samples in {len(stuck)} of {good.size} bands")
    if not np.isnan(snr_db):
        reasons.append(f"median signal-to-noise ratio {snr_db:.1f} dB")
    fills = gaps > GAP_SHARE or has_mask
    if fills:
        reasons.append(f"{gaps:.2%} of the samples are missing inside the scene" + (", and a mask" if has_mask else ""))
    is_clean, is_damaged = snr_db >= CLEAN_DB, bool(striped or stuck)
    if not fills:
        # With nothing wrong at all, a denoiser that follows the measured noise changes next to nothing.
        recipe = Recipe((_step("destripe" if is_clean and is_damaged else "denoise"),))
    elif is_clean:
        recipe = Recipe((*((_step("destripe"),) if is_damaged else ()), _step("inpaint")))
    else:
        recipe = Recipe((_step("inpaint"),), keep_observed=False)
    return Diagnosis(snr_db, striped, stuck, gaps, recipe, tuple(reasons))


def striped_bands(cube: Cube, noise: NoiseReport) -> tuple[int, ...]:
    """Indices of the bands, not marked bad, whose rows or columns differ from their neighbours' as stripes do."""
    good = cube.axis.good
    strength = np.fmax(noise.stripe_rows, noise.stripe_cols)[good]
    if not np.isfinite(strength).any():
        return ()
    if ragged_share(cube) > _RAGGED:
        return ()
    median = float(np.median(strength[np.isfinite(strength)]))
    is_striped = (strength > max(_STRIPED, _ABOVE_MEDIAN * median)) | (strength > _STRIPED_ANYWAY)
    return tuple(int(b) for b in good[is_striped])


def _step(task: str) -> Step:
    """The first method that offers the task and needs no weights."""
    for spec in methods("restore").values():
        if task in spec.tasks and not spec.weights:
            return Step(spec.id, task)
    raise CapabilityError(f"no method without weights can {task}; name a method yourself.")


def gap_share(cube: Cube) -> float:
    """Share of missing samples that have observed ones on both sides, along their row or their column.

    The empty corners of a rotated swath are no gaps: nothing lies beyond them. Measured in a few good bands
    spread over the spectrum; of a large scene on every n-th row and column.
    """
    return float(np.mean([_enclosed(band).mean() for band in _sampled_validity(cube)]))


def ragged_share(cube: Cube) -> float:
    """Share of samples missing in pixels that other bands saw, in the same sample as ``gap_share``.

    Where gaps differ from band to band, row means are means over different ground, which looks like stripes.
    """
    seen = _sampled_validity(cube)
    return float((seen.any(axis=0) & ~seen).mean())


def _sampled_validity(cube: Cube) -> np.ndarray:
    """(b, h, w) bool, True where observed, in up to eight good bands."""
    good = cube.axis.good if cube.axis.good.size else np.arange(cube.shape[0])
    picked = good[np.unique(np.linspace(0, good.size - 1, _SAMPLED_BANDS).astype(int))].tolist()
    return np.isfinite(thumbnail(cube, picked, side_px=_SAMPLED_PX).values)


def _enclosed(seen: np.ndarray) -> np.ndarray:
    """(H, W) bool, True at unseen pixels between seen ones of their row or column."""
    between = np.zeros(seen.shape, bool)
    for axis in (0, 1):
        before = np.logical_or.accumulate(seen, axis=axis)
        after = np.flip(np.logical_or.accumulate(np.flip(seen, axis), axis=axis), axis)
        between |= before & after
    return between & ~seen
