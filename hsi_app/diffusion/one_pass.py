"""One look of a prior at component images whose noise is white: a denoiser, not a chain."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from hsi_app.diffusion.frame import anchored_noise, component_frame
from hsi_app.diffusion.prior import CHANNELS, Prior
from hsi_app.tiling import Window


def one_pass(
    images: torch.Tensor,
    eigenvalues: np.ndarray,
    prior: Prior,
    window: Window,
    seed: int,
    views: int = 1,
    on_step: Callable[[float], None] = lambda fraction: None,
) -> torch.Tensor:
    """Denoise component images, three by three, and several times over in turned and mirrored views.

    Parameters
    ----------
    images : (r, H, W) float32 with unit noise, strongest component first
    eigenvalues : at least (r,), their variances over the scene, noise of one included; same for all tiles
    prior : works on triples; a last incomplete triple is filled up with noise, the best known image of nothing
    window, seed : where the images lie and the job's seed, so that tiles fill up alike
    views : 1 to ``VIEWS``
    on_step : told the fraction done; may raise to stop

    Returns
    -------
    (views, r, H, W)

    Source: conditional mean of a Gaussian observation (Efron 2011, eq. 2.8), which is what a network that predicts
    noise has learned; views as in Timofte et al. 2016 (self-ensemble).
    """
    rank, height, width = images.shape
    extra = -rank % CHANNELS
    if extra:
        images = torch.cat([images, anchored_noise(extra, window, seed).to(images)])
    variance = np.concatenate([np.asarray(eigenvalues[:rank]), np.ones(extra)])
    frame = component_frame(np.eye(rank + extra), variance)
    lift = torch.as_tensor(frame.lift, dtype=images.dtype, device=images.device)
    reach = torch.as_tensor(frame.reach, dtype=images.dtype, device=images.device)
    flat = lift.T @ images.flatten(1) / reach[:, None] ** 2
    triples = flat.reshape(-1, CHANNELS, height, width)
    found = []
    for view in range(views):
        clean = torch.empty_like(triples)
        for index, triple in enumerate(triples):
            clean[index] = prior.denoise(triple[None], 1 / float(reach[CHANNELS * index]), view)[0]
            on_step((view + (index + 1) / len(triples)) / views)
        found.append((lift @ clean.flatten(2).flatten(0, 1))[:rank].reshape(rank, height, width))
    return torch.stack(found)
