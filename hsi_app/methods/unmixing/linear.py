"""Exact least squares with endmembers that stay as they were found."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from hsi_app.jobs import Job
from hsi_app.methods.unmixing.materials import build_model, gather
from hsi_app.methods.unmixing.spec import FclsParameters
from hsi_app.problem import Problem, Restoration, Shared
from hsi_app.scene import Scene
from hsi_app.unmixing.abundances import solve_abundances
from hsi_app.unmixing.model import Model, apply_model


def prepare(scene: Scene, params: FclsParameters, task: str, job: Job) -> Shared:
    """Find or fetch the endmembers; channels that were screened out have no weight."""
    survey, found = gather(scene, params, job)
    weights = survey.normaliser.kept.to(survey.spectra)
    abundances = solve_abundances(survey.spectra, found.spectra, weights=weights)
    return build_model(survey, found, found.spectra, abundances, weights).to_shared()


def unmix_tile(problem: Problem, params: FclsParameters, job: Job) -> Restoration:
    """Abundances of a tile."""
    model = Model.from_shared(problem.shared)
    endmembers, weights = (torch.from_numpy(array).to(problem.device) for array in (model.endmembers, model.weights))

    def solve(
        spectra: torch.Tensor, valid: torch.Tensor | None, _job: Job
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        found = solve_abundances(
            spectra, endmembers, nonnegative=params.nonnegative, sum_to_one=params.sum_to_one, weights=weights,
            valid=valid,
        )  # fmt: skip
        return found, {}

    return apply_model(problem, model, solve, job)
