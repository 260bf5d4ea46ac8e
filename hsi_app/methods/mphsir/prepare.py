"""What MP-HSIR works out once for a whole scene: noise, subspace and damage, the prompts, blur and haze."""

from __future__ import annotations

import numpy as np

from hsi_app.jobs import Job
from hsi_app.methods.lowrank.prepare import survey
from hsi_app.methods.mphsir.blind import find, width_of_blur
from hsi_app.methods.mphsir.plan import asked_for, settle
from hsi_app.methods.mphsir.spec import MpHsirParameters
from hsi_app.methods.mphsir.veil import veil
from hsi_app.problem import Shared
from hsi_app.scene import Scene

# Standard deviations that noise goes below the darkest sample of a scene.
NOISE_REACH = 5.0


def prepare(scene: Scene, params: MpHsirParameters, task: str, job: Job) -> Shared:
    """Survey the scene and settle what the network is told.

    Returns
    -------
    What ``survey`` gives, and weights (9,), strength, lowest and highest (B,) that results may be, black (B,), what no
    light is, what ``veil`` gives where haze is to be removed, and fwhm in px where a blur is, whose width nobody told
    """
    asked = asked_for(params, task)
    outliers = "on" if params.outliers == "auto" and asked.weights.get("complex", 0) > 0 else params.outliers
    shared = dict(survey(scene, task, job.part(0.0, 0.6), rank=None, outliers=outliers))
    low, high = _ends(scene)
    shared["lowest"], shared["highest"] = _reach(low, high)
    shared["black"] = _black(scene, low, shared)
    measured, haze = find(scene, shared, job.part(0.6, 0.3)) if asked.is_auto else ({}, None)
    plan = settle(asked, measured, task, shared)
    for note in plan.notes:
        job.note(note)
    shared["weights"], shared["strength"] = plan.vector(), np.array(plan.strength * params.strength)
    if "haze" in plan.weights:
        shared |= haze or veil(scene, shared, job.part(0.9, 0.1))[0]
    if "blur" in plan.weights and task != "sr":
        shared["fwhm"] = np.array(width_of_blur(scene, shared))
    return shared


def _ends(scene: Scene) -> tuple[np.ndarray, np.ndarray]:
    """(B,) and (B,) ends of each band's range; inf and -inf for a lost band."""
    low, high = np.full(scene.shape[0], np.inf), np.full(scene.shape[0], -np.inf)
    for _, values, valid in scene.strips():
        low = np.minimum(low, values.masked_fill(~valid, np.inf).flatten(1).amin(1).cpu().numpy())
        high = np.maximum(high, values.masked_fill(~valid, -np.inf).flatten(1).amax(1).cpu().numpy())
    return low, high


def _reach(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ends widened by the range between them: beyond, no signal was seen; of a lost band nothing is known."""
    seen = high >= low
    with np.errstate(invalid="ignore"):
        return np.where(seen, 2 * low - high, -np.inf), np.where(seen, 2 * high - low, np.inf)


def _black(scene: Scene, low: np.ndarray, shared: Shared) -> np.ndarray:
    """(B,) what a stored 0 is in the scaling, -inf where there is less than noise explains: then 0 is not no light."""
    zero = -scene.scaling.offset / scene.scaling.span
    is_dark = low + NOISE_REACH * np.asarray(shared["noise_std"]) >= zero
    return np.full(low.shape, zero if is_dark.all() else -np.inf)
