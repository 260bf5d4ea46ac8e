"""The scenes of a batch and what became of each, as the events of the other process tell it. No toolkit."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

State = Literal["waiting", "working", "done", "same", "failed"]
# What a plan calls them.
_PLANNED: Mapping[str, State] = {"done": "same", "failed": "failed"}
OVER = ("done", "same", "failed")
# Until then what was measured says little of what is left.
SOONEST_S, LEAST_SHARE = 2.0, 0.005


@dataclass(slots=True)
class Scene:
    """One scene.

    out : name of its result, by which events call it
    fraction, message, left_s : while it is in work
    reason : why it failed, or what is to be said of a scene that waits again
    seconds : that it took, or will take
    did : what was done; notes : of the run
    is_work : it was not done before the batch began
    """

    source: str
    out: str
    state: State = "waiting"
    fraction: float = 0.0
    message: str = ""
    left_s: float | None = None
    reason: str = ""
    seconds: float | None = None
    did: str = ""
    notes: tuple[str, ...] = ()
    is_work: bool = True

    @property
    def name(self) -> str:
        """The file's name, after the folder its result goes to."""
        place = PurePosixPath(self.out).parent
        # Windows' paths on another system are of no concern: both come from this machine.
        return Path(self.source).name if place == PurePosixPath() else f"{place}/{Path(self.source).name}"

    @property
    def has_result(self) -> bool:
        """True once its result lies in the folder."""
        return self.state in ("done", "same")


class Scenes:
    """All scenes of a batch, in its order."""

    def __init__(self) -> None:
        self.rows: list[Scene] = []
        self.counts: Counter[str] = Counter()
        self._places: dict[str, int] = {}
        self._shares = 0.0
        self._over = self._work = 0
        self._began: float | None = None

    def begin(self, planned: Sequence[Mapping[str, Any]]) -> None:
        """These scenes and no others, as a plan lists them (source, out, state; of a dry run reason and seconds)."""
        self.rows = []
        for row in planned:
            state = _PLANNED.get(str(row.get("state")), "waiting")
            seconds = _number(row.get("seconds")) if state == "waiting" else None
            self.rows.append(
                Scene(str(row.get("source", "")), str(row.get("out", "")), state, reason=str(row.get("reason", "")),
                      seconds=seconds, is_work=state == "waiting")
            )  # fmt: skip
        self.counts = Counter(scene.state for scene in self.rows)
        self._places = {scene.out: place for place, scene in enumerate(self.rows)}
        self._shares, self._over, self._began = 0.0, 0, None
        self._work = sum(scene.is_work for scene in self.rows)

    def apply(self, event: Mapping[str, Any], now: float) -> int | None:
        """Take in what happened to a scene; gives its place, None for what concerns no scene of these.

        Parameters
        ----------
        now : seconds of any clock, for the time left
        """
        place = self._places.get(str(event.get("out")))
        if place is None:
            return None
        scene, what = self.rows[place], event.get("event")
        if what == "started":
            self._began = now if self._began is None else self._began
            self._set(scene, "working")
            scene.reason = ""
        elif what == "progress":
            self._set(scene, "working", min(max(_number(event.get("fraction")) or 0.0, 0.0), 1.0))
            scene.message, scene.left_s = str(event.get("message") or ""), _number(event.get("remaining_s"))
        elif what == "again":
            self._set(scene, "waiting")
            scene.reason = f"is tried again: {event.get('reason', '')}"
        elif what == "stopped":
            self._set(scene, "waiting")
            scene.reason = "stopped; goes on from there with the next run"
        elif what == "failed":
            self._set(scene, "failed")
            scene.reason = str(event.get("reason", ""))
        elif what in ("done", "same"):
            self._set(scene, "done" if what == "done" else "same")
            scene.reason, scene.seconds = "", _number(event.get("seconds"))
            scene.did, scene.notes = ", then ".join(_words(event.get("did"))), tuple(_words(event.get("notes")))
        else:
            return None
        return place

    def settle(self) -> None:
        """The process is gone: nothing is in work any more."""
        for scene in self.rows:
            if scene.state == "working":
                self._set(scene, "waiting")
                scene.reason = "was interrupted; goes on from there with the next run"
        self._began = None

    @property
    def fraction(self) -> float:
        """Share of all that is behind, 0 to 1."""
        over = sum(self.counts[state] for state in OVER)
        return min((over + self._shares) / max(len(self.rows), 1), 1.0)

    def left_s(self, now: float) -> float | None:
        """Seconds until all are done, or None while nobody can say."""
        behind = self._over + self._shares
        if self._began is None or now - self._began < SOONEST_S or behind < LEAST_SHARE * max(self._work, 1):
            return None
        return (now - self._began) * max(self._work - behind, 0.0) / behind

    def tally(self) -> str:
        """'12 of 300 done · 3 as before · 2 failed'."""
        done, same, failed = (self.counts[state] for state in OVER)
        parts = [f"{done} of {len(self.rows) - same} done" if len(self.rows) > same else ""]
        parts += [f"{same} as before" if same else "", f"{failed} failed" if failed else ""]
        return " · ".join(part for part in parts if part)

    def next_failed(self, after: int) -> int | None:
        """Place of the first failure behind a place, or from the top again; None if there is none."""
        count = len(self.rows)
        if not self.counts["failed"]:
            return None
        places = ((after + 1 + step) % count for step in range(count))
        return next(place for place in places if self.rows[place].state == "failed")

    def _set(self, scene: Scene, state: State, fraction: float = 0.0) -> None:
        was_over = scene.state in OVER
        self.counts[scene.state] -= 1
        self.counts[state] += 1
        self._shares += fraction - scene.fraction
        if scene.is_work:
            self._over += (state in OVER) - was_over
        scene.state, scene.fraction, scene.message, scene.left_s = state, fraction, "", None


def parsed(line: str) -> dict[str, Any] | None:
    """The entry in a line of the other process's log, or None where the line is plain text."""
    if not line.startswith("{"):
        return None
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def span(seconds: float) -> str:
    """'40 s', '3 min' or '2.5 h'."""
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 or seconds == round(seconds) else f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def left(seconds: float | None) -> str:
    """'about 3 min left', or '' where nobody can say."""
    if seconds is None:
        return ""
    return f"about {max(round(seconds), 1)} s left" if seconds < 99.5 else f"about {span(seconds)} left"


def _number(found: Any) -> float | None:
    is_number = isinstance(found, int | float) and not isinstance(found, bool)
    return float(found) if is_number and abs(found) < 1e12 else None


def _words(found: Any) -> list[str]:
    return [one for one in found if isinstance(one, str)] if isinstance(found, list) else []
