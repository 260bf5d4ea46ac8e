"""Factorisations: endmembers refined on the surveyed spectra, then held while each tile's abundances follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch

from hsi_app.jobs import Job
from hsi_app.methods.unmixing.materials import build_model, gather
from hsi_app.methods.unmixing.spec import FactorParameters, HalfNmfParameters, RrlbsParameters
from hsi_app.problem import Problem, Restoration, Shared
from hsi_app.scene import Scene
from hsi_app.unmixing.abundances import solve_abundances
from hsi_app.unmixing.endmembers import fill_channels
from hsi_app.unmixing.factorise import Objective, factorise, half_sparsity, refine_abundances
from hsi_app.unmixing.model import Model, apply_model


def prepare(scene: Scene, params: FactorParameters, task: str, job: Job) -> Shared:
    """Factorise the surveyed spectra on the channels that were kept.

    Channels that were screened out have no say in the abundances, whatever the loss: divided by the brightness of a
    dark pixel, noise of a fixed size outweighs even the robust one. RRLbS's weights guard against those that screening
    missed.
    """
    survey, found = gather(scene, params, job.part(0, 0.7))
    kept = survey.normaliser.kept
    spectra = survey.spectra[kept]
    negative = float((spectra < 0).double().mean())
    if negative > 1e-3:
        job.note(f"{negative:.1%} of the samples are negative; the factorisation reads them as zero.")
    spectra = spectra.clamp(min=0)
    objective = objective_of(params, spectra)
    factors = factorise(
        spectra, found.spectra[kept].clamp(min=0), solve_abundances(spectra, found.spectra[kept]), objective,
        job.part(0.7, 0.3), iterations=params.iterations, tolerance=params.tolerance,
    )  # fmt: skip
    # What sparsity took from the sums of the abundances it gave to the spectra; hand it back.
    endmembers = fill_channels(survey, factors.endmembers * factors.abundances.sum(0).median())
    weights = torch.zeros_like(survey.spectra[:, 0])
    weights[kept] = factors.weights
    details = {
        "objective": np.array(factors.values),
        "penalties": np.array([objective.sparsity, objective.sum_weight]),
        "stop": np.array(factors.stop),
    }
    maps = ("guidance",) if isinstance(params, RrlbsParameters) else ()
    shares = factors.abundances / factors.abundances.sum(0)
    return build_model(survey, found, endmembers, shares, weights, maps=maps, details=details).to_shared()


def _form(params: FactorParameters) -> Objective:
    """What kind of objective a method minimises, its penalties left at zero."""
    if isinstance(params, RrlbsParameters):
        # U is divided by its mean, which makes the weights comparable with the Frobenius ones.
        return Objective("l21", exponent=None, least_exponent=params.least_exponent, renormalise=True)
    return Objective("frobenius", exponent=0.5 if isinstance(params, HalfNmfParameters) else 1.0)


def objective_of(params: FactorParameters, spectra: torch.Tensor) -> Objective:
    """What a method minimises on (B, N) spectra, its weights in the units of the data."""
    power = float(spectra.square().mean())
    sparsity = 0.0
    if isinstance(params, RrlbsParameters):
        sparsity = params.sparsity * len(spectra) * power
    elif isinstance(params, HalfNmfParameters):
        # The published weights are numbers for data of about one; the fit scales with the square of the data.
        sparsity = (half_sparsity(spectra) if params.sparsity is None else params.sparsity) * power
    return replace(_form(params), sparsity=sparsity, sum_weight=params.sum_weight * power**0.5)


def unmix_tile(problem: Problem, params: FactorParameters, job: Job) -> Restoration:
    """Abundances of a tile, endmembers and channel weights held."""
    model = Model.from_shared(problem.shared)
    device = problem.device
    endmembers, weights = (torch.from_numpy(array).to(device) for array in (model.endmembers, model.weights))
    sparsity, sum_weight = (float(value) for value in model.details["penalties"])
    objective = replace(_form(params), sparsity=sparsity, sum_weight=sum_weight)

    def solve(
        spectra: torch.Tensor, valid: torch.Tensor | None, part: Job
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        spectra = spectra.clamp(min=0)
        start = solve_abundances(spectra, endmembers, weights=weights, valid=valid)
        found, guidance = refine_abundances(
            spectra, endmembers, weights, start, objective, part, iterations=params.iterations, valid=valid
        )
        return found, {"guidance": guidance} if model.maps else {}

    return apply_model(problem, model, solve, job)
