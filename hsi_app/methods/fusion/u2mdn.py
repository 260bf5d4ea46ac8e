"""u2-MDN, and what makes it ``joint``: its mixtures corrected by what they leave of both images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch

from hsi_app.fusion.grids import Grids
from hsi_app.fusion.pair import Pair
from hsi_app.fusion.regression import Regression, fit_ridge, outlier_weights
from hsi_app.fusion.signal import Signal
from hsi_app.jobs import Job
from hsi_app.methods.fusion.dirichlet import Dirichlet, fit_dirichlet
from hsi_app.methods.fusion.doubt import Doubt, find_doubt
from hsi_app.methods.fusion.spec import JointParameters, U2mdnParameters
from hsi_app.problem import Problem, Restoration, Shared

# Numbers held for one pixel's code and spectrum are bounded by working on so many pixels at a time.
CHUNK_PX = 2**15
# A hyperspectral pixel disagrees with the multispectral image where it does so by as many medians.
DISAGREES = 6.0
# A larger part of what is left of pixels that both saw must not be displacement.
MOSTLY = 0.5
# Fewer pixels for each broad band are not enough to learn from.
_FEWEST_PX = 10


def prepare(pair: Pair, params: U2mdnParameters | JointParameters, task: str, job: Job) -> Shared:
    """Fit the mixtures, and what corrects them."""
    fit = fit_dirichlet(pair, params, job.part(0.0, 0.95))
    model, spectra = fit.model, pair.spectra
    job.step(0.95, "learning what the mixtures leave")
    broad = model.mixed @ spectra
    left = broad - model.mixed @ model.mix(model.codes(broad))
    shared = {
        "affine": model.affine, "spectra": model.spectra, "mixed": model.mixed,
        "standard": torch.stack([model.centre, model.spread]),
    }  # fmt: skip
    arrays = {key: value.cpu().numpy() for key, value in shared.items()}
    arrays.update(find_doubt(broad, left).to_shared())
    arrays["fit"] = np.array([fit.stopped, fit.information])
    arrays["curve"] = np.array(fit.curve, float).reshape(-1, 2)
    arrays["reason"] = np.array(fit.reason)
    lines_up = pair.placement is not None
    if params.correction:
        learned = _learned_correction(spectra, broad, model, pair)
        arrays.update(learned.correction.to_shared("correction"))
        if lines_up:
            registered, lines_up = _registered_correction(pair, model, job)
            arrays.update(registered)
    lowpass = lines_up if params.lowpass is None else params.lowpass
    if lowpass:
        arrays.update(pair.signal.to_shared())
        arrays["disagreement"] = _disagreement_limit(pair)
    return arrays


def fuse_tile(problem: Problem, params: U2mdnParameters | JointParameters, job: Job) -> Restoration:
    """Spectra of a tile of the multispectral image."""
    assert problem.guide is not None
    shared, device = problem.shared, problem.device
    model = _model(shared, device)
    correction, linear = (
        Regression.from_shared(shared, name, device) if f"{name}.matrix" in shared else None
        for name in ("correction", "linear")
    )
    share = float(shared.get("share", np.array(1.0)))
    ordinary = Doubt.from_shared(shared, device)
    bands, height, width = problem.shape_out
    pixels = problem.guide.reshape(problem.guide.shape[0], -1)
    values = pixels.new_empty((bands, pixels.shape[1]))
    doubt = pixels.new_empty(pixels.shape[1])
    for start in range(0, pixels.shape[1], CHUNK_PX):
        job.step(start / pixels.shape[1], "spectra from mixtures")
        here = slice(start, start + CHUNK_PX)
        spectra = model.mix(model.codes(pixels[:, here]))
        left = pixels[:, here] - model.mixed @ spectra
        doubt[here] = ordinary.of(pixels[:, here], left)
        if correction is not None:
            spectra = spectra + correction.predict(torch.cat([left, pixels[:, here]]))
        if linear is not None:
            spectra = share * spectra + (1 - share) * linear.predict(pixels[:, here])
        values[:, here] = spectra
    values = values.reshape(bands, height, width)
    if "disagreement" in shared and problem.grids is not None:
        job.step(0.9, "agreeing with the coarse image")
        values = values + _lowpass_residual(problem, values, problem.grids)
    stopped, information = shared["fit"].tolist()
    trace = {
        "steps": int(stopped), "stop": str(shared["reason"]), "information": information,
        "components": len(model.spectra), "losses": shared["curve"].tolist(),
    }  # fmt: skip
    if correction is not None:
        trace |= {"strength": correction.strength, "explained": correction.explained, "share_of_mixtures": share}
    return Restoration(values, extras={"doubt": doubt.reshape(height, width)}, trace=trace)


@dataclass(frozen=True, eq=False)
class _Learned:
    """A correction of mixtures, and the (B, N) spectra and (N,) weights of the pixels that it was learned from."""

    correction: Regression
    spectra: torch.Tensor
    weights: torch.Tensor


def _learned_correction(spectra: torch.Tensor, broad: torch.Tensor, model: Dirichlet, pair: Pair) -> _Learned:
    """How spectra differ from their mixtures, by what these leave of the broad bands and by the bands themselves."""
    mixtures = model.mix(model.codes(broad))
    spectra = pair.signal.clean(spectra)
    left = spectra - mixtures
    weights = outlier_weights(left.norm(dim=0))
    features = torch.cat([broad - model.mixed @ mixtures, broad])
    return _Learned(fit_ridge(features, left, weights=weights), spectra, weights)


def _registered_correction(pair: Pair, model: Dirichlet, job: Job) -> tuple[Shared, bool]:
    """The same, learned from pixels that both images saw, which takes in what response and numbers have wrong.

    Such pixels also tell what a plain linear regression would do, and the two are averaged by their leave-one-out
    errors (Bates and Granger 1969).

    Returns nothing and False where most of what is left of such pixels is that they are not the same.
    """
    spectra, broad = pair.seen_by_both
    if broad.shape[1] <= _FEWEST_PX * len(broad):
        return {}, True
    learned = _learned_correction(spectra, broad, model, pair)
    correction, spectra = learned.correction, learned.spectra
    variance = float((spectra - spectra.mean(1, keepdim=True)).square().sum(0).mean())
    if pair.uneven_share * variance > MOSTLY * correction.error:
        job.note(
            "the images do not lie on each other well enough to sharpen pixel by pixel (bends, or a frame that is off);"
            " the registration was left aside."
        )
        return {}, False
    linear = fit_ridge(broad, spectra, weights=learned.weights)
    share = linear.error / max(linear.error + correction.error, 1e-300)
    return {**correction.to_shared("correction"), **linear.to_shared("linear"), "share": np.array(share)}, True


def _model(shared: Mapping[str, np.ndarray], device: torch.device) -> Dirichlet:
    affine, spectra, mixed, standard = (
        torch.from_numpy(shared[key]).to(device) for key in ("affine", "spectra", "mixed", "standard")
    )
    return Dirichlet(affine, spectra, standard[0], standard[1], mixed)


def _disagreement_limit(pair: Pair) -> np.ndarray:
    """What an ordinary hyperspectral pixel stays below of ``_disagreement``."""
    found = _disagreement(*pair.seen_by_both, pair.mixed_bands())
    return np.array(DISAGREES * float(found.median()) if found.numel() else 0.0)


def _disagreement(coarse: torch.Tensor, seen: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
    """(...) distance of what the two images, (B, ...) and (b, ...), say of the broad bands of a coarse pixel."""
    return (torch.tensordot(mixed, coarse, 1) - seen).norm(dim=0)


def _lowpass_residual(problem: Problem, values: torch.Tensor, grids: Grids) -> torch.Tensor:
    """(B, H, W) what the coarse image has more than the result has at its resolution, interpolated.

    Pixels of the coarse image that contradict the multispectral one (foreign, spoilt or changed) count less.
    """
    assert problem.guide is not None
    coarse = Signal.from_shared(problem.shared).clean(problem.observed)
    mixed = torch.from_numpy(problem.shared["mixed"]).to(values)
    limit = float(problem.shared["disagreement"])
    apart = _disagreement(problem.observed, grids.to_coarse(problem.guide), mixed)
    trust = outlier_weights(apart.nan_to_num(0.0), limit)
    left = torch.where(problem.valid, coarse - grids.to_coarse(values), torch.nan) * trust
    # Where the coarse image ends, or a pixel of it is seen in part only, there is nothing to agree with.
    return grids.to_fine(left.nan_to_num(0.0)).nan_to_num(0.0)
