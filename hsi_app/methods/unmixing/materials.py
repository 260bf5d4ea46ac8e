"""What all methods with endmembers do first: survey the scene, get its materials, and make a model of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from hsi_app.jobs import Job
from hsi_app.methods.unmixing.spec import EndmemberParameters
from hsi_app.scene import Scene
from hsi_app.unmixing.endmembers import (
    Endmembers,
    endmembers_of_library,
    endmembers_of_pixels,
    endmembers_of_regions,
    find_endmembers,
)
from hsi_app.unmixing.model import Model
from hsi_app.unmixing.survey import Survey, survey_scene


def gather(scene: Scene, params: EndmemberParameters, job: Job) -> tuple[Survey, Endmembers]:
    """Survey a scene and get its endmembers from where the parameters say."""
    survey = survey_scene(scene, params.normalise, screen=params.screen, job=job.part(0, 0.3))
    job = job.part(0.3, 0.7)
    source = params.endmembers_from
    if source == "library":
        survey, found = endmembers_of_library(scene, survey, params.library, params.materials, job)
    elif source == "pixels":
        found = endmembers_of_pixels(scene, survey, params.pixels)
    elif source == "rois":
        found = endmembers_of_regions(scene, survey, params.rois, job)
    else:
        found = find_endmembers(survey, params.endmembers, source, job, starts=params.starts)
    if source in ("library", "pixels", "rois") and params.endmembers not in (None, len(found.names)):
        job.note(f"{len(found.names)} materials were given; --endmembers {params.endmembers} was not needed.")
    return survey, found


def build_model(
    survey: Survey,
    found: Endmembers,
    endmembers: torch.Tensor,
    abundances: torch.Tensor,
    weights: torch.Tensor,
    *,
    maps: tuple[str, ...] = (),
    details: Mapping[str, np.ndarray] | None = None,
) -> Model:
    """The model of a scene.

    Parameters
    ----------
    survey, found : of ``gather``
    endmembers : (B, K) tensor, as the method left them
    abundances : (K, P) tensor of the survey's spectra, for the order of the materials and their brightness
    weights : (B,) tensor of the channels
    maps : names of the images that tiles will give beside the abundances
    details : further arrays worth keeping

    Materials that were found are ordered by their share of the scene and named 'material 1', ...; those that were
    given keep order and name.
    """
    shares = abundances.mean(1)
    order = torch.argsort(shares, descending=True, stable=True) if found.is_found else torch.arange(len(shares))
    endmembers, abundances = endmembers[:, order], abundances[order]
    # The brightness of a material is that of the pixels it prevails in.
    pull = abundances.clamp(min=0).square()
    total = pull.sum(1)
    scales = torch.where(total > 0, (pull @ survey.divisors) / total.clamp(min=1e-300), survey.divisors.mean())
    estimate = found.count
    own = {key: np.asarray(value) for key, value in found.details.items()}
    if "places" in own:
        own["places"] = own["places"][order.cpu().numpy()]
    return Model(
        endmembers=endmembers.cpu().numpy(),
        names=found.names,
        scales=scales.cpu().numpy(),
        weights=weights.cpu().numpy(),
        live=survey.live,
        kept=survey.kept,
        agreement=survey.agreement,
        typical=survey.normaliser.typical.cpu().numpy(),
        floor=survey.normaliser.floor,
        normalise=survey.normaliser.kind,
        maps=maps,
        details={
            **own, "power": estimate.power, "noise": estimate.noise,
            "count": np.array([estimate.count, estimate.hysime, estimate.gap]), **(details or {}),
        },
    )  # fmt: skip
