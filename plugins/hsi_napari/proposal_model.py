"""What is wrong with a cube and what would help, with the time and memory that it takes; knows no window."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.forecast import Forecast, forecast, seconds_per_sample
from hsi_app.jobs import Job
from hsi_app.methods.registry import TASKS
from hsi_app.methods.registry import method as find_method
from hsi_app.recipe import Recipe, Step

if TYPE_CHECKING:
    from hsi_app.cube import Cube
    from hsi_app.diagnose import Diagnosis
    from hsi_app.runner import Settings

# A piece of a proposal is timed for at most so long: a person waits for the answer.
PATIENCE_S = 12.0
# Share of the measuring in the progress; the rest is the timed piece.
_MEASURED = 0.6


@dataclass(frozen=True)
class Proposal:
    """What was found in a cube and the steps that follow from it.

    forecast : of the whole recipe on the whole cube
    rate : seconds for each sample of the piece that was timed, None where it took too long
    device : where it was timed
    """

    diagnosis: Diagnosis
    forecast: Forecast
    rate: float | None
    device: str

    @property
    def recipe(self) -> Recipe:
        """The steps, with their settings."""
        return self.diagnosis.recipe

    def title(self) -> str:
        """What was found in two words."""
        return "Found" if self.diagnosis.finds_fault else "Nothing stands out"

    def steps(self) -> list[str]:
        """'Remove random noise with Low-rank restoration', for each step."""
        return [words_of(step) for step in self.recipe.steps]

    def remarks(self) -> list[str]:
        """What is worth knowing before it is used, a line each."""
        said = []
        if not self.diagnosis.finds_fault:
            said.append("A denoiser that follows the measured noise would change next to nothing.")
        if (self.diagnosis.striped_bands or self.diagnosis.stuck_bands) and self.recipe.steps[0].task == "denoise":
            said.append("Stripes and outliers are taken away on the way.")
        if self.recipe.keep_observed is False:
            said.append("Noisy samples are rebuilt together with the gaps.")
        if self.forecast.problem:
            said.append(self.forecast.problem)
        return said


def words_of(step: Step) -> str:
    """'Remove random noise with Low-rank restoration'."""
    spec = find_method(step.method, "restore")
    task = TASKS[spec.check_task(step.task)].partition(" (")[0]
    return f"{task} with {spec.title}"


def propose(cube: Cube, job: Job, *, settings: Settings, has_mask: bool = False) -> Proposal:
    """Measure a cube, choose the steps, and time them on a small piece.

    Parameters
    ----------
    settings : device and memory count
    has_mask : a person marked gaps that the cube does not show

    Raises
    ------
    Cancelled
        If the job was asked to stop.
    """
    from hsi_app.diagnose import diagnose

    found = diagnose(cube, has_mask=has_mask, optics=True, job=job.part(0.0, _MEASURED))
    timed = job.part(_MEASURED, 1 - _MEASURED)
    rate = seconds_per_sample(cube, found.recipe, timed, device=settings.device, patience_s=PATIENCE_S)
    seconds = None if rate is None else rate * int(np.prod(cube.shape, dtype=np.int64))
    job.step(1.0, "done")
    return Proposal(found, forecast(cube, found.recipe, memory=settings.memory, seconds=seconds), rate, settings.device)


def recipe_of(method: str, options: dict[str, Any], settings: Settings) -> Recipe:
    """What a form asks for, as a recipe of one step."""
    task = find_method(method, "restore").check_task(settings.task)
    return Recipe(
        (Step(method, task, options),), settings.seed, settings.bad_bands, settings.keep_observed, settings.tile,
        settings.scale, settings.psf_fwhm,
    )  # fmt: skip
