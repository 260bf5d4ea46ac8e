"""What HIR-Diff works out once for a whole scene: noise, subspace and damage, the rank in triples."""

from __future__ import annotations

from hsi_app.diffusion.prior import CHANNELS
from hsi_app.jobs import Job
from hsi_app.methods.hirdiff.spec import HirDiffParameters
from hsi_app.methods.lowrank.prepare import survey
from hsi_app.problem import Shared
from hsi_app.scene import Scene

# Spectra that each image needs: with fewer, the last images are those of the noise.
PIXELS_PER_IMAGE = 50


def is_single(params: HirDiffParameters, task: str) -> bool:
    """True if one pass of the prior does, False if a chain is wanted."""
    return params.mode == "single" or (params.mode == "auto" and task in ("denoise", "destripe"))


def prepare(scene: Scene, params: HirDiffParameters, task: str, job: Job) -> Shared:
    """Noise level of each band, subspace, stripes, and what to doubt; see ``survey``."""
    bands, height, width = scene.shape

    def in_triples(found: int) -> int:
        if not is_single(params, task):
            most = max(height * width // (PIXELS_PER_IMAGE * CHANNELS), 1)
            found = CHANNELS * min(-(-found // CHANNELS), most)
        return min(found, bands)

    rank = in_triples if params.rank is None else min(params.rank, bands)
    faint = params.faint if params.rank is None and is_single(params, task) else 0
    return survey(scene, task, job, rank=rank, outliers=params.outliers, faint=faint)
