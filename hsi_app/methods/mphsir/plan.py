"""What the network is told of a scene: from the task, from words or names, and from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from hsi_app.errors import ParameterError
from hsi_app.methods.mphsir.blind import gap_shares, is_damaged
from hsi_app.methods.mphsir.measure import is_noisy
from hsi_app.methods.mphsir.names import AUTO, DEGRADATIONS, OF_TASK, TASK, parse_degradations
from hsi_app.methods.mphsir.spec import MpHsirParameters
from hsi_app.methods.mphsir.words import understand
from hsi_app.problem import Shared

# What can only be mended in a task of its own: it changes the grid, or fills what was missing.
OWN_TASK = {"sr": "sr", "inpaint": "inpaint"}
NOISES = ("gauss", "complex", "poisson")


@dataclass(frozen=True)
class Plan:
    """What is told.

    weights : of the degradations by name, of sum 1 where there are any
    strength : share of what is wrong to take away
    notes : for the user, what was understood or measured
    """

    weights: Mapping[str, float] = field(default_factory=dict)
    strength: float = 1.0
    notes: tuple[str, ...] = ()

    def vector(self) -> np.ndarray:
        """(9,) in the order of DEGRADATIONS."""
        return np.array([self.weights.get(name, 0.0) for name in DEGRADATIONS], np.float32)


@dataclass(frozen=True)
class Asked:
    """What a user asked for in words or names; nothing where the task decides, or the measurement."""

    weights: Mapping[str, float] = field(default_factory=dict)
    strength: float = 1.0
    is_auto: bool = False
    notes: tuple[str, ...] = ()


def asked_for(params: MpHsirParameters, task: str) -> Asked:
    """What the prompt or the list of degradations says.

    Raises ParameterError where the prompt is not understood, or asks for what another task does.
    """
    if params.prompt.strip():
        found = understand(params.prompt)
        if not found.is_sure:
            raise ParameterError(f"prompt '{params.prompt}': {found.sentence()}")
        asked = Asked(
            {} if found.is_auto else found.weights, 1.0 if found.strength is None else min(found.strength, 1.0),
            found.is_auto, (f"understood: {found.sentence()}",),
        )  # fmt: skip
    elif params.degradations == TASK:
        return Asked()
    elif params.degradations == AUTO:
        return Asked(is_auto=True)
    else:
        asked = Asked(parse_degradations(params.degradations))
    if task == "sr" and "haze" in asked.weights:
        raise ParameterError("haze cannot be taken away by 'sr'; use the task 'dehaze' first, then 'sr'.")
    for name, needed in OWN_TASK.items():
        if name in asked.weights and task != needed:
            raise ParameterError(
                f"{DEGRADATIONS[name]} cannot be mended by '{task}'; choose the task '{needed}', or leave it out of"
                " the prompt."
            )
    return asked


def settle(asked: Asked, measured: Mapping[str, float], task: str, shared: Shared) -> Plan:
    """The weights for a scene.

    Parameters
    ----------
    asked : see ``asked_for``
    measured : see ``find``, where it was asked to measure, or nothing
    task : of the run
    shared : see ``survey``
    """
    own, notes = OF_TASK[task], list(asked.notes)
    weights = dict(asked.weights)
    if asked.is_auto:
        weights = dict(measured)
        told = ", ".join(DEGRADATIONS[name] for name in weights) or "nothing that is wrong"
        notes.append(f"measured: {told}")
        weights = {name: value for name, value in weights.items() if OWN_TASK.get(name, task) == task}
        if "haze" in weights and OF_TASK[task] != "haze":
            # Light and shade can look alike, and a clear scene suffers from it.
            del weights["haze"]
            notes.append("haze is not taken away unless it is asked for: look at it with the task 'dehaze'")
    damaged, noisy = is_damaged(shared), is_noisy(shared)
    if task == "inpaint":
        gaps, lost = gap_shares(shared)
        weights = {name: value for name, value in weights.items() if name not in ("inpaint", "bandloss")}
        weights |= {name: 1.0 for name, share in (("inpaint", gaps), ("bandloss", lost)) if share > 0}
    elif own not in weights and (own not in NOISES or not weights):
        weights[own] = 1.0
    if not asked.weights:
        if damaged and "gauss" in weights:
            weights["complex"] = weights.pop("gauss")
        elif noisy and not any(name in weights for name in NOISES):
            weights["complex" if damaged else "gauss"] = 1.0
    total = sum(weights.values()) or 1.0
    return Plan({name: value / total for name, value in weights.items()}, asked.strength, tuple(notes))
