"""How long a batch will take: from what earlier batches took, else from a small piece of its first scene."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hsi_app.batch.journal import Entry, number
from hsi_app.batch.keys import recipe_key
from hsi_app.batch.planning import Planned, biggest_risk
from hsi_app.device import format_bytes
from hsi_app.errors import HsiError
from hsi_app.forecast import duration
from hsi_app.jobs import Job


@dataclass(frozen=True)
class Estimate:
    """What a batch will take.

    rate : seconds of one worker per sample of the input, None where nobody can say; basis : what that was measured on
    seconds : in all; bytes_out : to be written; peak_bytes : of all workers together; risk : the biggest, in a line
    """

    rate: float | None
    basis: str
    seconds: float | None
    bytes_out: int
    peak_bytes: int
    risk: str

    def of(self, one: Planned) -> float | None:
        """Seconds for one scene; None where nobody can say, 0 where nothing is to be done."""
        if not one.waits:
            return 0.0
        return None if self.rate is None else round(self.rate * one.samples, 3)

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"seconds": self.seconds, "basis": self.basis, "bytes_out": self.bytes_out,
                "peak_bytes": self.peak_bytes, "risk": self.risk}  # fmt: skip

    def lines(self) -> list[str]:
        """For people."""
        time_text = "unknown" if self.seconds is None else f"about {duration(self.seconds)} (by {self.basis})"
        return [
            f"time: {time_text}", f"memory: up to {format_bytes(self.peak_bytes)}",
            f"disk: {format_bytes(self.bytes_out)}", f"biggest risk: {self.risk}",
        ]  # fmt: skip


def estimated(
    planned: Sequence[Planned], known: Mapping[str, Entry], folder: Path, workers: int, *, measure: bool
) -> Estimate:
    """Time, memory and disk of what is to be done; ``measure`` allows to restore a small piece, in memory."""
    waiting = [one for one in planned if one.waits]
    found = seconds_per_sample(planned, known) if measure else None
    rate, basis = (None, "") if found is None else found
    busy = max(1, min(workers, len(waiting)))
    samples = sum(one.samples for one in waiting)
    longest = max((one.samples for one in waiting), default=0)
    seconds = None if rate is None else round(rate * max(samples / busy, longest), 1)
    return Estimate(
        rate, basis, 0.0 if not waiting else seconds, sum(one.bytes_out for one in waiting),
        busy * max((one.peak_bytes for one in waiting), default=0),
        biggest_risk(planned, folder, busy, seconds),
    )  # fmt: skip


def seconds_per_sample(planned: Sequence[Planned], known: Mapping[str, Entry]) -> tuple[float, str] | None:
    """Seconds of one worker per sample of the input, and what that was measured on; None where nobody can say."""
    waiting = [one for one in planned if one.waits]
    if not waiting:
        return None
    rate = _of_journal(recipe_key(waiting[0].recipe), known)
    if rate is not None:
        return rate, "earlier scenes of this batch"
    return _of_piece(min(waiting, key=lambda one: one.samples))


def _of_journal(key: str, known: Mapping[str, Entry]) -> float | None:
    seconds = samples = 0.0
    for entry in known.values():
        took, shape = number(entry.facts.get("seconds")), entry.facts.get("shape")
        if entry.state != "done" or entry.facts.get("recipe_key") != key or took is None:
            continue
        with suppress(TypeError, ValueError):
            bands, height, width = (number(length) or math.nan for length in shape or ())
            size = bands * height * width
            if math.isfinite(size):
                seconds, samples = seconds + took, samples + size
    return seconds / samples if samples > 0 else None


def _of_piece(one: Planned) -> tuple[float, str] | None:
    """Restore the middle of a scene in memory; see ``forecast.seconds_per_sample``."""
    from hsi_app import forecast
    from hsi_app.io import open_cube

    try:
        cube = open_cube(one.item.source)
        rate = forecast.seconds_per_sample(cube, one.recipe, Job(seed=one.recipe.seed))
    except (HsiError, OSError):
        return None
    height, width = (min(forecast.PIECE_PX, length) for length in cube.shape[1:])
    return None if rate is None else (rate, f"{height} x {width} px of {one.item.where}")
