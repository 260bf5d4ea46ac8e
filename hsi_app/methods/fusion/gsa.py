"""Component substitution by regression (GSA), each hyperspectral band with a component of its own."""

from __future__ import annotations

import numpy as np
import torch

from hsi_app.errors import CubeError
from hsi_app.fusion.pair import Pair
from hsi_app.fusion.regression import Regression, fit_ridge
from hsi_app.fusion.signal import Signal
from hsi_app.jobs import Job
from hsi_app.methods.fusion.doubt import Doubt, find_doubt
from hsi_app.methods.fusion.spec import GsaParameters
from hsi_app.problem import Problem, Restoration, Shared


def prepare(pair: Pair, params: GsaParameters, task: str, job: Job) -> Shared:
    """Regress each hyperspectral band on the multispectral image as the hyperspectral sensor would see it."""
    job.step(0.0, "averaging the multispectral image")
    spectra, seen = pair.seen_by_both
    job.step(0.5, "finding each band's component")
    if seen.shape[1] <= len(seen) + 1:
        raise CubeError(
            f"{seen.shape[1]} hyperspectral pixels lie wholly on the multispectral image; GSA needs more than"
            f" {len(seen) + 1}. Check that the two overlap."
        )
    # No penalty: the components of the published method are plain least squares.
    found = fit_ridge(seen, spectra, strength=0.0)
    return {
        **found.to_shared("component"),
        **find_doubt(pair.mixed_bands() @ pair.spectra).to_shared(),
        **(pair.signal.to_shared() if params.clean else {}),
    }


def fuse_tile(problem: Problem, params: GsaParameters, job: Job) -> Restoration:
    """Interpolated spectra of a tile, and the detail of their components."""
    assert problem.guide is not None
    assert problem.grids is not None
    job.step(0.0, "adding detail")
    grids, guide = problem.grids, problem.guide
    component = Regression.from_shared(problem.shared, "component", problem.device)
    observed = problem.observed
    if params.clean:
        observed = Signal.from_shared(problem.shared).clean(observed)
    coarse = torch.where(problem.valid, observed, torch.nan)
    # Pixels at the rim of the multispectral image are seen only in part: their own mean stands for what is missing.
    seen = grids.to_coarse(guide)
    detail = guide - grids.to_fine(seen)
    job.step(0.5, "adding detail")
    values = grids.to_fine(coarse)
    flat = component.matrix.to(guide) @ detail.reshape(len(guide), -1)
    # Without a detail (beyond the rim) the interpolated spectrum is all there is.
    values = values + flat.reshape(values.shape).nan_to_num(0.0)
    doubt = Doubt.from_shared(problem.shared, problem.device).of(guide.reshape(len(guide), -1))
    trace = {"rank": int(np.shape(problem.shared["signal.back"])[1])} if params.clean else {}
    return Restoration(values, extras={"doubt": doubt.reshape(guide.shape[1:])}, trace=trace)
