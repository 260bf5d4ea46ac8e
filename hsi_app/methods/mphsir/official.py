"""The network as it was published, for cubes of any bands: restored on its own wavelengths, corrected on the cube's."""

from __future__ import annotations

import numpy as np
import torch
from hsi_models.clip_text import load_table
from hsi_models.mphsir import MPHSIR
from hsi_models.store import Card, StoreError

from hsi_app.errors import WeightsError
from hsi_app.jobs import Job
from hsi_app.methods.mphsir.names import DEGRADATIONS
from hsi_app.methods.mphsir.patches import in_views, spread_of
from hsi_app.methods.mphsir.spec import MpHsirParameters
from hsi_app.physics.resample import repeat
from hsi_app.problem import Problem, Restoration

# Wavelengths of the two published instances, by their number of bands.
RANGES_NM = {31: (400.0, 700.0), 100: (400.0, 1000.0)}
# Which of the trained tasks each degradation is, by the number of tasks; what was not trained is called noise there.
TASKS = {
    6: ("gauss", "complex", "blur", "sr", "inpaint", "bandloss"),
    7: ("gauss", "complex", "blur", "sr", "inpaint", "haze", "bandloss"),
}


def restore_officially(
    problem: Problem, params: MpHsirParameters, network: MPHSIR, card: Card, told: torch.Tensor, job: Job
) -> Restoration:
    """y + R' (net(R y) - R y): R takes the cube's bands to the network's, R' its correction back.

    Bands outside the network's wavelengths come back as they are.

    told : (9,) weights of the degradations

    Raises
    ------
    WeightsError
        If the table of text vectors is not there.
    """
    try:
        table = load_table(card).to(problem.device)
    except StoreError as error:
        raise WeightsError(str(error)) from error
    tasks = _tasks(told, network.tasks, job)
    observed = torch.where(problem.valid, problem.observed, 0.0)
    if problem.scale > 1:
        observed = repeat(observed, problem.scale)
    to_network, back = (torch.as_tensor(part, dtype=observed.dtype, device=observed.device)
                        for part in resampling(problem.wavelengths_nm, len(observed), network.bands))  # fmt: skip
    outside = int((back.abs().sum(1) == 0).sum())
    if outside:
        job.note(f"{outside} of {len(back)} bands lie outside the wavelengths of '{card.id}' and come back unchanged.")
    inside = (to_network @ observed.flatten(1)).reshape(-1, *observed.shape[1:])

    def answer(patches: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = network(patches, tasks.expand(len(patches), -1), table)
        return found - patches

    changes = in_views(inside, problem.place.scaled(problem.scale), answer, params, job, "looking at patches")
    change = torch.stack(changes).mean(0) * float(problem.shared["strength"])
    values = observed + (back @ change.flatten(1)).reshape(observed.shape)
    extras = {}
    if len(changes) > 1:
        extras["spread"] = spread_of(changes, back, change)
    job.step(1.0, "done")
    return Restoration(values, None, extras, trace={"weights": card.id, "views": params.views})


def _tasks(told: torch.Tensor, count: int, job: Job) -> torch.Tensor:
    """(1, T) weights of the trained tasks."""
    known = TASKS[count]
    found = torch.zeros(1, count, device=told.device)
    for name, weight in zip(DEGRADATIONS, told.tolist(), strict=True):
        if weight <= 0:
            continue
        if name not in known:
            job.note(f"the published weights were not trained for {DEGRADATIONS[name]}; they are told of noise.")
        found[0, known.index(name) if name in known else 0] += weight
    return found


def resampling(wavelengths_nm: np.ndarray | None, bands: int, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """(wanted, B) and (B, wanted) linear interpolation to the network's wavelengths and back; nothing is extrapolated.

    Without wavelengths the bands are spread evenly over the network's.
    """
    grid = np.linspace(*RANGES_NM.get(wanted, (0.0, 1.0)), wanted)
    places = np.linspace(grid[0], grid[-1], bands) if wavelengths_nm is None else np.asarray(wavelengths_nm, float)
    order = np.argsort(places)
    forward, back = np.zeros((wanted, bands)), np.zeros((bands, wanted))
    for band in range(bands):
        unit = np.zeros(bands)
        unit[band] = 1.0
        forward[:, band] = np.interp(grid, places[order], unit[order])
    for place in range(wanted):
        unit = np.zeros(wanted)
        unit[place] = 1.0
        back[:, place] = np.interp(places, grid, unit, left=0.0, right=0.0)
    return forward, back
