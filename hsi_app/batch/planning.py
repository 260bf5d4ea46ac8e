"""What a batch would do and what it would take, before any of it is done."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from hsi_app.batch.items import Item, inside, recipe_for, written_names
from hsi_app.batch.journal import Entry
from hsi_app.batch.keys import recipe_key, signature
from hsi_app.batch.work import PROGRAM_BYTES, sizes
from hsi_app.device import format_bytes
from hsi_app.errors import Cancelled, HsiError, OutputError
from hsi_app.recipe import Recipe

if TYPE_CHECKING:
    from hsi_app.cube import Cube

Existing = Literal["skip", "redo", "fail"]


@dataclass(frozen=True)
class Planned:
    """One scene of a batch.

    state : 'to do', 'done' (an earlier batch did it), 'check' (its file was touched since) or 'failed' (it cannot be)
    reason, code : why it cannot be done
    shape : (B, H, W) of the input; bytes_out : of the result, as float32
    tiles, peak_bytes : pieces that it is worked on in, and what that takes, the program included
    known_key : key of what lies there
    """

    item: Item
    recipe: Recipe
    state: str
    reason: str = ""
    code: int = 0
    shape: tuple[int, int, int] = (0, 0, 0)
    bytes_out: int = 0
    tiles: int = 0
    peak_bytes: int = 0
    known_key: str | None = None

    @property
    def waits(self) -> bool:
        """True where something is to be done, or to be looked at."""
        return self.state in ("to do", "check")

    @property
    def can_share(self) -> bool:
        """True where several workers can do its tiles."""
        return self.tiles > 1 and len(self.recipe.steps) == 1

    @property
    def samples(self) -> int:
        """Of the input."""
        return int(np.prod(self.shape, dtype=np.int64))


def plan(
    items: Sequence[Item],
    recipe: Recipe,
    folder: Path,
    known: Mapping[str, Entry],
    *,
    memory: int,
    existing: Existing = "skip",
    is_stopped: Callable[[], bool] = lambda: False,
) -> list[Planned]:
    """Look at the header of every scene, and at what earlier batches left.

    Parameters
    ----------
    known : last entries of the journals by name of the result
    memory : bytes that one scene may take, the program included
    existing : what to do about results that are there: pass them over where they would come out the same, do them
        again, or count them as failures

    is_stopped : asked before each

    A file that nobody's journal tells of is never replaced unless ``existing`` is 'redo'. Raises ParameterError if the
    options of a scene do not exist, Cancelled if it was stopped.
    """
    found = []
    for item in items:
        if is_stopped():
            raise Cancelled("stopped on request; nothing was begun.")
        found.append(_planned(item, recipe_for(recipe, item), folder, known.get(item.out), memory, existing))
    return found


def _planned(
    item: Item, recipe: Recipe, folder: Path, before: Entry | None, memory: int, existing: Existing
) -> Planned:
    from hsi_app.io import open_cube
    from hsi_app.sinks import refuse_own_input

    target = inside(folder, item.out, item.where)
    there = any(os.path.lexists(folder / name) for name in written_names(item.out))
    known_key = None
    if there and existing == "fail":
        return Planned(item, recipe, "failed", f"'{target}' exists already (--existing fail).", OutputError.exit_code)
    if there and existing == "skip":
        if before is None or (before.state == "failed" and "outputs" not in before.facts):
            reason = f"'{target}' exists and no batch made it; move it, or give --existing redo."
            return Planned(item, recipe, "failed", reason, OutputError.exit_code)
        if before.state == "done" and before.facts.get("outputs") == sizes(folder, item.out):
            key = before.facts.get("key")
            known_key = key if isinstance(key, str) else None
    try:
        cube = open_cube(item.source)
        refuse_own_input(cube, target)
        seen = signature([item.source, item.mask])
        tiles, peak, bytes_out = needed(cube, recipe, memory)
    except HsiError as error:
        return Planned(item, recipe, "failed", " ".join(str(error).split()), error.exit_code)
    except OSError as error:
        reason = f"'{error.filename or item.source}' cannot be read: {error.strerror or error}."
        return Planned(item, recipe, "failed", reason, 4)
    state = "to do" if known_key is None else "check"
    is_untouched = before is not None and before.facts.get("signature") == seen
    if before is not None and known_key and is_untouched and before.facts.get("recipe_key") == recipe_key(recipe):
        state = "done"
    return Planned(item, recipe, state, "", 0, cube.shape, bytes_out, tiles, peak, known_key)


def needed(cube: Cube, recipe: Recipe, memory: int) -> tuple[int, int, int]:
    """Tiles of the step with the most, peak bytes with the program, and bytes of the result.

    Raises PlanError if a step cannot be done within ``memory``.
    """
    from hsi_app.forecast import needs

    found = needs(cube, recipe, memory, PROGRAM_BYTES)
    return found.tiles, min(found.peak_bytes + PROGRAM_BYTES, memory), found.bytes_out


def biggest_risk(planned: Sequence[Planned], folder: Path, workers: int, seconds: float | None) -> str:
    """The one thing that is most likely to spoil the night, in a line."""
    import shutil

    import psutil

    waiting = [one for one in planned if one.waits]
    bad = [one for one in planned if one.state == "failed"]
    if not waiting:
        return "none: nothing is to be done."
    size = sum(one.bytes_out for one in waiting)
    free = shutil.disk_usage(_existing_parent(folder)).free
    room = psutil.virtual_memory().available
    largest = max(waiting, key=lambda one: one.peak_bytes)
    if size > free:
        return f"the disk: {format_bytes(size)} are to be written and {format_bytes(free)} are free."
    if workers * largest.peak_bytes > room:
        return (
            f"memory: {workers} x {format_bytes(largest.peak_bytes)} may be taken ({largest.item.where}) and"
            f" {format_bytes(room)} are free; use fewer workers, or a smaller --memory."
        )
    if len(bad) > len(planned) // 10:
        return f"the inputs: {len(bad)} of {len(planned)} cannot be done; the first: {bad[0].reason}"
    if size > 0.8 * free:
        return f"the disk: {format_bytes(size)} of {format_bytes(free)} that are free will be taken."
    if seconds is not None and seconds > 12 * 3600:
        return f"time: about {seconds / 3600:.0f} hours; it goes on where it stopped, with any number of workers."
    longest = max(waiting, key=lambda one: one.samples)
    share = longest.samples / sum(one.samples for one in waiting)
    if workers > 1 and share > 0.5 and len(waiting) > 1 and not longest.can_share:
        return f"balance: {longest.item.where} alone is {share:.0%} of the work, and one worker does it."
    if bad:
        return f"the inputs: {len(bad)} of {len(planned)} cannot be done; the first: {bad[0].reason}"
    return f"none that can be seen; {format_bytes(free - size)} of the disk and most of the memory stay free."


def _existing_parent(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder
