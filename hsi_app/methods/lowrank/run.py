"""The low-rank method on one cube or tile."""

from __future__ import annotations

import torch

from hsi_app.jobs import Job
from hsi_app.methods.lowrank.spec import LowRankParameters
from hsi_app.problem import Problem, Restoration


def restore(problem: Problem, params: LowRankParameters, job: Job) -> Restoration:
    """Project on the scene's subspace."""
    job.step(0.1, "projection")
    basis = torch.as_tensor(problem.shared["basis"], dtype=torch.float32, device=problem.device)
    mean = torch.as_tensor(problem.shared["mean"], dtype=torch.float32, device=problem.device)[:, None, None]
    coefficients = torch.einsum("br,bhw->rhw", basis, problem.observed - mean)
    return Restoration(torch.einsum("br,rhw->bhw", basis, coefficients) + mean, trace={"rank": basis.shape[1]})
