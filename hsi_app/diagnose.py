"""What is wrong with a cube, and which steps would help: the choice behind ``restore auto``."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from hsi_app.cube import Cube
from hsi_app.errors import Cancelled, CapabilityError, HsiError
from hsi_app.jobs import Job
from hsi_app.methods.registry import methods
from hsi_app.noise import NoiseReport, measure_noise
from hsi_app.recipe import Recipe, Step
from hsi_app.report.sampling import centre, thumbnail

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
# Blur and haze are looked for in the middle of the scene.
_LOOKED_AT_PX = 192
# The network that undoes blur and haze, where its weights are installed.
_CORRECTS_OPTICS = "mphsir"


@dataclass(frozen=True)
class Diagnosis:
    """What was measured, what follows from it, and why.

    snr_db : median over the good bands; NaN if it could not be measured
    striped_bands : indices of bands with stripes
    stuck_bands : indices of bands with values that are dead, saturated or overwritten
    gap_share : share of samples in [0, 1] that are missing although the scene goes on around them
    blur_fwhm_px : full width at half maximum of the blur in px; 0 where the scene is sharp, it cannot be told or was
        not looked for
    is_hazy : a veil that thins with the wavelength was found; looked for only where nothing else was
    """

    snr_db: float
    striped_bands: tuple[int, ...]
    stuck_bands: tuple[int, ...]
    gap_share: float
    recipe: Recipe
    reasons: tuple[str, ...]
    blur_fwhm_px: float = 0.0
    is_hazy: bool = False

    @property
    def finds_fault(self) -> bool:
        """True where anything is wrong that a method could repair."""
        is_noisy = self.snr_db < CLEAN_DB  # NaN where it could not be measured
        is_damaged = bool(self.striped_bands or self.stuck_bands)
        fills = any(step.task == "inpaint" for step in self.recipe.steps)
        return is_noisy or is_damaged or fills or bool(self.blur_fwhm_px) or self.is_hazy

    def lines(self) -> list[str]:
        """The reasons, then the choice, for a person."""
        return [*self.reasons, f"chosen: {self.choice()}"]

    def choice(self) -> str:
        """'destripe with lowrank, then inpaint with lowrank'."""
        chosen = ", then ".join(f"{step.task} with {step.method}" for step in self.recipe.steps)
        rebuilds = ", noisy samples rebuilt" if self.recipe.keep_observed is False else ""
        return f"{chosen}{rebuilds}"


def diagnose(cube: Cube, *, has_mask: bool = False, optics: bool = False, job: Job | None = None) -> Diagnosis:
    """Measure noise, stripes, impulses and gaps on a sample, and choose the steps.

    Noise asks for 'denoise', which takes stripes and outliers away too; stripes or stuck values in an otherwise clean
    cube ask for 'destripe', which changes damaged samples only. Gaps ask for 'inpaint': of a clean cube it leaves the
    observed samples as they are, of a noisy one it rebuilds them on the way.

    Parameters
    ----------
    cube : observed cube; a central window and a few bands are read
    has_mask : the caller knows of missing samples that the cube does not show
    optics : look for blur and haze too, in the middle of the scene; takes a few seconds and torch
    job : to watch and cancel

    Raises
    ------
    CapabilityError
        If no method without weights offers a task that is needed.
    Cancelled
        If the job was asked to stop.
    """
    job = job or Job()
    job.step(0.0, "measuring noise and stripes")
    noise = measure_noise(cube)
    job.step(0.3, "looking for gaps")
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
    found = Diagnosis(snr_db, striped, stuck, gaps, recipe, tuple(reasons))
    job.step(0.5, "looking for blur and haze" if optics else "done")
    return _with_optics(found, cube, is_sound=is_clean and not is_damaged and not fills, job=job) if optics else found


def _with_optics(found: Diagnosis, cube: Cube, *, is_sound: bool, job: Job) -> Diagnosis:
    """With what the scene's blur and haze add to the findings and the steps."""
    fwhm_px, is_hazy = _blur_and_haze(cube, job)
    reasons, steps = found.reasons, found.recipe.steps
    # A blurred scene looks hazy, and noise hides both: haze is believed of a scene with nothing else.
    task = "deblur" if fwhm_px else "dehaze" if is_hazy and is_sound else None
    if fwhm_px:
        reasons = (*reasons, f"blurred: points are about {fwhm_px:.1f} px wide (full width at half maximum)")
    if task == "dehaze":
        reasons = (*reasons, "looks like a veil of haze that thins with the wavelength; compare before and after")
    recipe = found.recipe
    if task is not None:
        step = _optical_step(task)
        if step is None:
            reasons = (*reasons, f"no method at hand can {task}; 'hsi-app models list' shows the weights there are")
        else:
            first = () if is_sound else steps
            recipe = replace(
                recipe, steps=(*first, step), psf_fwhm=round(fwhm_px, 1) if task == "deblur" else recipe.psf_fwhm
            )
    return replace(found, recipe=recipe, reasons=reasons, blur_fwhm_px=fwhm_px, is_hazy=task == "dehaze")


def _blur_and_haze(cube: Cube, job: Job) -> tuple[float, bool]:
    """Width of the blur in px, 0 where there is none, and whether there is haze; see ``methods.mphsir.blind``."""
    import torch

    from hsi_app.methods.lowrank.prepare import survey
    from hsi_app.methods.mphsir.blind import BLURRED_STD_PX, blurred_std, find
    from hsi_app.physics.spatial import FWHM_TO_STD
    from hsi_app.scene import Scene

    piece = cube.crop(centre(cube.shape[1:], _LOOKED_AT_PX))
    try:
        scene = Scene(piece, cube.axis.good, torch.device("cpu"))
        with torch.no_grad():
            shared = survey(scene, "denoise", job.part(0.5, 0.3), rank=None, outliers="auto")
            weights, _ = find(scene, shared, job.part(0.8, 0.2))
            std = blurred_std(scene, shared)
    except Cancelled:
        raise
    except HsiError:
        # A piece without enough samples says nothing of blur and haze.
        return 0.0, False
    return (std / FWHM_TO_STD if std > BLURRED_STD_PX else 0.0), "haze" in weights


def _optical_step(task: str) -> Step | None:
    """The network for everything where its weights are at hand, else a method without weights, else None."""
    from hsi_app.methods.registry import method
    from hsi_app.weights import find_card

    spec = method(_CORRECTS_OPTICS, "restore")
    try:
        for name in spec.weights:
            find_card(name)
        return Step(spec.id, task)
    except HsiError:
        pass
    try:
        return _step(task)
    except CapabilityError:
        return None


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
