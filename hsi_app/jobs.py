"""A running job: progress with the time left, cancelling, notes for the report, and its random numbers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hsi_app.errors import Cancelled

if TYPE_CHECKING:
    import numpy as np
    import torch

    from hsi_app.checkpoint import Slot
    from hsi_app.tiling import Window


@dataclass(frozen=True)
class Progress:
    """What a listener is told at each step.

    fraction in [0, 1]; seconds since the start; estimated seconds left (None while too early to say);
    preview: (B, h, w) or (h, w) array worth showing, or None; three bands are red, green and blue; place: what part of
    the scene it shows, in the scene's own pixels, however fine the preview, or None for all of it.
    """

    fraction: float
    message: str
    elapsed_s: float
    remaining_s: float | None
    preview: np.ndarray | None = None
    place: Window | None = None


class _State:
    """What all parts of one job share."""

    def __init__(self, seed: int, on_progress: Callable[[Progress], None] | None) -> None:
        self.seed = seed
        self.on_progress = on_progress
        self.stop = threading.Event()
        self.started = time.monotonic()
        self.fraction = 0.0
        # Fraction and seconds from which the time left is reckoned; None: from the next step.
        self.since: tuple[float, float] | None = (0.0, 0.0)
        self.notes: list[str] = []
        self.generators: dict[str, torch.Generator] = {}
        self.lock = threading.RLock()


class Job:
    """The one contract between long work and whoever watches it (viewer, command line, tests).

    Parameters
    ----------
    seed : int, start of the job's random numbers; same seed, same result
    on_progress : called with a Progress at each step, in the working thread
    """

    def __init__(self, *, seed: int = 0, on_progress: Callable[[Progress], None] | None = None) -> None:
        self._state = _State(seed, on_progress)
        self._offset, self._length = 0.0, 1.0
        self._slot: Slot | None = None

    @property
    def seed(self) -> int:
        """The seed it was started with."""
        return self._state.seed

    @property
    def notes(self) -> tuple[str, ...]:
        """What happened that a user should know, in order."""
        return tuple(self._state.notes)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the job was made."""
        return time.monotonic() - self._state.started

    def part(self, offset: float, length: float) -> Job:
        """A view on this job whose 0...1 is offset...offset+length of ours."""
        part = object.__new__(Job)
        part._state = self._state
        part._offset = self._offset + offset * self._length
        part._length = length * self._length
        part._slot = self._slot
        return part

    def kept_in(self, slot: Slot | None) -> Job:
        """A view on this job whose ``keep`` and ``kept`` use that place of a checkpoint."""
        view = self.part(0.0, 1.0)
        view._slot = slot
        return view

    def keep(self, build: Callable[[], Mapping[str, torch.Tensor]]) -> None:
        """Keep the state of a long method, so that it goes on from there if it is interrupted; call it at each step.

        Does nothing where the run has no checkpoint, or where the last state is younger than a minute. The job's own
        generators are kept along; one made for a place is not, so its ``get_state()`` belongs into the state.

        Parameters
        ----------
        build : gives tensors of any device by name, from which the method can go on to the same bits; called now or
            not at all
        """
        if self._slot is not None:
            self._slot.keep(build)

    def kept(self) -> dict[str, torch.Tensor] | None:
        """What an earlier run last kept for this tile (or while preparing), on the host; None to begin afresh."""
        return None if self._slot is None else self._slot.kept()

    def went_on(self) -> None:
        """Tell that the next step begins where an earlier run was, so that the time left is reckoned from there."""
        self._state.since = None

    def step(self, fraction: float, message: str = "", preview: Any = None, place: Window | None = None) -> None:
        """Report progress; the only place where a job can be stopped.

        Parameters
        ----------
        fraction : of this part, in [0, 1]; reported progress never goes backwards
        message : what is being done, for a person
        preview : array or tensor worth showing, or None
        place : what part of the scene it shows; see Progress

        Raises
        ------
        Cancelled
            If someone asked the job to stop.
        """
        state = self._state
        if state.stop.is_set():
            raise Cancelled("stopped on request; nothing was written.")
        with state.lock:
            whole = self._offset + min(max(fraction, 0.0), 1.0) * self._length
            state.fraction = max(state.fraction, min(whole, 1.0))
            if state.on_progress is None:
                return
            elapsed = self.elapsed_s
            if state.since is None:
                state.since = state.fraction, elapsed
            done, took = state.fraction - state.since[0], elapsed - state.since[1]
            # Before 2 % or half a second an extrapolation says nothing.
            early = done < 0.02 or took < 0.5
            remaining = None if early else took * (1 - state.fraction) / done
            if preview is not None and hasattr(preview, "detach"):
                # A copy: the listener may draw it while the method goes on changing its tensor.
                preview = preview.detach().float().cpu().numpy().copy()
            state.on_progress(Progress(state.fraction, message, elapsed, remaining, preview, place))

    def cancel(self) -> None:
        """Ask the job to stop at its next step; safe from any thread."""
        self._state.stop.set()

    @property
    def is_cancelled(self) -> bool:
        """True once someone asked it to stop."""
        return self._state.stop.is_set()

    def note(self, text: str) -> None:
        """Remember something a user should know (a repaired input, a halved tile); shown in the report."""
        if text not in self._state.notes:
            self._state.notes.append(text)

    def generator(self, device: torch.device | str = "cpu", *place: int) -> torch.Generator:
        """A random generator on a device.

        Without a place it is the job's own, made from the seed at first use and carried on from tile to tile. With
        one it is fresh, and the same seed and place always begin alike: methods that run in tiles should use
        ``job.generator(device, window.row, window.col)``, so that a tile's numbers do not depend on those before.

        Parameters
        ----------
        place : whole numbers >= 0
        """
        import torch

        if place:
            import numpy as np

            mixed = np.random.SeedSequence(self.seed % 2**64, spawn_key=place).generate_state(1, np.uint64)
            return torch.Generator(device=device).manual_seed(int(mixed[0] >> np.uint64(1)))
        key = str(device)
        if key not in self._state.generators:
            self._state.generators[key] = torch.Generator(device=device).manual_seed(self._state.seed)
        return self._state.generators[key]

    def generator_states(self) -> dict[str, torch.Tensor]:
        """Where the job's own generators are, by device."""
        return {key: generator.get_state() for key, generator in self._state.generators.items()}

    def set_generator_states(self, states: Mapping[str, torch.Tensor]) -> None:
        """Let the job's own generators go on from ``generator_states`` of an earlier run."""
        for key, state in states.items():
            self.generator(key).set_state(state)
