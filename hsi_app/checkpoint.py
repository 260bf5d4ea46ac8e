"""What a long restoration has got so far, in a folder: after an interruption the same run goes on from there."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hsi_app.jobs import Job
from hsi_app.run_folder import RunFolder
from hsi_app.states import StateError, read_state, write_state, write_whole
from hsi_app.tiling import Tile, Window

if TYPE_CHECKING:
    import torch

# How old a method's state must be before the next one replaces it.
INTERVAL_S = 60.0
_PLAN, _PREPARED, _SUFFIX = "plan.json", "prepared", ".safetensors"
_GENERATOR, _EXTRA = "generator ", "extra "


@dataclass(frozen=True, eq=False)
class Piece:
    """What became of one tile.

    values : (B, h, w) float32 of its kept part, in stored units
    extras : further images of that part by name, (B, h, w) or (h, w) float32, in stored units; None where nobody
        wanted them
    trace : what the method told of it, plain values
    """

    values: np.ndarray
    extras: Mapping[str, np.ndarray] | None = None
    trace: Mapping[str, Any] = field(default_factory=dict)


class Checkpoint:
    """The states of one run: what was prepared, every finished tile, and what a method keeps on its way.

    Whatever it gives back brings along the notes and the job's random generators as they were when it was kept.
    A state that is damaged is left out, and one that the disk will not take is not kept; a note says so.

    Parameters
    ----------
    folder : made, in a folder that exists, where it is not there
    is_step : one step of several; its states stay until the whole run is done

    Raises
    ------
    CheckpointError
        If it is no folder, or one that holds something else.
    """

    def __init__(self, folder: str | Path, *, is_step: bool = False) -> None:
        self.folder = Path(folder)
        self._files = RunFolder(self.folder, lambda name: name == _PLAN or name.endswith(_SUFFIX), is_step=is_step)
        self._job = Job()
        self._goes_on = self._was_refused = False

    @contextmanager
    def claimed(self, facts: Mapping[str, Any], job: Job) -> Iterator[Checkpoint]:
        """Use it for the run that ``facts`` tell of; emptied at a good end, left as it is where the run breaks off.

        Parameters
        ----------
        facts : what decides the numbers, as JSON values by name
        job : gets the notes, and its random generators are set

        Raises
        ------
        CheckpointError
            If it holds another run, another process uses it, or it cannot be written.
        """
        self._job = job
        with self._files.claimed(facts):
            self._goes_on = self._plan() is not None
            yield self

    @contextmanager
    def prepared_for(self, facts: Mapping[str, Any], job: Job) -> Iterator[None]:
        """As ``claimed``, but left as it is at a good end too: others go on with it."""
        self._job = job
        with self._files.claimed(facts, clears=False):
            yield

    @contextmanager
    def joined(self, job: Job) -> Iterator[None]:
        """Use it beside other processes that do their share of a run that was prepared.

        Raises CheckpointError if none was, or a process uses it alone.
        """
        self._job = job
        with self._files.joined():
            yield

    def step(self, number: int) -> Checkpoint:
        """The checkpoint of one step of several, inside this one."""
        return Checkpoint(self.folder / f"step{number}", is_step=True)

    # What was prepared, finished tiles, and what methods keep

    def prepared(self) -> dict[str, np.ndarray] | None:
        """What the method prepared for the whole scene, or None."""
        state = self.load(_PREPARED)
        if state is None:
            return None
        tensors, facts = state
        return {name: t.numpy().T if name in facts["turned"] else t.numpy() for name, t in tensors.items()}

    def keep_prepared(self, shared: Mapping[str, np.ndarray]) -> None:
        """Keep it where it is dense arrays of numbers; anything else will be prepared again."""
        import torch

        if not all(isinstance(v, np.ndarray) and v.dtype.kind in "buif" and v.dtype.isnative for v in shared.values()):
            return
        # How a matrix lies in memory decides how products with it are rounded, so it is kept too.
        turned = [name for name, value in shared.items() if not value.flags.c_contiguous]
        dense = {name: value.T if name in turned else value for name, value in shared.items()}
        if all(value.flags.c_contiguous for value in dense.values()):
            with suppress(TypeError):  # a number type that torch lacks
                tensors = {name: torch.from_numpy(value.copy()) for name, value in dense.items()}
                self._finish(_PREPARED, tensors, {"turned": turned})

    def tile(self, tile: Tile, *, with_extras: bool) -> Piece | None:
        """What became of a finished tile; None where it is not there, or lacks the extras that are wanted."""
        state = self.load(_name(tile), needs="has_extras" if with_extras else None)
        if state is None:
            return None
        tensors, facts = state
        values = tensors.pop("values").numpy()
        extras = {name.removeprefix(_EXTRA): t.numpy() for name, t in tensors.items()} if with_extras else None
        return Piece(values, extras, facts["trace"])

    def has_tile(self, tile: Tile) -> bool:
        """True where a finished tile was kept; whether it is whole shows when it is read."""
        return self._path(_name(tile)).exists()

    def keep_tile(self, tile: Tile, piece: Piece) -> None:
        """Keep a finished tile; what was kept on the way to it is no longer needed."""
        import torch

        images = {"values": piece.values, **{_EXTRA + name: image for name, image in (piece.extras or {}).items()}}
        trace = json.loads(json.dumps(dict(piece.trace), default=_plain))
        facts = {"trace": trace, "has_extras": piece.extras is not None}
        self._finish(_name(tile), {name: torch.from_numpy(image) for name, image in images.items()}, facts)

    def slot(self, tile: Tile | None = None) -> Slot:
        """Where a method keeps its own state while it works on a tile or, without one, while it prepares."""
        return Slot(self, _on_the_way(_PREPARED if tile is None else _name(tile)))

    def _finish(self, name: str, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> None:
        if self.save(name, tensors, facts):
            with suppress(OSError):
                self._path(_on_the_way(name)).unlink(missing_ok=True)

    # The plan

    def planned(self, memory: int | None) -> list[Tile] | None:
        """The tiles that were begun with under the same ``memory`` setting; None means to plan.

        Planned again they would be others, for free memory is never the same twice.
        """
        found = self._plan()
        if found is None or found["memory"] != memory:
            return None
        return [
            Tile(Window(*read), Window(*keep), ((rows[0], rows[1]), (cols[0], cols[1])))
            for read, keep, (rows, cols) in found["tiles"]
        ]

    def begin(self, tiles: list[Tile], memory: int | None, unfinished: Path | None) -> None:
        """Remember the tiles, and where the output is written until it is whole; note how many were done before."""
        if self._goes_on:
            self._goes_on = False  # said once, whatever happens to the tiles
            done = sum(self._path(_name(tile)).exists() for tile in tiles)
            self._job.note(f"went on from a checkpoint: {done} of {len(tiles)} tiles were done.")
        hidden = None if unfinished is None else str(unfinished.absolute())
        plan = json.dumps({"memory": memory, "tiles": [astuple(tile) for tile in tiles], "unfinished": hidden})
        with self._forgiven():
            write_whole(self.folder / _PLAN, lambda path: path.write_text(plan, encoding="utf-8"))

    def clear_unfinished(self, out: Path) -> None:
        """Remove what a process that was killed had written of ``out``."""
        left = (self._plan() or {}).get("unfinished")
        # Without a lock that process may still be writing. And nothing but such a folder is ever removed.
        if left is None or not self._files.is_locked or Path(left).parent != out.absolute().parent:
            return
        if Path(left).name.startswith(f".{out.name}.") and left.endswith(".partial"):
            shutil.rmtree(left, ignore_errors=True)

    def _plan(self) -> dict[str, Any] | None:
        with suppress(OSError, ValueError):
            found = json.loads((self.folder / _PLAN).read_text(encoding="utf-8"))
            return found if isinstance(found, dict) else None
        return None

    # States

    def save(self, name: str, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> bool:
        """Keep tensors and facts under a name; False where the disk will not take them."""
        generators = {_GENERATOR + device: state for device, state in self._job.generator_states().items()}
        with self._forgiven():
            write_state(self._path(name), {**tensors, **generators}, {**facts, "notes": list(self._job.notes)})
            return True
        return False

    def load(self, name: str, *, needs: str | None = None) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """Tensors and facts of that name; None where there are none that are whole, or whose fact ``needs`` is true."""
        if not self._path(name).exists():
            return None
        try:
            tensors, facts = read_state(self._path(name))
        except StateError as error:
            self._job.note(f"a state of the checkpoint is damaged and was left out: {error}")
            return None
        if needs is not None and not facts[needs]:
            return None
        for note in facts.pop("notes"):
            self._job.note(note)
        generators = [key for key in tensors if key.startswith(_GENERATOR)]
        self._job.set_generator_states({key.removeprefix(_GENERATOR): tensors.pop(key) for key in generators})
        self._job.went_on()
        return tensors, facts

    def _path(self, name: str) -> Path:
        return self.folder / (name + _SUFFIX)

    @contextmanager
    def _forgiven(self) -> Iterator[None]:
        """A disk that is full, or gone, must not end a run of hours."""
        try:
            yield
        except OSError as error:
            if not self._was_refused:  # once, not for each of a thousand tiles
                self._job.note(f"the state of the run could not be kept: {error}")
            self._was_refused = True


class Slot:
    """The place of one method's state, where the next replaces the last."""

    def __init__(self, checkpoint: Checkpoint, name: str) -> None:
        self._checkpoint, self._name = checkpoint, name
        self._last_s = time.monotonic()

    def keep(self, build: Callable[[], Mapping[str, torch.Tensor]]) -> None:
        """Keep what ``build`` gives, if the last state is old enough."""
        if time.monotonic() - self._last_s >= INTERVAL_S:
            self._checkpoint.save(self._name, build(), {})
            # Counted from the end: a slow disk may take its share of the time, not all of it.
            self._last_s = time.monotonic()

    def kept(self) -> dict[str, torch.Tensor] | None:
        """The last state, on the host, or None."""
        state = self._checkpoint.load(self._name)
        return None if state is None else state[0]


@contextmanager
def claimed(
    checkpoint: str | Path | Checkpoint | None, facts: Callable[[], Mapping[str, Any]], job: Job
) -> Iterator[Checkpoint | None]:
    """``Checkpoint.claimed`` where a folder is given, else None; ``facts`` are only worked out where needed."""
    if checkpoint is None:
        yield None
        return
    kept = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
    with kept.claimed(facts(), job):
        yield kept


def _name(tile: Tile) -> str:
    """All that tells a tile from those of other plans."""
    return "tile-" + "-".join("_".join(map(str, astuple(window))) for window in (tile.read, tile.keep))


def _on_the_way(name: str) -> str:
    return name + "-state"


def _plain(value: Any) -> Any:
    """Numbers and arrays of NumPy and torch as JSON holds them."""
    return value.tolist() if hasattr(value, "tolist") else str(value)
