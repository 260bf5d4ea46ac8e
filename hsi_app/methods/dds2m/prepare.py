"""What DDS2M works out once for a whole scene: noise, subspace, damage, and bands without any sample."""

from __future__ import annotations

import numpy as np

from hsi_app.errors import ParameterError
from hsi_app.jobs import Job
from hsi_app.methods.dds2m.spec import Dds2mParameters
from hsi_app.methods.lowrank.prepare import survey
from hsi_app.problem import Shared
from hsi_app.scene import Scene

# Components below the noise edge that a start from the estimate adds, as for 'hirdiff'.
FAINT = 3
# Half the range of a scene in root mean squares of its whitened signal.
HALF_RANGE = 3.0


def prepare(scene: Scene, params: Dds2mParameters, task: str, job: Job) -> Shared:
    """See ``survey``; further lost (B,), bands that were rebuilt from their neighbours, and half, the half range of the
    scene in units of the noise."""
    bands = scene.shape[0]
    from_estimate = params.start == "estimate" and params.spectra == "subspace" and not params.simplex
    faint = FAINT if task == "denoise" and params.rank is None and from_estimate else 0
    rank = None if params.rank is None else min(params.rank, bands)
    shared = dict(
        survey(
            scene, task, job, rank=rank, outliers=params.outliers, faint=faint,
            noise_std=_given_noise(params.sigma, scene),
        )
    )  # fmt: skip
    lost = np.asarray(shared["lost"])
    if task == "inpaint" and lost.any() and not lost.all():
        _rebuild_lost(shared, lost, scene.wavelengths_nm)
        job.note(
            f"{int(lost.sum())} of {bands} bands have no sample; they were interpolated along the wavelength from the"
            " restored ones."
        )
    kept = np.asarray(shared["eigenvalues"])[: np.asarray(shared["basis"]).shape[1]]
    shared["half"] = np.array(HALF_RANGE * max(float(np.maximum(kept - 1, 0).sum()) / bands, 1e-2) ** 0.5)
    return shared


def _given_noise(text: str, scene: Scene) -> np.ndarray | None:
    """(B,) standard deviations in scaled units, or None; raises ParameterError."""
    if not text.strip():
        return None
    try:
        given = np.array([float(part) for part in text.split(",")])
    except ValueError:
        raise ParameterError(f"sigma is '{text}'; give a number, or one for each band with commas between.") from None
    if given.size not in (1, scene.cube.shape[0]) or not (np.isfinite(given).all() and (given > 0).all()):
        raise ParameterError(
            f"sigma has {given.size} numbers from {given.min():g} to {given.max():g}; give one above 0, or one for"
            f" each of the {scene.cube.shape[0]} bands."
        )
    whole = np.broadcast_to(given, scene.cube.shape[:1])
    return np.ascontiguousarray(whole[scene.bands] / scene.scaling.span)


def _rebuild_lost(shared: dict[str, np.ndarray], lost: np.ndarray, wavelengths_nm: np.ndarray | None) -> None:
    """Give lost bands the mean, noise and loadings that lie between those of their neighbours.

    Beyond the first and the last observed band these go on unchanged.
    """
    place = np.arange(len(lost), dtype=np.float64) if wavelengths_nm is None else np.asarray(wavelengths_nm, np.float64)
    order = np.argsort(place, kind="stable")
    known = order[~lost[order]]

    def between(column: np.ndarray) -> np.ndarray:
        return np.interp(place[lost], place[known], column[known])

    std, basis = shared["noise_std"].copy(), shared["basis"].copy()
    mean, loadings = shared["mean"].copy(), std[:, None] * basis
    std[lost], mean[lost] = between(std), between(mean)
    basis[lost] = np.stack([between(column) for column in loadings.T], axis=1) / std[lost, None]
    shared.update(noise_std=std, mean=mean, basis=basis)
