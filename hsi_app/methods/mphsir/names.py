"""The degradations that can be prompted, in the order of the network's weights; imports no torch."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from hsi_app.errors import ParameterError

DEGRADATIONS: Mapping[str, str] = MappingProxyType(
    {
        "gauss": "noise",
        "complex": "stripes, dead lines, impulses",
        "blur": "blur",
        "sr": "coarse grid",
        "inpaint": "missing samples",
        "haze": "haze",
        "bandloss": "lost bands",
        "motion": "motion blur",
        "poisson": "photon noise",
    }
)

# Words for 'degradations' that are no names.
TASK, AUTO = "task", "auto"
# No weights: the classical estimate alone.
UNTRAINED = "none"
# What each task undoes.
OF_TASK: Mapping[str, str] = MappingProxyType(
    {"denoise": "gauss", "destripe": "complex", "inpaint": "inpaint", "sr": "sr", "deblur": "blur", "dehaze": "haze"}
)


def offered() -> tuple[str, ...]:
    """What may be written for 'degradations'."""
    return (TASK, AUTO, *DEGRADATIONS)


def parse_degradations(text: str) -> dict[str, float]:
    """Weights by name, of sum 1, of 'complex+haze:0.5'.

    Raises ParameterError for an unknown name or a weight that is no number above 0.
    """
    found: dict[str, float] = {}
    for part in text.lower().split("+"):
        name, colon, weight = part.strip().partition(":")
        if name not in DEGRADATIONS:
            near = difflib.get_close_matches(name, offered(), n=1, cutoff=0.4)
            hint = f" Did you mean '{near[0]}'?" if near else ""
            raise ParameterError(f"no degradation '{name}'; there are: {', '.join(offered())}.{hint}")
        if name in found:
            raise ParameterError(f"'{text}' names {name} twice; leave one out.")
        try:
            found[name] = float(weight if colon else 1)
        except ValueError:
            found[name] = -1.0
        if not 0 < found[name] < float("inf"):
            raise ParameterError(f"'{part}': the weight of a degradation is a number above 0, as in {name}:0.5.")
    total = sum(found.values())
    return {name: weight / total for name, weight in found.items()}


def weights_at_hand() -> tuple[str, ...]:
    """Weights of networks that take prompts, and the yardstick without any."""
    from hsi_models.store import find_cards

    return (*sorted(name for name, card in find_cards().cards.items() if card.prompts), UNTRAINED)
