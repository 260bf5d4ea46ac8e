"""Sparse unmixing: a whole library as endmembers, few of them in a pixel."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from hsi_app.jobs import Job
from hsi_app.methods.unmixing.materials import build_model
from hsi_app.methods.unmixing.spec import SunsalParameters
from hsi_app.problem import Problem, Restoration, Shared
from hsi_app.scene import Scene
from hsi_app.unmixing.endmembers import endmembers_of_library
from hsi_app.unmixing.model import Model, apply_model
from hsi_app.unmixing.sparse import sunsal
from hsi_app.unmixing.survey import survey_scene

# The brightness of the materials is told from this many pixels.
_LOOK_PX = 1024


def prepare(scene: Scene, params: SunsalParameters, task: str, job: Job) -> Shared:
    """Bring the library to the scene's bands, scale and normalisation."""
    survey = survey_scene(scene, params.normalise, screen=params.screen, job=job.part(0, 0.7))
    survey, found = endmembers_of_library(scene, survey, params.library, params.materials, job.part(0.7, 0.1))
    weights = survey.normaliser.kept.to(survey.spectra)
    look = slice(None, None, -(-survey.spectra.shape[1] // _LOOK_PX))
    penalty = _penalty(params, scene, survey.normaliser.kind)
    kept = weights > 0
    abundances, iterations = _solve(
        survey.spectra[kept][:, look], found.spectra[kept], penalty, params, job.part(0.8, 0.2)
    )
    full = torch.zeros((abundances.shape[0], survey.spectra.shape[1]), dtype=torch.float64, device=abundances.device)
    full[:, look] = abundances
    details = {"penalties": np.array([penalty]), "iterations": np.array(iterations)}
    return build_model(survey, found, found.spectra, full, weights, details=details).to_shared()


def _solve(
    spectra: torch.Tensor, library: torch.Tensor, penalty: float, params: SunsalParameters, job: Job
) -> tuple[torch.Tensor, int]:
    return sunsal(
        spectra, library, job, sparsity=penalty, nonnegative=params.nonnegative, sum_to_one=params.sum_to_one,
        iterations=params.iterations, tolerance=params.tolerance,
    )  # fmt: skip


def _penalty(params: SunsalParameters, scene: Scene, kind: str) -> float:
    """The sparsity weight on the scale that the tiles are solved on."""
    return params.sparsity / scene.scaling.span**2 if kind == "none" else params.sparsity


def unmix_tile(problem: Problem, params: SunsalParameters, job: Job) -> Restoration:
    """Abundances of a tile."""
    model = Model.from_shared(problem.shared)
    kept = torch.from_numpy(model.weights > 0).to(problem.device)
    library = torch.from_numpy(model.endmembers).to(problem.device)[kept]
    penalty = float(model.details["penalties"][0])

    def solve(
        spectra: torch.Tensor, valid: torch.Tensor | None, part: Job
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        found = torch.empty((library.shape[1], spectra.shape[1]), dtype=torch.float64, device=spectra.device)
        seen = torch.ones_like(spectra[kept], dtype=torch.bool) if valid is None else valid[kept]
        # One factored matrix serves all pixels with the same bands.
        patterns, group = torch.unique(seen, dim=1, return_inverse=True)
        share = 1 / patterns.shape[1]
        for k, pattern in enumerate(patterns.T):
            members = group == k
            found[:, members], _ = _solve(
                spectra[kept][pattern][:, members], library[pattern], penalty, params, part.part(k * share, share)
            )
        return found, {}

    return apply_model(problem, model, solve, job)
