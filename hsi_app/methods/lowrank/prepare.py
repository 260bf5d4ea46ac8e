"""What the low-rank method works out once for a whole scene."""

from __future__ import annotations

import numpy as np

from hsi_app.jobs import Job
from hsi_app.methods.lowrank.spec import LowRankParameters
from hsi_app.problem import Shared
from hsi_app.scene import Scene


def prepare(scene: Scene, params: LowRankParameters, task: str, job: Job) -> Shared:
    """Noise level of each band and the signal subspace of the scene."""
    job.step(0.0, "subspace")
    count = scene.shape[0]
    gram, total, n = np.zeros((count, count)), np.zeros(count), 0
    for _, values, _ in scene.strips():
        x = values.reshape(count, -1).double().numpy()
        gram += x @ x.T
        total += x.sum(1)
        n += x.shape[1]
    mean = total / n
    _, vectors = np.linalg.eigh(gram / n - np.outer(mean, mean))
    rank = min(params.rank or 6, count)
    return {"basis": vectors[:, ::-1][:, :rank].copy(), "mean": mean}
